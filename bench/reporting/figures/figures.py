"""The paper's figures from stored results.

`FIGURES` is the table of figures: what each shows, of which cells, and which shipped sweep makes these. Collecting
(collect.py, values.py) knows no picture; bars.py, curves.py, grids.py and embedding.py know no file; page.py has the
paper's size, colours and fonts, and writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import BenchError, error_remedy
from bench.core.progress import say
from bench.reporting.figures.bars import Bars
from bench.reporting.figures.collect import (
    FigureRemedy,
    FigureRequest,
    FigureSlot,
    Load,
    Settings,
    collect_figure_cells,
    collected_remedy,
    collected_title,
    collected_warning,
)
from bench.reporting.figures.curves import Curves
from bench.reporting.figures.embedding import Embedding, find_features_to_embed
from bench.reporting.figures.grids import ClassGrid, Grid, PairGrid, StyleGrid
from bench.reporting.figures.page import PageHeading, drawing_page, save_figure_page
from bench.reporting.figures.values import ACCURACY, FID_DIGITS, PublishedValue
from bench.reporting.paper.shapes import printed_value_of_shape
from bench.reporting.setting import DRAWN, setting_command
from bench.spec.tasks import get_task
from bench.store.query import Setting

if TYPE_CHECKING:
    from bench.data.types import TaskData
    from bench.reporting.figures.axes import DrawnAxes


@dataclass(frozen=True)
class PaperFigure:
    """One figure of the paper."""

    title: str
    """Title in our words."""
    task: str
    """The paper's; any other can be asked for."""
    kind: Bars | Curves | Grid | Embedding
    """What is drawn, of which cells."""
    sweep: str
    """The shipped sweep that makes the cells; empty: there are none."""


# ------------------------------------------------------------------------------------------------------- the cells


def _setting(key: str, value: Any) -> Settings:
    return lambda preset, image_size: {key: value}


def _moco(preset: str, image_size: int) -> Mapping[str, Any]:
    """The paper's is trained on ImageNet; that of `quick` on the task's own images."""
    return {"semantics.encoder": "moco_v2"} if preset == "paper" else {}


def _map_of_4(preset: str, image_size: int) -> Mapping[str, Any]:
    """The number of halvings that leaves CycleGAN a map of 4 x 4."""
    return {"downsamplings": (image_size // 4).bit_length() - 1}


DIGITS, PICTURES = "mnist2svhn", "sketch2real"
FULL = FigureSlot("full", ("cats_udt",))
ABLATIONS = (
    FULL,
    FigureSlot("λ_sem = 0", ("cats_udt:no_sem",)),
    FigureSlot("λ_sty = 0", ("cats_udt:no_sty",)),
    FigureSlot("λ_cyc = 0", ("cats_udt:no_cyc",)),
    FigureSlot("λ_SD = 0", ("cats_udt:no_ds",)),
)
ENCODERS = (
    FigureSlot("VGG", ("cats_udt:vgg",)),
    FigureSlot("MoCo", ("cats_udt:moco",), _moco),
    FigureSlot("clusters, not adapted", ("cats_udt:not_adapted",)),
    FigureSlot("clusters, adapted", ("cats_udt",)),
)
CONDITIONINGS = (
    FigureSlot("None", ("cats_udt:none",)),
    FigureSlot("Content", ("cats_udt:content",)),
    FigureSlot("Style", ("cats_udt",)),
)
LAMBDA_SEM = tuple(
    (value, FigureSlot(f"λ_sem = {value:g}", methods, _setting("lambda_sem", value)))
    for value, methods in (
        (0.0, ("cats_udt:no_sem", "cats_udt")),
        *((value, ("cats_udt",)) for value in (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)),
    )
)
"""Which values the paper took cannot be read off its figures, but for 10."""
MUNIT = FigureSlot("MUNIT", ("munit",))
SKETCH_METHODS = (
    FigureSlot("CycleGAN", ("cyclegan",)),
    FigureSlot("DRIT", ("drit",)),
    FigureSlot("EGSC-IT", ("egsc_it",)),
    FigureSlot("StarGAN-v2", ("stargan_v2:cats", "stargan_v2")),
    FigureSlot("CatS-UDT", ("cats_udt",)),
)
OURS = SKETCH_METHODS[-1:]

# Indices 0, 15, 31, 50, 60 of the flat list of 75 sketches, 15 a class.
PAPER_SKETCHES = (0, 0, 1, 5, 0)
PAPER_SKETCHES_BY_CLASS = ((0, 1, 5, 6, 7), (0, 1, 3, 4, 6), (1, 5, 6, 7, 8), (0, 1, 2, 3, 4), (0, 5, 2, 3, 4))

FIGURES: dict[str, PaperFigure] = {
    "1a": PaperFigure("t-SNE of the features that are clustered", PICTURES, Embedding(), ""),
    "3a": PaperFigure(
        "translation accuracy of CatS-UDT without one of its losses", DIGITS, Bars(ABLATIONS, (ACCURACY,)), "figure3a"
    ),
    "3b": PaperFigure(
        "translation accuracy by the semantic encoder of CatS-UDT", DIGITS, Bars(ENCODERS, (ACCURACY,)), "figure3b"
    ),
    "3c": PaperFigure(
        "translation accuracy against the weight of the semantic loss",
        DIGITS, Curves("λ_sem", LAMBDA_SEM, ACCURACY), "figure3c",
    ),
    "4": PaperFigure(
        "one drawing of each class in five styles", PICTURES, StyleGrid(SKETCH_METHODS, positions=PAPER_SKETCHES),
        "figure4",
    ),
    "5": PaperFigure(
        "digits and their translations, in both directions",
        DIGITS, PairGrid((SKETCH_METHODS[0], MUNIT, *SKETCH_METHODS[1:]), directions=(0, 1)), "figure5",
    ),
    "6": PaperFigure("one digit of each class in five styles", DIGITS, StyleGrid(OURS, across=1), "figure6"),
    "7a": PaperFigure("FID of CatS-UDT without one of its losses", DIGITS, Bars(ABLATIONS, (FID_DIGITS,)), "figure7a"),
    "7b": PaperFigure(
        "FID against the weight of the semantic loss", DIGITS, Curves("λ_sem", LAMBDA_SEM, FID_DIGITS), "figure7b"
    ),
    "7c": PaperFigure(
        "one digit of each class with a large weight of the semantic loss",
        DIGITS, StyleGrid(tuple(slot for value, slot in LAMBDA_SEM if value == 10), directions=(1,), across=1),
        "figure7c",
    ),
    "8a": PaperFigure(
        "translation accuracy by what the clusters condition", DIGITS, Bars(CONDITIONINGS, (ACCURACY,)), "figure8a"
    ),
    "8b": PaperFigure("FID by what the clusters condition", DIGITS, Bars(CONDITIONINGS, (FID_DIGITS,)), "figure8b"),
    "8c": PaperFigure(
        "clusters adapted to the other domain, or not", DIGITS, Bars(ENCODERS[2:], (ACCURACY, FID_DIGITS)), "figure8c"
    ),
    "9": PaperFigure(
        "drawings translated without the semantic loss", PICTURES,
        StyleGrid(ABLATIONS[1:2], positions=PAPER_SKETCHES, across=1), "figure9",
    ),
    "10": PaperFigure(
        "drawings translated by what the semantics condition", PICTURES,
        StyleGrid(
            (*CONDITIONINGS[:2], FigureSlot("Content(VGG)", ("cats_udt:content_vgg",))), positions=PAPER_SKETCHES
        ),
        "figure10",
    ),
    "11": PaperFigure(
        "drawings translated through a content map of 4 × 4", PICTURES,
        StyleGrid(
            (FigureSlot("CatS-UDT", ("cats_udt:map4",)), FigureSlot("CycleGAN", ("cyclegan",), _map_of_4)),
            positions=PAPER_SKETCHES, across=2,
        ),
        "figure11",
    ),
    "12": PaperFigure(
        "five drawings of each class in five styles", PICTURES, ClassGrid(OURS, positions=PAPER_SKETCHES_BY_CLASS),
        "figure12",
    ),
}  # fmt: skip
"""Name -> figure, in the order of the paper. (1b and 2 are schematics.)"""


# --------------------------------------------------------------------------------------------------------- drawing


def make_figure(
    name: str, results: Path, task: str = "", preset: str = "quick", data: str = "auto", domains: str = "",
    budget: str = "", out: Path | None = None, val: str = "",
) -> list[Path]:  # fmt: skip
    """Draw figure `name` from what is stored in `results` and write `out/name.png`, `.pdf`, `.svg`; returns the paths.

    The options are those of `bench run`; `task` is the paper's by default, `out` is `results/figures`. What
    the paper's tables print for a bar is drawn beside ours, in the paper's setting only. What is missing is named in
    the picture and on stderr. Raises BenchError, with the command that makes the cells, if nothing is there, and for
    cells that must not share a figure.
    """
    figure = _figure(name)
    request = FigureRequest(name, results, task or figure.task, preset, data, domains, budget, val)
    with drawing_page():
        drawn, setting = draw_figure(request, printed_value_of_shape)
        for line in drawn.missing:
            say(f"figure {name}: missing: {line}")
        if drawn.missing:
            say(f"figure {name}: to make it: {_remedy(request)}")
        description = "\n".join([setting, *drawn.caption])
        options = request.anywhere.options("preset", "data", "domains", "val", "budget")
        typed = setting_command("figure", name, task="" if request.task == figure.task else request.task, **options)
        return save_figure_page(
            drawn.figure, out or results / "figures", name, f"Figure {name}: {figure.title}", description, typed
        )


def draw_figure(request: FigureRequest, published: PublishedValue | None = None) -> tuple[DrawnAxes, str]:
    """The figure, not yet written, and the setting that it is of. To be called inside `page.drawing`."""
    figure, kind = _figure(request.name), _figure(request.name).kind
    get_task(request.task)
    load = _loader(request)
    if isinstance(kind, Embedding):
        return _embedding(figure, kind, request, load(""))
    remedy = _remedy(request)
    collected = collect_figure_cells(request, kind.slots, remedy, load)
    heading = _heading(request, figure, collected.setting)
    if isinstance(kind, Grid):
        return kind.draw(request, collected, load(collected.setting.data_kind), heading, remedy), heading.setting
    return kind.draw(collected, heading, remedy, None if heading.warning else published), heading.setting


def _remedy(request: FigureRequest) -> FigureRemedy:
    figure = _figure(request.name)
    assert not isinstance(figure.kind, Embedding)
    return collected_remedy(request, figure.task, figure.sweep, figure.kind.slots)


def _embedding(figure: PaperFigure, kind: Embedding, request: FigureRequest, data: TaskData) -> tuple[DrawnAxes, str]:
    """There are no cells, so the setting is the request's."""
    heading = _heading(request, figure, Setting(data.kind, data.version, data.size, request.preset, ""))
    return kind.draw(request, data, find_features_to_embed(request, data), heading), heading.setting


def _heading(request: FigureRequest, figure: PaperFigure, setting: Setting) -> PageHeading:
    warning = collected_warning(request.task, setting, figure.task)
    return PageHeading(f"Figure {request.name}: {figure.title}", collected_title(request.task, setting), warning)


def _loader(request: FigureRequest) -> Load:
    """Loads the data when it is first asked for."""

    @cache
    def load(kind: str) -> TaskData:
        from bench.data.load import load_data

        task, choice = get_task(request.task), request.data
        if choice == "auto" and kind in DRAWN:
            choice = kind  # what was stored without the files is drawn without them, too
        return load_data(task, choice, task.sizes[request.preset], request.domains, request.val)

    return load


def _figure(name: str) -> PaperFigure:
    if name not in FIGURES:
        raise BenchError(
            f"there is no figure '{name}'", error_remedy(name, list(FIGURES)) + " (1b and 2 are schematics)"
        )
    return FIGURES[name]


def figure_list() -> str:
    """One line per figure: name, the paper's task, title, what makes its cells."""
    rows = [
        (name, figure.task, figure.title, f"sweep {figure.sweep}" if figure.sweep else "semantics --stage features")
        for name, figure in FIGURES.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
