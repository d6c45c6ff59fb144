"""`bench report`: one static page of everything measured, made from stored results; nothing is computed anew."""

from __future__ import annotations

from pathlib import Path


def write_report(results: Path, out: Path, task: str = "") -> Path:
    """`out/index.html` of every task and setting with results, or of `task` alone; returns its path.

    Raises BenchError if there are no results, or the disk refuses.
    """
    from bench.reporting.page.collect import collect
    from bench.reporting.page.page import section, write_page

    return write_page(out, [section(found) for found in collect(results, task)])
