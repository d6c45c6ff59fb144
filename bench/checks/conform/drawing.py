"""`draw`: every input of an iteration, from the generator that it is given."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from bench.checks.conform.check import check_that, conform_check
from bench.checks.conform.subject import ConformSubject
from bench.checks.method_state import state_difference
from bench.core.randomness import randomness
from bench.training.loop import loop_state
from methods.base import Progress


def _values(batch: Any) -> dict[str, Any]:
    return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}


@conform_check(
    "draw returns a frozen dataclass of tensors: then a step can be repeated, and nothing in it is a surprise",
    look="draw", needs=("prepare",), sizes="first",
)  # fmt: skip
def drawing_batch(subject: ConformSubject) -> str:
    """Look at its type and that of its values."""
    domains = subject.domains()
    drawn = subject.prepared(domains).draw(domains, randomness("conform"), Progress(0, 2))
    check_that(dataclasses.is_dataclass(drawn), f"it returned a {type(drawn).__name__}")
    check_that(type(drawn).__dataclass_params__.frozen, f"{type(drawn).__name__} is not frozen")
    others = [f"{name} is {type(value).__name__}" for name, value in _values(drawn).items() if not _is_tensor(value)]
    check_that(not others, "; ".join(others))
    return f"{type(drawn).__name__} of {len(_values(drawn))} tensors"


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


@conform_check(
    "a batch holds at least 2 x images_per_step images (over both domains), float32 in [-1, 1]",
    look="images_per_step", needs=("batch", "declarations"), sizes="first",
)  # fmt: skip
def drawing_images_per_step(subject: ConformSubject) -> str:
    """Count them, as budgets do. Every float tensor (..., 3, h, w) counts as images."""
    domains = subject.domains()
    method = subject.prepared(domains)
    drawn = _values(method.draw(domains, randomness("conform"), Progress(0, 2)))
    pictures = {name: v for name, v in drawn.items() if v.ndim >= 4 and v.shape[-3] == 3 and v.is_floating_point()}
    right = {name: v for name, v in pictures.items() if v.dtype == torch.float32 and float(v.abs().max()) <= 1}
    count, wanted = sum(v[..., 0, 0, 0].numel() for v in right.values()), 2 * method.images_per_step
    wrong = [
        f"{name} is {v.dtype} in [{v.min():.3g}, {v.max():.3g}]" for name, v in pictures.items() if name not in right
    ]
    check_that(count >= wanted, "; ".join([f"{count} such images, {wanted} wanted", *wrong]))
    return f"{count} images for 2 x {method.images_per_step}"


@conform_check(
    "draw changes neither the method's state nor the images", look="draw", needs=("batch",), sizes="first",
)  # fmt: skip
def draw_changes_nothing(subject: ConformSubject) -> str:
    """Compare both before and after: every later step draws from the same images."""
    domains, untouched = subject.domains(), subject.domains()
    method = subject.prepared(domains)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.draw(domains, randomness("conform"), Progress(0, 2))
    changed = state_difference({"state": before}, {"state": loop_state(method)["module"]})
    check_that(not changed, f"the state before and after: {changed}")
    images = state_difference(list(untouched.images), list(domains.images))
    check_that(not images, f"the images before and after prepare and draw: {images}")
    return f"{len(before)} tensors and {sum(domains.sizes)} images as before"


@conform_check(
    "draw follows from its generator: the same one, the same batch; another one, another batch",
    look="draw", needs=("draw_changes_nothing",), sizes="first",
)  # fmt: skip
def draw_follows_its_generator(subject: ConformSubject) -> str:
    """Draw with two generators of the same seed and one of another."""
    domains = subject.domains()
    method = subject.prepared(domains)
    first, again, other = (
        _values(method.draw(domains, randomness("conform", seed), Progress(1, 9))) for seed in (5, 5, 6)
    )
    check_that(not state_difference(first, again), f"two generators of one seed: {state_difference(first, again)}")
    check_that(bool(state_difference(first, other)), "two generators of different seeds: the same batch")
    return f"{len(first)} tensors"
