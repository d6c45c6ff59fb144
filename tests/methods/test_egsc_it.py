"""EGSC-IT: images and losses against a plain forward pass, the traps, and stage 1."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from determined import domains, fill, numbers
from test_egsc_it_networks import (
    State,
    reference_discriminator,
    reference_encoder,
    reference_generator,
    residual_block,
    state_of,
)
from torch import Tensor

from methods.base import Context, Domains, Exemplar, Phase, Progress, run_stage, run_step, to_model_range
from methods.egsc_it import (
    DISCRIMINATORS,
    EGSCIT,
    NETWORKS,
    PERCEPTUAL,
    Batch,
    EGSCITConfig,
    Perceptual,
    egsc_adain,
    egsc_gram,
    egsc_published,
    egsc_soft_mask,
    egsc_unit_maps,
)
from methods.egsc_it_autoencoder import Autoencoders, autoencoder_images
from methods.parts.backbones import StandInVGG, VGGFeatures, build_backbone

SIZE = 16
SMALL = EGSCITConfig(
    width=2, stages=3, discriminator_width=2, discriminator_layers=3, perceptual="stand_in", lambda_adv=1.1,
    lambda_rec=1.3, lambda_cyc=1.7, lambda_latent=0.19, lambda_style=2.3, lambda_content=2.9, batch_size=2,
    generator_updates=2, autoencoder_steps=4,
)  # fmt: skip
"""Every weight another number, so that mixing them up shows."""


def method(config: EGSCITConfig = SMALL, size: int = SIZE) -> EGSCIT:
    """Determined weights, in float64."""
    built = EGSCIT(config, size)
    for salt, name in enumerate((*NETWORKS, *DISCRIMINATORS, "features_a", "features_b")):
        fill(getattr(built, name), salt)
    network = fill(StandInVGG())
    assert isinstance(network, StandInVGG)
    built.perceptual = Perceptual(network.double())
    return built.double()


def batch(config: EGSCITConfig = SMALL, size: int = SIZE) -> Batch:
    """Determined inputs, in float64."""
    count, minibatches = config.batch_size, 1 + config.generator_updates
    latent = EGSCIT(config, size).noise.numel()
    return Batch(
        a=numbers(1, minibatches * count, 3, size, size),
        b=0.5 * numbers(2, minibatches * count, 3, size, size) + 0.4,
        noise=2 * numbers(3, minibatches, 2 * count, latent),
        noise_back=2 * numbers(4, minibatches - 1, 2 * count, latent),
    )


# --------------------------------------------------------------------- a plain forward pass, one image at a time


def reference_step(h: Tensor, source: Tensor, exemplar: Tensor) -> Tensor:
    """Transfer of style: soft mask of the source, then the exemplar's mean as gain and its variance as shift."""
    x = h * (0.5 + 0.5 / (1 + (-source).exp()))

    def moments(features: Tensor) -> tuple[Tensor, Tensor]:
        mean = features.sum(dim=(2, 3), keepdim=True) / features[0, 0].numel()
        return mean, ((features - mean) ** 2).sum(dim=(2, 3), keepdim=True) / features[0, 0].numel()

    (mean, variance), (gain, shift) = moments(x), moments(exemplar)
    return gain * (x - mean) / variance + shift


class Reference:
    """Sections 2 to 5 for one minibatch, one call per image and network, nothing shared."""

    def __init__(self, built: EGSCIT, a: Tensor, b: Tensor, noise: Tensor, noise_back: Tensor) -> None:
        self.built, self.stages, self.a, self.b = built, built.config.stages, a, b
        noise_a, noise_b = noise.unflatten(1, built.latent).chunk(2)
        noise_bab, noise_aba = noise_back.unflatten(1, built.latent).chunk(2)
        self.h_a, self.h_b = self.latent("a", a, noise_a), self.latent("b", b, noise_b)
        self.aa, self.ab = self.render("a", self.h_a, ("a", a), a), self.render("b", self.h_a, ("a", a), b)
        self.ba, self.bb = self.render("a", self.h_b, ("b", b), a), self.render("b", self.h_b, ("b", b), b)
        self.h_aba, self.h_bab = self.latent("b", self.ab, noise_aba), self.latent("a", self.ba, noise_bab)
        self.aba = self.render("a", self.h_aba, ("a", a), a)  # the mask of the original
        self.bab = self.render("b", self.h_bab, ("b", b), b)

    def state(self, name: str) -> State:
        return state_of(getattr(self.built, name))

    def latent(self, domain: str, x: Tensor, noise: Tensor) -> Tensor:
        encoded = reference_encoder(self.state(f"encoder_{domain}"), x, self.stages)
        return residual_block(self.state("share_encoder"), "resblock_0", encoded) + noise

    def features(self, domain: str, x: Tensor) -> Tensor:
        return reference_encoder(self.state(f"features_{domain}"), x, self.stages)

    def render(self, target: str, h: Tensor, source: tuple[str, Tensor], exemplar: Tensor) -> Tensor:
        decoded = residual_block(self.state("share_generator"), "resblock_0", h)
        styled = reference_step(decoded, self.features(*source), self.features(target, exemplar))
        return reference_generator(self.state(f"generator_{target}"), styled, self.stages)

    def judge(self, domain: str, x: Tensor) -> Tensor:
        layers = self.built.config.discriminator_layers
        return reference_discriminator(self.state(f"discriminator_{domain}"), x, layers)

    def vgg(self, x: Tensor) -> list[Tensor]:
        """The stand-in's five maps, each channel's of length 1."""
        assert self.built.perceptual is not None
        state, found = state_of(self.built.perceptual.network), []
        for i in range(5):
            x = F.conv2d(x if i == 0 else F.max_pool2d(x, 2), state[f"features.{3 * i}.weight"], padding=1)
            x = (x + state[f"features.{3 * i}.bias"][:, None, None]).clamp_min(0)
            found.append(x / (x**2).sum(dim=(2, 3), keepdim=True).clamp_min(1e-12).sqrt())
        return found

    def generator_losses(self) -> dict[str, float]:
        """Generator losses written out, as floats."""
        c, distance = self.built.config, lambda x, y: (x - y).abs().mean()

        def grams(x: Tensor) -> list[Tensor]:
            return [torch.einsum("bihw,bjhw->bij", v, v) / (v.shape[2] * v.shape[3]) for v in self.vgg(x)]

        def summed(weights: list[float], x: list[Tensor], y: list[Tensor]) -> Tensor:
            return torch.stack(
                [w * distance(*pair) for w, pair in zip(weights, zip(x, y, strict=True), strict=True)]
            ).sum()

        fifths, ones = [i / 5 for i in range(1, 6)], [1.0] * 5
        content = summed(fifths, self.vgg(self.ab), self.vgg(self.a)) + summed(
            fifths, self.vgg(self.ba), self.vgg(self.b)
        )
        style = summed(ones, grams(self.ab), grams(self.b)) + summed(ones, grams(self.ba), grams(self.a))
        return {
            "adv_a": (c.lambda_adv * ((self.judge("a", self.ba) - 1) ** 2).mean()).item(),
            "adv_b": (c.lambda_adv * ((self.judge("b", self.ab) - 1) ** 2).mean()).item(),
            "rec_a": c.lambda_rec * distance(self.aa, self.a).item(),
            "rec_b": c.lambda_rec * distance(self.bb, self.b).item(),
            "cyc_a": c.lambda_cyc * distance(self.aba, self.a).item(),
            "cyc_b": c.lambda_cyc * distance(self.bab, self.b).item(),
            "latent": 2 * c.lambda_latent * (torch.cat([self.h_a, self.h_b]) ** 2).mean().item(),
            "latent_back": c.lambda_latent * ((self.h_bab**2).mean() + (self.h_aba**2).mean()).item(),
            "style": c.lambda_style * style.item(),
            "content": c.lambda_content * content.item(),
        }

    def discriminator_losses(self) -> dict[str, float]:
        half = 0.5 * self.built.config.lambda_adv
        return {
            "real_a": half * ((self.judge("a", self.a) - 1) ** 2).mean().item(),
            "fake_a": half * (self.judge("a", self.ba) ** 2).mean().item(),
            "real_b": half * ((self.judge("b", self.b) - 1) ** 2).mean().item(),
            "fake_b": half * (self.judge("b", self.ab) ** 2).mean().item(),
        }


def minibatch(given: Batch, index: int, config: EGSCITConfig = SMALL) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, noise and noise of the way back (for the discriminators' minibatch, which has none, zeros)."""
    rows = slice(index * config.batch_size, (index + 1) * config.batch_size)
    back = given.noise_back[index - 1] if index else torch.zeros_like(given.noise_back[0])
    return given.a[rows], given.b[rows], given.noise[index], back


def values(phase: Phase) -> dict[str, float]:
    return {name: loss.item() for name, loss in phase.losses.items()}


# ------------------------------------------------------------------------------------------- images and losses


@pytest.mark.parametrize("stages", [1, 3])
def test_every_phase_holds_the_terms_of_the_plain_forward_pass(stages: int) -> None:
    """Translations, reconstructions and cycles enter by their losses: float64, relative 1e-10."""
    config = replace(SMALL, stages=stages)
    built, given = method(config), batch(config)
    with torch.no_grad():
        first, *others = list(built.training_step(given))
        references = [Reference(built, *minibatch(given, i)) for i in range(3)]
        expected = [reference.generator_losses() for reference in references[1:]]
    assert first.trains == ("discriminator_a", "discriminator_b")
    assert values(first) == pytest.approx(references[0].discriminator_losses(), rel=1e-10)
    assert len(others) == 2
    for phase, wanted in zip(others, expected, strict=True):
        assert phase.trains == NETWORKS
        assert values(phase) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("stages", [1, 3])
def test_translations_equal_the_plain_forward_pass_with_the_fixed_noise(stages: int) -> None:
    built = method(replace(SMALL, stages=stages))
    a, b = numbers(1, 2, 3, SIZE, SIZE), numbers(2, 2, 3, SIZE, SIZE)
    noise = built.noise.flatten().expand(4, -1)
    with torch.no_grad():
        reference = Reference(built, a, b, noise, noise)
    pairs = [
        (built.translate(a, 0, 1, Exemplar(b)), reference.ab),
        (built.translate(b, 1, 0, Exemplar(a)), reference.ba),
        (built.translate(a, 0, 0, Exemplar(a)), reference.aa),
        (built.translate(b, 1, 1, Exemplar(b)), reference.bb),
    ]
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)
        assert found.std() > 0.1


def test_the_fixed_noise_is_normal_and_the_same_in_every_method() -> None:
    torch.manual_seed(1)
    first, second = EGSCIT(SMALL, 64).noise, EGSCIT(SMALL, 64).noise
    assert torch.equal(first, second)
    assert first.shape == (8, 16, 16)
    assert first.mean().item() == pytest.approx(0, abs=0.1)
    assert first.std().item() == pytest.approx(1, abs=0.1)
    built, x = method(), numbers(1, 1, 3, SIZE, SIZE)
    before = built.translate(x, 0, 1, Exemplar(x))
    built.noise.neg_()
    assert not torch.equal(built.translate(x, 0, 1, Exemplar(x)), before)


def test_flat_images_are_translated_to_finite_ones() -> None:
    """The noise keeps the latent's variance, by which it is divided, away from 0."""
    built, flat = method(), torch.full((2, 3, SIZE, SIZE), -1.0, dtype=torch.float64)
    assert torch.isfinite(built.translate(flat, 0, 1, Exemplar(flat))).all()


def test_adain_is_another_method() -> None:
    config = replace(SMALL, statistics="adain")
    x = numbers(1, 2, 3, SIZE, SIZE)
    assert not torch.equal(method(config).translate(x, 0, 1, Exemplar(x)), method().translate(x, 0, 1, Exemplar(x)))


# ------------------------------------------------------------------------------------------------------- traps


def test_statistics_by_hand() -> None:
    """x has mean 2 and variance 4, the exemplar mean 3 and variance 16."""
    x, exemplar = torch.tensor([0.0, 4.0]).reshape(1, 1, 1, 2), torch.tensor([-1.0, 7.0]).reshape(1, 1, 1, 2)
    assert egsc_published(x, exemplar).flatten().tolist() == [3 * -2 / 4 + 16, 3 * 2 / 4 + 16]
    assert egsc_adain(x, exemplar).flatten().tolist() == pytest.approx([4 / 2 * -2 + 3, 4 / 2 * 2 + 3], rel=1e-5)


def test_the_mask_lies_between_a_half_and_one() -> None:
    assert egsc_soft_mask(torch.tensor([-100.0, 0.0, math.log(3), 100.0])).tolist() == pytest.approx(
        [0.5, 0.75, 0.875, 1]
    )


def test_maps_have_length_1_over_space_and_channels_do_not_matter_to_each_other() -> None:
    features = torch.tensor([[[[3.0, 4.0]], [[0.0, 0.0]], [[0.0, 2e-7]]]])
    assert egsc_unit_maps(features).flatten().tolist() == pytest.approx([0.6, 0.8, 0, 0, 0, 0.2])


def test_gram_matrix_is_divided_by_the_number_of_pixels_alone() -> None:
    features = torch.tensor([[[[1.0, 2.0], [0.0, 1.0]], [[3.0, 0.0], [1.0, 1.0]]]])
    assert egsc_gram(features).flatten().tolist() == [6 / 4, 4 / 4, 4 / 4, 11 / 4]


def test_each_phase_has_a_minibatch_of_its_own() -> None:
    """Other images or other noise for one minibatch change the losses of its phase alone."""
    built, given = method(), batch()

    def losses(changed: Batch) -> list[dict[str, float]]:
        with torch.no_grad():
            return [values(phase) for phase in built.training_step(changed)]

    before = losses(given)
    for name in ("a", "b", "noise", "noise_back"):
        for index in range(3):
            tensor = getattr(given, name).clone()
            if name == "noise_back" and index == 0:
                continue
            place = index - 1 if name == "noise_back" else index
            (tensor.split(2)[index] if name in ("a", "b") else tensor[place]).neg_()
            after = losses(replace(given, **{name: tensor}))
            assert [x != y for x, y in zip(before, after, strict=True)] == [i == index for i in range(3)]


def test_discriminators_reach_no_generator_and_generators_see_stepped_networks() -> None:
    built, given = method(), batch()
    phases = built.training_step(given)
    loss = torch.stack(list(next(phases).losses.values())).sum()
    others = [p for name in NETWORKS for p in getattr(built, name).parameters()]
    assert all(g is None for g in torch.autograd.grad(loss, others, allow_unused=True))
    with torch.no_grad():
        for p in built.discriminator_a.parameters():
            p.add_(0.1)
    second = values(next(phases))
    with torch.no_grad():
        assert second == pytest.approx(Reference(built, *minibatch(given, 1)).generator_losses(), rel=1e-10)
        for p in built.encoder_b.parameters():
            p.mul_(0.7)
        third = values(next(phases))
        assert third == pytest.approx(Reference(built, *minibatch(given, 2)).generator_losses(), rel=1e-10)
    assert next(phases, None) is None


def test_frozen_networks_stay_and_get_no_gradient() -> None:
    built = method()
    assert built.perceptual is not None
    frozen = [*built.features_a.parameters(), *built.features_b.parameters(), *built.perceptual.network.parameters()]
    before = [p.clone() for p in frozen]
    run_step(built, batch())
    assert all(torch.equal(p, old) for p, old in zip(frozen, before, strict=True))
    assert not any(p.requires_grad for p in frozen)
    assert set(built.optimizers) == {*NETWORKS, *DISCRIMINATORS}


def test_autocast_keeps_the_gradients_of_what_is_stepped() -> None:
    """Weights that autocast first casts under no_grad would lose theirs: every stepped weight must move in bf16."""
    built = method().float()
    assert built.perceptual is not None
    built.perceptual.network.float()
    before = {name: [p.clone() for p in getattr(built, name).parameters()] for name in built.optimizers}
    given = Batch(**{name: value.float() for name, value in vars(batch()).items()})
    run_step(built, given, lambda: torch.autocast("cpu", torch.bfloat16))
    for name in built.optimizers:
        moved = [
            not torch.equal(p, old) for p, old in zip(getattr(built, name).parameters(), before[name], strict=True)
        ]
        assert all(moved), name


STORED_LOSSES: list[dict[str, float]] = [
    {"real_a": 0.541022992, "fake_a": 0.0855046169, "real_b": 0.582402798, "fake_b": 0.04950933},
    {
        "adv_a": 1.14581172, "adv_b": 1.13523022, "rec_a": 0.95736039, "rec_b": 0.941278567, "cyc_a": 1.34671532,
        "cyc_b": 1.15123405, "latent": 9.21290526, "latent_back": 18.1934676, "style": 0.647833346,
        "content": 1.43995754,
    },
    {
        "adv_a": 1.15188131, "adv_b": 1.17055068, "rec_a": 0.941820653, "rec_b": 0.929582629, "cyc_a": 1.3102866,
        "cyc_b": 1.19966321, "latent": 11.4967092, "latent_back": 18.1784665, "style": 0.761804299,
        "content": 1.68013139,
    },
]  # fmt: skip
STORED_NORMS: dict[str, list[float]] = {
    "discriminator_a": [1.25410537],
    "discriminator_b": [3.6575859],
    "encoder_a": [299.868776, 324.977936],
    "encoder_b": [237.008711, 382.603716],
    "share_encoder": [167.0462, 288.480714],
    "share_generator": [75.01525, 197.45693],
    "generator_a": [141.154583, 203.727911],
    "generator_b": [27.4728337, 32.5887724],
}  # fmt: skip


def test_one_iteration_gives_the_stored_numbers() -> None:
    """Of this implementation when it was checked. A change here means that the mathematics changed."""
    built, norms = method(), {}
    for name, optimizer in built.optimizers.items():

        def record(*_: object, name: str = name) -> None:
            grads = [p.grad for p in getattr(built, name).parameters()]
            norms.setdefault(name, []).append(torch.stack([g.norm() for g in grads if g is not None]).norm().item())

        optimizer.register_step_pre_hook(record)
    logged = run_step(built, batch())
    losses: list[dict[str, float]] = [{}, {}, {}]
    for key, value in logged.items():
        losses[int(key[0])][key.rpartition(".")[2]] = value.item()
    assert norms.keys() == STORED_NORMS.keys()
    for found, stored in zip(losses, STORED_LOSSES, strict=True):
        assert found == pytest.approx(stored, rel=1e-6)
    for name, stored_norms in STORED_NORMS.items():
        assert norms[name] == pytest.approx(stored_norms, rel=1e-6)


# --------------------------------------------------------------------------------------- settings, draws, schedule


def test_defaults_are_the_celeba_preset() -> None:
    c = EGSCITConfig()
    assert (c.width, c.stages, c.batch_size, c.learning_rate, c.betas) == (64, 3, 8, 1e-4, (0.5, 0.999))
    assert (c.lambda_adv, c.lambda_rec, c.lambda_cyc, c.lambda_latent) == (10, 100, 100, 0.1)
    assert (c.lambda_style, c.lambda_content, c.generator_updates, c.init_std) == (5e3, 1e1, 5, 0.02)
    assert (c.perceptual, c.statistics, c.flip, c.crop_probability) == ("vgg19_caffe", "published", True, 0.5)
    assert EGSCIT.supervision == "weak"


def test_learning_rate_falls_to_0_with_the_power_0_9() -> None:
    built = EGSCIT(replace(SMALL, learning_rate=2e-4), SIZE)
    assert set(built.learning_rates(Progress(0, 10))) == {*NETWORKS, *DISCRIMINATORS}
    for step, expected in ((0, 2e-4), (50, 2e-4 * 0.5**0.9), (99, 2e-4 * 0.01**0.9)):
        assert list(built.learning_rates(Progress(step, 100)).values()) == pytest.approx([expected] * 8)


def test_first_weights_are_the_published_ones() -> None:
    """G: normal, cut off at 0.04, which leaves a standard deviation of 0.88 * 0.02. D: Xavier, uniform."""
    torch.manual_seed(0)
    built = EGSCIT(replace(SMALL, width=16, discriminator_width=16), SIZE)
    weight = built.encoder_a.get_submodule("resblock_0.res1").weight
    assert weight.abs().max() <= 0.04
    assert weight.std().item() == pytest.approx(0.88 * 0.02, rel=0.02)
    wide = EGSCIT(replace(SMALL, width=16, init_std=0.1), SIZE).generator_b.get_submodule("deconv_0").weight
    assert 0.15 < wide.abs().max() <= 0.2
    judge = built.discriminator_b.get_submodule("conv_1").weight
    bound = math.sqrt(6 / (16 * 16 + 16 * 32))
    assert 0.97 * bound < judge.abs().max() <= bound
    assert judge.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
    for name, parameter in built.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()


def test_draw_takes_images_of_both_domains_and_normal_noise() -> None:
    config = replace(SMALL, batch_size=20)
    built = EGSCIT(config, SIZE)
    assert built.images_per_step == 60
    drawn = built.draw(domains(SIZE), torch.Generator().manual_seed(0), Progress(0, 10))
    assert drawn.a.shape == drawn.b.shape == (60, 3, SIZE, SIZE)
    assert drawn.a.mean(dim=(1, 2, 3)).max() < 0 < drawn.b.mean(dim=(1, 2, 3)).min()
    assert drawn.noise.shape == (3, 40, 8 * 4 * 4)
    assert drawn.noise_back.shape == (2, 40, 8 * 4 * 4)
    both = torch.cat([drawn.noise, drawn.noise_back])
    assert both.std().item() == pytest.approx(1, abs=0.03)
    assert not torch.equal(drawn.noise[1], drawn.noise_back[0])


def test_crops_keep_four_fifths_of_a_side_and_digits_are_not_touched() -> None:
    """The images are a ramp from left to right: its slope in the crop tells the crop's width."""
    ramp = torch.arange(0, 250, 10, dtype=torch.uint8).expand(1, 3, 25, 25)
    store, rng = Domains((ramp, ramp)), torch.Generator().manual_seed(0)
    same = autoencoder_images(store, 0, 5, rng, crop_probability=0.0, flip=False)
    assert torch.equal(same, to_model_range(ramp).expand(5, -1, -1, -1))
    cropped = autoencoder_images(store, 0, 200, rng, crop_probability=1.0, flip=False)
    share = (cropped[:, 0, 0, 17] - cropped[:, 0, 0, 7]) / (100 / 127.5)
    assert 0.795 < share.min() < 0.82
    assert 0.98 < share.max() <= 1.001
    flipped = autoencoder_images(store, 0, 200, rng, crop_probability=0.0, flip=True)
    assert 70 < (flipped[:, 0, 0, 0] > 0).sum() < 130


@pytest.mark.parametrize(
    "changes",
    [
        {"stages": 0}, {"generator_updates": 0}, {"batch_size": 0}, {"lambda_style": -1.0}, {"statistics": "other"},
        {"perceptual": "moco_v2"}, {"betas": (0.5, 1.0)}, {"crop_probability": 2.0}, {"init_std": 0.0},
        {"autoencoder_steps": 0},
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"EGSC-IT needs .*{next(iter(changes))}"):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    ("changes", "size", "reason"),
    [
        ({}, 18, "a multiple of 4"),
        ({}, 4, "at least 8"),
        ({"discriminator_layers": 4}, 16, "at least 17 for discriminator_layers=4"),
    ],
)
def test_an_image_size_that_does_not_fit_is_refused(changes: dict[str, int], size: int, reason: str) -> None:
    with pytest.raises(ValueError, match=f"EGSC-IT at {size} px needs .*{reason}"):
        EGSCIT(replace(SMALL, **changes), size)


@pytest.mark.parametrize("name", PERCEPTUAL)
def test_every_perceptual_network_has_the_taps(name: str) -> None:
    with torch.device("meta"):
        network = build_backbone(name)
        assert isinstance(network, VGGFeatures)
        maps = network.taps(torch.zeros(1, 3, 28, 28))
    assert [features.shape[-1] for features in maps] == [28, 14, 7, 4, 2]


# -------------------------------------------------------------------------------------------- stages before training


def stand_in(name: str) -> State:
    if name != "stand_in":
        raise LookupError(name)
    return fill(StandInVGG()).state_dict()


def run(build: Callable[[], Autoencoders], attempt: int = 0) -> Autoencoders:
    torch.manual_seed(5)
    stage = build()
    run_stage(stage, seed=0)
    return stage


def prepared(config: EGSCITConfig = SMALL) -> tuple[EGSCIT, list[Autoencoders]]:
    """A method after `prepare`, and the stage that it has run."""
    torch.manual_seed(0)
    built, stages = EGSCIT(config, SIZE), []

    def remembered(build: Callable[[], Autoencoders], attempt: int = 0) -> Autoencoders:
        stages.append(run(build))
        return stages[-1]

    built.prepare(domains(SIZE), Context(stand_in, remembered))  # type: ignore[arg-type]
    return built, stages


def test_prepare_keeps_the_encoders_of_stage_1_and_the_classifier_apart() -> None:
    built, (stage,) = prepared()
    for own, expected in ((built.features_a, stage.autoencoder_a), (built.features_b, stage.autoencoder_b)):
        for key, value in expected.encoder.state_dict().items():
            assert torch.equal(own.state_dict()[key], value)
    names = {key.partition(".")[0] for key in built.state_dict()}
    assert names == {*NETWORKS, *DISCRIMINATORS, "features_a", "features_b", "noise"}
    assert built.perceptual is not None
    assert all(torch.equal(v, stand_in("stand_in")[k]) for k, v in built.perceptual.network.state_dict().items())
    with pytest.raises(LookupError, match="vgg19_caffe"):
        EGSCIT(replace(SMALL, perceptual="vgg19_caffe"), SIZE).prepare(
            domains(SIZE),
            Context(stand_in, run),  # type: ignore[arg-type]
        )


def test_a_restored_method_translates_without_stages_but_does_not_train() -> None:
    built, _ = prepared()
    run_step(built, built.draw(domains(SIZE), torch.Generator().manual_seed(0), Progress(0, 2)))
    restored = EGSCIT(SMALL, SIZE)
    restored.load_state_dict(built.state_dict())
    x = numbers(1, 2, 3, SIZE, SIZE, dtype=torch.float32)
    assert torch.equal(restored.translate(x, 0, 1, Exemplar(x)), built.translate(x, 0, 1, Exemplar(x)))
    phases = restored.training_step(restored.draw(domains(SIZE), torch.Generator(), Progress(0, 2)))
    next(phases)
    with pytest.raises(RuntimeError, match="call prepare first"):
        next(phases)


def stage(seed: int = 0, **changes: Any) -> Autoencoders:
    torch.manual_seed(seed)
    return Autoencoders(replace(SMALL, **changes).of_autoencoders, domains(SIZE))


def test_stage_1_holds_the_terms_of_the_plain_forward_pass() -> None:
    """Networks are checked elsewhere; here the weights, the order, and what each step sees (relative 1e-5)."""
    built = stage(crop_probability=0.0, flip=False)
    rng, again = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    phases = built.training_step(rng)
    for trains in (("discriminator_a", "discriminator_b"), ("autoencoder_a", "autoencoder_b")):
        phase, expected = next(phases), {}
        a, b, noise_a, noise_b = built._minibatch(again)  # each phase draws its own
        assert a.mean() < 0 < b.mean()
        for letter, x, noise in (("a", a, noise_a), ("b", b, noise_b)):
            autoencoder, judge = getattr(built, f"autoencoder_{letter}"), getattr(built, f"discriminator_{letter}")
            rec, h = autoencoder(x, noise)
            if trains[0].startswith("discriminator"):
                expected[f"real_{letter}"] = 0.5 * 1.1 * ((judge(x) - 1) ** 2).mean().item()
                expected[f"fake_{letter}"] = 0.5 * 1.1 * (judge(rec) ** 2).mean().item()
            else:
                expected[f"adv_{letter}"] = 1.1 * ((judge(rec) - 1) ** 2).mean().item()
                expected[f"rec_{letter}"] = 1.3 * (rec - x).abs().mean().item()
                expected[f"latent_{letter}"] = 0.19 * (h**2).mean().item()
        assert phase.trains == trains
        assert values(phase) == pytest.approx(expected, rel=1e-5)
    assert next(phases, None) is None


def test_stage_1_learns_to_reconstruct() -> None:
    """Bright and dark images: soon the reconstructions have the brightness of their domain, without noise, too."""
    built = stage(stages=1, width=4, learning_rate=5e-3, lambda_rec=100.0, autoencoder_steps=60)
    run_stage(built, seed=0)
    for number, autoencoder in enumerate((built.autoencoder_a, built.autoencoder_b)):
        x = domains(SIZE).sample(number, 8, torch.Generator().manual_seed(0))
        found, _ = autoencoder(x, torch.zeros(8, *built.latent))
        assert (found.mean() - x.mean()).abs() < 0.15


def advance(built: Autoencoders, start: int, end: int) -> None:
    for step in range(start, end):
        run_step(built, torch.Generator().manual_seed(1_000 + step))


def test_stage_1_saved_and_restored_ends_with_the_same_bytes() -> None:
    whole, halves = stage(), stage()
    advance(whole, 0, 4)
    advance(halves, 0, 2)
    file = io.BytesIO()
    optimizers = {name: optimizer.state_dict() for name, optimizer in halves.optimizers.items()}
    torch.save({"networks": halves.state_dict(), "optimizers": optimizers}, file)
    saved = torch.load(io.BytesIO(file.getvalue()))
    resumed = stage(seed=77)
    resumed.load_state_dict(saved["networks"])
    for name, optimizer in resumed.optimizers.items():
        optimizer.load_state_dict(saved["optimizers"][name])
    advance(resumed, 2, 4)
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value)


def test_stage_1s_learning_rate_falls_with_its_own_steps() -> None:
    built = stage(learning_rate=1e-3, autoencoder_steps=4)
    for step in range(4):
        advance(built, step, step + 1)
        rates = [optimizer.param_groups[0]["lr"] for optimizer in built.optimizers.values()]
        assert rates == pytest.approx([1e-3 * (1 - step / 4) ** 0.9] * 4)


def test_stage_1s_identity_has_its_own_settings_alone() -> None:
    own = stage().identity()
    assert json.loads(json.dumps(own)) == own
    assert stage(seed=9).identity() == own
    for changes in ({"width": 4}, {"flip": False}, {"lambda_rec": 9.0}, {"autoencoder_steps": 9}, {"init_std": 0.1}):
        assert stage(**changes).identity() != own
    for changes in ({"lambda_style": 9.0}, {"statistics": "adain"}, {"generator_updates": 1}, {"perceptual": "vgg19"}):
        assert stage(**changes).identity() == own


def test_stage_1_gets_images_alone_and_stores_none() -> None:
    built = stage()
    networks = {"autoencoder_a", "autoencoder_b", "discriminator_a", "discriminator_b"}
    assert {key.partition(".")[0] for key in built.state_dict()} == networks
    assert set(vars(built.domains)) == {"images"}
