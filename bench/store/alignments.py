"""What `bench semantics` stored: how well the clusters of a stage align with the classes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.store.cell import ALIGNMENT
from bench.store.query import Setting


class Aligned(NamedTuple):
    """One stage of one seed."""

    setting: Setting
    """Without a budget: stages have none."""
    method: str
    config: Mapping[str, Any]
    """Every setting of the method whose chain it is."""
    stage: str
    seed: int
    accuracies: Mapping[tuple[str, str], tuple[float, int]]
    """(domain, split) -> cluster-alignment accuracy (eq. 14) in percent, number of images."""
    folder: str


def read_alignments(root: Path, task: str) -> Iterator[Aligned]:
    """Every stage of `task` that was measured, by folder.

    Files without their setting, as older versions wrote them, and damaged ones are passed over: they belong to no
    table.
    """
    for path in sorted((root / "semantics" / task).glob(f"*/{ALIGNMENT}")):
        try:
            yield _aligned(path)
        except (OSError, KeyError, TypeError, ValueError):
            continue


def _aligned(path: Path) -> Aligned:
    stored = json.loads(path.read_text())
    rows = stored["alignment"]
    return Aligned(
        Setting(stored["data_kind"], stored["data_version"], stored["image_size"], stored["preset"], ""),
        stored["method"],
        stored["config"],
        rows[0]["stage"],
        rows[0]["seed"],
        {(row["domain"], row["split"]): (100 * row["accuracy"], row["n"]) for row in rows},
        path.parent.name,
    )
