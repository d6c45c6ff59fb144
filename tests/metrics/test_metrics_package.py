"""What holds for every module of `metrics/`: results that cannot be changed, and no import of ours."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from dataclasses import is_dataclass
from pathlib import Path

import pytest

import metrics

MODULES = sorted(module.name for module in pkgutil.walk_packages(metrics.__path__, "metrics."))


@pytest.mark.parametrize("name", MODULES)
def test_a_result_cannot_be_changed_after_it_was_computed(name: str) -> None:
    for one in vars(importlib.import_module(name)).values():
        if isinstance(one, type) and is_dataclass(one):
            assert one.__dataclass_params__.frozen, f"{one.__qualname__} is not frozen"  # type: ignore[attr-defined]


def test_metrics_import_nothing_of_the_other_packages() -> None:
    """So that a metric can be taken out and used alone."""
    for path in Path(metrics.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names}.isdisjoint({"bench", "methods"}), path.name
