"""The code check: does the installed code still give the numbers that it gave when a baseline was recorded?

`record_code_check` draws a few images, makes up some features, trains a tiny judge and tiny networks of every method,
stores all of them, and writes down the results: every metric of the features, the images drawn anew, the ranges
and sizes in which encoders and models see them, the losses and gradient norms of three training steps from the stored
weights, and the translations by the stored weights as the evaluation scores them. `run_code_check` does the same again
with the stored inputs and compares. It takes seconds, and any difference beyond a value's limit (values.py) is a
regression: the code gives other numbers, for better or worse. Where a library has another version than the baseline
was recorded with, the library may have moved the value: then the check cannot decide.

A change that is meant to alter numbers comes with a new baseline, in the same commit, which says why they change:

    python -c "from bench.checks.gate.code.code_check import SHIPPED, record_code_check as record; record(SHIPPED)"

Look at what `run_code_check` said before: only the values that the change explains may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from bench.checks.gate.code import images_case, inputs, metrics_case, steps, stored, translating
from bench.checks.gate.code.comparing import compare_failed, compare_undecided, compare_values
from bench.checks.gate.code.outside import OutsideUnavailable, outside_parts, record_outside
from bench.checks.gate.code.smallest import METHODS, THREADS, smallest_run
from bench.checks.gate.code.values import Value, Values
from bench.checks.gate.verdict import Finding
from bench.checks.tiny_run import TASK, tiny_run_on_cpu
from bench.core.environment import versions
from bench.core.errors import BenchError
from bench.core.installation import installed_results
from bench.core.progress import hand_progress_to, progress
from bench.data.types import TaskData
from bench.evaluation.judge import Judge, get_judge

SHIPPED = installed_results() / "baselines" / "embedded" / "code"
"""The baseline that comes with this code."""
TRAINED_STEPS = 12
"""Length of the training that the stored weights come from; the stages before it have STAGE_STEPS."""
STAGE_STEPS = {
    "cats_udt": {"semantics.moco.steps": 40, "semantics.adaptation.steps": 40},
    "egsc_it": {"autoencoder_steps": 10},
}
JUDGE_STEPS = 60
"""Length of the training that the stored judge comes from."""
JUDGE = "judge"
OF_CODE = ("metrics", *(f"data of {task}" for task in inputs.TASKS), "image ranges", "lpips", JUDGE, "scoring")
"""Subjects that are no method."""
LIBRARIES = ("Python", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "Pillow", "torch-fidelity", "lpips")
"""What is stored of the environment: where one of the libraries has another version, a difference decides nothing."""

Advance = Callable[[int], None]
MeasureSubject = Callable[[Path], Values]
"""Measures one subject in an empty folder of its own."""


def record_code_check(folder: Path, outside: Sequence[str] = ()) -> None:
    """Write the code part of a baseline into `folder`: `inputs.npz`, `weights-*.safetensors` and `expected.json`.

    `outside`: methods beside ours, see outside.py. About 1.2 MB, nothing pickled, every file atomically,
    `expected.json` last. Raises BenchError if the disk refuses or one of `outside` does not run, RuntimeError if a
    value is not finite.
    """
    with _shown("recording the code's values", 2 * len(METHODS) + len(outside) + len(OF_CODE)) as advance:
        copy_context().run(_record, folder, outside, advance)


def run_code_check(folder: Path, subjects: Collection[str] | None = None) -> list[Finding]:
    """Compare what the installed code gives now with what `record_code_check` stored in `folder`.

    For each subject one finding that all values agree, or its first values that differ: REGRESSED. CANNOT_DECIDE where
    a stored part is missing, damaged or of another format, or where the disk refuses. Nothing is written to `folder`.
    `subjects`: only these (a method, `<method>: translations`, `metrics`, ...); None: all.
    """
    with _shown("checking the code's values", 2 * len(METHODS) + len(OF_CODE)) as advance:
        return copy_context().run(_check, folder, subjects, advance)


@contextmanager
def _shown(label: str, subjects: int) -> Iterator[Advance]:
    """As `progress`, for work that is done in silence: what is shown is shown from here."""
    with progress(label, subjects, "subjects") as advance:
        here = copy_context()
        yield lambda count: here.run(advance, count)


def _record(folder: Path, outside: Sequence[str], advance: Advance) -> None:
    _in_silence()
    (folder / "expected.json").unlink(missing_ok=True)
    arrays = inputs.feature_inputs()
    with _alone() as scratch:
        for task in inputs.TASKS:
            arrays |= inputs.inputs_as_arrays(task, inputs.draw_inputs(task, scratch))
        stored.write_stored_inputs(folder, arrays)
        data = inputs.task_inputs(arrays, TASK)
        stored.write_stored_weights(folder, JUDGE, _trained_judge(data, scratch))
        for name in METHODS:
            run = smallest_run(name, data, scratch / name, **STAGE_STEPS.get(name, {}))
            method, _ = run.train(run.job_of_steps(TRAINED_STEPS))
            stored.write_stored_weights(folder, name, stored.halved_as_stored(method.state_dict()))
    weights = {name: stored.read_stored_weights(folder, name) for name in (JUDGE, *METHODS)}
    measured: list[Value] = []
    judge = translating.make_translating_judge(weights[JUDGE], data)
    for name, part in _parts(arrays, weights, {}).items():
        advance(1)
        if name in METHODS:
            measured += steps.measure_steps_with_slack(partial(_noisy_steps, name, data, weights[name])).measured
            continue
        with _alone() as scratch:
            measured += part(scratch).measured
    precisions = {}
    for name in outside:
        precisions[name], of_method = record_outside(name, data, judge, _alone)
        measured += of_method
        advance(1)
    lost = [f"{value.subject}: {value.quantity}" for value in measured if value.value in ("nan", "inf", "-inf")]
    if lost:
        raise RuntimeError(f"not finite, so no baseline: {'; '.join(lost[:5])}")
    stored.write_stored_values(folder, measured, _libraries(), precisions)


def _check(folder: Path, subjects: Collection[str] | None, advance: Advance) -> list[Finding]:
    _in_silence()
    try:
        baseline = stored.read_stored(folder, (JUDGE, *METHODS))
        parts = _parts(baseline.arrays, baseline.weights, baseline.outside)
    except (stored.StoredUnusable, KeyError) as error:
        reason = f"{error}" if isinstance(error, stored.StoredUnusable) else f"the stored inputs lack {error}"
        return [
            compare_undecided("code baseline", "its files", f"{reason}; make one: bench baseline save NAME --task T")
        ]
    expected: dict[str, list[Value]] = {}
    for value in baseline.values:
        expected.setdefault(value.subject, []).append(value)
    findings: list[Finding] = []
    for name, part in parts.items():
        advance(1)
        if subjects is None or name in subjects:
            findings += _findings(name, part, expected.get(name, []), baseline.recorded_with)
    gone = [name for name in expected if name not in parts and (subjects is None or name in subjects)]
    return findings + [compare_undecided(name, "all", "the code check does not measure it any more") for name in gone]


def _findings(
    name: str, part: MeasureSubject, expected: Sequence[Value], recorded_with: Mapping[str, str]
) -> list[Finding]:
    if not expected:
        return [
            compare_undecided(
                name, "all", "the baseline has nothing of it; make one: bench baseline save NAME --task T"
            )
        ]
    try:
        with _alone() as scratch:
            return compare_values(expected, part(scratch).measured, recorded_with, _libraries())
    except (OSError, OutsideUnavailable) as error:
        return [compare_undecided(name, "runs", str(error))]
    except Exception as error:  # whatever the code under check raises is what the check is for; the other parts go on
        environment = isinstance(error, BenchError) and isinstance(error.__cause__, OSError)
        return [compare_undecided(name, "runs", str(error)) if environment else compare_failed(name, error)]


def _parts(
    arrays: Mapping[str, np.ndarray], weights: Mapping[str, Mapping[str, Tensor]], outside: Mapping[str, str]
) -> dict[str, MeasureSubject]:
    """Subject -> what measures it, the causes before what follows from them. KeyError if `arrays` lack any.

    `outside`: methods from outside and their precisions.
    """
    data = {task: inputs.task_inputs(arrays, task) for task in inputs.TASKS}
    images = data[TASK]
    judge = cache(lambda: translating.make_translating_judge(weights[JUDGE], images))
    parts: dict[str, MeasureSubject] = {"metrics": lambda scratch: metrics_case.measure_metrics_case(arrays)}
    for task in data:
        parts[f"data of {task}"] = partial(images_case.images_case_of_data, task, data[task])
    parts["image ranges"] = lambda scratch: images_case.images_case_of_ranges(images)
    parts["lpips"] = partial(images_case.images_case_of_lpips, images)
    parts["judge"] = lambda scratch: translating.translating_judge_values(judge(), images, scratch)
    parts["scoring"] = lambda scratch: translating.translating_scoring_values(judge(), images, scratch)
    for name in METHODS:
        parts[name] = partial(_steps, name, images, weights[name])
        parts[f"{name}: translations"] = partial(_translations, name, images, weights[name], judge)
    return {**parts, **dict(outside_parts(outside, images, judge))}


def _steps(name: str, data: TaskData, state: Mapping[str, Tensor], scratch: Path) -> Values:
    return steps.measure_steps(smallest_run(name, data, scratch), state)


def _noisy_steps(name: str, data: TaskData, state: Mapping[str, Tensor], noise: int | None) -> Values:
    with _alone() as scratch:
        return steps.measure_steps(smallest_run(name, data, scratch), state, noise)


def _translations(
    name: str, data: TaskData, state: Mapping[str, Tensor], judge: Callable[[], Judge], scratch: Path
) -> Values:
    return translating.measure_translating(smallest_run(name, data, scratch), state, judge())


def _trained_judge(data: TaskData, scratch: Path) -> dict[str, Tensor]:
    get_judge(scratch, data, 1, replace(translating.JUDGE, steps=JUDGE_STEPS), tiny_run_on_cpu(data.size, THREADS))
    (path,) = (scratch / "judges").glob("*/weights.safetensors")
    return stored.halved_as_stored(load_file(path))


@contextmanager
def _alone() -> Iterator[Path]:
    """An empty folder; one CPU thread, whose number decides the order of sums."""
    with TemporaryDirectory(prefix="udt-gate-") as folder, tiny_run_on_cpu(1, THREADS).threads_pinned(THREADS):
        yield Path(folder)


def _in_silence() -> None:
    """Progress of trainings of three steps is noise."""
    hand_progress_to(lambda message: None)


def _libraries() -> dict[str, str]:
    """Versions of Python and of the libraries that compute, draw or decode what is measured."""
    installed = versions()
    return {name: installed[name.lower() if name == "Python" else name] or "unknown" for name in LIBRARIES}
