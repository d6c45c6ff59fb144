"""The training check: new trainings against those of a baseline, each series with its verdict and the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.checks.gate.baseline import Baseline, baseline_protocols
from bench.checks.gate.family import FamilyPlan, Series, count_text, plan_family, three_digits, watched_series
from bench.checks.gate.trainings import FAILED, StoredTraining, read_trainings
from bench.checks.gate.verdict import Finding, Verdict
from bench.core.errors import BenchError
from bench.spec.protocols import TRANSLATION
from bench.spec.run_spec import flat_spec_values
from bench.store.preset_match import preset_mismatches
from bench.store.query import Setting
from metrics.statistics import permutation as statistics
from metrics.statistics.permutation import IMPLAUSIBLE_LEVEL, LEVEL


@dataclass(frozen=True)
class TrainingComparison:
    """What the check found."""

    findings: list[Finding]
    notes: list[str]
    """What a reader should know of the test as a whole."""


def compare_training(
    baseline: Baseline, root: Path, seeds: Sequence[int] | Mapping[str, Sequence[int]] = ()
) -> TrainingComparison:
    """The trainings in the results folder `root` of `seeds` (empty: every one that the baseline lacks) against it.

    `seeds`: of every method, or method -> its own. BenchError for a seed of the baseline itself: its training is no new
    one.
    """
    stored = read_trainings(root, baseline.task, lambda method: _style(baseline, method))
    like = _like(baseline, stored)
    wanted = _wanted(baseline, like, seeds)
    family = watched_series(baseline)
    findings: dict[int, Finding] = {}
    values: dict[int, np.ndarray] = {}
    for i, series in enumerate(family):
        trainings, chosen = like[series.method], wanted[series.method]
        if why := _why_not(baseline, series, trainings, chosen, stored):
            findings[i] = _finding(series, Verdict.CANNOT_DECIDE, "", why)
        else:
            values[i] = _values(series, [trainings[seed] for seed in chosen])
    default = plan_family(baseline)
    doubtful = {family[i].method for i, new in values.items() if family[i].in_doubt(new)}
    for i, finding in decide_series(family, values).items():
        method, series = family[i].method, family[i]
        if finding.verdict is Verdict.PASS:
            early = len(values[i]) >= default.first and method not in doubtful  # or else there would be more
            count = max(len(values[i]), default.new[method]) if early else len(values[i])
            finding = _with_reason(finding, series.reach(count, len(family), default.first))
        findings[i] = _with_failures(finding, series, like[method], wanted[method])
    notes = [_seeds_text(baseline, wanted)]
    if values:
        notes += _tell(baseline, default, len(values), len(family))
        notes += [
            f"{name} looks worse or far better after {count_text(len(wanted[name]), 'seed')}: more is found with "
            f"{default.new[name]}"
            for name in default.new
            if name in doubtful and len(wanted[name]) < default.new[name]
        ]
    return TrainingComparison([findings[i] for i in range(len(family))], notes)


def methods_in_doubt(baseline: Baseline, root: Path, seeds: Sequence[int]) -> list[str]:
    """Methods of which more than the first new `seeds` are needed: a series of theirs looks worse, or far better.

    What cannot be compared is not in doubt: more seeds would change nothing.
    """
    stored = read_trainings(root, baseline.task, lambda method: _style(baseline, method))
    like = _like(baseline, stored)

    def doubtful(series: Series) -> bool:
        trainings = like[series.method]
        comparable = not _why_not(baseline, series, trainings, seeds, stored)
        return comparable and series.in_doubt(_values(series, [trainings[seed] for seed in seeds]))

    return list(dict.fromkeys(series.method for series in watched_series(baseline) if doubtful(series)))


def _wanted(
    baseline: Baseline,
    like: Mapping[str, Mapping[int, StoredTraining]],
    seeds: Sequence[int] | Mapping[str, Sequence[int]],
) -> dict[str, list[int]]:
    """Method -> seeds that are compared."""
    if not seeds:
        seeds = sorted({seed for by_seed in like.values() for seed in by_seed})
    if not isinstance(seeds, Mapping):
        seeds = dict.fromkeys(baseline.methods, seeds)
    wanted = {name: sorted(set(seeds.get(name, ()))) for name in baseline.methods}
    if again := sorted({seed for chosen in wanted.values() for seed in chosen} & set(baseline.seeds)):
        raise BenchError(
            f"seed {', '.join(map(str, again))} is the baseline's own, and the same training again is no new one",
            f"choose others: --seeds {max(baseline.seeds) + 1},...",
        )
    return wanted


def _style(baseline: Baseline, method: str) -> str:
    return baseline.methods[method].style if method in baseline.methods else ""


def _like(baseline: Baseline, stored: Sequence[StoredTraining]) -> dict[str, dict[int, StoredTraining]]:
    """Method -> seed -> training of the baseline's setting and the method's settings, not of the baseline's seeds.

    Of several versions of a method the newest: a new version is what a gate is for. Settings that a method has gained
    since may have any value; BenchError if two trainings of one seed differ in one.
    """
    by_method: dict[str, dict[int, StoredTraining]] = {name: {} for name in baseline.methods}
    for training in stored:
        if (
            training.seed in baseline.seeds
            or training.method not in by_method
            or training.setting != baseline.setting(training.method)
        ):
            continue
        if differing_settings(baseline, training.method, training.config):
            continue
        other = by_method[training.method].get(training.seed)
        if other is not None and other.version == training.version:
            raise BenchError(
                f"two trainings of {training.method} with seed {training.seed} differ in settings that the baseline "
                "does not know",
                f"remove one: {other.folder} or {training.folder}",
            )
        if other is None or other.version < training.version:
            by_method[training.method][training.seed] = training
    return by_method


def differing_settings(baseline: Baseline, method: str, config: Mapping[str, Any]) -> list[str]:
    """The settings of the baseline that `config` has otherwise, or not at all, as they are shown."""
    was = baseline.methods[method].config
    known = flat_spec_values(dict(was))
    pairs = preset_mismatches(config, was, {})
    return [f"{key}={now} (the baseline: {stored})" for key, (now, stored) in pairs.items() if key in known]


# --------------------------------------------------------------------------------------------- what cannot be compared


def _why_not(
    baseline: Baseline,
    series: Series,
    trainings: dict[int, StoredTraining],
    wanted: Sequence[int],
    stored: Sequence[StoredTraining],
) -> str:
    """Why a series has no value of each wanted seed that may be compared; empty if it has."""
    for name in (series.measure.protocol, TRANSLATION.name):
        if baseline.protocols.get(name) != baseline_protocols([name]).get(name):
            return f"the protocol {name} is defined otherwise than when the baseline was stored"
    if not wanted or not trainings:
        return _why_none(baseline, series.method, stored)
    if absent := [str(seed) for seed in wanted if seed not in trainings]:
        return f"no training of seed {', '.join(absent)}"
    for seed in wanted:
        if why := _why_no_value(baseline, series, trainings[seed]):
            return f"seed {seed}: {why}"
    return ""


def _why_no_value(baseline: Baseline, series: Series, training: StoredTraining) -> str:
    if training.state == FAILED:
        return ""
    if training.state != "done":
        return f"not finished ({training.state})"
    if series.measure not in training.values:
        return training.missing.get(series.measure, "not scored by it") or "not scored by it"
    was, now = baseline.methods[series.method].made[series.measure], training.made[series.measure]
    if was.encoder != now.encoder:
        return f"scored by other weights ({now.encoder}; the baseline: {was.encoder})"
    if was != now:
        return f"scored with {now.n} and {now.n_reference} images (the baseline: {was.n} and {was.n_reference})"
    return ""


def _why_none(baseline: Baseline, method: str, stored: Sequence[StoredTraining]) -> str:
    """Why there is no training to compare: what there is instead."""
    setting = baseline.setting(method)
    others = [training for training in stored if training.method == method and training.seed not in baseline.seeds]
    reasons: set[str] = set()
    for training in others:
        if training.setting != setting:
            reasons.add(differing_fields(training.setting, setting))
        else:
            reasons.add(", ".join(differing_settings(baseline, method, training.config)[:3]))
    instead = f"; there are some with {'; or '.join(sorted(reasons))}" if reasons else ""
    return f"no new training in the baseline's setting{instead}"


def differing_fields(now: Setting, was: Setting) -> str:
    """The fields in which two settings differ, as they are shown."""
    names = {"data_kind": "data", "data_version": "data version", "image_size": "image size"}
    pairs = [(names.get(name, name), getattr(now, name), getattr(was, name)) for name in Setting._fields]
    return ", ".join(f"{name} {new} (the baseline: {old})" for name, new, old in pairs if new != old)


def _values(series: Series, trainings: Sequence[StoredTraining]) -> np.ndarray:
    """(k,) as `series.stored`: larger is worse, inf failed."""
    return np.array(
        [
            math.inf if training.state == FAILED else series.sign * training.values[series.measure]
            for training in trainings
        ]
    )


def undecided_findings(baseline: Baseline, reason: str) -> TrainingComparison:
    """Nothing was compared, for a `reason` that holds for every series."""
    family = watched_series(baseline)
    return TrainingComparison([_finding(series, Verdict.CANNOT_DECIDE, "", reason) for series in family], [])


# ----------------------------------------------------------------------------------------------------------- the tests


def decide_series(family: Sequence[Series], values: Mapping[int, np.ndarray]) -> dict[int, Finding]:
    """Number in `family` -> finding, for each series of which there are new `values`: (k,), as its `stored` is."""
    findings: dict[int, Finding] = {}
    for method in dict.fromkeys(series.method for series in family):
        numbers = [i for i, series in enumerate(family) if series.method == method]
        if there := {i: values[i] for i in numbers if i in values}:
            findings |= _decide_method(family, there, len(numbers))
    return findings


def _decide_method(family: Sequence[Series], values: Mapping[int, np.ndarray], count: int) -> dict[int, Finding]:
    """Decide the series of one method. `count`: the number of its series, with those that cannot be compared."""
    stored = np.stack([family[i].stored for i in values], axis=1)  # (m, J)
    fresh = np.stack(list(values.values()), axis=1)  # (k, J)
    m, k, whole = len(stored), len(fresh), len(family)
    if statistics.permutation_bound(m, k, whole) > LEVEL:
        why = _too_few(m, k, whole)
        return {i: _finding(family[i], Verdict.CANNOT_DECIDE, family[i].text(new), why) for i, new in values.items()}
    worse, better = (
        statistics.corrected_permutation(
            statistics.permutation_test(sign * stored, sign * fresh).corrected, count, whole
        )
        for sign in (1, -1)
    )
    return {
        i: _verdict(family[i], new, float(p), float(good))
        for (i, new), p, good in zip(values.items(), worse, better, strict=True)
    }


def _too_few(m: int, k: int, series: int) -> str:
    needed = statistics.permutation_fewest(m, series)
    least = 100 * statistics.permutation_bound(m, k, series)
    what = f"at least {needed} new seeds are needed" if needed else "a baseline of more seeds is needed"
    return (
        f"{count_text(k, 'new seed')} against {m} stored: the corrected p-value of {series} series cannot be "
        f"relied on to get below {least:.3g} %, and the level is {100 * LEVEL:.2g} %: {what}"
    )


def _verdict(series: Series, new: np.ndarray, p: float, good: float) -> Finding:
    """`p`, `good`: corrected, that it is worse and that it is better."""
    change = statistics.permutation_worsening(series.stored, new)
    text = series.text(new)
    if p <= LEVEL and change > series.minimum:
        by = "more trainings failed" if math.isinf(change) else f"worse by {three_digits(change)}"
        least = f"(smallest counted: {three_digits(series.minimum)})"
        return _finding(series, Verdict.REGRESSED, text, f"{by} {least}, corrected p = {p:.2g}")
    if good <= IMPLAUSIBLE_LEVEL and -change > series.implausible:
        more = three_digits(series.implausible)
        why = f"better by {three_digits(-change)} (more than {more}), corrected p = {good:.2g}"
        return _finding(series, Verdict.IMPLAUSIBLE, text, f"{why}: is it still measured rightly?")
    if p <= LEVEL:
        least = three_digits(series.minimum)
        why = f"worse by {three_digits(change)}, less than the smallest change that counts ({least})"
        return _finding(series, Verdict.PASS, text, f"{why}, corrected p = {p:.2g}")
    return _finding(series, Verdict.PASS, text, f"corrected p = {p:.2g}")


def _with_reason(finding: Finding, more: str) -> Finding:
    return replace(finding, reason=f"{finding.reason}; {more}")


def _with_failures(
    finding: Finding, series: Series, trainings: dict[int, StoredTraining], wanted: Sequence[int]
) -> Finding:
    """`finding` with the reasons of failed trainings.

    Where the baseline has none, failures are never a pass; where it has, they are one as far as chance explains them.
    """
    failed = [f"seed {seed}: {trainings[seed].failure()}" for seed in wanted if trainings[seed].state == FAILED]
    if not failed:
        return finding
    before = np.isinf(series.stored)
    verdict, reason = finding.verdict, f"{finding.reason}; failed: {'; '.join(failed)}"
    new = np.array([math.inf if trainings[seed].state == FAILED else 0.0 for seed in wanted])
    by_chance = statistics.permutation_failures(series.stored, new) > statistics.FAILURES_LEVEL
    if verdict is Verdict.PASS and not (before.any() and by_chance):
        verdict = Verdict.CANNOT_DECIDE
        reason = (
            f"{len(failed)} of {len(wanted)} trainings failed, of the baseline's {before.sum()} of {len(before)}: too "
            f"few to tell from chance, and no pass; look at them, or train more seeds; {'; '.join(failed)}"
        )
    return Finding(finding.check, finding.subject, finding.quantity, verdict, finding.stored, finding.found, reason)


def _finding(series: Series, verdict: Verdict, new: str, reason: str) -> Finding:
    return Finding("training", series.subject, series.quantity, verdict, series.stored_text(), new, reason)


# ----------------------------------------------------------------------------------------------------------- the notes


def _seeds_text(baseline: Baseline, wanted: Mapping[str, Sequence[int]]) -> str:
    """Which seeds are compared: of all methods, or of those that have the same."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, seeds in wanted.items():
        groups.setdefault(tuple(seeds), []).append(name)
    texts = [
        (", ".join(map(str, seeds)) or "none") + (f" ({', '.join(names)})" if len(groups) > 1 else "")
        for seeds, names in groups.items()
    ]
    return f"seeds of the baseline: {len(baseline.seeds)}; new seeds: {'; '.join(texts)}"


def _tell(baseline: Baseline, default: FamilyPlan, compared: int, whole: int) -> list[str]:
    return [
        f"{compared} of {whole} series compared: permutations of whole seeds, sums of ranks, step-down max-T within a "
        f"method, Bonferroni between methods; family-wise level {100 * LEVEL:.2g} % (implausibly better: "
        f"{100 * IMPLAUSIBLE_LEVEL:.2g} %); new seeds must also be worse by {statistics.MINIMUM:.2g} times the scatter "
        f"of the baseline's {len(baseline.seeds)}",
        *default.warnings,
    ]
