"""Text for whatever reads it: fitted to a terminal, in any encoding.

On a terminal a Markdown table that is too wide for it is shown row by row, and prose is wrapped at words.
Text for a pipe or a file is printed unchanged, so that stored text never depends on the width of a window. What an
encoding lacks (an arrow in Latin-9, ± in ASCII) is written with what it has (`speak_any_encoding`).
"""

from __future__ import annotations

import codecs
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence

NARROWEST = 20
"""Columns that a terminal is assumed to have at least."""
CONTINUED = " \\"
"""Where a command goes on in the next line."""
_COMMAND = re.compile(r"python -m bench(?:[^;,]|,(?! ))*")
_BAR = re.compile(r"(?<!\\)\|")


PLAIN = {
    "↑": "^", "↓": "v", "→": "->", "←": "<-", "↔": "<->", "±": "+-", "×": "x", "·": "*", "…": "...", "−": "-",
    "–": "-", "—": "-", "≤": "<=", "≥": ">=", "≈": "~", "∞": "inf", "λ": "lambda", "σ": "sigma", "μ": "mu", "²": "^2",
    "³": "^3", "½": "1/2", "†": "+", "‡": "++", "§": "S.", "‘": "'", "’": "'", "“": '"', "”": '"', "ß": "ss",
    "æ": "ae", "ø": "o", "œ": "oe", "ł": "l", "é": "e", "\u2009": " ", "\xa0": " ", "✓": "yes", "•": "*",
}  # fmt: skip
"""Character -> what stands for it where it cannot be written; of others the letter without its accent, or `?`."""
HANDLER = "bench-plain"
"""Name of the handler for `str.encode`."""


def speak_any_encoding() -> None:
    """Have standard output and error write what their encoding lacks in plain characters instead of failing."""
    codecs.register_error(HANDLER, _plain)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):  # none where a test or a notebook put another one
            reconfigure(errors=HANDLER)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(char: str) -> str:
    known = PLAIN.get(char) or unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    return known or "?"


def writable_text(text: str) -> str:
    """`text` as standard output will show it, so that columns are aligned and lines fitted by what is seen."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    codecs.register_error(HANDLER, _plain)
    return text.encode(encoding, HANDLER).decode(encoding)


def show_on_terminal(text: str) -> None:
    """Print `text` to standard output, fitted to the terminal if that is one."""
    if sys.stdout.isatty():
        text = fit_to_terminal(writable_text(text), shutil.get_terminal_size().columns)
    print(text)


def fit_to_terminal(text: str, width: int) -> str:
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
    """Broken at blanks; inside a command with a backslash, so that it can still be copied."""
    if len(line) <= width or "`" in line:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    inside = [range(match.start(), match.end()) for match in _COMMAND.finditer(line)]
    lines, start, end = [], 0, 0  # line[start:end] fits
    before = ""
    for blank in [*(match.start() for match in re.finditer(r"(?<=\S) +", line)), len(line)]:
        in_command = any(blank in span for span in inside)
        room = width - len(before) - (len(CONTINUED) if in_command else 0)
        if end > start and blank - start > room:
            lines.append(before + line[start:end] + (CONTINUED if any(end in span for span in inside) else ""))
            start, before = end + len(line[end:]) - len(line[end:].lstrip()), indent
        end = blank
    return [*lines, before + line[start:end]]
