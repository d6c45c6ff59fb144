"""The command that makes a cell, from its specification; and whether it still does."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.core.errors import BenchError
from bench.reporting.page.collect import Results, StoredCell
from bench.spec.methods import layers, resolve_methods
from bench.spec.presets import get_preset
from bench.spec.protocols import PROTOCOLS
from bench.spec.run_spec import Budget, RunSpec, config_values, flat_values, parse_overrides, resolve_config

FOLDER = "FOLDER"
"""Stands for what is not recorded: where the images lay."""
CHECKPOINT = "CHECKPOINT"
"""Stands for what is not recorded: where the checkpoint lay."""
PROGRAM = ("python", "-m", "bench")


@dataclass(frozen=True)
class Made:
    """How the cells of one row were made."""

    row: str
    commands: tuple[str, ...]
    """To be typed, one after the other."""
    cells: tuple[tuple[int, str, str], ...]
    """(seed, identity, state) of each."""
    remarks: tuple[str, ...]
    """What has to be put in, or what stands in the way of the same identity; none: the command makes these cells."""


def made(results: Results) -> list[Made]:
    """One entry for each row."""
    return [_of_row(results, row.cells) for row in results.rows.values()]


def spec_of(cell: StoredCell) -> RunSpec:
    """The specification as it was stored."""
    names = RunSpec.__dataclass_fields__
    values = {key: value for key, value in cell.spec.items() if key in names}
    return RunSpec(**{**values, "domains": tuple(values["domains"]), "budget": Budget(**values["budget"])})


def _of_row(results: Results, cells: Sequence[StoredCell]) -> Made:
    first = spec_of(cells[0])
    overrides, remarks = _overrides(results, first)
    words = ["run" if results.trained else "evaluate", "--task", first.task, "--methods", first.method]
    words += ["--preset", first.preset, *_data(results, first, remarks)]
    if results.trained:
        words += ["--seeds", ",".join(str(cell.seed) for cell in cells), *_budget(results, first)]
    else:
        words += ["--weights", CHECKPOINT]
        remarks.append(f"{CHECKPOINT}: the published checkpoint of identity {first.weights}, or several NETWORK=FILE")
    words += [word for text in overrides for word in ("--set", text)]
    words += _protocols(results, cells)
    commands = [shlex.join([*PROGRAM, *words]), *_other_styles(results, cells, remarks)]
    return Made(
        cells[0].row,
        tuple(commands),
        tuple((cell.seed, str(cell.spec["identity"]), cell.state) for cell in cells),
        tuple(remarks),
    )


def _data(results: Results, spec: RunSpec, remarks: list[str]) -> list[str]:
    if spec.data_kind != "real":
        return ["--data", spec.data_kind]
    if results.task.name != "folder" and spec.domains == results.task.domains:
        return []  # auto: the files of the task, where all are there
    remarks.append(f"{FOLDER}: where the images lie; it must give the data version {spec.data_version}")
    return ["--data", FOLDER, "--domains", ",".join(spec.domains)]


def _budget(results: Results, spec: RunSpec) -> list[str]:
    usual = Budget("images", get_preset(spec.preset, results.task.kind).images)
    return [] if spec.budget == usual else ["--budget", str(spec.budget)]


def _protocols(results: Results, cells: Sequence[StoredCell]) -> list[str]:
    """Those that are measured only where they are named."""
    usual = get_preset(cells[0].spec["preset"], results.task.kind).evaluation.protocols
    measured = {r["protocol"] for cell in cells for score in cell.scores.values() for r in score["records"]}
    named = [name for name, of in PROTOCOLS.items() if of.on_request and name in measured and name not in usual]
    return ["--protocols", ",".join(named)] if named else []


def _overrides(results: Results, spec: RunSpec) -> tuple[list[str], list[str]]:
    """(`method.key=value` of each setting that the preset would not give, what stands in the way)."""
    stored = flat_values(dict(spec.config))
    try:
        classes, broken = resolve_methods([spec.method])
        cls = classes.get(spec.method)
        if cls is None:
            return [], [f"{spec.method} cannot be imported here ({broken[spec.method]}): its settings are not compared"]
        preset = get_preset(spec.preset, results.task.kind)
        given = list(layers(cls, spec.method, preset, {}, spec.data_kind))
        usual = flat_values(_with_clusters(results, config_values(resolve_config(cls, spec.method, *given))))
        texts = [
            f"{spec.method}.{key}={as_typed(value)}"
            for key, value in stored.items()
            if key not in usual or usual[key] != value
        ]
        own = parse_overrides(texts).get(spec.method, {})
        config = _with_clusters(results, config_values(resolve_config(cls, spec.method, *given, own)))
    except BenchError as error:
        return [], [f"this version cannot make these cells again: {error.what}"]
    again = replace(spec, config=config, method_version=cls.version)
    return texts, [] if again.identity() == spec.identity() else [_difference(spec, again)]


def as_typed(value: Any) -> str:
    """A setting's value as `--set` reads it."""
    return value if isinstance(value, str) else json.dumps(value)


def _with_clusters(results: Results, config: Mapping[str, Any]) -> dict[str, Any]:
    """As `bench.spec.methods.with_clusters`, where the classes are known."""
    number = len(results.task.classes or results.classes)
    return {**config, "clusters": number} if number and config.get("clusters") == 0 else dict(config)


def _difference(stored: RunSpec, again: RunSpec) -> str:
    if stored.method_version != again.method_version:
        return (
            f"made by version {stored.method_version} of {stored.method}; installed here is version "
            f"{again.method_version}, so the command makes another cell"
        )
    old, new = flat_values(dict(stored.config)), flat_values(dict(again.config))
    keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    return f"this version has other settings ({', '.join(keys)}), so the command makes another cell"


def _other_styles(results: Results, cells: Sequence[StoredCell], remarks: list[str]) -> list[str]:
    """An `evaluate` for each style source beside the method's own."""
    styles = sorted({style for cell in cells for style in cell.scores})
    if len(styles) < 2:
        return []
    spec = spec_of(cells[0])
    try:
        classes, _ = resolve_methods([spec.method])
        own = (classes[spec.method].style_sources or ("none",))[0]
    except (BenchError, KeyError):
        return []
    words = ["evaluate", "--task", spec.task, "--methods", spec.method, "--preset", spec.preset]
    words += _data(results, spec, [])
    return [shlex.join([*PROGRAM, *words, "--style", style]) for style in styles if style != own]
