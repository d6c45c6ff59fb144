"""Results on a terminal: a Markdown table that is too wide for it is shown row by row, and prose is wrapped at words.

Text for a pipe or a file is printed unchanged, so that stored text never depends on the width of a window.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

NARROWEST = 20
"""Columns that a terminal is assumed to have at least."""
_BAR = re.compile(r"(?<!\\)\|")


def show_on_terminal(text: str) -> None:
    """Print `text` to standard output, fitted to the terminal if that is one."""
    print(fitted_to_terminal(text, shutil.get_terminal_size().columns) if sys.stdout.isatty() else text)


def fitted_to_terminal(text: str, width: int) -> str:
    """`text` with every Markdown table wider than `width` columns as a list of rows, and longer lines wrapped.

    A line that has a command in it (in backticks) is not broken: it could not be copied.
    """
    width = max(width, NARROWEST)
    return "\n".join(line for block in _blocks(text.split("\n")) for line in _fitted(block, width))


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """The lines of a table together, every other line alone."""
    table: list[str] = []
    for line in lines:
        if line.startswith("|"):
            table.append(line)
            continue
        if table:
            yield table
            table = []
        yield [line]
    if table:
        yield table


def _fitted(block: list[str], width: int) -> list[str]:
    if max(map(len, block)) <= width:
        return block
    if block[0].startswith("|") and len(block) > 2:
        return _records(block, width)
    return [wrapped for line in block for wrapped in _wrapped(line, width)]


def _records(table: Sequence[str], width: int) -> list[str]:
    """Each row under its first cell: one line `heading: value` per further column. Empty cells are left out, but for
    the first: renderings leave that empty where it is the same as above."""
    headings = _cells(table[0])
    lines: list[str] = []
    name = ""
    for row in table[2:]:  # the second line is the rule
        cells = _cells(row)
        name = cells[0] or name
        lines += [*([""] if lines else []), *_wrapped(f"{headings[0]}: {name}" if headings[0] else name, width)]
        for heading, cell in zip(headings[1:], cells[1:], strict=False):
            if cell:
                lines += _wrapped(f"  {heading}: {cell}", width)
    return lines


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in _BAR.split(row.strip())[1:-1]]


def _wrapped(line: str, width: int) -> list[str]:
    if len(line) <= width or "`" in line:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )
