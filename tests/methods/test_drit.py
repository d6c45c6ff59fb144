"""DRIT++: the objective term by term, the order of the steps, the draws and inference, with every trap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from determined import domains, fill, numbers
from torch import Tensor

from methods.base import Code, Exemplar, Noise, Progress, run_step
from methods.drit import DRIT, Batch, DRITConfig, drit_cross_entropy

SMALL = DRITConfig(
    width=4, attribute_dim=3, discriminator_scales=2, discriminator_layers=3, content_discriminator="small",
    batch_size=2, flip=False, enlarge=1.0,
)  # fmt: skip
SIZE = 16
CONTENT = (16, 4, 4)
IMAGE_DISCRIMINATORS = ("discriminator_a", "discriminator_a2", "discriminator_b", "discriminator_b2")
both_forms = pytest.mark.parametrize("attribute", ["concat", "feature_wise"])


def method(**changes: Any) -> DRIT:
    """With determined weights, other ones in each network."""
    built = DRIT(replace(SMALL, **changes), SIZE)
    for salt, name in enumerate(built.optimizers):
        fill(getattr(built, name), salt)
    return built


def batch(dtype: torch.dtype = torch.float64) -> Batch:
    """Determined: two pairs, two minibatches of the content discriminator's own."""
    images = [numbers(tag, count, 3, SIZE, SIZE, dtype=dtype) for tag, count in enumerate((4, 4, 2, 2, 2, 2))]
    noise = [numbers(10 + tag, 2, count, 256, dtype=dtype) for tag, count in enumerate((4, 2, 2))]
    eps = [numbers(20 + tag, 2, 2, 3, dtype=dtype) for tag in (0, 1)]
    return Batch(*images, *noise, *eps, z=numbers(30, 2, 3, dtype=dtype), z2=numbers(31, 2, 3, dtype=dtype))


# ------------------------------------------------------------------------------------------ the step, by hand


def bce(maps: list[Tensor] | Tensor, label: float) -> Tensor:
    """The adversarial loss: cross-entropy on the sigmoid, mean per scale, summed over scales."""
    maps = maps if isinstance(maps, list) else [maps]
    return torch.stack([F.binary_cross_entropy(m.sigmoid(), torch.full_like(m, label)) for m in maps]).sum()


def contents(m: DRIT, a: Tensor, b: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Of images of A and of B, with noise."""
    return tuple(m.content_encoder(x, d) + noise[d].reshape(-1, *CONTENT) for d, x in ((0, a), (1, b)))  # type: ignore


def own_content_losses(m: DRIT, b: Batch, minibatch: int) -> dict[str, Tensor]:
    rows = slice(2 * minibatch, 2 * minibatch + 2)
    c_a, c_b = contents(m, b.content_a[rows], b.content_b[rows], b.content_noise[:, rows])
    return {"content_a": bce(m.discriminator_content(c_a), 0), "content_b": bce(m.discriminator_content(c_b), 1)}


def fakes(m: DRIT, b: Batch) -> dict[str, Tensor]:
    """The forward pass of the generators' losses, one call per image."""
    c_a, c_b = contents(m, b.encoded_a, b.encoded_b, b.encoded_noise)
    z_a, prior_a = m.attribute_encoder(b.encoded_a, 0, b.encoded_eps[0])
    z_b, prior_b = m.attribute_encoder(b.encoded_b, 1, b.encoded_eps[1])
    return {
        "c_a": c_a, "c_b": c_b, "prior_a": prior_a.mean(), "prior_b": prior_b.mean(),
        "fake_a": m.generator(c_b, z_a, 0), "self_a": m.generator(c_a, z_a, 0),
        "rand_a": m.generator(c_b, b.z, 0), "rand2_a": m.generator(c_b, b.z2, 0),
        "fake_b": m.generator(c_a, z_b, 1), "self_b": m.generator(c_b, z_b, 1),
        "rand_b": m.generator(c_a, b.z, 1), "rand2_b": m.generator(c_a, b.z2, 1),
    }  # fmt: skip


def image_discriminator_losses(m: DRIT, b: Batch) -> dict[str, Tensor]:
    made, losses = {key: value.detach() for key, value in fakes(m, b).items()}, {}
    for letter in "ab":
        d, d2 = getattr(m, f"discriminator_{letter}"), getattr(m, f"discriminator_{letter}2")
        real, real2 = getattr(b, f"encoded_{letter}"), getattr(b, f"random_{letter}")
        losses[f"real_{letter}"] = bce(d(real), 1)
        losses[f"fake_{letter}"] = bce(d(made[f"fake_{letter}"]), 0)
        losses[f"real_{letter}2"] = bce(d2(real2), 1) + bce(d2(real2), 1)
        losses[f"fake_{letter}2"] = bce(d2(made[f"rand_{letter}"]), 0) + bce(d2(made[f"rand2_{letter}"]), 0)
    return losses


def content_discriminator_losses(m: DRIT, b: Batch) -> dict[str, Tensor]:
    made, d = fakes(m, b), m.discriminator_content
    return {"content_a": bce(d(made["c_a"].detach()), 0), "content_b": bce(d(made["c_b"].detach()), 1)}


def first_step_losses(m: DRIT, b: Batch) -> dict[str, Tensor]:
    f = fakes(m, b)
    back_b, back_a = contents(m, f["fake_a"], f["fake_b"], b.fake_noise)  # fake_a holds b's content
    rec_a = m.generator(back_a, m.attribute_encoder(f["fake_a"], 0, b.fake_eps[0])[0], 0)
    rec_b = m.generator(back_b, m.attribute_encoder(f["fake_b"], 1, b.fake_eps[1])[0], 1)
    losses = {"rec_a": 10 * (rec_a - b.encoded_a).abs().mean(), "rec_b": 10 * (rec_b - b.encoded_b).abs().mean()}
    for letter in "ab":
        real, c = getattr(b, f"encoded_{letter}"), f[f"c_{letter}"]
        losses[f"adv_{letter}"] = bce(getattr(m, f"discriminator_{letter}")(f[f"fake_{letter}"]), 1)
        losses[f"content_{letter}"] = bce(m.discriminator_content(c), 0.5)
        losses[f"norm_{letter}"] = 0.01 * (c**2).mean()
        losses[f"self_{letter}"] = 10 * (f[f"self_{letter}"] - real).abs().mean()
        losses[f"prior_{letter}"] = 0.01 * f[f"prior_{letter}"]
    return losses


def second_step_losses(m: DRIT, b: Batch) -> dict[str, Tensor]:
    f, losses = fakes(m, b), {}
    for domain, letter in enumerate("ab"):
        rand, rand2, d2 = f[f"rand_{letter}"], f[f"rand2_{letter}"], getattr(m, f"discriminator_{letter}2")
        losses[f"adv_{letter}2"] = bce(d2(rand), 1) + bce(d2(rand2), 1)
        losses[f"latent_{letter}"] = 10 * (m.attribute_encoder.mean(rand, domain) - b.z).abs().mean()
        ratio = (rand2 - rand).abs().mean() / (b.z2 - b.z).abs().mean()
        losses[f"ms_{letter}"] = 1 / (ratio + 1e-5)
    return losses


def expected_phases(m: DRIT, b: Batch) -> list[tuple[tuple[str, ...], float | None, dict[str, Tensor]]]:
    """What each phase trains, its limit of the gradient norm, its losses, all for the present weights."""
    content = ("discriminator_content",)
    return [
        (content, 5.0, own_content_losses(m, b, 0)),
        (content, 5.0, own_content_losses(m, b, 1)),
        (IMAGE_DISCRIMINATORS, None, image_discriminator_losses(m, b)),
        (content, 5.0, content_discriminator_losses(m, b)),
        (("content_encoder", "attribute_encoder", "generator"), None, first_step_losses(m, b)),
        (("content_encoder", "generator"), None, second_step_losses(m, b)),
    ]


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


@both_forms
def test_phases_hold_the_terms_of_the_objective_and_their_gradients(attribute: str) -> None:
    """float64: losses within 1e-10, gradients within 1e-9 of their largest value."""
    m, b = method(attribute=attribute).double(), batch()
    phases, expected = list(m.training_step(b)), expected_phases(m, b)
    assert len(phases) == len(expected)
    for phase, (trains, clip, losses) in zip(phases, expected, strict=True):
        assert (phase.trains, phase.clip_norm) == (trains, clip)
        assert phase.losses.keys() == losses.keys()
        for name, value in losses.items():
            torch.testing.assert_close(phase.losses[name], value, rtol=0, atol=1e-10)
        for name in trains:
            weights = list(getattr(m, name).parameters())
            ours = torch.autograd.grad(total(dict(phase.losses)), weights, retain_graph=True, allow_unused=True)
            reference = torch.autograd.grad(total(losses), weights, retain_graph=True, allow_unused=True)
            for ours_one, theirs_one in zip(ours, reference, strict=True):
                assert (ours_one is None) == (theirs_one is None)
                if theirs_one is not None:
                    limit = 1e-9 * max(1.0, theirs_one.abs().max().item())
                    torch.testing.assert_close(ours_one, theirs_one, rtol=0, atol=limit)


@both_forms
def test_every_phase_sees_the_networks_that_the_phases_before_have_left(attribute: str) -> None:
    """Weights are moved between the phases as if stepped. The fakes of the discriminators, and the losses of the first
    encoder/generator step, come from encoders and generator before it; the second step's from those after it.
    """
    m, b = method(attribute=attribute).double(), batch()
    for index, phase in enumerate(m.training_step(b)):
        trains, _, losses = expected_phases(m, b)[index]
        for name, value in losses.items():
            torch.testing.assert_close(phase.losses[name], value, rtol=0, atol=1e-10)
        with torch.no_grad():
            for parameter in [p for name in trains for p in getattr(m, name).parameters()]:
                parameter.mul_(1.1)


@both_forms
def test_discriminators_reach_no_encoder_and_no_generator(attribute: str) -> None:
    m, b = method(attribute=attribute), batch(torch.float32)
    others = [
        p for name in ("content_encoder", "attribute_encoder", "generator") for p in getattr(m, name).parameters()
    ]
    for phase in list(m.training_step(b))[:4]:
        grads = torch.autograd.grad(total(dict(phase.losses)), others, allow_unused=True, retain_graph=True)
        assert all(grad is None for grad in grads)


def test_weights_multiply_their_terms() -> None:
    factors = {
        "rec": ("lambda_rec", 4), "self": ("lambda_self", 4), "norm": ("lambda_norm", 4), "prior": ("lambda_prior", 4),
        "latent": ("lambda_latent", 5), "ms": ("lambda_ms", 5),
    }  # fmt: skip
    plain = list(method().training_step(batch(torch.float32)))
    settings = {field: 3 * getattr(SMALL, field) for field, _ in factors.values()}
    weighted = list(method(**settings).training_step(batch(torch.float32)))
    for name, (_, index) in factors.items():
        for letter in "ab":
            ratio = weighted[index].losses[f"{name}_{letter}"] / plain[index].losses[f"{name}_{letter}"]
            assert ratio.item() == pytest.approx(3, rel=1e-5)
    assert torch.equal(weighted[4].losses["adv_a"], plain[4].losses["adv_a"])


def test_the_second_step_leaves_the_attribute_encoder_alone() -> None:
    m, kept = method().double(), {}
    for index, phase in enumerate(m.training_step(batch())):
        if index == 5:
            kept = {name: [p.clone() for p in getattr(m, name).parameters()] for name in m.optimizers}
        parameters = [p for name in phase.trains for p in getattr(m, name).parameters()]
        total(dict(phase.losses)).backward(inputs=parameters)
        for name in phase.trains:
            m.optimizers[name].step()
            m.optimizers[name].zero_grad()
    moved = {
        name
        for name, old in kept.items()
        if any(not torch.equal(p, q) for p, q in zip(getattr(m, name).parameters(), old, strict=True))
    }
    assert moved == {"content_encoder", "generator"}


def test_the_content_discriminator_s_gradient_is_clipped_to_5() -> None:
    """With weights that make its gradient larger, Adam is handed one of norm 5."""
    m, norms = method().double(), []
    with torch.no_grad():
        for parameter in m.discriminator_content.parameters():
            parameter.mul_(20.0)
    optimizer = m.optimizers["discriminator_content"]
    optimizer.register_step_pre_hook(
        lambda *_: norms.append(
            torch.cat([p.grad.flatten() for p in m.discriminator_content.parameters() if p.grad is not None]).norm()
        )
    )
    logged = run_step(m, batch())
    before = [logged[f"{index}:discriminator_content.grad_norm"].item() for index in (0, 1, 3)]
    assert min(before) > 5
    assert [norm.item() for norm in norms] == pytest.approx([5.0] * 3, rel=1e-6)


def test_content_noise_reaches_every_content() -> None:
    """Without the noise of one kind, the losses that see it change, and no others."""
    b = batch(torch.float32)
    plain = list(method().training_step(b))

    def changed(**noise: Tensor) -> list[int]:
        phases = list(method().training_step(replace(b, **noise)))
        pairs = zip(phases, plain, strict=True)
        return [i for i, (p, q) in enumerate(pairs) if any(not torch.equal(p.losses[k], q.losses[k]) for k in q.losses)]

    assert changed(content_noise=torch.zeros_like(b.content_noise)) == [0, 1]
    assert changed(encoded_noise=torch.zeros_like(b.encoded_noise)) == [2, 3, 4, 5]
    assert changed(fake_noise=torch.zeros_like(b.fake_noise)) == [4]
    assert changed(encoded_eps=torch.zeros_like(b.encoded_eps)) == [2, 4]
    assert changed(fake_eps=torch.zeros_like(b.fake_eps)) == [4]


def test_feature_wise_attributes_use_no_noise() -> None:
    b = batch(torch.float32)
    plain, other = (
        list(method(attribute="feature_wise").training_step(given))
        for given in (b, replace(b, encoded_eps=5 * b.encoded_eps, fake_eps=5 * b.fake_eps))
    )
    assert all(torch.equal(p.losses[k], q.losses[k]) for p, q in zip(plain, other, strict=True) for k in q.losses)


def test_without_minibatches_of_its_own_the_content_discriminator_steps_once() -> None:
    m = method(content_updates=0)
    drawn = m.draw(domains(SIZE), torch.Generator(), Progress(0, 10))
    phases = list(m.training_step(drawn))
    assert drawn.content_a.shape == (0, 3, SIZE, SIZE)
    assert [phase.trains for phase in phases[:2]] == [IMAGE_DISCRIMINATORS, ("discriminator_content",)]
    assert len(phases) == 4


def test_cross_entropy_is_summed_over_scales_and_stable() -> None:
    """ln(1 + e^-x) at x = 0 is ln 2; at 200 the sigmoid itself is 1 in float32, and the logits still tell."""
    maps = [torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 1, 1)]
    assert drit_cross_entropy(maps, real=True).item() == pytest.approx(2 * 0.693147, rel=1e-5)
    assert drit_cross_entropy([torch.full((1, 1, 2, 2), 200.0)], real=False).item() == 200.0
    assert drit_cross_entropy([torch.full((1, 1, 2, 2), 200.0)], real=True).item() == 0.0
    assert drit_cross_entropy([torch.ones(1, 1, 1, 1, dtype=torch.bfloat16)] * 2, real=True).dtype == torch.float32


def test_autocast_keeps_the_gradients_of_what_is_stepped() -> None:
    """Weights that autocast first casts under no_grad would lose theirs."""
    m = method()
    run_step(m, batch(torch.float32), lambda: torch.autocast("cpu", torch.bfloat16))
    for name in m.optimizers:
        assert all(p.grad is not None for p in getattr(m, name).parameters()), name


# ----------------------------------------------------------------------------------------------- stored numbers

STORED_LOSSES = {
    "concat": {
        "0.grad_norm": 26.1935301, "0.content_a": 0.0221287573, "0.content_b": 2.64883183, "1.grad_norm": 20.8629055,
        "1.content_a": 0.791602061, "1.content_b": 2.25711564, "2.real_a": 1.9514539, "2.fake_a": 0.67941255,
        "2.real_a2": 3.88522816, "2.fake_a2": 1.51856306, "2.real_b": 1.44906023, "2.fake_b": 1.7407051,
        "2.real_b2": 3.19070434, "2.fake_b2": 2.5630649, "3.grad_norm": 17.213155, "3.content_a": 0.398974793,
        "3.content_b": 1.10278868, "4.adv_a": 2.55487474, "4.adv_b": 1.34686574, "4.rec_a": 7.57944032,
        "4.rec_b": 10.0798702, "4.content_a": 1.24385308, "4.norm_a": 0.0508133711, "4.content_b": 0.752210024,
        "4.norm_b": 0.0444811178, "4.self_a": 7.33595105, "4.self_b": 8.97361467, "4.prior_a": 0.0166019839,
        "4.prior_b": 0.338369409, "5.adv_a2": 4.94962161, "5.latent_a": 30.5555808, "5.ms_a": 1.21888674,
        "5.adv_b2": 3.09941297, "5.latent_b": 11.1512379, "5.ms_b": 1.2617741,
    },
    "feature_wise": {
        "0.grad_norm": 26.1935301, "0.content_a": 0.0221287573, "0.content_b": 2.64883183, "1.grad_norm": 20.8629055,
        "1.content_a": 0.791602061, "1.content_b": 2.25711564, "2.real_a": 1.9514539, "2.fake_a": 0.936912464,
        "2.real_a2": 3.88522816, "2.fake_a2": 1.34231898, "2.real_b": 1.44906023, "2.fake_b": 1.38588734,
        "2.real_b2": 3.19070434, "2.fake_b2": 1.8775294, "3.grad_norm": 17.213155, "3.content_a": 0.398974793,
        "3.content_b": 1.10278868, "4.adv_a": 2.8505631, "4.adv_b": 1.38765191, "4.rec_a": 8.80604032,
        "4.rec_b": 9.57450142, "4.content_a": 1.24385308, "4.norm_a": 0.0508133711, "4.content_b": 0.752210024,
        "4.norm_b": 0.0444811178, "4.self_a": 8.73837038, "4.self_b": 9.56934976, "4.prior_a": 0.00282638955,
        "4.prior_b": 0.00269636752, "5.adv_a2": 5.0856288, "5.latent_a": 8.91860632, "5.ms_a": 31.1639174,
        "5.adv_b2": 4.305075, "5.latent_b": 7.66788314, "5.ms_b": 161.775443,
    },
}  # fmt: skip
STORED_NORMS = {
    "concat": {
        "discriminator_content": [4.99999981, 4.99999976, 4.99999971], "discriminator_a": [4.32756142],
        "discriminator_a2": [9.01392828], "discriminator_b": [8.12650171], "discriminator_b2": [6.0631716],
        "content_encoder": [39.3495913, 363.371119], "attribute_encoder": [54.2359813],
        "generator": [11.2413009, 242.587176],
    },
    "feature_wise": {
        "discriminator_content": [4.99999981, 4.99999976, 4.99999971], "discriminator_a": [7.54932212],
        "discriminator_a2": [10.1004231], "discriminator_b": [3.89231497], "discriminator_b2": [15.4138024],
        "content_encoder": [37.3131253, 2095.62798], "attribute_encoder": [3.04861012],
        "generator": [9.71567658, 1156.76377],
    },
}  # fmt: skip


def one_iteration(attribute: str) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Losses by phase and name, gradient norms by network in the order of its steps (the clipped ones are logged)."""
    built = method(attribute=attribute).double()
    norms: dict[str, list[float]] = {}
    for name, optimizer in built.optimizers.items():

        def record(*_: object, name: str = name) -> None:
            grads = [p.grad for p in getattr(built, name).parameters()]
            norms.setdefault(name, []).append(torch.cat([g.flatten() for g in grads if g is not None]).norm().item())

        optimizer.register_step_pre_hook(record)
    logged = run_step(built, batch())
    return {f"{key[0]}.{key.rpartition('.')[2]}": value.item() for key, value in logged.items()}, norms


@both_forms
def test_one_iteration_gives_the_stored_numbers(attribute: str) -> None:
    """Of this implementation when it was checked; a change here means that the mathematics changed."""
    losses, norms = one_iteration(attribute)
    assert losses == pytest.approx(STORED_LOSSES[attribute], rel=1e-6)
    assert norms.keys() == STORED_NORMS[attribute].keys()
    for name, stored in STORED_NORMS[attribute].items():
        assert norms[name] == pytest.approx(stored, rel=1e-6), name


# ------------------------------------------------------------------------------------- settings and the schedule


def test_defaults_are_the_published_ones() -> None:
    c = DRITConfig()
    assert (c.lambda_rec, c.lambda_self, c.lambda_norm, c.lambda_prior) == (10, 10, 0.01, 0.01)
    assert (c.lambda_latent, c.lambda_ms, c.content_clip, c.content_updates) == (10, 1, 5, 2)
    assert (c.attribute, c.attribute_dim, c.batch_size, c.flip) == ("concat", 8, 1, True)
    assert c.enlarge == pytest.approx(256 / 216)


def test_optimisers_are_the_published_ones() -> None:
    built = method()
    names = ("content_encoder", "attribute_encoder", "generator", *IMAGE_DISCRIMINATORS, "discriminator_content")
    assert set(built.optimizers) == set(names)
    for name, optimizer in built.optimizers.items():
        (group,) = optimizer.param_groups
        assert group["betas"] == (0.5, 0.999)
        assert group["weight_decay"] == 1e-4
        assert group["lr"] == (4e-5 if name == "discriminator_content" else 1e-4)


def test_learning_rates_follow_the_official_factor() -> None:
    """Official, 1200 epochs: 1 - max(0, epoch - 600) / 601. Ours is a function of the budget; both within 0.002."""
    built = method()
    for epoch in range(0, 1200, 7):
        official = 1 - max(0, epoch - 600) / 601
        for name, rate in built.learning_rates(Progress(epoch, 1200)).items():
            assert abs(rate / (4e-5 if name == "discriminator_content" else 1e-4) - official) < 0.002
    assert built.learning_rates(Progress(500, 1000))["generator"] == 1e-4
    assert built.learning_rates(Progress(750, 1000))["discriminator_content"] == pytest.approx(2e-5)
    assert built.learning_rates(Progress(999, 1000))["generator"] > 0
    assert method(constant_fraction=1.0).learning_rates(Progress(999, 1000))["generator"] == 1e-4


@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({}, 18, "multiple of 4, at least 16"),
        ({}, 12, "multiple of 4, at least 16"),
        ({"content_discriminator": "published"}, 208, "at least 212 for .*or content_discriminator=small"),
        ({"discriminator_scales": 3}, 16, "fewer discriminator_scales .* last scale has 4 px, and 3 layers need 8"),
        ({"discriminator_layers": 4}, 28, "the last scale has 14 px, and 4 layers need 16"),
    ],
)
def test_an_image_size_that_does_not_fit_is_refused(changes: dict[str, Any], size: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"DRIT at {size} px needs .*{message}"):
        DRIT(replace(SMALL, **changes), size)


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"content_discriminator": "published", "width": 1}, 212),
        ({"discriminator_layers": 4}, 32),
        ({"discriminator_layers": 4}, 36),
        ({"discriminator_scales": 1, "discriminator_layers": 4}, 16),
        ({"attribute": "feature_wise"}, 20),
    ],
)
def test_the_smallest_sizes_run(changes: dict[str, Any], size: int) -> None:
    built = DRIT(replace(SMALL, **changes, batch_size=1, content_updates=1), size)
    drawn = built.draw(domains(size, 2), torch.Generator(), Progress(0, 2))
    assert all(torch.isfinite(value) for value in run_step(built, drawn).values())


@pytest.mark.parametrize(
    "changes",
    [
        {"attribute": "both"}, {"content_discriminator": "large"}, {"width": 0}, {"content_updates": -1},
        {"content_clip": 0.0}, {"lambda_ms": -1.0}, {"constant_fraction": 1.5}, {"enlarge": 0.9}, {"betas": (1.0, 0.9)},
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(SMALL, **changes)


# ------------------------------------------------------------------------------------------ draws and inference


def test_draw_makes_what_one_published_iteration_uses() -> None:
    """Published: image 0 of three minibatches and image 1 of the last, 4 per domain; each from its own domain."""
    built = method(batch_size=1)
    assert built.images_per_step == 4
    drawn = built.draw(domains(SIZE), torch.Generator().manual_seed(0), Progress(0, 10))
    for letter, sign in (("a", -1), ("b", 1)):
        images = [getattr(drawn, f"{kind}_{letter}") for kind in ("content", "encoded", "random")]
        assert [len(x) for x in images] == [2, 1, 1]
        assert all(torch.all(sign * x.mean(dim=(1, 2, 3)) > 0) for x in images)  # the second domain is bright
        rows = torch.cat(images).flatten(1)
        assert len(torch.unique(rows, dim=0)) == 4
    assert drawn.content_noise.shape == (2, 2, 256)
    assert drawn.fake_noise.shape == (2, 1, 256)
    assert drawn.z.shape == (1, 3)


def test_noise_is_standard_normal_and_independent() -> None:
    """5,000 numbers and more each: means within 0.06, standard deviations within 0.05, no two equal."""
    drawn = method(batch_size=2000).draw(domains(SIZE), torch.Generator().manual_seed(0), Progress(0, 10))
    names = ("content_noise", "encoded_noise", "fake_noise", "encoded_eps", "fake_eps", "z", "z2")
    firsts = []
    for name in names:
        values = getattr(drawn, name)
        assert abs(values.mean().item()) < 0.06
        assert values.std().item() == pytest.approx(1, abs=0.05)
        halves = values.unbind(0) if values.ndim == 3 else (values,)
        firsts += [half[0, :3] for half in halves]
    assert len(torch.unique(torch.stack(firsts), dim=0)) == len(firsts) == 12


def test_digits_are_drawn_as_they_are_and_pictures_are_enlarged_and_mirrored() -> None:
    stores = domains(SIZE)
    originals = stores.images[0].float() / 127.5 - 1

    def unchanged(image: Tensor, candidates: Tensor) -> bool:
        return bool((candidates - image).abs().flatten(1).amax(1).min() < 1e-6)

    def drawn(**changes: Any) -> Tensor:
        return method(batch_size=8, **changes).draw(stores, torch.Generator().manual_seed(0), Progress(0, 2)).encoded_a

    assert all(unchanged(image, originals) for image in drawn())
    flipped = drawn(flip=True)
    assert {unchanged(image, originals) for image in flipped} == {True, False}
    assert all(unchanged(image, torch.cat([originals, originals.flip(-1)])) for image in flipped)
    assert not any(unchanged(image, originals) for image in drawn(enlarge=256 / 216))


@both_forms
def test_translate_takes_the_content_without_noise_and_the_target_s_attributes(attribute: str) -> None:
    built, b = method(attribute=attribute).double(), batch()
    x, exemplar = b.encoded_a, b.encoded_b
    with torch.no_grad():
        for source, target in ((0, 1), (1, 0)):
            for style, z in (
                (Noise(b.z), b.z),
                (Code(b.z2), b.z2),
                (Exemplar(exemplar), built.attribute_encoder.mean(exemplar, target)),
            ):
                expected = built.generator(built.content_encoder(x, source), z, target)
                torch.testing.assert_close(built.translate(x, source, target, style), expected, rtol=0, atol=1e-12)
    assert built.noise_dim == 3


OFFICIAL = {
    "enc_c": "content_encoder", "enc_a": "attribute_encoder", "gen": "generator", "disContent": "discriminator_content",
    "disA": "discriminator_a", "disA2": "discriminator_a2", "disB": "discriminator_b", "disB2": "discriminator_b2",
}  # fmt: skip


def official_file(built: DRIT) -> dict[str, Any]:
    """The content of the single checkpoint file."""
    states: dict[str, Any] = {name: getattr(built, ours).state_dict() for name, ours in OFFICIAL.items()}
    states |= {f"{name}_opt": {"state": {}, "param_groups": []} for name in OFFICIAL}
    return {**states, "ep": 7, "total_it": 1234}


@both_forms
def test_official_checkpoint_file_loads_as_a_whole(attribute: str) -> None:
    built, other = method(attribute=attribute), DRIT(replace(SMALL, attribute=attribute), SIZE)
    other.load_official(official_file(built))
    assert all(torch.equal(value, built.state_dict()[key]) for key, value in other.state_dict().items())


def test_official_checkpoints_load_in_parts() -> None:
    """One network alone; a linear layer's key with the index of a `Sequential`."""
    built, other = method(), DRIT(SMALL, SIZE)
    before = other.generator.decA4[0].weight.clone()
    state = {
        key.replace("fc_A.", "fc_A.0.").replace("fcVar_B.", "fcVar_B.0."): value
        for key, value in built.attribute_encoder.state_dict().items()
    }
    assert "fcVar_B.0.weight" in state
    other.load_official({"enc_a": state})
    assert torch.equal(other.attribute_encoder.fcVar_B.weight, built.attribute_encoder.fcVar_B.weight)
    assert torch.equal(other.generator.decA4[0].weight, before)


def test_other_networks_and_other_keys_are_refused() -> None:
    file, other = official_file(method()), DRIT(replace(SMALL, attribute="feature_wise"), SIZE)
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(ValueError, match=r"(?s)enc_a: missing model_a\.1\.bias.*enc_a: unexpected .*conv_A\.1\.bias"):
        other.load_official(file)
    assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items())  # nothing of it
    with pytest.raises(ValueError, match="unknown network 'netG'"):
        other.load_official({"netG": file["gen"]})
    with pytest.raises(ValueError, match="no network given"):
        other.load_official({"ep": 7, "total_it": 3})  # type: ignore[dict-item]
