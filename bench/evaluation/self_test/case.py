"""A case of the self-test: a computation with its known answer, and the result of comparing the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

TOLERANCE = 1e-9
"""Tolerance for float64 results of size 1 to 1,000: far above their rounding, far below any printed digit."""


@dataclass(frozen=True)
class CaseRefused:
    """Expected instead of a value: a ValueError that says what was wrong."""

    about: str
    """Text that its message contains. The type alone would not do: a crash inside LAPACK is a ValueError, too."""


@dataclass(frozen=True)
class Case:
    """One question with a known answer."""

    metric: str
    """Metric, or the part of its computation."""
    name: str
    """Peculiarity of this input; unique within the metric."""
    compute: Callable[[], Any]
    """Gives a number, a text, or an array of numbers of any shape."""
    expected: float | str | Sequence[float] | CaseRefused
    """The answer, derived without the code under test; an array is written row after row."""
    tolerance: float = TOLERANCE
    """Largest absolute difference of any number."""


@dataclass(frozen=True)
class CaseResult:
    """Result of a case; every field is a JSON value."""

    name: str
    """`metric: name` of the case."""
    metric: str
    """Metric of the case."""
    expected: Any
    """A number, a text, or a list of numbers; NaN and infinities are texts."""
    got: Any
    """The same, or the exception that was raised."""
    tolerance: float
    """Tolerance of the case."""
    passed: bool
    """Whether the answer is the known one."""


def run_case(case: Case) -> CaseResult:
    """Compute `case`. Whatever it raises is its result, so that one broken library leaves the other cases alone."""
    name, expected = f"{case.metric}: {case.name}", case.expected
    refusal = expected if isinstance(expected, CaseRefused) else None
    expected_text = f"ValueError: ... {refusal.about} ..." if refusal else _json_value(expected)
    try:
        value = case.compute()
        got = _json_value(value)
        passed = refusal is None and _equal(value, expected, case.tolerance)
    except Exception as error:  # libraries raise anything
        got = f"{type(error).__name__}: {error}"
        passed = refusal is not None and isinstance(error, ValueError) and refusal.about in str(error)
    return CaseResult(name, case.metric, expected_text, got, case.tolerance, passed)


def _equal(value: Any, expected: Any, tolerance: float) -> bool:
    """Whether all numbers are within `tolerance` and there are as many; NaN equals nothing."""
    if isinstance(expected, str) or isinstance(value, str):
        return value == expected
    numbers, wanted = _numbers(value), _numbers(expected)
    return len(numbers) == len(wanted) and all(
        abs(number - other) <= tolerance for number, other in zip(numbers, wanted, strict=True)
    )


def _numbers(value: Any) -> list[float]:
    """A number or an array of any shape, row after row. TypeError if there is anything else in it."""
    import numpy as np

    return [float(number) for number in np.asarray(value).ravel()]


def _json_value(value: Any) -> Any:
    if isinstance(value, str):
        return value
    # JSON has no NaN: `value - value` is 0 for finite numbers alone.
    numbers = [number if number - number == 0 else str(number) for number in _numbers(value)]
    return numbers[0] if len(numbers) == 1 else numbers
