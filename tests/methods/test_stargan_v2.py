"""StarGAN v2: the objective term by term, the schedule, the draws and inference, with every trap."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from determined import domains, fill, numbers
from torch import Tensor, nn

from bench.spec.run_spec import flat_spec_values, spec_config
from methods.base import Code, Domains, Exemplar, Noise, Progress, run_step
from methods.registry import registered
from methods.stargan_v2 import Batch, StarGANv2, StarGANv2Config

SMALL = StarGANv2Config(
    max_width=8, base_width=4, content_size=8, bottleneck_blocks=1, style_dim=5, mapping_width=8, latent_dim=6,
    batch_size=4, crop_probability=0.0, flip=False, lambda_ds=2.0,
)  # fmt: skip
SIZE = 16
NETWORKS = ("generator", "mapping_network", "style_encoder", "discriminator")


def method(config: StarGANv2Config = SMALL) -> StarGANv2:
    """With determined weights, other ones in the averaged networks."""
    built = StarGANv2(config, SIZE)
    for salt, name in enumerate(NETWORKS):
        fill(getattr(built, name), salt)
    for salt, network in enumerate(built.ema.values()):
        fill(network, 10 + salt)
    return built


def batch(dtype: torch.dtype = torch.float32) -> Batch:
    """Determined; every pair of domains occurs."""
    images = [numbers(tag, 4, 3, SIZE, SIZE, dtype=dtype) for tag in (1, 2, 3)]
    y_source, y_target = torch.tensor([0, 1, 0, 1]), torch.tensor([1, 0, 0, 1])
    z, z2 = numbers(4, 4, 6, dtype=dtype), numbers(5, 4, 6, dtype=dtype)
    return Batch(images[0], y_source, images[1], images[2], y_target, z, z2, torch.tensor(1.5, dtype=dtype))


# --------------------------------------------------------------------------------------------------- the step


def discriminator_losses(m: StarGANv2, b: Batch, s: Tensor) -> dict[str, Tensor]:
    """Discriminator losses written out; `s` from F or E."""
    with torch.no_grad():
        fake = m.generator(b.x_source, s)
    x = b.x_source.clone().requires_grad_()
    logits = m.discriminator(x, b.y_source)
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    ones = torch.ones_like(logits)
    return {
        "real": F.binary_cross_entropy_with_logits(logits, ones),
        "fake": F.binary_cross_entropy_with_logits(m.discriminator(fake, b.y_target), 0 * ones),
        "r1": 0.5 * (gradient**2).flatten(1).sum(1).mean(),
    }


def generator_losses(m: StarGANv2, b: Batch, s: Tensor, s2: Tensor) -> dict[str, Tensor]:
    """Generator losses written out: everything with a graph but the second image."""
    fake = m.generator(b.x_source, s)
    back = m.generator(fake, m.style_encoder(b.x_source, b.y_source))
    logits = m.discriminator(fake, b.y_target)
    return {
        "adv": F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)),
        "sty": (m.style_encoder(fake, b.y_target) - s).abs().mean(),
        "cyc": (back - b.x_source).abs().mean(),
        "ds": -b.lambda_ds * (fake - m.generator(b.x_source, s2).detach()).abs().mean(),
    }


def gradients(losses: dict[str, Tensor], networks: list[nn.Module]) -> list[Tensor]:
    return list(
        torch.autograd.grad(torch.stack(list(losses.values())).sum(), [p for n in networks for p in n.parameters()])
    )


def test_four_phases_hold_the_terms_of_the_objective_and_their_gradients() -> None:
    """float64: losses within 1e-12, gradients (sums over some thousand terms) within 1e-9."""
    m, b = method().double(), batch(torch.float64)
    latent = [m.mapping_network(z, b.y_target) for z in (b.z, b.z2)]
    reference = [m.style_encoder(x, b.y_target) for x in (b.x_ref, b.x_ref2)]
    latent_trains = ("generator", "mapping_network", "style_encoder")
    expected = [
        (("discriminator",), discriminator_losses(m, b, latent[0])),
        (("discriminator",), discriminator_losses(m, b, reference[0])),
        (latent_trains, generator_losses(m, b, *latent)),
        (("generator",), generator_losses(m, b, *reference)),
    ]
    phases = list(m.training_step(b))
    assert len(phases) == 4
    for phase, (trains, losses) in zip(phases, expected, strict=True):
        assert phase.trains == trains
        assert phase.clip_norm is None
        assert phase.losses.keys() == losses.keys()
        for name, value in losses.items():
            torch.testing.assert_close(phase.losses[name], value, rtol=0, atol=1e-12)
        networks = [getattr(m, name) for name in trains]
        pairs = zip(gradients(dict(phase.losses), networks), gradients(losses, networks), strict=True)
        for ours, original in pairs:
            torch.testing.assert_close(ours, original, rtol=0, atol=1e-9)


def test_weights_multiply_their_terms() -> None:
    config = replace(SMALL, lambda_reg=3.0, lambda_sty=5.0, lambda_cyc=7.0)
    plain, weighted = (list(method(c).training_step(batch())) for c in (SMALL, config))
    for index, name, factor in ((0, "r1", 3), (1, "r1", 3), (2, "sty", 5), (3, "sty", 5), (2, "cyc", 7), (3, "cyc", 7)):
        ratio = weighted[index].losses[name] / plain[index].losses[name]
        assert ratio.item() == pytest.approx(factor, rel=1e-5)
    assert weighted[2].losses["ds"].item() == pytest.approx(plain[2].losses["ds"].item(), rel=1e-5)


def test_reference_pass_steps_the_generator_alone() -> None:
    """Neither F nor E is changed by it: after the whole step they are as after the third phase."""
    m, kept = method(), {}
    for index, phase in enumerate(m.training_step(batch())):
        parameters = [p for name in phase.trains for p in getattr(m, name).parameters()]
        if index == 3:
            assert phase.trains == ("generator",)
            total = torch.stack(list(phase.losses.values())).sum()
            elsewhere = [*m.mapping_network.parameters(), *m.style_encoder.parameters()]
            through_styles = torch.autograd.grad(total, elsewhere, allow_unused=True, retain_graph=True)
            kept = {name: [p.clone() for p in getattr(m, name).parameters()] for name in NETWORKS}
            assert all(g is None for g in through_styles[: len(kept["mapping_network"])])
        torch.stack(list(phase.losses.values())).sum().backward(inputs=parameters)
        for name in phase.trains:
            m.optimizers[name].step()
            m.optimizers[name].zero_grad()
    for name in NETWORKS:
        same = all(torch.equal(p, old) for p, old in zip(getattr(m, name).parameters(), kept[name], strict=True))
        assert same == (name != "generator")


def test_style_term_is_not_detached_and_the_second_image_is() -> None:
    """F gets a gradient from the style term alone, and none through z2."""
    m, b = method(), batch()
    b.z.requires_grad_()
    b.z2.requires_grad_()
    losses = list(m.training_step(b))[2].losses
    (through_s,) = torch.autograd.grad(losses["sty"], b.z, retain_graph=True)
    assert through_s.abs().min() > 0
    (through_s2,) = torch.autograd.grad(losses["ds"], b.z2, allow_unused=True, retain_graph=True)
    assert through_s2 is None


def test_heads_that_were_not_asked_for_get_zero_gradients_and_still_decay() -> None:
    """Zero and not None: Adam then applies its weight decay, as in the official code."""
    m, b = method(), batch()
    all_to_one = replace(b, y_target=torch.ones(4, dtype=torch.int64))
    before = m.mapping_network.unshared[0][0].weight.clone()
    run_step(m, all_to_one)
    after = m.mapping_network.unshared[0][0].weight
    assert torch.equal(after.grad, torch.zeros_like(after))
    moved = after - before
    assert torch.all((moved == 0) | (moved.sign() == -before.sign()))
    assert moved.abs().max() > 0


def test_autocast_keeps_the_gradients_of_what_is_stepped() -> None:
    """Weights that autocast first casts under no_grad would lose theirs: every stepped weight must move in bf16."""
    m = method()
    before = {name: [p.clone() for p in getattr(m, name).parameters()] for name in NETWORKS}
    run_step(m, batch(), lambda: torch.autocast("cpu", torch.bfloat16))
    for name in NETWORKS:
        grads = [p.grad for p in getattr(m, name).parameters()]
        assert all(g is not None for g in grads)
        assert any(not torch.equal(p, old) for p, old in zip(getattr(m, name).parameters(), before[name], strict=True))
        assert sum(bool(g.abs().max() > 0) for g in grads if g is not None) > 0.9 * len(grads) - 4


STORED_LOSSES = {
    "0.real": 0.65336, "0.fake": 0.7299, "0.r1": 0.0367814,
    "1.real": 0.654604, "1.fake": 0.779367, "1.r1": 0.0366858,
    "2.adv": 0.684947, "2.sty": 1.73334, "2.cyc": 0.973224, "2.ds": -0.189513,
    "3.adv": 0.633831, "3.sty": 1.18874, "3.cyc": 0.984676, "3.ds": -0.791893,
}  # fmt: skip
STORED_NORMS = {
    "discriminator": [1.82462, 2.18435], "generator": [6.73307, 5.31395],
    "mapping_network": [1.26644], "style_encoder": [8.08779],
}  # fmt: skip


def test_one_iteration_gives_the_stored_numbers() -> None:
    """Losses and gradient norms of this implementation when it was checked; float32, so relative 1e-4."""
    losses, norms = one_iteration()
    assert losses == pytest.approx(STORED_LOSSES, rel=1e-4)
    for name, stored in STORED_NORMS.items():
        assert norms[name] == pytest.approx(stored, rel=1e-4)
    assert norms.keys() == STORED_NORMS.keys()


def one_iteration() -> tuple[dict[str, float], dict[str, list[float]]]:
    """Losses by phase and name, gradient norms by network in the order of its steps."""
    built = method()
    norms: dict[str, list[float]] = {}
    for name, optimizer in built.optimizers.items():

        def record(*_: object, name: str = name) -> None:
            grads = [p.grad for p in getattr(built, name).parameters()]
            norms.setdefault(name, []).append(torch.stack([g.norm() for g in grads if g is not None]).norm().item())

        optimizer.register_step_pre_hook(record)
    logged = run_step(built, batch())
    return {f"{key[0]}.{key.rpartition('.')[2]}": value.item() for key, value in logged.items()}, norms


# ------------------------------------------------------------------------------------ settings, draws, inference


def test_optimisers_are_the_published_ones() -> None:
    built = StarGANv2(replace(StarGANv2Config(), max_width=8, base_width=4), 16)
    assert set(built.optimizers) == set(NETWORKS)
    for name, optimizer in built.optimizers.items():
        (group,) = optimizer.param_groups
        assert group["betas"] == (0.0, 0.99)
        assert group["weight_decay"] == 1e-4
        assert group["lr"] == (1e-6 if name == "mapping_network" else 1e-4)
        assert built.learning_rates(Progress(7, 10))[name] == group["lr"]


def test_defaults_are_the_published_ones() -> None:
    config = StarGANv2Config()
    assert (config.lambda_reg, config.lambda_sty, config.lambda_cyc, config.lambda_ds) == (1, 1, 1, 1)
    assert (config.batch_size, config.ema_decay, config.crop_probability, config.flip) == (8, 0.999, 0.5, True)


def test_diversity_weight_falls_linearly_to_zero() -> None:
    """Official: initial / ds_iter less after each iteration."""
    stores, weight = domains(SIZE), SMALL.lambda_ds
    for step in (0, 1, 50, 99):
        drawn = method().draw(stores, torch.Generator(), Progress(step, 100))
        assert drawn.lambda_ds.item() == pytest.approx(weight - step * weight / 100, rel=1e-6)
        assert drawn.lambda_ds.shape == ()
    half = method(replace(SMALL, diversity_fraction=0.5))
    assert half.draw(stores, torch.Generator(), Progress(25, 100)).lambda_ds.item() == pytest.approx(weight / 2)
    assert half.draw(stores, torch.Generator(), Progress(80, 100)).lambda_ds.item() == 0


def test_draw_is_balanced_and_every_image_is_of_its_domain() -> None:
    """`domains`: the second domain is bright. 400 items: shares within five standard deviations."""
    built = method(replace(SMALL, batch_size=400, crop_probability=0.5, flip=True))
    drawn = built.draw(domains(SIZE), torch.Generator().manual_seed(0), Progress(0, 10))
    for images, y in ((drawn.x_source, drawn.y_source), (drawn.x_ref, drawn.y_target), (drawn.x_ref2, drawn.y_target)):
        assert torch.equal(images.mean(dim=(1, 2, 3)) > 0, y == 1)
        assert images.abs().max() <= 1
    pairs = torch.stack([drawn.y_source, drawn.y_target])
    counts = (2 * pairs[0] + pairs[1]).bincount(minlength=4)
    assert torch.all((counts - 100).abs() < 45)
    assert not torch.equal(drawn.x_ref, drawn.x_ref2)
    assert abs(drawn.z.mean().item()) < 0.1
    assert drawn.z.std().item() == pytest.approx(1, abs=0.05)
    assert not torch.equal(drawn.z, drawn.z2)


def test_averaged_networks_start_as_copies_and_then_follow() -> None:
    built = StarGANv2(SMALL, SIZE)
    weight, average = built.generator.from_rgb.weight, built.ema["generator"].from_rgb.weight
    assert torch.equal(weight, average)
    assert set(built.ema) == {"generator", "mapping_network", "style_encoder"}
    before = weight.clone()
    run_step(built, batch())
    torch.testing.assert_close(average, 0.999 * before + 0.001 * weight)
    assert not torch.equal(weight, before)


def test_translate_uses_the_averaged_networks_and_the_target_domain() -> None:
    built, b = method(), batch()
    y = torch.ones(4, dtype=torch.int64)
    ema = built.ema
    with torch.no_grad():
        for style, code in (
            (Noise(b.z), ema["mapping_network"](b.z, y)),
            (Exemplar(b.x_ref), ema["style_encoder"](b.x_ref, y)),
            (Code(numbers(9, 4, 5, dtype=torch.float32)), numbers(9, 4, 5, dtype=torch.float32)),
        ):
            expected = ema["generator"](b.x_source, code).clamp(-1, 1)
            assert torch.equal(built.translate(b.x_source, 0, 1, style), expected)
    to_0, to_1 = (built.translate(b.x_source, 0, target, Noise(b.z)) for target in (0, 1))
    assert not torch.equal(to_0, to_1)


def test_official_checkpoint_loads_into_live_and_averaged_networks() -> None:
    built, other = method(), StarGANv2(SMALL, SIZE)
    states = {name: fill(getattr(other, name), 20).state_dict() for name in NETWORKS}
    states["generator"] = {f"module.{key}": value for key, value in states["generator"].items()}
    built.load_official({**states, "fan": {"anything": torch.zeros(1)}})
    for name in NETWORKS:
        for key, value in getattr(other, name).state_dict().items():
            assert torch.equal(getattr(built, name).state_dict()[key], value)
            if name in built.ema:
                assert torch.equal(built.ema[name].state_dict()[key], value)
    faces = {**other.generator.state_dict(), "hpf.filter": torch.zeros(3, 3)}
    with pytest.raises(ValueError, match=r"generator: unexpected hpf\.filter"):
        built.load_official({"generator": faces})


def test_cats_udts_baseline_reconstructs_the_style_with_the_source_domains_head() -> None:
    """By hand, from the networks."""
    stock, cats = (method(replace(SMALL, style_rec_domain=name)) for name in ("target", "source"))
    b = batch()
    for built, y in ((stock, b.y_target), (cats, b.y_source)):
        s = built.mapping_network(b.z, b.y_target)
        fake = built.generator(b.x_source, s)
        expected = built.config.lambda_sty * (built.style_encoder(fake, y) - s).abs().mean()
        losses = built._generator_losses(
            b, built._translated(b, s), s.detach(), built.style_encoder(b.x_source, b.y_source)
        )
        torch.testing.assert_close(losses["sty"], expected)
    assert not torch.equal(b.y_source, b.y_target)


def test_cats_udts_baseline_draws_both_domains_as_often_as_they_have_images() -> None:
    """300 dark images and 100 bright ones: three quarters of 800 items are dark, within five standard deviations."""
    dark, bright = domains(SIZE, 300).images[0], domains(SIZE, 100).images[1]
    built = method(replace(SMALL, batch_size=800, sampling="union", crop_probability=0.0))
    drawn = built.draw(Domains((dark, bright)), torch.Generator().manual_seed(0), Progress(0, 10))
    for images, y in ((drawn.x_source, drawn.y_source), (drawn.x_ref, drawn.y_target), (drawn.x_ref2, drawn.y_target)):
        assert abs(int((y == 0).sum()) - 600) < 62
        assert torch.equal(images.mean(dim=(1, 2, 3)) > 0, y == 1)


def test_the_names_of_cats_udts_checkpoints_load() -> None:
    """Heads of E wrapped once more, D's last convolution called `dis`."""
    built, other = method(), StarGANv2(SMALL, SIZE)
    e, d = (fill(getattr(other, name), 20).state_dict() for name in ("style_encoder", "discriminator"))
    last = max(int(key.split(".")[1]) for key in d)
    theirs_e = {re.sub(r"^(unshared\.\d)", r"\1.0", key): value for key, value in e.items()}
    theirs_d = {key.replace(f"main.{last}.", "dis."): value for key, value in d.items()}
    assert "unshared.1.0.weight" in theirs_e
    assert "dis.weight" in theirs_d
    built.load_official({"style_encoder": theirs_e, "discriminator": theirs_d})
    for name, state in (("style_encoder", e), ("discriminator", d)):
        assert all(torch.equal(getattr(built, name).state_dict()[key], value) for key, value in state.items())


def test_the_two_named_forms_differ_in_what_the_authors_changed() -> None:
    def config(name: str) -> StarGANv2Config:
        return spec_config(StarGANv2, name, registered()[name].settings)

    assert config("stargan_v2:original") == StarGANv2Config()
    changed = flat_spec_values(config("stargan_v2:cats"))
    differing = {key: value for key, value in changed.items() if value != flat_spec_values(StarGANv2Config())[key]}
    assert differing == {"style_rec_domain": "source", "sampling": "union", "lambda_ds": 2.0}


@pytest.mark.parametrize(
    ("changes", "size"), [({}, 24), ({}, 4), ({"content_size": 16}, 8), ({"content_size": 32}, 16)]
)
def test_an_image_size_that_does_not_fit_is_refused(changes: dict[str, int], size: int) -> None:
    with pytest.raises(ValueError, match=f"at {size} px needs an image size that is a power of two, at least"):
        StarGANv2(replace(SMALL, **changes), size)


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 3},
        {"content_size": 12},
        {"max_width": 0},
        {"lambda_reg": -1.0},
        {"diversity_fraction": 0.0},
        {"sampling": "uniform"},
        {"style_rec_domain": "both"},
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(SMALL, **changes)


@pytest.mark.parametrize("content", [2, 4, 16])
def test_16_px_trains_at_any_content_size(content: int) -> None:
    config = replace(SMALL, content_size=content)
    assert all(torch.isfinite(value) for value in run_step(StarGANv2(config, SIZE), batch()).values())
