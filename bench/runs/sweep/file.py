"""Sweep files: which cells belong together. YAML, read as plain text: no tags, aliases, interpolation or code.

    summary: What lambda_sem does             # optional, for `sweep --list`
    task: mnist2svhn                          # see: list tasks
    preset: quick                             # one or a list; default quick
    data: auto                                # as for `run`, and so are `domains`, `val` and `budget`
    protocols: fid-pytorch-v1                 # one or a list, measured beside the usual ones
    seeds: [0, 1, 2]                          # default 0
    cells:
      - method: [cyclegan, cats_udt:no_sem]   # one or a list, each as for `run --methods`
      - method: cats_udt
        set: {batch_size: 16}                 # settings of the method, as for `run --set`, without its name
        grid: {lambda_sem: [0.5, 1, 2]}       # a cell for each combination of these, over `set`
        seeds: 0                              # instead of the file's
        preset: quick                         # only under this preset

`cells_of: figure3c`, in the place of `task` and `cells`, takes another shipped sweep's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import yaml

from bench.core.errors import BenchError, error_remedy
from bench.core.progress import say
from bench.spec.presets import PRESETS

SHIPPED = Path(__file__).parent
"""One file for each table and figure of the paper."""
MAX_BYTES = 65_536
MAX_DEPTH = 8
"""Of lists and mappings in each other; the format needs 5."""

KEYS = ("summary", "task", "preset", "data", "domains", "val", "budget", "protocols", "seeds", "cells", "cells_of")
ENTRY_KEYS = ("method", "set", "grid", "seeds", "preset")
# Narrow on purpose: such a text means the same to everybody who reads it later, and nothing to any interpreter.
SETTING = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)
VALUE = re.compile(r"[\w.+-]{0,100}", re.ASCII)
METHOD = re.compile(r"[A-Za-z_][\w.]*(:\w+)?", re.ASCII)
PROTOCOL = re.compile(r"[\w-]+", re.ASCII)
SEED = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class SweepEntry:
    """One item of `cells`."""

    methods: tuple[str, ...]
    """Names, as for `run --methods`."""
    settings: Mapping[str, str]
    """Setting -> value as text, for all cells of the entry."""
    grid: Mapping[str, tuple[str, ...]]
    """Setting -> values; every combination is a cell."""
    seeds: tuple[int, ...]
    """Empty: the file's."""
    presets: tuple[str, ...]
    """Only under these; empty: under any."""
    line: int
    """Where it begins in the file, from 1."""

    @property
    def combinations(self) -> int:
        """Number of combinations of the grid's values; 1 without a grid."""
        return math.prod(len(values) for values in self.grid.values())


@dataclass(frozen=True)
class SweepFile:
    """A sweep as it was written."""

    name: str
    """What the user calls it."""
    summary: str
    """One line."""
    task: str
    """Task name."""
    presets: tuple[str, ...]
    """Each entry runs under each of them."""
    data: str
    """As for `run`."""
    domains: str
    """As for `run`."""
    val: str
    """As for `run`."""
    budget: str
    """As for `run`; empty: the preset's."""
    protocols: tuple[str, ...]
    """Measured beside the usual ones."""
    seeds: tuple[int, ...]
    """Of all entries without their own."""
    entries: tuple[SweepEntry, ...]

    def chosen(
        self, presets: Sequence[str] = (), seeds: Sequence[int] = ()
    ) -> list[tuple[str, SweepEntry, tuple[int, ...]]]:
        """(preset, entry, seeds) of all that is to be run, with `presets` and `seeds` in place of the file's."""
        return [
            (preset, entry, tuple(seeds) or entry.seeds or self.seeds)
            for preset in dict.fromkeys(presets or self.presets)
            for entry in self.entries
            if not entry.presets or preset in entry.presets
        ]


def sweep_file_cells(chosen: Sequence[tuple[str, SweepEntry, tuple[int, ...]]]) -> int:
    """Number of cells in `chosen`, which `SweepFile.chosen` returned."""
    return sum(len(entry.methods) * entry.combinations * len(seeds) for _, entry, seeds in chosen)


# --------------------------------------------------------------------------------------------------------- finding


def shipped_sweeps() -> dict[str, Path]:
    """`table1`, ..., `figure12` -> file. Tables come first, for the paper has a table 3a and a figure 3a."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"), key=_paper_order)}


def _paper_order(path: Path) -> tuple[bool, int, str]:
    number = re.sub(r"\D", "", path.stem)
    return path.stem.startswith("figure"), int(number or 0), path.stem


def find_sweep_file(name: str) -> Path:
    """The shipped file called `name` (`table3a`, or `3a`), or the user's at the path `name`. Raises BenchError."""
    if Path(name).suffix in (".yaml", ".yml") or "/" in name or "\\" in name:
        if not Path(name).is_file():
            raise BenchError(f"there is no sweep file {name}", "give the path of a file, or a name of `sweep --list`")
        return Path(name)
    shipped = shipped_sweeps()
    named = [full for full in shipped if name in (full, full.removeprefix("table"), full.removeprefix("figure"))]
    if not named:
        raise BenchError(
            f"no shipped sweep is called '{name}'", error_remedy(name, list(shipped)) + "; or the path of a .yaml"
        )
    if len(named) > 1:
        say(f"{name} is {named[0]}; the other one: sweep {named[1]}")
    return shipped[named[0]]


def load_sweep(path: Path) -> SweepFile:
    """Read a sweep file. Raises BenchError, with file and line, for whatever is not as this module says."""
    reader = _Reader(path)
    top = reader.mapping(reader.node(), KEYS)
    return _borrowed(reader, top) if "cells_of" in top else reader.sweep(top)


def _borrowed(reader: _Reader, top: Mapping[str, yaml.Node]) -> SweepFile:
    """Another sweep's cells under this file's name."""
    if more := [key for key in top if key not in ("cells_of", "summary")]:
        reader.fail(top[more[0]], f"'{more[0]}' beside cells_of", "with cells_of there is a summary and nothing else")
    node, shipped = top["cells_of"], shipped_sweeps()
    name = reader.text(node)
    if name not in shipped:
        reader.fail(node, f"no shipped sweep is called '{name}'", error_remedy(name, list(shipped)))
    lender = _Reader(shipped[name])
    lent = lender.mapping(lender.node(), KEYS)
    if "cells_of" in lent:
        first = lender.text(lent["cells_of"])
        reader.fail(node, f"{name} has no cells of its own, but those of {first}", f"cells_of: {first}")
    return replace(lender.sweep(lent), name=reader.path.stem, summary=reader.summary(top))


# --------------------------------------------------------------------------------------------------------- reading


class _Reader:
    """Turns one file into a SweepFile, naming file and line in every error."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, where: yaml.Node | yaml.Event | None, what: str, remedy: str) -> NoReturn:
        line = "" if where is None else f", line {_line(where)}"
        raise BenchError(f"{self.path}{line}: {what}", remedy)

    def sweep(self, top: Mapping[str, yaml.Node]) -> SweepFile:
        """A file with cells of its own."""
        for key in ("task", "cells"):
            if key not in top:
                self.fail(None, f"'{key}' is missing", f"add {key}: ..., or cells_of: NAME alone")
        return SweepFile(
            name=self.path.stem,
            summary=self.summary(top),
            task=self.text(top["task"]),
            presets=self.presets(top["preset"]) if "preset" in top else ("quick",),
            data=self.text(top["data"]) if "data" in top else "auto",
            domains=self.text(top["domains"]) if "domains" in top else "",
            val=self.text(top["val"]) if "val" in top else "",
            budget=self.text(top["budget"]) if "budget" in top else "",
            protocols=self.unique(top["protocols"], PROTOCOL, "a protocol", "see: list protocols")
            if "protocols" in top
            else (),
            seeds=self.seeds(top["seeds"]) if "seeds" in top else (0,),
            entries=tuple(self.entry(node) for node in self.items(top["cells"])),
        )

    def summary(self, top: Mapping[str, yaml.Node]) -> str:
        """The sweep's summary, or an empty text."""
        return self.text(top["summary"]) if "summary" in top else ""

    def entry(self, node: yaml.Node) -> SweepEntry:
        """One item of `cells`."""
        parts = self.mapping(node, ENTRY_KEYS)
        if "method" not in parts:
            self.fail(node, "'method' is missing", "add method: NAME; see: list methods")
        settings = {key: self.value(value) for key, value in self.settings(parts.get("set")).items()}
        grid = {key: self.values(value) for key, value in self.settings(parts.get("grid")).items()}
        if both := sorted(set(settings) & set(grid)):
            self.fail(node, f"'{both[0]}' is in set and in grid", "name it once")
        return SweepEntry(
            methods=self.unique(
                parts["method"], METHOD, "a method", "write NAME, NAME:VARIANT or package.module:Class"
            ),
            settings=settings,
            grid=grid,
            seeds=self.seeds(parts["seeds"]) if "seeds" in parts else (),
            presets=self.presets(parts["preset"]) if "preset" in parts else (),
            line=_line(node),
        )

    # ------------------------------------------------------------------------------------------ kinds of values

    def presets(self, node: yaml.Node) -> tuple[str, ...]:
        """One known preset, or several."""
        names = self.unique(node, METHOD, "a preset", f"valid: {', '.join(PRESETS)}")
        for name in names:
            if name not in PRESETS:
                self.fail(node, f"unknown preset '{name}'", error_remedy(name, list(PRESETS)))
        return names

    def seeds(self, node: yaml.Node) -> tuple[int, ...]:
        """One whole number, or several."""
        return tuple(map(int, self.unique(node, SEED, "a seed", "write whole numbers: seeds: [0, 1, 2]")))

    def unique(self, node: yaml.Node, pattern: re.Pattern[str], what: str, remedy: str) -> tuple[str, ...]:
        """One text or a list of them, each of which fits `pattern`; none twice."""
        texts = [self.text(item) for item in (self.items(node) if isinstance(node, yaml.SequenceNode) else [node])]
        for text in texts:
            if not pattern.fullmatch(text):
                self.fail(node, f"{text!r} is not {what}", remedy)
        if len(set(texts)) < len(texts):
            self.fail(node, f"{what} is named twice: {', '.join(texts)}", "name each one once")
        return tuple(texts)

    def settings(self, node: yaml.Node | None) -> dict[str, yaml.Node]:
        """Setting -> its node."""
        settings = {} if node is None else self.mapping(node, None)
        for key in settings:
            if not SETTING.fullmatch(key):
                self.fail(node, f"{key!r} is not a setting's name", "write key: value, nested keys joined by dots")
        return settings

    def values(self, node: yaml.Node) -> tuple[str, ...]:
        """A grid's values of one setting."""
        values = tuple(self.value(item) for item in self.items(node))
        if len(set(values)) < len(values):
            self.fail(node, f"a value stands twice in {', '.join(values)}", "name each one once")
        return values

    def value(self, node: yaml.Node) -> str:
        """A setting's value, as one would type it after `--set method.key=`: a number or name, or a list of them."""
        if isinstance(node, yaml.SequenceNode):
            return f"[{', '.join(self.value(item) for item in node.value)}]"
        text = self.text(node)
        if not VALUE.fullmatch(text):
            self.fail(node, f"{text!r} is not a value", "write a number, a name, true, false, null, or a list of these")
        return text

    def text(self, node: yaml.Node) -> str:
        """A scalar, as it is written, on one line."""
        if not isinstance(node, yaml.ScalarNode):
            self.fail(node, "a single value wanted, not a list or a mapping", "write key: value")
        if not node.value and node.style is None:
            self.fail(node, "a value is missing", 'write key: value, or key: "" for the empty text')
        return " ".join(node.value.split())

    def items(self, node: yaml.Node) -> list[yaml.Node]:
        """The items of a list that has some."""
        if not isinstance(node, yaml.SequenceNode):
            self.fail(node, "a list wanted", "write [a, b], or one item a line, each after '- '")
        if not node.value:
            self.fail(node, "an empty list", "name at least one")
        return list(node.value)

    def mapping(self, node: yaml.Node, valid: Collection[str] | None) -> dict[str, yaml.Node]:
        """Key -> node; each key once, and one of `valid`."""
        if not isinstance(node, yaml.MappingNode):
            self.fail(node, "`key: value` lines wanted", f"valid: {', '.join(valid or ('settings of the method',))}")
        nodes: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = self.text(key_node)
            if valid is not None and key not in valid:
                self.fail(key_node, f"unknown key '{key}'", error_remedy(key, list(valid)))
            if key in nodes:
                self.fail(key_node, f"'{key}' is there twice", "keep one")
            nodes[key] = value
        return nodes

    # -------------------------------------------------------------------------------------------------- parsing

    def node(self) -> yaml.Node:
        """The document: strings, lists, mappings. Nothing is built from it before it has passed these checks."""
        text = self.content()
        try:
            self.check_events(text)
            root = yaml.compose(text, yaml.BaseLoader)
        except yaml.MarkedYAMLError as error:
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise BenchError(
                f"{self.path}{line}: not YAML: {error.problem}", "see bench/runs/sweep for examples"
            ) from error
        except yaml.YAMLError as error:
            raise BenchError(
                f"{self.path}: not YAML: {' '.join(str(error).split())}", "see bench/runs/sweep for examples"
            ) from error
        if root is None:
            self.fail(None, "the file is empty", f"valid keys: {', '.join(KEYS)}")
        return root

    def content(self) -> str:
        """The file's text, if it is a small one."""
        try:
            with self.path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
            if len(raw) > MAX_BYTES:
                self.fail(None, f"larger than {MAX_BYTES:,} bytes", "split it: a sweep file is a page of text")
            return raw.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BenchError(f"{self.path} cannot be read as text: {error}", "give a YAML file in UTF-8") from error

    def check_events(self, text: str) -> None:
        """Refuse what a list of cells does not need: aliases (a small file may mean a huge one), tags, deep nesting."""
        depth = 0
        for event in yaml.parse(text, yaml.BaseLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                self.fail(event, "anchors and aliases (&, *) are not read here", "write the value out")
            if getattr(event, "tag", None):
                self.fail(event, f"tags ({event.tag}) are not read here", "write a plain value")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                self.fail(event, "nested too deep", "see bench/runs/sweep for examples")


def _line(where: yaml.Node | yaml.Event) -> int:
    return where.start_mark.line + 1
