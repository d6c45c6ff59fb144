"""What two folders of images get against each other: as Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.evaluation.score import Record
from bench.reporting.tables.as_markdown import markdown_table
from bench.reporting.tables.table import Column, RowGroup, Table, TableCell
from bench.spec.protocols import ALL, PROTOCOLS
from metrics.statistics.intervals import Interval

FORMS = ("md", "json", "csv")
_NOTES = (
    "behind a value its 95 % interval, because its images are a sample (half-samples)",
    "floor: what n real images get against the other real ones, where there are not 2 n of them half against half. "
    "Not to be subtracted",
)
_FIELDS = (
    "metric", "protocol", "label", "value", "deviation", "low", "high", "n", "n_reference", "floor",
    "floor_deviation", "floor_n", "floor_reference", "encoder", "missing",
)  # fmt: skip


def folders_text(records: Sequence[Record], form: str, title: str, by_class: bool) -> str:
    """The records in one of FORMS. Without `by_class`, those over all."""
    rows = folders_rows(records, by_class)
    if form == "json":
        return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, _FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()
    names = ("protocol", "class", "value", "n / real", "floor")
    columns = tuple(Column(name, align="left" if name in names[:2] else "right") for name in names)
    groups = (RowGroup(tuple(_cells(record) for record in records if by_class or record.label == ALL)),)
    return markdown_table(Table(title, columns, groups, footnotes=(), notes=_NOTES, stub=2))


def folders_rows(records: Sequence[Record], by_class: bool) -> list[dict[str, Any]]:
    """Each record as the fields that CSV and JSON have. Without `by_class`, those over all."""
    rows = []
    for record in records:
        known = {**asdict(record), **dict(zip(("low", "high"), _interval(record), strict=True))}
        if by_class or record.label == ALL:
            rows.append({name: known[name] for name in _FIELDS})
    return rows


def _cells(record: Record) -> tuple[TableCell, ...]:
    better = "↑" if PROTOCOLS[record.protocol].higher_is_better else "↓"
    low, high = _interval(record)
    value = TableCell(value=record.value, low=low, high=high, missing=record.missing, role="ours")
    floor = TableCell(value=record.floor, deviation=record.floor_deviation, role="ours")
    counts = TableCell(f"{record.n:,} / {record.n_reference:,}")
    return TableCell(f"{record.protocol} {better}"), TableCell(record.label), value, counts, floor


def _interval(record: Record) -> tuple[float | None, float | None]:
    """The 95 % interval over images, where it is known."""
    if record.value is None or record.deviation is None:
        return None, None
    interval = Interval(record.value, record.deviation)
    return interval.low, interval.high
