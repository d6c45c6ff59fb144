"""MUNIT: the objective term by term, schedule, draws, inference and official checkpoints, with their traps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from determined import domains, fill, numbers
from torch import Tensor, nn

from methods.base import Code, Exemplar, Noise, Progress, run_step
from methods.munit import MUNIT, Batch, MUNITConfig

SMALL = MUNITConfig(
    width=4, style_dim=5, blocks=2, mlp_width=8, discriminator_width=4, discriminator_layers=2, discriminator_scales=2,
    batch_size=2, flip=False,
)  # fmt: skip
CYCLE = replace(SMALL, lambda_cycle=10.0)
SIZE = 16
NETWORKS = ("generator_a", "generator_b", "discriminator_a", "discriminator_b")


def method(config: MUNITConfig = SMALL) -> MUNIT:
    """With determined weights, in float64; gammas of order 1, where `fill` has 0.1."""
    built = MUNIT(config, SIZE).double()
    for salt, name in enumerate(NETWORKS):
        fill(getattr(built, name), salt)
    for name, value in built.state_dict().items():
        if name.endswith("gamma"):
            value.mul_(8)
    return built


def batch(dtype: torch.dtype = torch.float64) -> Batch:
    images = [numbers(tag, 2, 3, SIZE, SIZE, dtype=dtype) for tag in (1, 2)]
    return Batch(*images, *(2 * numbers(tag, 2, 5, dtype=dtype) for tag in (3, 4, 5, 6)))


# --------------------------------------------------------------------------------------------------- the step


def over_scales(maps: list[Tensor], target: float) -> Tensor:
    """Summed over the scales, without 0.5."""
    assert len(maps) == 2
    return ((maps[0] - target) ** 2).mean() + ((maps[1] - target) ** 2).mean()


def distance(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().mean()


def discriminator_losses(m: MUNIT, given: Batch) -> dict[str, Tensor]:
    """Discriminator losses: both images are encoded here, and the fakes have styles of their own."""
    x_ba = m.generator_a.decode(m.generator_b.enc_content(given.real_b), given.judged_style_a).detach()
    x_ab = m.generator_b.decode(m.generator_a.enc_content(given.real_a), given.judged_style_b).detach()
    return {
        "real_a": over_scales(m.discriminator_a(given.real_a), 1),
        "fake_a": over_scales(m.discriminator_a(x_ba), 0),
        "real_b": over_scales(m.discriminator_b(given.real_b), 1),
        "fake_b": over_scales(m.discriminator_b(x_ab), 0),
    }


def generator_losses(m: MUNIT, given: Batch) -> dict[str, Tensor]:
    """Generator losses: one forward pass per term, nothing detached."""
    a, b = m.generator_a, m.generator_b
    x_a, x_b = given.real_a, given.real_b
    c_a, c_b = a.enc_content(x_a), b.enc_content(x_b)
    s_a, s_b = a.enc_style(x_a), b.enc_style(x_b)
    x_ba, x_ab = a.decode(c_b, given.style_a), b.decode(c_a, given.style_b)
    return {
        "adversarial_a": over_scales(m.discriminator_a(x_ba), 1),
        "adversarial_b": over_scales(m.discriminator_b(x_ab), 1),
        "image_a": 10 * distance(a.decode(c_a, s_a), x_a),
        "image_b": 10 * distance(b.decode(c_b, s_b), x_b),
        "content_a": distance(b.enc_content(x_ab), c_a),
        "content_b": distance(a.enc_content(x_ba), c_b),
        "style_a": distance(a.enc_style(x_ba), given.style_a),
        "style_b": distance(b.enc_style(x_ab), given.style_b),
        "cycle_a": 10 * distance(a.decode(b.enc_content(x_ab), s_a), x_a),
        "cycle_b": 10 * distance(b.decode(a.enc_content(x_ba), s_b), x_b),
    }


def gradients(losses: dict[str, Tensor], networks: list[nn.Module]) -> list[Tensor]:
    parameters = [p for network in networks for p in network.parameters()]
    return list(torch.autograd.grad(torch.stack(list(losses.values())).sum(), parameters))


@pytest.mark.parametrize("config", [SMALL, CYCLE])
def test_both_phases_hold_the_terms_of_the_objective_and_their_gradients(config: MUNITConfig) -> None:
    """float64: losses within 1e-10, gradients (sums over some thousand terms) within 1e-9."""
    m, given = method(config), batch()
    of_generators = generator_losses(m, given)
    if config is SMALL:  # the default: no cycle
        del of_generators["cycle_a"], of_generators["cycle_b"]
    expected = [
        (("discriminator_a", "discriminator_b"), discriminator_losses(m, given)),
        (("generator_a", "generator_b"), of_generators),
    ]
    phases = list(m.training_step(given))
    assert len(phases) == 2
    for phase, (trains, losses) in zip(phases, expected, strict=True):
        assert phase.trains == trains
        assert phase.clip_norm is None
        assert phase.losses.keys() == losses.keys()
        for name, value in losses.items():
            torch.testing.assert_close(phase.losses[name], value, rtol=0, atol=1e-10)
        networks = [getattr(m, name) for name in trains]
        pairs = zip(gradients(dict(phase.losses), networks), gradients(losses, networks), strict=True)
        for ours, reference in pairs:
            torch.testing.assert_close(ours, reference, rtol=0, atol=1e-9)


def test_generators_meet_the_discriminators_after_their_step() -> None:
    m, given = method(), batch()
    phases = m.training_step(given)
    next(phases)
    with torch.no_grad():
        for p in m.discriminator_a.parameters():
            p.mul_(0.5)  # as if stepped
    losses = next(phases).losses
    expected = generator_losses(m, given)
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-10)
    assert next(phases, None) is None


def test_each_phase_reaches_its_own_networks_alone() -> None:
    """Discriminators: fakes have no graph. Encoded styles meet no discriminator, not even with a cycle."""
    m, given = method(CYCLE), batch()
    first, second = m.training_step(given)
    generators = [*m.generator_a.parameters(), *m.generator_b.parameters()]
    total = torch.stack(list(first.losses.values())).sum()
    assert all(g is None for g in torch.autograd.grad(total, generators, allow_unused=True))
    encoders = [*m.generator_a.enc_style.parameters(), *m.generator_b.enc_style.parameters()]
    adversarial = second.losses["adversarial_a"] + second.losses["adversarial_b"]
    found = torch.autograd.grad(adversarial, encoders)
    assert all(torch.equal(g, torch.zeros_like(g)) for g in found)


def test_content_is_a_target_with_a_gradient() -> None:
    """c_a enters as the content of x_ab and as the target: both encoders learn from content_a."""
    m, given = method(), batch()
    loss = list(m.training_step(given))[1].losses["content_a"]
    content = m.generator_a.enc_content(given.real_a)
    again = m.generator_b.enc_content(m.generator_b.decode(content.detach(), given.style_b)).detach()
    weight = m.generator_a.enc_content.model[0].conv.weight
    (through_both,) = torch.autograd.grad(loss, weight, retain_graph=True)
    (through_target,) = torch.autograd.grad(distance(again, content), weight, retain_graph=True)
    fake = m.generator_b.decode(content, given.style_b)
    (through_image,) = torch.autograd.grad(distance(m.generator_b.enc_content(fake), content.detach()), weight)
    assert through_target.abs().max() > 1e-3
    assert through_image.abs().max() > 1e-3
    torch.testing.assert_close(through_both, through_target + through_image, rtol=0, atol=1e-9)


def test_weights_multiply_their_terms() -> None:
    """By default 1, 10, 1, 1 and no cycle."""
    config = replace(
        SMALL, lambda_adversarial=2.0, lambda_image=3.0, lambda_content=5.0, lambda_style=7.0, lambda_cycle=9.0
    )
    losses = list(method(config).training_step(batch()))[1].losses
    plain = generator_losses(method(), batch())
    factors = {"adversarial": 2, "image": 3 / 10, "content": 5, "style": 7, "cycle": 9 / 10}
    for name, value in losses.items():
        assert value.item() == pytest.approx(plain[name].item() * factors[name[:-2]], rel=1e-9)
    assert len(losses) == 10


def test_mixed_precision_gives_every_weight_a_gradient() -> None:
    """Weights that autocast first casts under no_grad would lose theirs."""
    m = method().float()
    run_step(m, batch(torch.float32), lambda: torch.autocast("cpu", torch.bfloat16))
    for name in NETWORKS:
        for p in getattr(m, name).parameters():
            assert p.grad is not None
            assert p.ndim == 1 or p.grad.abs().max() > 0  # a norm cancels the bias before it


STORED_LOSSES = {
    "real_a": 1.75236386, "fake_a": 0.0943762651, "real_b": 2.24032858, "fake_b": 0.292351766,
    "adversarial_a": 1.35970286, "adversarial_b": 2.02409578, "image_a": 6.55516915, "image_b": 5.65715076,
    "content_a": 1.66564917, "content_b": 1.68396188, "style_a": 1.12406161, "style_b": 0.825773881,
    "cycle_a": 6.34108951, "cycle_b": 5.52255979,
}  # fmt: skip
STORED_NORMS = {
    "discriminator_a": 5.55419451, "discriminator_b": 5.92641755,
    "generator_a": 34.6355246, "generator_b": 36.0846905,
}  # fmt: skip


def one_iteration() -> tuple[dict[str, float], dict[str, float]]:
    """Losses by name, and the norm of each network's gradient at its step; with a cycle."""
    m, losses, norms = method(CYCLE), {}, {}
    for phase in m.training_step(batch()):
        losses |= {name: value.item() for name, value in phase.losses.items()}
        for name in phase.trains:
            m.optimizers[name].zero_grad()
        torch.stack(list(phase.losses.values())).sum().backward(
            inputs=[p for name in phase.trains for p in getattr(m, name).parameters()]
        )
        for name in phase.trains:
            norms[name] = torch.stack([p.grad.norm() for p in getattr(m, name).parameters()]).norm().item()
            m.optimizers[name].step()
    return losses, norms


def test_one_iteration_gives_the_stored_numbers() -> None:
    """Values of this implementation when it was checked, float64: a change here means that the mathematics changed."""
    losses, norms = one_iteration()
    assert losses == pytest.approx(STORED_LOSSES, rel=1e-6)
    assert norms == pytest.approx(STORED_NORMS, rel=1e-6)


# ------------------------------------------------------------------------------------ settings, schedule, draws


def test_defaults_are_the_published_ones() -> None:
    c = MUNITConfig()
    assert (c.width, c.style_dim, c.downsamplings, c.blocks, c.mlp_width) == (64, 8, 2, 4, 256)
    assert (c.discriminator_width, c.discriminator_layers, c.discriminator_scales) == (64, 4, 3)
    assert (c.lambda_adversarial, c.lambda_image, c.lambda_content, c.lambda_style, c.lambda_cycle) == (1, 10, 1, 1, 0)
    assert (c.batch_size, c.flip, c.enlarge) == (1, True, 1.0)


def test_optimisers_are_the_published_ones() -> None:
    """One for each network; weight decay on all of its parameters, as an L2 term."""
    built = MUNIT(replace(MUNITConfig(), width=4, discriminator_width=4), 64)
    assert tuple(built.optimizers) == NETWORKS
    for optimizer in built.optimizers.values():
        assert type(optimizer) is torch.optim.Adam
        (group,) = optimizer.param_groups
        assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-4, (0.5, 0.999), 1e-4)


def test_learning_rate_is_halved_at_the_official_iterations() -> None:
    """Officially the scheduler is stepped before each iteration: iteration i = 1, 2, ... has 0.5 ** (i // 100,000)."""
    built = method()
    million = 1_000_000
    for i in (1, 2, 99_999, 100_000, 100_001, 199_999, 200_000, 300_000, 599_999, 600_000, 999_999, million):
        rates = built.learning_rates(Progress(i - 1, million))
        assert rates == dict.fromkeys(NETWORKS, 1e-4 * 0.5 ** (i // 100_000))
    for total in (3, 10, 70, 96, 1230):  # for 3, i / (0.1 * total) falls short of 10 in binary
        for i in range(1, total + 1):
            assert built.learning_rates(Progress(i - 1, total))["generator_a"] == 1e-4 * 0.5 ** (10 * i // total)
    constant = method(replace(SMALL, halve_every=2.0))
    assert constant.learning_rates(Progress(99, 100))["discriminator_b"] == 1e-4


def test_draw_takes_images_from_their_domains_and_styles_from_a_normal() -> None:
    """`domains`: the second domain is bright. 4 x 500 x 5 numbers: mean and deviation within 0.1."""
    built = MUNIT(replace(SMALL, batch_size=500, flip=True, enlarge=1.2), SIZE)
    drawn = built.draw(domains(SIZE), torch.Generator().manual_seed(0), Progress(0, 10))
    assert built.images_per_step == 500
    assert drawn.real_a.mean(dim=(1, 2, 3)).max() < 0 < drawn.real_b.mean(dim=(1, 2, 3)).min()
    styles = [drawn.style_a, drawn.style_b, drawn.judged_style_a, drawn.judged_style_b]
    for i, style in enumerate(styles):
        assert style.shape == (500, 5)
        assert abs(style.mean().item()) < 0.1
        assert style.std().item() == pytest.approx(1, abs=0.1)
        assert all(not torch.equal(style, other) for other in styles[:i])


@pytest.mark.parametrize("flip", [False, True])
def test_images_are_drawn_as_they_are_or_mirrored(flip: bool) -> None:
    """By default images are not cropped."""
    stores = domains(SIZE)
    built = MUNIT(replace(SMALL, batch_size=32, flip=flip), SIZE)
    drawn = built.draw(stores, torch.Generator().manual_seed(0), Progress(0, 10))
    originals = stores.images[1].float() / 127.5 - 1
    plain, mirrored = (
        [(store - image).abs().flatten(1).amax(1).min() < 1e-6 for image in drawn.real_b]
        for store in (originals, originals.flip(-1))
    )
    assert all(p or m for p, m in zip(plain, mirrored, strict=True))
    assert all(plain) != flip
    assert any(mirrored) == flip


# ------------------------------------------------------------------------------------ inference, official checkpoints


@torch.no_grad()
def test_translate_takes_content_from_the_source_and_style_of_the_target() -> None:
    built, x, exemplar, z = method(), numbers(1, 3, 3, SIZE, SIZE), numbers(2, 3, 3, SIZE, SIZE), numbers(3, 3, 5)
    generators = (built.generator_a, built.generator_b)
    assert built.noise_dim == 5
    for source, target in ((0, 1), (1, 0), (1, 1)):
        for style, code in (
            (Noise(z), z),
            (Code(z), z),
            (Exemplar(exemplar), generators[target].enc_style(exemplar)),
        ):
            expected = generators[target].decode(generators[source].enc_content(x), code)
            assert torch.equal(built.translate(x, source, target, style), expected)
            assert torch.equal(built.style_code(style, target), code)


def official_states() -> dict[str, dict[str, Tensor]]:
    other = MUNIT(SMALL, SIZE)
    names = dict(zip(("gen_a", "gen_b", "dis_a", "dis_b"), NETWORKS, strict=True))
    return {
        official: dict(fill(getattr(other, name), 20 + salt).state_dict())
        for salt, (official, name) in enumerate(names.items())
    }


def test_official_checkpoints_load() -> None:
    """With the unused buffers of AdaIN, and with the statistics that old files hold for the content encoder."""
    states = official_states()
    given = {name: dict(state) for name, state in states.items()}
    for block in (0, 1):
        for kind in ("running_mean", "running_var"):
            given["gen_a"][f"dec.model.0.model.{block}.model.1.norm.{kind}"] = torch.ones(16)
    given["gen_a"]["enc_content.model.1.norm.running_mean"] = torch.zeros(8)
    given["gen_a"]["enc_content.model.1.norm.num_batches_tracked"] = torch.tensor(3)
    given["dis_b"] = {f"module.{key}": value for key, value in given["dis_b"].items()}
    built = MUNIT(SMALL, SIZE)
    built.load_official(given)
    for name, official in zip(NETWORKS, states, strict=True):
        loaded = getattr(built, name).state_dict()
        assert loaded.keys() == states[official].keys()
        assert all(torch.equal(loaded[key], value) for key, value in states[official].items())


def test_official_checkpoints_that_do_not_fit_are_refused_whole() -> None:
    built, states = MUNIT(SMALL, SIZE), official_states()
    before = {key: value.clone() for key, value in built.state_dict().items()}
    missing = {key: value for key, value in states["gen_b"].items() if key != "mlp.model.2.fc.bias"}
    with pytest.raises(ValueError, match=r"gen_b: missing mlp\.model\.2\.fc\.bias"):
        built.load_official({**states, "gen_b": missing})
    wider = {**states["dis_a"], "cnns.1.0.conv.bias": torch.zeros(9)}
    with pytest.raises(ValueError, match=r"dis_a: cnns\.1\.0\.conv\.bias is \(9,\), not \(4,\)"):
        built.load_official({**states, "dis_a": wider})
    with pytest.raises(ValueError, match=r"unknown network 'gen'"):
        built.load_official({"gen": states["gen_a"]})
    assert all(torch.equal(value, before[key]) for key, value in built.state_dict().items())


# ------------------------------------------------------------------------------------ what does not fit is refused


@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({"discriminator_scales": 3, "discriminator_layers": 4}, 32, "scales=3 and discriminator_layers=4 .or less"),
        ({"discriminator_scales": 2, "discriminator_layers": 4}, 16, "at least 32 for discriminator_scales=2"),
        ({}, 18, "multiple of 4"),
        ({}, 8, "at least 16"),
        ({"downsamplings": 4}, 16, "at least 32"),
    ],
)  # fmt: skip
def test_an_image_size_that_does_not_fit_is_refused(changes: dict[str, int], size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MUNIT(replace(SMALL, **changes), size)


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"discriminator_scales": 2, "discriminator_layers": 4}, 32),
        ({"discriminator_scales": 2, "discriminator_layers": 3}, 16),
        ({"downsamplings": 3}, 16),
        ({"downsamplings": 0}, 16),
    ],
)
def test_the_smallest_maps_train(changes: dict[str, int], size: int) -> None:
    config = replace(SMALL, **changes)
    built = MUNIT(config, size)
    drawn = built.draw(domains(size), torch.Generator().manual_seed(0), Progress(0, 10))
    assert all(torch.isfinite(value) for value in run_step(built, drawn).values())


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 0}, {"blocks": 0}, {"batch_size": 0}, {"enlarge": 0.5}, {"discriminator_scales": 0},
        {"lambda_image": -1.0}, {"weight_decay": -1e-4}, {"halve_every": 0.0}, {"betas": (0.5, 1.0)},
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(SMALL, **changes)
