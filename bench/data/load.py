"""Choice of a run's data: real, embedded, or a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.core.errors import BenchError, results_or_errors
from bench.core.progress import track_progress
from bench.data.drawn.datasets import DRAWN_VERSION, DrawnDigits, DrawnPictures
from bench.data.fetch import locate
from bench.data.prepare import prepare_data
from bench.data.sources.digits import DIGIT_SOURCES, Mnist
from bench.data.sources.domainnet import DomainNet
from bench.data.sources.folder import FolderDomain
from bench.data.sources.layouts import LAYOUTS, read_layout
from bench.data.types import Source, TaskData
from bench.spec.data_kinds import DRAWN, REAL, data_kind_note, data_kind_of_other_files
from bench.spec.tasks import OURS, Task


def load_data(task: Task, choice: str, size: int, domains: str = "", val: str = "") -> TaskData:
    """The task's data at `size` pixels, decoded now or read from the cache.

    `choice`: `auto` (real if every file is there, else embedded), `embedded`, `mnist-drawn`, or a folder.
    `domains`: `a,b` where a folder holds more than two. `val`: what becomes of validation images in it, see
    layouts.VAL_CHOICES. Raises BenchError, before anything is written, if the choice cannot be met.
    """
    pair = tuple(domains.split(",")) if domains else None
    for option, value in (("--domains", domains), ("--val", val)):
        if value and (choice in DRAWN or (choice == "auto" and not task.in_folder) or _is_of_digit_files(task)):
            raise BenchError(f"{option} {value} needs a folder", "add --data FOLDER")
    kind, sources, note = _choose(task, choice, pair, val)
    return prepare_data(sources, size, locate.locate_cache(), kind, f"data: {note}", progress=track_progress)


def data_kind_of_choice(task: Task, choice: str) -> str:
    """What `load_data` takes for `choice`, see bench/spec/data_kinds.py; of files no more is read than their counts."""
    if choice in DRAWN:
        return choice
    if choice == "auto" and task.sources is not None:
        return _kind_of_given(task)
    if _is_of_digit_files(task) and choice != "auto":
        return _digit_files(task, choice)[0]
    return "embedded" if choice == "auto" and task.embedded and locate.missing_files(task.name) else "real"


def _choose(
    task: Task, choice: str, domains: Sequence[str] | None = None, val: str = ""
) -> tuple[str, tuple[Source, Source], str]:
    """(kind, both domains' sources, one line that says which data was chosen and why)."""
    if task.sources is not None and choice in ("auto", *([_kind_of_given(task)] if task.drawn else [])):
        return _kind_of_given(task), _given(task), f"made by the task {task.name}"
    if choice == "auto":
        return _automatic(task, domains, val)
    if choice == "embedded":
        return "embedded", _embedded(task), f"embedded (drawn, version {DRAWN_VERSION}), as asked for"
    if choice == "mnist-drawn":
        return "mnist-drawn", _mnist_drawn(task), f"real MNIST and drawn house numbers (version {DRAWN_VERSION})"
    if _is_of_digit_files(task):
        kind, sources = _digit_files(task, choice)
        return kind, sources, f"real, {data_kind_note(kind) or 'the published files'}; files in {choice}"
    sources, layout = _folder(task, Path(choice), domains, val)
    return "real", sources, f"images in {choice}; {layout}"


def _kind_of_given(task: Task) -> str:
    """The kind of the data that a task from outside makes."""
    return "embedded" if task.drawn else REAL


def _given(task: Task) -> tuple[Source, Source]:
    """What a task from outside makes. BenchError if it raises, or makes other domains or classes than it states."""
    assert task.sources is not None
    try:
        first, second = task.sources()
        stated = [(source.domain, tuple(source.classes)) for source in (first, second)]
    except BenchError:
        raise
    except Exception as error:  # somebody's code may raise anything
        raise BenchError(
            f"the data of {task.name} cannot be made: {type(error).__name__}: {error}", f"see the code of {task.name}"
        ) from error
    if stated != [(domain, task.classes) for domain in task.domains]:
        raise BenchError(
            f"{task.name} states the domains {task.domains} with the classes {task.classes}, and makes {stated}",
            f"change its code: Task(domains=...) or the sources of {task.name}",
        )
    return first, second


def _is_of_digit_files(task: Task) -> bool:
    """Whether a folder of it holds files in the publishers' formats, and no images by class."""
    return task.kind == "digits" and set(task.domains) <= set(DIGIT_SOURCES)


def _automatic(task: Task, domains: Sequence[str] | None, val: str) -> tuple[str, tuple[Source, Source], str]:
    if task.name == "folder":
        raise BenchError("--task folder needs to know the folder", f"add --data ROOT: {LAYOUTS}")
    if task.name not in OURS:
        raise BenchError(f"the data of {task.name} is a folder of yours", "add --data ROOT")
    missing = locate.missing_files(task.name)
    if not missing:
        sources, layout = _real(task, domains, val)
        return "real", sources, "; ".join(["real, every file found", *layout])
    if not task.embedded:
        raise BenchError(
            f"{task.name} has no embedded data, and these files are missing: {', '.join(missing)}",
            f"put them under $UDT_BENCH_FILES, or type: python -m bench fetch {task.name}"
            + ("; or --data FOLDER" if task.kind == "pictures" else ""),
        )
    note = f"embedded (drawn, version {DRAWN_VERSION}), because the real files are missing: {', '.join(missing)}"
    return "embedded", _embedded(task), note


def _real(task: Task, domains: Sequence[str] | None, val: str) -> tuple[tuple[Source, Source], tuple[str, ...]]:
    """Both domains' sources, and how the folder is read if it is one."""
    if task.kind == "digits":
        first, second = (DIGIT_SOURCES[domain].locate() for domain in task.domains)
        return (first, second), ()
    if task.name == "sketch2real":
        return (DomainNet.locate("sketch"), DomainNet.locate("real")), ()
    sources, layout = _folder(task, locate.locate_required(task.name)[task.name], domains, val)
    return sources, (layout,)


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


def _digit_files(task: Task, choice: str) -> tuple[str, tuple[Source, Source]]:
    """(kind, sources) of files in the publishers' formats in the folder `choice`.

    A domain of which nothing lies there is taken from the published files. What differs from these is accepted, because
    it was asked for, and is another kind of data.
    """
    folder = locate.locate_folder(choice)
    if folder is None:
        raise BenchError(
            f"--data {choice}: there is no such folder, here or under $UDT_BENCH_FILES",
            f"use --data auto, embedded or mnist-drawn, or a folder with files of {' or '.join(task.domains)}",
        )
    found = {domain: locate.locate_in_folder(folder, domain) for domain in task.domains}
    if not any(found.values()):
        names = sorted(
            {Path(form.path).name for entry in locate.manifest_entries(list(task.domains)) for form in entry.forms}
        )
        raise BenchError(
            f"{folder} holds no file of {task.name}", f"it takes: {', '.join(names)}; other images: --task folder"
        )
    sources: list[Source] = []
    others: dict[str, tuple[int, int]] = {}
    for domain, places in found.items():
        wanted = [entry.name for entry in locate.manifest_entries([domain])]
        if places and (absent := [name for name in wanted if name not in places]):
            raise BenchError(f"{folder} holds a part of {domain} only", f"put there, too: {', '.join(absent)}")
        source = (
            DIGIT_SOURCES[domain].of_files({name: path for name, (_, path) in places.items()})
            if places
            else DIGIT_SOURCES[domain].locate()
        )
        if not all(locate.is_published_file(*place) for place in places.values()):
            others[domain] = source.counts()
        sources.append(source)
    return data_kind_of_other_files(others) if others else REAL, (sources[0], sources[1])


def _folder(task: Task, root: Path, domains: Sequence[str] | None, val: str) -> tuple[tuple[Source, Source], str]:
    """Both domains' sources, and the line that says how the folder is read."""
    layout = read_layout(root, domains, task.domains if all(task.domains) else None, val)
    if task.classes and tuple(sorted(task.classes)) != layout.classes:
        present = f"the classes {', '.join(layout.classes)}" if layout.classes else "no classes"
        raise BenchError(
            f"{root} holds {present}; {task.name} has {', '.join(task.classes)}",
            "use --task folder for other classes",
        )
    first, second = results_or_errors(
        layout.domains, lambda domain: FolderDomain(domain, layout.classes, layout.parts[domain])
    )
    return (first, second), layout.line
