"""The check that labels are out of reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.checks.conform.check import check_that, conform_check
from bench.checks.conform.resuming import compare_resumed
from bench.checks.conform.subject import ConformSubject
from bench.checks.method_state import state_attributes
from bench.checks.tiny_run import TinyTraining
from methods.base import Translator


@conform_check(
    "a training does not depend on the labels, and the method holds neither them nor the harness's data",
    look="prepare", needs=("global_random_numbers",), sizes="first",
)  # fmt: skip
def isolating_labels(subject: ConformSubject) -> str:
    """Repeat the reference with other labels in every place where the harness keeps them."""
    with subject.labels_shuffled():
        training = TinyTraining(subject)
        differing = compare_resumed(subject, training)
        check_that(not differing, f"with other labels in the harness's memory, {differing}")
        given = _label_vectors(subject)
        for path, value in _held(training.method):
            home = type(value).__module__
            check_that(not home.startswith("bench.data"), f"{path} is a {home}.{type(value).__name__}")
            check_that(not _tells(value, given), f"{path} has the labels of the training images")
    return f"{sum(map(len, given[:2]))} labels found nowhere"


def _held(method: Translator) -> Iterator[tuple[str, Any]]:
    yield from method.named_buffers()
    yield from state_attributes(method)


def _label_vectors(subject: ConformSubject) -> list[np.ndarray]:
    """Labels of the training images of each domain, and of both, in either order."""
    first, second = (subject.data.splits[domain, "train"].labels for domain in (0, 1))
    return [first, second, np.concatenate([first, second]), np.concatenate([second, first])]


def _tells(value: Any, given: list[np.ndarray]) -> bool:
    """Whether `value` splits the images as labels do, whatever the classes are called."""
    if isinstance(value, Tensor):
        array = value.detach().cpu().to(torch.float64).numpy()
    elif isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
        array = value
    elif isinstance(value, list | tuple) and value and all(isinstance(entry, int) for entry in value):
        array = np.array(value)
    else:
        return False
    if array.ndim == 2 and array.shape[1] > 1:  # one-hot, or scores
        array = array.argmax(axis=1)
    codes = array.reshape(-1)
    return any(len(codes) == len(known) and _same_partition(codes, known) for known in given)


def _same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return all(len({pair[side] for pair in pairs}) == len(pairs) for side in (0, 1))
