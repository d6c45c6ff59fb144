"""A table as data: typed cells, columns, groups of rows, footnotes. Every number becomes text here and nowhere else."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Role = Literal["text", "ours", "published", "difference", "reference"]
"""What a cell is: words, a measured value, the paper's value, ours minus the paper's, or a value of real images."""
Better = Literal["", "higher", "lower"]
ARROWS: dict[Better, str] = {"": "", "higher": "↑", "lower": "↓"}
NOTHING = "-"
"""Shown where there is neither a value nor a reason."""


@dataclass(frozen=True)
class TableCell:
    """One place of a table: words, or a number with all that belongs to it, or the reason why there is none."""

    text: str = ""
    """Words, as they came from the user (renderings escape); empty where there is a value."""
    value: float | None = None
    """The number; over several seeds their mean. Never NaN: that is `missing`."""
    deviation: float | None = None
    """Sample standard deviation over seeds (divisor k - 1)."""
    low: float | None = None
    """Lower end of the interval of `value`."""
    high: float | None = None
    """Upper end."""
    seeds: tuple[int, int] | None = None
    """(k, begun): seeds with a value, and seeds in all."""
    images: tuple[int, int] | None = None
    """(n, real): translated images or sources, and real images on the other side (0: the metric has none). Shown in the
    heading where all values of a column agree, else beside each value; of a `reference` beside the value alone."""
    images_in_name: bool = False
    """The row's name has `images`, or they follow from the heading's: they are not shown again."""
    decimals: int | None = None
    """Decimals of the number; None: see `table_number`. A published number keeps those that it was printed with."""
    bold: bool = False
    """Whether it is not distinguishable from the best."""
    marks: tuple[str, ...] = ()
    """Signs of footnotes, such as `*`."""
    missing: str = ""
    """Why there is no value."""
    role: Role = "text"

    def __post_init__(self) -> None:
        numbers = (self.value, self.deviation, self.low, self.high)
        if not all(x is None or math.isfinite(x) for x in numbers):
            raise ValueError(f"a finite number wanted, got {numbers}: a cell without a value says why in `missing`")
        if self.value is None and not (self.deviation is self.low is self.high is None):
            raise ValueError("a deviation or an interval without a value")
        if (self.low is None) != (self.high is None):
            raise ValueError(f"an interval has two ends, got {self.low} and {self.high}")
        if sum((bool(self.text), self.value is not None, bool(self.missing))) > 1:
            raise ValueError(f"text, a value or a reason wanted, got several: {self}")


@dataclass(frozen=True)
class Column:
    """What the cells below a heading are."""

    label: str
    """Name of the method, of the protocol, of the class, ..."""
    protocol: str = ""
    """Metric protocol of the numbers; in the heading unless it is in the label."""
    unit: str = ""
    better: Better = ""
    align: Literal["left", "right"] = "right"
    marks: tuple[str, ...] = ()
    in_title: bool = False
    """The table's title has protocol, unit and direction: the heading is the label alone."""


@dataclass(frozen=True)
class RowGroup:
    """Rows that belong together; renderings separate groups."""

    rows: tuple[tuple[TableCell, ...], ...]


@dataclass(frozen=True)
class Footnote:
    """A sentence below the table."""

    text: str
    mark: str = ""
    """The sign in the table that it explains; none: it is about the whole table."""
    command: str = ""
    """What to type; shown behind the text."""


@dataclass(frozen=True)
class Table:
    """All that a rendering needs. Raises ValueError if rows are uneven, or a mark has no footnote or two."""

    title: str
    columns: tuple[Column, ...]
    groups: tuple[RowGroup, ...]
    notes: tuple[str, ...] = ()
    """Above the table: data, preset, protocols."""
    footnotes: tuple[Footnote, ...] = ()
    stub: int = 1
    """How many of the first columns name the row. With two, rows of a group that agree in the first show it once."""

    def __post_init__(self) -> None:
        for row in self.rows():
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row of {len(row)} cells under {len(self.columns)} columns")
        if not 1 <= self.stub <= len(self.columns):
            raise ValueError(f"{self.title}: stub of {self.stub} columns out of {len(self.columns)}")
        used = {mark for column in self.columns for mark in column.marks}
        used |= {mark for row in self.rows() for cell in row for mark in cell.marks}
        marks = [note.mark for note in self.footnotes if note.mark]
        if unexplained := used - set(marks):
            raise ValueError(f"{self.title}: no footnote for {sorted(unexplained)}")
        if len(set(marks)) < len(marks):
            raise ValueError(f"{self.title}: two footnotes for one mark among {marks}")

    def rows(self) -> Iterator[tuple[TableCell, ...]]:
        """All rows, group by group."""
        for group in self.groups:
            yield from group.rows

    def merged(self, group: RowGroup) -> bool:
        """Whether the first column's text is the same all through `group`, so that it is shown once."""
        return self.stub > 1 and len(group.rows) > 1 and all(row[0] == group.rows[0][0] for row in group.rows)

    def common_counts(self, column: int) -> tuple[int, int] | None:
        """The numbers of images if all values of a column agree in them."""
        return self._common[column]

    @cached_property
    def _common(self) -> tuple[tuple[int, int] | None, ...]:
        counts_of: list[set[tuple[int, int]]] = [set() for _ in self.columns]
        for row in self.rows():
            for counts, cell in zip(counts_of, row, strict=True):
                if cell.value is not None and cell.images and not cell.images_in_name and cell.role != "reference":
                    counts.add(cell.images)
        return tuple(counts.pop() if len(counts) == 1 else None for counts in counts_of)

    def explained(self, marks: Iterable[str]) -> list[str]:
        """The texts of the footnotes behind `marks`."""
        return [self._explanations[mark] for mark in marks]

    @cached_property
    def _explanations(self) -> dict[str, str]:
        return {note.mark: note.text for note in self.footnotes if note.mark}


def table_heading(table: Table, column: int) -> str:
    """Label, unit, direction of better and common numbers of images: `fid-judge-v1 ↓ (n = 250/500)`; without marks."""
    head = table.columns[column]
    counts = table.common_counts(column)
    protocol = "" if head.protocol in head.label else head.protocol
    measure = () if head.in_title else (protocol, head.unit, ARROWS[head.better])
    parts = (head.label, *measure, f"({images(counts)})" if counts else "")
    return " ".join(part for part in parts if part)


def shown_in_table(table: Table, column: int, cell: TableCell) -> str:
    """What a cell says: `11.00 ± 1.4 [2/3] (n = 10/20)`, words, a reason, or `-`; without marks."""
    if cell.value is None:
        return cell.text or cell.missing or ("" if cell.role == "text" else NOTHING)
    text = shown_value(cell)
    in_heading = cell.role != "reference" and table.common_counts(column) is not None
    if cell.images is not None and not cell.images_in_name and not in_heading:
        text += f" ({images(cell.images)})"
    return text


def shown_value(cell: TableCell) -> str:
    """The number of a cell that has one, with its deviation or interval, and its seeds where some have no value."""
    assert cell.value is not None
    signed = cell.role == "difference"
    text = table_number(cell.value, cell.decimals, signed)
    if cell.deviation is not None:
        text += f" ± {spread(cell.deviation)}"
    elif cell.low is not None and cell.high is not None:
        ends = [table_number(end, table_decimals(text), signed) for end in (cell.low, cell.high)]
        text += f" ({ends[0]} to {ends[1]})"
    if cell.seeds is not None and cell.seeds[0] < cell.seeds[1]:
        text += f" [{cell.seeds[0]}/{cell.seeds[1]}]"
    return text


def table_number(value: float, decimals: int | None = None, signed: bool = False) -> str:
    """A value: 3 significant digits below 1 in size, else 2 decimals, unless `decimals` says how many; never `-0`."""
    sign = "+" if signed else ""
    if decimals is not None:
        text = f"{value:{sign}.{decimals}f}"
    else:
        text = f"{value:{sign}.3g}" if abs(value) < 1 else f"{value:{sign}.2f}"
    return text.replace("-", sign) if float(text) == 0 else text


def table_decimals(text: str) -> int | None:
    """How many decimals a number was written with; None for one with an exponent."""
    return None if "e" in text else len(text.partition(".")[2])


def spread(deviation: float) -> str:
    """A standard deviation: 2 significant digits, without an exponent for large ones."""
    text = f"{deviation:.2g}"
    return f"{float(text):.0f}" if "e+" in text else text


def images(counts: tuple[int, int]) -> str:
    """`n = 250/500`: translated images or sources / real images; `n = 250` where the metric has no real images."""
    n, real = counts
    return f"n = {n}/{real}" if real else f"n = {n}"


def table_line(text: str) -> str:
    """`text` on one line and printable: any white space is one blank; control characters, characters that turn the
    direction of writing, and code points that are no characters become `\\ufffd`. For names that a user chose.
    """
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(char if _printable(char) else "\ufffd" for char in line)


def _printable(char: str) -> bool:
    code = ord(char)
    turns = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    no_character = 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE
    return not (turns or no_character or unicodedata.category(char) in ("Cc", "Cs"))
