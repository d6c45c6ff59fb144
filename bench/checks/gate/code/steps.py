"""A few training steps of each method by the harness's own loop, from stored weights, and what is seen of them.

In float64: normalisation of small maps and Adam raise float32's rounding to percents within two steps (gradient norms
of EGSC-IT differ by half their size between two convolution kernels), which no limit can tell from a defect. What is
left comes from drawn numbers, which are float32 by nature; `measure_steps_with_slack` finds out what their rounding
does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.checks.gate.code.values import Values
from bench.checks.tiny_run import ShortStages, TinyRun, tiny_gradients, tiny_networks, tiny_norm, tiny_parameters
from bench.core.randomness import randomness
from bench.runs.request import Job
from methods.base import Context, Domains, Phase, Style, Translator

STEPS = 3
ROUNDING = 1e-6
"""Relative deviation of the noise on drawn numbers: twice what differs between two kernels of `torch.randn`."""
REPEATS = 3
"""Trainings with noise; a value may move by SLACK times as much as it moved in any."""
SLACK = 5.0


def measure_steps_with_slack(train: Callable[[int | None], Values]) -> Values:
    """The values of `train(None)`, each with a slack from those of `train(0)`, `train(1)`, ..., which have noise."""
    exact = train(None)
    noisy = [{value.quantity: value.value for value in train(repeat).measured} for repeat in range(REPEATS)]
    for place, value in enumerate(exact.measured):
        if not isinstance(value.value, str) and value.kind in ("step 0", "later", "learned"):
            moved = max(abs(float(values[value.quantity]) - value.value) for values in noisy)
            exact.measured[place] = replace(value, slack=float(f"{SLACK * moved:.3g}"))
    return exact


def measure_steps(
    run: TinyRun, stored: Mapping[str, Tensor] | None, noise: int | None = None, double: bool = True
) -> Values:
    """Values of the subject that is called as the method: its semantic stages and first weights, then every step.

    `stored`: the weights to begin with; None: those that the method has. `noise`: number of the noise that is put on
    the drawn numbers; None: none. `double`: in float64, else as the method is.
    """
    values = Values(run.candidate.name)
    job = run.job_of_steps(STEPS)
    seen: list[_Seen] = []

    def build() -> Translator:
        seen.append(_Seen(job.build(), stored, values, noise, double, run.stage_steps))
        return seen[-1].method

    method, cell = run.train(Job(job.spec, build))
    after = seen[0].lengths()
    for name, moved in after.items():
        values.add(f"distance that {name} moved in {STEPS} steps", "learned", moved)
    values.add("state after training: tensors", "exact", len(method.state_dict()))
    _add_stages(values, cell.semantics)
    return values


class _Seen:
    """A method whose `prepare`, `draw` and `training_step` report what passes through them."""

    def __init__(
        self, method: Translator, stored: Mapping[str, Tensor] | None, values: Values, noise: int | None, double: bool,
        stage_steps: int | None,
    ) -> None:  # fmt: skip
        self.method, self.stored, self.values, self.noise, self.step = method, stored, values, noise, 0
        self.double, self.stage_steps = double, stage_steps
        self.before: dict[str, list[Tensor]] = {}
        self.originals = {name: getattr(method, name) for name in ("prepare", "draw", "training_step", "translate")}
        for name in self.originals:  # on this one object, in front of the methods of its class
            vars(method)[name] = getattr(self, name)

    def prepare(self, domains: Domains, context: Context) -> None:
        """Call the method's, with its stages; then load the stored weights in place of what came out."""
        self.values.add("parameters", "exact", sum(self.method.parameter_counts().values()))
        for name, network in tiny_networks(self.method).items():
            self.values.add(f"length of {name} as constructed", "step 0", tiny_norm(network.parameters()))
        self.originals["prepare"](domains, replace(context, run_stage=ShortStages(context.run_stage, self.stage_steps)))
        for text in self.method.remarks:
            self.values.add(f"remark: {text}", "exact", "made")
        if self.stored is not None:
            self.method.load_state_dict(self.stored)
        if self.double:
            self._to_double()
        self.before = self._parameters()

    def _to_double(self) -> None:
        self.method.double()
        for held in vars(self.method).values():  # a frozen network may stand outside the state, inside another object
            for part in vars(held).values() if hasattr(held, "__dict__") else ():
                if isinstance(part, nn.Module):
                    part.double()

    def draw(self, *given: Any) -> Any:
        """Call the method's; note its tensors, and the learning rates that were set before."""
        batch = self.originals["draw"](*given)
        for name, optimizer in self.method.optimizers.items():
            for group in optimizer.param_groups:
                self.values.add(f"learning rate of {name}, step {self.step}", "metric", group["lr"])
        for field in fields(batch):
            self.values.add_array(f"batch {field.name}, step {self.step}", "input", getattr(batch, field.name))
        batch = _in_double(batch) if self.double else batch
        return batch if self.noise is None else _disturbed(batch, randomness("gate", "noise", self.noise, self.step))

    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        """Call the method's, in float64 where its weights are: the loop looks at a few outputs."""
        if not self.double:
            return self.originals["translate"](x, source, target, style)
        return self.originals["translate"](x.double(), source, target, None if style is None else _in_double(style))

    def training_step(self, batch: Any) -> Iterator[Phase]:
        """Yield the method's phases; note losses and the norms of the gradients of the networks that each trains."""
        kind = "later" if self.step else "step 0"
        for index, phase in enumerate(self.originals["training_step"](batch)):
            networks = phase.trains if len(phase.trains) < 4 else (*phase.trains[:2], f"{len(phase.trains) - 2} more")
            where = f"step {self.step}, phase {index} ({'+'.join(networks)})"
            for name, loss in phase.losses.items():
                self.values.add(f"loss {name}, {where}", kind, loss.detach())
            limit = -1.0 if phase.clip_norm is None else phase.clip_norm
            self.values.add(f"gradient clipped to, {where}", "metric", limit)
            yield phase
            for name in phase.trains:
                norm = tiny_norm(tiny_gradients(getattr(self.method, name)))
                self.values.add(f"gradient norm of {name}, {where}", kind, norm)
        self.step += 1

    def _parameters(self) -> dict[str, list[Tensor]]:
        averaged = {f"the average of {name}": copy for name, copy in self.method.ema.items()}
        return tiny_parameters({**tiny_networks(self.method), **averaged})

    def lengths(self) -> dict[str, Tensor]:
        """Network, or average of one -> distance between its stored weights and those after the last step."""
        after = self._parameters()
        return {
            name: tiny_norm([new - old for new, old in zip(after[name], before, strict=True)])
            for name, before in self.before.items()
        }


def _in_double(batch: Any) -> Any:
    """A dataclass of tensors with every float32 tensor in float64."""
    tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
    single = {name: tensor for name, tensor in tensors.items() if tensor.dtype == torch.float32}
    return replace(batch, **{name: tensor.double() for name, tensor in single.items()})


def _disturbed(batch: Any, rng: torch.Generator) -> Any:
    """`batch` with every float64 or float32 number multiplied by 1 + noise."""
    tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    noisy = {
        name: tensor * (1 + ROUNDING * torch.randn(tensor.shape, generator=rng, dtype=tensor.dtype))
        for name, tensor in floats.items()
    }
    return replace(batch, **noisy)


def _add_stages(values: Values, folder: Path) -> None:
    """The losses that each semantic stage wrote to its log, in the order of names."""
    for log in sorted(folder.glob("*/log.jsonl")):
        stage = log.parent.name.partition("-seed")[0]
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            for name, loss in entry["losses"].items():
                values.add(f"stage {stage}: loss {name}, mean of {entry['step']} steps", "stage", loss)
