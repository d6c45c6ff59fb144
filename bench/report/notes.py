"""What the numbers do not say, and what they were made with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.leaderboard import DATA_WARNING, PRESET_WARNING
from bench.presets import STAND_IN
from bench.protocol import PROTOCOLS, Protocol
from bench.report.collect import Setting, StoredCell
from bench.report.entries import reason

SMALL_N = 500
"""Below so many images most of a Fréchet distance is bias."""


def banner(setting: Setting) -> list[str]:
    """Why no number of this setting may stand beside the paper's; empty for published settings on real data."""
    found = []
    if setting.data_kind != "real":
        found.append(f"{setting.data_kind} data: {DATA_WARNING.get(setting.data_kind, 'not comparable')}")
    if not setting.trained:
        found.append(
            "given checkpoints, scored and not trained here: what they were trained on and for how long is theirs"
        )
    elif setting.preset != "paper":
        found.append(f"preset {setting.preset}: {PRESET_WARNING.get(setting.preset, 'not comparable with the paper')}")
    return found


def failures(setting: Setting) -> list[str]:
    """One line for each failed cell."""
    return [f"{c.row} seed {c.seed}: {reason(c.status)}" for c in setting.cells if c.state == "failed"]


def unfinished(setting: Setting) -> list[str]:
    """One line for each cell that is neither done nor failed."""
    return [f"{c.row} seed {c.seed}: {c.state}" for c in setting.cells if c.state not in ("done", "failed")]


def remarks(setting: Setting) -> list[str]:
    """What methods said of their own cells."""
    return [f"{cell.row} seed {cell.seed}: {'; '.join(cell.remarks)}" for cell in setting.cells if cell.remarks]


def caveats(setting: Setting) -> list[str]:
    """How far the numbers of this setting reach."""
    return [*_about_seeds(setting), *_about_images(setting), *_about_methods(setting), *_not_measured(setting)]


def _about_seeds(setting: Setting) -> Iterator[str]:
    most = max(sum(bool(cell.scores) for cell in setting.of_row(row)) for row in setting.rows)
    if most <= 1:
        yield "One training of each method: nothing here says how another one would come out."
    else:
        yield (
            f"Up to {most} trainings of a method. With 2 or 3 seeds only large differences can be told from chance: "
            "look at the spread, not at the order alone."
        )


def _about_images(setting: Setting) -> Iterator[str]:
    scored = [record for record in setting.records if record.value is not None]
    distances = [record for record in scored if record.metric in ("fid", "kid")]
    fewest = min((record.n for record in distances), default=SMALL_N)
    if fewest < SMALL_N:
        yield (
            f"Fréchet distances of {fewest} images (the smallest set here) are mostly bias: compare them at equal n "
            "only, and with KID and the floor beside them."
        )
    if distances and all(record.floor is None for record in distances):
        yield (
            "These records have no floors or intervals: an earlier version scored them. To score them again without "
            f"training: python -m bench evaluate --task {setting.task.name}"
        )
    for direction in setting.directions:
        ceilings = {record.on_real for record in setting.of(direction) if record.metric == "accuracy"}
        for value in sorted(ceiling for ceiling in ceilings if ceiling is not None):
            yield (
                f"{direction}: the judge is right on {value:.2f} % of real test images. It cannot see what it did not "
                "learn, and a translation accuracy says nothing about looks."
            )


def _about_methods(setting: Setting) -> Iterator[str]:
    weak = list(dict.fromkeys(cell.row for cell in setting.cells if cell.weak))
    if weak:
        yield f"{', '.join(weak)}: weakly supervised (*), so not on an equal footing with the others."
    names = ", ".join(dict.fromkeys(cell.row for cell in setting.cells if STAND_IN in cell.pretrained))
    if names:
        yield f"{names}: the weights called {STAND_IN} are a small network trained with labels on other drawn classes."
    machines = {json.dumps(_machine(cell), sort_keys=True) for cell in setting.cells if cell.environment}
    if len(machines) > 1:
        yield "The cells were trained on different machines: their seconds do not compare."


def _not_measured(setting: Setting) -> Iterator[str]:
    missing: dict[str, dict[str, None]] = {}
    for record in setting.records:
        if record.value is None and record.missing:
            missing.setdefault(record.missing, {})[record.protocol] = None
    for why, names in missing.items():
        yield f"Not measured in some cells: {', '.join(names)} ({why})."
    unknown = [name for name in dict.fromkeys(record.protocol for record in setting.records) if name not in PROTOCOLS]
    if unknown:
        yield f"Not shown, because this version does not know these protocols: {', '.join(unknown)}."


def protocols(setting: Setting) -> list[Protocol]:
    """Those of the records, in the order of PROTOCOLS."""
    named = {record.protocol for record in setting.records}
    return [protocol for name, protocol in PROTOCOLS.items() if name in named]


# --------------------------------------------------------------------------------------------------- environment


@dataclass(frozen=True)
class Environment:
    """What some cells were made with."""

    cells: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    doctor: str
    """What `bench doctor` found in these cells, in a line."""
    unwell: tuple[str, ...]
    """The checks that failed."""


def environments(setting: Setting) -> list[Environment]:
    """One for each set of cells that were made with the same versions on the same machine."""
    groups: dict[str, list[StoredCell]] = {}
    for cell in setting.cells:
        known = {key: value for key, value in cell.environment.items() if key != "doctor"}
        doctor = {key: value for key, value in cell.doctor.items() if key != "versions"}
        groups.setdefault(json.dumps([known, doctor], sort_keys=True), []).append(cell)
    return [_environment(cells) for cells in groups.values()]


def _environment(cells: list[StoredCell]) -> Environment:
    known, doctor = cells[0].environment, cells[0].doctor
    source = known.get("source") if isinstance(known.get("source"), dict) else None
    facts = [(name, known.get(name)) for name in ("device", "processor", "cores", "system", "python")]
    if source:
        changed = " (with changes that are not committed)" if source.get("changed") else ""
        facts.append(("source revision", f"{source.get('revision')}{changed}"))
    packages = known.get("packages") if isinstance(known.get("packages"), dict) else {}
    failed = [entry for entry in doctor.get("failed", []) if isinstance(entry, dict)]
    return Environment(
        tuple(f"{cell.row} seed {cell.seed}" for cell in cells),
        tuple((name, str(value)) for name, value in facts if value is not None),
        tuple((str(name), str(version or "not installed")) for name, version in sorted((packages or {}).items())),
        f"{doctor['passed']} of {doctor['checks']} checks passed" if "checks" in doctor else
        "not recorded: these cells are older than bench doctor",
        tuple(f"{entry.get('name')}: expected {entry.get('expected')}, got {entry.get('got')}" for entry in failed),
    )  # fmt: skip


def _machine(cell: StoredCell) -> dict[str, Any]:
    return {key: cell.environment.get(key) for key in ("processor", "cores", "device")}
