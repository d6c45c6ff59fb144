r"""LaTeX with booktabs and nothing else. Any text compiles with pdfLaTeX: a sign that it lacks is spelt as [U+65E5]."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from bench.reporting.tables.table import Footnote, RowGroup, Table, TableCell, shown_in_table, table_heading, table_line

# Brackets and stars in braces: behind a line's \\ they would be its arguments. Quotes in braces: no ligatures.
_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", "*": "{*}", "`": r"\textasciigrave{}", "'": r"{'}", '"': "{''}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "←": r"$\leftarrow$", "↔": r"$\leftrightarrow$",
    "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$",
    "∞": r"$\infty$", "λ": r"$\lambda$", "σ": r"$\sigma$", "μ": r"$\mu$", "²": "$^2$", "³": "$^3$", "½": r"$\frac12$",
    "†": r"\dag{}", "‡": r"\ddag{}", "§": r"\S{}", "¶": r"\P{}", "–": "--", "—": "---", "…": r"\dots{}", "‘": "`",
    "’": "{'}", "“": "``", "”": "''", "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}",
    "ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
LONGEST_NAME = 24
"""Characters of words in a cell beyond which they are broken into lines of NAME_WIDTH."""
NAME_WIDTH = "11em"
PREAMBLE = r"\usepackage{booktabs}"
"""What the document needs."""


def latex_table(table: Table) -> str:
    """A `table` environment with caption, notes, `tabular` and footnotes; its document needs `PREAMBLE`."""
    aligned = "".join(column.align[0] for column in table.columns)
    heads = [_head(table, index) for index in range(len(table.columns))]
    groups = [list(_rows(table, group)) for group in table.groups if group.rows]
    body = [line for lines in groups for line in (r"\midrule", *lines)]
    lines = [
        f"% in the preamble: {PREAMBLE}",
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{_escaped(table.title)}}}",
        *_list([_escaped(note) for note in table.notes]),
        r"\scriptsize\setlength{\tabcolsep}{3pt}%",
        # Wider than the text, it sticks out on both sides alike.
        rf"\makebox[\linewidth][c]{{\begin{{tabular}}{{{aligned}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        *(body or [r"\midrule"]),
        r"\bottomrule",
        r"\end{tabular}}\par",
        *_list([_footnote(note) for note in table.footnotes]),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _head(table: Table, index: int) -> str:
    column = table.columns[index]
    name, _, rest = table_heading(table, index).rpartition(" (n = ")
    lines = [name, f"(n = {rest}"] if name else [rest]
    lines = [*map(_escaped, lines[:-1]), _escaped(lines[-1]) + _marks(column.marks)]
    return _stacked(lines, "b", column.align[0])


def _rows(table: Table, group: RowGroup) -> Iterator[str]:
    merged = table.merged(group)
    for place, row in enumerate(group.rows):
        cells = [_cell(table, index, cell) for index, cell in enumerate(row)]
        if place and merged:
            cells[0] = ""
        yield " & ".join(cells) + r" \\"


def _cell(table: Table, index: int, cell: TableCell) -> str:
    text = shown_in_table(table, index, cell)
    if cell.value is None:
        written = _bold(_escaped(text), cell) + _marks(cell.marks)
        return rf"\parbox[t]{{{NAME_WIDTH}}}{{\raggedright {written}\strut}}" if len(text) > LONGEST_NAME else written
    number, *rest = text.replace("-", "−").split(" (", 1)  # an interval or counts stand below the number
    lines = [_bold(_escaped(part), cell) for part in (number, *(f"({more}" for more in rest))]
    return _stacked([*lines[:-1], lines[-1] + _marks(cell.marks)], "t", table.columns[index].align[0])


def _bold(text: str, cell: TableCell) -> str:
    return rf"\textbf{{{text}}}" if cell.bold and text else text


def _stacked(lines: list[str], anchor: str, align: str) -> str:
    """One below the other, without a package."""
    if len(lines) == 1:
        return lines[0]
    body = r"\\".join(lines)
    return rf"\begin{{tabular}}[{anchor}]{{@{{}}{align}@{{}}}}{body}\end{{tabular}}"


def _marks(marks: tuple[str, ...]) -> str:
    return rf"\textsuperscript{{{_escaped(''.join(marks))}}}" if marks else ""


def _footnote(note: Footnote) -> str:
    typed = _escaped(note.command).replace("{'}", r"\textquotesingle{}")
    command = rf": \texttt{{{typed}}}" if note.command else ""
    mark = f"{_marks((note.mark,))} " if note.mark else ""
    return mark + _escaped(note.text) + command


def _list(items: list[str]) -> list[str]:
    """Plain lines over the whole width."""
    if not items:
        return []
    lines = [r"\begin{minipage}{\linewidth}\scriptsize\raggedright", r"\smallskip"]
    return [*lines, *(rf"{item}\par" for item in items), r"\smallskip", r"\end{minipage}\par"]


def _escaped(text: str) -> str:
    return re.sub("-(?=-)", "-{}", "".join(map(_sign, unicodedata.normalize("NFC", table_line(text)))))


def _sign(char: str) -> str:
    if char in _SIGNS:
        return _SIGNS[char]
    if char.isascii():
        return char
    base, *accents = list(unicodedata.normalize("NFD", char))
    if base.isascii() and base.isalpha() and len(accents) == 1 and accents[0] in _ACCENTS:
        return rf"\{_ACCENTS[accents[0]]}{{{base}}}"
    return f"{{[}}U+{ord(char):04X}{{]}}"
