"""Which series a check compares, and with how many new seeds: decided by the baseline alone.

One distance of every method in every direction, by the judge, or where there is none (data without classes) the next of
`DISTANCES`; the accuracy, and the alignment of a method's categories, only where the baseline's is far enough above
chance to have something to lose. A method near chance would add series that can hardly fall, and cost the others power.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.checks.gate.baseline import Baseline
from bench.checks.gate.trainings import TrainingMeasure
from bench.spec.protocols import PROTOCOLS, WEIGHTLESS
from metrics.statistics import permutation as statistics

DISTANCES = ("fid-judge-v1", "fid-inception-v1", WEIGHTLESS)
"""The first of them that was measured is compared."""
ACCURACY = "accuracy-judge-v1"
ALIGNMENT = "alignment-v1"
SHARES = (ACCURACY, ALIGNMENT)
"""Protocols in percent of the images, of which a guess gets one class in all."""
ABOVE_CHANCE = 30.0
"""Points."""
LEAST_POINTS = 1.0
"""Smallest change of a share that is called one, in points, however little the seeds scatter."""
LEAST_SHARE = 0.01
"""Smallest such change of a distance, as a share of the baseline's mean."""


@dataclass(frozen=True)
class Series:
    """One metric of one method in one direction, over the baseline's seeds."""

    method: str
    measure: TrainingMeasure
    stored: np.ndarray
    """(m,) in the order of the baseline's seeds; larger is worse (an accuracy has its sign changed), inf: failed."""

    @property
    def sign(self) -> int:
        """-1 where larger values are better: times it, larger is worse."""
        return -1 if PROTOCOLS[self.measure.protocol].higher_is_better else 1

    @property
    def subject(self) -> str:
        """Method and direction, as they are shown."""
        return f"{self.method} {self.measure.direction}"

    @property
    def quantity(self) -> str:
        """Protocol and unit, as they are shown."""
        return f"{self.measure.protocol} {PROTOCOLS[self.measure.protocol].unit}".strip()

    @property
    def scatter(self) -> float:
        """Scatter of the baseline's seeds."""
        return statistics.scatter(self.stored)

    @property
    def least(self) -> float:
        """The smallest change that is called one, however little the seeds scatter."""
        mean = float(np.mean(self.stored[np.isfinite(self.stored)]))
        return LEAST_POINTS if self.measure.protocol in SHARES else LEAST_SHARE * abs(mean)

    @property
    def minimum(self) -> float:
        """Amount by which new seeds must be worse, beside the test."""
        return max(statistics.MINIMUM * self.scatter, self.least)

    @property
    def implausible(self) -> float:
        """Amount by which new seeds must be better, beside the test."""
        return max(statistics.IMPLAUSIBLE_MINIMUM * self.scatter, 2 * self.least)

    def in_doubt(self, new: np.ndarray) -> bool:
        """Whether the first new values call for more of them: worse, or better, by two thirds of what counts."""
        change = statistics.permutation_worsening(self.stored, new)
        return change > statistics.DOUBT * self.minimum or -change > statistics.DOUBT * self.implausible

    def text(self, values: np.ndarray) -> str:
        """Mean, deviation and number of `values`, which are as `stored` is."""
        ended = self.sign * values[np.isfinite(values)]
        failed = f", {len(values) - len(ended)} failed" if len(ended) < len(values) else ""
        if not len(ended):
            return f"{len(values)} failed"
        scatter = f" ± {three_digits(statistics.permutation_deviation(ended))}" if len(ended) > 1 else ""
        return f"{three_digits(float(ended.mean()))}{scatter} ({count_text(len(ended), 'seed')}{failed})"

    def stored_text(self) -> str:
        """`stored` as it is shown."""
        return self.text(self.stored)

    def reach(self, new: int, series: int, first: int) -> str:
        """Change that a check with `new` seeds, `first` of them at first, finds in a family of `series`, in words."""
        least = max(self.least, statistics.permutation_least_fall(self.stored, new, series, first))
        if not np.isfinite(least):
            return "no change is found reliably"
        way = "fall" if self.sign < 0 else "rise"
        return f"a {way} of {three_digits(least)} is found in 9 of 10 checks"


def three_digits(value: float) -> str:
    """Three significant digits, no exponent for what occurs."""
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def count_text(count: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def watched_series(baseline: Baseline) -> list[Series]:
    """Every series that is compared, in the order of methods and directions."""
    family = []
    measured = {measure.protocol for method in baseline.methods.values() for measure in method.made}
    distance = next((name for name in DISTANCES if name in measured), "")
    for name, method in baseline.methods.items():
        for measure in sorted(method.made):
            if measure.protocol not in (distance, *SHARES):
                continue
            series = baseline_series(baseline, name, measure)
            if measure.protocol == distance or points_above_chance(baseline, series) >= ABOVE_CHANCE:
                family.append(series)
    return family


def baseline_series(baseline: Baseline, method: str, measure: TrainingMeasure) -> Series:
    """The baseline's values of one measure of one method."""
    sign = -1 if PROTOCOLS[measure.protocol].higher_is_better else 1
    trainings = baseline.of(method)
    in_order = [trainings[seed] for seed in baseline.seeds]
    values = [np.inf if training.failure else sign * training.values[measure] for training in in_order]
    return Series(method, measure, np.array(values))


def points_above_chance(baseline: Baseline, series: Series) -> float:
    """Points by which a mean share exceeds that of guessing."""
    ended = series.stored[np.isfinite(series.stored)]
    return float(series.sign * ended.mean()) - 100 / baseline.classes


@dataclass(frozen=True)
class FamilyPlan:
    """Default numbers of new seeds of a check."""

    first: int
    """New seeds of every method that are trained first."""
    new: Mapping[str, int]
    """Method -> new seeds in all, where its first ones are in doubt."""
    warnings: tuple[str, ...]
    """Changes that it will not find, though it should."""


def plan_family(baseline: Baseline) -> FamilyPlan:
    """The default numbers of new seeds, from the scatter of the shares that are watched."""
    family = watched_series(baseline)
    m, j = len(baseline.seeds), len(family)
    watched = {
        name: [series for series in family if series.method == name and series.measure.protocol in SHARES]
        for name in baseline.methods
    }
    first = max(statistics.FIRST, statistics.permutation_fewest(m, j, statistics.LEVEL) or 0)
    new = {
        name: statistics.permutation_default(m, j, [series.stored for series in shares], first)
        for name, shares in watched.items()
    }
    if statistics.permutation_bound(m, max(new.values()), j) > statistics.LEVEL:
        too_few = f"{m} seeds are too few for {j} series: every check will end with 'cannot decide'"
        return FamilyPlan(first, new, (too_few,))
    warnings = [
        f"{series.subject}: its seeds scatter by {three_digits(series.scatter)} points: a fall of "
        f"{three_digits(statistics.FALL)} points is found less often than in 9 of 10 checks with {new[name]} new seeds"
        for name, shares in watched.items()
        for series in shares
        if statistics.permutation_power(series.stored, statistics.FALL, new[name], j, first) < statistics.POWER
    ]
    return FamilyPlan(first, {name: max(first, count) for name, count in new.items()}, tuple(warnings))
