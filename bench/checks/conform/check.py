"""A check of a method, its outcome, and the place in the class to look at if it fails."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from methods import base
from methods.base import Translator
from methods.parts import checks

Sizes = Literal["none", "first", "all"]
Status = Literal["passed", "noted", "failed", "skipped"]


@dataclass(frozen=True)
class ConformCheck:
    """One thing that every method must do."""

    name: str
    """Unique; what `--only` takes."""
    expects: str
    """The sentence that must hold."""
    look: str
    """The attribute of the class that is to blame if it does not."""
    run: Callable[[Any], str]
    """Examines a `CandidateMethod` (sizes `none`) or a `ConformSubject`; returns what was seen, raises `Unmet` or
    anything else."""
    needs: tuple[str, ...] = ()
    """Checks without which this one says nothing."""
    sizes: Sizes = "all"
    """Run for the class, at the first image size, or at every size."""
    advice: bool = False
    """Whether it is no part of the contract: what it finds is a note, and keeps no other check from running."""


class Unmet(Exception):
    """Failure of a check: what it has seen, and the attribute of the class to look at, if not the check's own."""

    def __init__(self, seen: str, look: str = "") -> None:
        super().__init__(seen)
        self.seen, self.look = seen, look


@dataclass(frozen=True)
class ConformOutcome:
    """Result of one check; every field is a JSON value."""

    name: str
    """The check's."""
    size: int | None
    """Side of the images in pixels; None: it is about the class."""
    status: Status
    """`noted`: an advice that is not followed; `skipped`: a check that this one needs has failed."""
    expected: str
    """The sentence that must hold."""
    seen: str
    """Observation; for a skipped check, the reason."""
    look: str
    """Place in the class to look at, for a failed check or a note."""
    alone: str
    """Command that runs it alone, for a failed check or a note."""
    seconds: float
    """Duration."""


def conform_check(
    expects: str, look: str, needs: tuple[str, ...] = (), sizes: Sizes = "all", advice: bool = False
) -> Callable[[Callable[[Any], str]], ConformCheck]:
    """Make a check of a function, under the function's name without that of its file."""

    def decorated(run: Callable[[Any], str]) -> ConformCheck:
        topic = run.__module__.rpartition(".")[2]
        return ConformCheck(run.__name__.removeprefix(f"{topic}_"), expects, look, run, needs, sizes, advice)

    return decorated


def check_that(holds: bool, seen: str, look: str = "") -> None:
    """Raise Unmet with what was `seen` if it does not hold."""
    if not holds:
        raise Unmet(seen, look)


# ------------------------------------------------------------------------------------------------- where to look


def place_in_class(cls: type, attribute: str) -> str:
    """`Class.attribute (file:line)`, in the class that defines it; of `cls` itself if none but the base does."""
    for owner in cls.__mro__:
        value = vars(owner).get(attribute)
        if value is not None and not owner.__module__.startswith(("methods.base", "torch.")):
            break
    else:
        owner, value = cls, None
    label = f"{cls.__name__}.{attribute}" if attribute else cls.__name__
    if attribute and value is None:
        label = f"{cls.__name__}, which has no {attribute} of its own"
    for candidate in (_function(value), owner):
        try:
            file, line = inspect.getsourcefile(candidate), inspect.getsourcelines(candidate)[1]
        except (TypeError, OSError):  # a plain value has no source of its own, a class made at run time none at all
            continue
        return f"{label} ({_short(str(file))}:{line})"
    return label


def place_of_raise(error: BaseException, files: set[str]) -> str:
    """`file:line, in function` of the innermost frame that lies in `files`; empty if none does."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f"{_short(frames[-1].filename)}:{frames[-1].lineno}, in {frames[-1].name}" if frames else ""


def source_files(cls: type[Translator]) -> set[str]:
    """The source files of the class, of those it inherits from, and of what else is loaded of its package.

    Those of the contract are left out: they are never to blame.
    """
    packages = {owner.__module__.partition(".")[0] for owner in cls.__mro__ if owner not in Translator.__mro__}
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] in packages]
    files = {getattr(module, "__file__", None) for module in modules}
    return {file for file in files if file} - {base.__file__, checks.__file__}


def _function(value: Any) -> Any:
    if isinstance(value, property):
        return value.fget
    return inspect.unwrap(value.__func__ if isinstance(value, staticmethod | classmethod) else value)


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
