"""The self-test: every metric on built-in cases with known answers, with the library versions that are installed.

A library that changes its meaning from one version to the next gives a wrong number that looks right. Here it is seen
before a number is made, and stands in the record of every run. No files, no network, the same cases everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.core.environment import versions
from bench.core.files import write_json
from bench.core.progress import explained, say
from bench.evaluation.self_test.case import Case, CaseResult, run_case

GROUPS = {
    "bench.evaluation.self_test.distances": ("frechet", "kid", "prdc", "ndb"),
    "bench.evaluation.self_test.scores": ("diversity", "structure", "accuracy", "alignment", "intervals"),
    "bench.evaluation.self_test.images": ("rounding", "resize", "lpips", "judge"),
}
"""Module -> its groups; `frechet_distance_cases` yields the cases of `frechet` in distances.py."""
SHOWN = 34
"""Characters of a right answer in the table; of a wrong one all are shown."""


def run_self_test() -> list[CaseResult]:
    """Results of all cases, computed now: half a second, on the CPU. Raises nothing and changes no random state."""
    return [outcome for module, names in GROUPS.items() for name in names for outcome in _group(module, name)]


def _group(module: str, name: str) -> list[CaseResult]:
    """The checks of one group; a failed one in place of those that cannot even be set up."""
    checks: list[CaseResult] = []
    kind = module.rpartition(".")[2].removesuffix("s")
    try:
        with _one_thread():
            cases: Callable[[], Iterator[Case]] = getattr(import_module(module), f"{name}_{kind}_cases")
            for case in cases():
                checks.append(run_case(case))
    except Exception as error:  # libraries raise anything, also while they are imported
        checks.append(CaseResult(f"{name}: set-up", name, "no error", f"{type(error).__name__}: {error}", 0, False))
    return checks


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch and BLAS on one thread inside the context. More take 3 times as long on busy cores."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


@cache
def _checks() -> tuple[CaseResult, ...]:
    """`run_self_test`, once in a process: its versions do not change."""
    return tuple(run_self_test())


def doctor_record() -> dict[str, Any]:
    """Record of the self-test: `passed` of `checks`, `failed` as [{name, expected, got}], `versions` of the libraries.

    A JSON value. Computed once in a process.
    """
    return _record(_checks())


def _record(checks: Sequence[CaseResult]) -> dict[str, Any]:
    failed = [{"name": c.name, "expected": c.expected, "got": c.got} for c in checks if not c.passed]
    return {"passed": len(checks) - len(failed), "checks": len(checks), "failed": failed, "versions": versions()}


def warn_if_doctor_fails() -> None:
    """Print one line if a check fails. The run goes on: its record holds the versions and the failed checks."""
    with explained("checking the metrics against known values (doctor)"):
        record = doctor_record()
    if record["failed"]:
        names = "; ".join(entry["name"] for entry in record["failed"])
        say(f"doctor: {len(record['failed'])} of {record['checks']} checks failed: {names}; python -m bench doctor")


def report_doctor(json_file: str = "") -> int:
    """Print every check, the versions and the count. Returns the exit status: 0, or 1 if a check failed.

    `json_file`: where the record, with every case in it, is also written; "-": to standard output, instead of the
    table. Raises BenchError if it cannot be written.
    """
    checks = _checks()
    record = {**_record(checks), "cases": [asdict(outcome) for outcome in checks]}
    if json_file == "-":
        print(json.dumps(record, indent=2, sort_keys=True, allow_nan=False))
    else:
        print(_table(checks))
        print("\n" + ", ".join(f"{name} {version or '(not installed)'}" for name, version in versions().items()))
        print(f"{record['passed']} of {record['checks']} checks passed")
        if json_file:
            write_json(Path(json_file), record)
    return 1 if record["failed"] else 0


def _table(checks: Sequence[CaseResult]) -> str:
    from tabulate import tabulate

    rows = [
        [c.name, _short(c.expected, c.passed), _short(c.got, c.passed), "ok" if c.passed else "FAILED"] for c in checks
    ]
    return tabulate(rows, headers=["case", "expected", "got", "ok"], tablefmt="plain", disable_numparse=True)


def _short(value: Any, passed: bool) -> str:
    values = value if isinstance(value, list) else [value]
    text = ", ".join(f"{one:.7g}" if isinstance(one, float) else str(one) for one in values)
    return text if not passed or len(text) <= SHOWN else text[: SHOWN - 4] + " ..."
