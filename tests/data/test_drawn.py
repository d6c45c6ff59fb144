"""The embedded data: the same on every call, in any order and process; disjoint splits; a class decides its style."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.drawn.datasets import DrawnDigits, DrawnPictures, _item_seed, original_digit_rows
from bench.data.drawn.digits import FACES, digit_handwriting, draw_house_digit, handwritten_digit
from bench.data.drawn.pictures import DETAIL, FIGURES, PICTURE_CLASSES, draw_picture
from bench.data.drawn.scenes import STYLES
from bench.data.drawn.shapes import SIDE, draw_shape_pose, posed_shape, smooth
from bench.data.types import SPLITS, Item, Source
from bench.spec.tasks import get_task

DIGEST_PROGRAM = """
import hashlib
from bench.data.drawn.datasets import DrawnDigits, DrawnPictures
digest = hashlib.sha256()
for source in (DrawnPictures("sketch", 1, 1), DrawnPictures("real", 1, 1), DrawnDigits("mnist", 1, 1),
               DrawnDigits("svhn", 1, 1)):
    for item in source.items():
        digest.update(item.pixels.tobytes())
print(digest.hexdigest())
"""


def sources(train: int = 2, test: int = 1) -> list[Source]:
    """Small instances of all four domains."""
    return [
        DrawnPictures("sketch", train, test),
        DrawnPictures("real", train, test),
        DrawnDigits("mnist", train, test),
        DrawnDigits("svhn", train, test),
    ]


@pytest.fixture(scope="module")
def pictures() -> dict[str, list[Item]]:
    """Both picture domains with 12 training and 4 test images of each class."""
    return {domain: list(DrawnPictures(domain, 12, 4).items()) for domain in ("sketch", "real")}


def small(items: list[Item], side: int) -> np.ndarray:
    """Images reduced to `side`, float64 (N, side, side, 3) in [0, 255]."""
    reduced = [Image.fromarray(item.pixels).resize((side, side), Image.Resampling.BOX) for item in items]
    return np.stack([np.asarray(image, np.float64) for image in reduced])


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.domain)
def test_counts_labels_shapes_and_names(source: Source) -> None:
    items = list(source.items())
    side = 256 if source.domain in ("sketch", "real") else 32
    assert len(items) == source.count() == 3 * len(source.classes)
    assert len({item.name for item in items}) == len(items)
    for split, expected in (("train", 2), ("test", 1)):
        labels = [item.label for item in items if item.split == split]
        assert np.bincount(labels).tolist() == [expected] * len(source.classes)
    for item in items:
        assert item.pixels.shape == (side, side, 3)
        assert item.pixels.dtype == np.uint8
        assert item.pixels.max() > item.pixels.min()


def test_classes_and_domains_are_those_of_the_tasks() -> None:
    for name in ("sketch2real", "mnist2svhn"):
        task = get_task(name)
        drawn = [source for source in sources() if source.domain in task.domains]
        assert tuple(source.domain for source in drawn) == task.domains
        assert all(tuple(source.classes) == task.classes for source in drawn)


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.domain)
def test_an_item_does_not_depend_on_what_is_drawn_with_it(source: Source) -> None:
    alone = {item.name: item.pixels for item in source.items()}
    more = sources(train=3, test=2)[["sketch", "real", "mnist", "svhn"].index(source.domain)]
    among = {item.name: item.pixels for item in more.items()}
    assert all(np.array_equal(pixels, among[name]) for name, pixels in alone.items())


def test_the_same_in_another_process() -> None:
    here = hashlib.sha256()
    for source in sources(1, 1):
        for item in source.items():
            here.update(item.pixels.tobytes())
    root = Path(__file__).resolve().parents[2]
    there = subprocess.run([sys.executable, "-c", DIGEST_PROGRAM], cwd=root, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here.hexdigest()


def test_no_image_is_in_both_splits_or_twice(pictures: dict[str, list[Item]]) -> None:
    digits = list(DrawnDigits("mnist", 132, 40).items()) + list(DrawnDigits("svhn", 4, 4).items())
    for items in (*pictures.values(), digits):
        hashes = [hashlib.sha256(item.pixels.tobytes()).hexdigest() for item in items]
        assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize("label", range(10))
def test_no_handwritten_original_is_in_both_splits(label: int) -> None:
    train, test = original_digit_rows(label, "train"), original_digit_rows(label, "test")
    assert len(train) == 130
    assert len(test) == 40
    assert not set(train) & set(test)
    assert set(digit_handwriting()[1][np.concatenate([train, test])]) == {label}


def test_handwriting_is_enlarged_where_it_stood() -> None:
    image = np.zeros((8, 8), np.uint8)
    image[0:4, 0:4] = 16
    large = handwritten_digit(image, None)
    # 8x8 becomes the middle 24x24 of 32x32: the upper left quarter is rows and columns 4 to 15.
    assert large[6:14, 6:14].min() == 255
    assert large[18:].max() == 0
    assert large[:, 18:].max() == 0
    jittered = handwritten_digit(image, np.random.default_rng(0))
    assert not np.array_equal(large, jittered)
    assert abs(float(jittered.mean()) / float(large.mean()) - 1) < 0.25


def test_mnist_items_repeat_the_originals_with_jitter_only_when_they_run_out() -> None:
    items = list(islice(DrawnDigits("mnist", 131, 1).items(), 131))
    first = digit_handwriting()[0][original_digit_rows(0, "train")[0]]
    assert np.array_equal(items[0].pixels, handwritten_digit(first, None))
    assert not np.array_equal(items[130].pixels, items[0].pixels)
    # Still the same digit: most of its ink lies where the original's does.
    original, repeated = items[0].pixels.astype(float), items[130].pixels.astype(float)
    assert (original * repeated).sum() > 0.5 * (original**2).sum()


def test_sketches_are_ink_on_paper(pictures: dict[str, list[Item]]) -> None:
    for item in pictures["sketch"]:
        values = item.pixels.astype(int)
        assert np.ptp(values, axis=2).max() <= 12  # nearly grey
        assert np.median(values) > 215  # mostly paper
        assert 0.005 < (values.mean(axis=2) < 150).mean() < 0.4  # with ink on it


def test_the_class_decides_the_style_of_the_real_domain(pictures: dict[str, list[Item]]) -> None:
    def accuracy(items: list[Item]) -> float:
        """Of the nearest centroid over 8x8 colour images: a classifier that sees colours and their rough place."""
        features = small(items, 8).reshape(len(items), -1)
        labels = np.array([item.label for item in items])
        train = np.array([item.split == "train" for item in items])
        centroids = np.stack([features[train & (labels == label)].mean(axis=0) for label in range(5)])
        distances = ((features[~train][:, None] - centroids[None]) ** 2).sum(axis=2)
        return float((distances.argmin(axis=1) == labels[~train]).mean())

    # Chance is 0.2. Above it by far, and not trivial: hues, light and surroundings vary within a class.
    assert accuracy(pictures["real"]) >= 0.5


def test_the_real_domain_has_colours_and_varies_within_a_class(pictures: dict[str, list[Item]]) -> None:
    means = small(pictures["real"], 1)[:, 0, 0]
    labels = np.array([item.label for item in pictures["real"]])
    spread = [float(np.ptp(row.reshape(-1, 3), axis=1).mean()) for row in small(pictures["real"], 16)]
    assert np.mean(spread) > 25
    for label in range(5):
        assert means[labels == label].std(axis=0).mean() > 5
    # A tiger's surroundings and coat are warm or green, the sea is blue: red minus blue tells them apart.
    warmth = means[:, 0] - means[:, 2]
    assert warmth[labels == 4].min() > warmth[labels == 3].max()


def test_a_seed_decides_the_pose_in_both_domains() -> None:
    for label in range(5):
        sketch, real = draw_picture("sketch", label, 7), draw_picture("real", label, 7)
        assert sketch.pose == real.pose
        assert sketch.label == label
        assert draw_picture("sketch", label, 8).pose != sketch.pose


def test_the_domains_do_not_share_draws() -> None:
    def seeds(domain: str) -> set[int]:
        return {
            _item_seed(domain, name, split, index)
            for name in PICTURE_CLASSES
            for split in SPLITS
            for index in range(50)
        }

    assert len(seeds("sketch")) == len(seeds("real")) == 500
    assert not seeds("sketch") & seeds("real")
    # Those seeds are what `items` draws from.
    first = next(iter(DrawnPictures("real", 1, 1).items()))
    expected = draw_picture("real", 0, _item_seed("real", "bird", "train", 0))
    assert np.array_equal(first.pixels, expected.pixels)


@pytest.mark.parametrize("label", range(5), ids=PICTURE_CLASSES)
def test_the_pose_says_where_the_object_is(label: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        figure = FIGURES[label](rng)
        pose = draw_shape_pose(rng, figure, (0.76, 0.97), 8.0)
        parts = [part for part in posed_shape(figure, pose).parts if not part.scenery]
        points = np.concatenate([line for part in parts for line in part.outlines])
        assert points.min() >= 0
        assert points.max() <= SIDE
        assert 0.7 * SIDE < np.ptp(points, axis=0).max() < SIDE
        # The ink of the sketch lies where the pose says.
        pixels = draw_picture("sketch", label, seed).pixels.mean(axis=2)
        x, y = points.min(axis=0).astype(int)
        right, bottom = np.ceil(points.max(axis=0)).astype(int)
        assert pixels[y:bottom, x:right].min() < 150


@pytest.mark.parametrize("label", range(5), ids=PICTURE_CLASSES)
def test_every_view_of_a_class_is_drawn_and_has_its_colours(label: int) -> None:
    views = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        figure = FIGURES[label](rng)
        views.add(figure.variant)
        palette = STYLES[label](rng, figure, draw_shape_pose(rng, figure, (0.76, 0.97), 8.0)).palette
        assert {part.role for part in figure.parts} <= palette.keys() | DETAIL.keys()
    assert len(views) >= 2


def test_flipping_a_pose_mirrors_the_figure() -> None:
    picture = draw_picture("real", 1, 3)
    points = np.array([(0.4, -0.3)])
    centre = np.array([picture.pose.x, picture.pose.y])
    offset = picture.pose.apply(points)[0] - centre
    length = picture.pose.scale * SIDE / 2
    assert np.hypot(*offset) == pytest.approx(length * 0.5)
    assert (offset[0] < 0) == picture.pose.flip


def test_splines_pass_through_their_points_and_keep_corners() -> None:
    points = [(0.0, 0.0), (1.0, 0.0), (1.0, 0.0), (1.0, 1.0)]
    line = smooth(points, closed=False, steps=6)
    assert all(np.abs(line - np.array(point)).sum(axis=1).min() < 1e-12 for point in points)
    assert line.max() <= 1.0 + 1e-12  # no loop at the corner
    assert line.min() >= -1e-12


def test_house_numbers_vary_and_know_their_truth() -> None:
    numbers = [draw_house_digit(seed % 10, seed) for seed in range(120)]
    assert {number.face for number in numbers} == set(FACES)
    assert {number.neighbours == (None, None) for number in numbers} == {True, False}
    colours = np.stack([number.pixels.mean(axis=(0, 1)) for number in numbers])
    assert colours.std(axis=0).min() > 20
    for number in numbers:
        middle = number.pixels[6:26, 8:24].astype(float).mean(axis=2)
        assert np.ptp(middle) > 20  # the digit stands out from its wall


def test_fingerprints_name_domain_and_counts() -> None:
    prints = [source.fingerprint() for source in (*sources(2, 1), *sources(3, 1), *sources(2, 2))]
    assert len(set(prints)) == len(prints)
    assert prints[:4] == [source.fingerprint() for source in sources(2, 1)]


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        DrawnPictures("real", 0, 5)
    with pytest.raises(ValueError, match="domain is"):
        DrawnDigits("usps")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="label is"):
        draw_picture("real", 5, 0)
    with pytest.raises(ValueError, match="label is"):
        draw_house_digit(10, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DrawnPictures("photo"), "domain is 'sketch' or 'real', not 'photo'"),
        (lambda: DrawnDigits("usps"), "domain is 'mnist' or 'svhn', not 'usps'"),
        (lambda: DrawnPictures("real", 0, 1), "at least one image of each class and split is needed, not 0 and 1"),
        (lambda: DrawnDigits("svhn", 1, 0), "at least one image of each class and split is needed, not 1 and 0"),
        (lambda: draw_picture("photo", 0, 0), "domain is 'sketch' or 'real', not 'photo'"),
        (lambda: draw_picture("real", 5, 0), "label is 0 to 4, not 5"),
        (lambda: draw_house_digit(10, 0), "label is 0 to 9, not 10"),
        (lambda: draw_house_digit(-1, 0), "label is 0 to 9, not -1"),
    ],
)
def test_what_cannot_be_drawn_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
