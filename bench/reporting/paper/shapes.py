"""The paper's tables as shapes: which number stands where, and which of our measurements belongs beside it.

The captions are ours: they say what the numbers are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.reporting.paper.published import Published, published

JUDGE = "judge"
"""Name that takes a method's place in a lookup: the target domain's classifier, on its real test images."""
STAGES = {"imsat": "semantics:imsat", "spectral": "semantics:spectral", "adaptation": "semantics:adaptation"}
"""Names that take a method's place in a lookup: semantic stages; the direction is then the name of the domain."""
ALIGNMENT = "alignment-accuracy"
"""Name that takes a protocol's place in a lookup: cluster-alignment accuracy (eq. 14), in percent."""
WEAK = "*"
"""Mark of weak supervision."""


@dataclass(frozen=True)
class ShapeChain:
    """One row of ours below a published one."""

    name: str
    """`ours`, or what distinguishes two of them."""
    protocols: tuple[str, ...]
    """The protocol to compare with the paper's, then what may stand in for it, marked; one for the whole table."""
    compares: bool = True
    """Whether a difference from the published value means anything."""


@dataclass(frozen=True)
class ShapePlace:
    """A published number, and the key of ours."""

    published: Published
    candidates: tuple[str, ...]
    """`name[:variant]`, the one that the paper's authors ran first; then what may stand in for it, said below."""
    task: str
    direction: str
    label: str


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper."""

    label: str
    places: tuple[ShapePlace | None, ...]
    """One per column; None where the paper has none."""
    chains: tuple[ShapeChain, ...]
    higher_is_better: bool


@dataclass(frozen=True)
class PaperColumn:
    """A column of the paper."""

    label: str
    weak: bool = False
    """Ours is weakly supervised."""


@dataclass(frozen=True)
class PaperShape:
    """A table of the paper."""

    source: str
    """As in `Published.table`."""
    title: str
    first: str
    """Heading of the rows."""
    columns: tuple[PaperColumn, ...]
    lines: tuple[PaperRow, ...]


TASKS = {"mnist_svhn": "mnist2svhn", "sketch_real": "sketch2real"}
DIRECTIONS = {"M->S": "mnist->svhn", "S->M": "svhn->mnist", "Sketch->Real": "sketch->real"}
OURS = {
    "CycleGAN": ("cyclegan",),
    "MUNIT": ("munit",),
    "DRIT": ("drit",),
    "StarGAN-V2": ("stargan_v2:cats", "stargan_v2"),
    "EGSC-IT": ("egsc_it",),
    "CatS-UDT": ("cats_udt",),
    "Target classifier": (JUDGE,),
}
VARIANTS = {
    "lambda_sem=0": ("cats_udt:no_sem",),
    "lambda_sty=0": ("cats_udt:no_sty",),
    "lambda_cyc=0": ("cats_udt:no_cyc",),
    "lambda_sd=0": ("cats_udt:no_ds",),
    "cond=none": ("cats_udt:none",),
    "cond=content": ("cats_udt:content",),
    "cond=content_vgg": ("cats_udt:content_vgg",),
    "cond=style": ("cats_udt",),
}
CLASSES = ("bird", "dog", "flower", "speedboat", "tiger", "all")

ACCURACY = (ShapeChain("ours", ("accuracy-judge-v1",)),)
# As the paper's code computes it, with its habits; then with all images and one style. The real images are train + test
# for sketches, test for digits.
_STAND_INS = ("fid-inception-v1", "fid-judge-v1")
FID = (ShapeChain("ours", ("fid-pytorch-paper-v1", "fid-pytorch-v1", *_STAND_INS)),)
FID_DIGITS = (ShapeChain("ours", ("fid-pytorch-paper-test-v1", "fid-pytorch-test-v1", *_STAND_INS)),)
LPIPS = (
    ShapeChain("ours, across sources", ("lpips-across-v1",), compares=False),
    ShapeChain("ours, within a source", ("lpips-alexnet-v1",), compares=False),
)
NDB = (ShapeChain("ours", ("ndb-pixels-v1",)),)
JSD = (ShapeChain("ours", ("jsd-pixels-v1",)),)
ALIGNED = (ShapeChain("ours", (ALIGNMENT,)),)


def _place(number: Published) -> ShapePlace:
    candidates = VARIANTS.get(number.variant) or OURS[number.method]
    return ShapePlace(number, candidates, TASKS[number.task], DIRECTIONS[number.direction], number.label)


def _line(name: str, chains: tuple[ShapeChain, ...], columns: Sequence[dict[str, str]], **of_line: str) -> PaperRow:
    """The numbers of one row, from left to right; `columns` and `of_line` are fields of `Published`."""
    cells = [published(**of_line, **column) for column in columns]
    places = tuple(_place(numbers[0]) if numbers else None for numbers in cells)
    return PaperRow(name, places, chains, next(numbers[0].higher_is_better for numbers in cells if numbers))


def _methods(*names: str) -> tuple[PaperColumn, ...]:
    return tuple(PaperColumn(name, weak=name == "EGSC-IT") for name in names)


def _table_1() -> PaperShape:
    names = ("CycleGAN", "MUNIT", "DRIT", "StarGAN-V2", "EGSC-IT", "CatS-UDT")
    columns = [{"method": name} for name in (*names, "Target classifier")]
    rows = [
        ("accuracy % ↑, M→S", "accuracy", "M->S", ACCURACY),
        ("accuracy % ↑, S→M", "accuracy", "S->M", ACCURACY),
        ("FID ↓, M→S", "fid", "M->S", FID_DIGITS),
        ("FID ↓, S→M", "fid", "S->M", FID_DIGITS),
    ]
    return PaperShape(
        "Table 1",
        "Table 1 of the paper: translation accuracy and FID between MNIST (M) and SVHN (S)",
        "metric",
        (*_methods(*names), PaperColumn("Target classifier")),
        tuple(
            _line(label, chains, columns, table="Table 1", metric=metric, direction=direction)
            for label, metric, direction, chains in rows
        ),
    )


_SKETCH_METHODS = ("CycleGAN", "DRIT", "EGSC-IT", "StarGAN-V2", "CatS-UDT")


def _by_class(
    source: str, title: str, columns: tuple[PaperColumn, ...], fields: Sequence[dict[str, str]]
) -> PaperShape:
    lines = tuple(_line(label, FID, fields, table=source, label=label) for label in CLASSES)
    return PaperShape(source, title, "class", columns, lines)


def _table_2() -> PaperShape:
    return _by_class(
        "Table 2",
        "Table 2 of the paper: FID ↓ on sketch→real, per class and over all",
        _methods(*_SKETCH_METHODS),
        [{"method": name} for name in _SKETCH_METHODS],
    )


def _table_3a() -> PaperShape:
    variants = {
        "lambda_sem=0": "λ_sem = 0",
        "lambda_sty=0": "λ_sty = 0",
        "lambda_cyc=0": "λ_cyc = 0",
        "lambda_sd=0": "λ_SD = 0",
    }
    return _by_class(
        "Table 3a",
        "Table 3a of the paper: FID ↓ of CatS-UDT on sketch→real without one of its losses",
        tuple(PaperColumn(label) for label in variants.values()),
        [{"variant": variant} for variant in variants],
    )


def _table_3b() -> PaperShape:
    variants = {
        "cond=none": "None",
        "cond=content": "Content",
        "cond=content_vgg": "Content(VGG)",
        "cond=style": "Style",
    }
    return _by_class(
        "Table 3b",
        "Table 3b of the paper: FID ↓ of CatS-UDT on sketch→real by what the semantics condition",
        tuple(PaperColumn(label, weak=label == "Content(VGG)") for label in variants.values()),
        [{"variant": variant} for variant in variants],
    )


def _table_4() -> PaperShape:
    rows = [("LPIPS ↑", "lpips", LPIPS), ("NDB ↓", "ndb", NDB), ("JSD ↓", "jsd", JSD)]
    columns = [{"method": name} for name in _SKETCH_METHODS]
    return PaperShape(
        "Table 4",
        "Table 4 of the paper: diversity and modes on sketch→real, over all classes",
        "metric",
        _methods(*_SKETCH_METHODS),
        tuple(_line(label, chains, columns, table="Table 4", metric=metric) for label, metric, chains in rows),
    )


def _text() -> PaperShape:
    """The accuracies that the text of 4.1 and 4.2 states."""
    judged = {"MNIST": "svhn->mnist", "SVHN": "mnist->svhn"}
    stages = {
        "IMSAT clustering": ("IMSAT", STAGES["imsat"]),
        "MoCo-v2 + spectral clustering": ("MoCo-v2 and spectral clusters", STAGES["spectral"]),
        "VMT-cluster": ("adapted clusters", STAGES["adaptation"]),
    }
    lines = []
    for number in (*published(table="Text 4.1"), *published(table="Text 4.2")):
        if number.method in stages:
            label, stage = stages[number.method]
            place = ShapePlace(number, (stage,), TASKS[number.task], number.direction.lower(), "all")
            lines.append(PaperRow(f"{label}, {number.direction}, % ↑", (place,), ALIGNED, True))
        else:
            place = ShapePlace(number, (JUDGE,), TASKS[number.task], judged[number.direction], "all")
            lines.append(PaperRow(f"classifier, {number.direction}, % ↑", (place,), ACCURACY, True))
    columns = (PaperColumn("accuracy"),)
    return PaperShape(
        "Text", "Accuracies in the text of the paper, sections 4.1 and 4.2", "what", columns, tuple(lines)
    )


SHAPES = {
    "1": _table_1,
    "2": _table_2,
    "3a": _table_3a,
    "3b": _table_3b,
    "4": _table_4,
    "text": _text,
}
"""Name -> shape. `text`: what the paper says in sentences."""


def printed_value_of_shape(method: str, direction: str, metric: str) -> float | None:
    """What a table of the paper prints for one of our methods over all classes; None: nothing.

    `method` is `name[:variant]`, `direction` as in `mnist->svhn`, `metric` as in `Published`. Where two tables print
    it (CatS-UDT's FID on sketch->real: 58.69 and 58.59), the first one's.
    """
    places = (place for shape in SHAPES.values() for line in shape().lines for place in line.places if place)
    wanted = ("all", direction, metric)
    return next(
        (
            place.published.value
            for place in places
            if method in place.candidates and (place.label, place.direction, place.published.metric) == wanted
        ),
        None,
    )
