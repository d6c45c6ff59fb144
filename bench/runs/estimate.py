"""What a cell will cost, from what cells like it have cost.

In order: cells with the same settings; of the same method; of another variant with the same semantic stages; all of the
same task and preset; all of them made in the same precision, on as many devices, on a machine with the same processor,
number of cores and device. Then, of the training alone, its operations, counted, at the rate of this machine or at
one that is given.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from bench.core.device import Runtime, device_precision
from bench.core.environment import describe_environment
from bench.core.progress import say
from bench.runs.request import Job
from bench.spec.run_spec import RunSpec
from bench.spec.tasks import Task
from bench.training.step_cost import StepCost, StepTimer, count_step
from methods.registry import BUILT_IN

NOT_MEASURED = "not measured"
ALL = ("all",)
"""The group of every known cell."""
StageKey = tuple[str, str, int, str, str]
"""Method, data version, seed, stage, its settings: cells that agree in these share the stage."""


@dataclass(frozen=True)
class Estimate:
    """Estimated seconds of a cell; None: not known."""

    train: float | None
    stages: Mapping[str, float] | None
    """Semantic stage -> seconds, if this cell is the first to need it; None: not known."""
    scoring: float | None
    source: str
    """Where they come from."""


@dataclass(frozen=True)
class KnownCosts:
    """The cost of one stored cell."""

    method: str
    seconds_per_image: float
    """Of training, per source image and domain."""
    stages: Mapping[str, float]
    scoring: float | None


class Costs:
    """Costs of the stored cells of one task and preset on this machine."""

    def __init__(self, results: Path, task: Task, preset: str, runtime: Runtime, rate: float = 0.0) -> None:
        """Reads every cell of the task once; a damaged one is named and passed over.

        `rate`: TFLOP/s of the device that is to train, whose cells are not here; 0: this machine.
        """
        self.precision, self.devices = device_precision(runtime.precision), runtime.devices
        self.rate, self.timer = 1e12 * rate, StepTimer(runtime.device)
        self._steps: dict[str, StepCost | str] = {}
        self.stages_done: set[StageKey] = set()
        """Stages that lie in the results folder."""
        self._groups: dict[tuple[str, ...], list[KnownCosts]] = defaultdict(list)
        machine = _machine(describe_environment(runtime.device.type)) if not rate else ()
        for folder in sorted((results / "runs" / task.name).glob(f"*-{preset}/*/")):
            try:
                self._add(folder, machine)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                say(f"{folder.name}: passed over for estimates: damaged ({type(error).__name__}: {error})")

    def of(self, job: Job) -> Estimate:
        """Estimate for the cell, from its first step to its last metric."""
        spec = job.spec
        for key in _likeness(spec.method, spec.config):
            if cells := self._groups.get(key):
                names = dict.fromkeys(name for cell in cells for name in cell.stages)
                return Estimate(
                    _training(spec, fmean(cell.seconds_per_image for cell in cells)),
                    {name: fmean(cell.stages[name] for cell in cells if name in cell.stages) for name in names},
                    self._scoring(cells),
                    f"measured: {', '.join(dict.fromkeys(cell.method for cell in cells))}",
                )
        if spec.budget.kind == "seconds":
            return Estimate(_training(spec, None), None, self._scoring([]), "its budget")
        step = self.step_of(job)
        if isinstance(step, str):
            return Estimate(None, None, self._scoring([]), NOT_MEASURED)
        seconds = step.flops / self.rate if self.rate else self.timer.step_seconds(step)
        rate = step.flops / seconds / 1e9 if seconds else 0.0
        train = _training(spec, seconds / step.images / self.devices)
        return Estimate(train, None, self._scoring([]), f"counted, at {rate:,.0f} GFLOP/s")

    def step_of(self, job: Job) -> StepCost | str:
        """A training step of the cell, counted; or why it cannot be."""
        spec = job.spec
        key = _text([spec.method, spec.config, spec.image_size])
        if key not in self._steps:
            say(f"counting the operations of a step: {spec.method}")
            try:
                self._steps[key] = count_step(job.build, spec.image_size, self.precision == "bf16")
            except Exception as error:  # other people's methods may need values, which made-up tensors do not have
                self._steps[key] = f"{type(error).__name__}: {error}"
        return self._steps[key]

    def _add(self, folder: Path, machine: tuple[Any, ...]) -> None:
        if not (folder / "cost.json").exists():
            return
        spec, cost = read_estimate_json(folder / "spec.json"), read_estimate_json(folder / "cost.json")
        method, config, stages = spec["method"], spec["config"], dict(cost["stage_seconds"])
        self.stages_done.update(_stage_keys(method, spec["data_version"], spec["seed"], config, stages).values())
        if not cost["images_per_domain"] or _machine(read_estimate_json(folder / "environment.json")) != machine:
            return
        if (cost.get("precision", self.precision), cost.get("devices", 1)) != (self.precision, self.devices):
            return
        scoring = folder / "scoring.json"
        known = KnownCosts(
            method,
            cost["seconds"] / cost["images_per_domain"],
            stages,
            float(read_estimate_json(scoring)["seconds"]) if scoring.exists() else None,
        )
        for key in (*_likeness(method, config), ALL):
            self._groups[key].append(known)

    def _scoring(self, cells: Sequence[KnownCosts]) -> float | None:
        """Median of `cells`, else of all that are known here.

        Not the mean: the first cell in a folder also trained the judges and encoded the real images.
        """
        for pool in (cells, self._groups[ALL]):
            seconds = [cell.scoring for cell in pool if cell.scoring is not None]
            if seconds:
                return median(seconds)
        return None


def estimate_stage_keys(spec: RunSpec, stages: Mapping[str, float]) -> dict[str, StageKey]:
    """Stage -> what `spec` shares it by, for those in `stages`."""
    return _stage_keys(spec.method, spec.data_version, spec.seed, spec.config, stages)


def _likeness(method: str, config: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Groups that a cell belongs to, the closest first."""
    stage_settings = _text([config.get("categories"), config["semantics"]] if "semantics" in config else config)
    return [
        ("settings", method, _text(config)),
        ("method and stages", method, stage_settings),
        ("method", method),
        ("stages", _family(method), stage_settings),
    ]


def _training(spec: RunSpec, per_image: float | None) -> float | None:
    """Seconds of the budget."""
    if spec.budget.kind == "seconds":
        return float(spec.budget.amount)
    return None if per_image is None else per_image * spec.budget.amount


def _family(method: str) -> str:
    """The built-in method that a variant belongs to; other people's methods stand for themselves."""
    base = method.partition(":")[0]
    return base if base in BUILT_IN else method


def _stage_keys(
    method: str, data_version: str, seed: int, config: Mapping[str, Any], stages: Mapping[str, float]
) -> dict[str, StageKey]:
    # `categories` is left out on purpose: clusters that are not adapted are those that others adapt.
    settings = _text(config.get("semantics", config))
    return {name: (_family(method), data_version, seed, name, settings) for name in stages}


def _machine(environment: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(environment[key] for key in ("processor", "cores", "device"))


def read_estimate_json(path: Path) -> Any:
    return json.loads(path.read_text())


def _text(value: Any) -> str:
    """Text that is equal for equal values, also for tuples and the lists that they become in a file."""
    return json.dumps(value, sort_keys=True)
