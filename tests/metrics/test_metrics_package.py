"""What holds for every module of `metrics/`: results that cannot be changed, and no import of ours."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from dataclasses import is_dataclass
from pathlib import Path

import pytest

import metrics

INTERNAL = {"frechet_of_checked", "nuclear_norm", "frechet_sum", "kernel_blocks_within", "kernel_blocks_between"}
"""Public for `metrics.statistics.half_samples` alone."""
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


def test_the_page_of_functions_names_every_metric_and_nothing_else() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics" / "functions.md").read_text()
    listed: dict[str, set[str]] = {}
    for module, functions in re.findall(r"^\| (?:`([\w.]+)` )?\| (.+?) \|", page, re.MULTILINE):
        name = module or name  # noqa: F821 - a row without a module belongs to the one above
        listed.setdefault(f"metrics.{name}", set()).update(re.findall(r"`(\w+)`", functions))
    for module, names in listed.items():
        missing = [name for name in names if not hasattr(importlib.import_module(module), name)]
        assert not missing, f"{module} has no {', '.join(missing)}"
    for info in pkgutil.iter_modules(metrics.__path__):
        if not info.ispkg:
            module = f"metrics.{info.name}"
            public = {
                name
                for name, function in inspect.getmembers(importlib.import_module(module), inspect.isfunction)
                if function.__module__ == module and not name.startswith("_")
            }
            assert public - INTERNAL <= listed.get(module, set()), module
