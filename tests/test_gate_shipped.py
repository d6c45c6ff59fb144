"""The shipped baseline: whole, trainable as it was, and how often it alarms falsely or finds a fall.

`gate_fresh_seeds.json` holds trainings of other seeds, made after the shipped ones with the same settings. All together
are the pool of independent trainings from which checks are drawn here: some as stored, the others as new.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bench.gate import statistics
from bench.gate.baseline import JUDGES, Baseline, folder_of, load
from bench.gate.family import ABOVE_CHANCE, ACCURACY, DISTANCE, Plan, Series, above_chance, family_of, plan, series_of
from bench.gate.rerun import as_stored
from bench.gate.save import list_baselines
from bench.gate.training import judge
from bench.gate.trainings import Measure
from bench.gate.verdict import Verdict

FRESH = Path(__file__).parent / "gate_fresh_seeds.json"
METHODS = ["cats_udt", "cyclegan", "drit", "egsc_it", "munit", "stargan_v2"]
DIRECTIONS = ("mnist->svhn", "svhn->mnist")
NOWHERE = Path("no-such-results")


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return load(NOWHERE, "embedded")


# ------------------------------------------------------------------------------------------------------- what it holds


def test_it_holds_twenty_seeds_of_all_six_methods(baseline: Baseline) -> None:
    assert sorted(baseline.methods) == METHODS
    assert baseline.seeds == tuple(range(20))
    assert (baseline.task, baseline.shared.preset, baseline.shared.data_kind) == ("mnist2svhn", "quick", "embedded")
    assert "embedded  mnist2svhn, quick, 6 methods x 20 seeds" in list_baselines(NOWHERE)
    for name in METHODS:
        ended = [of for of in baseline.of(name).values() if not of.failure]
        assert len(ended) >= 19
        for measure in baseline.methods[name].made:
            if measure.protocol == DISTANCE:
                assert len({of.values[measure] for of in ended}) == len(ended)  # trainings, not copies


def test_every_method_is_watched_in_both_directions(baseline: Baseline) -> None:
    family = [(of.method, of.measure) for of in family_of(baseline)]
    for name in METHODS:
        for direction in DIRECTIONS:
            assert (name, (direction, DISTANCE)) in family
            accuracy = Measure(direction, ACCURACY)
            watched = above_chance(baseline, series_of(baseline, name, accuracy)) >= ABOVE_CHANCE
            assert ((name, accuracy) in family) == watched
    assert plan(baseline).warnings == ()


def test_its_judges_are_those_of_its_scores(baseline: Baseline) -> None:
    folder = folder_of(NOWHERE, "embedded") / JUDGES
    stored = [json.loads(path.read_text())["identity"] for path in folder.glob("*/judge.json")]
    used = {made.encoder for of in baseline.methods.values() for at, made in of.made.items() if at.protocol == ACCURACY}
    assert len(stored) == len(used) == 2
    assert all(any(identity.startswith(encoder) for identity in stored) for encoder in used)
    assert len(list(folder.glob("*/weights.safetensors"))) == 2


def test_this_code_can_still_train_it(baseline: Baseline, tmp_path: Path) -> None:
    """Or a rerun cannot decide: whoever changes the data, a preset or a setting so stores a new baseline."""
    requests, obstacle = as_stored(baseline, tmp_path, {name: [20] for name in METHODS})
    assert obstacle == ""
    assert {name: of.budget for of in requests for name in of.methods} == {
        name: of.budget for name, of in baseline.methods.items()
    }


def test_nothing_in_it_names_a_place() -> None:
    text = (folder_of(NOWHERE, "embedded") / "baseline.json").read_text() + FRESH.read_text()
    for word in ("/tmp", "/work", "/home", "/root", "http"):
        assert word not in text


# --------------------------------------------------------------------------------------- false alarms and what it finds


@dataclass(frozen=True)
class Pool:
    """Independent trainings from which checks are drawn."""

    family: Sequence[Series]
    default: Plan
    values: Mapping[str, np.ndarray]
    """Method -> (N, its series), larger is worse, inf failed."""

    def check(self, rng: np.random.Generator, fallen: int = -1) -> dict[int, Verdict]:
        """Draw new trainings of each method, and twenty others as stored (or those that are left); the new accuracy of
        series `fallen` is lower by `statistics.FALL`. Returns the verdict of each series that is no pass."""
        family, found = list(self.family), {}
        for method, pool in self.values.items():
            own = [i for i, of in enumerate(family) if of.method == method]
            order, k = rng.permutation(len(pool)), self.default.new[method]
            new, stored = pool[order[:k]].copy(), pool[order[k : k + 20]]
            for column, i in enumerate(own):
                new[:, column] += statistics.FALL * (i == fallen)
                family[i] = replace(family[i], stored=stored[:, column])
            first = new[: self.default.first]
            doubtful = any(family[i].in_doubt(first[:, column]) for column, i in enumerate(own))
            found |= {i: (new if doubtful else first)[:, column] for column, i in enumerate(own)}
        findings = judge(family, found)
        return {i: of.verdict for i, of in findings.items() if of.verdict is not Verdict.PASS}

    def alarms(self, rng: np.random.Generator, checks: int) -> tuple[int, int]:
        """Checks of unchanged code that call something regressed or implausibly better, and that cannot decide."""
        found = [set(self.check(rng).values()) for _ in range(checks)]
        wrong = sum(bool(of & {Verdict.REGRESSED, Verdict.IMPLAUSIBLE}) for of in found)
        return wrong, sum(of == {Verdict.CANNOT_DECIDE} for of in found)

    def finds(self, rng: np.random.Generator, checks: int, fallen: int) -> int:
        """Checks that call the fall of a series by `statistics.FALL` regressed."""
        return sum(self.check(rng, fallen).get(fallen) is Verdict.REGRESSED for _ in range(checks))


@pytest.fixture(scope="module")
def pool(baseline: Baseline) -> Pool:
    family = family_of(baseline)
    fresh = json.loads(FRESH.read_text())
    values = {}
    for name in METHODS:
        assert not set(map(int, fresh[name])) & set(baseline.seeds)
        own = [of for of in family if of.method == name]
        later = [
            [of.sign * kept[of.measure.direction][of.measure.protocol] if kept else math.inf for of in own]
            for kept in fresh[name].values()
        ]
        values[name] = np.concatenate([np.stack([of.stored for of in own], 1), np.array(later)])
    return Pool(family, plan(baseline), values)


def watched(pool: Pool) -> list[int]:
    return [i for i, of in enumerate(pool.family) if of.measure.protocol == ACCURACY]


def test_false_alarms_and_power_on_a_few_checks(pool: Pool) -> None:
    rng = np.random.default_rng(0)
    assert pool.alarms(rng, 30)[0] <= 30 * 0.05 + 3.5 * math.sqrt(30 * 0.05 * 0.95)
    for fallen in watched(pool):
        assert pool.finds(rng, 10, fallen) >= 10 * 0.9 - 3.5 * math.sqrt(10 * 0.09), pool.family[fallen].subject


@pytest.mark.slow
def test_false_alarms_and_power_on_many(pool: Pool) -> None:
    rng, checks = np.random.default_rng(1), 1000
    alarms, undecided = pool.alarms(rng, checks)
    counts = {name: len(of) for name, of in pool.values.items()}
    print(f"\ntrainings: {counts}; of {checks} checks {alarms} alarm, and {undecided} cannot decide")
    assert alarms <= 0.05 * checks
    for fallen in watched(pool):
        found = pool.finds(rng, 300, fallen)
        print(f"{pool.family[fallen].subject}: a fall of {statistics.FALL:g} points is found in {found} of 300")
        assert found >= 0.9 * 300
