"""The other drawn classes: none is a task's; an item depends on its own seed alone; splits share nothing."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from bench.core.randomness import derived_seed
from bench.data.drawn.datasets import _item_seed
from bench.data.drawn.letters import LETTERS, SKELETONS
from bench.data.drawn.objects import OBJECTS
from bench.data.drawn.pictures import DETAIL
from bench.data.drawn.unseen_classes import OTHER_CLASSES, PALETTES, PLACES, draw_unseen_class, draw_unseen_classes
from bench.data.types import SPLITS
from bench.spec.tasks import TASKS

PACS = {"dog", "elephant", "giraffe", "guitar", "horse", "house", "person"}
ONE_OBJECT, ONE_LETTER = OTHER_CLASSES.index("snail"), OTHER_CLASSES.index("letter K")


def test_no_class_is_a_tasks() -> None:
    tasks = PACS | {name for task in TASKS.values() for name in task.classes}
    assert {"bird", "7"} < tasks
    assert not tasks & {name.removeprefix("letter ") for name in OTHER_CLASSES}
    assert len(set(OTHER_CLASSES)) == len(OTHER_CLASSES) == 22
    assert not set(LETTERS) & set("OQDCISBZGlJL")  # those look like a digit, turned a little or written in haste


def test_an_item_does_not_depend_on_what_is_drawn_with_it() -> None:
    among = draw_unseen_classes("train", 2)
    again = draw_unseen_classes("train", 1)
    assert among.labels.tolist() == [label for label in range(22) for _ in range(2)]
    assert among.images.shape == (44, 3, 32, 32)
    assert among.images.dtype == np.uint8
    assert np.array_equal(again.images, among.images[::2])
    alone = draw_unseen_class(ONE_OBJECT, 1, "train", 1)
    assert np.array_equal(alone.transpose(2, 0, 1), among.images[2 * ONE_OBJECT + 1])


def test_no_item_is_in_both_splits_or_twice() -> None:
    items = [image for split in SPLITS for image in draw_unseen_classes(split, 4).images]
    assert len({hashlib.sha256(image.tobytes()).digest() for image in items}) == len(items) == 2 * 4 * 22


@pytest.mark.parametrize("label", [ONE_LETTER, ONE_OBJECT])
def test_one_style_is_grey_and_the_other_coloured(label: int) -> None:
    grey, coloured = (
        [np.ptp(draw_unseen_class(label, style, "train", index).astype(int), axis=2) for index in range(12)]
        for style in (0, 1)
    )
    assert np.max(grey) <= 12
    assert np.mean(coloured) > 12


def test_every_item_has_a_seed_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its class, style, split and index; and none of the tasks' seeds."""
    seeds: list[int] = []

    def recorded(*parts: int | str) -> int:
        seeds.append(derived_seed(*parts))
        return seeds[-1]

    monkeypatch.setattr("bench.data.drawn.unseen_classes.derived_seed", recorded)
    for label in range(22):
        for split in SPLITS:
            for style, index in ((0, 0), (0, 1), (1, 0), (1, 1)):
                draw_unseen_class(label, style, split, index)
    assert len(set(seeds)) == len(seeds) == 22 * 2 * 4
    assert not set(seeds) & {_item_seed("real", "bird", split, index) for split in SPLITS for index in range(50)}


def test_hand_written_letters_are_white_on_black() -> None:
    for label in range(len(LETTERS)):
        pixels = draw_unseen_class(label, 0, "test", 0)
        assert pixels[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 40
        assert pixels.max() > 150
        assert 0.04 < (pixels > 128).mean() < 0.45


def test_skeletons_stay_in_their_box() -> None:
    for strokes in SKELETONS.values():
        points = np.concatenate([np.array(stroke) for stroke in strokes])
        assert points.min() >= 0
        assert points.max() <= 1
        assert np.ptp(points[:, 1]) == 1  # as high as a numeral


@pytest.mark.parametrize("name", OBJECTS)
def test_every_part_of_an_object_has_its_colour_and_a_place(name: str) -> None:
    figures = [OBJECTS[name](np.random.default_rng(seed)) for seed in range(20)]
    used = {part.role for figure in figures for part in figure.parts}
    assert used - DETAIL.keys() == PALETTES[name].keys()  # no colour is missing, and none is for nothing
    assert PLACES[name]
    for figure in figures:
        points = np.concatenate([line for part in figure.parts for line in part.outlines])
        assert np.isfinite(points).all()
        assert np.abs(points).max() < 1.6


def test_every_item_is_told_of() -> None:
    told: list[int] = []
    draw_unseen_classes("test", 1, told.append)
    assert sum(told) == 22
