"""Layouts of the field's data sets that are not `<domain>/<class>/`: recognised, and refused with what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.core.errors import BenchError

SPLIT_NAMES = ("train", "val", "valid", "validation", "test")
SPLIT_AND_DOMAIN = re.compile(f"({'|'.join(SPLIT_NAMES)})_?[AB]", re.IGNORECASE)
"""Such as trainA and testB, in which CycleGAN's data sets come."""
REMEDY = "put the images into ROOT/<domain>/<class>/: test images are chosen from them by content, not by folder"
NO_CLASSES = (
    "images without classes cannot be used (accuracy and the judge need them): sort them into <domain>/<class>/"
)


def refuse_splits(root: Path, domains: Sequence[str], folders: Callable[[Path], list[str]]) -> None:
    """Raise BenchError where all `domains` of `root`, or all folders in them, are called like splits.

    `folders` lists the folders in a folder. Read as domains, a training and a test set would be trained on each other.
    """
    names = " and ".join(domains)
    if all(SPLIT_AND_DOMAIN.fullmatch(name) for name in domains):
        raise BenchError(f"{root} has the layout trainA, trainB, testA, testB ({names}): no classes", NO_CLASSES)
    inside = [folders(root / domain) for domain in domains]
    below = _some(sorted({name for listed in inside for name in listed}))
    if all(is_split(name) for name in domains):
        raise BenchError(
            f"{root} can be read in two ways: domains, {names}, with the classes {below}; "
            f"or splits, {names}, of the domains {below}",
            f"if they are domains, rename them; if they are splits, {REMEDY}",
        )
    if all(listed and all(is_split(name) for name in listed) for listed in inside):
        raise BenchError(
            f"{root} can be read in two ways: domains with the classes {below}; "
            f"or domains with splits of their own, {below}",
            f"if they are classes, rename them; if they are splits, {REMEDY}",
        )


def is_split(name: str) -> bool:
    """Whether a folder's name is that of a split, in any case."""
    return name.lower() in SPLIT_NAMES


def _some(names: Sequence[str]) -> str:
    return (", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")) or "(none)"
