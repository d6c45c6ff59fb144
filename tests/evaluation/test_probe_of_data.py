"""The probe of a domain: what it is fitted to, and its accuracy on real images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from eval_toys import PixelEncoder, make_data, make_encoders
from real_files import INCEPTION, real_file

from bench.data.load import load_data
from bench.evaluation.feature_cache import FeatureCache
from bench.evaluation.probe import get_probe
from bench.evaluation.score import score_direction
from bench.evaluation.translate import Translations
from bench.spec.tasks import get_task
from metrics.encoders import TF1, InceptionEncoder, InceptionNetwork


def test_it_is_fitted_once_and_named_by_what_it_was_fitted_to(tmp_path: Path) -> None:
    data, encoder = make_data(), PixelEncoder()
    first = get_probe(FeatureCache(tmp_path), data, 1, encoder)
    seen = encoder.seen
    again = get_probe(FeatureCache(tmp_path), data, 1, encoder)
    assert encoder.seen == seen, "features and weights are kept"
    assert (again.weights == first.weights).all()
    assert again.identity == first.identity != get_probe(FeatureCache(tmp_path), data, 0, encoder).identity
    assert first.identity != get_probe(FeatureCache(tmp_path), data, 1, PixelEncoder("other weights")).identity
    assert first.test_images == len(data.splits[1, "test"].labels)


def test_a_probe_s_accuracy_is_a_record_with_its_own_on_real(tmp_path: Path) -> None:
    data, encoder = make_data(), PixelEncoder()
    probe = get_probe(FeatureCache(tmp_path / "probe"), data, 1, encoder)
    encoders = make_encoders(tmp_path)
    object.__setattr__(encoders, "probe", lambda domain: probe)
    test = data.splits[1, "test"]
    translations = Translations(
        0, 1, np.arange(len(test.labels)), np.array(test.labels), np.array(test.images)[:, None]
    )
    records = {
        r.label: r
        for r in score_direction(data, translations, "one->two", encoders)
        if r.protocol == "accuracy-probe-v1"
    }
    assert records["all"].value == pytest.approx(100 * probe.accuracy), "its own test images, as translations"
    assert records["all"].on_real == pytest.approx(100 * probe.accuracy)
    assert records["all"].encoder == probe.identity[:12]
    assert {"all", *data.classes} == set(records)


@pytest.mark.slow
def test_it_is_right_on_photographs(tmp_path: Path) -> None:
    """PACS photographs at 64 px: at least 90 % right, where the quick preset's network is right on 56 %."""
    real_file("datasets/pacs")
    network = InceptionNetwork(real_file(INCEPTION), torch.device("cpu"))
    data = load_data(get_task("pacs"), "auto", 64)
    probe = get_probe(FeatureCache(tmp_path), data, 1, InceptionEncoder(network, TF1))
    print(f"PACS photographs, 64 px: {100 * probe.accuracy:.1f} % of {probe.test_images}")
    assert probe.accuracy > 0.9
