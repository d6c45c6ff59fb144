"""The class and its settings, before anything is built."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.checks.conform.check import check_that, conform_check, source_files
from bench.checks.tiny_run import CandidateMethod
from bench.core.errors import BenchError
from bench.spec.run_spec import spec_config_from, spec_values
from methods.base import Translator

CALLS: dict[str, int] = {
    "__init__": 2, "draw": 3, "training_step": 1, "learning_rates": 1, "translate": 4, "prepare": 2,
}  # fmt: skip
"""Method -> positional arguments that the harness calls it with, `self` apart."""


@conform_check(
    "package.module:Class can be imported and is a subclass of methods.base.Translator", look="", sizes="none"
)
def declaring_importable(candidate: CandidateMethod) -> str:
    """Import it."""
    cls = candidate.cls
    return f"{cls.__module__}.{cls.__qualname__}"


@conform_check(
    "the class says what the contract asks for, and each method takes the arguments that the harness gives",
    look="", needs=("importable",), sizes="none",
)  # fmt: skip
def declaring_interface(candidate: CandidateMethod) -> str:
    """Look for what must be overridden, and bind the harness's positional calls."""
    cls = candidate.cls
    wanted = ("draw", "training_step", "learning_rates", "translate", "images_per_step")
    missing = [name for name in wanted if getattr(cls, name) is getattr(Translator, name)]
    check_that(not missing, f"not written: {', '.join(missing)}")
    check_that(isinstance(inspect.getattr_static(cls, "images_per_step"), property), "images_per_step is no property")
    check_that(hasattr(cls, "Config"), "there is no attribute Config")
    for name, count in CALLS.items():
        try:
            inspect.signature(getattr(cls, name)).bind(*range(count + 1))
        except TypeError as error:
            check_that(False, f"{name} cannot be called with {count} arguments: {error}", name)
    whole = isinstance(cls.version, int) and cls.version >= 1
    check_that(whole, f"version is {cls.version!r}, not a whole number from 1 on", "version")
    return f"version {cls.version}"


@conform_check(
    "Config is a frozen dataclass of JSON values, and every field has a default",
    look="Config", needs=("interface",), sizes="none",
)  # fmt: skip
def declaring_config(candidate: CandidateMethod) -> str:
    """Take them to JSON and back: they are part of a run's identity, so nobody may change them."""
    cls = candidate.cls.Config
    check_that(dataclasses.is_dataclass(cls), f"{cls.__name__} is no dataclass")
    params: Any = cls.__dataclass_params__  # type: ignore[attr-defined]
    check_that(params.frozen, f"{cls.__name__} is not frozen: write @dataclass(frozen=True)")
    fields = dataclasses.fields(cls)
    bare = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    check_that(not bare, f"without a default: {', '.join(bare)}")
    default = cls()
    again = spec_config_from(cls, spec_values(default))
    check_that(again == default, f"after conversion to JSON and back {default} is {again}")
    return f"{len(fields)} settings"


@conform_check(
    "every field of Config has a line of documentation below it, which a page about the method would show",
    look="Config", needs=("config",), sizes="none", advice=True,
)  # fmt: skip
def declaring_documentation(candidate: CandidateMethod) -> str:
    """Read the source."""
    cls = candidate.cls.Config
    fields = {field.name for field in dataclasses.fields(cls)}
    undocumented = sorted(fields - declared_fields_with_text(cls))
    check_that(not undocumented, f"without a line of documentation: {', '.join(undocumented)}")
    return f"{len(fields)} lines"


def declared_fields_with_text(cls: type) -> set[str]:
    """The fields of a dataclass (its bases included) that a string follows in the source."""
    names: set[str] = set()
    for owner in cls.__mro__:
        if not dataclasses.is_dataclass(owner):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(definition, ast.ClassDef)
        for field, following in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_text(following):
                names.add(field.target.id)
    return names


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@conform_check(
    "the values of the quick preset are settings of Config, of the right types and within its limits",
    look="quick", needs=("config",), sizes="none",
)  # fmt: skip
def declaring_quick_settings(candidate: CandidateMethod) -> str:
    """Resolve `quick` of the class, or what bench/spec/presets.py has for a built-in method."""
    try:
        candidate.config({})
    except BenchError as error:
        check_that(False, str(error).replace("\n", ";"))
    return "accepted"


@conform_check(
    "nothing of the method's package imports the harness (bench): from there it could reach labels and files",
    look="", needs=("importable",), sizes="none",
)  # fmt: skip
def declaring_no_harness(candidate: CandidateMethod) -> str:
    """Read the imports in the source of what is loaded of the package."""
    files = sorted(source_files(candidate.cls))
    for file in files:
        for line, name in declared_imports(Path(file)):
            check_that(name.partition(".")[0] != "bench", f"{file}:{line} imports {name}")
    return f"{len(files)} source files read"


def declared_imports(file: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of every import in a source file, those for type checkers apart."""
    if file.suffix != ".py":
        return
    tree = ast.parse(file.read_text())
    skipped = {id(node) for guard in ast.walk(tree) if _is_type_checking(guard) for node in ast.walk(guard)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
