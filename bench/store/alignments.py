"""What `bench semantics` stored: how well the clusters of a stage align with the classes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.store.cell import ALIGNMENT
from bench.store.query import Setting

CHAINED = "cats_udt"
"""The method whose semantic stages are measured."""
MEASURED_SPLIT = {"digits": "test", "pictures": "train"}
"""Kind of task -> the split whose clusters' accuracy stands beside the paper's: as in the authors' code."""


class Aligned(NamedTuple):
    """The measured alignment of one semantic stage of one seed."""

    setting: Setting
    """The setting, without a budget: stages have none."""
    method: str
    config: Mapping[str, Any]
    """Every setting of the method that the stage belongs to."""
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


def chain_accuracies_of_alignments(
    every: Iterable[Aligned], semantics: object
) -> dict[tuple[str, int], Mapping[tuple[str, str], tuple[float, int]]]:
    """(stage, seed) -> its `accuracies`, of the stages of CatS-UDT with the settings `semantics`.

    Of several of one stage and seed the last is taken: a stage of a newer version.
    """
    return {
        (aligned.stage, aligned.seed): aligned.accuracies
        for aligned in every
        if aligned.method == CHAINED and aligned.config["semantics"] == semantics
    }


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
