"""Any `ROOT/<domain>/<class>/*.{png,jpg,jpeg,webp,bmp}` tree as a pair of sources.

What is a class folder's content: image files by their suffix (any case). Hidden files, `__MACOSX`, `Thumbs.db` and
`desktop.ini` are ignored anywhere, and so are plain files beside the domain or class folders (a README, lists). Any
other file or folder inside a class folder is an error: skipping, say, a `.gif` in silence would change the data set.

The split does not depend on names: per class and domain, files sorted by the sha256 of their bytes, the first 20 %
(at least 2) are test.

All problems are reported at once (`bench.core.errors.results_or_errors`), not file by file: folders collected by hand
have many.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np

from bench.core.errors import BenchError, error_remedy, merged_errors, results_or_errors
from bench.data.sources.decode import DECODING_VERSION, decode_rgb
from bench.data.sources.layouts import NO_CLASSES, SPLIT_AND_DOMAIN, is_split, refuse_splits
from bench.data.sources.names import check_names, check_pair, one_name, printable, two_forms
from bench.data.types import Item, SplitName

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")
OURS = ("runs/*/*/*/spec.json", "semantics/*/*/*.json", "prepared/*/prepared.json")
MINIMUM = 4
"""Images per class and domain: 2 to train on, 2 to test on."""
SPLIT_VERSION = "sha256-first-fifth-1"


# --------------------------------------------------------------------------------------------------- the tree


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in IGNORED)


def _folders(folder: Path) -> list[str]:
    return [path.name for path in _visible(folder) if path.is_dir() and not _is_ours(path)]


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder of results or a cache of this program, which may lie inside the data."""
    return any(next(folder.glob(pattern), None) for pattern in OURS)


def discover_folder(
    root: Path, domains: Sequence[str] | None = None, known_domains: Sequence[str] | None = None
) -> tuple[tuple[str, str], tuple[str, ...]]:
    """The two domains under `root` and their classes (sorted by name).

    `domains` is the user's choice (`--domains a,b`: the order is domain 0, domain 1); otherwise `known_domains` (of the
    task, for example sketch and photo) if both are there; otherwise there must be exactly two, in name order.
    Raises BenchError for another number of domains, an empty domain, or a class in one domain only.
    """
    if not root.is_dir():
        raise BenchError(f"{root} is not a folder", "give a folder ROOT with ROOT/<domain>/<class>/<image>")
    present = _folders(root)
    if len(present) > 2 and all(is_split(name) or SPLIT_AND_DOMAIN.fullmatch(name) for name in present):
        refuse_splits(root, present, _folders)
    pair = _choose(root, present, domains, known_domains)
    check_names(root, pair, [root / domain / name for domain in pair for name in _folders(root / domain)])
    check_pair(root, *pair)
    refuse_splits(root, pair, _folders)
    classes = {domain: set(_folders(root / domain)) for domain in pair}
    for domain, names in classes.items():
        if not names:
            raise BenchError(f"{root / domain} has no class folders", NO_CLASSES)
    first, second = pair
    forms = [
        two_forms(root / first / one, root / second / other)
        for one in sorted(classes[first] - classes[second])
        for other in sorted(classes[second] - classes[first])
        if one_name(one, other)
    ]
    if forms:
        raise merged_errors(forms)
    alone = [
        BenchError(
            f"class '{name}' is in {root / has} but not in {root / lacks}",
            f"add {root / lacks / name}/ with images, or remove {root / has / name}",
        )
        for has, lacks in ((first, second), (second, first))
        for name in sorted(classes[has] - classes[lacks])
    ]
    if alone:
        raise merged_errors(alone)
    return pair, tuple(sorted(classes[first]))


def _choose(
    root: Path, present: list[str], domains: Sequence[str] | None, known: Sequence[str] | None
) -> tuple[str, str]:
    if domains is not None:
        if len(domains) != 2 or len(set(domains)) != 2:
            raise BenchError(f"two different domains are needed, got {', '.join(domains)}", "type --domains a,b")
        for name in domains:
            if name not in present:
                raise BenchError(
                    f"{root} has no domain '{printable(name)}'",
                    error_remedy(name, [printable(other) for other in present]),
                )
        return domains[0], domains[1]
    if known is not None and all(name in present for name in known):
        return known[0], known[1]
    if len(present) < 2:
        what = f"only the domain '{present[0]}'" if present else "no domains"
        raise BenchError(f"{root} holds {what}; two are needed", "the layout is ROOT/<domain>/<class>/<image>")
    if len(present) > 2:
        raise BenchError(
            f"{root} holds {len(present)} domains: {', '.join(map(printable, present))}",
            f"choose two: --domains {printable(present[0])},{printable(present[1])}",
        )
    return present[0], present[1]


def image_files_in_folder(folder: Path) -> list[Path]:
    """The images of one class folder, sorted by name. Raises BenchError for anything else that is not ignored."""
    paths = _visible(folder)
    results_or_errors(paths, _check_image_file)
    return paths


def _check_image_file(path: Path) -> None:
    if path.is_dir():
        raise BenchError(
            f"{printable(path)} is a folder inside a class folder", f"move its images to {path.parent} or remove it"
        )
    if path.suffix.lower() in SUFFIXES and not path.is_file():
        raise BenchError(
            f"{printable(path)} is {_kind_of(path)}, not a file", "remove it, or put an image in its place"
        )
    if path.suffix.lower() not in SUFFIXES:
        raise BenchError(
            f"{printable(path)} is not an image of a known type", f"convert it ({', '.join(SUFFIXES)}) or remove it"
        )


def _kind_of(path: Path) -> str:
    """What stands at `path` that is neither a file nor a folder; it is never opened (reading a pipe would wait)."""
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    try:
        return kinds.get(stat.S_IFMT(path.stat().st_mode), "of an unknown kind")
    except OSError as error:
        return f"a link that leads nowhere ({error.strerror})" if path.is_symlink() else "gone"


@dataclass(frozen=True)
class _File:
    path: Path
    label: int
    split: SplitName
    sha256: str


class FolderDomain:
    """One domain of such a tree."""

    resample: Literal["lanczos", "nearest"] = "lanczos"

    def __init__(self, root: Path, domain: str, classes: Sequence[str]) -> None:
        """Looks at names only. Raises BenchError for a class that is absent, empty or too small."""
        self.root = root
        self.domain = domain
        self.classes = tuple(classes)
        images = results_or_errors(self.classes, lambda name: self._class_files(root / domain / name))
        self._images = dict(zip(self.classes, images, strict=True))

    @staticmethod
    def _class_files(folder: Path) -> list[Path]:
        if not folder.is_dir():
            raise BenchError(f"{folder} is missing", "every domain needs a folder for every class")
        images = image_files_in_folder(folder)
        if not images:
            raise BenchError(f"the class folder {folder} is empty", "put images into it or remove it in both domains")
        if len(images) < MINIMUM:
            raise BenchError(
                f"{folder} has {len(images)} images; at least {MINIMUM} are needed (2 to train on, 2 to test on)",
                "add images or remove the class in both domains",
            )
        return images

    @cached_property
    def _files(self) -> list[_File]:
        """Every file with its digest and split."""
        listed = []
        for label, paths in enumerate(self._images.values()):
            hashed = sorted((hashlib.sha256(read_image_in_folder(path)).hexdigest(), path) for path in paths)
            tests = max(2, round(0.2 * len(hashed)))
            for rank, (sha256, path) in enumerate(hashed):
                listed.append(_File(path, label, "test" if rank < tests else "train", sha256))
        return listed

    def fingerprint(self) -> str:
        """sha256 over domain, classes, versions, and each file's (class, split, sha256); names do not count."""
        lines = [self.domain, *self.classes, SPLIT_VERSION, f"decoding {DECODING_VERSION}"]
        lines += [f"{file.label} {file.split} {file.sha256}" for file in self._files]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def count(self) -> int:
        """Number of image files."""
        return sum(len(paths) for paths in self._images.values())

    def items(self) -> Iterator[Item]:
        """Every image once, class by class; its `pixels` raise BenchError with the file's name if it is damaged."""
        for file in self._files:
            yield Item(partial(_decode_file, file.path), file.label, file.split, printable(file.path))


def _decode_file(path: Path) -> np.ndarray:
    return decode_rgb(read_image_in_folder(path), printable(path))


def read_image_in_folder(path: Path) -> bytes:
    """The file's bytes; raises BenchError naming it if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchError(
            f"{printable(path)} cannot be read: {error.strerror}", "check the file and its permissions"
        ) from error
