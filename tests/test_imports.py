"""The rule of layers: imports run downwards, and nothing goes round in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    ("core",),
    ("spec",),
    ("data", "store"),
    ("training", "evaluation"),
    ("runs", "reporting"),
    ("checks",),
    ("cli",),
)
"""A folder of bench/ imports from itself and from those of earlier places, never from others of its own place."""
LEVEL = {folder: level for level, folders in enumerate(LAYERS) for folder in folders}
FILES = {
    path: path.relative_to(ROOT)
    for top in ("bench", "methods", "metrics")
    for path in sorted((ROOT / top).rglob("*.py"))
}


def module_name(path: Path) -> str:
    """`bench.core.files` of `bench/core/files.py`; that of the folder of an `__init__.py`."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path) for path in FILES.values()}


def imported(source: str) -> Iterator[str]:
    """Every module of ours that `source` imports, inside functions and under TYPE_CHECKING, too."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in full]
        yield from (name for name in names if name in MODULES)


def allowed(importer: str, target: str) -> bool:
    """Whether `importer` may import `target`, both full names of modules."""
    (top, folder), (target_top, target_folder) = ([*name.split("."), ""][:2] for name in (importer, target))
    if target_top != "bench":
        return top in ("bench", target_top)
    if top != "bench":
        return False
    if folder not in LEVEL:  # bench/__init__.py, which offers cli/api.py to programs, and __main__.py
        return folder in ("", "__main__") and target_folder == "cli"
    return folder == target_folder or LEVEL.get(target_folder, len(LAYERS)) < LEVEL[folder]


def test_imports_run_downwards() -> None:
    wrong = [
        f"{name} imports {target}"
        for path, name in FILES.items()
        for target in imported(path.read_text())
        if not allowed(module_name(name), target)
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_goes_round_in_a_circle() -> None:
    graph = {module_name(name): {*imported(path.read_text())} - {module_name(name)} for path, name in FILES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_every_folder_has_its_place_and_the_house_stays_small() -> None:
    entries = {path.name for path in (ROOT / "bench").iterdir() if path.name != "__pycache__"}
    assert entries - {"__init__.py", "__main__.py"} == set(LEVEL)
    assert len(entries) <= 12
    inits = [
        name
        for path, name in FILES.items()
        if name.name == "__init__.py" and name.parts[0] == "bench" and len(name.parts) > 2 and path.read_text()
    ]
    assert not inits, "a folder's __init__.py is empty: --help reads them all"


@pytest.mark.parametrize(
    ("importer", "target", "right"),
    [
        ("bench.core.files", "bench.spec.tasks", False),
        ("bench.data.load", "bench.store.cell", False),
        ("bench.data.load", "bench.spec.tasks", True),
        ("bench.runs.run", "bench.reporting.compare", False),
        ("bench.cli.commands", "bench.runs.run", True),
        ("bench", "bench.cli.api", True),
        ("bench", "bench.runs.run", False),
        ("methods.munit", "bench.core.errors", False),
        ("metrics.frechet", "methods.base", False),
        ("bench.evaluation.judge", "metrics.frechet", True),
    ],
)
def test_the_rule(importer: str, target: str, right: bool) -> None:
    assert allowed(importer, target) == right


def test_lazy_and_typing_imports_are_seen() -> None:
    function = "def f():\n    from bench.core import files\n    import bench.spec.tasks\n"
    typing = "if TYPE_CHECKING:\n    from bench.store.cell import Cell\n"
    assert list(imported(function + typing)) == ["bench.core.files", "bench.spec.tasks", "bench.store.cell"]
