"""Two folders of images against each other, without a task: measured, or looked up.

Numbers are kept by the bytes of the files and by everything else that decides them. So a second scoring reads the files
and decodes none, and needs no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.core.environment import versions
from bench.core.errors import BenchError, results_or_errors
from bench.core.files import read_json, write_json
from bench.data.fetch.locate import locate_weights
from bench.data.sources.decode import DECODING_VERSION
from bench.data.sources.folder import read_image_bytes
from bench.data.sources.walk import IGNORED, SUFFIXES
from bench.evaluation.record import Record
from bench.runs.folders_request import FoldersRequest, protocols_for_folders
from bench.spec.protocols import Protocol

SCHEMA = 1
"""Version of what is stored; part of its key."""


def score_against(request: FoldersRequest) -> tuple[list[Record], bool]:
    """Records of every protocol over all and, where both folders have the same class folders, per class; whether so.

    Raises BenchError, with the names of the files, for damaged images, folders with images of several sizes and images
    that are no source's, and for a protocol that needs a task.
    """
    protocols = protocols_for_folders(request)
    files = dict(zip(request.folders, results_or_errors(request.folders, image_files_below), strict=True))
    stored = request.results / "features" / "two-folders" / f"{_key(request, protocols, files)}.json"
    if (known := _read(stored)) is not None:
        return [Record(**record) for record in known["records"]], known["by_class"]
    from bench.runs.folder_scores import measure_folders

    records, by_class = measure_folders(request, protocols, files)
    if not any(record.missing.startswith("needs:") for record in records):
        write_json(stored, {"records": [asdict(record) for record in records], "by_class": by_class})
    return records, by_class


def image_files_below(folder: Path) -> list[Path]:
    """The image files in `folder` and its folders, in order of name. BenchError where there is none."""
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
    return paths


def _key(request: FoldersRequest, protocols: Sequence[Protocol], files: dict[Path, list[Path]]) -> str:
    """sha256 (hex) over the files' names and bytes, protocols, weights, device and versions."""
    weights = {p.encoder.partition("-")[0] for p in protocols}
    facts = [
        SCHEMA, DECODING_VERSION, [asdict(p) for p in protocols], request.device, versions(),
        {name: _status(locate_weights(name)) for name in sorted(weights)},
    ]  # fmt: skip
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for one in request.sets:
        lines = _digests(one, files[one]) if isinstance(one, Path) else [f"{one.shape} {one.dtype}\n"]
        digest.update("".join(lines).encode())
        if not isinstance(one, Path):
            digest.update(one.tobytes())
    return digest.hexdigest()


def _digests(folder: Path, paths: Sequence[Path]) -> Iterator[str]:
    """A line for the folder's end and for the name and content of each file. Names alone decide classes and styles."""
    for path, content in zip(paths, results_or_errors(paths, _digest), strict=True):
        yield f"{path.relative_to(folder).as_posix()}\0{content}\n"
    yield "end of folder\n"


def _digest(path: Path) -> str:
    return hashlib.sha256(read_image_bytes(path)).hexdigest()


def _status(path: Path | None) -> Any:
    """What tells a file from another one in its place."""
    return None if path is None else [str(path), path.stat().st_size, path.stat().st_mtime_ns]


def _read(path: Path) -> Any:
    """What is stored; None where nothing is, or damaged."""
    try:
        return read_json(path)
    except (FileNotFoundError, ValueError):
        return None
