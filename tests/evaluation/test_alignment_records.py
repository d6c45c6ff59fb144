"""Alignment of a method's categories, measured with every cell: against hand-made clusters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from eval_toys import make_data, make_encoders
from torch import Tensor, nn

from bench.evaluation.alignment import alignment_records
from bench.spec.protocols import NO_CATEGORIES
from methods.base import Translator


class Brightness(Translator):
    """Category 1 of bright images, swapped in what it takes for the second domain."""

    def __init__(self, clustered: int | None, right: float = 1.0) -> None:
        nn.Module.__init__(self)
        self.weight = nn.Parameter(torch.zeros(1))
        self._clustered, self.right = clustered, right
        self.known: dict[bytes, int] = {}

    @property
    def clustered_domain(self) -> int | None:
        return self._clustered

    def clusters_of(self, images: Tensor) -> Tensor:
        return torch.tensor([self.known[image.numpy().tobytes()] for image in images])


def method_that_knows(data: object, wrong: dict[tuple[int, str], int]) -> Brightness:
    """A method whose category is 1 - class, but for the first `wrong` images of a split."""
    method = Brightness(0)
    for (domain, split), images in data.splits.items():  # type: ignore[attr-defined]
        for row, (pixels, label) in enumerate(zip(images.images, images.labels, strict=True)):
            flipped = row < wrong.get((domain, split), 0)
            method.known[np.asarray(pixels).tobytes()] = int(label) if flipped else 1 - int(label)
    return method


def test_the_map_comes_from_the_clustered_domain_and_is_applied_to_both(tmp_path: Path) -> None:
    data = make_data()
    n = {domain: len(data.splits[domain, "test"].labels) for domain in (0, 1)}
    method = method_that_knows(data, {(0, "test"): 2, (1, "test"): 5})
    records = {r.protocol: r for r in alignment_records(method, data, 0, 1, make_encoders(tmp_path))}
    assert records["alignment-v1"].value == pytest.approx(100 * (n[0] - 2) / n[0])
    assert records["alignment-target-v1"].value == pytest.approx(100 * (n[1] - 5) / n[1])
    assert records["alignment-v1"].n == n[0]
    assert records["hungarian-v1"].value == records["alignment-v1"].value
    assert {r.encoder for r in records.values()} == {"categories"}
    assert {r.direction for r in records.values()} == {"one->two"}
    swapped = {r.protocol: r for r in alignment_records(method, data, 1, 0, make_encoders(tmp_path))}
    assert swapped["alignment-v1"].value == records["alignment-target-v1"].value


def test_clusters_that_mean_another_class_in_the_other_domain_are_wrong_there(tmp_path: Path) -> None:
    data = make_data()
    method = method_that_knows(data, {(1, "test"): len(data.splits[1, "test"].labels)})
    records = {r.protocol: r for r in alignment_records(method, data, 0, 1, make_encoders(tmp_path))}
    assert records["alignment-v1"].value == 100
    assert records["alignment-target-v1"].value == 0, "eq. 14 does not fit a map to the other domain"
    assert records["hungarian-target-v1"].value == 100
    assert records["nmi-target-v1"].value == pytest.approx(1)


def test_a_method_without_categories_has_a_dash(tmp_path: Path) -> None:
    records = alignment_records(Brightness(None), make_data(), 0, 1, make_encoders(tmp_path))
    assert len(records) == 8
    assert {(r.value, r.missing) for r in records} == {(None, NO_CATEGORIES)}
