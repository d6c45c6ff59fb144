"""The paper's tables with our measurements beside the published values.

Below each row of the paper stand ours and, where the two may be compared, the difference with its interval. What was
not measured with the published settings on the published data is marked, and no difference is taken: it would be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.core.errors import BenchError, nearest
from bench.reporting.paper.notes import header, plain_footnotes, sources
from bench.reporting.paper.published import Inconsistency, inconsistencies
from bench.reporting.paper.shapes import SHAPES, WEAK, Chain, Line, Place, Shape
from bench.reporting.paper.values import Found, Lookup, Measured, find, places
from bench.reporting.setting import Commands
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import Cell, Column, Group, Table, decimals_of, images, number
from metrics.statistics.comparing import BestSet, best_set
from metrics.statistics.intervals import NORMAL_95, seed_interval

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
        raise BenchError(f"the paper has no table '{name}'", nearest(name, list(SHAPES)))
    shape = SHAPES[name]()
    found = find(shape, lookup)
    notes = Marks()
    columns, on_numbers = _columns(shape, notes)
    best = {(line, chain): _best(line, chain, found) for line in shape.lines for chain in line.chains}
    groups = tuple(_group(line, found, best, notes, on_numbers) for line in shape.lines)
    tests = sorted({of.note for of in best.values() if of})
    footnotes = (*notes.footnotes, *plain_footnotes(shape, found, tests, commands))
    return Table(shape.title, columns, groups, header(shape, found), footnotes, stub=2)


def _columns(shape: Shape, notes: Marks) -> tuple[tuple[Column, ...], list[Inconsistency]]:
    """The headings, and the inconsistencies about single numbers: those about all of a column mark its heading."""
    every = dict.fromkeys(note for source in sources(shape) for note in inconsistencies(source))
    single = [note for note in every if any(note.about(place.published) for place in places(shape.lines))]
    headings = [Column(shape.first, align="left"), Column("value", align="left")]
    for index, column in enumerate(shape.columns):
        numbers = [place.published for line in shape.lines if (place := line.places[index])]
        whole = [note for note in single if len(shape.columns) > 1 and all(map(note.about, numbers))]
        single = [note for note in single if note not in whole]
        marks = [notes.sign(WEAK, "weak supervision: uses a network trained on labels")] if column.weak else []
        headings.append(Column(column.label, marks=(*marks, *(notes.letter(note.told) for note in whole))))
    return tuple(headings), single


def _group(
    line: Line, found: Found, best: dict[tuple[Line, Chain], BestSet | None], notes: Marks,
    on_numbers: Sequence[Inconsistency],
) -> Group:  # fmt: skip
    """Published, ours, difference: a row of the paper."""
    name = Cell(line.label)
    rows = [(name, Cell("published"), *(_published(place, notes, on_numbers) for place in line.places))]
    for chain in line.chains:
        competing = list(found.competing(line, chain).values())
        common = _common_images(competing or [found.measured.get((place, chain)) for place in line.places if place])
        bold = best_of.members if (best_of := best[line, chain]) else frozenset()
        ours = [
            _ours(found.measured.get((place, chain)), place.candidates[0] in bold, common, notes) if place else Cell()
            for place in line.places
        ]
        rows.append((name, _name(chain, found, competing, common, notes), *ours))
        if found.compares(chain) and any(cell.value is not None for cell in ours):
            differences = (_difference(place, cell) for place, cell in zip(line.places, ours, strict=True))
            rows.append((name, Cell("difference"), *differences))
    return Group(tuple(rows))


def _common_images(results: Iterable[Measured | None]) -> tuple[int, int] | None:
    counts = {result.images for result in results if result and result.values}
    return counts.pop() if len(counts) == 1 else None


def _published(place: Place | None, notes: Marks, on_numbers: Sequence[Inconsistency]) -> Cell:
    if place is None:
        return Cell()
    paper = place.published
    marks = tuple(notes.letter(note.told) for note in on_numbers if note.about(paper))
    return Cell(value=paper.value, decimals=paper.decimals, marks=marks, role="published")


def _ours(result: Measured | None, bold: bool, common: tuple[int, int] | None, notes: Marks) -> Cell:
    """Mean ± deviation over seeds and k/n, or why there is none. `common`: what the row's name says of images."""
    if result is None:
        return Cell(role="ours")
    reasons = [*(f"failed: {reason}" for reason in dict.fromkeys(result.failed)), *dict.fromkeys(result.missing)]
    marks = tuple(map(notes.letter, reasons))
    begun = len(result.values) + len(result.failed) + len(result.missing)
    if not result.values:
        why = "failed" if result.failed else "not scored"
        return Cell(missing=why, seeds=(0, begun), marks=marks, role="ours")
    over = seed_interval(result.values)
    assert over.mean is not None
    low, high = over.low, over.high
    if over.k == 1 and result.image_deviation is not None:
        reach = NORMAL_95 * result.image_deviation
        low, high = over.mean - reach, over.mean + reach
    return Cell(
        value=over.mean, deviation=over.deviation, low=low, high=high, seeds=(over.k, begun), marks=marks, bold=bold,
        images=result.images if result.n else None, images_in_name=result.images == common, role="ours",
    )  # fmt: skip


def _difference(place: Place | None, ours: Cell) -> Cell:
    """Ours less the paper's number, which has no deviation: the interval is ours, moved."""
    if place is None:
        return Cell()
    if ours.value is None:
        return Cell(role="difference")
    paper = place.published
    digits = decimals_of(number(ours.value))
    return Cell(
        value=ours.value - paper.value,
        low=None if ours.low is None else ours.low - paper.value,
        high=None if ours.high is None else ours.high - paper.value,
        decimals=digits and max(digits, paper.decimals),
        role="difference",
    )


def _name(
    chain: Chain, found: Found, competing: Iterable[Measured], common: tuple[int, int] | None, notes: Marks
) -> Cell:
    """`ours (quick, embedded data, 32 px), n = 50/200, floor 12.30 †`."""
    text = chain.name + (f" ({found.setting})" if found.setting else "")
    if common and common[0]:
        text += f", {images(common)}"
    floors = {result.floor for result in competing}
    if len(floors) == 1 and (floor := floors.pop()) is not None:
        text += f", floor {number(floor)}"
    marks = []
    if found.setting and not found.comparable:
        told = f"not comparable with the published values: {found.setting}; no difference is taken"
        marks.append(notes.sign(OTHER_SETTING, told))
    if found.stands_in(chain):
        told = f"by {found.protocols[chain]}: not what the paper measured, to which {chain.protocols[0]} is nearest"
        marks.append(notes.sign(OTHER_PROTOCOL, told))
    return Cell(text, marks=tuple(marks))


def _best(line: Line, chain: Chain, found: Found) -> BestSet | None:
    """Which methods of a row cannot be told from the best; None below two that can be compared."""
    competing = found.competing(line, chain)
    if len(competing) < 2 or found.unequal(line, chain):
        return None
    deviations = {name: of.image_deviation for name, of in competing.items() if of.image_deviation is not None}
    return best_set({name: of.values for name, of in competing.items()}, line.higher_is_better, deviations)
