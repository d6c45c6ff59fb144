"""From a setting's records to tables: all classes together, each class, classes side by side, intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.leaderboard import FLOOR_NOTE, FLOOR_ROW, PER_CLASS, REAL_ROW
from bench.protocol import PROTOCOLS
from bench.report.collect import Scored, Setting
from bench.report.entries import (
    Key,
    Source,
    by_key,
    deviation_over_images,
    floor,
    mean_over_seeds,
    on_real,
    over_images,
    over_seeds,
    reason,
    sources,
    valued,
)
from bench.scoring import ALL
from bench.tables.ranking import best_set
from bench.tables.table import Cell, Column, Footnote, Group, Table
from metrics.intervals import NORMAL_95

WEAK = "*"
WEAK_NOTE = Footnote("weakly supervised: uses a network trained on labels", WEAK)
MEANS = Footnote(
    "Values are means over seeds ± the sample standard deviation between them; [k/n] where only k of the n seeds that "
    "were begun have a value. n = translated images (or sources) / real images."
)


@dataclass(frozen=True)
class Panel:
    """The tables that are looked at together; a page shows one panel of a direction at a time."""

    label: str
    """What stands in the switch."""
    kind: str
    """The heading under which the switch has it."""
    tables: tuple[Table, ...]
    folded: tuple[Table, ...] = ()
    """Shown on demand."""


def panels(setting: Setting, direction: str) -> list[Panel]:
    """All classes together first, then each class, then the classes side by side by each protocol that has them."""
    more = further(setting, direction)
    found = [
        Panel(
            "all classes together", "all", (overview(setting, direction), *([more] if more else [])),
            tuple(intervals(setting, direction)),
        )
    ]  # fmt: skip
    for label in setting.classes:
        table = per_class(setting, direction, label)
        found += [Panel(label, "one class", (table,))] if table else []
    for name, protocol in PROTOCOLS.items():
        tables = side_by_side(setting, direction, name) if protocol.metric in PER_CLASS else []
        found += [Panel(name, "classes side by side", tuple(tables))] if tables else []
    return found


# --------------------------------------------------------------------------------------------------------- tables


def overview(setting: Setting, direction: str) -> Table:
    """All classes together: every headline protocol, and what the training cost."""
    pooled = setting.of(direction)
    columns = sources(pooled, [name for name, protocol in PROTOCOLS.items() if protocol.headline])
    marks, notes = _failures(setting)
    body = _body(setting, pooled, columns, marks)
    rows = [(*row[:2], _seeds(setting, key), *row[2:], *_cost(setting, key)) for key, row in body.items()]
    rows += [_without_records(setting, row, len(columns), marks) for row in _unscored(setting, pooled)]
    reference = [(row[0], Cell(), Cell(), *row[2:], *[Cell()] * 4) for row in _reference(pooled, columns)]
    heads = (*_row_columns(), Column("seeds k/n", align="left"), *(source.column() for source in columns))
    heads += (Column("training", unit="s"), Column("stages", unit="s"), Column("parameters", unit="M"))
    heads += (Column("TFLOP"),)
    bold, tests = _bold(rows, columns, 3, pooled)
    return Table(
        f"{direction}, all classes together: {setting.mark}",
        heads,
        _groups(bold, reference),
        footnotes=(MEANS, *_notes(pooled, rows), *tests, *notes, _COST_NOTE),
    )


def further(setting: Setting, direction: str) -> Table | None:
    """The protocols that are no headline; None where none was measured."""
    columns = [name for name, protocol in PROTOCOLS.items() if not protocol.headline]
    return _plain(setting, direction, ALL, columns, f"{direction}, further measures: {setting.mark}", explained=True)


def per_class(setting: Setting, direction: str, label: str) -> Table | None:
    """What is measured within one class; None where nothing was."""
    columns = [name for name, protocol in PROTOCOLS.items() if protocol.metric in PER_CLASS]
    return _plain(setting, direction, label, columns, f"{direction}, class {label} alone: {setting.mark}")


def side_by_side(setting: Setting, direction: str, protocol: str) -> list[Table]:
    """One column per class, by one protocol; a table for each encoder that has values, so usually one."""
    own = {
        label: [record for record in setting.of(direction, label) if record.protocol == protocol]
        for label in (ALL, *setting.classes)
    }
    own = {label: records for label, records in own.items() if records}
    every = [record for records in own.values() for record in records]
    tables = []
    for source in sources([record for record in every if record.value is not None], [protocol]):
        parts = {label: by_key(source.of(records)) for label, records in own.items()}
        rows = [
            (*_names(setting, key), *(mean_over_seeds(setting, part.get(key, []), key[0]) for part in parts.values()))
            for key in by_key(every)
        ]
        better, unit = source.column().better, source.column().unit
        named = [Column("all" if label == ALL else f"class {label}", better=better) for label in own]
        reference = _named_reference([_real(source.of(records)) for records in own.values()])
        title = f"{direction}, classes side by side by {source.name}{f' in {unit}' if unit else ''}: {setting.mark}"
        heads = (*_row_columns(), *named)
        tables.append(Table(title, heads, _groups(rows, reference), footnotes=(MEANS, *_notes(every, rows))))
    return tables


def intervals(setting: Setting, direction: str) -> list[Table]:
    """95 % over images, and over seeds; without tables where no record has what they need."""
    pooled = setting.of(direction)
    columns, groups = sources(pooled, list(PROTOCOLS)), by_key(pooled)
    kinds: tuple[tuple[str, Callable[[Sequence[Scored], int], Cell]], ...] = (
        (f"95 % over images: value ± {NORMAL_95} half-sample standard deviations", over_images),
        ("95 % over seeds: t-interval of the mean; the unit is a whole training", over_seeds),
    )
    tables = []
    for what, make in kinds:
        cells = {
            key: [make(source.of(own), setting.begun(key[0])) for source in columns] for key, own in groups.items()
        }
        used = [i for i in range(len(columns)) if any(row[i].value is not None for row in cells.values())]
        if not used:
            continue
        rows = [(*_names(setting, key), *(row[i] for i in used)) for key, row in cells.items()]
        heads = (*_row_columns(), *(columns[i].column() for i in used))
        title = f"{direction}, {what}: {setting.mark}"
        tables.append(Table(title, heads, _groups(rows, []), footnotes=_notes([], rows)))
    return tables


def _plain(
    setting: Setting, direction: str, label: str, protocols: Sequence[str], title: str, explained: bool = False
) -> Table | None:
    """Methods against protocols, with the rows of real images. `explained`: below a table with the same notes."""
    part = setting.of(direction, label)
    columns = sources(part, protocols)
    if not any(record.value is not None and record.protocol in protocols for record in part):
        return None
    rows = list(_body(setting, part, columns, {}).values())
    reference = [(row[0], Cell(), *row[2:]) for row in _reference(part, columns)]
    bold, tests = _bold(rows, columns, 2, part)
    heads = (*_row_columns(), *(source.column() for source in columns))
    notes = (*(() if explained else (MEANS,)), *_notes([] if explained else part, rows), *tests)
    return Table(title, heads, _groups(bold, reference), footnotes=notes)


# ----------------------------------------------------------------------------------------------------------- rows

Row = tuple[Cell, ...]


def _row_columns() -> tuple[Column, ...]:
    return (Column("method", align="left"), Column("styles", align="left"))


def _names(setting: Setting, key: Key, marks: tuple[str, ...] = ()) -> Row:
    weak = any(cell.weak for cell in setting.of_row(key[0]))
    return Cell(key[0], marks=((WEAK,) if weak else ()) + marks), Cell(key[1])


def _body(
    setting: Setting, records: Sequence[Scored], columns: Sequence[Source], marks: dict[str, tuple[str, ...]]
) -> dict[Key, Row]:
    found = {}
    for key, own in by_key(records).items():
        values = [mean_over_seeds(setting, source.of(own), key[0]) for source in columns]
        found[key] = (*_names(setting, key, marks.get(key[0], ())), *values)
    return found


def _seeds(setting: Setting, key: Key) -> Cell:
    scored = sum(key[1] in cell.scores for cell in setting.of_row(key[0]))
    return Cell(f"{scored}/{setting.begun(key[0])}")


def _cost(setting: Setting, key: Key) -> Row:
    """Training seconds, stages' seconds, parameters in millions, TFLOP: means over the row's cells."""
    costs = [cell.cost for cell in setting.of_row(key[0]) if cell.cost]
    stages = [float(sum(cost.get("stage_seconds", {}).values())) for cost in costs]
    trained = setting.trained
    return (
        _mean([cost.get("seconds") for cost in costs] if trained else [], 1.0, 0),
        _mean(stages if any(stages) else [], 1.0, 0),
        _mean([cost.get("parameters") for cost in costs], 1e-6, 2),
        _mean([cost.get("flops") for cost in costs], 1e-12, 1),
    )


def _mean(values: Sequence[float | None], scale: float, decimals: int) -> Cell:
    known = [value for value in values if value is not None]
    return Cell(value=scale * sum(known) / len(known), decimals=decimals) if known else Cell("-")


def _unscored(setting: Setting, pooled: Sequence[Scored]) -> list[str]:
    """Rows without any record in this direction."""
    scored = {record.row for record in pooled}
    return [row for row in setting.rows if row not in scored]


def _without_records(setting: Setting, row: str, columns: int, marks: dict[str, tuple[str, ...]]) -> Row:
    cells = setting.of_row(row)
    failed = [cell for cell in cells if cell.state == "failed"]
    why = f"failed: {reason(failed[0].status)}" if failed else f"no value yet: {cells[0].state}"
    values = [Cell(missing=why, role="ours"), *[Cell(role="ours")] * (columns - 1)][:columns]
    return (
        *_names(setting, (row, ""), marks.get(row, ())),
        Cell(f"0/{len(cells)}"),
        *values,
        *_cost(setting, (row, "")),
    )


# --------------------------------------------------------------------------------------------------- real images


def _reference(records: Sequence[Scored], columns: Sequence[Source]) -> list[Row]:
    return _named_reference([_real(source.of(records)) for source in columns])


def _real(records: Sequence[Scored]) -> tuple[Cell | None, Cell | None]:
    return on_real(records), floor(records)


def _named_reference(values: Sequence[tuple[Cell | None, Cell | None]]) -> list[Row]:
    """The row of what the judge says of real images, and that of the floors, where there are any."""
    rows = []
    for place, name in enumerate((REAL_ROW, FLOOR_ROW)):
        own = [pair[place] for pair in values]
        if any(own):
            rows.append((Cell(name), Cell(), *(cell or Cell() for cell in own)))
    return rows


# ---------------------------------------------------------------------------------------------- groups and notes

_COST_NOTE = Footnote(
    "Training: the method's own seconds; stages: of the semantic stages before it, which variants and seeds may share. "
    "Seconds compare only where device and load were the same. TFLOP: of the training without its stages."
)


def _groups(rows: Sequence[Row], reference: Sequence[Row]) -> tuple[Group, ...]:
    """Methods in one, real images in another: sorting leaves the second where it is."""
    return (Group(tuple(rows)), *([Group(tuple(reference))] if reference else []))


def _notes(records: Sequence[Scored], rows: Sequence[Row]) -> tuple[Footnote, ...]:
    notes = []
    if any(WEAK in cell.marks for row in rows for cell in row):
        notes.append(WEAK_NOTE)
    if any(record.floor is not None for record in records):
        notes.append(Footnote(FLOOR_NOTE))
    return tuple(notes)


def _failures(setting: Setting) -> tuple[dict[str, tuple[str, ...]], list[Footnote]]:
    """Row -> its marks, and the footnotes behind them: one for each row with failed cells."""
    marks: dict[str, tuple[str, ...]] = {}
    notes: list[Footnote] = []
    for row in setting.rows:
        failed = [cell for cell in setting.of_row(row) if cell.state == "failed"]
        if failed:
            sign = f"f{len(notes) + 1}"
            marks[row] = (sign,)
            said = "; ".join(f"seed {cell.seed}: {reason(cell.status)}" for cell in failed)
            notes.append(Footnote(f"failed: {said}", sign))
    return marks, notes


def _bold(
    rows: Sequence[Row], columns: Sequence[Source], first: int, records: Sequence[Scored]
) -> tuple[list[Row], list[Footnote]]:
    """`rows` with the values in bold that cannot be told from the best of their column, and what was tested.

    Values at several numbers of images are not compared.
    """
    table, groups = [list(row) for row in rows], by_key(records)
    said: list[str] = []
    for place, source in enumerate(columns, start=first):
        valued_rows = [row for row in range(len(table)) if table[row][place].value is not None]
        if len(valued_rows) < 2 or len({table[row][place].images for row in valued_rows}) > 1:
            continue
        own = {str(row): source.of(groups[table[row][0].text, table[row][1].text]) for row in valued_rows}
        values = {row: valued(part) for row, part in own.items()}
        over_images_of = {row: deviation_over_images(part) for row, part in own.items()}
        deviations = {row: deviation for row, deviation in over_images_of.items() if deviation is not None}
        found = best_set(values, PROTOCOLS[source.protocol].higher_is_better, deviations)
        if found.members:
            said.append(found.note)
        for row in map(int, found.members):
            cell = table[row][place]
            table[row][place] = Cell(**{**vars(cell), "bold": True})
    return [tuple(row) for row in table], [Footnote(note) for note in dict.fromkeys(said)]
