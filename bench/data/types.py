"""Types of loaded data: arrays and labels for the evaluator (methods get the images alone), and sources of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

SplitName = Literal["train", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "test")


@dataclass(frozen=True)
class Split:
    """The images of one domain and split, in an order that does not betray the class (sorted by content hash)."""

    images: np.ndarray
    """uint8 (N, 3, H, W), usually memory-mapped, read only."""
    labels: np.ndarray
    """int64 (N,), an index into `TaskData.classes`; 0 where there are none. Never handed to a method."""
    ids: tuple[str, ...]
    """N content hashes (hex): sha256 of the prepared uint8 image, so an image has one name everywhere."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TaskData:
    """Both domains of a task, prepared at one size."""

    kind: str
    """`embedded`, `mnist-drawn` or `real`; stands in every record and table."""
    version: str
    """Hash over source files (or drawing version), preparation and split version: the data's identity."""
    classes: tuple[str, ...]
    """Empty: the images are not sorted into classes."""
    domains: tuple[str, str]
    splits: dict[tuple[int, SplitName], Split]
    """(domain index, split) -> images and labels."""
    size: int
    """Side of the images in pixels."""
    note: str
    """One line: which data was loaded and, if that is embedded data, which files were missing."""

    @property
    def labelled(self) -> bool:
        """Whether there are classes to tell apart: one is as none."""
        return len(self.classes) > 1

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the classes in label order; one, without a name, where there are none."""
        return self.classes or ("",)


@dataclass(frozen=True)
class Item:
    """One image as a source yields it, RGB and of any size, decoded already or when it is asked for."""

    image: np.ndarray | Callable[[], np.ndarray]
    """uint8 (h, w, 3), or what makes it: called from several threads at once for different items."""
    label: int
    split: SplitName
    name: str
    """Origin of the image (a file's path, or `train-images#123`), for error messages."""

    @property
    def pixels(self) -> np.ndarray:
        """uint8 (h, w, 3), decoded each time. Raises BenchError with the file's name if it cannot be decoded."""
        return self.image() if callable(self.image) else self.image


class Source(Protocol):
    """One domain of a data set before it is decoded; implemented in bench/data/sources/ and bench/data/drawn/."""

    @property
    def domain(self) -> str:
        """The domain's name."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Class names in label order; empty where images are not sorted into classes."""
        ...

    @property
    def resample(self) -> Literal["lanczos", "nearest"]:
        """Filter that brings an image to the task's size (Lanczos for pictures, nearest for 28 -> 32 MNIST)."""
        ...

    def fingerprint(self) -> str:
        """A hash of everything that decides the content: the files' bytes (or the drawing version), split version."""
        ...

    def count(self) -> int:
        """Number of items that `items` yields, known before decoding: for the progress bar and for allocation."""
        ...

    def items(self) -> Iterator[Item]:
        """Every image once. The item, or its `pixels`, raises BenchError with the file's name for a damaged one."""
        ...


class Tracker(Protocol):
    """Function that shows the progress over an iterable: `bench.core.progress.track_progress`, or nothing in tests."""

    def __call__(self, items: Iterable[Item], total: int, label: str) -> Iterable[Item]: ...
