"""The same images whatever the caller does; kept once, trusted only if they are what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from board_cells import add
from eval_toys import make_data
from toys import Toy, ToyConfig

from bench.evaluation.translate import (
    chosen_style_source,
    draw_styles,
    first_rows_of_each_class,
    keep_translations,
    kept_translations,
    translate_test_images,
    translation_provenance,
)
from bench.spec.protocols import TRANSLATION
from methods.base import Exemplar, Noise


@pytest.fixture
def toy() -> Toy:
    torch.manual_seed(0)
    return Toy(ToyConfig(), 8).eval()


@pytest.mark.parametrize("style", ["noise", "exemplar"])
def test_stored_images_do_not_depend_on_the_batch_size(toy: Toy, style: str) -> None:
    data = make_data()
    sizes = (1, 7, 200, None)
    results = [translate_test_images(toy, data, 0, 1, None, style, size).images for size in sizes]
    assert results[0].shape == (40, TRANSLATION.styles, 3, 8, 8)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    assert len(np.unique(results[0].reshape(200, -1), axis=0)) == 200  # every source and style is its own image


def test_translations_that_are_not_finite_are_refused(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounded to uint8 they would be black or white, and a number would come of them."""
    translate = toy.translate
    monkeypatch.setattr(toy, "translate", lambda *given: translate(*given).masked_fill_(given[0] > 0.99, torch.nan))
    with pytest.raises(ValueError, match="translations one->two are not finite"):
        translate_test_images(toy, make_data(), 0, 1, None, "noise")


def test_translate_sees_protocol_batches_only(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    translate = toy.translate
    monkeypatch.setattr(toy, "translate", lambda x, *rest: (seen.append(len(x)), translate(x, *rest))[1])
    translate_test_images(toy, make_data(), 0, 1, None, "noise", 3)
    assert set(seen) == {TRANSLATION.batch}


def test_a_watcher_sees_every_translation_once_before_it_is_rounded(toy: Toy) -> None:
    seen: dict[int, torch.Tensor] = {}

    def watch(images: torch.Tensor, first: int) -> None:
        seen.update({first + i: image.clone() for i, image in enumerate(images)})

    made = translate_test_images(toy, make_data(), 0, 1, None, "noise", 32, watch)
    assert sorted(seen) == list(range(40 * TRANSLATION.styles))
    floats = torch.stack([seen[i] for i in sorted(seen)]).reshape(made.images.shape)
    assert (floats.abs() <= 1).all()
    exact = (floats + 1) * 127.5
    assert (exact - exact.round()).abs().max() > 0.1  # not rounded
    np.testing.assert_array_equal(exact.round().to(torch.uint8).numpy(), made.images)


def test_styles_belong_to_the_source_and_not_to_its_place(toy: Toy) -> None:
    data, cpu = make_data(), torch.device("cpu")
    keys = [("a", 0), ("a", 1), ("b", 0)]
    forward = draw_styles(toy, data, 1, "noise", keys, cpu)
    backward = draw_styles(toy, data, 1, "noise", keys[::-1], cpu)
    assert isinstance(forward, Noise)
    assert isinstance(backward, Noise)
    torch.testing.assert_close(forward.z, backward.z.flip(0), rtol=0, atol=0)
    assert len(torch.unique(forward.z, dim=0)) == 3
    exemplars = draw_styles(toy, data, 1, "exemplar", keys, cpu)
    assert isinstance(exemplars, Exemplar)
    training = torch.from_numpy(data.splits[1, "train"].images).float() / 127.5 - 1
    for image in exemplars.image:  # training images of the target domain, never test images
        assert (training - image).abs().amax((1, 2, 3)).min() < 1e-6


def test_first_per_class() -> None:
    labels = np.array([1, 0, 0, 1, 1, 0])
    assert first_rows_of_each_class(labels, 2).tolist() == [0, 1, 2, 3]
    assert first_rows_of_each_class(labels, None).tolist() == list(range(6))
    assert first_rows_of_each_class(labels, 9).tolist() == list(range(6))


def test_style_name(toy: Toy) -> None:
    assert chosen_style_source(toy) == "noise"
    assert chosen_style_source(toy, "exemplar") == "exemplar"
    with pytest.raises(ValueError, match="not from 'code'"):
        chosen_style_source(toy, "code")


def test_kept_translations_are_found_again_only_if_nothing_changed(toy: Toy, tmp_path: Path) -> None:
    data, cell = make_data(), add(tmp_path, [])
    origin = translation_provenance(data, 0, 1, 5, "noise", "weights")
    made = translate_test_images(toy, data, 0, 1, 5, "noise")

    def find(**changes: object) -> object:
        return kept_translations(cell, "a->b", "noise", data, 0, 1, {**origin, **changes}, 5)

    assert find() is None  # nothing yet
    keep_translations(cell, "a->b", "noise", made, origin)
    found = find()
    assert found is not None
    for name in ("index", "labels", "images"):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
    for name in origin:
        assert find(**{name: "another"}) is None, name

    path = cell.translations("a->b", "noise")
    whole, (record) = path.read_bytes(), json.loads(path.with_suffix(".json").read_text())
    changed = bytearray(whole)
    changed[-1] ^= 1
    for damaged in (bytes(changed), whole[:-9], b""):
        path.write_bytes(damaged)
        assert find() is None
    path.write_bytes(whole)
    path.with_suffix(".json").write_text(json.dumps(record)[:-5])
    assert find() is None


def test_provenance_names_the_sources() -> None:
    data = make_data()
    one, other = (
        translation_provenance(data, 0, 1, 5, "noise", "w"),
        translation_provenance(data, 0, 1, 6, "noise", "w"),
    )
    assert one["sources"] != other["sources"]
    assert translation_provenance(data, 0, 1, None, "noise", "w") == translation_provenance(
        data, 0, 1, 20, "noise", "w"
    )
