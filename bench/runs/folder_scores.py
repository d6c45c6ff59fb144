"""Measurement of two folders of images: read, grouped by source where there are several of each, and scored."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.core.device import Runtime
from bench.core.errors import BenchError, merged_errors, results_or_errors
from bench.core.progress import progress, say
from bench.data.sources.decode import decode_rgb
from bench.data.sources.folder import read_image_bytes
from bench.data.types import Split, TaskData
from bench.evaluation.distributions import DISTRIBUTIONS
from bench.evaluation.encoders import make_encoders
from bench.evaluation.record import Record
from bench.evaluation.score import score_direction
from bench.evaluation.self_test.doctor import warn_if_doctor_fails
from bench.evaluation.translate import Translations
from bench.runs.folders_request import FoldersRequest
from bench.runs.given_images import read_given_folder
from bench.spec.presets import EvaluationSize, get_preset
from bench.spec.protocols import Protocol

Files = Mapping[Path, Sequence[Path]]
"""Folder -> its image files."""
_STYLED = re.compile(r"(?P<source>.+)_(?P<style>\d{1,3})")
_NAMES = (
    "with --sources each image is of the size of its source and named like it: NAME.png, NAME_fake_B.png, or "
    "NAME_0.png, NAME_1.png, ... for several of each"
)


@dataclass(frozen=True)
class Folder:
    """The images of a folder."""

    images: np.ndarray
    """uint8 (N, 3, H, W)."""
    classes: list[str]
    """Class folder of each image: the first below the folder, empty if there is none."""


def measure_folders(request: FoldersRequest, protocols: Sequence[Protocol], files: Files) -> tuple[list[Record], bool]:
    """As `score_against`, computed. Distances are between all images of both folders; the rest knows the sources."""
    real = _read_set(request.real, files)
    if request.sources is None:
        folder = _read_set(request.images, files)
        rows = np.arange(len(folder.images))[:, None]
        if isinstance(request.images, Path):
            rows = _rows_by_source(request.images, files[request.images])
        styles = Folder(folder.images[rows], [folder.classes[row] for row in rows[:, 0]])
        sources = Folder(folder.images[:0], [])
    elif not isinstance(request.images, Path):
        raise BenchError("images in an array have no names", "write them as files named like their sources")
    else:
        sources, styles = _read_with_sources(request.images, request.sources, files)
        images = styles.images
        repeated = [name for name in styles.classes for _ in range(images.shape[1])]
        folder = Folder(images.reshape(-1, *images.shape[2:]), repeated)
    data, by_class = _data(styles, real, sources)
    labels = np.array([data.classes.index(name) if by_class else 0 for name in styles.classes])
    per_source = Translations(0, 1, np.arange(len(labels)), labels, styles.images)
    labels = np.array([data.classes.index(name) if by_class else 0 for name in folder.classes])
    alone = Translations(0, 1, np.arange(len(labels)), labels, folder.images[:, None])
    runtime = Runtime(request.device, max(folder.images.shape[-1], real.images.shape[-1]))
    warn_if_doctor_fails()
    encoders = make_encoders(request.results, data, get_preset("quick", "pictures"), runtime, ())
    several, records = styles.images.shape[1] > 1, list[Record]()
    for protocol in protocols:
        if protocol.styles > 1 and not several and protocol.name in (*request.protocols, *request.only):
            raise BenchError(
                f"{protocol.name} is between images of one source, and {_name(request.images)} has one of each",
                "several are named <source>_0.png, <source>_1.png, ...",
            )
    with runtime.threads_pinned(runtime.threads):
        for of_sets, translations in ((True, alone), (False, per_source)):
            chosen = tuple(
                p for p in protocols if (p.metric in DISTRIBUTIONS) == of_sets and (several or p.styles == 1)
            )
            encoders = replace(encoders, size=EvaluationSize(None, None), protocols=chosen)
            records += score_direction(data, translations, f"{_name(request.images)}->{_name(request.real)}", encoders)
    if several:  # of one source they are not independent: half-samples would tell too small a deviation
        records = [replace(r, deviation=None) if r.metric in DISTRIBUTIONS else r for r in records]
    return records, by_class


def _data(styles: Folder, real: Folder, sources: Folder) -> tuple[TaskData, bool]:
    """The real images, and the sources if there are any, as a task's; whether it has classes, those of both folders."""
    names = tuple(sorted(set(real.classes)))
    by_class = "" not in names and set(styles.classes) == set(names)
    labels = np.array([names.index(name) if by_class else 0 for name in real.classes])
    whole = Split(real.images, labels, tuple(f"{row:09d}" for row in range(len(labels))))
    of_sources = Split(sources.images, np.zeros(len(sources.images), np.int64), ())
    data = TaskData(
        "real", "", names if by_class else (), ("images", "real"),
        {(0, "test"): of_sources, (1, "train"): Split(real.images[:0], labels[:0], ()), (1, "test"): whole},
        real.images.shape[-1], "",
    )  # fmt: skip
    return data, by_class


# ----------------------------------------------------------------------------------------------------- the folders


def _name(images: Path | np.ndarray) -> str:
    return f"array of {len(images):,}" if isinstance(images, np.ndarray) else str(images)


def _read_set(images: Path | np.ndarray, files: Files) -> Folder:
    """As `_read`; the images of an array have no class."""
    if not isinstance(images, np.ndarray):
        return _read(images, files[images])
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
    return Folder(np.ascontiguousarray(images), [""] * len(images))


def _read(folder: Path, paths: Sequence[Path]) -> Folder:
    """Raises BenchError that names every file that is damaged, or of another size than most."""
    with progress(f"reading {folder.name}", len(paths), "images") as advance:

        def read(path: Path) -> np.ndarray:
            advance(1)
            return decode_rgb(read_image_bytes(path), str(path))

        pixels = results_or_errors(paths, read)
    usual, _ = Counter(one.shape for one in pixels).most_common(1)[0]
    odd = [(path, one.shape) for path, one in zip(paths, pixels, strict=True) if one.shape != usual]
    if odd:
        remedy = f"bring the images of {folder} to one size; most are {usual[1]} x {usual[0]}"
        raise merged_errors([BenchError(f"{path} is {shape[1]} x {shape[0]} pixels", remedy) for path, shape in odd])
    return Folder(np.stack(pixels).transpose(0, 3, 1, 2).copy(), [_class_of(folder, path) for path in paths])


def _class_of(folder: Path, path: Path) -> str:
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""


def _rows_by_source(folder: Path, paths: Sequence[Path]) -> np.ndarray:
    """int64 (S, K): the numbers of the images of each source; K = 1 unless all names say which styles they are.

    That is so where every name is `<source>_<style>` and each of at least two sources has the styles 0 to K - 1.
    """
    by_source: dict[tuple[Path, str], dict[int, int]] = {}
    for row, path in enumerate(paths):
        match = _STYLED.fullmatch(path.stem)
        if match is None:
            return np.arange(len(paths))[:, None]
        by_source.setdefault((path.parent, match["source"]), {})[int(match["style"])] = row
    count = len(paths) // len(by_source)
    whole = all(set(styles) == set(range(count)) for styles in by_source.values())
    if not whole or count < 2 or len(by_source) < 2 or count * len(by_source) != len(paths):
        return np.arange(len(paths))[:, None]
    say(f"{folder.name}: {count} styles of each of {len(by_source):,} sources, by the files' names")
    return np.array([[styles[k] for k in range(count)] for styles in by_source.values()])


def _read_with_sources(images: Path, sources: Path, files: Files) -> tuple[Folder, Folder]:
    """The sources, and the images of each, (S, K, 3, H, W), in the same order: files are named like their sources."""
    paths, read = files[sources], _read(sources, files[sources])
    height, width = read.images.shape[2:]
    if height != width:
        raise BenchError(f"the images of {sources} are {width} x {height} pixels", "square ones are compared")
    twice = [p for p, n in Counter((_class_of(sources, p), p.stem) for p in paths).items() if n > 1]
    if twice:
        names = [BenchError(f"{sources}: two images are called {'/'.join(filter(None, p))}", _NAMES) for p in twice]
        raise merged_errors(names)
    classes = tuple(sorted(set(read.classes)))
    split = Split(read.images, np.array([classes.index(name) for name in read.classes]), tuple(p.stem for p in paths))
    domains = sources.name, "real"
    data = TaskData("real", "", classes, domains, {(0, "test"): split}, read.images.shape[-1], "")
    try:
        given = read_given_folder(images, data, {0: np.arange(len(paths))}, chosen=False)
    except BenchError as error:
        raise BenchError(error.what, _NAMES) from error
    return read, Folder(given[0], read.classes)
