"""Choice of a run's data: real, embedded, or a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.core.errors import BenchError, for_each
from bench.core.progress import track
from bench.data.drawn.datasets import DRAWN_VERSION, DrawnDigits, DrawnPictures
from bench.data.fetch import locate
from bench.data.prepare import prepare
from bench.data.sources.digits import Mnist, Svhn, Usps
from bench.data.sources.domainnet import DomainNet
from bench.data.sources.folder import FolderDomain, discover
from bench.data.types import Source, TaskData
from bench.spec.tasks import Task


def load_data(task: Task, choice: str, size: int, domains: str = "") -> TaskData:
    """The task's data at `size` pixels, decoded now or read from the cache.

    `choice`: `auto` (real if every file is there, else embedded), `embedded`, `mnist-drawn`, or a folder.
    `domains`: `a,b` where a folder holds more than two. Raises BenchError, before anything is written, if the choice
    cannot be met.
    """
    if domains and choice in ("auto", "embedded", "mnist-drawn"):
        raise BenchError(f"--domains {domains} needs a folder", "add --data FOLDER")
    kind, sources, note = _choose(task, choice, tuple(domains.split(",")) if domains else None)
    return prepare(sources, size, locate.cache_folder(), kind, f"data: {note}", progress=track)


def data_kind(task: Task, choice: str) -> str:
    """`embedded`, `mnist-drawn` or `real`: what `load_data` takes for `choice`, without looking into the files."""
    if choice in ("embedded", "mnist-drawn"):
        return choice
    return "embedded" if choice == "auto" and task.embedded and locate.missing_files(task.name) else "real"


def _choose(task: Task, choice: str, domains: Sequence[str] | None) -> tuple[str, tuple[Source, Source], str]:
    """(kind, both domains' sources, one line that says which data was chosen and why)."""
    if choice == "auto":
        return _automatic(task)
    if choice == "embedded":
        return "embedded", _embedded(task), f"embedded (drawn, version {DRAWN_VERSION}), as asked for"
    if choice == "mnist-drawn":
        return "mnist-drawn", _mnist_drawn(task), f"real MNIST and drawn house numbers (version {DRAWN_VERSION})"
    if task.kind == "digits":
        raise BenchError(
            f"{task.name} does not read a folder (--data {choice})",
            "use --data auto|embedded|mnist-drawn with $UDT_BENCH_FILES for the files, or --task folder",
        )
    return "real", _folder(task, Path(choice), domains), f"images in {choice}"


def _automatic(task: Task) -> tuple[str, tuple[Source, Source], str]:
    if task.name == "folder":
        raise BenchError("--task folder needs to know the folder", "add --data ROOT with ROOT/<domain>/<class>/<image>")
    missing = locate.missing_files(task.name)
    if not missing:
        return "real", _real(task), "real, every file found"
    if not task.embedded:
        raise BenchError(
            f"{task.name} has no embedded data, and these files are missing: {', '.join(missing)}",
            f"put them under $UDT_BENCH_FILES, or type: python -m bench fetch {task.name}"
            + ("; or --data FOLDER" if task.kind == "pictures" else ""),
        )
    note = f"embedded (drawn, version {DRAWN_VERSION}), because the real files are missing: {', '.join(missing)}"
    return "embedded", _embedded(task), note


def _real(task: Task) -> tuple[Source, Source]:
    if task.name == "mnist2svhn":
        return Mnist.locate(), Svhn.locate()
    if task.name == "mnist2usps":
        return Mnist.locate(), Usps.locate()
    if task.name == "sketch2real":
        return DomainNet.locate("sketch"), DomainNet.locate("real")
    return _folder(task, locate.require(task.name)[task.name], None)


def _embedded(task: Task) -> tuple[Source, Source]:
    if task.name == "sketch2real":
        return DrawnPictures("sketch"), DrawnPictures("real")
    if task.name == "mnist2svhn":
        return DrawnDigits("mnist"), DrawnDigits("svhn")
    raise BenchError(f"{task.name} has no embedded data", "embedded data exists for sketch2real and mnist2svhn")


def _mnist_drawn(task: Task) -> tuple[Source, Source]:
    if task.name != "mnist2svhn":
        raise BenchError(f"--data mnist-drawn does not go with {task.name}", "it is for --task mnist2svhn")
    return Mnist.locate(), DrawnDigits("svhn")


def _folder(task: Task, root: Path, domains: Sequence[str] | None) -> tuple[Source, Source]:
    known = task.domains if all(task.domains) else None
    pair, classes = discover(root, domains, known)
    if task.classes and tuple(sorted(task.classes)) != classes:
        raise BenchError(
            f"{root} holds the classes {', '.join(classes)}; {task.name} has {', '.join(task.classes)}",
            "use --task folder for other classes",
        )
    first, second = for_each(pair, lambda domain: FolderDomain(root, domain, classes))
    return first, second
