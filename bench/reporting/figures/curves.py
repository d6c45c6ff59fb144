"""A metric against a loss weight: one curve per direction, with the band of its intervals and every seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.reporting.figures.axes import (
    DrawnAxes,
    about_axes_values,
    direction_on_axes,
    draw_axes_legend,
    limit_y_axis,
    reference_lines_on_axes,
    typeset_on_axes,
    with_commands_below_axes,
)
from bench.reporting.figures.collect import CollectedCells, FigureRemedy, FigureSlot
from bench.reporting.figures.page import TWO, FigurePage, PageHeading
from bench.reporting.figures.values import Chart, ChartQuantity, PublishedValue, figure_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT_HEIGHT = 2.6
LEFT, BOTTOM, TOP = 0.6, 0.45, 0.25
MARKERS = ("o", "s")
LINES = ("-", "--")
SMALLEST = 0.1
"""The x axis is linear below it, so that 0 has a place, and logarithmic above."""


@dataclass(frozen=True)
class Curves:
    """A metric against a setting."""

    setting: str
    """Name on the x axis."""
    points: tuple[tuple[float, FigureSlot], ...]
    """Value of the setting, and its cells."""
    quantity: ChartQuantity

    @property
    def slots(self) -> tuple[FigureSlot, ...]:
        """One per value."""
        return tuple(slot for _, slot in self.points)

    def draw(
        self, collected: CollectedCells, heading: PageHeading, remedy: FigureRemedy, published: PublishedValue | None
    ) -> DrawnAxes:
        """The chart on its page. The paper prints no values of its curves: `published` is not asked."""
        one = figure_values(collected, self.quantity)
        missing = _missing(one, collected)
        caption = [
            "Curves: mean over seeds. Small dots: the seeds. Bands: 95 % intervals, of the mean over seeds (t) where "
            "there are 2 or more, else over images.",
            *about_axes_values(one),
            *collected.notes,
            *with_commands_below_axes(missing, remedy),
        ]
        page = FigurePage(heading, TOP + PLOT_HEIGHT + BOTTOM, caption)
        axes = page.axes(LEFT, BOTTOM, page.content[2] - LEFT - 0.1, PLOT_HEIGHT)
        self._plot(axes, one)
        return DrawnAxes(page.figure, caption, missing)

    def _plot(self, axes: Axes, one: Chart) -> None:
        xs = [x for x, _ in self.points]
        for column, direction in enumerate(one.directions):
            known = [(x, bar) for x, bars in zip(xs, one.bars, strict=True) if (bar := bars[column]) and bar.values]
            colour = TWO[column % 2]
            at = [x for x, _ in known]
            axes.plot(at, [bar.mean for _, bar in known], color=colour, marker=MARKERS[column % 2], markersize=5,
                      linestyle=LINES[column % 2], markeredgecolor="black", markeredgewidth=0.6,
                      label=direction_on_axes(direction), zorder=4)  # fmt: skip
            banded = [(x, bar.low, bar.high) for x, bar in known if bar.low is not None and bar.high is not None]
            within, low, high = ([part[i] for part in banded] for i in range(3))
            axes.fill_between(within, low, high, color=colour, alpha=0.2, linewidth=0, zorder=2)
            seeds = [(x, value) for x, bar in known for value in bar.values]
            axes.plot([x for x, _ in seeds], [value for _, value in seeds], ".", color=colour, markersize=4, zorder=3)
        axes.set_xscale("symlog", linthresh=SMALLEST, linscale=0.4)
        axes.set_xticks(xs, [f"{x:g}" for x in xs])
        axes.set_xticks([], minor=True)
        axes.set_xlim(-0.02, max(xs) * 1.15)
        axes.set_xlabel(f"{typeset_on_axes(self.setting)} (linear below {SMALLEST:g}, logarithmic above)")
        axes.set_ylabel(one.axis_label)
        limit_y_axis(axes, one)
        reference_lines_on_axes(axes, one)
        draw_axes_legend(axes, 4)


def _missing(one: Chart, collected: CollectedCells) -> list[str]:
    """The points without a value, and why."""
    unrun = [slot.label for slot, bars in zip(collected.slots, one.bars, strict=True) if not any(bars)]
    empty = [
        f"{bar.label}, {direction_on_axes(bar.direction)}: {bar.missing}"
        for bars in one.bars
        for bar in bars
        if bar is not None and not bar.values
    ]
    return ([f"{', '.join(unrun)}: not run"] if unrun else []) + empty
