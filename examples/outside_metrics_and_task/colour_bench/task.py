"""A task with its data, drawn by code: dark crosses and discs on paper, and bright ones at night."""

from collections.abc import Iterator

import numpy as np

from bench.data.types import Item
from bench.spec.tasks import Task

CLASSES = ("cross", "disc")
COUNTS = {"train": 24, "test": 8}  # images of each class
SIZE = 32


class Marks:
    """One domain: what `bench.data.types.Source` asks for."""

    classes = CLASSES
    resample = "lanczos"  # how images are brought to the preset's size, where they have another

    def __init__(self, domain: str) -> None:
        self.domain = domain

    def fingerprint(self) -> str:
        """Everything that decides the content: of files their bytes, of drawings a version."""
        return f"marks-1-{self.domain}"

    def count(self) -> int:
        return len(CLASSES) * sum(COUNTS.values())

    def items(self) -> Iterator[Item]:
        rng = np.random.default_rng([1, self.domain == "night"])
        for split, count in COUNTS.items():
            for index in range(len(CLASSES) * count):
                label = index % len(CLASSES)
                yield Item(self._draw(label, rng), label, split, f"{self.domain} {split} {index}")

    def _draw(self, label: int, rng: np.random.Generator) -> np.ndarray:
        y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5 - rng.uniform(-0.15, 0.15, 2)[:, None, None]
        mark = np.hypot(x, y) < 0.25 if label else np.minimum(abs(x), abs(y)) < 0.08
        ink, ground = (rng.integers(150, 256, 3), np.full(3, 20)) if self.domain == "night" else (0, 240)
        noise = rng.normal(0, 4, (SIZE, SIZE, 3))
        return (np.where(mark[..., None], ink, ground) + noise).clip(0, 255).astype(np.uint8)


MARKS = Task(
    name="marks",  # as its entry point is called
    domains=("paper", "night"),
    classes=CLASSES,
    directions=((0, 1),),  # paper -> night alone is scored
    sizes={"quick": 32, "small": 32, "paper": 64},
    kind="pictures",  # or digits: no image is mirrored
    summary="crosses and discs on paper -> at night, drawn",
    sources=lambda: (Marks("paper"), Marks("night")),
    drawn=True,
)
