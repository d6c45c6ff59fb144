"""The right numbers in the right rows, each with its n, interval and floor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from eval_toys import PairEncoder, PixelEncoder, make_data, make_encoders
from toys import Toy, ToyConfig

from bench.data.types import Split, TaskData
from bench.evaluation.encoders import Encoders
from bench.evaluation.feature_cache import FeatureCache
from bench.evaluation.record import Record
from bench.evaluation.score import (
    count_in_whole_batches,
    group_across_sources,
    group_protocols,
    reference_images,
    rows_of_whole_batches,
    score_direction,
)
from bench.evaluation.translate import Translations, translate_test_images
from bench.spec.protocols import PROTOCOLS, TRANSLATION, only_one_protocol, select_protocols
from metrics.encoders import JudgeEncoder
from metrics.frechet import frechet_distance
from metrics.kernel import kernel_distance
from metrics.manifold import manifold_scores
from metrics.ndb import ndb
from metrics.statistics.floors import real_floor
from metrics.statistics.intervals import half_sample_interval

BOTH = ("train", "test")
Records = dict[tuple[str, str], Record]


@pytest.fixture
def data() -> TaskData:
    return make_data()


@pytest.fixture
def translations(data: TaskData) -> Translations:
    torch.manual_seed(0)
    return translate_test_images(Toy(ToyConfig(), 8).eval(), data, 0, 1, None, "noise")


@pytest.fixture
def encoders(tmp_path: Path) -> Encoders:
    return make_encoders(tmp_path, alexnet=PairEncoder())


def scored(data: TaskData, translations: Translations, encoders: Encoders) -> Records:
    return {(r.protocol, r.label): r for r in score_direction(data, translations, "one->two", encoders, "w")}


def test_distributions_equal_the_metrics_computed_by_hand(
    data: TaskData, translations: Translations, encoders: Encoders
) -> None:
    records = scored(data, translations, encoders)
    encoder = encoders.judge(1).encoder
    fake = encoder(translations.images[:, 0])
    images, labels = reference_images(data, 1, BOTH, None)
    real = encoder(images)
    for metric, distance in (("fid", frechet_distance), ("kid", kernel_distance)):
        whole = records[f"{metric}-judge-v1", "all"]
        assert whole.value == pytest.approx(distance(fake, real), rel=1e-9)
        assert (whole.n, whole.n_reference) == (40, 80)
        assert whole.deviation == pytest.approx(half_sample_interval(distance, fake, real, 50).deviation, rel=1e-6)
        floor = real_floor(distance, real, 40, splits=10)
        assert whole.floor == pytest.approx(floor.value, rel=1e-6)
        assert whole.floor_deviation == pytest.approx(floor.deviation, rel=1e-6)
        assert (whole.floor_n, whole.floor_reference) == (40, 40)
        own = records[f"{metric}-judge-v1", "b"]
        assert own.value == pytest.approx(distance(fake[translations.labels == 1], real[labels == 1]), rel=1e-9)
        assert (own.n, own.n_reference) == (20, 40)
        assert own.floor == pytest.approx(real_floor(distance, real[labels == 1], 20, splits=10).value, rel=1e-6)
    scores = manifold_scores(fake, real)
    for metric in ("precision", "recall", "density", "coverage"):
        assert records[f"{metric}-judge-v1", "all"].value == getattr(scores, metric)
        assert records[f"{metric}-judge-v1", "all"].floor is not None
    bins = ndb(images.reshape(80, -1), translations.images[:, 0].reshape(40, -1), 20)
    assert records["ndb-pixels-v1", "all"].value == bins.count
    assert records["jsd-pixels-v1", "all"].value == bins.jsd
    assert records["jsd-pixels-v1", "all"].encoder == "pixels"


def test_means_over_sources_equal_those_computed_by_hand(
    data: TaskData, translations: Translations, encoders: Encoders
) -> None:
    records = scored(data, translations, encoders)
    right = encoders.judge(1).encoder.predict(translations.images[:, 0]) == translations.labels
    whole, own = records["accuracy-judge-v1", "all"], records["accuracy-judge-v1", "a"]
    assert whole.value == pytest.approx(100 * right.mean())
    assert whole.deviation == pytest.approx(100 * right.std(ddof=1) / np.sqrt(40))
    assert (whole.on_real, own.on_real) == (pytest.approx(90), pytest.approx(80))
    assert own.value == pytest.approx(100 * right[translations.labels == 0].mean())
    flat = translations.images.reshape(40, TRANSLATION.styles, -1) / 255
    pairs = [np.mean([np.abs(flat[s, i] - flat[s, j]).mean() for i in range(5) for j in range(i)]) for s in range(40)]
    assert records["lpips-alexnet-v1", "all"].value == pytest.approx(np.mean(pairs), rel=1e-5)
    chosen = [flat[group, 0] for group in group_across_sources(40)]
    across = [np.abs(group[i] - group[j]).mean() for group in chosen for i in range(5) for j in range(i)]
    assert records["lpips-across-v1", "all"].value == pytest.approx(np.mean(across), rel=1e-5)
    assert np.mean(across) > 1.5 * np.mean(pairs)  # so that one is not mistaken for the other


def test_translations_are_compared_with_their_own_sources(tmp_path: Path, data: TaskData) -> None:
    """Rows of the test split that `index` names; the first style; per class; 0 for the sources themselves."""
    pairs = PairEncoder()
    encoders = make_encoders(tmp_path, ("structure-dinov2-v1",), alexnet=pairs, dinov2=pairs)
    test = data.splits[0, "test"]
    rows, rng = np.arange(1, 40, 2), np.random.default_rng(3)
    images = rng.integers(0, 256, (20, 5, *test.images.shape[1:]), dtype=np.uint8)
    records = scored(data, Translations(0, 1, rows, test.labels[rows], images), encoders)
    apart = np.array([np.abs(test.images[row] / 255 - images[i, 0] / 255).mean() for i, row in enumerate(rows)])
    for protocol in ("lpips-source-alexnet-v1", "structure-dinov2-v1"):
        whole, own = records[protocol, "all"], records[protocol, "b"]
        assert (whole.value, whole.n) == (pytest.approx(apart.mean(), rel=1e-6), 20)
        assert whole.deviation == pytest.approx(apart.std(ddof=1) / np.sqrt(20), rel=1e-5)
        assert own.value == pytest.approx(apart[test.labels[rows] == 1].mean(), rel=1e-6)
        assert (whole.encoder, whole.floor, whole.n_reference) == (pairs.identity[:12], None, 0)
    same = Translations(0, 1, rows, test.labels[rows], np.array(test.images[rows])[:, None])
    assert scored(data, same, encoders)["structure-dinov2-v1", "all"].value == 0


def test_every_protocol_that_is_always_measured_has_a_record(
    data: TaskData, translations: Translations, encoders: Encoders
) -> None:
    records = scored(data, translations, encoders)
    assert {protocol for protocol, _ in records} == {
        p.name
        for p in PROTOCOLS.values()
        if not p.on_request and p.encoder != "categories"  # measured of the method
    }
    assert records["fid-inception-v1", "all"].missing == "needs: bench fetch x"
    assert records["fid-inception-v1", "all"].value is None


def test_a_deterministic_method_has_no_diversity_within_a_source_but_one_across(
    data: TaskData, translations: Translations, encoders: Encoders
) -> None:
    single = Translations(
        translations.source, translations.target, translations.index, translations.labels, translations.images[:, :1]
    )
    records = scored(data, single, encoders)
    assert records["lpips-alexnet-v1", "all"].value == 0
    assert records["diversity-judge-v1", "all"].value == 0
    value, with_styles = (
        records["lpips-across-v1", "all"].value,
        scored(data, translations, encoders)["lpips-across-v1", "all"],
    )
    assert value == with_styles.value  # of the same first styles


def test_class_without_sources_has_a_reason(data: TaskData, translations: Translations, encoders: Encoders) -> None:
    split = data.splits[0, "test"]
    data.splits[0, "test"] = Split(split.images, np.zeros_like(split.labels), split.ids)
    only = Translations(
        translations.source,
        translations.target,
        translations.index,
        np.zeros_like(translations.labels),
        translations.images,
    )
    records = scored(data, only, encoders)
    for protocol in ("fid-judge-v1", "kid-judge-v1", "accuracy-judge-v1", "lpips-alexnet-v1"):
        assert records[protocol, "b"].value is None
        assert records[protocol, "b"].missing
        assert records[protocol, "a"].value is not None


def test_a_class_of_one_image_has_a_reason_and_the_others_their_values(
    data: TaskData, translations: Translations, encoders: Encoders
) -> None:
    labels = np.zeros_like(translations.labels)
    labels[7] = 1
    records = scored(data, Translations(0, 1, translations.index, labels, translations.images), encoders)
    for protocol in ("fid-judge-v1", "kid-judge-v1"):
        assert records[protocol, "b"].value is None
        assert "at least 2 images on each side wanted, got 1 and 40" in records[protocol, "b"].missing
        assert records[protocol, "a"].value is not None
        assert records[protocol, "all"].value is not None
    for protocol in ("accuracy-judge-v1", "diversity-judge-v1"):  # one image is enough for these
        assert (records[protocol, "b"].n, records[protocol, "b"].missing) == (1, "")
        assert records[protocol, "b"].value is not None


def test_what_a_metric_refuses_is_a_reason_and_the_others_go_on(tmp_path: Path, translations: Translations) -> None:
    class Broken(PixelEncoder):
        def __call__(self, *arguments: object, **options: object) -> np.ndarray:
            return np.full_like(super().__call__(*arguments, **options), np.nan)  # type: ignore[arg-type]

    data = make_data()
    records = scored(data, translations, make_encoders(tmp_path, inception=Broken()))
    assert records["fid-inception-v1", "all"].value is None
    assert "NaN" in records["fid-inception-v1", "all"].missing
    assert "NaN" in records["coverage-inception-v1", "all"].missing
    assert records["fid-judge-v1", "all"].value is not None


def test_too_few_images_for_neighbours_are_a_reason(tmp_path: Path) -> None:
    data = make_data(per_class=1)
    torch.manual_seed(0)
    translations = translate_test_images(Toy(ToyConfig(), 8).eval(), data, 0, 1, None, "noise")
    records = scored(data, translations, make_encoders(tmp_path, alexnet=PairEncoder()))
    assert "more than 3 feature vectors" in records["coverage-judge-v1", "all"].missing
    assert "at least k=20" in records["ndb-pixels-v1", "all"].missing
    assert "at least 2" in records["fid-judge-v1", "a"].missing  # a class with one image
    assert records["fid-judge-v1", "all"].value is not None
    assert records["fid-judge-v1", "all"].deviation is None
    assert records["lpips-across-v1", "all"].value is not None


def test_nothing_is_encoded_twice(
    data: TaskData, translations: Translations, encoders: Encoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scored(data, translations, encoders)

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(JudgeEncoder, "__call__", refuse)
    monkeypatch.setattr(PairEncoder, "grouped_distances", refuse)
    monkeypatch.setattr(PairEncoder, "distances", refuse)
    monkeypatch.setattr("bench.evaluation.distributions.real_floors", refuse)
    assert scored(data, translations, encoders) == first


def test_reference_is_of_the_named_splits_in_order_of_content() -> None:
    data = make_data(3)
    images, labels = reference_images(data, 1, BOTH, None)
    ids = np.array(data.splits[1, "train"].ids + data.splits[1, "test"].ids)
    both = np.concatenate([data.splits[1, "train"].images, data.splits[1, "test"].images])
    np.testing.assert_array_equal(images, both[np.argsort(ids)])
    assert np.bincount(labels).tolist() == [6, 6]
    assert np.bincount(reference_images(data, 1, BOTH, 2)[1]).tolist() == [2, 2]
    np.testing.assert_array_equal(reference_images(data, 1, ("test",), None)[0], data.splits[1, "test"].images)


def test_groups_across_sources_hold_every_source_and_none_twice_in_one() -> None:
    for sources in (1, 2, 4, 5, 7, 40, 251):
        groups = group_across_sources(sources)
        assert set(groups.ravel()) == set(range(sources))
        assert all(len(set(group)) == groups.shape[1] for group in groups)
        assert groups.size - sources < 5
    np.testing.assert_array_equal(group_across_sources(40), group_across_sources(40))


def test_the_papers_habits() -> None:
    assert [count_in_whole_batches(n) for n in (3, 511, 512, 1000, 1024, 10_000)] == [3, 511, 512, 512, 1024, 9_728]
    rows = rows_of_whole_batches(200 * 2, 2)  # 200 sources of 2 styles: no batch of 512, nothing dropped
    assert rows[:128].tolist() == [2 * i for i in range(128)]
    assert rows[128:256].tolist() == [2 * i + 1 for i in range(128)]
    assert sorted(rows) == list(range(400))
    rows = rows_of_whole_batches(300 * 2, 2)
    assert len(rows) == 512
    assert rows[256] == 256  # the first style of source 128
    assert rows[-1] == 2 * 255 + 1


def test_protocols_of_one_computation_are_measured_together_and_others_apart() -> None:
    read = [protocol for protocol in select_protocols(PROTOCOLS) if protocol.encoder != "categories"]
    groups = {p.name: [q.name for q in group] for group in group_protocols(read) for p in group}
    assert groups["recall-judge-v1"] == [f"{m}-judge-v1" for m in ("precision", "recall", "density", "coverage")]
    assert groups["jsd-pixels-v1"] == ["ndb-pixels-v1", "jsd-pixels-v1"]
    for alone in ("fid-judge-v1", "fid-pytorch-v1", "fid-pytorch-paper-v1", "fid-pytorch-test-v1", "accuracy-judge-v1"):
        assert groups[alone] == [alone]


def test_values_of_two_protocols_must_not_meet() -> None:
    only_one_protocol(["fid-clean-v1", "fid-clean-v1"], "a cell")
    with pytest.raises(ValueError, match="a cell: values of fid-clean-v1, fid-pytorch-v1 must not share a column"):
        only_one_protocol(["fid-pytorch-v1", "fid-clean-v1"], "a cell")


def test_damaged_cached_features_are_made_again(tmp_path: Path) -> None:
    cache, images = FeatureCache(tmp_path), np.zeros((2, 3, 4, 4), np.uint8)
    cache.get(images, "id", "prep", lambda: np.ones((2, 3), np.float32))
    (path,) = tmp_path.rglob("*.npy")
    path.write_bytes(path.read_bytes()[:40])
    assert cache.find(images, "id", "prep") is None
    assert cache.get(images, "id", "prep", lambda: np.full((2, 3), 2.0)).tolist() == [[2, 2, 2]] * 2
    images[0, 0, 0, 0] = 1  # another image: another key
    assert cache.get(images, "id", "prep", lambda: np.full((2, 3), 3.0))[0, 0] == 3
    assert cache.get(images, "other weights", "prep", lambda: np.full((2, 3), 4.0))[0, 0] == 4


def test_damaged_stored_values_are_made_again(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    assert cache.values("floors", "key", lambda: {"fid": 1}) == {"fid": 1}
    assert cache.values("floors", "key", lambda: {"fid": 2}) == {"fid": 1}
    next(tmp_path.rglob("*.json")).write_text('{"fid"')
    assert cache.values("floors", "key", lambda: {"fid": 3}) == {"fid": 3}
