"""The command: examine a method, print what was found, say what to do."""

from __future__ import annotations

import json
import shutil
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.checks.conform.check import ConformOutcome
from bench.checks.conform.conform import conform, count_conform_checks
from bench.core.environment import versions
from bench.core.files import write_json
from bench.core.progress import progress
from bench.spec.run_spec import check_spec_overrides, spec_overrides

WORDS = {"passed": "ok", "noted": "note", "failed": "FAILED", "skipped": "skipped"}
NARROWEST, WIDEST = 40, 120


def report_conformance(
    name: str, overrides: Sequence[str] = (), sizes: Sequence[int] = (32, 64), only: Sequence[str] = (),
    json_file: str = "",
) -> int:  # fmt: skip
    """Print every check of the method `name`. Returns the exit status: 0, or 1 if one failed.

    `overrides`: `method.key=value`. `json_file`: where all of it is also written; "-": to standard output, instead of
    the text. Raises BenchError for a request that cannot be met.
    """
    parsed = spec_overrides(overrides)
    check_spec_overrides(parsed, [name])
    start = time.monotonic()
    with progress(f"conform {name}", count_conform_checks(sizes, only), "checks") as advance:
        outcomes = conform(name, parsed.get(name, {}), sizes, only, advance)
    seconds = round(time.monotonic() - start, 1)
    record = conformance_summary(name, outcomes, seconds)
    if json_file == "-":
        print(json.dumps(record, indent=2, sort_keys=True))
    else:
        width = min(WIDEST, max(NARROWEST, shutil.get_terminal_size().columns))
        print(conformance_text(name, outcomes, seconds, width))
        if json_file:
            write_json(Path(json_file), record)
    return 1 if record["failed"] else 0


def conformance_summary(name: str, outcomes: Sequence[ConformOutcome], seconds: float) -> dict[str, Any]:
    """Counts, versions and every outcome, as JSON values."""
    counts = {status: sum(outcome.status == status for outcome in outcomes) for status in WORDS}
    return {
        "method": name, **counts, "seconds": seconds, "versions": versions(),
        "checks": [asdict(outcome) for outcome in outcomes],
    }  # fmt: skip


def conformance_text(name: str, outcomes: Sequence[ConformOutcome], seconds: float, width: int) -> str:
    """The report for people, no line longer than `width` where words can be broken."""
    lines: list[str] = []
    size: int | None = -1
    longest = max((len(outcome.name) for outcome in outcomes), default=0)
    for outcome in outcomes:
        if outcome.size != size:
            size = outcome.size
            lines += ["", f"{name}: the class" if size is None else f"{name} at {size} px"]
        lines += _lines(outcome, longest, width)
    failed, skipped, noted = (
        sum(outcome.status == status for outcome in outcomes) for status in ("failed", "skipped", "noted")
    )
    last = f"{len(outcomes) - failed - skipped - noted} of {len(outcomes)} checks passed in {seconds:.0f} s"
    last += f", {noted} noted (no part of the contract)" if noted else ""
    last += f", {failed} failed" if failed else ""
    last += f", {skipped} skipped because of that" if skipped else ""
    return "\n".join([*lines[1:], "", *textwrap.wrap(last, width)])


def _lines(outcome: ConformOutcome, longest: int, width: int) -> list[str]:
    head = f"{WORDS[outcome.status]:<8}"
    if outcome.status not in ("failed", "noted"):
        return _wrapped(f"{head}{outcome.name:<{longest}}  ", outcome.seen, 10, width)
    return [
        f"{head}{outcome.name}",
        *_wrapped("          expected  ", outcome.expected, 20, width),
        *_wrapped("          seen      ", outcome.seen, 20, width),
        *_wrapped("          look at   ", outcome.look, 20, width),
        f"          alone     {outcome.alone}",  # in one line, or it could not be pasted
    ]


def _wrapped(head: str, words: str, indent: int, width: int) -> list[str]:
    """`head` and then `words`, wrapped; if the two do not go together, the words below."""
    if len(head) > width // 2:
        return [head.rstrip(), *_wrapped(" " * indent, words, indent, width)] if len(head) > indent else [head + words]
    return textwrap.wrap(
        " ".join(words.split()), width, initial_indent=head, subsequent_indent=" " * min(len(head), max(indent, 0)),
        break_long_words=False, break_on_hyphens=False,
    ) or [head.rstrip()]  # fmt: skip
