"""Bars and curves: what is drawn is what was stored, read back from the axes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from figure_toys import DIGITS, M2S, S2M, accuracies, distances, store

from bench.core.errors import BenchError
from bench.reporting.figures.axes import DrawnAxes
from bench.reporting.figures.collect import FigureRequest
from bench.reporting.figures.figures import draw_figure, make_figure
from bench.reporting.figures.page import TWO, drawing_page
from bench.reporting.figures.values import PublishedValue
from metrics.statistics.bounded import Range, wilson_interval
from metrics.statistics.intervals import seed_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

T_95 = {2: 12.706205}
"""Quantile 0.975 of Student's t with 1 degree of freedom, from a table."""
PERCENT = Range(0, 100, share=True)


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    with drawing_page():
        yield


def drawn(root: Path, name: str = "3a", published: Any = None, **options: Any) -> DrawnAxes:
    return draw_figure(FigureRequest(name, root, DIGITS, **options), published)[0]


def bars(axes: Axes) -> dict[tuple[int, str], tuple[float, float]]:
    """(group, colour) -> (height, x of the middle)."""
    from matplotlib.colors import to_hex

    return {
        (round(bar.get_x() + bar.get_width() / 2), to_hex(bar.get_facecolor()).upper()): (
            bar.get_height(),
            bar.get_x() + bar.get_width() / 2,
        )
        for bar in axes.patches
    }


def interval_at(axes: Axes, x: float) -> tuple[float, float] | None:
    """Ends of the line that stands at `x`."""
    found = [line for line in axes.lines if len(line.get_xdata()) == 2 and np.allclose(line.get_xdata(), x)]
    return tuple(found[0].get_ydata()) if found else None


def dots_near(axes: Axes, x: float) -> list[float]:
    lines = [line for line in axes.lines if line.get_marker() == "o" and np.isclose(np.mean(line.get_xdata()), x)]
    return [float(y) for line in lines for y in line.get_ydata()]


def texts(result: DrawnAxes) -> str:
    axes = [text.get_text() for one in result.figure.axes for text in one.texts]
    return "\n".join([text.get_text() for text in result.figure.texts] + axes)


def fill_3a(root: Path) -> None:
    for seed, (first, second) in enumerate(((80.0, 60.0), (83.0, 66.0), (80.0, 63.0))):
        store(root, DIGITS, "cats_udt", seed, accuracies({M2S: first, S2M: second}, deviation=9.0))
    store(root, DIGITS, "cats_udt:no_sem", 0, accuracies({M2S: 20.0, S2M: 12.0}, deviation=1.5))
    store(root, DIGITS, "cats_udt:no_sty", 0, accuracies({M2S: 70.0, S2M: 50.0}))
    for seed, value in ((0, 40.0), (2, 44.0)):
        store(root, DIGITS, "cats_udt:no_cyc", seed, accuracies({M2S: value, S2M: value}))
    store(root, DIGITS, "cats_udt:no_cyc", 1, state="failed")


def test_bars_are_means_with_the_interval_that_there_is_and_every_seed(tmp_path: Path) -> None:
    fill_3a(tmp_path)
    result = drawn(tmp_path)
    (axes,) = result.figure.axes
    found = bars(axes)
    assert {group for group, _ in found} == {0, 1, 2, 3}
    height, x = found[0, TWO[0]]
    assert height == pytest.approx(81.0)
    over = seed_interval([80.0, 83.0, 80.0], within=PERCENT)  # seeds; those of 500 images are inside
    assert interval_at(axes, x) == pytest.approx((over.low, over.high), abs=1e-4)
    assert dots_near(axes, x) == [80.0, 83.0, 80.0]
    height, x = found[0, TWO[1]]
    assert height == pytest.approx(63.0)
    height, x = found[1, TWO[0]]  # one seed: over images
    assert height == 20.0
    assert interval_at(axes, x) == pytest.approx([100 * end for end in wilson_interval(0.2, 500)])
    _, x = found[2, TWO[0]]  # one seed, no deviation known
    assert interval_at(axes, x) is None
    height, x = found[3, TWO[1]]
    assert height == pytest.approx(42.0)
    over = seed_interval([40.0, 44.0], within=PERCENT)
    assert interval_at(axes, x) == pytest.approx((over.low, over.high), abs=1e-3)
    assert axes.get_ylim() == (0.0, 100.0)
    assert axes.get_ylabel() == "translation accuracy, % ↑\n(accuracy-judge-v1)"
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[0] == "full"
    assert labels[1] == r"$λ_{\mathrm{sem}}$ = 0"


def test_n_seeds_failures_and_what_is_missing_stand_in_the_picture(tmp_path: Path) -> None:
    fill_3a(tmp_path)
    result = drawn(tmp_path)
    told = " ".join(texts(result).split())
    assert "drawn data, preset quick, 16 px: not comparable with the paper" in told
    assert "mnist → svhn, accuracy-judge-v1: n = 500; the judge on real images: 97.0" in told
    assert "seeds k/n: full: 3/3, λ_sem = 0: 1/1, λ_sty = 0: 1/1, λ_cyc = 0: 2/3." in told
    assert "λ_cyc = 0, seed 1: failed: loss is not finite" in told
    assert "Intervals that leave the frame are cut: " not in told
    assert "Missing: λ_SD = 0: not run. To make it: python -m bench sweep figure3a" in told
    assert result.missing == ["λ_SD = 0: not run"]
    assert [text.get_text() for text in result.figure.axes[0].texts].count("not run") == 2


def test_levels_of_real_images_are_lines(tmp_path: Path) -> None:
    fill_3a(tmp_path)
    (axes,) = drawn(tmp_path).figure.axes
    assert [line.get_ydata()[0] for line in axes.lines if line.get_label() == "_level"] == [97.0, 97.0]
    store(tmp_path / "7a", DIGITS, "cats_udt", 0, distances({M2S: 20.0, S2M: 8.0}))
    (axes,) = drawn(tmp_path / "7a", "7a").figure.axes
    assert [line.get_ydata()[0] for line in axes.lines if line.get_label() == "_level"] == [3.0, 3.0]


def test_an_interval_that_leaves_the_frame_is_cut_and_named(tmp_path: Path) -> None:
    for seed, value in enumerate((10.0, 20.0)):
        store(tmp_path, DIGITS, "cats_udt", seed, distances({M2S: value}))
    result = drawn(tmp_path, "7a")
    low, high = result.figure.axes[0].get_ylim()
    assert low == 0
    assert 20 < high < 15 + T_95[2] * 5
    assert "Intervals that leave the frame are cut: full." in texts(result)


def test_one_protocol_for_all_the_one_with_most_values(tmp_path: Path) -> None:
    inception = {"protocol": "fid-inception-v1", "encoder": "i" * 12}
    both = [*distances({M2S: 20.0}), *distances({M2S: 50.0}, **inception)]
    store(tmp_path, DIGITS, "cats_udt", 0, both)
    store(tmp_path, DIGITS, "cats_udt:no_sem", 0, both)
    (axes,) = drawn(tmp_path, "7a").figure.axes
    assert sorted(height for height, _ in bars(axes).values()) == [50.0, 50.0]  # nearer to the paper's
    assert "fid-inception-v1" in axes.get_ylabel()
    store(tmp_path, DIGITS, "cats_udt:no_cyc", 0, distances({M2S: 30.0}))
    (axes,) = drawn(tmp_path, "7a").figure.axes
    assert sorted(height for height, _ in bars(axes).values()) == [20.0, 20.0, 30.0]
    assert "fid-judge-v1" in axes.get_ylabel()


def test_values_of_two_judges_are_refused(tmp_path: Path) -> None:
    store(tmp_path, DIGITS, "cats_udt", 0, accuracies({M2S: 80.0}))
    store(tmp_path, DIGITS, "cats_udt:no_sem", 0, accuracies({M2S: 20.0}, encoder="z" * 12))
    with pytest.raises(BenchError, match="zzzzzzzzzzzz must not share"):
        drawn(tmp_path)


def test_unequal_n_is_said(tmp_path: Path) -> None:
    store(tmp_path, DIGITS, "cats_udt", 0, accuracies({M2S: 80.0}))
    store(tmp_path, DIGITS, "cats_udt:no_sem", 0, accuracies({M2S: 20.0}, n=100))
    told = " ".join(texts(drawn(tmp_path)).split())
    assert "unequal n, so not comparable with each other: full: n = 500, λ_sem = 0: n = 100" in told


def test_trained_but_not_measured_is_an_error_or_a_reason(tmp_path: Path) -> None:
    needs = accuracies({M2S: None}, missing="needs: bench fetch x", encoder="")  # type: ignore[dict-item]
    store(tmp_path, DIGITS, "cats_udt", 0, needs)
    with pytest.raises(BenchError, match="needs: bench fetch x"):
        drawn(tmp_path)
    store(tmp_path, DIGITS, "cats_udt:no_sem", 0, accuracies({M2S: 20.0}))
    assert "full, mnist → svhn, translation accuracy: needs: bench fetch x" in drawn(tmp_path).missing


def test_published_values_are_drawn_in_the_papers_setting_alone(tmp_path: Path) -> None:
    def paper(method: str, direction: str, metric: str) -> float | None:
        return {("cats_udt", M2S, "accuracy"): 95.63, ("cats_udt", M2S, "fid"): 39.72}.get((method, direction, metric))

    def diamonds(root: Path, name: str, **options: Any) -> list[float]:
        (axes,) = drawn(root, name, paper, **options).figure.axes
        return [float(line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "D"]

    records = [*accuracies({M2S: 80.0}), *distances({M2S: 20.0}, protocol="fid-pytorch-paper-test-v1")]
    store(tmp_path, DIGITS, "cats_udt", 0, records)
    assert diamonds(tmp_path, "3a") == []
    like_paper = {"preset": "paper", "data_kind": "real", "image_size": 32}
    store(tmp_path / "p", DIGITS, "cats_udt", 0, records, **like_paper)
    assert diamonds(tmp_path / "p", "3a", preset="paper") == [95.63]
    assert diamonds(tmp_path / "p", "7a", preset="paper") == [39.72]
    (axes,) = drawn(tmp_path / "p", "7a", paper, preset="paper").figure.axes
    assert axes.get_ylim()[1] > 39.72
    store(tmp_path / "q", DIGITS, "cats_udt", 0, distances({M2S: 20.0}), **like_paper)  # by another protocol
    assert diamonds(tmp_path / "q", "7a", preset="paper") == []


def test_the_command_draws_what_the_papers_tables_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[PublishedValue] = []

    def stop(request: FigureRequest, published: PublishedValue) -> None:
        given.append(published)
        raise InterruptedError

    monkeypatch.setattr("bench.reporting.figures.figures.draw_figure", stop)
    with pytest.raises(InterruptedError):
        make_figure("3a", tmp_path)
    (printed,) = given
    assert (printed("cats_udt", M2S, "accuracy"), printed("cats_udt", S2M, "fid")) == (95.63, 6.60)
    assert printed("cats_udt:no_cyc", "sketch->real", "fid") == 67.88
    assert printed("cats_udt", "sketch->real", "fid") == 58.69
    assert printed("cats_udt:no_cyc", M2S, "accuracy") is None  # in a bar chart alone
    assert printed("cats_udt", "mnist->usps", "accuracy") is None


def test_two_quantities_are_two_panels(tmp_path: Path) -> None:
    for method, accuracy, fid in (("cats_udt", 80.0, 20.0), ("cats_udt:not_adapted", 30.0, 45.0)):
        store(tmp_path, DIGITS, method, 0, [*accuracies({S2M: accuracy}), *distances({M2S: fid, S2M: fid / 2})])
    first, second = drawn(tmp_path, "8c").figure.axes
    assert [height for height, _ in bars(first).values()] == [30.0, 80.0]
    assert sorted(height for height, _ in bars(second).values()) == [10.0, 20.0, 22.5, 45.0]


def test_curves_go_through_the_means_inside_their_bands(tmp_path: Path) -> None:
    store(tmp_path, DIGITS, "cats_udt:no_sem", 0, accuracies({M2S: 15.0, S2M: 12.0}, deviation=2.0))
    for seed, value in enumerate((80.0, 83.0, 80.0)):
        store(tmp_path, DIGITS, "cats_udt", seed, accuracies({M2S: value, S2M: 60.0}, deviation=2.0))
    store(tmp_path, DIGITS, "cats_udt", 0, accuracies({M2S: 70.0, S2M: 20.0}), over={"lambda_sem": 10.0})
    result = drawn(tmp_path, "3c")
    (axes,) = result.figure.axes
    curves = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(curves["mnist → svhn"].get_xdata(), [0.0, 1.0, 10.0])
    np.testing.assert_allclose(curves["mnist → svhn"].get_ydata(), [15.0, 81.0, 70.0])
    np.testing.assert_allclose(curves["svhn → mnist"].get_ydata(), [12.0, 60.0, 20.0])
    band = axes.collections[0].get_paths()[0].vertices
    at_0, at_1 = (sorted(set(np.round(band[band[:, 0] == x][:, 1], 3))) for x in (0.0, 1.0))
    over = seed_interval([80.0, 83.0, 80.0], within=PERCENT)
    assert at_0 == pytest.approx([100 * end for end in wilson_interval(0.15, 500)], abs=1e-3)
    assert at_1 == pytest.approx([over.low, over.high], abs=1e-3)
    seeds = next(line for line in axes.lines if line.get_marker() == ".")
    assert sorted(zip(seeds.get_xdata(), seeds.get_ydata(), strict=True)) == [
        (0.0, 15.0), (1.0, 80.0), (1.0, 80.0), (1.0, 83.0), (10.0, 70.0),
    ]  # fmt: skip
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.1", "0.5", "1", "2", "5", "10"]
    assert result.missing == ["λ_sem = 0.1, λ_sem = 0.5, λ_sem = 2, λ_sem = 5: not run"]
