"""What a cell will cost, from what cells like it have cost.

In order: cells with the same settings; of the same method; of another variant with the same semantic stages; all of the
same task and preset; all of them made in the same precision, on as many devices, on a machine with the same processor,
number of cores and device. Then, for the quick preset on one CPU in float32, the shipped seconds
(`bench/runs/sweep/quick_seconds.json` says how they were measured). Then nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from bench.core.environment import describe_environment
from bench.core.progress import say
from bench.runs.sweep.file import SHIPPED
from bench.spec.run_spec import RunSpec
from bench.spec.tasks import Task
from methods.registry import BUILT_IN

SHIPPED_SECONDS = SHIPPED / "quick_seconds.json"
NOT_MEASURED = "not measured"
ALL = ("all",)
"""The group of every known cell."""
StageKey = tuple[str, str, int, str, str]
"""Method, data version, seed, stage, its settings: cells that agree in these share the stage."""


@dataclass(frozen=True)
class Estimate:
    """Estimated seconds of a cell; None: not known."""

    train: float | None
    stages: Mapping[str, float]
    """Semantic stage -> seconds, if this cell is the first to need it."""
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

    def __init__(
        self, results: Path, task: Task, preset: str, device: str, precision: str = "float32", devices: int = 1
    ) -> None:
        """Reads every cell of the task once; a damaged one is named and passed over. `precision`: as it is typed."""
        like_shipped = (preset, device, precision, devices) == ("quick", "cpu", "float32", 1)
        self.shipped = _shipped(task.kind) if like_shipped else {}
        self.precision, self.devices = precision, devices
        self.stages_done: set[StageKey] = set()
        """Stages that lie in the results folder."""
        self._groups: dict[tuple[str, ...], list[KnownCosts]] = defaultdict(list)
        machine = _machine(describe_environment(device))
        for folder in sorted((results / "runs" / task.name).glob(f"*-{preset}/*/")):
            try:
                self._add(folder, machine)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                say(f"{folder.name}: passed over for estimates: damaged ({type(error).__name__}: {error})")

    def of(self, spec: RunSpec) -> Estimate:
        """Estimate for `spec`, from its first step to its last metric."""
        for key in _likeness(spec.method, spec.config):
            if cells := self._groups.get(key):
                names = dict.fromkeys(name for cell in cells for name in cell.stages)
                return Estimate(
                    _training(spec, fmean(cell.seconds_per_image for cell in cells)),
                    {name: fmean(cell.stages[name] for cell in cells if name in cell.stages) for name in names},
                    self._scoring(spec, cells),
                    f"measured: {', '.join(dict.fromkeys(cell.method for cell in cells))}",
                )
        given = self._given(spec)
        if given:
            train = _training(spec, given["train"] / self.shipped["images"])
            return Estimate(train, given["stages"], self._scoring(spec, []), f"shipped: {self.shipped['machine']}")
        train = _training(spec, None)
        return Estimate(train, {}, self._scoring(spec, []), NOT_MEASURED if train is None else "its budget")

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

    def _scoring(self, spec: RunSpec, cells: Sequence[KnownCosts]) -> float | None:
        """Median of `cells`, else of all that are known here, else the shipped one.

        Not the mean: the first cell in a folder also trained the judges and encoded the real images.
        """
        for pool in (cells, self._groups[ALL]):
            seconds = [cell.scoring for cell in pool if cell.scoring is not None]
            if seconds:
                return median(seconds)
        given = self._given(spec)
        return float(given["scoring"]) if given else None

    def _given(self, spec: RunSpec) -> dict[str, Any]:
        """The shipped seconds of the variant, or of its method; empty without."""
        methods: dict[str, dict[str, Any]] = self.shipped.get("methods", {})
        return methods.get(spec.method) or methods.get(_family(spec.method)) or {}


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


def _shipped(kind: str) -> dict[str, Any]:
    values = read_estimate_json(SHIPPED_SECONDS)
    return {"machine": values["machine"], **values[kind]}


def read_estimate_json(path: Path) -> Any:
    return json.loads(path.read_text())


def _text(value: Any) -> str:
    """Text that is equal for equal values, also for tuples and the lists that they become in a file."""
    return json.dumps(value, sort_keys=True)
