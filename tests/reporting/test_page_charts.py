"""What is drawn where: the Pareto front by definition, ticks, labels, curves."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from report_results import add, records, spec

from bench.reporting.page.charts import (
    CURVE,
    PLOT,
    POINTS,
    ChartPoint,
    chart_ticks,
    loss_charts,
    pareto_front_on_chart,
    place_chart_labels,
    scatter_chart,
    thin_for_chart,
)
from bench.reporting.page.collect import collect_for_page
from bench.reporting.page.tradeoff import tradeoff

few = st.integers(0, 4).map(float)  # few values, so that there are ties


@settings(deadline=None)
@given(st.lists(st.tuples(few, few), min_size=1, max_size=9), st.booleans())
def test_the_front_is_what_nothing_dominates(points: list[tuple[float, float]], higher: bool) -> None:
    def dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
        as_good = a[1] >= b[1] if higher else a[1] <= b[1]
        return a[0] <= b[0] and as_good and a != b

    wanted = [not any(dominates(other, point) for other in points) for point in points]
    assert pareto_front_on_chart(points, higher) == wanted


finite = st.floats(-1e9, 1e9, allow_nan=False)


@settings(deadline=None)
@given(finite, finite)
@example(-999999667.0, -999999666.0)  # few digits left between the two
@example(1e9, 1e9 + 1.2e-7)
def test_ticks_enclose_what_is_plotted_at_round_even_steps(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    found = chart_ticks(low, high)
    assert 2 <= len(found) <= 8
    slack = 1e-6 * max(abs(low), abs(high), high - low, found[1] - found[0])
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    steps = [after - before for before, after in pairwise(found)]
    assert min(steps) > 0
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)


def test_ticks_are_those_that_a_person_would_choose() -> None:
    assert chart_ticks(0, 403) == [0, 100, 200, 300, 400, 500]
    assert chart_ticks(62.4, 90.7) == [60, 70, 80, 90, 100]
    assert chart_ticks(0.55, 2.02) == [0.5, 1, 1.5, 2, 2.5]
    assert chart_ticks(5, 5)[0] <= 5 < chart_ticks(5, 5)[-1]


def test_a_scatter_draws_points_where_they_belong_and_the_front_as_stairs() -> None:
    points = [
        ChartPoint("cheap", 100, 60, 5.0),
        ChartPoint("best", 400, 90),
        ChartPoint("worse", 300, 50),
        ChartPoint("mid", 200, 80),
    ]
    plot = scatter_chart(points, "s", "accuracy", higher_is_better=True)
    width, height = PLOT
    by_name = {mark.point.name: mark for mark in plot.marks}
    assert [name for name, mark in by_name.items() if mark.best] == ["cheap", "best", "mid"]
    x_ticks, y_ticks = ({float(text): place for place, text in of} for of in (plot.x_ticks, plot.y_ticks))
    assert (x_ticks[0], x_ticks[400]) == (0, width)
    assert by_name["best"].x == pytest.approx(x_ticks[400])
    assert by_name["best"].y == pytest.approx(y_ticks[90])
    assert by_name["mid"].y == pytest.approx(y_ticks[80])
    bar = by_name["cheap"].bar
    assert bar is not None
    per_unit = height / (max(y_ticks) - min(y_ticks))
    assert bar[0] - bar[1] == pytest.approx(2 * 5 * per_unit)
    assert by_name["best"].bar is None
    corners = [tuple(map(float, corner.split(","))) for corner in plot.front.split()]
    assert corners[0] == pytest.approx((by_name["cheap"].x, by_name["cheap"].y), abs=0.1)
    assert corners[-1] == pytest.approx((width, by_name["best"].y), abs=0.1)
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(corners))
    lower = scatter_chart(points, "s", "fid", higher_is_better=False)
    assert [mark.point.name for mark in lower.marks if mark.best] == ["cheap", "worse"]


def test_names_cover_neither_points_nor_each_other() -> None:
    places = [(60.0, 100.0), (70.0, 102.0), (65.0, 90.0), (290.0, 100.0), (5.0, 5.0)]
    names = ["stargan_v2", "munit", "cyclegan", "cats_udt", "drit"]
    found = place_chart_labels(places, dict(enumerate(names)))
    boxes = [(x, y - 10, x + 6.8 * len(name), y + 3) for (x, y), name in zip(found, names, strict=True)]
    for i, a in enumerate(boxes):
        assert a[0] >= -1
        assert a[2] <= PLOT[0] + 1
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        for x, y in places:
            assert not (a[0] < x < a[2] and a[1] < y < a[3])


def test_a_crowd_bears_the_names_of_the_front_alone() -> None:
    crowd = [ChartPoint(f"p{i}", 1 + (7 * i) % 40, float(i)) for i in range(40)]
    marks = scatter_chart(crowd, "s", "fid", higher_is_better=False).marks
    assert [mark.best for mark in marks] == [mark.label is not None for mark in marks]
    assert 1 <= sum(mark.best for mark in marks) < 40


def test_thinning_keeps_means_and_the_last_step() -> None:
    points = [(10 * i, float(i)) for i in range(1, 1001)]
    found = thin_for_chart(points)
    assert len(found) <= POINTS
    assert found[-1][0] == 10_000
    size = -(-1000 // POINTS)
    assert found[0] == (10 * size, (size + 1) / 2)
    assert thin_for_chart(points[:7]) == points[:7]
    assert thin_for_chart([]) == []


def test_curves_scale_each_loss_and_break_where_it_is_not_finite(tmp_path: Path) -> None:
    losses = [
        {"0:discriminator.real": value, "1:generator+mapping.adv": 5.0} for value in (1.0, 3.0, math.nan, 2.0, 1.0)
    ]
    cell = add(tmp_path, spec(), records(1.0), losses=losses)
    with (cell / "log.jsonl").open("a") as log:
        log.write('{"step": 60, "losses": {"0:discr')  # a process was killed
    (setting,) = collect_for_page(tmp_path)
    (found,) = loss_charts(setting)
    assert [name for name, _ in found.phases] == ["update 1: discriminator", "update 2: generator, mapping"]
    (real,), (flat,) = (of for _, of in found.phases)
    width, height = CURVE
    (line,) = real.lines
    assert line.paths == (
        f"{width // 5},{height:.1f} {2 * width // 5},0.0",
        f"{4 * width // 5},{height / 2:.1f} {width},{height:.1f}",
    )
    assert (real.low, real.high, real.last_step) == ("1", "3", 50)
    assert real.text == "real: seed 0: 1 at step 10, 1 at step 50"
    assert {y for _, y in re.findall(r"(\d+),([\d.]+)", flat.lines[0].paths[0])} == {f"{height / 2:.1f}"}


def test_the_tradeoff_counts_stages_and_has_the_same_numbers_as_a_table(tmp_path: Path) -> None:
    for seed, seconds in ((0, 90.0), (1, 110.0)):
        add(tmp_path, spec(seed=seed), records(40.0 + 2 * seed), seconds=seconds)
    add(tmp_path, spec(method="drit"), records(70.0), seconds=295.0, supervision="weak")
    add(tmp_path, spec(method="munit"), records(30.0), seconds=200.0)
    (setting,) = collect_for_page(tmp_path)
    found = tradeoff(setting, "ink->paint")
    assert found is not None
    accuracy, fid = found.plots
    assert {mark.point.name: (mark.point.cost, mark.point.quality, mark.best) for mark in accuracy.marks} == {
        "cyclegan": (105.0, 41.0, True), "drit *": (300.0, 70.0, True), "munit": (205.0, 30.0, False),
    }  # fmt: skip
    assert {mark.point.name for mark in fid.marks if mark.best} == {"cyclegan", "munit"}
    rows = {row[0].text: row for row in found.table.rows()}
    assert rows["drit"][0].marks == ("*",)
    assert [cell.value or cell.text for cell in rows["munit"]] == ["munit", "none", 205.0, 30.0, "no", 40.0, "yes"]
    assert rows["cyclegan"][3].deviation == pytest.approx(2**0.5)


def test_checkpoints_that_were_not_trained_here_have_no_cost(tmp_path: Path) -> None:
    add(tmp_path, spec(weights="0123456789ab"), records(40.0))
    (setting,) = collect_for_page(tmp_path)
    assert tradeoff(setting, "ink->paint") is None
