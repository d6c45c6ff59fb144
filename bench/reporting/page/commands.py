"""The command that makes a cell, from its specification; and whether it still does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.core.errors import BenchError
from bench.reporting.page.collect import PageResults, StoredCell
from bench.reporting.setting import FOLDER, setting_command, usual_setting_budget
from bench.spec.data_kinds import REAL, data_kind_note
from bench.spec.presets import get_preset
from bench.spec.protocols import PROTOCOLS
from bench.spec.run_spec import GIVEN_IMAGES, Budget, RunSpec, flat_spec_values, spec_overrides
from bench.store.preset_match import PresetMethod, preset_method, preset_mismatches

CHECKPOINT = "CHECKPOINT"
"""Stands for what is not recorded: where the checkpoint lay."""


@dataclass(frozen=True)
class RowCommands:
    """How the cells of one row were made."""

    row: str
    commands: tuple[str, ...]
    """What to type, one after the other."""
    cells: tuple[tuple[int, str, str], ...]
    """(seed, identity, state) of each."""
    remarks: tuple[str, ...]
    """What has to be put in, or what stands in the way of the same identity; none: the command makes these cells."""


def row_commands(results: PageResults) -> list[RowCommands]:
    """One entry for each row."""
    return [_of_row(results, row.cells) for row in results.rows.values()]


def spec_for_commands(cell: StoredCell) -> RunSpec:
    """The specification as it was stored."""
    names = RunSpec.__dataclass_fields__
    values = {key: value for key, value in cell.spec.items() if key in names}
    return RunSpec(**{**values, "domains": tuple(values["domains"]), "budget": Budget(**values["budget"])})


def _of_row(results: PageResults, cells: Sequence[StoredCell]) -> RowCommands:
    first = spec_for_commands(cells[0])
    if first.weights == GIVEN_IMAGES:
        return _of_images(results, cells, first)
    overrides, remarks = _overrides(results, first)
    options: dict[str, object] = {"task": first.task, "methods": first.method, "preset": first.preset}
    options |= _data(results, first, remarks)
    if results.trained:
        options |= {"seeds": ",".join(str(cell.seed) for cell in cells), "budget": _budget(results, first)}
    else:
        options["weights"] = CHECKPOINT
        remarks.append(f"{CHECKPOINT}: the published checkpoint of identity {first.weights}, or several NETWORK=FILE")
    options |= {"set": overrides, "protocols": ",".join(_protocols(results, cells))}
    commands = [setting_command("run" if results.trained else "evaluate", **options), *_other_styles(results, cells)]
    return RowCommands(
        cells[0].row,
        tuple(commands),
        tuple((cell.seed, str(cell.spec["identity"]), cell.state) for cell in cells),
        tuple(remarks),
    )


def _of_images(results: PageResults, cells: Sequence[StoredCell], spec: RunSpec) -> RowCommands:
    remarks = ["IMAGES: the folder or array that was given"]
    options = {"task": spec.task, "name": spec.method, "preset": spec.preset, **_data(results, spec, remarks)}
    typed = setting_command("score", "IMAGES", **options, protocols=",".join(_protocols(results, cells)))
    identities = tuple((cell.seed, str(cell.spec["identity"]), cell.state) for cell in cells)
    return RowCommands(cells[0].row, (typed,), identities, tuple(remarks))


def _data(results: PageResults, spec: RunSpec, remarks: list[str]) -> dict[str, str]:
    """`--data` and `--domains`; none for the task's own files."""
    if other := data_kind_note(spec.data_kind):
        remarks.append(f"{FOLDER}: where the files lie ({other}; data version {spec.data_version})")
        return {"data": FOLDER}
    if spec.data_kind != REAL:
        return {"data": spec.data_kind}
    if results.task.name != "folder" and spec.domains == results.task.domains:
        return {}  # auto: the files of the task, where all are there
    remarks.append(f"{FOLDER}: where the images lie; it must give the data version {spec.data_version}")
    return {"data": FOLDER, "domains": ",".join(spec.domains)}


def _budget(results: PageResults, spec: RunSpec) -> str:
    """`--budget`; empty for the preset's own."""
    return "" if str(spec.budget) == usual_setting_budget(spec.preset, results.task) else str(spec.budget)


def _protocols(results: PageResults, cells: Sequence[StoredCell]) -> list[str]:
    """The protocols that are measured only where they are named."""
    usual = get_preset(cells[0].spec["preset"], results.task.kind).evaluation.protocols
    measured = {r["protocol"] for cell in cells for score in cell.scores.values() for r in score["records"]}
    return [
        name for name, protocol in PROTOCOLS.items() if protocol.on_request and name in measured and name not in usual
    ]


def _overrides(results: PageResults, spec: RunSpec) -> tuple[list[str], list[str]]:
    """(`method.key=value` of each setting that the preset would not give, what stands in the way)."""
    stored = flat_spec_values(dict(spec.config))
    where = results.task, spec.preset, spec.data_kind, spec.method
    classes = len(results.classes)
    try:
        usual = preset_method(*where, classes=classes)
        differing = preset_mismatches(spec.config, usual.config, usual.later)
        known = {*stored, *usual.later}
        texts = [f"{spec.method}.{key}={as_typed(value)}" for key, (value, _) in differing.items() if key in known]
        changes = spec_overrides(texts).get(spec.method, {})
        again = preset_method(*where, changes, classes)
    except BenchError as error:
        return [], [f"this version cannot make these cells again: {error.what}"]
    same = replace(spec, config=again.config, method_version=again.version).identity() == spec.identity()
    return texts, [] if same else [_difference(spec, again)]


def as_typed(value: Any) -> str:
    """A setting's value as `--set` reads it."""
    return value if isinstance(value, str) else json.dumps(value)


def _difference(stored: RunSpec, again: PresetMethod) -> str:
    if stored.method_version != again.version:
        return (
            f"made by version {stored.method_version} of {stored.method}; installed here is version "
            f"{again.version}, so the command makes another cell"
        )
    keys = ", ".join(preset_mismatches(stored.config, again.config, again.later))
    return f"this version has other settings ({keys}), so the command makes another cell"


def _other_styles(results: PageResults, cells: Sequence[StoredCell]) -> list[str]:
    """An `evaluate` for each style source beside the method's own."""
    styles = sorted({style for cell in cells for style in cell.scores})
    if len(styles) < 2:
        return []
    spec = spec_for_commands(cells[0])
    try:
        usual = preset_method(
            results.task, spec.preset, spec.data_kind, spec.method, classes=len(results.classes)
        ).style
    except BenchError:
        return []
    options = {"task": spec.task, "methods": spec.method, "preset": spec.preset, **_data(results, spec, [])}
    return [setting_command("evaluate", **options, style=style) for style in styles if style != usual]
