"""Comparison of stored and new values: findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bench.checks.gate.code.values import LIMITS, Value
from bench.checks.gate.verdict import Finding, Verdict

SHOWN = 5
"""Differing values of one subject that become findings of their own; the others are counted in one more."""


def other_versions(recorded_with: Mapping[str, str], here: Mapping[str, str]) -> str:
    """`recorded with torch 2.14.1, here 2.11.0` for every library of both; empty if none differs in its version.

    What follows a `+` is how a package was built, not its version. Python itself moves no value beyond a limit.
    """
    pairs = {name: (recorded_with[name], here[name]) for name in recorded_with if name in here and name != "Python"}
    public = {name: tuple(version.partition("+")[0] for version in pair) for name, pair in pairs.items()}
    return "; ".join(f"recorded with {name} {old}, here {new}" for name, (old, new) in public.items() if old != new)


def compare_values(
    stored: Sequence[Value], now: Sequence[Value], recorded_with: Mapping[str, str], here: Mapping[str, str]
) -> list[Finding]:
    """Findings of one subject: its first differences in the order of measurement, or one that all values agree.

    Differences are REGRESSED if the libraries are those of the baseline, CANNOT_DECIDE if any has another version.
    """
    subject = stored[0].subject
    measured = {value.quantity: value for value in now}
    known = {value.quantity for value in stored}
    broken = [finding for value in stored if (finding := _difference(value, measured.get(value.quantity)))]
    if broken:
        findings, other = _limited(subject, broken, len(stored), recorded_with), other_versions(recorded_with, here)
        if other:
            return [replace(f, verdict=Verdict.CANNOT_DECIDE, reason=f"{other}: {f.reason}") for f in findings]
        return findings
    new = [value for value in now if value.quantity not in known]
    if new:
        return [
            compare_undecided(
                subject, new[0].quantity, f"the baseline has no such value ({len(new)} of them): record it"
            )
        ]
    return [_agreement(subject, stored, measured)]


def compare_undecided(subject: str, quantity: str, reason: str) -> Finding:
    """Finding that nothing was compared."""
    return Finding("code", subject, quantity, Verdict.CANNOT_DECIDE, "", "", reason)


def compare_failed(subject: str, error: BaseException) -> Finding:
    """Finding that the code raised where it had worked."""
    text = f"{type(error).__name__}: {error}"
    return Finding(
        "code", subject, "runs", Verdict.REGRESSED, "to its end", text, "it ran when the baseline was recorded"
    )


def _difference(stored: Value, now: Value | None) -> Finding | None:
    if now is None:
        return _regressed(stored, "", "it is no longer measured: the code does not give this value")
    if isinstance(stored.value, str) or isinstance(now.value, str):
        equal = stored.value == now.value
        return None if equal else _regressed(stored, now.shown, "equality is wanted")
    apart, allowed = abs(stored.value - now.value), stored.allowed()
    if apart <= allowed:
        return None
    share = f", {apart / abs(stored.value):.3g} of it" if stored.value else ""
    return _regressed(stored, now.shown, f"differs by {apart:.3g}{share}; the limit is {allowed:.3g}{_rule(stored)}")


def _rule(stored: Value) -> str:
    relative = LIMITS[stored.kind].relative
    return f" ({relative:g} relative)" if relative else ""


def _regressed(stored: Value, now: str, reason: str) -> Finding:
    return Finding("code", stored.subject, stored.quantity, Verdict.REGRESSED, stored.shown, now, reason)


def _limited(subject: str, broken: Sequence[Finding], count: int, recorded_with: Mapping[str, str]) -> list[Finding]:
    """Return at most SHOWN of `broken`, and one that counts the rest. `count`: of all values."""
    rest = len(broken) - SHOWN
    if rest <= 0:
        return list(broken)
    versions = ", ".join(f"{name} {version}" for name, version in recorded_with.items())
    reason = f"{len(broken)} of {count} values differ; the first are shown. The baseline was recorded with {versions}"
    return [*broken[:SHOWN], Finding("code", subject, f"{rest} more values", Verdict.REGRESSED, "", "", reason)]


def _agreement(subject: str, stored: Iterable[Value], measured: Mapping[str, Value]) -> Finding:
    """Finding that all agree, with how near any value came to its limit."""
    nearest, most, count = "", 0.0, 0
    for value in stored:
        count += 1
        now = measured[value.quantity].value
        if isinstance(value.value, str) or isinstance(now, str) or not value.allowed():
            continue
        used = abs(value.value - now) / value.allowed()
        if used > most:
            nearest, most = value.quantity, used
    reason = f"nearest to its limit: {nearest}, {100 * most:.2g} % of it" if most else "all are equal"
    return Finding("code", subject, f"{count} values", Verdict.PASS, "", "", reason)
