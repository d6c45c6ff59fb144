"""The tasks: two domains, their classes, directions, and the image sizes of each preset. No heavy import here."""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.errors import BenchError, error_remedy

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


def get_task(name: str) -> Task:
    """The task called `name`; raises BenchError with the nearest valid name."""
    if name not in TASKS:
        raise BenchError(f"unknown task '{name}'", error_remedy(name, list(TASKS)))
    return TASKS[name]
