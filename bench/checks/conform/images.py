"""A few drawn images of two domains, made in a second and without any file."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

from bench.core.randomness import derived_seed
from bench.data.drawn.pictures import PICTURE_CLASSES, PictureDomain, draw_picture
from bench.data.prepare import resize_image
from bench.data.types import SPLITS, Split, SplitName, TaskData

PER_CLASS: dict[SplitName, int] = {"train": 3, "test": 1}
DOMAINS: tuple[PictureDomain, PictureDomain] = ("sketch", "real")


def few_conform_images(size: int) -> TaskData:
    """Five classes of sketches and of painted scenes, 15 training and 5 test images a domain, `size` x `size`.

    Made anew at every call, so that its labels may be overwritten.
    """
    splits = {(domain, split): _split(domain, split, size) for domain in (0, 1) for split in SPLITS}
    return TaskData("embedded", f"conform-{size}", PICTURE_CLASSES, DOMAINS, splits, size, "")


def _split(domain: int, split: SplitName, size: int) -> Split:
    rows = []
    for label in range(len(PICTURE_CLASSES)):
        for index in range(PER_CLASS[split]):
            image = resize_image(_picture(DOMAINS[domain], label, split, index), size, "lanczos")
            rows.append((hashlib.sha256(image.tobytes()).hexdigest(), label, image))
    rows.sort(key=lambda row: row[0])
    ids, labels, images = zip(*rows, strict=True)
    return Split(np.stack(images), np.array(labels, np.int64), ids)


@cache
def _picture(domain: PictureDomain, label: int, split: SplitName, index: int) -> np.ndarray:
    return draw_picture(domain, label, derived_seed("conform", domain, label, split, index)).pixels
