"""Grids: the right pixels in the right places, of translations that are what their metrics say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from figure_toys import DIGITS, M2S, PER_CLASS, PICTURES, S2M, SIDE, add_translations, make_task_data, store

from bench.core.errors import BenchError
from bench.data.types import TaskData
from bench.reporting.figures.axes import DrawnAxes
from bench.reporting.figures.collect import FigureRequest
from bench.reporting.figures.figures import draw_figure
from bench.reporting.figures.grids import fitted_to_grid, grid_gap, grid_of_pairs, grid_of_styles, placed_in_grid
from bench.reporting.figures.page import drawing_page

S2R = "sketch->real"
STEP = SIDE + grid_gap(SIDE)
"""From one tile to the next."""


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskData]:
    yield from here(PICTURES, monkeypatch)


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskData]:
    yield from here(DIGITS, monkeypatch)


def here(task: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskData]:
    """The data that `load_data` gives."""
    data = make_task_data(task)
    monkeypatch.setattr("bench.data.load.load_data", lambda *asked: data)
    with drawing_page():
        yield data


def drawn(root: Path, name: str, **options: Any) -> DrawnAxes:
    task = DIGITS if name in ("5", "6", "7c") else PICTURES
    return draw_figure(FigureRequest(name, root, task, **options))[0]


def sheets(result: DrawnAxes) -> dict[str, np.ndarray]:
    """Title -> the pixels that are shown."""
    return {axes.get_title(loc="left"): np.asarray(axes.images[0].get_array()) for axes in result.figure.axes}


def tile(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    """uint8 (3, S, S): row 0 is the sources, the others are styles."""
    y = row * STEP + (2 * grid_gap(SIDE) if row else 0)
    x = column * STEP
    return sheet[y : y + SIDE, x : x + SIDE].transpose(2, 0, 1)


def source_rows(data: TaskData, label: int, domain: int = 0) -> np.ndarray:
    return np.flatnonzero(data.splits[domain, "test"].labels == label)


def test_a_style_sheet_has_sources_on_top_and_a_row_per_style() -> None:
    rng = np.random.default_rng(0)
    sources = rng.integers(0, 255, (4, 3, 32, 32), dtype=np.uint8)
    made = rng.integers(0, 255, (4, 2, 3, 32, 32), dtype=np.uint8)
    sheet = grid_of_styles(sources, made)
    assert sheet.shape == (32 + 6 + 32 + 2 + 32, 4 * 32 + 3 * 2, 3)
    np.testing.assert_array_equal(sheet[:32, 34:66], sources[1].transpose(1, 2, 0))
    np.testing.assert_array_equal(sheet[38:70, 102:134], made[3, 0].transpose(1, 2, 0))
    np.testing.assert_array_equal(sheet[72:104, :32], made[0, 1].transpose(1, 2, 0))
    assert (sheet[32:38] == 255).all()
    assert (sheet[:, 32:34] == 255).all()


def test_a_pair_sheet_alternates_sources_and_translations() -> None:
    rng = np.random.default_rng(0)
    sources, made = rng.integers(0, 255, (2, 7, 3, 16, 16), dtype=np.uint8)
    sheet = grid_of_pairs(sources, made)
    pair = 2 * 16 + 1 + 3
    assert sheet.shape == (2 * 16 + 1, 5 * pair - 3, 3)
    np.testing.assert_array_equal(sheet[:16, pair : pair + 16], sources[1].transpose(1, 2, 0))
    np.testing.assert_array_equal(sheet[:16, 4 * pair + 17 : 4 * pair + 33], made[4].transpose(1, 2, 0))
    np.testing.assert_array_equal(sheet[17:, pair + 17 : pair + 33], made[6].transpose(1, 2, 0))
    assert (sheet[17:, 2 * pair :] == 255).all()


def test_the_papers_picks_are_fitted_to_how_many_images_there_are() -> None:
    assert fitted_to_grid((0, 1, 5, 6, 7), 8) == [0, 1, 5, 6, 7]
    assert fitted_to_grid((0, 1, 5, 6, 7), 7) == [0, 1, 2, 3, 4]
    assert fitted_to_grid((0, 1, 5, 6, 7), 3) == [0, 1, 2]
    assert fitted_to_grid((5,), 2) == [0]


def test_blocks_fill_rows_and_a_direction_begins_one() -> None:
    assert placed_in_grid([False] * 4, 3) == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert placed_in_grid([False, False, True, False], 3) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert placed_in_grid([False, True, False], 1) == [(0, 0), (1, 0), (2, 0)]


def test_figure_4_shows_the_same_sources_and_style_k_in_row_k(tmp_path: Path, pictures: TaskData) -> None:
    made = {
        "DRIT": add_translations(store(tmp_path, PICTURES, "drit", 3), pictures)[S2R],
        "CatS-UDT": add_translations(store(tmp_path, PICTURES, "cats_udt", 0), pictures)[S2R],
        "CycleGAN": add_translations(store(tmp_path, PICTURES, "cyclegan", 0), pictures, 1, "none")[S2R],
        "EGSC-IT*": add_translations(
            store(tmp_path, PICTURES, "egsc_it", 0, supervision="weak"), pictures, 5, "exemplar"
        )[S2R],
    }
    add_translations(store(tmp_path, PICTURES, "cats_udt", 1), pictures)  # a higher seed is not shown
    result = drawn(tmp_path, "4")
    found = sheets(result)
    assert list(found) == ["CycleGAN", "DRIT", "EGSC-IT*", "CatS-UDT"]
    for title, sheet in found.items():
        for column, position in enumerate((0, 0, 1, 5, 0)):  # as in the paper
            row = source_rows(pictures, column)[position]
            np.testing.assert_array_equal(tile(sheet, 0, column), pictures.splits[0, "test"].images[row])
            for k in range(5):
                expected = made[title][row, 0 if title == "CycleGAN" else k]
                np.testing.assert_array_equal(tile(sheet, 1 + k, column), expected)
    told = "\n".join(result.caption)
    assert "bird 1, dog 1, flower 2, speedboat 6, tiger 1." in told
    assert "Seed of the training: CycleGAN 0, DRIT 3, EGSC-IT* 0, CatS-UDT 0 (the lowest that is stored)." in told
    assert "EGSC-IT*: style k is an exemplar" in told
    assert "CycleGAN: deterministic" in told
    assert result.missing == ["StarGAN-v2: not run"]


def test_figure_5_has_pairs_of_the_first_images_of_each_class_both_ways(tmp_path: Path, digits: TaskData) -> None:
    made = add_translations(store(tmp_path, DIGITS, "cats_udt"), digits)
    result = drawn(tmp_path, "5")
    found = sheets(result)
    assert list(found) == ["CatS-UDT, mnist → svhn", "CatS-UDT, svhn → mnist"]
    pair = 2 * SIDE + grid_gap(SIDE) + 3 * grid_gap(SIDE)
    for domain, direction in ((0, M2S), (1, S2M)):
        sheet = found[f"CatS-UDT, {direction.replace('->', ' → ')}"]
        assert sheet.shape[0] == 6 * STEP - grid_gap(SIDE)
        for number, label in ((0, 0), (9, 9), (13, 3), (27, 7)):
            row = source_rows(digits, label, domain)[number // 10]
            y, x = (number // 5) * STEP, (number % 5) * pair
            source, translation = sheet[y : y + SIDE, x : x + SIDE], sheet[y : y + SIDE, x + STEP : x + STEP + SIDE]
            np.testing.assert_array_equal(source.transpose(2, 0, 1), digits.splits[domain, "test"].images[row])
            np.testing.assert_array_equal(translation.transpose(2, 0, 1), made[direction][row, 0])


def test_figure_7c_is_the_other_direction_at_lambda_10(tmp_path: Path, digits: TaskData) -> None:
    add_translations(store(tmp_path, DIGITS, "cats_udt"), digits)
    made = add_translations(store(tmp_path, DIGITS, "cats_udt", over={"lambda_sem": 10.0}), digits)[S2M]
    (sheet,) = sheets(drawn(tmp_path, "7c")).values()
    row = source_rows(digits, 4, 1)[0]
    np.testing.assert_array_equal(tile(sheet, 0, 4), digits.splits[1, "test"].images[row])
    np.testing.assert_array_equal(tile(sheet, 3, 4), made[row, 2])


def test_figure_11_takes_the_cyclegan_with_a_map_of_4(tmp_path: Path, pictures: TaskData) -> None:
    add_translations(store(tmp_path, PICTURES, "cyclegan", over={"downsamplings": 3}), pictures, 1, "none")
    made = add_translations(store(tmp_path, PICTURES, "cyclegan", over={"downsamplings": 2}), pictures, 1, "none")[S2R]
    result = drawn(tmp_path, "11")  # 16 px: two halvings
    np.testing.assert_array_equal(tile(sheets(result)["CycleGAN"], 1, 0), made[source_rows(pictures, 0)[0], 0])
    assert result.missing == ["CatS-UDT: not run"]


def test_figure_12_is_one_block_per_class_with_the_papers_picks(tmp_path: Path, pictures: TaskData) -> None:
    made = add_translations(store(tmp_path, PICTURES, "cats_udt"), pictures)[S2R]
    result = drawn(tmp_path, "12")
    found = sheets(result)
    assert list(found) == list(pictures.classes)
    assert PER_CLASS > 8  # so that the picks of the flowers are there
    for column, position in enumerate((1, 5, 6, 7, 8)):
        row = source_rows(pictures, 2)[position]
        np.testing.assert_array_equal(tile(found["flower"], 0, column), pictures.splits[0, "test"].images[row])
        np.testing.assert_array_equal(tile(found["flower"], 5, column), made[row, 4])
    assert "flower 2, 6, 7, 8, 9" in "\n".join(result.caption)


def test_translations_that_are_not_what_was_scored_are_not_shown(tmp_path: Path, pictures: TaskData) -> None:
    first = store(tmp_path, PICTURES, "cats_udt", 0)
    add_translations(first, pictures)
    path = first.translations(S2R, "noise")
    np.save(path, np.load(path) ^ 1)
    with pytest.raises(BenchError, match=r"no translations that its metrics .*evaluate --task sketch2real"):
        drawn(tmp_path, "12")
    made = add_translations(store(tmp_path, PICTURES, "cats_udt", 1), pictures)[S2R]
    result = drawn(tmp_path, "12")
    np.testing.assert_array_equal(tile(sheets(result)["bird"], 1, 0), made[source_rows(pictures, 0)[0], 0])
    assert "Seed of the training: 1" in "\n".join(result.caption)


def test_unfinished_cells_are_named_and_cells_of_other_data_refused(tmp_path: Path, pictures: TaskData) -> None:
    store(tmp_path, PICTURES, "cats_udt", state="running")
    with pytest.raises(BenchError, match="CatS-UDT: interrupted"):
        drawn(tmp_path, "12")
    cell = store(tmp_path / "other", PICTURES, "cats_udt", data_version="v0")
    add_translations(cell, replace(pictures, version="v0"))
    with pytest.raises(BenchError, match=r"the cells are of data v0, and what is here .* is v1"):
        drawn(tmp_path / "other", "12")
