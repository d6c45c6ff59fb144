"""The shipped baseline: whole, trainable as it was, and how often it alarms falsely or finds a fall.

`gate_fresh_seeds.json` holds trainings of other seeds, made after the shipped ones with the same settings and the same
code. Checks are made of them against the shipped ones, and of all together with other seeds in the role of the stored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bench.checks.gate.baseline import JUDGES, Baseline, baseline_folder, load_baseline
from bench.checks.gate.family import (
    ABOVE_CHANCE,
    ACCURACY,
    DISTANCES,
    FamilyPlan,
    Series,
    baseline_series,
    plan_family,
    points_above_chance,
    watched_series,
)
from bench.checks.gate.rerun import rerun_requests
from bench.checks.gate.save import list_saved_baselines
from bench.checks.gate.training import decide_series
from bench.checks.gate.trainings import TrainingMeasure
from bench.checks.gate.verdict import Verdict
from metrics.statistics import permutation as statistics

FRESH = Path(__file__).parent / "gate_fresh_seeds.json"
METHODS = ["cats_udt", "cyclegan", "drit", "egsc_it", "munit", "stargan_v2"]
DIRECTIONS = ("mnist->svhn", "svhn->mnist")
NOWHERE = Path("no-such-results")


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return load_baseline(NOWHERE, "embedded")


# ------------------------------------------------------------------------------------------------------- what it holds


def test_it_holds_twenty_seeds_of_all_six_methods(baseline: Baseline) -> None:
    assert sorted(baseline.methods) == METHODS
    assert baseline.seeds == tuple(range(20))
    assert (baseline.task, baseline.shared.preset, baseline.shared.data_kind) == ("mnist2svhn", "quick", "embedded")
    assert "embedded  mnist2svhn, quick, 6 methods x 20 seeds" in list_saved_baselines(NOWHERE)
    for name in METHODS:
        ended = [of for of in baseline.of(name).values() if not of.failure]
        assert len(ended) >= 19
        for measure in baseline.methods[name].made:
            if measure.protocol == DISTANCES[0]:
                assert len({of.values[measure] for of in ended}) == len(ended)  # trainings, not copies


def test_every_method_is_watched_in_both_directions(baseline: Baseline) -> None:
    family = [(of.method, of.measure) for of in watched_series(baseline)]
    for name in METHODS:
        for direction in DIRECTIONS:
            assert (name, (direction, DISTANCES[0])) in family
            accuracy = TrainingMeasure(direction, ACCURACY)
            watched = points_above_chance(baseline, baseline_series(baseline, name, accuracy)) >= ABOVE_CHANCE
            assert ((name, accuracy) in family) == watched
    assert plan_family(baseline).warnings == ()


def test_its_judges_are_those_of_its_scores(baseline: Baseline) -> None:
    folder = baseline_folder(NOWHERE, "embedded") / JUDGES
    stored = [json.loads(path.read_text())["identity"] for path in folder.glob("*/judge.json")]
    used = {made.encoder for of in baseline.methods.values() for at, made in of.made.items() if at.protocol == ACCURACY}
    assert len(stored) == len(used) == 2
    assert all(any(identity.startswith(encoder) for identity in stored) for encoder in used)
    assert len(list(folder.glob("*/weights.safetensors"))) == 2


def test_this_code_can_still_train_it(baseline: Baseline, tmp_path: Path) -> None:
    """Or a rerun cannot decide: whoever changes the data, a preset or a setting so stores a new baseline."""
    requests, obstacle = rerun_requests(baseline, tmp_path, {name: [20] for name in METHODS})
    assert obstacle == ""
    assert {name: of.budget for of in requests for name in of.methods} == {
        name: of.budget for name, of in baseline.methods.items()
    }


def test_nothing_in_it_names_a_place() -> None:
    text = (baseline_folder(NOWHERE, "embedded") / "baseline.json").read_text() + FRESH.read_text()
    for word in ("/tmp", "/work", "/home", "/root", "http"):
        assert word not in text


# --------------------------------------------------------------------------------------- false alarms and what it finds

Sides = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Method -> (stored, new): (m, its series) and (k, its series), larger is worse, inf failed."""


@dataclass(frozen=True)
class Pool:
    """Independent trainings, of which checks are made."""

    family: Sequence[Series]
    default: FamilyPlan
    stored: Mapping[str, np.ndarray]
    """Method -> (20, its series) as shipped."""
    fresh: Mapping[str, np.ndarray]
    """The same of the later seeds."""

    def against_the_shipped(self, rng: np.random.Generator) -> Sides:
        """As many later seeds as a check wants, or all that there are."""
        return {
            name: (self.stored[name], later[rng.permutation(len(later))[: self.default.new[name]]])
            for name, later in self.fresh.items()
        }

    def redrawn(self, rng: np.random.Generator) -> Sides:
        """Any seeds as new, and twenty others as stored, or those that are left."""
        sides = {}
        for name, k in self.default.new.items():
            every = rng.permutation(np.concatenate([self.stored[name], self.fresh[name]]))
            sides[name] = every[k : k + 20], every[:k]
        return sides

    def check(self, sides: Sides, fallen: int = -1) -> dict[int, Verdict]:
        """The verdicts that are no pass. The new accuracy of series `fallen` is lower by `statistics.FALL`."""
        family, found = list(self.family), dict[int, np.ndarray]()
        for name, (stored, new) in sides.items():
            own = [i for i, of in enumerate(family) if of.method == name]
            new = new + statistics.FALL * (np.array(own) == fallen)
            first = new[: self.default.first]
            family = [replace(of, stored=stored[:, own.index(i)]) if i in own else of for i, of in enumerate(family)]
            doubtful = any(family[i].in_doubt(first[:, column]) for column, i in enumerate(own))
            found |= {i: (new if doubtful else first)[:, column] for column, i in enumerate(own)}
        return {i: of.verdict for i, of in decide_series(family, found).items() if of.verdict is not Verdict.PASS}

    def alarms(self, draw: Callable[[np.random.Generator], Sides], checks: int) -> tuple[int, int]:
        """Of checks of unchanged code those that call something regressed or implausibly better, and the undecided."""
        rng = np.random.default_rng(checks)
        found = [set(self.check(draw(rng)).values()) for _ in range(checks)]
        return sum(bool(of & {Verdict.REGRESSED, Verdict.IMPLAUSIBLE}) for of in found), sum(map(bool, found))

    def finds(self, checks: int, fallen: int) -> int:
        """Checks against the shipped baseline that call the fall of a series by `statistics.FALL` regressed."""
        rng, name = np.random.default_rng(checks), self.family[fallen].method
        sides = ({name: self.against_the_shipped(rng)[name]} for _ in range(checks))
        return sum(self.check(of, fallen).get(fallen) is Verdict.REGRESSED for of in sides)


@pytest.fixture(scope="module")
def pool(baseline: Baseline) -> Pool:
    family, later = watched_series(baseline), json.loads(FRESH.read_text())
    stored, fresh = {}, {}
    for name in METHODS:
        assert not set(map(int, later[name])) & set(baseline.seeds)
        own = [of for of in family if of.method == name]
        stored[name] = np.stack([of.stored for of in own], axis=1)
        rows = [
            [of.sign * kept[of.measure.direction][of.measure.protocol] if kept else math.inf for of in own]
            for kept in later[name].values()
        ]
        fresh[name] = np.array(rows)
        assert len(rows) >= plan_family(baseline).first
    return Pool(family, plan_family(baseline), stored, fresh)


def watched(pool: Pool) -> list[int]:
    return [i for i, of in enumerate(pool.family) if of.measure.protocol == ACCURACY]


def test_false_alarms_and_power_on_a_few_checks(pool: Pool) -> None:
    for draw in (pool.against_the_shipped, pool.redrawn):
        assert pool.alarms(draw, 20)[0] <= 20 * 0.05 + 3.5 * math.sqrt(20 * 0.05 * 0.95)
    for fallen in watched(pool):
        assert pool.finds(8, fallen) >= 8 * 0.9 - 3.5 * math.sqrt(8 * 0.09), pool.family[fallen].subject


@pytest.mark.slow
def test_false_alarms_and_power_on_many(pool: Pool) -> None:
    for draw, checks in ((pool.against_the_shipped, 300), (pool.redrawn, 1000)):
        alarms, no_pass = pool.alarms(draw, checks)
        print(f"\n{draw.__name__}: of {checks} checks {alarms} alarm, {no_pass} are no pass")
        assert alarms <= 0.05 * checks
    for fallen in watched(pool):
        later, found = len(pool.fresh[pool.family[fallen].method]), pool.finds(200, fallen)
        print(
            f"{pool.family[fallen].subject}: a fall of {statistics.FALL:g} is found in {found} of 200 ({later} seeds)"
        )
        assert found >= 0.9 * 200
