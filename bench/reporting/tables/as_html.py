"""HTML: a part of a page, with a caption, scoped headings and classes; no script, no style, nothing fetched."""

from __future__ import annotations

from html import escape

from bench.reporting.tables.table import (
    ARROWS,
    Column,
    Footnote,
    RowGroup,
    Table,
    TableCell,
    shown_in_table,
    table_heading,
    table_line,
)

_SPOKEN = {"higher": "higher is better", "lower": "lower is better"}


def html_table(table: Table) -> str:
    """A `div.bench-table`: notes, the table in a box that scrolls by keyboard too, footnotes. Ends in a line break.

    Classes of cells: the role, `bold`, `missing`, `number`. `data-value` has the number for sorting.
    """
    caption = _escaped(table.title)
    lines = [
        '<div class="bench-table">',
        *_list("notes", [_escaped(note) for note in table.notes]),
        f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0">',
        "<table>",
        f"<caption>{caption}</caption>",
        "<thead>",
        "<tr>",
        *(_head(table, index, column) for index, column in enumerate(table.columns)),
        "</tr>",
        "</thead>",
        *(line for group in table.groups if group.rows for line in _body(table, group)),
        "</table>",
        "</div>",
        *_list("footnotes", [_footnote(note) for note in table.footnotes]),
        "</div>",
    ]
    return "\n".join(lines) + "\n"


def _head(table: Table, index: int, column: Column) -> str:
    text = _escaped(table_heading(table, index)).replace("(n = ", "(n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    text += _marks(column.marks)
    if column.better:
        arrow = ARROWS[column.better]
        spoken = f'<span role="img" aria-label="{_SPOKEN[column.better]}">{arrow}</span>'
        text = spoken.join(text.rsplit(arrow, 1)).replace(f" {spoken}", f"\N{NO-BREAK SPACE}{spoken}")
    classes = ' class="number"' if column.align == "right" else ""
    return f'<th scope="col"{classes}>{text}</th>'


def _body(table: Table, group: RowGroup) -> list[str]:
    lines = ["<tbody>"]
    merged = table.merged(group)
    for place, row in enumerate(group.rows):
        lines.append("<tr>")
        if merged and place == 0:
            lines.append(f'<th scope="rowgroup" rowspan="{len(group.rows)}">{_content(table, 0, row[0])}</th>')
        lines += [_cell(table, index, cell) for index, cell in enumerate(row) if index or not merged]
        lines.append("</tr>")
    return [*lines, "</tbody>"]


def _cell(table: Table, index: int, cell: TableCell) -> str:
    content = _content(table, index, cell)
    if index < table.stub:
        return f'<th scope="row">{content}</th>'
    named = {
        cell.role: cell.role != "text",
        "number": table.columns[index].align == "right",
        "bold": cell.bold,
        "missing": cell.value is None and not cell.text,
    }
    classes = " ".join(name for name, holds in named.items() if holds)
    attributes = f' class="{classes}"' if classes else ""
    if cell.value is not None:
        attributes += f' data-value="{float(cell.value)!r}"'
    return f"<td{attributes}>{content}</td>"


def _content(table: Table, index: int, cell: TableCell) -> str:
    text = shown_in_table(table, index, cell)
    if cell.value is not None:
        text = text.replace("-", "\N{MINUS SIGN}")
    text = _escaped(text)
    return (f"<strong>{text}</strong>" if cell.bold and text else text) + _marks(cell.marks)


def _marks(marks: tuple[str, ...]) -> str:
    return f"<sup>{_escaped(''.join(marks))}</sup>" if marks else ""


def _footnote(note: Footnote) -> str:
    command = f": <code>{_escaped(note.command)}</code>" if note.command else ""
    mark = f"{_marks((note.mark,))} " if note.mark else ""
    return mark + _escaped(note.text) + command


def _list(name: str, items: list[str]) -> list[str]:
    return [f'<ul class="{name}">', *(f"<li>{item}</li>" for item in items), "</ul>"] if items else []


def _escaped(text: str) -> str:
    return escape(table_line(text), quote=True)
