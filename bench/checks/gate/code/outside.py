"""Methods from outside this project in the code check: the same values as of ours, at their own quick settings.

No weights are stored for them: a method starts from those that its constructor makes from the seed, so that a baseline
stays small whatever the networks. Float64, as ours, where the method can; else float32, with the slack that the
rounding of its inputs is seen to need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from bench.checks.gate.code import steps, translating
from bench.checks.gate.code.smallest import THREADS
from bench.checks.gate.code.values import Value, Values
from bench.checks.tiny_run import CandidateMethod, TinyRun
from bench.core.errors import BenchError
from bench.data.types import TaskData
from bench.evaluation.judge import Judge
from bench.spec.methods import target_of_method
from methods.registry import BUILT_IN, VARIANTS

STAGE_STEPS = 2
"""A method's semantic stages are cut to this length."""
PRECISIONS = ("float64", "float32")
Scratch = Callable[[], AbstractContextManager[Path]]
"""Makes an empty folder, for a run on one thread."""


class OutsideUnavailable(Exception):
    """A method of a baseline cannot be imported here."""


def outside_methods(names: Sequence[str]) -> list[str]:
    """Those of `names` that are no method or variant of ours. BenchError for one that is nothing at all."""
    for name in names:
        target_of_method(name)
    return [name for name in dict.fromkeys(names) if name not in BUILT_IN and name not in VARIANTS]


def outside_run(name: str, data: TaskData, folder: Path) -> TinyRun:
    """The method `name` on `data`, on one thread. Raises OutsideUnavailable where it is not installed."""
    try:
        candidate = CandidateMethod(name, target_of_method(name), {})
        _ = candidate.cls
    except (BenchError, ImportError) as error:
        raise OutsideUnavailable(f"{name} cannot be imported here: {error}".replace("\n", "; ")) from error
    return TinyRun(candidate, data, folder, threads=THREADS, stage_steps=STAGE_STEPS)


def outside_steps(name: str, data: TaskData, precision: str, scratch: Path, noise: int | None = None) -> Values:
    """Values of the subject that is called as the method."""
    return steps.measure_steps(outside_run(name, data, scratch), None, noise, precision == "float64")


def outside_translations(name: str, data: TaskData, judge: Judge, scratch: Path) -> Values:
    """Values of the subject `<method>: translations`, by the weights that it begins with."""
    run = outside_run(name, data, scratch)
    return translating.measure_translating(run, run.prepared().state_dict(), judge)


def record_outside(name: str, data: TaskData, judge: Judge, scratch: Scratch) -> tuple[str, list[Value]]:
    """(precision, values) of the method. BenchError if it does not run."""
    failure: Exception | None = None
    for precision in PRECISIONS:
        try:
            with_slack = steps.measure_steps_with_slack(partial(_noisy, name, data, precision, scratch)).measured
            with scratch() as folder:
                return precision, with_slack + outside_translations(name, data, judge, folder).measured
        except OutsideUnavailable as error:
            raise BenchError(str(error), "name methods that can be imported: --methods") from error
        except Exception as error:  # of somebody's method: in float64 perhaps because it makes float32 numbers itself
            failure = error
    raise BenchError(
        f"{name} does not run in the code check: {type(failure).__name__}: {failure}", f"bench conform {name}"
    ) from failure


def _noisy(name: str, data: TaskData, precision: str, scratch: Scratch, noise: int | None) -> Values:
    with scratch() as folder:
        return outside_steps(name, data, precision, folder, noise)


def outside_parts(
    precisions: Mapping[str, str], data: TaskData, judge: Callable[[], Judge]
) -> Iterator[tuple[str, Callable[[Path], Values]]]:
    """(subject, what measures it in an empty folder) of each method in `precisions`."""
    for name, precision in precisions.items():
        yield name, partial(outside_steps, name, data, precision)
        yield f"{name}: translations", partial(_translations, name, data, judge)


def _translations(name: str, data: TaskData, judge: Callable[[], Judge], scratch: Path) -> Values:
    return outside_translations(name, data, judge(), scratch)
