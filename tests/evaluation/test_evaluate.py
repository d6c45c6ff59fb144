"""Scoring a cell: once made, nothing is made again; unrounded features; what was measured before stays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from board_cells import add
from eval_toys import PairEncoder, PixelEncoder, make_data, make_encoders
from toys import Toy, ToyConfig

from bench.data.types import TaskData
from bench.evaluation.encoders import Encoders
from bench.evaluation.evaluate import evaluate_cell
from bench.evaluation.record import Record
from bench.spec.presets import EvaluationSize
from bench.store.cell import Cell
from metrics.frechet import frechet_distance

ONE_WAY = [(0, 1)]


@pytest.fixture
def toy() -> Toy:
    torch.manual_seed(0)
    return Toy(ToyConfig(), 8).eval()


@pytest.fixture
def data() -> TaskData:
    return make_data()


def values(records: list[Record]) -> dict[tuple[str, str], float | None]:
    return {(record.protocol, record.label): record.value for record in records}


def stored(cell: Cell) -> dict[str, Any]:
    return json.loads(cell.metrics("noise").read_text())


def test_a_second_evaluation_translates_and_encodes_nothing(
    toy: Toy, data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, encoder = add(tmp_path, []), PixelEncoder()
    encoders = make_encoders(tmp_path / "f", inception=encoder, alexnet=PairEncoder())
    first = evaluate_cell(toy, data, ONE_WAY, cell, encoders, "noise")
    before, seen = cell.metrics("noise").read_bytes(), encoder.seen
    assert seen == 40 + 80

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("translated again")

    with monkeypatch.context() as patched:
        patched.setattr(toy, "translate", refuse)
        assert evaluate_cell(toy, data, ONE_WAY, cell, encoders, "noise") == first
    assert encoder.seen == seen
    assert cell.metrics("noise").read_bytes() == before
    with torch.no_grad():
        toy.ema["generator"].weight[0, 0] += 0.5  # type: ignore[index, union-attr]
    assert evaluate_cell(toy, data, ONE_WAY, cell, encoders, "noise") != first  # other weights, other images


def test_the_callers_batch_size_changes_no_digit(toy: Toy, data: TaskData, tmp_path: Path) -> None:
    found = []
    for batch_size in (1, 40, 1000, None):
        cell = add(tmp_path / str(batch_size), [])
        encoders = make_encoders(tmp_path / f"f{batch_size}", inception=PixelEncoder(), alexnet=PairEncoder())
        evaluate_cell(toy, data, ONE_WAY, cell, encoders, "noise", batch_size)
        found.append(cell.metrics("noise").read_bytes())
    assert found[1:] == found[:1] * 3


def test_a_metric_more_encodes_only_what_it_is_new_to(toy: Toy, data: TaskData, tmp_path: Path) -> None:
    """And leaves what was measured, also by a protocol that is not asked for again."""
    cell, inception, clean = add(tmp_path, []), PixelEncoder(), PixelEncoder("other")
    encoders = make_encoders(tmp_path / "f", inception=inception)
    evaluate_cell(toy, data, ONE_WAY, cell, encoders, "noise")
    more = make_encoders(tmp_path / "f", ("fid-clean-v1",), inception=inception, inception_clean=clean)
    first = values(evaluate_cell(toy, data, ONE_WAY, cell, more, "noise"))
    assert (inception.seen, clean.seen) == (120, 120)
    evaluate_cell(toy, data, ONE_WAY, cell, encoders, "noise")
    kept = {(r["protocol"], r["label"]): r["value"] for r in stored(cell)["records"]}
    assert kept["fid-clean-v1", "all"] == first["fid-clean-v1", "all"]
    smaller = replace(encoders, size=EvaluationSize(10, None))
    evaluate_cell(toy, data, ONE_WAY, cell, smaller, "noise")  # other images: the old value is not theirs
    assert "fid-clean-v1" not in {record["protocol"] for record in stored(cell)["records"]}


def test_the_record_holds_what_the_numbers_rest_on(toy: Toy, data: TaskData, tmp_path: Path) -> None:
    cell = add(tmp_path, [])
    evaluate_cell(toy, data, ONE_WAY, cell, make_encoders(tmp_path / "f"), "noise")
    record = stored(cell)
    assert record["doctor"]["failed"] == []
    assert record["doctor"]["passed"] == record["doctor"]["checks"] > 20
    assert set(record["images"]) == set(record["judges"]) == {"one->two"}
    assert record["size"] == {"sources_per_class": None, "reference_per_class": None}
    assert all("deviation" in found and "floor" in found for found in record["records"])


PYTORCH = ("fid-pytorch-v1", "fid-pytorch-paper-v1")


def pytorch_encoders(root: Path, encoder: PixelEncoder) -> Encoders:
    return make_encoders(root, PYTORCH, inception_pytorch=encoder)


def test_unrounded_translations_reach_the_encoder_that_wants_them(
    toy: Toy, data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The protocol's value is that of the floats, which differs from that of the stored uint8 images."""
    cell, encoder = add(tmp_path, []), PixelEncoder()
    encoders = pytorch_encoders(tmp_path / "f", encoder)
    floats: list[torch.Tensor] = []
    translate = toy.translate
    monkeypatch.setattr(toy, "translate", lambda x, *rest: (floats.append(translate(x, *rest)), floats[-1])[1])
    records = evaluate_cell(toy, data, ONE_WAY, cell, encoders, "noise", batch_size=32)
    found, deviation = values(records), {r.protocol: r.deviation for r in records if r.label == "all"}
    assert deviation["fid-pytorch-v1"]
    assert deviation["fid-pytorch-paper-v1"] is None  # five of a source are not independent
    assert encoder.seen == 5 * 40 + 80
    made = ((torch.cat(floats)[:200] + 1) / 2).numpy()
    real = encoder(np.concatenate([data.splits[1, name].images for name in ("train", "test")]))
    exact = encoder.encode_floats(made)
    assert found["fid-pytorch-v1", "all"] == pytest.approx(frechet_distance(exact[::5], real), rel=1e-6)
    assert found["fid-pytorch-paper-v1", "all"] == pytest.approx(frechet_distance(exact, real), rel=1e-6)
    rounded = encoder(np.load(cell.translations("one->two", "noise"))[:, 0])
    assert abs(frechet_distance(rounded, real) / frechet_distance(exact[::5], real) - 1) > 1e-6

    seen, calls = encoder.seen, len(floats)
    assert values(evaluate_cell(toy, data, ONE_WAY, cell, encoders, "noise")) == found
    assert (encoder.seen, len(floats)) == (seen, calls)  # nothing again


def test_unrounded_features_asked_for_later_are_made_by_translating_again(
    toy: Toy, data: TaskData, tmp_path: Path
) -> None:
    cell, encoder = add(tmp_path, []), PixelEncoder()
    evaluate_cell(toy, data, ONE_WAY, cell, make_encoders(tmp_path / "f"), "noise")
    images = cell.translations("one->two", "noise").read_bytes()
    found = values(evaluate_cell(toy, data, ONE_WAY, cell, pytorch_encoders(tmp_path / "f", encoder), "noise"))
    assert found["fid-pytorch-v1", "all"] is not None
    assert cell.translations("one->two", "noise").read_bytes() == images
