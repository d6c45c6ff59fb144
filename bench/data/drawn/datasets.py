"""The embedded data: both domains of sketch2real and of mnist2svhn, drawn by code, deterministic, without a download.

The pictures are drawn at 256 px (`drawn/pictures.py`), the house numbers at 32 px (`drawn/digits.py`); the "mnist"
domain holds scikit-learn's real handwritten digits, enlarged. Every item has its own seed from the version, domain,
class, split and index, so it is the same whatever is drawn before it, and the two domains share no draw.
Pixels can differ between versions of numpy, Pillow or FreeType in the last bit: images are named by their content.

A change to any picture raises `DRAWN_VERSION`, and is justified without reference to any method's score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from bench.core.randomness import derived_seed
from bench.data.drawn.digits import digit_handwriting, draw_house_digit, handwritten_digit
from bench.data.drawn.pictures import PICTURE_CLASSES, PictureDomain, draw_picture
from bench.data.types import SPLITS, Item, SplitName

DRAWN_VERSION = 1
"""Part of every seed and fingerprint."""
DIGIT_CLASSES = tuple("0123456789")
DigitDomain = Literal["mnist", "svhn"]

MNIST_TRAIN_ORIGINALS = 130
"""Per class, the first in the data set's order are for training ..."""
MNIST_TEST_ORIGINALS = 40
"""... and the last (of at least 174) for testing: in order, so that neighbours, often of one hand, stay together."""


class DrawnPictures:
    """One domain of sketch2real: parametric outlines of five classes as pen strokes or as painted scenes.

    The default, 200 training and 50 test images of each class, is enough for a judge to learn the classes and for
    a distance over 250 test images, and both domains are drawn within about a minute on one core.
    """

    resample: Literal["lanczos", "nearest"] = "lanczos"

    def __init__(self, domain: PictureDomain, per_class_train: int = 200, per_class_test: int = 50) -> None:
        if domain not in ("sketch", "real"):
            raise ValueError(f"domain is 'sketch' or 'real', not {domain!r}")
        self.domain: str = domain
        self.classes: Sequence[str] = PICTURE_CLASSES
        self._drawn_as: PictureDomain = domain
        self._counts = _checked_counts(per_class_train, per_class_test)

    def fingerprint(self) -> str:
        """sha256 (hex) over the drawing version, the domain and the counts."""
        return _fingerprint("pictures", self.domain, self._counts)

    def count(self) -> int:
        """Number of items of both splits."""
        return len(self.classes) * sum(self._counts.values())

    def items(self) -> Iterator[Item]:
        """Every picture, uint8 (256, 256, 3), training first, class by class."""
        for split, label, index, name in _positions(self.domain, self.classes, self._counts):
            seed = _item_seed(self.domain, self.classes[label], split, index)
            yield Item(draw_picture(self._drawn_as, label, seed).pixels, label, split, name)


class DrawnDigits:
    """One domain of mnist2svhn at 32 px: "mnist" (scikit-learn's real handwriting) or "svhn" (drawn house numbers).

    "mnist": the first 130 originals of each class train, the last 40 test, and none is in both. Item i shows original
    i modulo their number; the first showing is unchanged, later ones carry a small affine jitter (`handwritten`). The
    default, 400 training items, is each original three times; 40 test items are the originals themselves.
    "svhn": 400 training and 100 test images of each class, each drawn anew.

    Both are reduced with Lanczos: nearest (right for the 28 px MNIST brought to 32) drops every other pixel on the way
    to the quick preset's 16 px, which frays the strokes.
    """

    resample: Literal["lanczos", "nearest"] = "lanczos"

    def __init__(self, domain: DigitDomain, per_class_train: int = 400, per_class_test: int | None = None) -> None:
        if domain not in ("mnist", "svhn"):
            raise ValueError(f"domain is 'mnist' or 'svhn', not {domain!r}")
        if per_class_test is None:
            per_class_test = MNIST_TEST_ORIGINALS if domain == "mnist" else 100
        self.domain: str = domain
        self.classes: Sequence[str] = DIGIT_CLASSES
        self._counts = _checked_counts(per_class_train, per_class_test)

    def fingerprint(self) -> str:
        """sha256 (hex) over the drawing version, the domain, the counts and, for "mnist", the originals' bytes."""
        originals = b"".join(array.tobytes() for array in digit_handwriting()) if self.domain == "mnist" else b""
        return _fingerprint("digits", self.domain, self._counts, originals)

    def count(self) -> int:
        """Number of items of both splits."""
        return len(self.classes) * sum(self._counts.values())

    def items(self) -> Iterator[Item]:
        """Every digit, uint8 (32, 32, 3), training first, class by class. Raises BenchError without FreeType."""
        for split, label, index, name in _positions(self.domain, self.classes, self._counts):
            seed = _item_seed(self.domain, self.classes[label], split, index)
            if self.domain == "svhn":
                yield Item(draw_house_digit(label, seed).pixels, label, split, name)
            else:
                originals = original_digit_rows(label, split)
                rng = None if index < len(originals) else np.random.default_rng(seed)
                image = digit_handwriting()[0][originals[index % len(originals)]]
                yield Item(handwritten_digit(image, rng), label, split, name)


def original_digit_rows(label: int, split: SplitName) -> np.ndarray:
    """Indices (int64) into scikit-learn's digits of the originals of one class and split."""
    rows = np.flatnonzero(digit_handwriting()[1] == label)
    return rows[:MNIST_TRAIN_ORIGINALS] if split == "train" else rows[-MNIST_TEST_ORIGINALS:]


def _checked_counts(train: int, test: int) -> dict[SplitName, int]:
    if train < 1 or test < 1:
        raise ValueError(f"at least one image of each class and split is needed, not {train} and {test}")
    return {"train": train, "test": test}


def _fingerprint(kind: str, domain: str, counts: dict[SplitName, int], originals: bytes = b"") -> str:
    text = f"drawn {kind} {DRAWN_VERSION} {domain} train={counts['train']} test={counts['test']}"
    return hashlib.sha256(text.encode() + b"\0" + originals).hexdigest()


def _item_seed(domain: str, class_name: str, split: SplitName, index: int) -> int:
    return derived_seed("drawn", DRAWN_VERSION, domain, class_name, split, index)


def _positions(
    domain: str, classes: Sequence[str], counts: dict[SplitName, int]
) -> Iterator[tuple[SplitName, int, int, str]]:
    """(split, label, index, name) of every item in order."""
    for split in SPLITS:
        for label, class_name in enumerate(classes):
            for index in range(counts[split]):
                yield split, label, index, f"drawn/{domain}/{class_name}/{split}#{index}"
