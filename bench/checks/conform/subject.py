"""The subject of the checks: a class at one image size, with what is built, trained and stored of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.checks.conform.images import few_conform_images
from bench.checks.tiny_run import STEPS, CandidateMethod, TinyRun, TinyTraining

STAGE_STEPS = 2
"""Semantic stages are cut to this length: whether they end well is no matter of conformance."""


class ConformSubject(TinyRun):
    """A candidate at one image size, and its reference training."""

    def __init__(self, candidate: CandidateMethod, size: int, folder: Path) -> None:
        """`folder`: an empty one of its own, where stages and checkpoints go."""
        super().__init__(candidate, few_conform_images(size), folder, stage_steps=STAGE_STEPS)

    @cached_property
    def trained(self) -> TinyTraining:
        """STEPS steps of training, watched, with a checkpoint in the middle."""
        training = TinyTraining(self, watched=True)
        training.advance(STEPS // 2)
        training.save(self.cell.checkpoints)
        training.advance(STEPS)
        return training

    def close(self) -> None:
        """Let go of the training, which knows its subject: then the labels are gone without a garbage collector."""
        self.__dict__.pop("trained", None)

    @contextmanager
    def labels_shuffled(self) -> Iterator[None]:
        """Replace the data's labels inside, in place, so that the true ones stand nowhere; restore them after."""
        labels = [split.labels for split in self.data.splits.values()]
        true = [array.copy() for array in labels]
        rng = np.random.default_rng(1)
        for array in labels:
            array[:] = rng.permutation(array)
        try:
            yield
        finally:
            for array, kept in zip(labels, true, strict=True):
                array[:] = kept
