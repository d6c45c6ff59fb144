"""Self-training of clusters across domains, and the encoder that undoes a digit's slant."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from methods.base import Domains, run_stage
from methods.parts.backbones import OrientedGradients, deskew_images
from methods.semantics.categories import SelfTrained
from methods.semantics.config import SemanticsConfig
from methods.semantics.self_training import (
    Draw,
    GreyClassifier,
    SelfTraining,
    SelfTrainingConfig,
    Warp,
    altered,
    as_on_a_house,
    warp_images,
)
from methods.semantics.spectral import SpectralConfig

FEW = SelfTrainingConfig(width=8, steps=120, batch_size=32)


def bars(n: int, side: int = 16, seed: int = 0) -> tuple[Tensor, Tensor]:
    """uint8 (N, 3, S, S) light upright or level bars on dark ground, and which (0 upright)."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    images = torch.zeros(n, side, side)
    for image, label in zip(images, labels.tolist(), strict=True):
        place = int(torch.randint(side // 2 - 3, side // 2 + 2, (1,), generator=rng))
        image[2:-2, place : place + 2] = 1.0
        if label:
            image.copy_(image.T.clone())
    noisy = images * 0.9 + 0.1 * torch.rand(images.shape, generator=rng)
    return (255 * noisy).byte()[:, None].repeat(1, 3, 1, 1), labels


def test_it_brings_the_clusters_to_dark_bars_on_light_ground() -> None:
    source, labels = bars(200)
    target, classes = bars(200, seed=1)
    target = 255 - target // 2  # the same shapes, exchanged and weaker
    stage = SelfTraining(FEW, source, target, labels, 2)
    run_stage(stage, seed=3)
    with torch.no_grad():
        on_source = stage.classifier(source / 255).argmax(1)
        on_target = stage.classifier(target / 255).argmax(1)
    assert (on_source == labels).float().mean() > 0.95
    assert (on_target == classes).float().mean() > 0.95


def test_no_target_image_counts_before_the_warm_up_is_over_and_all_follows_from_the_generator() -> None:
    source, labels = bars(64)
    stage = SelfTraining(SelfTrainingConfig(width=4, steps=10, batch_size=8, warm_up=0.5), source, source, labels, 2)
    names = []
    for step in range(10):
        rng = torch.Generator().manual_seed(step)
        names.append({name for phase in stage.training_step(rng) for name in phase.losses})
        stage.update_ema()
    assert names == [{"source"}] * 5 + [{"source", "target"}] * 5
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    a, b = (next(iter(stage.training_step(torch.Generator().manual_seed(5)))).losses["source"] for _ in range(2))
    assert torch.equal(a, b)
    assert torch.equal(before, torch.random.get_rng_state())


def test_its_identity_names_everything_that_it_is_trained_on() -> None:
    source, labels = bars(20)
    first = SelfTraining(FEW, source, source, labels, 2).identity()
    assert first == SelfTraining(FEW, source.clone(), source, labels.clone(), 2).identity()
    others = [
        SelfTraining(FEW, 255 - source, source, labels, 2),
        SelfTraining(FEW, source, 255 - source, labels, 2),
        SelfTraining(FEW, source, source, 1 - labels, 2),
        SelfTraining(SelfTrainingConfig(width=8, steps=121, batch_size=32), source, source, labels, 2),
    ]
    assert all(other.identity() != first for other in others)


def test_images_are_altered_but_keep_their_size_and_answers_do_not_depend_on_contrast() -> None:
    x = bars(16)[0][:, :1] / 255
    rng = torch.Generator().manual_seed(0)
    for seen in (as_on_a_house(x, FEW, rng), altered(x, FEW, rng)):
        assert seen.shape == x.shape
        assert seen.isfinite().all()
        assert (seen - x).abs().mean() > 0.05
    classifier = GreyClassifier(3, 4).eval()
    image = torch.rand(2, 3, 16, 16)
    assert torch.allclose(classifier(image), classifier(0.5 * image + 0.2), atol=2e-2)


def test_a_warp_of_nothing_changes_nothing() -> None:
    x = torch.rand(3, 1, 16, 16)
    identity = Draw(x, torch.Generator().manual_seed(0)).affine(Warp(0.0, (1.0, 1.0), 0.0, 0.0, (0.0, 0.0)))
    assert torch.allclose(identity, torch.eye(2, 3).expand(3, 2, 3), atol=1e-6)
    assert torch.allclose(warp_images(x, identity, "zeros"), x, atol=1e-5)


@pytest.mark.parametrize("slant", [-0.4, 0.4])
def test_slant_is_undone_whatever_the_polarity(slant: float) -> None:
    upright = torch.zeros(1, 1, 32, 32)
    upright[..., 6:26, 14:18] = 1.0
    leaning = warp_images(upright, torch.tensor([[[1.0, slant, 0.1], [0.0, 1.0, 0.0]]]), "zeros")
    wanted, seen = deskew_images(upright), deskew_images(leaning)
    assert (wanted - seen).abs().mean() < 0.2 * (upright - leaning).abs().mean()
    assert torch.allclose(deskew_images(1 - leaning), -seen, atol=1e-4)
    gradients = OrientedGradients(4, upright=True)
    apart = (gradients(leaning.repeat(1, 3, 1, 1)) - gradients(upright.repeat(1, 3, 1, 1))).norm()
    plain = OrientedGradients(4)
    assert apart < 0.5 * (plain(leaning.repeat(1, 3, 1, 1)) - plain(upright.repeat(1, 3, 1, 1))).norm()


def test_the_chain_clusters_a_sample_and_answers_for_both_domains() -> None:
    source, labels = bars(120)
    target, classes = bars(120, seed=1)
    config = SemanticsConfig(
        space="self_training", encoder="gradients", self_training=FEW,
        spectral=SpectralConfig(affinity="cosine", normalise="centred", sample=100),
    )  # fmt: skip
    categories = SelfTrained(config, 16, 2)
    assert categories.stage_names == ("features", "spectral", "adaptation")

    class Here:
        def weights(self, name: str) -> dict[str, Tensor]:
            raise LookupError(name)

        def run_stage(self, build, attempt: int = 0):  # type: ignore[no-untyped-def]
            stage = build()
            run_stage(stage, seed=0)
            return stage

    categories.learn(Domains((source, 255 - target)), Here())  # type: ignore[arg-type]
    found = categories.of_all(source), categories.of_all(255 - target)
    agree = (found[0] == labels).float().mean()
    swap = agree < 0.5
    assert max(agree, 1 - agree) > 0.9
    assert ((found[1] != classes) if swap else (found[1] == classes)).float().mean() > 0.9
