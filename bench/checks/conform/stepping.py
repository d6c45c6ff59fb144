"""`training_step`: phases, losses, gradients, and who changes when."""

from __future__ import annotations

import torch

from bench.checks.conform.check import check_that, conform_check
from bench.checks.conform.subject import ConformSubject
from bench.checks.tiny_run import STEPS
from bench.core.randomness import randomness
from methods.base import Progress, run_step


@conform_check(
    "a step yields phases that name networks with optimisers, together all of them, each with losses that are float "
    "scalars with a graph; nothing is yielded inside a context manager",
    look="training_step", needs=("optimizers", "batch"),
)  # fmt: skip
def stepping_phases(subject: ConformSubject) -> str:
    """Take one step of the phases without any step of an optimiser."""
    domains = subject.domains()
    method = subject.prepared(domains)
    drawn = method.draw(domains, randomness("conform"), Progress(0, 2))
    named: list[str] = []
    for index, phase in enumerate(method.training_step(drawn)):
        check_that(torch.is_grad_enabled(), f"phase {index} is yielded where gradients are off (inside no_grad?)")
        unknown = [name for name in phase.trains if name not in method.optimizers]
        check_that(not unknown, f"phase {index} trains {', '.join(unknown)}, and there is no such optimiser")
        check_that(bool(phase.trains) and bool(phase.losses), f"phase {index} names no network or no loss")
        for name, loss in phase.losses.items():
            sound = loss.ndim == 0 and loss.is_floating_point() and loss.requires_grad
            description = f"{loss.dtype} {tuple(loss.shape)}, {'with' if loss.requires_grad else 'without'} a graph"
            check_that(sound, f"phase {index}, loss {name}: {description}")
        named += phase.trains
    check_that(torch.is_grad_enabled(), "after the last phase, gradients are off")
    never = [name for name in method.optimizers if name not in named]
    check_that(not never, f"no phase trains {', '.join(never)}, which has an optimiser")
    return f"{index + 1} phases"


@conform_check(
    f"{STEPS} training steps end, and every loss is finite",
    look="training_step", needs=("phases", "learning_rates", "ema_copies"),
)  # fmt: skip
def stepping_training(subject: ConformSubject) -> str:
    """Train as the loop does, with the operations of the first step counted."""
    for step, losses in enumerate(subject.trained.logged):
        bad = [f"{name} = {float(value)}" for name, value in losses.items() if not bool(value.isfinite())]
        check_that(not bad, f"step {step}: {', '.join(bad)}")
    return f"{len(losses)} losses"


@conform_check(
    "every network that a phase names gets gradients, not all zero in each step, and finite",
    look="training_step", needs=("training",), sizes="first",
)  # fmt: skip
def stepping_gradients(subject: ConformSubject) -> str:
    """Read what the watch has seen in the steps of `training`."""
    watch = subject.trained.watch
    assert watch is not None
    check_that(not watch.bad_gradients, f"not finite in {', '.join(sorted(set(watch.bad_gradients)))}")
    idle = [name for name, empty in watch.without_gradient.items() if empty]
    check_that(not idle, f"none in {STEPS} steps for {', '.join(idle)}: does its loss depend on it?")
    return f"{len(watch.without_gradient)} networks"


@conform_check(
    "a trained network changes in the phases that name it and at no other moment (weights are clipped in a "
    "`register_step_post_hook` of the optimiser)",
    look="training_step", needs=("training", "optimizers_in_the_state"), sizes="first",
)  # fmt: skip
def stepping_weights_change_in_phases(subject: ConformSubject) -> str:
    """Read what the watch has seen in the steps of `training`."""
    watch = subject.trained.watch
    assert watch is not None
    check_that(not watch.strays, "; ".join(watch.strays[:3]))
    return f"{STEPS} steps"


@conform_check(
    f"every trained network, and every EMA copy, has changed after {STEPS} steps",
    look="training_step", needs=("gradients",), sizes="first",
)  # fmt: skip
def stepping_every_network_learns(subject: ConformSubject) -> str:
    """Compare them with what `prepare` left."""
    before, after = subject.trained.initial, subject.trained.method.state_dict()
    names = [*subject.trained.method.optimizers, *(f"ema.{name}" for name in subject.trained.method.ema)]
    for name in names:
        keys = [key for key in after if key.startswith(f"{name}.")]
        still = all(torch.equal(before[key], after[key]) for key in keys)
        check_that(not still, f"{name} is as it was", "update_ema" if name.startswith("ema.") else "")
    return ", ".join(names)


@conform_check(
    "a step under bfloat16 autocast (what CUDA cards get) gives finite losses and leaves the state's types alone",
    look="training_step", needs=("training",), sizes="first",
)  # fmt: skip
def stepping_mixed_precision(subject: ConformSubject) -> str:
    """Take a step on the CPU."""
    domains = subject.domains()
    method = subject.prepared(domains)
    before = {name: value.dtype for name, value in method.state_dict().items()}
    drawn = method.draw(domains, randomness("conform"), Progress(0, 2))
    logged = run_step(method, drawn, lambda: torch.autocast("cpu", torch.bfloat16))
    bad = [name for name, value in logged.items() if not bool(value.isfinite())]
    check_that(not bad, f"not finite: {', '.join(bad)}")
    changed = [name for name, value in method.state_dict().items() if value.dtype != before[name]]
    check_that(not changed, f"types changed: {', '.join(changed)}")
    return f"{len(logged)} losses"
