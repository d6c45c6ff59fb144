"""Distances between two folders of images, without a task: one set of images against real ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.core.device import Runtime
from bench.core.errors import BenchError, merged_errors, results_or_errors
from bench.core.progress import progress
from bench.data.sources.folder import IGNORED, SUFFIXES, decode_rgb, read_image_in_folder
from bench.data.types import Split, TaskData
from bench.evaluation.distributions import DISTRIBUTIONS
from bench.evaluation.encoders import make_encoders
from bench.evaluation.score import Record, score_direction
from bench.evaluation.self_test.doctor import warn_if_doctor_fails
from bench.evaluation.translate import Translations
from bench.spec.presets import EvaluationSize, get_preset
from bench.spec.protocols import PROTOCOLS, Protocol, select_protocols

OF_A_TASK = ("judge", "inception-probe", "categories", "pixels")
"""Encoders of protocols that need a task: its classes, or images of one size."""


def score_against(
    images: Path | np.ndarray, real: Path | np.ndarray, protocols: Sequence[str], device: str, results: Path
) -> tuple[list[Record], bool]:
    """Records of every protocol over all and, where both folders have the same class folders, per class; whether so.

    In place of a folder: uint8 (N, 3, H, W) or (N, H, W, 3). Raises BenchError, with the names of the files, for
    damaged images and folders with images of several sizes, for other arrays, and for a protocol that needs a task.
    """
    chosen = _protocols(protocols)
    (fake_images, fake_classes), (real_images, real_classes) = results_or_errors((images, real), _read_set)
    classes = tuple(sorted(set(real_classes)))
    by_class = "" not in classes and set(fake_classes) == set(classes)
    if not by_class:
        classes = ()
    fake_labels, labels = (
        np.array([classes.index(name) if by_class else 0 for name in names]) for names in (fake_classes, real_classes)
    )
    nothing = Split(real_images[:0], labels[:0], ())
    whole = Split(real_images, labels, tuple(f"{row:09d}" for row in range(len(labels))))
    data = TaskData(
        "real", "", classes, ("images", "real"), {(1, "train"): nothing, (1, "test"): whole}, real_images.shape[-1], ""
    )
    preset = get_preset("quick", "pictures")
    runtime = Runtime(device, max(fake_images.shape[-1], real_images.shape[-1]))
    warn_if_doctor_fails()
    encoders = make_encoders(results, data, preset, runtime, ())
    encoders = replace(encoders, size=EvaluationSize(None, None), protocols=chosen)
    translations = Translations(0, 1, np.arange(len(fake_labels)), fake_labels, fake_images[:, None])
    with runtime.threads_pinned(runtime.threads):
        return score_direction(data, translations, f"{_name(images)}->{_name(real)}", encoders), by_class


def _protocols(named: Sequence[str]) -> tuple[Protocol, ...]:
    """The usual ones and those that are named; files are rounded, so nothing is measured before rounding."""
    possible = {
        name: replace(protocol, unrounded=False)
        for name, protocol in PROTOCOLS.items()
        if protocol.metric in DISTRIBUTIONS and protocol.encoder not in OF_A_TASK and not protocol.as_published
    }
    usual = select_protocols(named)
    for name in named:
        if name not in possible:
            raise BenchError(f"{name} needs a task, or several styles", f"without --task: {', '.join(possible)}")
    return tuple(possible[protocol.name] for protocol in usual if protocol.name in possible)


def _name(images: Path | np.ndarray) -> str:
    return f"array of {len(images):,}" if isinstance(images, np.ndarray) else str(images)


def _read_set(images: Path | np.ndarray) -> tuple[np.ndarray, list[str]]:
    """As `_read`; the images of an array have no class."""
    if not isinstance(images, np.ndarray):
        return _read(images)
    if images.dtype != np.uint8:
        raise BenchError(
            f"an array of {images.dtype}, not of uint8", "give values from 0 to 255: (255 * x).round().astype('uint8')"
        )
    if images.ndim == 4 and images.shape[1] != 3 and images.shape[-1] == 3:
        images = np.moveaxis(images, -1, 1)
    if images.ndim != 4 or images.shape[1] != 3 or images.size == 0:
        raise BenchError(
            f"an array of shape {images.shape} holds no colour images", "wanted: (N, H, W, 3) or (N, 3, H, W)"
        )
    return np.ascontiguousarray(images), [""] * len(images)


def _read(folder: Path) -> tuple[np.ndarray, list[str]]:
    """uint8 (N, 3, H, W), and the class folder of each image: the first below `folder`, empty if there is none."""
    if not folder.is_dir():
        raise BenchError(f"{folder} is not a folder", "give two folders of images: score IMAGES --against REAL")
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") or part in IGNORED for part in path.relative_to(folder).parts)
    ]
    if not paths:
        raise BenchError(f"{folder} holds no image", f"images are files that end in {', '.join(SUFFIXES)}")
    with progress(f"reading {folder.name}", len(paths), "images") as advance:

        def read(path: Path) -> np.ndarray:
            advance(1)
            return decode_rgb(read_image_in_folder(path), str(path))

        pixels = results_or_errors(paths, read)
    usual, _ = Counter(one.shape for one in pixels).most_common(1)[0]
    odd = [(path, one.shape) for path, one in zip(paths, pixels, strict=True) if one.shape != usual]
    if odd:
        remedy = f"bring the images of {folder} to one size; most are {usual[1]} x {usual[0]}"
        raise merged_errors([BenchError(f"{path} is {shape[1]} x {shape[0]} pixels", remedy) for path, shape in odd])
    inside = [path.relative_to(folder).parts for path in paths]
    return np.stack(pixels).transpose(0, 3, 1, 2).copy(), [parts[0] if len(parts) > 1 else "" for parts in inside]
