"""Scoring images that somebody else made of the sources of `bench export`: find them, check them all, score them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from bench.core.device import Runtime
from bench.core.environment import describe_environment
from bench.core.errors import BenchError, error_remedy, merged_errors, results_or_errors
from bench.core.files import write_json
from bench.core.progress import progress, say
from bench.data.load import load_data
from bench.data.sources.decode import decode_rgb
from bench.data.sources.folder import read_image_bytes
from bench.data.sources.walk import IGNORED, SUFFIXES
from bench.data.types import TaskData
from bench.evaluation.encoders import make_encoders
from bench.evaluation.evaluate import direction_of, evaluate_images
from bench.evaluation.self_test.doctor import doctor_record, warn_if_doctor_fails
from bench.evaluation.translate import Translations, scored_translations
from bench.runs.cell import is_cell_settled
from bench.runs.export import scored_sources, source_file
from bench.spec.presets import get_preset
from bench.spec.protocols import WITHOUT_CLASSES, select_protocols
from bench.spec.run_spec import GIVEN_IMAGES, Budget, RunSpec
from bench.spec.tasks import Task, get_task
from bench.spec.where import Where
from bench.store.cell import Cell, read_cell_metrics
from methods.registry import registered

STYLE = "given"
"""What stands where other rows name the source of their styles."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_STEM = re.compile(r"(?P<id>.+?)(_fake(_[AB])?)?(_(?P<style>\d{1,3}))?")
_OF_OTHER_KINDS = re.compile(r".+_(real|rec|idt)(_[AB])?")
"""What CycleGAN-like code writes beside its translations: sources, reconstructions, identities."""


@dataclass(frozen=True, kw_only=True)
class ScoreRequest(Where):
    """What the user asked for, as typed."""

    images: Path | None
    """Folder, .npy or .npz file; None with `identity`."""
    name: str
    """Name of the row."""
    direction: str
    """`a->b`; empty: those whose sources the images are of."""
    identity: bool
    """Whether to score the sources themselves."""
    replace: bool
    """Whether these images take the place of other ones of the same name."""
    device: str
    """As for `run`."""
    protocols: Sequence[str] = ()
    """Protocols to measure beside those that always are."""


def given_name(images: Path | None) -> str:
    """The name of a row whose user gave none: that of the folder or file; of the sources themselves `identity`."""
    if images is None:
        return "identity"
    stem = images.stem if images.suffix in (".npy", ".npz") else images.resolve().name
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).lstrip("_.-") or "images"
    return f"{name}_given" if name in registered() else name


def score_images(request: ScoreRequest) -> str:
    """Score images as a cell of their own; returns its identity.

    Raises BenchError, with every fault of the images, before it is made.
    """
    task = get_task(request.task)
    preset = get_preset(request.preset, task.kind)
    select_protocols(request.protocols)
    _check_words(request)
    runtime = Runtime(request.device, task.sizes[request.preset])
    data = load_data(task, request.data, task.sizes[request.preset], request.domains, request.val)
    say(data.note)
    if not data.labelled:
        say(WITHOUT_CLASSES)
    per_class = preset.evaluation.for_classes(len(data.classes)).sources_per_class
    translations = _read(request, task, data, per_class)
    cell = Cell(request.results, _specification(request, task, data))
    encoders = make_encoders(request.results, data, preset, runtime, request.protocols)
    warn_if_doctor_fails()
    with cell.locked(), runtime.threads_pinned(runtime.threads):
        if request.replace:
            _clear(cell)
        earlier = _scored_earlier(cell, task, data, per_class)
        digests = {direction_of(data, one): one.digest for one in earlier}
        names = [direction_of(data, one) for one in translations]
        for name, one in zip(names, translations, strict=True):
            if digests.get(name, one.digest) != one.digest:
                raise BenchError(
                    f"other images are already scored as {request.name} ({name})",
                    "choose another --name, or add --replace",
                )
        if all(name in digests for name in names) and is_cell_settled(cell, request.name, encoders):
            return cell.spec.identity()
        cell.begin()
        write_json(cell.environment, {**describe_environment(runtime.device.type), "doctor": doctor_record()})
        others = [one for one in earlier if direction_of(data, one) not in names]  # one row has all directions
        every = sorted([*translations, *others], key=lambda one: one.source)
        evaluate_images(data, every, cell, encoders, STYLE)
        cell.set_state("done")
        return cell.spec.identity()


def _specification(request: ScoreRequest, task: Task, data: TaskData) -> RunSpec:
    return RunSpec(
        task=task.name, domains=data.domains, data_kind=data.kind, data_version=data.version, image_size=data.size,
        preset=request.preset, method=request.name, method_version=1, config={}, budget=Budget("images", 0), seed=0,
        weights=GIVEN_IMAGES,
    )  # fmt: skip


def _read(request: ScoreRequest, task: Task, data: TaskData, per_class: int | None) -> list[Translations]:
    directions = _directions(request, task, data)
    every = scored_sources(data, task, per_class)
    sources = {source: every[source] for source, _ in directions}
    if request.images is None:
        images = {
            domain: np.array(data.splits[domain, "test"].images[rows])[:, None] for domain, rows in sources.items()
        }
    elif request.images.is_dir():
        images = read_given_folder(request.images, data, sources, bool(request.direction))
    else:
        images = _read_array(request.images, data, sources)
    return [
        Translations(
            source, target, sources[source], np.array(data.splits[source, "test"].labels[sources[source]]),
            images[source],
        )
        for source, target in directions
        if source in images
    ]  # fmt: skip


def _scored_earlier(cell: Cell, task: Task, data: TaskData, per_class: int | None) -> list[Translations]:
    """The images behind the cell's metrics, as far as they are undamaged."""
    stored = read_cell_metrics(cell.metrics(STYLE))["images"] if cell.metrics(STYLE).exists() else {}
    earlier = []
    for source, target in task.directions:
        name = f"{data.domains[source]}->{data.domains[target]}"
        path, digest = cell.translations(name, STYLE), stored.get(name)
        one = scored_translations(path, digest, data, (source, target), per_class) if digest else None
        earlier += [] if one is None else [one]
    return earlier


def _clear(cell: Cell) -> None:
    for path in [*cell.folder.glob("translations-*"), *cell.folder.glob("samples-*"), cell.metrics(STYLE)]:
        path.unlink(missing_ok=True)


def _check_words(request: ScoreRequest) -> None:
    if not _NAME.fullmatch(request.name):
        raise BenchError(f"--name {request.name!r} is not a name", "write letters, digits, _, . and -: --name my_model")
    if request.name in registered():
        raise BenchError(
            f"--name {request.name} is a method of this program, which did not make these images",
            f"choose another one: --name {request.name}_given",
        )
    if request.identity == (request.images is not None):
        raise BenchError(
            "either IMAGES or --identity is needed", "score FOLDER --name NAME, or: --name identity --identity"
        )
    if request.images is not None and not request.images.exists():
        raise BenchError(f"{request.images}: no such folder or file", "give what was made of the files of bench export")


def _directions(request: ScoreRequest, task: Task, data: TaskData) -> list[tuple[int, int]]:
    by_name = {f"{data.domains[a]}->{data.domains[b]}": (a, b) for a, b in task.directions}
    if not request.direction:
        return list(by_name.values())
    if request.direction not in by_name:
        raise BenchError(
            f"{task.name} has no direction '{request.direction}'", error_remedy(request.direction, list(by_name))
        )
    return [by_name[request.direction]]


# --------------------------------------------------------------------------------------------------------- folders


def read_given_folder(
    folder: Path, data: TaskData, sources: dict[int, np.ndarray], chosen: bool
) -> dict[int, np.ndarray]:
    """Source domain -> uint8 (S, K, 3, H, W), for the domains that the folder holds images of.

    A file belongs to the source whose id its stem begins with, in whatever folder it lies. Where images of several
    classes or domains are the same, and so have one id, the names of its folders decide. `chosen`: the direction was,
    so images of other sources of the task are left out. Raises BenchError that lists everything wrong.
    """
    files, problems = _assign(folder, data, sources, chosen)
    present = {d: rows for d, rows in sources.items() if chosen or any((d, row) in files for row in rows)}
    if not present and not problems:
        raise _problem(f"{folder} holds no image of a source")
    images = {}
    for domain, rows in present.items():
        of_rows = [files.get((domain, row), {}) for row in rows]
        styles = 1 + max((k for by_style in of_rows for k in by_style), default=0)
        for row, by_style in zip(rows, of_rows, strict=True):
            lacking = ", ".join(str(k) for k in range(styles) if k not in by_style)
            which = f", of its styles 0 to {styles - 1}: {lacking}" if styles > 1 else ""
            problems += [_problem(f"missing: {source_file(data, domain, row)}{which}")] if lacking else []
        try:
            decoded = _decode([by_style[k] for by_style in of_rows for k in sorted(by_style)], data.size)
        except BenchError as error:
            problems.append(error)
        else:
            images[domain] = decoded
    if problems:
        raise merged_errors(problems)
    return {domain: flat.reshape(len(present[domain]), -1, *flat.shape[1:]) for domain, flat in images.items()}


def _decode(paths: Sequence[Path], size: int) -> np.ndarray:
    """uint8 (N, 3, size, size). BenchError that names every file that is damaged or of another size."""
    with progress("reading", len(paths), "images") as advance:

        def read(path: Path) -> np.ndarray:
            advance(1)
            pixels = decode_rgb(read_image_bytes(path), str(path))
            if pixels.shape != (size, size, 3):
                raise _problem(f"{path} is {pixels.shape[1]} x {pixels.shape[0]} pixels, not {size} x {size}")
            return pixels.transpose(2, 0, 1)

        return np.array(results_or_errors(paths, read), np.uint8)


Files = dict[tuple[int, int], dict[int, Path]]
"""(domain, row) of a source -> style -> its file."""


def _assign(
    folder: Path, data: TaskData, sources: dict[int, np.ndarray], chosen: bool
) -> tuple[Files, list[BenchError]]:
    """The file of each source and style, and what is wrong with the others."""
    places: dict[str, list[tuple[int, int]]] = {}
    for domain, rows in sources.items():
        for row in rows:
            places.setdefault(data.splits[domain, "test"].ids[row], []).append((domain, int(row)))
    others = {name for domain in (0, 1) if chosen and domain not in sources for name in data.splits[domain, "test"].ids}
    files: Files = {}
    problems = list[BenchError]()
    for path in _image_files(folder):
        match = _STEM.fullmatch(path.stem)
        known = places.get(match["id"], []) if match else []
        if not known:
            if match is None or match["id"] not in others:
                problems.append(_problem(f"surplus: {path} is named like no source"))
            continue
        style = int(match["style"] or 0) if match else 0
        for place in _narrowed(known, data, path.parts[:-1]):
            first = files.setdefault(place, {}).setdefault(style, path)
            if first != path:
                problems.append(_problem(f"named doubly: {first} and {path}"))
    return files, problems


def _image_files(folder: Path) -> Iterator[Path]:
    left_out = 0
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.suffix.lower() not in SUFFIXES or any(part.startswith(".") or part in IGNORED for part in inside):
            continue
        if _OF_OTHER_KINDS.fullmatch(path.stem):
            left_out += 1
        else:
            yield path
    if left_out:
        say(f"left out: {left_out:,} files of sources and reconstructions (_real, _rec, _idt)")


def _narrowed(places: list[tuple[int, int]], data: TaskData, parts: Sequence[str]) -> list[tuple[int, int]]:
    """Those of several `places` of one id whose domain, then whose class, is among the names of folders."""
    if len(places) == 1:
        return places
    of_domain = [place for place in places if data.domains[place[0]] in parts] or places
    classes = {place: data.groups[data.splits[place[0], "test"].labels[place[1]]] for place in of_domain}
    return [place for place in of_domain if classes[place] in parts] or of_domain


def _problem(text: str) -> BenchError:
    return BenchError(
        text,
        "see the README.md that bench export writes; another size or folder of data: --preset, --data, --direction",
    )


# ---------------------------------------------------------------------------------------------------------- arrays


def _read_array(path: Path, data: TaskData, sources: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Source domain -> uint8 (S, K, 3, H, W). The array's rows are the sources of all domains, in order."""
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.ndarray):
                if len(content.files) != 1:
                    raise _problem(f"{path} holds {len(content.files)} arrays, not one")
                content = content[content.files[0]]
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise BenchError(
            f"{path} cannot be read: {error}", "give a folder of images, or a .npy or .npz file"
        ) from error
    count, side = sum(map(len, sources.values())), data.size
    problems = [] if content.dtype == np.uint8 else [f"{path} is of {content.dtype}, not of uint8"]
    if content.shape[-3:] == (side, side, 3):
        content = np.moveaxis(content, -1, -3)
    if content.ndim not in (4, 5) or content.shape[-3:] != (3, side, side):
        problems.append(f"{path} is of shape {content.shape}, not (N, {side}, {side}, 3) or (N, K, {side}, {side}, 3)")
    if content.ndim == 0 or len(content) != count:
        rows = len(content) if content.ndim else 0
        problems.append(f"{path} has {rows:,} rows; the sources are {count:,}, in the order of sources.csv")
    if content.size == 0:
        problems.append(f"{path} is empty")
    if problems:
        raise merged_errors([_problem(text) for text in problems])
    blocks = np.split(
        content.reshape(count, -1, 3, side, side), np.cumsum([len(rows) for rows in sources.values()])[:-1]
    )
    return {domain: np.ascontiguousarray(block) for domain, block in zip(sources, blocks, strict=True)}
