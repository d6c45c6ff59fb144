"""CycleGAN: the networks against an independent forward pass, the objective term by term, every trap."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from determined import domains, fill, numbers
from torch import Tensor

from methods.base import Progress, run_step
from methods.cyclegan import Batch, CycleGAN, CycleGANConfig, Discriminator, Generator, cyclegan_exchange

EXACT = 1e-12
"""float64, activations of order 1."""
SMALL = CycleGANConfig(
    width=4, blocks=2, discriminator_width=4, discriminator_layers=2, pool_size=3, batch_size=2, flip=False, enlarge=1.0
)
SIZE = 16


def method(config: CycleGANConfig = SMALL) -> CycleGAN:
    """With determined weights: other than the initial ones of a seed, these are the same everywhere."""
    built = CycleGAN(config, SIZE)
    for salt, name in enumerate(built.optimizers):
        fill(getattr(built, name), salt)
    return built


def batch(config: CycleGANConfig = SMALL, step: int = 0) -> Batch:
    rng = torch.Generator().manual_seed(step)
    return CycleGAN(config, SIZE).draw(domains(SIZE), rng, Progress(step, 10))


# -------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(
    ("width", "blocks", "count"),
    [(64, 9, 11_378_179), (64, 6, 7_837_699), (32, 9, 2_850_563), (32, 6, 1_965_059)],
)
def test_generator_parameter_counts(width: int, blocks: int, count: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in Generator(width, blocks).parameters()) == count


@pytest.mark.parametrize(("layers", "count"), [(3, 2_764_737), (2, 662_977), (1, 136_385)])
def test_discriminator_parameter_counts(layers: int, count: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in Discriminator(64, layers).parameters()) == count


def test_published_method_has_28_285_832_parameters() -> None:
    with torch.device("meta"):
        counts = CycleGAN(CycleGANConfig(), 256).parameter_counts()
    assert counts == {
        "generator_ab": 11_378_179,
        "generator_ba": 11_378_179,
        "discriminator_a": 2_764_737,
        "discriminator_b": 2_764_737,
    }


def instance_norm(x: Tensor) -> Tensor:
    mean = x.mean(dim=(2, 3), keepdim=True)
    return (x - mean) / ((x - mean).square().mean(dim=(2, 3), keepdim=True) + 1e-5).sqrt()


def reference_generator(state: dict[str, Tensor], x: Tensor, blocks: int) -> Tensor:
    """The generator's layers with the official indices."""

    def weights(i: str) -> tuple[Tensor, Tensor]:
        return state[f"model.{i}.weight"], state[f"model.{i}.bias"]

    def reflected(h: Tensor, by: int, i: str) -> Tensor:
        return F.conv2d(F.pad(h, (by,) * 4, mode="reflect"), *weights(i))

    h = instance_norm(reflected(x, 3, "1")).relu()
    h = instance_norm(F.conv2d(h, *weights("4"), stride=2, padding=1)).relu()
    h = instance_norm(F.conv2d(h, *weights("7"), stride=2, padding=1)).relu()
    for i in range(10, 10 + blocks):
        inner = instance_norm(reflected(h, 1, f"{i}.conv_block.1")).relu()
        h = h + instance_norm(reflected(inner, 1, f"{i}.conv_block.5"))  # and no ReLU
    for i in (10 + blocks, 13 + blocks):
        h = F.conv_transpose2d(h, *weights(str(i)), stride=2, padding=1, output_padding=1)
        h = instance_norm(h).relu()
    return reflected(h, 3, str(17 + blocks)).tanh()


def reference_discriminator(state: dict[str, Tensor], x: Tensor, layers: int) -> Tensor:
    """The discriminator's layers: keys 0, 2, 5, 8, 11 for three of them."""
    keys = [0, *range(2, 2 + 3 * layers, 3), 2 + 3 * layers]
    for number, i in enumerate(keys):
        stride = 2 if number < layers else 1
        x = F.conv2d(x, state[f"model.{i}.weight"], state[f"model.{i}.bias"], stride=stride, padding=1)
        if 0 < number < len(keys) - 1:
            x = instance_norm(x)
        if number < len(keys) - 1:
            x = F.leaky_relu(x, 0.2)
    return x


@pytest.mark.parametrize("blocks", [2, 6, 9])
def test_generator_equals_the_table(blocks: int) -> None:
    network = fill(Generator(3, blocks).double())
    x = numbers(1, 2, 3, 16, 20)
    torch.testing.assert_close(network(x), reference_generator(network.state_dict(), x, blocks), rtol=0, atol=EXACT)


@pytest.mark.parametrize(("layers", "size", "side"), [(3, 256, 30), (3, 32, 2), (2, 32, 6), (1, 16, 6)])
def test_discriminator_equals_the_table(layers: int, size: int, side: int) -> None:
    network = fill(Discriminator(2, layers).double())
    x = numbers(1, 1, 3, size, size)
    expected = reference_discriminator(network.state_dict(), x, layers)
    assert expected.shape == (1, 1, side, side)
    torch.testing.assert_close(network(x), expected, rtol=0, atol=EXACT)


def test_more_downsamplings_give_a_smaller_content_map() -> None:
    """CatS-UDT's Fig. 11b: 6 down-samplings, a 4x4 map at 256 px; here 3 and 4x4 at 32 px."""
    network = Generator(2, 1, downsamplings=3)
    shapes = []
    network.model[13].register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    assert shapes == [(1, 16, 4, 4)]


# ------------------------------------------------------------------------------------------------ image pool


def plain_pool(size: int, batches: list[tuple[Tensor, list[bool], list[int]]]) -> tuple[list[Tensor], list[Tensor]]:
    """The official pool in plain Python: what is returned for each batch, and what is stored at the end."""
    stored: list[Tensor] = []
    returned = []
    for images, swaps, slots in batches:
        row = []
        for image, swap, slot in zip(images, swaps, slots, strict=True):
            if len(stored) < size:
                stored.append(image)
                row.append(image)
            elif swap:
                row.append(stored[slot])
                stored[slot] = image
            else:
                row.append(image)
        returned.append(torch.stack(row))
    return returned, stored


def test_pool_equals_the_plain_one_image_by_image() -> None:
    """Batches of 4 into a pool of 6: it fills in the middle of a batch, and slots repeat within a batch."""
    pool, count = torch.zeros(6, 3, 2, 2), torch.zeros(1, dtype=torch.int64)
    rng = torch.Generator().manual_seed(0)
    batches = []
    for step in range(12):
        swap, slot = torch.rand(4, generator=rng) < 0.5, torch.randint(6, (4,), generator=rng)
        batches.append((numbers(step, 4, 3, 2, 2, dtype=torch.float32), swap, slot))
    expected, stored = plain_pool(6, [(x, s.tolist(), i.tolist()) for x, s, i in batches])
    for (fakes, swap, slot), wanted in zip(batches, expected, strict=True):
        assert torch.equal(cyclegan_exchange(pool, count, fakes, swap, slot), wanted)
    assert torch.equal(pool, torch.stack(stored))
    assert count.tolist() == [6]


def test_pool_decisions_are_half_and_uniform() -> None:
    config = replace(SMALL, batch_size=2000, pool_size=4)
    drawn = batch(config)
    assert 900 < drawn.swap_a.sum() < 1100
    assert torch.all((drawn.slot_a.bincount(minlength=4) - 500).abs() < 100)
    assert not torch.equal(drawn.swap_a, drawn.swap_b)


def test_without_a_pool_the_fresh_fakes_are_judged() -> None:
    built = method(replace(SMALL, pool_size=0))
    run_step(built, batch(replace(SMALL, pool_size=0)))
    assert built.pool_a.shape == (0, 3, SIZE, SIZE)
    assert built.pool_a_count.item() == 0


# --------------------------------------------------------------------------------------------------- the step


def by_hand(built: CycleGAN, given: Batch) -> dict[str, Tensor]:
    """Generator losses written out, one forward pass per term."""
    g_a, g_b, d_a, d_b = built.generator_ab, built.generator_ba, built.discriminator_b, built.discriminator_a
    a, b = given.real_a, given.real_b
    return {
        "gan_ab": ((d_a(g_a(a)) - 1) ** 2).mean(),  # official D_A judges B
        "gan_ba": ((d_b(g_b(b)) - 1) ** 2).mean(),
        "cycle_a": 10 * (g_b(g_a(a)) - a).abs().mean(),
        "cycle_b": 10 * (g_a(g_b(b)) - b).abs().mean(),
        "identity_a": 5 * (g_b(a) - a).abs().mean(),
        "identity_b": 5 * (g_a(b) - b).abs().mean(),
    }


def test_both_phases_hold_the_terms_of_the_objective() -> None:
    """Float32, means over at most 1,536 elements: relative 1e-5."""
    built, given = method(), batch()
    phases = built.training_step(given)
    first = next(phases)
    assert first.trains == ("generator_ab", "generator_ba")
    assert first.clip_norm is None
    expected = by_hand(built, given)
    assert first.losses.keys() == expected.keys()
    for name, value in expected.items():
        assert first.losses[name].item() == pytest.approx(value.item(), rel=1e-5)
    fake_b = built.generator_ab(given.real_a).detach()
    for p in built.generator_ab.parameters():  # as if stepped: the discriminators must see the fakes from before
        p.data.add_(0.1)
    second = next(phases)
    assert second.trains == ("discriminator_a", "discriminator_b")
    real = 0.5 * ((built.discriminator_b(given.real_b) - 1) ** 2).mean()
    fake = 0.5 * (built.discriminator_b(fake_b) ** 2).mean()
    assert second.losses["real_b"].item() == pytest.approx(real.item(), rel=1e-5)
    assert second.losses["fake_b"].item() == pytest.approx(fake.item(), rel=1e-5)
    assert second.losses.keys() == {"real_a", "fake_a", "real_b", "fake_b"}
    assert next(phases, None) is None


def test_discriminator_phase_reaches_no_generator() -> None:
    built, given = method(), batch()
    phases = built.training_step(given)
    next(phases)
    loss = torch.stack(list(next(phases).losses.values())).sum()
    generators = [*built.generator_ab.parameters(), *built.generator_ba.parameters()]
    grads = torch.autograd.grad(loss, generators, allow_unused=True)
    assert all(grad is None for grad in grads)


def test_only_the_discriminators_see_the_pool() -> None:
    """With every image swapped, D gets the images of the step before; G's losses are those of fresh fakes."""
    built = method(replace(SMALL, pool_size=2))
    given = replace(batch(), swap_b=torch.tensor([True, True]), slot_b=torch.tensor([0, 1]))
    list(built.training_step(given))
    assert built.pool_b_count.item() == 2
    earlier = built.pool_b.clone()
    with torch.no_grad():
        for p in built.generator_ab.parameters():
            p.mul_(0.5)
    phases = built.training_step(given)
    assert next(phases).losses["gan_ab"].item() == pytest.approx(by_hand(built, given)["gan_ab"].item(), rel=1e-5)
    fake = 0.5 * (built.discriminator_b(earlier) ** 2).mean()
    assert next(phases).losses["fake_b"].item() == pytest.approx(fake.item(), rel=1e-5)
    assert not torch.equal(built.pool_b, earlier)


def test_without_identity_weight_the_term_is_gone() -> None:
    built = method(replace(SMALL, identity_weight=0.0))
    losses = next(built.training_step(batch())).losses
    assert losses.keys() == {"gan_ab", "gan_ba", "cycle_a", "cycle_b"}
    assert losses["cycle_a"].item() == pytest.approx(by_hand(built, batch())["cycle_a"].item(), rel=1e-5)


STORED_LOSSES = {
    "gan_ab": 4.29637, "gan_ba": 1.23227, "cycle_a": 7.05035, "cycle_b": 7.05275,
    "identity_a": 3.46557, "identity_b": 3.54023,
    "real_a": 0.176897, "fake_a": 0.238022, "real_b": 2.19517, "fake_b": 0.803557,
}  # fmt: skip
STORED_NORMS = {
    "generator_ab": 88.6231, "generator_ba": 40.9778, "discriminator_a": 3.98623, "discriminator_b": 14.5592,
}  # fmt: skip


def test_one_iteration_gives_the_stored_numbers() -> None:
    """Losses and gradient norms of this implementation when it was checked; float32, so relative 1e-4."""
    built, norms = method(), {}
    for name, optimizer in built.optimizers.items():

        def record(*_: object, name: str = name) -> None:
            norms[name] = torch.stack([p.grad.norm() for p in getattr(built, name).parameters()]).norm().item()

        optimizer.register_step_pre_hook(record)
    images = [numbers(tag, 2, 3, SIZE, SIZE, dtype=torch.float32) for tag in (1, 2)]
    decisions = (torch.tensor([True, False]), torch.tensor([0, 2]))
    logged = run_step(built, Batch(*images, *decisions, *decisions))
    losses = {name.rpartition(".")[2]: value.item() for name, value in logged.items()}
    assert losses == pytest.approx(STORED_LOSSES, rel=1e-4)
    assert norms == pytest.approx(STORED_NORMS, rel=1e-4)


# ------------------------------------------------------------------------------------ schedule, draws, inference


def test_learning_rate_follows_the_official_factor() -> None:
    """Official, 200 epochs: 1 - max(0, e - 100) / 101 in epoch e = 1 .. 200. Ours is continuous; both within 0.01."""
    built = method()
    for epoch in range(200):
        rates = built.learning_rates(Progress(epoch, 200))
        official = 2e-4 * (1 - max(0, epoch + 1 - 100) / 101)
        assert set(rates) == {"generator_ab", "generator_ba", "discriminator_a", "discriminator_b"}
        assert all(abs(rate - official) <= 0.01 * 2e-4 for rate in rates.values())
    assert built.learning_rates(Progress(500, 1000))["generator_ab"] == 2e-4
    assert built.learning_rates(Progress(750, 1000))["generator_ab"] == pytest.approx(1e-4)
    assert built.learning_rates(Progress(999, 1000))["generator_ab"] > 0
    constant = method(replace(SMALL, constant_fraction=1.0))
    assert constant.learning_rates(Progress(999, 1000))["generator_ab"] == 2e-4


def test_draw_takes_each_image_from_its_own_domain() -> None:
    drawn = batch(replace(SMALL, batch_size=16, flip=True, enlarge=1.1))
    assert drawn.real_a.mean() < -0.3 < 0.3 < drawn.real_b.mean()
    assert drawn.real_a.shape == (16, 3, SIZE, SIZE)
    assert drawn.real_a.abs().max() <= 1


def test_digits_are_drawn_as_they_are() -> None:
    stores = domains(SIZE)
    drawn = batch(replace(SMALL, batch_size=8))
    originals = stores.images[0].float() / 127.5 - 1
    for image in drawn.real_a:
        assert (originals - image).abs().flatten(1).amax(1).min() < 1e-6


def test_translate_uses_the_generator_of_the_direction() -> None:
    built, x = method(), numbers(1, 2, 3, SIZE, SIZE, dtype=torch.float32)
    with torch.no_grad():
        assert torch.equal(built.translate(x, 0, 1, None), built.generator_ab(x))
        assert torch.equal(built.translate(x, 1, 0, None), built.generator_ba(x))
    with pytest.raises(ValueError, match="not 1 -> 1"):
        built.translate(x, 1, 1, None)


def test_official_checkpoints_load_with_the_letters_swapped() -> None:
    built = method()
    states = {name: fill(Generator(4, 2), salt).state_dict() for name, salt in (("G_A", 7), ("G_B", 8))}
    states["D_A"] = fill(Discriminator(4, 2), 9).state_dict()
    old = {f"module.{key}": value for key, value in states["G_A"].items()}
    old |= {"module.model.2.running_mean": torch.zeros(4), "module.model.2.num_batches_tracked": torch.tensor(1)}
    untouched = built.discriminator_a.model[0].weight.clone()
    built.load_official({"G_A": old, "G_B": states["G_B"], "D_A": states["D_A"]})
    assert torch.equal(built.generator_ab.model[1].weight, states["G_A"]["model.1.weight"])
    assert torch.equal(built.generator_ba.model[1].weight, states["G_B"]["model.1.weight"])
    assert torch.equal(built.discriminator_b.model[0].weight, states["D_A"]["model.0.weight"])
    assert torch.equal(built.discriminator_a.model[0].weight, untouched)
    built.load_official({"G": states["G_B"]})  # the published one-way models
    assert torch.equal(built.generator_ab.model[1].weight, states["G_B"]["model.1.weight"])
    with pytest.raises(ValueError, match=r"(?s)G_A: missing model\.12\.bias.*G_A: unexpected .*model\.20"):
        built.load_official({"G_A": Generator(4, 3).state_dict()})
    with pytest.raises(ValueError, match="unknown network 'netG'"):
        built.load_official({"netG": states["G_A"]})


def test_official_keys_are_those_of_the_spec() -> None:
    with torch.device("meta"):
        g, d = Generator(64, 9).state_dict(), Discriminator(64, 3).state_dict()
    blocks = [f"model.{i}.conv_block.{j}" for i in range(10, 19) for j in (1, 5)]
    layers = ["model.1", "model.4", "model.7", *blocks, "model.19", "model.22", "model.26"]
    assert set(g) == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    assert set(d) == {f"model.{i}.{kind}" for i in (0, 2, 5, 8, 11) for kind in ("weight", "bias")}


@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({}, 30, "multiple of 4"),
        ({"discriminator_layers": 3}, 16, "at least 24 for discriminator_layers=3"),
        ({"downsamplings": 6}, 64, "at least 128"),
    ],
)
def test_an_image_size_that_does_not_fit_is_refused(changes: dict[str, int], size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CycleGAN(replace(SMALL, **changes), size)


@pytest.mark.parametrize(
    "changes", [{"width": 0}, {"batch_size": 0}, {"lambda_cycle": -1.0}, {"constant_fraction": 1.5}, {"enlarge": 0.5}]
)
def test_a_setting_out_of_range_is_refused_by_name(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(SMALL, **changes)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_smallest_maps_at_16_px_train(layers: int) -> None:
    config = replace(SMALL, discriminator_layers=layers)
    assert all(torch.isfinite(value) for value in run_step(CycleGAN(config, 16), batch(config)).values())
