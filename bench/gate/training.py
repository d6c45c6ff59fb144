"""The training check: new trainings against those of a baseline, each series with its verdict and the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.gate import statistics
from bench.gate.baseline import Baseline, definitions
from bench.gate.family import Series, counted, family_of, number, plan
from bench.gate.statistics import IMPLAUSIBLE_LEVEL, LEVEL, Tested
from bench.gate.trainings import FAILED, Training, read_trainings
from bench.gate.verdict import Finding, Verdict
from bench.pools import Setting
from bench.protocol import TRANSLATION
from bench.spec import flat_values


@dataclass(frozen=True)
class Comparison:
    """What the check found."""

    findings: list[Finding]
    notes: list[str]
    """What a reader should know of the test as a whole."""


def compare(baseline: Baseline, root: Path, seeds: Sequence[int] = ()) -> Comparison:
    """The trainings in the results folder `root` of `seeds` (empty: every one that the baseline lacks) against it.

    BenchError for a seed of the baseline itself: its training is no new one.
    """
    if again := sorted(set(seeds) & set(baseline.seeds)):
        raise BenchError(
            f"seed {', '.join(map(str, again))} is the baseline's own, and the same training again is no new one",
            f"choose others: --seeds {max(baseline.seeds) + 1},...",
        )
    stored = read_trainings(root, baseline.task, lambda method: _style(baseline, method))
    like = _like(baseline, stored)
    wanted = sorted(set(seeds)) or sorted({seed for of in like.values() for seed in of})
    family = family_of(baseline)
    findings: dict[int, Finding] = {}
    values: dict[int, np.ndarray] = {}
    for i, series in enumerate(family):
        trainings = like[series.method]
        if why := _why_not(baseline, series, trainings, wanted, stored):
            findings[i] = _finding(series, Verdict.CANNOT_DECIDE, "", why)
        else:
            values[i] = _values(series, [trainings[seed] for seed in wanted])
    notes = [_seeds_text(baseline, wanted)]
    if values:
        compared = [family[i] for i in values]
        notes += _tell(baseline, compared, len(family), len(wanted))
        found = _judge(compared, list(values.values()), len(family))
        told = [
            _with_failures(of, series, like[series.method], wanted) for of, series in zip(found, compared, strict=True)
        ]
        findings |= dict(zip(values, told, strict=True))
    return Comparison([findings[i] for i in range(len(family))], notes)


def _style(baseline: Baseline, method: str) -> str:
    return baseline.methods[method].style if method in baseline.methods else ""


def _like(baseline: Baseline, stored: Sequence[Training]) -> dict[str, dict[int, Training]]:
    """Method -> seed -> training of the baseline's setting and the method's settings, not of the baseline's seeds.

    Of several versions of a method the newest: a new version is what a gate is for. Settings that a method has gained
    since may have any value; BenchError if two trainings of one seed differ in one.
    """
    found: dict[str, dict[int, Training]] = {name: {} for name in baseline.methods}
    for of in stored:
        if of.seed in baseline.seeds or of.setting != baseline.setting or of.method not in found:
            continue
        if differing(baseline, of.method, of.config):
            continue
        other = found[of.method].get(of.seed)
        if other is not None and other.version == of.version:
            raise BenchError(
                f"two trainings of {of.method} with seed {of.seed} differ in settings that the baseline does not know",
                f"remove one: {other.folder} or {of.folder}",
            )
        if other is None or other.version < of.version:
            found[of.method][of.seed] = of
    return found


def differing(baseline: Baseline, method: str, config: Mapping[str, Any]) -> list[str]:
    """The settings of the baseline that `config` has otherwise, or not at all, as they are shown."""
    was, now = flat_values(dict(baseline.methods[method].config)), flat_values(dict(config))
    return [f"{key}={now.get(key)} (the baseline: {was[key]})" for key in was if now.get(key) != was[key]]


# --------------------------------------------------------------------------------------------- what cannot be compared


def _why_not(
    baseline: Baseline,
    series: Series,
    trainings: dict[int, Training],
    wanted: Sequence[int],
    stored: Sequence[Training],
) -> str:
    """Why a series has no value of each wanted seed that may be compared; empty if it has."""
    for name in (series.measure.protocol, TRANSLATION.name):
        if baseline.protocols.get(name) != definitions([name]).get(name):
            return f"the protocol {name} is defined otherwise than when the baseline was stored"
    if not wanted or not trainings:
        return _why_none(baseline, series.method, stored)
    if absent := [str(seed) for seed in wanted if seed not in trainings]:
        return f"no training of seed {', '.join(absent)}"
    for seed in wanted:
        if why := _why_no_value(baseline, series, trainings[seed]):
            return f"seed {seed}: {why}"
    return ""


def _why_no_value(baseline: Baseline, series: Series, of: Training) -> str:
    if of.state == FAILED:
        return ""
    if of.state != "done":
        return f"not finished ({of.state})"
    if series.measure not in of.values:
        return of.missing.get(series.measure, "not scored by it") or "not scored by it"
    was, now = baseline.methods[series.method].made[series.measure], of.made[series.measure]
    if was.encoder != now.encoder:
        return f"scored by other weights ({now.encoder}; the baseline: {was.encoder})"
    if was != now:
        return f"scored with {now.n} and {now.n_reference} images (the baseline: {was.n} and {was.n_reference})"
    return ""


def _why_none(baseline: Baseline, method: str, stored: Sequence[Training]) -> str:
    """Why there is no training to compare: what there is instead."""
    others = [of for of in stored if of.method == method and of.seed not in baseline.seeds]
    found: set[str] = set()
    for of in others:
        if of.setting != baseline.setting:
            found.add(unlike(of.setting, baseline.setting))
        else:
            found.add(", ".join(differing(baseline, method, of.config)[:3]))
    told = f"; there are some with {'; or '.join(sorted(found))}" if found else ""
    return f"no new training in the baseline's setting{told}"


def unlike(now: Setting, was: Setting) -> str:
    """In what two settings differ, as it is shown."""
    names = {"data_kind": "data", "data_version": "data version", "image_size": "image size"}
    pairs = [(names.get(name, name), getattr(now, name), getattr(was, name)) for name in Setting._fields]
    return ", ".join(f"{name} {new} (the baseline: {old})" for name, new, old in pairs if new != old)


def _values(series: Series, trainings: Sequence[Training]) -> np.ndarray:
    """(k,) as `series.stored`: larger is worse, inf failed."""
    return np.array([math.inf if of.state == FAILED else series.sign * of.values[series.measure] for of in trainings])


def undecided(baseline: Baseline, reason: str) -> Comparison:
    """Nothing was compared, for a `reason` that holds for every series."""
    family = family_of(baseline)
    return Comparison([_finding(series, Verdict.CANNOT_DECIDE, "", reason) for series in family], [])


# ----------------------------------------------------------------------------------------------------------- the tests


def _judge(family: Sequence[Series], values: Sequence[np.ndarray], whole: int) -> list[Finding]:
    """A finding for each series. `whole`: the size of the family, with the series that cannot be compared."""
    stored, found = np.stack([of.stored for of in family], axis=1), np.stack(values, axis=1)  # (m, J), (k, J)
    m, k = len(stored), len(found)
    if statistics.attainable(m, k, whole) > LEVEL:
        why = _too_few(m, k, whole)
        return [_finding(of, Verdict.CANNOT_DECIDE, of.text(new), why) for of, new in zip(family, values, strict=True)]
    worse = statistics.permutation_test(stored, found)
    better = statistics.permutation_test(-stored, -found)
    return [_verdict(of, new, i, worse, better, whole) for i, (of, new) in enumerate(zip(family, values, strict=True))]


def _too_few(m: int, k: int, series: int) -> str:
    needed = statistics.fewest_new(m, series)
    least = 100 * statistics.attainable(m, k, series)
    what = f"at least {needed} new seeds are needed" if needed else "a baseline of more seeds is needed"
    return (
        f"{counted(k, 'new seed')} against {m} stored: the corrected p-value of {series} series cannot be relied on to "
        f"get below {least:.3g} %, and the level is {100 * LEVEL:.2g} %: {what}"
    )


def _verdict(series: Series, new: np.ndarray, i: int, worse: Tested, better: Tested, whole: int) -> Finding:
    change = statistics.worsening(series.stored, new)
    told = series.text(new)
    p, good = float(worse.corrected[i]), float(better.corrected[i])
    if p <= LEVEL and change > series.minimum:
        by = "more trainings failed" if math.isinf(change) else f"worse by {number(change)}"
        least = f"(smallest counted: {number(series.minimum)})"
        return _finding(series, Verdict.REGRESSED, told, f"{by} {least}, corrected p = {p:.2g}")
    if good <= IMPLAUSIBLE_LEVEL and -change > series.implausible:
        why = f"better by {number(-change)} (more than {number(series.implausible)}), corrected p = {good:.2g}"
        return _finding(series, Verdict.IMPLAUSIBLE, told, f"{why}: is it still measured rightly?")
    if p <= LEVEL:
        why = f"worse by {number(change)}, less than the smallest change that counts ({number(series.minimum)})"
        return _finding(series, Verdict.PASS, told, f"{why}, corrected p = {p:.2g}")
    return _finding(series, Verdict.PASS, told, f"corrected p = {p:.2g}; {series.reach(len(new), whole)}")


def _with_failures(finding: Finding, series: Series, trainings: dict[int, Training], wanted: Sequence[int]) -> Finding:
    """`finding` with the reasons of failed trainings. More failures than before are never a pass."""
    failed = [f"seed {seed}: {trainings[seed].failure()}" for seed in wanted if trainings[seed].state == FAILED]
    if not failed:
        return finding
    before = np.isinf(series.stored)
    verdict, reason = finding.verdict, f"{finding.reason}; failed: {'; '.join(failed)}"
    if verdict is Verdict.PASS and len(failed) / len(wanted) > before.mean():
        verdict = Verdict.CANNOT_DECIDE
        reason = (
            f"{len(failed)} of {len(wanted)} trainings failed, of the baseline's {before.sum()} of {len(before)}: too "
            f"few to tell from chance, and no pass; look at them, or train more seeds; {'; '.join(failed)}"
        )
    return Finding(finding.check, finding.subject, finding.quantity, verdict, finding.stored, finding.found, reason)


def _finding(series: Series, verdict: Verdict, found: str, reason: str) -> Finding:
    return Finding("training", series.subject, series.quantity, verdict, series.stored_text(), found, reason)


# ----------------------------------------------------------------------------------------------------------- the notes


def _seeds_text(baseline: Baseline, wanted: Sequence[int]) -> str:
    new = ", ".join(map(str, wanted)) or "none"
    return f"seeds of the baseline: {len(baseline.seeds)}; new seeds: {new}"


def _tell(baseline: Baseline, compared: Sequence[Series], whole: int, new: int) -> list[str]:
    m, default = len(baseline.seeds), plan(baseline)
    notes = [
        f"{len(compared)} of {whole} series compared: permutations of whole seeds, sums of ranks, step-down max-T; "
        f"family-wise level {100 * LEVEL:.2g} % (implausibly better: {100 * IMPLAUSIBLE_LEVEL:.2g} %); the mean must "
        f"also be worse by {statistics.MINIMUM:.2g} deviations of the baseline's {m} seeds",
    ]
    if new < default.new:
        fall = number(statistics.FALL)
        notes.append(f"a fall of {fall} points is found in 9 of 10 checks with {default.new} new seeds, not with {new}")
    return [*notes, *default.warnings]
