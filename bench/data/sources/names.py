"""Names of domains and classes: which ones files, tables and terminals can hold."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from bench.core.errors import BenchError, results_or_errors
from bench.spec.protocols import ALL

LONGEST_PAIR = 180
"""Bytes of both domains' names together: files are named after both, and a name has at most 255 bytes."""


def printable(path: Path | str) -> str:
    """The path as text for a terminal or a file: what is not UTF-8 becomes a replacement character."""
    return os.fsencode(path).decode("utf-8", "replace")


def check_names(root: Path, domains: Iterable[str], classes: Iterable[Path]) -> None:
    """Raise one BenchError that names every domain of `root` and every class folder whose name cannot be used."""
    if printable(root) != str(root):
        raise BenchError(f"the path {printable(root)} is not UTF-8", "rename the folder, or give a link to it")
    results_or_errors([*(root / name for name in domains), *classes], _check_name)
    results_or_errors([path for path in classes if path.name == ALL], _refuse_all)
    results_or_errors(_same_in_two_forms([*classes]), _refuse_forms)


def check_pair(root: Path, first: str, second: str) -> None:
    """Raise BenchError for two domains after which no files or directions can be named."""
    size = len(os.fsencode(first)) + len(os.fsencode(second))
    if size > LONGEST_PAIR:
        raise BenchError(
            f"the names of the domains in {root} have {size} bytes together: {first}, {second}",
            f"rename them: files are named after both, which leaves {LONGEST_PAIR} bytes",
        )
    if f"{first}2{second}" == f"{second}2{first}":
        raise BenchError(
            f"files of both directions would have one name: {first}2{second}",
            f"rename {root / first} or {root / second}",
        )


def one_name(first: str, second: str) -> bool:
    """Whether two names are one in two Unicode forms (composed and decomposed letters)."""
    return first != second and unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second)


def spelled(name: str) -> str:
    """The name with its letters beyond ASCII as code points: two Unicode forms look alike otherwise."""
    return name.encode("unicode_escape").decode("ascii")


def _check_name(path: Path) -> None:
    name = path.name
    if printable(name) != name:
        raise BenchError(
            f"the name of the folder {printable(path)} is not UTF-8",
            "rename it (convmv renames whole trees: convmv -r -f latin1 -t utf8 --notest FOLDER)",
        )
    if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name):
        raise BenchError(f"the name of the folder {spelled(str(path))} holds control characters", "rename it")
    if "->" in name:
        raise BenchError(f"the name of the folder {path} holds '->', which separates domains in results", "rename it")


def _refuse_all(path: Path) -> None:
    raise BenchError(
        f"a class cannot be called '{ALL}': {path}", f"rename it; '{ALL}' stands for all classes in results"
    )


def _same_in_two_forms(folders: list[Path]) -> list[tuple[Path, Path]]:
    return [
        (first, second)
        for number, first in enumerate(folders)
        for second in folders[number + 1 :]
        if first.parent == second.parent and one_name(first.name, second.name)
    ]


def _refuse_forms(folders: tuple[Path, Path]) -> None:
    raise two_forms(*folders)


def two_forms(first: Path, second: Path) -> BenchError:
    """The error for two folders whose names are one in two Unicode forms."""
    return BenchError(
        f"{first} and {second} spell one name in two Unicode forms: '{spelled(first.name)}', '{spelled(second.name)}'",
        f"give both the same name (convmv -r -f utf8 -t utf8 --nfc --notest {first.parent.parent})",
    )
