"""Paper for figures: a title, where the results are from, the picture, a caption; and its three files.

Nothing here touches matplotlib's global state: figures are made without pyplot, inside `drawing_page`, which puts every
setting back. Sizes are inches at which the figure is meant to be printed; no text is smaller than 8 pt.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bench.core.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.0
"""Inches: the width of a page of text."""
MARGIN = 0.1
DPI = 300
SIZE = 8.0
"""Smallest text, in points."""
TITLE_SIZE = 10.0
LINE = 1.35
"""Distance of lines, in sizes of the text."""
WARNING = "#B00000"

# Okabe and Ito's colours, which the colour-blind tell apart; blue and orange differ in grey, too.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
TWO = (BLUE, ORANGE)
# For classes: Tol's "muted" scheme, and grey. A class is also named where its points are.
CLASS_COLOURS = (
    "#332288", "#DDCC77", "#117733", "#CC6677", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499", "#777777",
)  # fmt: skip

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": SIZE,
    "axes.titlesize": SIZE,
    "axes.labelsize": SIZE,
    "xtick.labelsize": SIZE,
    "ytick.labelsize": SIZE,
    "legend.fontsize": SIZE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,
    "svg.hashsalt": "udt-bench",
}


@contextmanager
def drawing_page() -> Iterator[None]:
    """matplotlib's own defaults and ours for as long as it lasts, whatever the user's settings are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


@dataclass(frozen=True)
class PageHeading:
    """What stands above the picture."""

    title: str
    setting: str
    """Data, preset, budget."""
    warning: str = ""
    """Why it must not be compared with the paper."""


class FigurePage:
    """A figure of WIDTH by what `height` of content and its text need."""

    def __init__(self, heading: PageHeading, height: float, caption: Sequence[str]) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure: Figure = Figure(figsize=(WIDTH, 1.0), dpi=DPI)
        FigureCanvasAgg(self.figure)
        room = WIDTH - 2 * MARGIN
        above = [
            (line, TITLE_SIZE, "black", "bold") for line in wrapped_on_page(heading.title, room, TITLE_SIZE, "bold")
        ]
        above += [(line, SIZE, "black", "normal") for line in wrapped_on_page(heading.setting, room)]
        above += [(line, SIZE, WARNING, "bold") for line in wrapped_on_page(heading.warning, room, weight="bold")]
        below = [(line, SIZE, "black", "normal") for text in caption for line in wrapped_on_page(text, room)]
        top, bottom = (sum(size * LINE / 72 for _, size, _, _ in lines) for lines in (above, below))
        self.height = top + bottom + height + 3 * MARGIN
        self.content = (MARGIN, bottom + 1.5 * MARGIN, room, height)
        """Left, bottom, width, height of the picture, in inches from the lower left corner."""
        self.figure.set_size_inches(WIDTH, self.height)
        self._write(above, self.height - MARGIN)
        self._write(below, bottom + MARGIN)

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        """Axes at a place of the content, in inches."""
        x, y = self.content[0] + left, self.content[1] + bottom
        return self.figure.add_axes((x / WIDTH, y / self.height, width / WIDTH, height / self.height))

    def _write(self, lines: Sequence[tuple[str, float, str, str]], top: float) -> None:
        for text, size, colour, weight in lines:
            self.figure.text(
                MARGIN / WIDTH, top / self.height, text, size=size, color=colour, weight=weight, va="top",
                parse_math=False,
            )  # fmt: skip
            top -= size * LINE / 72


def page_text_width(text: str, size: float = SIZE, weight: str = "normal") -> float:
    """Inches."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    font = FontProperties(size=size, weight=weight)
    return float(RendererAgg(1, 1, DPI).get_text_width_height_descent(text, font, ismath=False)[0]) / DPI


def wrapped_on_page(text: str, room: float, size: float = SIZE, weight: str = "normal") -> list[str]:
    """Lines no wider than `room` inches, broken at blanks; a word that is wider has its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and page_text_width(longer, size, weight) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def save_figure_page(figure: Figure, folder: Path, name: str, title: str, description: str, command: str) -> list[Path]:
    """`folder/name.png`, `.pdf` and `.svg`, each written atomically; equal figures give equal bytes.

    Every file holds `title`, `description` and `command` (how it was made), and no date.
    """
    about = {
        "png": {"Title": title, "Description": description, "Source": command, "Software": "udt-bench"},
        "pdf": {
            "Title": title, "Subject": description, "Keywords": command, "Creator": "udt-bench",
            "CreationDate": None,
        },
        "svg": {"Title": title, "Description": description, "Source": command, "Creator": "udt-bench", "Date": None},
    }  # fmt: skip
    paths = []
    for extension, metadata in about.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=extension, dpi=DPI, metadata=metadata)
        paths.append(folder / f"{name}.{extension}")
        write_atomically(paths[-1], partial(_copy, buffer.getvalue()))
    return paths


def _copy(content: bytes, file: BinaryIO) -> None:
    file.write(content)
