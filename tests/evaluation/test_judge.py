"""The judges: one per data version and domain, whatever the cell."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_judge import SETTINGS, make_data

from bench.core.device import Runtime
from bench.core.randomness import randomness
from bench.data.types import Split, TaskData
from bench.evaluation.judge import _flip_and_shift, _relevel, get_judge


@pytest.fixture
def runtime() -> Runtime:
    return Runtime("cpu", 8)


def test_it_learns_and_reports_its_own_test_accuracy(tmp_path: Path, runtime: Runtime) -> None:
    data = make_data()
    judge = get_judge(tmp_path, data, 1, SETTINGS, runtime)
    test = data.splits[1, "test"]
    right = judge.encoder.predict(test.images) == test.labels
    assert judge.accuracy == right.mean() > 0.9
    assert judge.per_class == {"dark": right[test.labels == 0].mean(), "bright": right[test.labels == 1].mean()}
    assert judge.test_images == 20


def test_it_is_trained_once_and_named_by_its_weights(tmp_path: Path, runtime: Runtime) -> None:
    first = get_judge(tmp_path / "a", make_data(), 0, SETTINGS, runtime)
    (record,) = (tmp_path / "a").rglob("judge.json")
    written = record.stat().st_mtime_ns
    again = get_judge(tmp_path / "a", make_data(), 0, SETTINGS, runtime)
    assert record.stat().st_mtime_ns == written
    torch.manual_seed(99)  # whatever happened before in the process: the same judge
    elsewhere = get_judge(tmp_path / "b", make_data(), 0, SETTINGS, runtime)
    assert first.encoder.identity == again.encoder.identity == elsewhere.encoder.identity
    assert json.loads(record.read_text())["identity"] == first.encoder.identity


def test_other_data_domain_or_settings_make_another_judge(tmp_path: Path, runtime: Runtime) -> None:
    data = make_data()
    judges = [
        get_judge(tmp_path, data, 0, SETTINGS, runtime),
        get_judge(tmp_path, data, 1, SETTINGS, runtime),
        get_judge(tmp_path, make_data(1), 0, SETTINGS, runtime),
        get_judge(tmp_path, data, 0, replace(SETTINGS, steps=29), runtime),
    ]
    assert len({judge.encoder.identity for judge in judges}) == 4


def test_training_leaves_the_global_generator_alone(tmp_path: Path, runtime: Runtime) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    get_judge(tmp_path, make_data(), 0, SETTINGS, runtime)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_augmentation_moves_by_an_eighth_at_most() -> None:
    x = torch.zeros(64, 1, 16, 16)
    x[:, :, 8, 8] = 1
    moved = _flip_and_shift(x, randomness("test")).nonzero()[:, 2:]
    offsets = {tuple(place) for place in moved.tolist()}
    assert len(offsets) > 20
    assert all(6 <= row <= 10 and 5 <= column <= 10 for row, column in offsets)


def test_levels_and_noise_are_each_images_own_and_within_the_tolerance() -> None:
    x = torch.tensor([0.0, 1.0]).repeat_interleave(128).reshape(1, 1, 16, 16).repeat(400, 3, 1, 1)
    shaken = _relevel(x, 0.4, randomness("test"))
    assert shaken.min() >= 0
    assert shaken.max() <= 1
    black, white = shaken[:, :, :8].mean(dim=(1, 2, 3)), shaken[:, :, 8:].mean(dim=(1, 2, 3))
    assert 0.17 < black.max() < 0.23
    assert 0.77 < white.min() < 0.83
    assert abs(float(torch.corrcoef(torch.stack([black, white]))[0, 1])) < 0.2
    # Noise of its own per pixel; looked at where the clamp does not reach.
    deviation = shaken[:, :, :8].std(dim=(1, 2, 3))[black > 0.15]
    assert deviation.min() < 0.02
    assert 0.08 < deviation.max() < 0.11


def bars(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """White bars on black, lying (0) or standing (1), 16 px: images and labels."""
    rng = np.random.default_rng(seed)
    labels, images = rng.permutation(np.arange(count) % 2), np.zeros((count, 3, 16, 16), np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = rng.integers(4, 10, 2)
        image[:, row : row + (8 if label else 2), column - 3 : column + (-1 if label else 5)] = 255
    return images, labels


def test_a_tolerant_judge_reads_pictures_whose_ground_is_not_quite_black(tmp_path: Path, runtime: Runtime) -> None:
    splits = {}
    for domain in (0, 1):
        for name, count in (("train", 256), ("test", 100)):
            images, labels = bars(count, seed=2 * domain + len(name))
            splits[domain, name] = Split(images, labels, tuple(f"{domain}{name}{row}" for row in range(count)))
    data = TaskData("real", "bars", ("lying", "standing"), ("one", "two"), splits, 16, "")  # type: ignore[arg-type]
    images, labels = bars(200, seed=9)
    noise = np.random.default_rng(0).normal(0, 12, images.shape)
    greyed = (70 + images * (115 / 255) + noise).clip(0, 255).round().astype(np.uint8)
    right = {}
    for tolerance in (0.0, 0.4):
        settings = replace(SETTINGS, augment=False, steps=60, tolerance=tolerance)
        judge = get_judge(tmp_path, data, 0, settings, runtime)
        assert judge.accuracy == 1
        right[tolerance] = (judge.encoder.predict(greyed) == labels).mean()
    assert right[0.4] > 0.95 > right[0.0] + 0.2
