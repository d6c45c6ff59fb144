"""The columns of measured values: what may share one, what its cells say, and which of them are bold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import Better, Cell, Column
from bench.spec.protocols import ALL, PROTOCOLS
from bench.store.query import Floor, Key, Part, Pool
from metrics.statistics.comparing import BestSet, best_of
from metrics.statistics.intervals import NORMAL_95, SeedInterval, seed_intervals

UNEQUAL = "the seeds were not scored with the same numbers of images"


@dataclass(frozen=True)
class Measure:
    """A column: the values of one class by one protocol with one encoder, and never of two."""

    protocol: str
    encoder: str
    label: str
    parts: tuple[Part | None, ...]
    """One per row of the table; None for a row of which nothing was scored."""

    @cached_property
    def pools(self) -> dict[int, Pool]:
        """Number of a row -> what was measured of it, if there is a value."""
        return {i: pool for i, part in enumerate(self.parts) if part and (pool := self.pool(part)) and pool.values}

    @cached_property
    def over(self) -> dict[int, SeedInterval]:
        """Number of a row -> mean over seeds, if there is a value."""
        return dict(zip(self.pools, seed_intervals([pool.values for pool in self.pools.values()]), strict=True))

    def pool(self, part: Part) -> Pool | None:
        """What was measured of `part`, with a value or without."""
        return part.pools.get(Key(self.protocol, self.encoder, self.label))

    @property
    def higher_is_better(self) -> bool:
        """Direction."""
        return PROTOCOLS[self.protocol].higher_is_better

    @cached_property
    def comparable(self) -> bool:
        """Whether all values are of the same numbers of images: else they are not compared."""
        counts = {pool.counts for pool in self.pools.values()}
        return len(counts) == 1 and None not in counts

    @cached_property
    def best(self) -> BestSet | None:
        """Which rows cannot be told from the best, by their numbers as texts; None below two that can be compared."""
        if len(self.pools) < 2 or not self.comparable:
            return None
        over = {f"{i:06d}": of for i, of in self.over.items()}
        known = {f"{i:06d}": pool.deviation for i, pool in self.pools.items() if pool.deviation is not None}
        return best_of(over, self.higher_is_better, known)

    def bold(self, row: int) -> bool:
        """Whether the row cannot be told from the best."""
        return self.best is not None and f"{row:06d}" in self.best.members

    def heading(self, label: str, in_title: bool = False) -> Column:
        """The column's heading."""
        protocol = PROTOCOLS[self.protocol]
        return Column(label, protocol.name, protocol.unit, better(protocol.name), in_title=in_title)

    def cell(self, row: int, state: str, begun: int, marks: Marks) -> Cell:
        """Mean ± deviation over seeds and k/n of the `begun` seeds; or why there is none.

        `state`: that of the cells, if nothing was scored.
        """
        part = self.parts[row]
        if part is None:
            return Cell(missing=state, seeds=(0, begun), role="ours")
        pool, blank = self.pool(part), part.pools.get(Key(self.protocol, "", self.label))
        reasons = list(dict.fromkeys(reason for of in (pool, blank) if of for reason in of.reasons))
        if pool is None or not pool.values:
            return Cell(missing="; ".join(reasons), seeds=(0, begun), role="ours")
        if pool.counts is None:
            reasons.append(UNEQUAL)
        over = self.over[row]
        return Cell(
            value=over.mean, deviation=over.deviation, low=over.low, high=over.high, seeds=(over.k, begun),
            images=pool.counts, bold=self.bold(row), marks=tuple(map(marks.letter, reasons)), role="ours",
        )  # fmt: skip

    def over_images(self, row: int) -> Cell:
        """The mean with its 95 % interval over images."""
        pool = self.pools.get(row)
        if pool is None or pool.deviation is None:
            return Cell(role="ours")
        mean = self.over[row].mean
        assert mean is not None
        reach = NORMAL_95 * pool.deviation
        return Cell(value=mean, low=mean - reach, high=mean + reach, images=pool.counts, role="ours")

    def over_seeds(self, row: int, begun: int) -> Cell:
        """The mean with its 95 % interval over seeds, if there are several."""
        pool = self.pools.get(row)
        if pool is None or len(pool.values) < 2:
            return Cell(role="ours")
        over = self.over[row]
        return Cell(
            value=over.mean, low=over.low, high=over.high, seeds=(over.k, begun), images=pool.counts, role="ours"
        )

    def on_real(self) -> Cell:
        """What the same encoder says of the target domain's own test images: the ceiling of a translation accuracy."""
        found = {value for part in self.parts if part and (pool := self.pool(part)) for value in pool.on_real}
        return Cell(value=found.pop(), decimals=2, role="reference") if len(found) == 1 else Cell()

    def floors(self) -> list[Cell]:
        """The floor, with its n where that is not the values' own; one for each n where these differ."""
        found: dict[tuple[int, int, int], Floor] = {}
        for part in self.parts:
            for floor in pool.floors if part and (pool := self.pool(part)) else ():
                found.setdefault(floor[2:], floor)
        own = len(found) == 1 and all(floor.n == floor.of for floor in found.values())
        return [
            Cell(
                value=of.value, deviation=of.deviation or None, images=(of.n, of.n_reference), images_in_name=own,
                role="reference",
            )
            for of in found.values()
        ]  # fmt: skip


def better(protocol: str) -> Better:
    """Direction of a protocol, as columns have it."""
    return "higher" if PROTOCOLS[protocol].higher_is_better else "lower"


def measures(parts: Sequence[Part | None], protocols: Iterable[str], label: str = ALL) -> list[Measure]:
    """The columns of `protocols`: numbers of different protocols or different weights never share one.

    A protocol whose encoder is missing in every cell has one column; one that is missing in some joins the others'.
    """
    encoders: dict[str, set[str]] = {}
    for part in parts:
        for key in part.pools if part else ():
            if key.label == label:
                encoders.setdefault(key.protocol, set()).add(key.encoder)
    return [
        Measure(protocol, encoder, label, tuple(parts))
        for protocol in protocols
        for encoder in sorted(encoders.get(protocol, ()))
        if encoder or len(encoders[protocol]) == 1
    ]


def headings(columns: Sequence[Measure]) -> list[Column]:
    """Name, unit and direction of each; the encoder, too, where one protocol has several."""
    seen = [column.protocol for column in columns]
    return [
        column.heading(column.protocol + (f" [{column.encoder}]" if seen.count(column.protocol) > 1 else ""))
        for column in columns
    ]


def about_bold(columns: Iterable[Measure]) -> list[str]:
    """What was tested, and where nothing could be."""
    notes = sorted({column.best.note for column in columns if column.best})
    told = [note for note in notes if note.startswith("bold")] or notes
    if any(len(column.pools) > 1 and not column.comparable for column in columns):
        told.append("nothing is bold in a column whose numbers of images differ: those values cannot be compared")
    return told
