"""The paper's tables with our measurements beside the published values.

Below each row of the paper stand ours and, where the two may be compared, the difference with its interval. What was
not measured with the published settings on the published data is marked, and no difference is taken: it would be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.core.errors import BenchError, error_remedy
from bench.reporting.paper.notes import paper_header_notes, paper_sources_note, plain_paper_notes
from bench.reporting.paper.published import Inconsistency, published_inconsistencies
from bench.reporting.paper.shapes import SHAPES, WEAK, PaperRow, PaperShape, ShapeChain, ShapePlace
from bench.reporting.paper.values import Lookup, Measured, PaperMeasurements, find_value, places_of_values
from bench.reporting.ranges import (
    DETERMINISTIC,
    WITHIN_SOURCE,
    ends_over_images,
    is_no_diversity,
    metric_range,
    share_ends,
)
from bench.reporting.setting import Commands
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import Column, RowGroup, Table, TableCell, images, table_decimals, table_number
from metrics.statistics.comparing import BestSet, best_set
from metrics.statistics.intervals import seed_interval

__all__ = ["Lookup", "Measured", "paper_table"]

OTHER_SETTING = "†"
OTHER_PROTOCOL = "‡"
DEFAULT = Commands()


def paper_table(name: str, lookup: Lookup, commands: Commands | None = DEFAULT) -> Table:
    """Table `name` of the paper: `1`, `2`, `3a`, `3b`, `4`, or `text`.

    `commands` are given for what was not measured; None: no command measures that.
    Raises BenchError for another name, and ValueError if `lookup` mixes settings.
    """
    if name not in SHAPES:
        raise BenchError(f"the paper has no table '{name}'", error_remedy(name, list(SHAPES)))
    shape = SHAPES[name]()
    measured = find_value(shape, lookup)
    notes = Marks()
    columns, on_numbers = _columns(shape, notes)
    best = {(line, chain): _best(line, chain, measured) for line in shape.lines for chain in line.chains}
    groups = tuple(_group(line, measured, best, notes, on_numbers) for line in shape.lines)
    tests = sorted({found.note for found in best.values() if found and found.members})
    untested = dict.fromkeys(line.label for (line, _), found in best.items() if found and not found.members)
    if untested:
        tests.append(f"not tested, and so not bold, because of one seed without a deviation: {', '.join(untested)}")
    footnotes = (*notes.footnotes, *plain_paper_notes(shape, measured, tests, commands))
    return Table(shape.title, columns, groups, paper_header_notes(shape, measured), footnotes, stub=2)


def _columns(shape: PaperShape, notes: Marks) -> tuple[tuple[Column, ...], list[Inconsistency]]:
    """The headings, and the inconsistencies about single numbers: those about all of a column mark its heading."""
    every = dict.fromkeys(note for source in paper_sources_note(shape) for note in published_inconsistencies(source))
    single = [note for note in every if any(note.about(place.published) for place in places_of_values(shape.lines))]
    headings = [Column(shape.first, align="left"), Column("value", align="left")]
    for index, column in enumerate(shape.columns):
        numbers = [place.published for line in shape.lines if (place := line.places[index])]
        whole = [note for note in single if len(shape.columns) > 1 and all(map(note.about, numbers))]
        single = [note for note in single if note not in whole]
        marks = [notes.sign(WEAK, "weak supervision: uses a network trained on labels")] if column.weak else []
        headings.append(Column(column.label, marks=(*marks, *(notes.letter(note.footnote) for note in whole))))
    return tuple(headings), single


def _group(
    line: PaperRow, measured: PaperMeasurements, best: dict[tuple[PaperRow, ShapeChain], BestSet | None], notes: Marks,
    on_numbers: Sequence[Inconsistency],
) -> RowGroup:  # fmt: skip
    """Published, ours, difference: a row of the paper."""
    name = TableCell(line.label)
    rows = [(name, TableCell("published"), *(_published(place, notes, on_numbers) for place in line.places))]
    for chain in line.chains:
        competing = list(measured.competing(line, chain).values())
        common = _common_images(competing or [measured.measured.get((place, chain)) for place in line.places if place])
        bold = best_of.members if (best_of := best[line, chain]) else frozenset()
        ours = [
            _ours(measured.measured.get((place, chain)), place.candidates[0] in bold, common, notes)
            if place
            else TableCell()
            for place in line.places
        ]
        rows.append((name, _name(chain, measured, competing, common, notes), *ours))
        if measured.compares(chain) and any(cell.value is not None for cell in ours):
            differences = (_difference(place, cell) for place, cell in zip(line.places, ours, strict=True))
            rows.append((name, TableCell("difference"), *differences))
    return RowGroup(tuple(rows))


def _common_images(results: Iterable[Measured | None]) -> tuple[int, int] | None:
    counts = {result.images for result in results if result and result.values}
    return counts.pop() if len(counts) == 1 else None


def _published(place: ShapePlace | None, notes: Marks, on_numbers: Sequence[Inconsistency]) -> TableCell:
    if place is None:
        return TableCell()
    paper = place.published
    marks = tuple(notes.letter(note.footnote) for note in on_numbers if note.about(paper))
    return TableCell(value=paper.value, decimals=paper.decimals, marks=marks, role="published")


def _ours(result: Measured | None, bold: bool, common: tuple[int, int] | None, notes: Marks) -> TableCell:
    """Mean ± deviation over seeds and k/n, or why there is none. `common`: what the row's name says of images."""
    if result is None:
        return TableCell(role="ours")
    reasons = [*(f"failed: {reason}" for reason in dict.fromkeys(result.failed)), *dict.fromkeys(result.missing)]
    marks = tuple(map(notes.letter, reasons))
    begun = len(result.values) + len(result.failed) + len(result.missing)
    if not result.values:
        why = "failed" if result.failed else "not scored"
        return TableCell(missing=why, seeds=(0, begun), marks=marks, role="ours")
    if is_no_diversity(result.protocol, result.values, WITHIN_SOURCE):
        return TableCell("none", marks=(*marks, notes.letter(DETERMINISTIC)), role="ours")
    over = seed_interval(result.values, within=metric_range(result.protocol))
    over = over.widened(share_ends(result.protocol, over.mean, result.images))
    assert over.mean is not None
    low, high = over.low, over.high
    if over.k == 1 and result.image_deviation is not None:
        ends = ends_over_images(result.protocol, over.mean, result.image_deviation, result.images)
        low, high = ends or (None, None)
    return TableCell(
        value=over.mean, deviation=over.deviation, low=low, high=high, seeds=(over.k, begun), marks=marks, bold=bold,
        images=result.images if result.n else None, images_in_name=result.images == common, role="ours",
    )  # fmt: skip


def _difference(place: ShapePlace | None, ours: TableCell) -> TableCell:
    """Ours less the paper's number, which has no deviation: the interval is ours, moved."""
    if place is None:
        return TableCell()
    if ours.value is None:
        return TableCell(role="difference")
    paper = place.published
    digits = table_decimals(table_number(ours.value))
    return TableCell(
        value=ours.value - paper.value,
        low=None if ours.low is None else ours.low - paper.value,
        high=None if ours.high is None else ours.high - paper.value,
        decimals=digits and max(digits, paper.decimals),
        role="difference",
    )


def _name(
    chain: ShapeChain,
    measured: PaperMeasurements,
    competing: Iterable[Measured],
    common: tuple[int, int] | None,
    notes: Marks,
) -> TableCell:
    """`ours (quick, embedded data, 32 px), n = 50/200, floor 12.30 †`."""
    text = chain.name + (f" ({measured.setting})" if measured.setting else "")
    if common and common[0]:
        text += f", {images(common)}"
    floors = {result.floor for result in competing}
    if len(floors) == 1 and (floor := floors.pop()) is not None:
        text += f", floor {table_number(floor)}"
    marks = []
    if measured.setting and not measured.comparable:
        text_of_mark = f"not comparable with the published values: {measured.setting}; no difference is taken"
        marks.append(notes.sign(OTHER_SETTING, text_of_mark))
    if measured.stands_in(chain):
        text_of_mark = (
            f"by {measured.protocols[chain]}: not what the paper measured, to which {chain.protocols[0]} is nearest"
        )
        marks.append(notes.sign(OTHER_PROTOCOL, text_of_mark))
    return TableCell(text, marks=tuple(marks))


def _best(line: PaperRow, chain: ShapeChain, measured: PaperMeasurements) -> BestSet | None:
    """Methods of a row that are not distinguishable from the best; None below two that can be compared."""
    competing = {
        name: result
        for name, result in measured.competing(line, chain).items()
        if not is_no_diversity(result.protocol, result.values)
    }
    if len(competing) < 2 or measured.unequal(line, chain):
        return None
    deviations = {
        name: result.image_deviation for name, result in competing.items() if result.image_deviation is not None
    }
    return best_set({name: result.values for name, result in competing.items()}, line.higher_is_better, deviations)
