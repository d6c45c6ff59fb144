"""Grouped bars: one group per variant, one bar per direction, with intervals and every seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.reporting.figures.axes import (
    DrawnAxes,
    about_axes_values,
    axis_number,
    direction_on_axes,
    draw_axes_legend,
    limit_y_axis,
    reference_lines_on_axes,
    typeset_on_axes,
    with_commands_below_axes,
)
from bench.reporting.figures.collect import CollectedCells, FigureRemedy, FigureSlot
from bench.reporting.figures.page import LINE, MARGIN, SIZE, TWO, WIDTH, FigurePage, PageHeading, wrapped_on_page
from bench.reporting.figures.values import Chart, ChartQuantity, PublishedValue, SlotValues, figure_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT_HEIGHT = 2.3
LEFT, LEGEND = 0.6, 0.2
"""Inches left of the axes, for their label; and for each line of the legend above them."""
ENTRIES = 4
"""Entries of the legend in a line as wide as the page."""
GROUP = 0.8
"""Width of a group of bars; groups are 1 apart."""
HATCHES = ("", "////")
PAPER = "published"


@dataclass(frozen=True)
class Bars:
    """A bar chart of the paper."""

    slots: tuple[FigureSlot, ...]
    quantities: tuple[ChartQuantity, ...]
    """One panel each."""

    def draw(
        self, collected: CollectedCells, heading: PageHeading, remedy: FigureRemedy, published: PublishedValue | None
    ) -> DrawnAxes:
        """All panels on one page, side by side."""
        charts = [figure_values(collected, quantity) for quantity in self.quantities]
        missing = _missing(charts, collected)
        caption = [
            "Bars: mean over seeds. Dots: the seeds. Lines: 95 % intervals, of the mean over seeds (t) where there are "
            "2 or more, else over images.",
            *(line for one in charts for line in about_axes_values(one)),
            *collected.notes,
            *with_commands_below_axes(missing, remedy),
        ]
        width = (WIDTH - 2 * MARGIN) / len(charts)
        names = _group_names(collected, width - LEFT)
        below = 0.12 + max(name.count("\n") + 1 for name in names) * SIZE * LINE / 72
        page = FigurePage(heading, len(charts) * LEGEND + PLOT_HEIGHT + below, caption)
        for number, one in enumerate(charts):
            axes = page.axes(number * width + LEFT, below, width - LEFT - 0.05, PLOT_HEIGHT)
            draw_bars(axes, one, names, published)
            draw_axes_legend(axes, ENTRIES // len(charts))
        return DrawnAxes(page.figure, caption, missing)


def _missing(charts: Sequence[Chart], collected: CollectedCells) -> list[str]:
    """`lambda = 0: not measured`, once for each slot and reason."""
    lines = []
    for one in charts:
        for slot, bars in zip(collected.slots, one.bars, strict=True):
            if not any(bars):
                lines.append(f"{slot.label}: not run")
            lines += [
                f"{slot.label}, {direction_on_axes(bar.direction)}, {one.quantity.name}: {bar.missing}"
                for bar in bars
                if bar is not None and not bar.values
            ]
    return list(dict.fromkeys(lines))


def _group_names(collected: CollectedCells, width: float) -> list[str]:
    """Names below the groups, on as many lines as they need in axes of `width` inches."""
    room = 0.95 * width / len(collected.slots)
    pairs = zip(collected.slots, collected.found, strict=True)
    return [
        typeset_on_axes("\n".join(wrapped_on_page(cells.label if cells else slot.label, room))) for slot, cells in pairs
    ]


def draw_bars(axes: Axes, one: Chart, names: Sequence[str], published: PublishedValue | None) -> None:
    """The bars of one quantity, with `names` below the groups."""
    marks: list[float] = []
    each = GROUP / max(len(one.directions), 1)
    for column, direction in enumerate(one.directions):
        label = direction_on_axes(direction)
        for group, bars in enumerate(one.bars):
            bar, x = bars[column], group + (column + 0.5) * each - GROUP / 2
            if bar is not None and bar.values:
                axes.bar(x, bar.mean, each * 0.94, label=label, color=TWO[column % 2], hatch=HATCHES[column % 2],
                         edgecolor="black", linewidth=0.6, zorder=2)  # fmt: skip
                label = ""  # one entry in the legend
                _interval_and_seeds(axes, x, each, bar)
                axes.text(x, 0.025, axis_number(bar.mean), transform=axes.get_xaxis_transform(), ha="center", zorder=6,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # fmt: skip
            else:
                axes.text(x, 0.05, "failed" if bar else "not run", transform=axes.get_xaxis_transform(), ha="center",
                          rotation=90, color="#555555")  # fmt: skip
            if bar is not None and published is not None:
                marks += _published(axes, x, each, bar, one, published)
    limit_y_axis(axes, one, marks)
    reference_lines_on_axes(axes, one)
    axes.set_xlim(-0.5, len(one.bars) - 0.5)
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(one.axis_label)


def _interval_and_seeds(axes: Axes, x: float, each: float, bar: SlotValues) -> None:
    if bar.low is not None and bar.high is not None:
        axes.plot([x, x], [bar.low, bar.high], color="black", linewidth=1.0, zorder=4)
    count = len(bar.values)
    spread = [x + each * 0.5 * ((i + 0.5) / count - 0.5) for i in range(count)]
    axes.plot(spread, bar.values, "o", color="white", markeredgecolor="black", markersize=3.5, markeredgewidth=0.7,
              zorder=5)  # fmt: skip


def _published(
    axes: Axes, x: float, each: float, bar: SlotValues, one: Chart, published: PublishedValue
) -> list[float]:
    """A diamond at the paper's value, if there is one and ours is by the protocol that is nearest to it."""
    value = published(bar.method, bar.direction, one.quantity.metric)
    if value is None or one.protocol != one.quantity.protocols[0]:
        return []
    first = not any(line.get_label() == PAPER for line in axes.lines)
    axes.plot(x + each * 0.4, value, "D", color="black", markersize=4.5, zorder=7, clip_on=False,
              label=PAPER if first else f"_{PAPER}")  # fmt: skip
    return [value]
