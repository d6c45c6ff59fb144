"""Which series a check compares, and with how many new seeds: decided by the baseline alone.

The distance by the judge of every method in every direction; the accuracy only where the baseline's is far enough above
chance to have something to lose. A method near chance would add series that can hardly fall, and cost the others power.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.gate import statistics
from bench.gate.baseline import Baseline
from bench.gate.trainings import Measure
from bench.protocol import PROTOCOLS

DISTANCE = "fid-judge-v1"
ACCURACY = "accuracy-judge-v1"
ABOVE_CHANCE = 30.0
"""Points."""
LEAST_POINTS = 1.0
"""Of accuracy: the smallest change that is called one, however little the seeds scatter."""
LEAST_SHARE = 0.01
"""The same for a distance, as a share of the baseline's mean."""


@dataclass(frozen=True)
class Series:
    """One metric of one method in one direction, over the baseline's seeds."""

    method: str
    measure: Measure
    stored: np.ndarray
    """(m,) in the order of the baseline's seeds; larger is worse (an accuracy has its sign changed), inf: failed."""

    @property
    def sign(self) -> int:
        """-1 where larger values are better: times it, larger is worse."""
        return -1 if PROTOCOLS[self.measure.protocol].higher_is_better else 1

    @property
    def subject(self) -> str:
        """As it is shown."""
        return f"{self.method} {self.measure.direction}"

    @property
    def quantity(self) -> str:
        """As it is shown."""
        return f"{self.measure.protocol} {PROTOCOLS[self.measure.protocol].unit}".strip()

    @property
    def deviation(self) -> float:
        """Of the baseline's seeds."""
        return statistics.deviation(self.stored)

    @property
    def least(self) -> float:
        """The smallest change that is called one, however little the seeds scatter."""
        mean = float(np.mean(self.stored[np.isfinite(self.stored)]))
        return LEAST_POINTS if self.measure.protocol == ACCURACY else LEAST_SHARE * abs(mean)

    @property
    def minimum(self) -> float:
        """By how much the mean must be worse, beside the test."""
        return max(statistics.MINIMUM * self.deviation, self.least)

    @property
    def implausible(self) -> float:
        """By how much the mean must be better, beside the test."""
        return max(statistics.IMPLAUSIBLE_MINIMUM * self.deviation, 2 * self.least)

    def text(self, values: np.ndarray) -> str:
        """Mean, deviation and number of `values`, which are as `stored` is."""
        ended = self.sign * values[np.isfinite(values)]
        failed = f", {len(values) - len(ended)} failed" if len(ended) < len(values) else ""
        if not len(ended):
            return f"{len(values)} failed"
        scatter = f" ± {number(statistics.deviation(ended))}" if len(ended) > 1 else ""
        return f"{number(float(ended.mean()))}{scatter} ({counted(len(ended), 'seed')}{failed})"

    def stored_text(self) -> str:
        """`stored` as it is shown."""
        return self.text(self.stored)

    def reach(self, new: int, series: int) -> str:
        """What a check with `new` seeds finds, in words."""
        in_deviations = statistics.detectable(len(self.stored), new, series)
        if not np.isfinite(in_deviations):
            return "no change is found reliably"
        way = "fall" if self.sign < 0 else "rise"
        return f"a {way} of {number(max(in_deviations * self.deviation, self.least))} is found in 9 of 10 checks"


def number(value: float) -> str:
    """Three significant digits, no exponent for what occurs."""
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def counted(count: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def family_of(baseline: Baseline) -> list[Series]:
    """Every series that is compared, in the order of methods and directions."""
    found = []
    for name, method in baseline.methods.items():
        for measure in sorted(method.made):
            if measure.protocol not in (DISTANCE, ACCURACY):
                continue
            series = series_of(baseline, name, measure)
            if measure.protocol == DISTANCE or above_chance(baseline, series) >= ABOVE_CHANCE:
                found.append(series)
    return found


def series_of(baseline: Baseline, method: str, measure: Measure) -> Series:
    """The baseline's values of one measure of one method."""
    sign = -1 if PROTOCOLS[measure.protocol].higher_is_better else 1
    trainings = baseline.of(method)
    found = [trainings[seed] for seed in baseline.seeds]
    return Series(method, measure, np.array([np.inf if of.failure else sign * of.values[measure] for of in found]))


def above_chance(baseline: Baseline, series: Series) -> float:
    """By how many points the mean accuracy exceeds that of guessing."""
    ended = series.stored[np.isfinite(series.stored)]
    return float(series.sign * ended.mean()) - 100 / baseline.classes


@dataclass(frozen=True)
class Plan:
    """How a check is made."""

    new: int
    """New seeds of each method, by default."""
    warnings: tuple[str, ...]
    """What it will not find, though it should."""


def plan(baseline: Baseline) -> Plan:
    """The default number of new seeds, from the scatter of the accuracies that are watched."""
    family = family_of(baseline)
    watched = [series for series in family if series.measure.protocol == ACCURACY]
    m, j = len(baseline.seeds), len(family)
    new = statistics.default_new(m, j, [series.deviation for series in watched])
    if statistics.attainable(m, new, j) > statistics.LEVEL:
        return Plan(new, (f"{m} seeds are too few for {j} series: every check will end with 'cannot decide'",))
    reach, fall = statistics.detectable(m, new, j), number(statistics.FALL)
    warnings = [
        f"{series.subject}: its seeds scatter by {number(series.deviation)} points: a fall of {fall} points is found "
        f"less often than in 9 of 10 checks with {new} new seeds"
        for series in watched
        if statistics.CAUTION * series.deviation * reach > statistics.FALL
    ]
    return Plan(new, tuple(warnings))
