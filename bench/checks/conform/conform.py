"""Does a class keep the contract of methods/base.py? Every check that the harness relies on, for anybody's method.

A few drawn images, the quick settings, four training steps, on the CPU: seconds, not a judgement of what is learned.
"""

from __future__ import annotations

import importlib
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from pathlib import Path
from tempfile import TemporaryDirectory
from traceback import extract_tb
from typing import Any

from bench.checks.conform import building, declaring, drawing, isolating, resuming, stepping, translating
from bench.checks.conform.check import (
    ConformCheck,
    ConformOutcome,
    Status,
    Unmet,
    place_in_class,
    place_of_raise,
    source_files,
)
from bench.checks.conform.subject import ConformSubject
from bench.checks.tiny_run import CandidateMethod
from bench.core.errors import BenchError, error_remedy
from bench.core.progress import hand_progress_to
from bench.spec.methods import target_of_method
from methods import registry
from methods.parts.global_draws import global_draws

SIZES = (32, 64)
CHECKS: tuple[ConformCheck, ...] = (
    declaring.declaring_importable,
    declaring.declaring_interface,
    declaring.declaring_config,
    declaring.declaring_documentation,
    declaring.declaring_quick_settings,
    declaring.declaring_no_harness,
    building.building_constructor,
    building.building_constructor_on_meta,
    building.building_declarations,
    building.building_directions,
    building.building_optimizers,
    building.building_learning_rates,
    building.building_ema_copies,
    building.building_official_checkpoints,
    building.building_prepare,
    drawing.drawing_batch,
    drawing.drawing_images_per_step,
    drawing.draw_changes_nothing,
    drawing.draw_follows_its_generator,
    stepping.stepping_phases,
    stepping.stepping_training,
    stepping.stepping_gradients,
    stepping.stepping_every_network_learns,
    stepping.stepping_mixed_precision,
    resuming.resuming_optimizers_in_the_state,
    stepping.stepping_weights_change_in_phases,
    resuming.resuming_deterministic,
    resuming.resuming_global_random_numbers,
    resuming.resuming_resume,
    isolating.isolating_labels,
    translating.translating_output,
    translating.translating_output_range,
    translating.translations_repeat,
    translating.translating_rows_alone,
    translating.translating_order_of_rows,
    translating.translating_style_varies,
    translating.translating_directions_differ,
    translating.translate_changes_nothing,
    translating.translating_undeclared_styles,
    translating.translating_stored_weights,
)
"""All checks in the order in which they run; a check stands after those that it needs."""
CheckPlan = Sequence[tuple[int | None, Sequence[ConformCheck]]]
"""Image size (None: the class) -> checks."""


def conform(
    name: str, values: Mapping[str, Any] | None = None, sizes: Sequence[int] = SIZES, only: Sequence[str] = (),
    advance: Callable[[int], None] = lambda count: None,
) -> list[ConformOutcome]:  # fmt: skip
    """Examine the method `name` (registered, a variant, or `package.module:Class`).

    `values`: settings over the quick preset's. `sizes`: sides of the square images. `only`: names of checks; those that
    they need run too, and are reported if they fail. Nothing is left on disk, no global random state is changed.

    Raises BenchError for an unknown method, check or setting. Whatever the class raises is a failed check, or a note.
    """
    plan = _plan(sizes, only)
    candidate = CandidateMethod(name, target_of_method(name), values or {})
    _check_values(candidate)
    with TemporaryDirectory(prefix="conform-") as folder, global_draws(0):
        outcomes = copy_context().run(_examine, candidate, plan, Path(folder), advance)
    return [outcome for outcome in outcomes if not only or outcome.name in only or outcome.status == "failed"]


def count_conform_checks(sizes: Sequence[int], only: Sequence[str] = ()) -> int:
    """Number of outcomes to wait for."""
    return sum(len(checks) for _, checks in _plan(sizes, only))


def _plan(sizes: Sequence[int], only: Sequence[str]) -> CheckPlan:
    wanted = [check for check in CHECKS if check.name in _with_needs(only)]
    return [(size, [check for check in wanted if _runs_at(check, size, sizes)]) for size in (None, *sizes)]


def _with_needs(only: Sequence[str]) -> set[str]:
    known = {check.name: check for check in CHECKS}
    for name in only:
        if name not in known:
            raise BenchError(f"there is no check '{name}'", error_remedy(name, list(known)))
    wanted, needed = list(only) or list(known), set[str]()
    while wanted:
        name = wanted.pop()
        if name not in needed:
            needed.add(name)
            wanted += known[name].needs
    return needed


def _runs_at(check: ConformCheck, size: int | None, sizes: Sequence[int]) -> bool:
    if size is None:
        return check.sizes == "none"
    return check.sizes == "all" or (check.sizes == "first" and size == sizes[0])


def _check_values(candidate: CandidateMethod) -> None:
    """Refuse settings of the user's that do not exist, unless the class itself is to blame."""
    if candidate.values:
        try:
            candidate.config({})
        except Exception:  # the checks will say so
            return
        candidate.config()


def _examine(
    candidate: CandidateMethod, plan: CheckPlan, folder: Path, advance: Callable[[int], None]
) -> list[ConformOutcome]:
    hand_progress_to(lambda message: None)  # messages of stages while they train are of no interest here
    outcomes: list[ConformOutcome] = []
    passed: set[tuple[str, int | None]] = set()
    only_at = {check.name: size for size, checks in plan for check in checks if check.sizes != "all"}
    for size, checks in plan:
        target = candidate if size is None else ConformSubject(candidate, size, folder / str(size))
        for check in checks:
            lacking = [name for name in check.needs if (name, only_at.get(name, size)) not in passed]
            outcome = _skipped(check, size, lacking) if lacking else _outcome(check, size, candidate, target)
            if outcome.status in ("passed", "noted"):
                passed.add((check.name, size))
            outcomes.append(outcome)
            advance(1)
        if isinstance(target, ConformSubject):
            target.close()
    return outcomes


def _skipped(check: ConformCheck, size: int | None, lacking: Sequence[str]) -> ConformOutcome:
    return ConformOutcome(check.name, size, "skipped", check.expects, f"needs {', '.join(lacking)}", "", "", 0.0)


def _outcome(
    check: ConformCheck, size: int | None, candidate: CandidateMethod, target: CandidateMethod | ConformSubject
) -> ConformOutcome:
    start = time.monotonic()
    look = ""
    try:
        with global_draws(0):
            seen = check.run(target)
        failed = False
    except Unmet as finding:
        failed, seen = True, finding.seen
        look = place_in_class(candidate.cls, finding.look or check.look)
    except Exception as error:  # one check's crash is its own failure
        failed, seen = True, f"{type(error).__name__}: {error}"
        look = _blame(candidate, check, error)
    seconds = round(time.monotonic() - start, 2)
    if not failed:
        return ConformOutcome(check.name, size, "passed", check.expects, seen, "", "", seconds)
    alone = _command(candidate, check, size)
    status: Status = "noted" if check.advice else "failed"
    return ConformOutcome(check.name, size, status, check.expects, seen, look, alone, seconds)


def _blame(candidate: CandidateMethod, check: ConformCheck, error: Exception) -> str:
    """The line of the method's that raised, else the attribute that the check is about."""
    try:
        return place_of_raise(error, source_files(candidate.cls)) or place_in_class(candidate.cls, check.look)
    except Exception:  # the class cannot even be imported: the line of its module, if it came that far
        return place_of_raise(error, _imported_files(error)) or candidate.target


def _imported_files(error: Exception) -> set[str]:
    """The source files in which a failed import was, after the machinery of importing."""
    files = [frame.filename for frame in extract_tb(error.__traceback__)]
    machinery = (registry.__file__, importlib.__file__)
    after = max((index for index, file in enumerate(files) if file in machinery), default=-1) + 1
    return {file for file in files[after:] if not file.startswith("<")}


def _command(candidate: CandidateMethod, check: ConformCheck, size: int | None) -> str:
    parts = ["python", "-m", "bench", "conform", candidate.name, "--only", check.name]
    parts += ["--size", str(size)] if size is not None else []
    for key, value in candidate.values.items():
        parts += ["--set", f"{candidate.name}.{key}={value}"]
    return shlex.join(parts)
