"""What the numbers do not say, and what they were made with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.reporting.page.collect import PageResults, StoredCell
from bench.reporting.setting import GIVEN_WARNING, PRESET_WARNING, setting_command, setting_data_warning
from bench.spec.data_kinds import REAL, is_real_data_kind
from bench.spec.presets import STAND_IN
from bench.spec.protocols import ALL, PROTOCOLS, Protocol

SMALL_N = 500
"""Below so many images most of a Fréchet distance is bias."""


def banner_notes(results: PageResults) -> list[str]:
    """Why no number of this setting may stand beside the paper's; empty for published settings on real data."""
    kind, preset = results.setting.data_kind, results.setting.preset
    reasons = []
    if kind != REAL:
        reasons.append(f"{'real' if is_real_data_kind(kind) else kind} data: {setting_data_warning(kind)}")
    if not results.trained:
        reasons.append(GIVEN_WARNING)
    elif preset != "paper":
        reasons.append(f"preset {preset}: {PRESET_WARNING.get(preset, 'not comparable with the paper')}")
    return reasons


def failure_notes(results: PageResults) -> list[str]:
    """One line for each failed cell, with the step."""
    return [f"{cell.name}: {_reason(cell)}" for cell in results.cells if cell.state == "failed"]


def _reason(cell: StoredCell) -> str:
    step = cell.status.get("step")
    return f"{cell.status.get('reason', 'no reason recorded')}" + (f" (step {step})" if step is not None else "")


def unfinished_notes(results: PageResults) -> list[str]:
    """One line for each cell that is neither done nor failed, and for each that cannot be read."""
    waiting = [f"{cell.name}: {cell.state}" for cell in results.cells if cell.state not in ("done", "failed")]
    return waiting + [f"left out: {complaint}" for complaint in results.records.columns.complaints]


def remark_notes(results: PageResults) -> list[str]:
    """What methods said of their own cells."""
    return [f"{cell.name}: {'; '.join(cell.remarks)}" for cell in results.cells if cell.remarks]


def caveat_notes(results: PageResults) -> list[str]:
    """How far the numbers of this setting reach."""
    return [*_about_seeds(results), *_about_images(results), *_about_methods(results), *_not_measured(results)]


def _about_seeds(results: PageResults) -> Iterator[str]:
    most = max(sum(bool(cell.scores) for cell in row.cells) for row in results.rows.values())
    if most <= 1:
        yield "One training of each method: nothing here says how another one would come out."
    else:
        yield (
            f"Up to {most} trainings of a method. With 2 or 3 seeds only large differences can be told from chance: "
            "look at the spread, not at the order alone."
        )


def _about_images(results: PageResults) -> Iterator[str]:
    metric = {name: protocol.metric for name, protocol in PROTOCOLS.items()}
    distances = [
        measurement
        for _, name, _, measurement in results.measurements()
        if metric.get(name) in ("fid", "kid") and measurement.values
    ]
    fewest = min((measurement.counts[0] for measurement in distances if measurement.counts), default=SMALL_N)
    if fewest < SMALL_N:
        yield (
            f"Fréchet distances of {fewest} images (the smallest set here) are mostly bias: compare them at equal n "
            "only, and with KID and the floor beside them."
        )
    if distances and not any(measurement.floors for measurement in distances):
        yield (
            "These records have no floors or intervals: an earlier version scored them. To score them again without "
            f"training: {setting_command('evaluate', task=results.task.name)}"
        )
    ceilings = {
        (direction, value)
        for direction, name, label, measurement in results.measurements()
        if metric.get(name) == "accuracy" and label == ALL
        for value in measurement.on_real
    }
    for direction, value in sorted(ceilings):
        yield (
            f"{direction}: the judge is right on {value:.2f} % of real test images. It cannot see what it did not "
            "learn, and a translation accuracy says nothing about looks."
        )


def _about_methods(results: PageResults) -> Iterator[str]:
    weak = [row.name for row in results.rows.values() if row.weak]
    if weak:
        yield f"{', '.join(weak)}: weakly supervised (*), so not on an equal footing with the others."
    names = ", ".join(dict.fromkeys(cell.row for cell in results.cells if STAND_IN in cell.pretrained))
    if names:
        yield f"{names}: the weights called {STAND_IN} are a small network trained with labels on other drawn classes."
    machines = {json.dumps(_machine(cell), sort_keys=True) for cell in results.cells if cell.environment}
    if len(machines) > 1:
        yield "The cells were trained on different machines: their seconds do not compare."


def _not_measured(results: PageResults) -> Iterator[str]:
    yield from (f"{text[0].upper()}{text[1:]}." for text in results.records.left_out)
    missing: dict[str, dict[str, None]] = {}
    for _, protocol, _, measurement in results.measurements():
        for why in measurement.reasons:
            missing.setdefault(why, {})[protocol] = None
    for why, names in missing.items():
        yield f"Not measured in some cells: {', '.join(names)} ({why})."
    if results.unknown_protocols:
        unknown = ", ".join(results.unknown_protocols)
        yield f"Not shown, because this version does not know these protocols: {unknown}."


def protocol_notes(results: PageResults) -> list[Protocol]:
    """The protocols of the records, in the order of PROTOCOLS."""
    named = {protocol for _, protocol, _, _ in results.measurements()}
    return [protocol for name, protocol in PROTOCOLS.items() if name in named]


# --------------------------------------------------------------------------------------------------- environment


@dataclass(frozen=True)
class EnvironmentNote:
    """What some cells were made with."""

    cells: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    doctor: str
    """What `bench doctor` found in these cells, in a line."""
    unwell: tuple[str, ...]
    """The checks that failed."""


def environment_notes(results: PageResults) -> list[EnvironmentNote]:
    """One for each set of cells that were made with the same versions on the same machine."""
    groups: dict[str, list[StoredCell]] = {}
    for cell in results.cells:
        known = {key: value for key, value in cell.environment.items() if key != "doctor"}
        doctor = {key: value for key, value in cell.doctor.items() if key != "versions"}
        groups.setdefault(json.dumps([known, doctor], sort_keys=True), []).append(cell)
    return [_environment(cells) for cells in groups.values()]


def _environment(cells: list[StoredCell]) -> EnvironmentNote:
    known, doctor = cells[0].environment, cells[0].doctor
    source = known.get("source") if isinstance(known.get("source"), dict) else None
    facts = [(name, known.get(name)) for name in ("device", "processor", "cores", "system", "python")]
    if source:
        changed = " (with changes that are not committed)" if source.get("changed") else ""
        facts.append(("source revision", f"{source.get('revision')}{changed}"))
    packages = known.get("packages") if isinstance(known.get("packages"), dict) else {}
    failed = [entry for entry in doctor.get("failed", []) if isinstance(entry, dict)]
    return EnvironmentNote(
        tuple(cell.name for cell in cells),
        tuple((name, str(value)) for name, value in facts if value is not None),
        tuple((str(name), str(version or "not installed")) for name, version in sorted((packages or {}).items())),
        f"{doctor['passed']} of {doctor['checks']} checks passed" if "checks" in doctor else
        "not recorded: these cells are older than bench doctor",
        tuple(f"{entry.get('name')}: expected {entry.get('expected')}, got {entry.get('got')}" for entry in failed),
    )  # fmt: skip


def _machine(cell: StoredCell) -> dict[str, Any]:
    return {key: cell.environment.get(key) for key in ("processor", "cores", "device")}
