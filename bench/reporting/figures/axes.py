"""What bar charts and curves share: limits, reference lines, and what is said below them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.reporting.figures.collect import FigureRemedy
from bench.reporting.figures.page import TWO
from bench.reporting.figures.values import Chart, SlotValues

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADROOM = 1.08
LONGEST = 1.6
"""An interval may lift the upper limit to this times the largest value; what is beyond it is cut, and said so."""


@dataclass(frozen=True)
class DrawnAxes:
    """A figure that is not yet written."""

    figure: Figure
    caption: list[str]
    """The lines below the picture."""
    missing: Sequence[str] = ()
    """What is not in it, and why."""


def direction_on_axes(direction: str) -> str:
    """`mnist → svhn`."""
    return direction.replace("->", " → ")


def typeset_on_axes(label: str) -> str:
    """`λ_sem` with a proper index, for matplotlib."""
    return re.sub(r"λ_(\w+)", r"$λ_{\\mathrm{\1}}$", label)


def axis_number(value: float) -> str:
    """Three digits are enough in a picture."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"


def axis_top(one: Chart) -> float:
    """Upper limit of the y axis."""
    if one.quantity.metric == "accuracy":
        return 100.0
    bars = one.measured()
    largest = max((value for bar in bars for value in bar.values), default=1.0)
    highest = max((bar.high for bar in bars if bar.high is not None), default=largest)
    lines = [bar.floor for bar in bars if bar.floor is not None]
    return HEADROOM * max([min(highest, LONGEST * largest), largest, *lines])


def limit_y_axis(axes: Axes, one: Chart, marks: Sequence[float] = ()) -> None:
    """Set the y axis from 0, for bars have lengths, to what is above all values and `marks`."""
    axes.set_ylim(0.0, max([axis_top(one), *(HEADROOM * mark for mark in marks if mark > axis_top(one) / HEADROOM)]))


def reference_lines_on_axes(axes: Axes, one: Chart) -> None:
    """Draw, for each direction, the judge's accuracy on real images, or the floor of a distance between real images."""
    name = "judge on real images" if one.quantity.metric == "accuracy" else "floor: real images"
    for column, direction in enumerate(one.directions):
        level = reference_on_axes(one, direction)
        if level is not None:
            axes.axhline(level, color=TWO[column % 2], linestyle=("--", ":")[column % 2], linewidth=1.2, zorder=1,
                         label="_level")  # fmt: skip
    if any(reference_on_axes(one, direction) is not None for direction in one.directions):
        axes.plot([], [], color="#555555", linestyle="--", linewidth=1.2, label=name)


def reference_on_axes(one: Chart, direction: str) -> float | None:
    """The level that all bars of a direction share; None if they have none, or several."""
    accuracy = one.quantity.metric == "accuracy"
    levels = {bar.on_real if accuracy else bar.floor for bar in one.measured(direction)}
    return levels.pop() if len(levels) == 1 else None


def draw_axes_legend(axes: Axes, columns: int) -> None:
    """Above the axes: what is measured first, then what it is measured by."""
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: "→" not in labels[i])
    axes.legend([handles[i] for i in order], [labels[i] for i in order], loc="lower left", bbox_to_anchor=(0, 1.0),
                ncols=columns, frameon=False, borderaxespad=0.1, handlelength=2.0, columnspacing=1.2)  # fmt: skip


def about_axes_values(one: Chart) -> list[str]:
    """n and reference level of each direction, seeds k/n of each slot, intervals that the frame cuts."""
    lines = []
    for direction in one.directions:
        bars = one.measured(direction)
        counts = {(bar.n, bar.n_reference) for bar in bars}
        level = reference_on_axes(one, direction)
        text = f"{direction_on_axes(direction)}, {one.protocol}: "
        if len(counts) == 1:
            text += _counts(*counts.pop())
        elif counts:
            each = ", ".join(f"{bar.label}: {_counts(bar.n, bar.n_reference)}" for bar in bars)
            text += f"unequal n, so not comparable with each other: {each}"
        if level is not None:
            on_real = one.quantity.metric == "accuracy"
            text += f"; {'the judge on real images' if on_real else 'floor'}: {axis_number(level)}"
        lines.append(text + f"; seeds k/n: {_seeds(one, direction)}.")
    cut = sorted({bar.label for bar in one.measured() if _cut(bar, one)})
    return lines + ([f"Intervals that leave the frame are cut: {', '.join(cut)}."] if cut else [])


def _cut(bar: SlotValues, one: Chart) -> bool:
    return bar.low is not None and bar.high is not None and (bar.low < 0 or bar.high > axis_top(one))


def _counts(n: int, real: int) -> str:
    return f"n = {n}/{real}" if real else f"n = {n}"


def _seeds(one: Chart, direction: str) -> str:
    """`3/3 each`, or one by one."""
    bars = [bar for slot in one.bars for bar in slot if bar and bar.direction == direction]
    each = {(len(bar.values), bar.begun) for bar in bars}
    if len(each) == 1:
        k, begun = each.pop()
        return f"{k}/{begun}" + (" each" if len(bars) > 1 else "")
    return ", ".join(f"{bar.label}: {len(bar.values)}/{bar.begun}" for bar in bars)


def with_commands_below_axes(missing: Sequence[str], remedy: FigureRemedy) -> list[str]:
    """The caption's line about what is not there and what makes it."""
    return [f"Missing: {'; '.join(missing)}. To make it: {'; '.join(remedy.printed)}"] if missing else []
