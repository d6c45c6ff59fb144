"""`translate`, as the evaluator calls it: in eval mode and inference mode, on test images that it has not seen."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.checks.conform.check import Unmet, check_that, conform_check
from bench.checks.conform.subject import ConformSubject
from bench.checks.method_state import state_difference
from bench.evaluation.translate import draw_styles
from bench.training.loop import loop_state
from bench.training.train import evaluating_while_training
from bench.training.weights import load_trained_weights, store_weights
from methods.base import Code, Exemplar, Noise, Style, Translator, to_model_range
from methods.parts.global_draws import global_draws

ROUNDING = 1e-5
"""Two batch sizes differ by this much in float32: other kernels add in another order."""
ROUNDING_DOUBLE = 1e-8
"""The same limit in float64, in networks that lose as many digits."""


def translating_kinds(method: Translator) -> tuple[str, ...]:
    """The style sources, or `none`."""
    return method.style_sources or ("none",)


def sources(subject: ConformSubject, domain: int, rows: Sequence[int] | None = None) -> Tensor:
    """Test images, all or those of `rows`: (B, 3, S, S) in [-1, 1]."""
    images = subject.data.splits[domain, "test"].images
    return to_model_range(torch.from_numpy(images if rows is None else images[list(rows)]))


def style_for_check(
    subject: ConformSubject, kind: str, source: int, rows: Sequence[int] | None = None, number: int = 0
) -> Style:
    """Style `number` of those images, as the evaluator draws it."""
    ids = subject.data.splits[source, "test"].ids
    keys = [(ids[row], number) for row in (range(len(ids)) if rows is None else rows)]
    return draw_styles(subject.trained.method, subject.data, 1 - source, kind, keys, torch.device("cpu"))


def translate_for_check(
    subject: ConformSubject, method: Translator, kind: str, source: int, rows: Sequence[int] | None = None,
    number: int = 0, dtype: torch.dtype = torch.float32,
) -> Tensor:  # fmt: skip
    """Translations of test images of `source` into the other domain."""
    x, given = sources(subject, source, rows).to(dtype), style_for_check(subject, kind, source, rows, number)
    if isinstance(given, Noise):
        given = Noise(given.z.to(dtype))
    elif isinstance(given, Exemplar):
        given = Exemplar(given.image.to(dtype))
    with evaluating_while_training(method), torch.inference_mode(), subject.runtime.threads_pinned(1):
        return method.translate(x, source, 1 - source, given)


def translating_cases(subject: ConformSubject) -> Iterator[tuple[str, str, int]]:
    """(what to call it, style source, source domain) of everything that the evaluator may ask for."""
    for kind in translating_kinds(subject.trained.method):
        for source, target in subject.trained.method.directions:
            yield f"{source} -> {target}" + ("" if kind == "none" else f", style from {kind}"), kind, source


@conform_check(
    "a translation has the shape of its source, is float32, finite and without a graph, and depends on the source",
    look="translate", needs=("training",),
)  # fmt: skip
def translating_output(subject: ConformSubject) -> str:
    """Translate in each of the method's directions, with each kind of style."""
    for label, kind, source in translating_cases(subject):
        x, y = sources(subject, source), translate_for_check(subject, subject.trained.method, kind, source)
        check_that(isinstance(y, Tensor), f"{label}: a {type(y).__name__}")
        check_that(y.shape == x.shape, f"{label}: {tuple(x.shape)} -> {tuple(y.shape)}")
        check_that(y.dtype == torch.float32, f"{label}: {y.dtype}")
        check_that(not y.requires_grad, f"{label}: it carries a graph")
        check_that(
            bool(y.isfinite().all()), f"{label}: {int((~y.isfinite()).sum())} of {y.numel()} values are not finite"
        )
        check_that(bool((y != y[:1]).any()), f"{label}: {len(x)} different images become one and the same")
        check_that(bool((y[0] != y[0, :, :1, :1]).any()), f"{label}: an image of a single colour")
    method = subject.trained.method
    shown = ", ".join(f"{source} -> {target}" for source, target in method.directions)
    return f"{tuple(x.shape)}, {shown}, styles: {', '.join(translating_kinds(method))}"


@conform_check(
    "translations are in [-1, 1]: translate ends with a clamp, or a tanh", look="translate", needs=("output",)
)
def translating_output_range(subject: ConformSubject) -> str:
    """Read the range: the evaluator would clamp in silence."""
    low, high = 0.0, 0.0
    for label, kind, source in translating_cases(subject):
        y = translate_for_check(subject, subject.trained.method, kind, source)
        low, high = min(low, float(y.min())), max(high, float(y.max()))
        check_that(low >= -1 and high <= 1, f"{label}: values from {float(y.min()):.4g} to {float(y.max()):.4g}")
    return f"{low:.2g} to {high:.2g}"


@conform_check(
    "a row's translation depends on that row alone: alone, in a part of the batch and in the whole it is the same",
    look="translate", needs=("translations_repeat",),
)  # fmt: skip
def translating_rows_alone(subject: ConformSubject) -> str:
    """Compare to 1e-5; where float32 is not exact to that, to 1e-8 in float64, which separates rounding from a leak."""
    parts = ([0], [4], [1, 3])
    return _equal_rows(subject, parts, "with statistics over the batch (BatchNorm in training?), or by position")


@conform_check(
    "the order of a batch's rows does not matter", look="translate", needs=("translations_repeat",), sizes="first",
)  # fmt: skip
def translating_order_of_rows(subject: ConformSubject) -> str:
    """Translate the batch in reverse order."""
    return _equal_rows(subject, ([4, 3, 2, 1, 0],), "by position")


def _equal_rows(subject: ConformSubject, parts: Sequence[list[int]], suspicion: str) -> str:
    largest = _largest_gap(subject, subject.trained.method, parts, torch.float32)
    if largest[0] <= ROUNDING:
        return f"within {largest[0]:.1g}"
    double = _double(subject, parts)
    if double is not None and double[0] <= ROUNDING_DOUBLE:
        return f"within {largest[0]:.1g} in float32 and {double[0]:.1g} in float64"
    gap, label, rows = largest
    raise Unmet(
        f"{label}: rows {rows} of {translating_parts(subject)} differ by up to {gap:.2g}; are rows mixed, {suspicion}?"
    )


def translating_parts(subject: ConformSubject) -> int:
    """Number of test images."""
    return len(subject.data.splits[0, "test"])


def _largest_gap(
    subject: ConformSubject, method: Translator, parts: Sequence[list[int]], dtype: torch.dtype
) -> tuple[float, str, list[int]]:
    """The largest difference between rows of the whole batch and the same ones in a part; where it is."""
    worst: tuple[float, str, list[int]] = (0.0, "", [])
    for label, kind, source in translating_cases(subject):
        whole = translate_for_check(subject, method, kind, source, dtype=dtype)
        for rows in parts:
            part = translate_for_check(subject, method, kind, source, rows, dtype=dtype)
            gap = float((part - whole[rows]).abs().max())
            worst = max(worst, (gap, label, rows))
    return worst


def _double(subject: ConformSubject, parts: Sequence[list[int]]) -> tuple[float, str, list[int]] | None:
    """`_largest_gap` in float64; None if the method does not support it."""
    try:
        return _largest_gap(subject, copy.deepcopy(subject.trained.method).double(), parts, torch.float64)
    except (RuntimeError, TypeError):  # torch's errors for mixed types, and for what cannot be copied
        return None


@conform_check(
    "with another style the translation is another one, for each kind of style that is declared",
    look="translate", needs=("output",),
)  # fmt: skip
def translating_style_varies(subject: ConformSubject) -> str:
    """Compare styles 0 and 1 of each test image."""
    method = subject.trained.method
    smallest = float("inf")
    for label, kind, source in translating_cases(subject):
        if kind == "none":
            continue
        first, second = (translate_for_check(subject, method, kind, source, number=number) for number in (0, 1))
        gap = float((first - second).abs().max())
        check_that(gap > 0, f"{label}: two styles, one and the same translation: is the style used?")
        smallest = min(smallest, gap)
    return f"by {smallest:.2g} and more" if method.style_sources else "no styles declared"


@conform_check("two directions differ, if there are two", look="translate", needs=("output",), sizes="first")
def translating_directions_differ(subject: ConformSubject) -> str:
    """Translate the same image as one of domain 0 and as one of domain 1, with the same style."""
    method = subject.trained.method
    if len(method.directions) < 2:
        return "one direction alone"
    for kind in translating_kinds(method):
        x, given = sources(subject, 0), style_for_check(subject, kind, 0)
        with evaluating_while_training(method), torch.inference_mode(), subject.runtime.threads_pinned(1):
            forth, back = (method.translate(x, source, target, given) for source, target in method.directions)
        check_that(
            not torch.equal(forth, back), f"style from {kind}: 0 -> 1 and 1 -> 0 are the same: is `target` used?"
        )
    return "yes"


@conform_check(
    "the same images and styles give the same bytes, whatever the global random state",
    look="translate", needs=("output",),
)  # fmt: skip
def translations_repeat(subject: ConformSubject) -> str:
    """Translate twice: a method's only variation is that of its styles."""
    for label, kind, source in translating_cases(subject):
        translations = []
        for seed in (1, 2):
            with global_draws(seed):
                translations.append(translate_for_check(subject, subject.trained.method, kind, source))
        differing = state_difference(*translations)
        check_that(not differing, f"{label}: twice, {differing}")
    return "equal"


@conform_check(
    "translate changes neither weights, buffers, optimisers nor its inputs, draws no global random number, and leaves "
    "gradients switched as they were",
    look="translate", needs=("output",),
)  # fmt: skip
def translate_changes_nothing(subject: ConformSubject) -> str:
    """Compare before and after, in each direction."""
    method = subject.trained.method
    for label, kind, source in translating_cases(subject):
        x, given = sources(subject, source), style_for_check(subject, kind, source)
        inputs = {"x": x, "style": vars(given) if given is not None else {}}
        before = copy.deepcopy({"state": loop_state(method), "inputs": inputs})
        with _untouched_globals(label), evaluating_while_training(method), torch.no_grad():
            method.translate(x, source, 1 - source, given)
        changed = state_difference(before, {"state": loop_state(method), "inputs": inputs})
        check_that(not changed, f"{label}: before and after, {changed}")
    return "as before"


@contextmanager
def _untouched_globals(label: str) -> Iterator[None]:
    """Raise Unmet if what is done inside changes a global random state or the gradient mode."""
    read: dict[str, Callable[[], Any]] = {
        "torch's global random state": lambda: torch.get_rng_state().tolist(),
        "numpy's global random state": lambda: repr(np.random.get_state()),  # noqa: NPY002
        "Python's global random state": random.getstate,
        "torch's gradient mode": torch.is_grad_enabled,
        "torch's default type": torch.get_default_dtype,
        "torch's number of threads": torch.get_num_threads,
    }
    before = {name: look() for name, look in read.items()}
    yield
    changed = [name for name, look in read.items() if look() != before[name]]
    check_that(not changed, f"{label}: it changes {', '.join(changed)}")


@conform_check(
    "a kind of style that is not declared is refused with a TypeError (self.check_style(style) does it)",
    look="translate", needs=("output",), sizes="first",
)  # fmt: skip
def translating_undeclared_styles(subject: ConformSubject) -> str:
    """Offer None where styles are declared, and any style where none is."""
    method = subject.trained.method
    source, target = method.directions[0]
    x = sources(subject, source)
    offered: dict[str, Style] = {"noise": Noise(torch.zeros(len(x), 16)), "exemplar": Exemplar(x)}
    refused = {kind: given for kind, given in offered.items() if kind not in method.style_sources}
    refused |= {"none": None} if method.style_sources else {"a code": Code(torch.zeros(len(x), 8))}
    for kind, given in refused.items():
        try:
            with evaluating_while_training(method), torch.inference_mode():
                method.translate(x, source, target, given)
        except TypeError:
            continue
        except Exception as error:  # an error of another type says that the style was used, not that it was refused
            raise Unmet(f"style of the kind '{kind}': {type(error).__name__}: {error}") from error
        raise Unmet(f"style of the kind '{kind}' was accepted")
    return f"refused: {', '.join(refused)}"


@conform_check(
    "weights written to disk and read into a new method, without `prepare`, translate to the same bytes",
    look="prepare", needs=("translations_repeat",), sizes="first",
)  # fmt: skip
def translating_stored_weights(subject: ConformSubject) -> str:
    """Compare with the stored method, which is scored: what `prepare` learns, or the constructor draws, must be in
    state_dict()."""
    method = subject.trained.method
    store_weights(method, subject.cell)
    again = load_trained_weights(subject.shortest_job.build, subject.cell, subject.runtime)
    elsewhere = subject.built(seed=1).eval()  # as on a machine whose torch draws other first weights
    elsewhere.load_state_dict(again.state_dict())
    for label, kind, source in translating_cases(subject):
        for read, how in ((again, "read again"), (elsewhere, "read into a method that was begun from another seed")):
            differing = state_difference(*(translate_for_check(subject, one, kind, source) for one in (method, read)))
            check_that(not differing, f"{label}: trained and {how}, {differing}")
    return "equal"
