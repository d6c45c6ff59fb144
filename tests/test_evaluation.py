"""The evaluator: the same images whatever the caller does, the right numbers in the right rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toys import Toy, ToyConfig

from bench.data.contract import Split, TaskData
from bench.evaluation import (
    Instruments,
    Missing,
    first_per_class,
    reference,
    score_direction,
    style_name,
    styles_for,
    translate_test_images,
)
from bench.features import FeatureCache
from bench.judge import Judge
from bench.presets import EvaluationSize
from bench.protocol import PROTOCOLS, TRANSLATION
from methods.base import Exemplar, Noise
from metrics.encoders import JudgeEncoder
from metrics.frechet import frechet_distance
from metrics.kernel import kernel_distance
from metrics.wide_resnet import WideResNet

SIZE = EvaluationSize(None, None)


def make_data(per_class: int = 20, side: int = 8) -> TaskData:
    rng = np.random.default_rng(1)
    splits = {}
    for domain in (0, 1):
        for name in ("train", "test"):
            images = rng.integers(0, 256, (2 * per_class, 3, side, side), dtype=np.uint8)
            labels = rng.permutation(np.repeat([0, 1], per_class))
            ids = tuple(f"{domain}{name}{row:04d}" for row in range(len(images)))
            splits[domain, name] = Split(images, labels, ids)
    return TaskData("real", "v", ("a", "b"), ("one", "two"), splits, side, "")  # type: ignore[arg-type]


@pytest.fixture
def toy() -> Toy:
    torch.manual_seed(0)
    return Toy(ToyConfig(), 8).eval()


@pytest.fixture
def tools(tmp_path: Path) -> Instruments:
    torch.manual_seed(0)
    judge = Judge(JudgeEncoder(WideResNet(10, 1, 2, 0.0)), 0.9, {"a": 0.8, "b": 1.0}, 40)
    missing = Missing("needs: bench fetch x")
    return Instruments(lambda domain: judge, missing, missing, FeatureCache(tmp_path), SIZE)


@pytest.mark.parametrize("style", ["noise", "exemplar"])
def test_stored_images_do_not_depend_on_the_batch_size(toy: Toy, style: str) -> None:
    data = make_data()
    sizes = (1, 7, 200, None)
    results = [translate_test_images(toy, data, 0, 1, SIZE, style, size).images for size in sizes]
    assert results[0].shape == (40, TRANSLATION.styles, 3, 8, 8)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    assert len(np.unique(results[0].reshape(200, -1), axis=0)) == 200  # every source and style is its own image


def test_translate_sees_protocol_batches_only(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    translate = toy.translate
    monkeypatch.setattr(toy, "translate", lambda x, *rest: (seen.append(len(x)), translate(x, *rest))[1])
    translate_test_images(toy, make_data(), 0, 1, SIZE, "noise", 3)
    assert set(seen) == {TRANSLATION.batch}


def test_styles_belong_to_the_source_and_not_to_its_place(toy: Toy) -> None:
    data, cpu = make_data(), torch.device("cpu")
    keys = [("a", 0), ("a", 1), ("b", 0)]
    forward = styles_for(toy, data, 1, "noise", keys, cpu)
    backward = styles_for(toy, data, 1, "noise", keys[::-1], cpu)
    assert isinstance(forward, Noise)
    assert isinstance(backward, Noise)
    torch.testing.assert_close(forward.z, backward.z.flip(0), rtol=0, atol=0)
    assert len(torch.unique(forward.z, dim=0)) == 3
    exemplars = styles_for(toy, data, 1, "exemplar", keys, cpu)
    assert isinstance(exemplars, Exemplar)
    training = torch.from_numpy(data.splits[1, "train"].images).float() / 127.5 - 1
    for image in exemplars.image:  # training images of the target domain, never test images
        assert (training - image).abs().amax((1, 2, 3)).min() < 1e-6


def test_first_per_class() -> None:
    labels = np.array([1, 0, 0, 1, 1, 0])
    assert first_per_class(labels, 2).tolist() == [0, 1, 2, 3]
    assert first_per_class(labels, None).tolist() == list(range(6))
    assert first_per_class(labels, 9).tolist() == list(range(6))


def test_reference_is_train_and_test_in_order_of_content() -> None:
    data = make_data(3)
    images, labels = reference(data, 1, None)
    ids = np.array(data.splits[1, "train"].ids + data.splits[1, "test"].ids)
    both = np.concatenate([data.splits[1, "train"].images, data.splits[1, "test"].images])
    np.testing.assert_array_equal(images, both[np.argsort(ids)])
    assert np.bincount(labels).tolist() == [6, 6]
    assert np.bincount(reference(data, 1, 2)[1]).tolist() == [2, 2]


def test_records_equal_the_metrics_computed_by_hand(toy: Toy, tools: Instruments) -> None:
    data = make_data()
    made = translate_test_images(toy, data, 0, 1, SIZE, "noise")
    records = {(r.protocol, r.label): r for r in score_direction(data, made, "one->two", tools)}
    encoder = tools.judge(1).encoder
    fake = encoder(made.images[:, 0])
    real_images, real_labels = reference(data, 1, None)
    real = encoder(real_images)
    assert records["fid-judge-v1", "all"].value == pytest.approx(frechet_distance(fake, real), rel=1e-9)
    assert records["kid-judge-v1", "all"].value == pytest.approx(kernel_distance(fake, real), rel=1e-9)
    own = frechet_distance(fake[made.labels == 1], real[real_labels == 1])
    assert records["fid-judge-v1", "b"].value == pytest.approx(own, rel=1e-9)
    own = kernel_distance(fake[made.labels == 1], real[real_labels == 1])
    assert records["kid-judge-v1", "b"].value == pytest.approx(own, rel=1e-9)
    assert (records["fid-judge-v1", "b"].n, records["fid-judge-v1", "b"].n_reference) == (20, 40)
    right = encoder.predict(made.images[:, 0]) == made.labels
    assert records["accuracy-judge-v1", "all"].value == pytest.approx(100 * right.mean())
    assert records["accuracy-judge-v1", "all"].on_real == pytest.approx(90)
    assert records["accuracy-judge-v1", "b"].on_real == pytest.approx(100)
    assert records["accuracy-judge-v1", "a"].value == pytest.approx(100 * right[made.labels == 0].mean())
    assert records["fid-inception-v1", "all"].missing == "needs: bench fetch x"
    assert records["fid-inception-v1", "all"].value is None
    assert {record.protocol for record in records.values()} == set(PROTOCOLS)


def test_class_without_sources_has_a_reason(toy: Toy, tools: Instruments) -> None:
    data = make_data()
    split = data.splits[0, "test"]
    data.splits[0, "test"] = Split(split.images, np.zeros_like(split.labels), split.ids)
    made = translate_test_images(toy, data, 0, 1, SIZE, "noise")
    records = {(r.protocol, r.label): r for r in score_direction(data, made, "one->two", tools)}
    for protocol in ("fid-judge-v1", "kid-judge-v1", "accuracy-judge-v1"):
        assert records[protocol, "b"].value is None
        assert records[protocol, "b"].missing


def test_class_of_one_image_has_a_reason_and_the_others_their_values(toy: Toy, tools: Instruments) -> None:
    data = make_data()
    split = data.splits[0, "test"]
    labels = np.zeros_like(split.labels)
    labels[7] = 1
    data.splits[0, "test"] = Split(split.images, labels, split.ids)
    made = translate_test_images(toy, data, 0, 1, SIZE, "noise")
    records = {(r.protocol, r.label): r for r in score_direction(data, made, "one->two", tools)}
    for protocol in ("fid-judge-v1", "kid-judge-v1"):
        assert records[protocol, "b"].value is None
        assert "at least 2 feature vectors on each side wanted, got 1 and 40" in records[protocol, "b"].missing
        assert records[protocol, "a"].value is not None
        assert records[protocol, "all"].value is not None
    for protocol in ("accuracy-judge-v1", "diversity-judge-v1"):  # one image is enough for these
        assert (records[protocol, "b"].n, records[protocol, "b"].missing) == (1, "")
        assert records[protocol, "b"].value is not None


def test_nothing_is_encoded_twice(toy: Toy, tools: Instruments, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_data()
    made = translate_test_images(toy, data, 0, 1, SIZE, "noise")
    first = score_direction(data, made, "one->two", tools)

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(JudgeEncoder, "__call__", refuse)
    assert score_direction(data, made, "one->two", tools) == first


def test_damaged_cached_features_are_made_again(tmp_path: Path) -> None:
    cache, images = FeatureCache(tmp_path), np.zeros((2, 3, 4, 4), np.uint8)
    cache.get(images, "id", "prep", lambda: np.ones((2, 3), np.float32))
    (path,) = tmp_path.rglob("*.npy")
    path.write_bytes(path.read_bytes()[:40])
    assert cache.get(images, "id", "prep", lambda: np.full((2, 3), 2.0)).tolist() == [[2, 2, 2]] * 2
    images[0, 0, 0, 0] = 1  # another image: another key
    assert cache.get(images, "id", "prep", lambda: np.full((2, 3), 3.0))[0, 0] == 3
    assert cache.get(images, "other weights", "prep", lambda: np.full((2, 3), 4.0))[0, 0] == 4


def test_style_name(toy: Toy) -> None:
    assert style_name(toy) == "noise"
    assert style_name(toy, "exemplar") == "exemplar"
    with pytest.raises(ValueError, match="not from 'code'"):
        style_name(toy, "code")
