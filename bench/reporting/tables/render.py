"""One table, four forms: `render(table, "markdown")`, `"latex"`, `"csv"` or `"html"`."""

from __future__ import annotations

from collections.abc import Callable

from bench.core.errors import BenchError, error_remedy
from bench.reporting.tables.as_csv import csv_text
from bench.reporting.tables.as_html import html_table
from bench.reporting.tables.as_latex import latex_table
from bench.reporting.tables.as_markdown import markdown_table
from bench.reporting.tables.table import Table

FORMATS: dict[str, tuple[str, Callable[[Table], str]]] = {
    "markdown": (".md", markdown_table),
    "latex": (".tex", latex_table),
    "csv": (".csv", csv_text),
    "html": (".html", html_table),
}
"""Name -> (suffix of a file, rendering). HTML is a part of a page, not a whole one; LaTeX needs booktabs."""


def render_tables(table: Table, form: str) -> str:
    """`table` in the form called `form`, ending in a line break; raises BenchError with the nearest valid name."""
    if form not in FORMATS:
        raise BenchError(f"tables cannot be written as '{form}'", error_remedy(form, list(FORMATS)))
    return FORMATS[form][1](table)
