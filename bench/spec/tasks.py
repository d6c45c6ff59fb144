"""The tasks: two domains, their classes, directions, and the image sizes of each preset. No heavy import here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.core.errors import BenchError, error_remedy
from bench.spec.plugins import TASKS as GROUP
from bench.spec.plugins import installed_plugins, load_plugin, plugin_target
from bench.spec.presets import PRESETS

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Task:
    """A translation task: two domains, their classes and directions."""

    name: str
    domains: tuple[str, str]
    """Names of domain 0 and domain 1; methods see the indices only."""
    classes: tuple[str, ...]
    """Class names in label order; empty: the folder decides (`folder` task)."""
    directions: tuple[tuple[int, int], ...]
    """(source, target) domain indices that are evaluated. Training always serves both."""
    sizes: dict[str, int]
    """Preset name -> side of the square images in pixels."""
    kind: str
    """`digits` or `pictures`: which augmentation and which network sizes the presets choose."""
    summary: str
    """One line for `list tasks`."""
    embedded: bool = True
    """Whether there is drawn data for it, used when the real data is absent."""
    sources: Callable[[], tuple[Any, Any]] | None = None
    """Makes the `bench.data.types.Source` of each domain, of a task from outside; None: files that the harness knows,
    or a folder."""
    drawn: bool = False
    """Whether what `sources` makes is drawn by code, and no real images."""

    def direction_name(self, direction: tuple[int, int]) -> str:
        """Name of a direction, for example `sketch->real`."""
        return f"{self.domains[direction[0]]}->{self.domains[direction[1]]}"


BOTH = ((0, 1), (1, 0))

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="sketch2real",
            domains=("sketch", "real"),
            classes=("bird", "dog", "flower", "speedboat", "tiger"),
            directions=((0, 1),),
            sizes={"quick": 32, "small": 64, "paper": 256},
            kind="pictures",
            summary="DomainNet sketches -> photographs, five classes (SHDT); embedded: drawn scenes",
        ),
        Task(
            name="mnist2svhn",
            domains=("mnist", "svhn"),
            classes=DIGITS,
            directions=BOTH,
            sizes={"quick": 16, "small": 32, "paper": 32},
            kind="digits",
            summary="MNIST <-> SVHN, ten digits (SPUDT); embedded: scikit-learn digits <-> drawn house numbers",
        ),
        Task(
            name="mnist2usps",
            domains=("mnist", "usps"),
            classes=DIGITS,
            directions=BOTH,
            sizes={"quick": 16, "small": 32, "paper": 32},
            kind="digits",
            summary="MNIST <-> USPS, ten digits: a real and easy pair",
            embedded=False,
        ),
        Task(
            name="pacs",
            domains=("sketch", "photo"),
            classes=(),
            directions=((0, 1),),
            sizes={"quick": 32, "small": 64, "paper": 256},
            kind="pictures",
            summary="PACS sketches -> photographs, with --data FOLDER --domains a,b any two of its domains",
            embedded=False,
        ),
        Task(
            name="folder",
            domains=("", ""),
            classes=(),
            directions=BOTH,
            sizes={"quick": 32, "small": 64, "paper": 256},
            kind="pictures",
            summary="any ROOT/<domain>/<class>/*.png|jpg tree with two domains: --data ROOT [--domains a,b]",
            embedded=False,
        ),
    )
}


OURS = frozenset(TASKS)
"""Those of this project; a process adds to TASKS what it meets of others."""


def get_task(name: str) -> Task:
    """The task called `name`: ours, that of an installed plug-in, or at `package.module:name`.

    Raises BenchError with the nearest valid name, or with what is wrong with the plug-in.
    """
    if name in TASKS:
        return TASKS[name]
    target = plugin_target(GROUP, name)
    if not target:
        valid = [*OURS, *installed_plugins(GROUP)]
        raise BenchError(f"unknown task '{name}'", error_remedy(name, valid) + ", or package.module:name")
    try:
        task: Task = load_plugin(target, (Task,))
        _check(task, name)
    except Exception as error:  # other people's code may raise anything while it is imported
        raise BenchError(
            f"task {name} ({target}) cannot be used: {type(error).__name__}: {error}", "see docs/adding-data.md"
        ) from error
    return TASKS.setdefault(task.name, task)


def _check(task: Task, asked: str) -> None:
    """Raise ValueError for a task from outside, `asked` for under that name, that the harness could not use."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", task.name):
        raise ValueError(f"its name is {task.name!r}: letters, digits, _, . and - wanted")
    if task.name in OURS:
        raise ValueError(f"its name is {task.name}, that of one of the harness's own")
    if ":" not in asked and asked != task.name:
        raise ValueError(f"its entry point is called {asked}, and it calls itself {task.name}")
    if len(set(task.domains)) != 2 or not all(task.domains):
        raise ValueError(f"its domains are {task.domains!r}: two names wanted")
    if not task.directions or not set(task.directions) <= set(BOTH):
        raise ValueError(f"its directions are {task.directions!r}: (0, 1), (1, 0) or both wanted")
    if not set(PRESETS) <= set(task.sizes) or task.kind not in ("digits", "pictures"):
        wanted = f"a size for each of {', '.join(PRESETS)}; digits or pictures"
        raise ValueError(f"its sizes are {task.sizes!r}, its kind is {task.kind!r}: {wanted} wanted")
    if task.sources is not None and len(task.classes) < 2:
        raise ValueError(f"its classes are {task.classes!r}: accuracy and the judge need two")
