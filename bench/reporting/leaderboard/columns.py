"""The columns of measured values: what may share one, what its cells say, and which of them are bold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.reporting.ranges import (
    DETERMINISTIC,
    WITHIN_SOURCE,
    ends_over_images,
    is_no_diversity,
    metric_range,
    share_ends,
)
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.table import Better, Column, TableCell
from bench.spec.protocols import ALL, PROTOCOLS
from bench.store.query import Floor, MeasureKey, Measurement, RowScores, query_weak_judge
from metrics.statistics.comparing import BestSet, best_of
from metrics.statistics.intervals import SeedInterval, seed_intervals

UNEQUAL = "the seeds were not scored with the same numbers of images"


@dataclass(frozen=True)
class MeasuredColumn:
    """A column: the values of one class by one protocol with one encoder, and never of two."""

    protocol: str
    encoder: str
    label: str
    scores: tuple[RowScores | None, ...]
    """One per row of the table; None for a row of which nothing was scored."""

    @cached_property
    def asked(self) -> dict[int, Measurement]:
        """Number of a row -> its measurement, with a value or without."""
        return {i: held for i, scores in enumerate(self.scores) if scores and (held := self.measurement(scores))}

    @cached_property
    def measurements(self) -> dict[int, Measurement]:
        """Number of a row -> its measurement, if there is a value."""
        return {i: measurement for i, measurement in self.asked.items() if measurement.values}

    @cached_property
    def deterministic(self) -> frozenset[int]:
        """Numbers of the rows whose styles are all the same image: a diversity of 0 in every seed."""
        return frozenset(
            i for i, held in self.measurements.items() if is_no_diversity(self.protocol, held.values, WITHIN_SOURCE)
        )

    @property
    def competing(self) -> dict[int, Measurement]:
        """The measurements that can be marked: a diversity of 0 is none of them."""
        return {i: held for i, held in self.measurements.items() if not is_no_diversity(self.protocol, held.values)}

    @cached_property
    def over(self) -> dict[int, SeedInterval]:
        """Number of a row -> mean over seeds, if there is a value."""
        values = [measurement.values for measurement in self.measurements.values()]
        intervals = seed_intervals(values, within=metric_range(self.protocol))
        return {
            row: over.widened(share_ends(self.protocol, over.mean, measurement.counts))
            for (row, measurement), over in zip(self.measurements.items(), intervals, strict=True)
        }

    @cached_property
    def weak(self) -> str:
        """What to say beside every value if the column's judge is wrong on too many real images; else empty."""
        return query_weak_judge(self.scores, self.protocol, self.encoder)

    def measurement(self, row_scores: RowScores) -> Measurement | None:
        """What was measured of `row_scores`, with a value or without."""
        return row_scores.measurements.get(MeasureKey(self.protocol, self.encoder, self.label))

    @property
    def higher_is_better(self) -> bool:
        """Direction."""
        return PROTOCOLS[self.protocol].higher_is_better

    @cached_property
    def comparable(self) -> bool:
        """Whether all values are of the same numbers of images: else they are not compared."""
        counts = {measurement.counts for measurement in self.measurements.values()}
        return len(counts) == 1 and None not in counts

    @cached_property
    def best(self) -> BestSet | None:
        """Rows not distinguishable from the best, by their numbers as texts; None below two that can be compared."""
        competing = self.competing
        if len(competing) < 2 or not self.comparable:
            return None
        over = {f"{i:06d}": self.over[i] for i in competing}
        deviations = {f"{i:06d}": measurement.deviation for i, measurement in competing.items()}
        known = {name: deviation for name, deviation in deviations.items() if deviation is not None}
        return best_of(over, self.higher_is_better, known)

    def bold(self, row: int) -> bool:
        """Whether the row is not distinguishable from the best."""
        return self.best is not None and f"{row:06d}" in self.best.members

    def heading(self, label: str, in_title: bool = False) -> Column:
        """The column's heading."""
        protocol = PROTOCOLS[self.protocol]
        return Column(label, protocol.name, protocol.unit, better_direction(protocol.name), in_title=in_title)

    def cell(self, row: int, state: str, begun: int, marks: Marks) -> TableCell:
        """Mean ± deviation over seeds and k/n of the `begun` seeds; or why there is none.

        `state`: that of the cells, if nothing was scored.
        """
        row_scores = self.scores[row]
        if row_scores is None:
            return TableCell(missing=state, seeds=(0, begun), role="ours")
        measurement = self.asked.get(row)
        blank = row_scores.measurements.get(MeasureKey(self.protocol, "", self.label))
        reasons = list(dict.fromkeys(reason for held in (measurement, blank) if held for reason in held.reasons))
        if measurement is None or not measurement.values:
            return TableCell(missing="; ".join(reasons), seeds=(0, begun), role="ours")
        if row in self.deterministic:
            return TableCell("none", marks=(marks.letter(DETERMINISTIC),), role="ours")
        if measurement.counts is None:
            reasons.append(UNEQUAL)
        if self.weak:
            reasons.append(self.weak)
        over = self.over[row]
        return TableCell(
            value=over.mean, deviation=over.deviation, low=over.low, high=over.high, seeds=(over.k, begun),
            images=measurement.counts, bold=self.bold(row), marks=tuple(map(marks.letter, reasons)), role="ours",
        )  # fmt: skip

    def over_images(self, row: int) -> TableCell:
        """The mean with its 95 % interval over images."""
        measurement = self.measurements.get(row)
        if measurement is None or measurement.deviation is None or row in self.deterministic:
            return TableCell(role="ours")
        mean = self.over[row].mean
        assert mean is not None
        ends = ends_over_images(self.protocol, mean, measurement.deviation, measurement.counts)
        low, high = ends or (None, None)
        return TableCell(value=mean, low=low, high=high, images=measurement.counts, role="ours")

    def over_seeds(self, row: int, begun: int) -> TableCell:
        """The mean with its 95 % interval over seeds, if there are several."""
        measurement = self.measurements.get(row)
        if measurement is None or len(measurement.values) < 2 or row in self.deterministic:
            return TableCell(role="ours")
        over = self.over[row]
        return TableCell(
            value=over.mean, low=over.low, high=over.high, seeds=(over.k, begun), images=measurement.counts, role="ours"
        )

    def on_real(self) -> TableCell:
        """What the same encoder says of the target domain's own test images: the ceiling of a translation accuracy."""
        values = {value for measurement in self.asked.values() for value in measurement.on_real}
        return TableCell(value=values.pop(), decimals=2, role="reference") if len(values) == 1 else TableCell()

    def floors(self) -> list[TableCell]:
        """The floor, with its n where that is not the values' own; one for each n where these differ."""
        floors: dict[tuple[int, int, int], Floor] = {}
        for measurement in self.asked.values():
            for floor in measurement.floors:
                floors.setdefault(floor[2:], floor)
        same_n = len(floors) == 1 and all(floor.n == floor.n_translated for floor in floors.values())
        return [
            TableCell(
                value=floor.value, deviation=floor.deviation or None, images=(floor.n, floor.n_reference),
                images_in_name=same_n, role="reference",
            )
            for floor in floors.values()
        ]  # fmt: skip


def better_direction(protocol: str) -> Better:
    """Direction of a protocol, as columns have it."""
    return "higher" if PROTOCOLS[protocol].higher_is_better else "lower"


def measured_columns(
    scores: Sequence[RowScores | None], protocols: Iterable[str], label: str = ALL
) -> list[MeasuredColumn]:
    """The columns of `protocols`: numbers of different protocols or different weights never share one.

    A protocol whose encoder is missing in every cell has one column; one that is missing in some joins the others'.
    """
    encoders: dict[str, set[str]] = {}
    for row_scores in scores:
        for key in row_scores.measurements if row_scores else ():
            if key.label == label:
                encoders.setdefault(key.protocol, set()).add(key.encoder)
    return [
        MeasuredColumn(protocol, encoder, label, tuple(scores))
        for protocol in protocols
        for encoder in sorted(encoders.get(protocol, ()))
        if encoder or len(encoders[protocol]) == 1
    ]


def column_headings(columns: Sequence[MeasuredColumn]) -> list[Column]:
    """Name, unit and direction of each; the encoder, too, where one protocol has several."""
    seen = [column.protocol for column in columns]
    return [
        column.heading(column.protocol + (f" [{column.encoder}]" if seen.count(column.protocol) > 1 else ""))
        for column in columns
    ]


def about_bold(columns: Iterable[MeasuredColumn]) -> list[str]:
    """What was tested, and which columns have no mark and why; nothing where there is nothing to mark."""
    columns = list(columns)
    tested = [column for column in columns if column.best and column.best.members]
    untested = [column for column in columns if column.best and not column.best.members]
    unequal = [column for column in columns if len(column.competing) > 1 and not column.comparable]
    notes = sorted({column.best.note for column in tested if column.best})
    for without, why in (
        (untested, "one seed without a deviation, so nothing could be tested"),
        (unequal, "its numbers of images differ, so its values cannot be compared"),
    ):
        names = dict.fromkeys(
            column.protocol if column.label == ALL else f"{column.protocol} of {column.label}" for column in without
        )
        notes += [f"no bold in {', '.join(names)}: {why}"] if names else []
    return notes
