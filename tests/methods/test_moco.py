"""MoCo-v2: the loss, the key networks, the queue, the views, and that a stopped training goes on byte for byte."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from determined import fill, numbers
from torch import Tensor

from methods.base import run_step
from methods.parts.backbones import build_backbone, load_backbone
from methods.semantics.moco import (
    MoCo,
    MoCoConfig,
    SmallResNet,
    build_moco_encoder,
    info_nce,
)
from methods.semantics.views import random_view_blur, random_view_colours

SMALL = MoCoConfig(
    encoder="small", width=2, projection_dim=5, queue=24, batch_size=8, key_splits=2, steps=6, momentum=0.9,
    learning_rate=0.1,
)  # fmt: skip
SIZE = 32


def pictures(tag: int, count: int, low: int, high: int, size: int = SIZE) -> Tensor:
    """uint8 (count, 3, size, size) between `low` and `high`."""
    return ((numbers(tag, count, 3, size, size) + 1) / 2 * (high - low) + low).to(torch.uint8)


def moco(config: MoCoConfig = SMALL, seed: int = 0) -> MoCo:
    """On 10 dark and 14 bright images."""
    torch.manual_seed(seed)
    return MoCo(config, (pictures(1, 10, 0, 100), pictures(2, 14, 155, 255))).train()


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------------------------------------------- the loss


def test_loss_is_equation_1_written_out() -> None:
    q, k, queue = (F.normalize(numbers(tag, n, 4), dim=1) for tag, n in ((1, 3), (2, 3), (3, 6)))
    terms = []
    for i in range(3):
        positive = math.exp(float(q[i] @ k[i]) / 0.2)
        negatives = sum(math.exp(float(q[i] @ queue[j]) / 0.2) for j in range(6))
        terms.append(-math.log(positive / (positive + negatives)))
    assert info_nce(q, k, queue, 0.2).item() == pytest.approx(sum(terms) / 3, rel=1e-12)


def test_loss_of_equal_vectors_is_log_of_all_candidates() -> None:
    one = torch.tensor([[1.0, 0.0]])
    assert info_nce(one.expand(2, 2), one.expand(2, 2), one.expand(7, 2), 0.07).item() == pytest.approx(math.log(8))


def test_step_holds_the_loss_of_its_own_networks() -> None:
    """Recomputed from the state before the step: key networks follow first, then make the keys in shuffled parts."""
    stage = moco()
    fill(stage.head, 3)
    fill(stage.key_encoder, 4)
    encoder, head, key_encoder, key_head = (
        copy.deepcopy(n) for n in (stage.encoder, stage.head, stage.key_encoder, stage.key_head)
    )
    queue = stage.queue.clone()
    logged = run_step(stage, rng(5))

    draws = rng(5)
    images = stage._minibatch(draws)
    x_query, x_key = stage._view(images, draws), stage._view(images, draws)
    order = torch.randperm(8, generator=draws)
    with torch.no_grad():
        for key, query in ((key_encoder, encoder), (key_head, head)):
            for own, followed in zip(key.parameters(), query.parameters(), strict=True):
                own.copy_(0.9 * own + 0.1 * followed)
        key = torch.zeros(8, 5)
        for part in (order[:4], order[4:]):
            key[part] = F.normalize(key_head(key_encoder(x_key[part])), dim=1)
        query = F.normalize(head(encoder(x_query)), dim=1)
        logits = torch.cat([(query * key).sum(1, keepdim=True), query @ queue.T], dim=1) / 0.2
        expected = -logits.log_softmax(1)[:, 0].mean()
    assert list(logged) == ["0:encoder+head.info_nce"]
    assert logged["0:encoder+head.info_nce"].item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(stage.queue[:8], key, rtol=1e-4, atol=1e-6)


def test_keys_keep_their_images_order() -> None:
    """With running statistics the parts do not matter: keys are those of the unshuffled batch."""
    stage = moco().eval()
    x = numbers(4, 8, 3, SIZE, SIZE, dtype=torch.float32).abs()
    found = stage._keys(x, torch.tensor([3, 1, 4, 7, 5, 0, 2, 6]))
    with torch.no_grad():
        expected = F.normalize(stage.key_head(stage.key_encoder(x)), dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert (expected[0] - expected[1]).abs().max() > 1e-3


# ---------------------------------------------------------------------------------------- key networks and queue


def test_key_networks_start_as_copies_and_get_no_gradient() -> None:
    stage = moco()
    for own, other in ((stage.key_encoder, stage.encoder), (stage.key_head, stage.head)):
        for (name, value), copied in zip(own.state_dict().items(), other.state_dict().values(), strict=True):
            assert torch.equal(value, copied), name
    assert set(stage.optimizers) == {"encoder", "head"}
    for step in range(2):
        run_step(stage, rng(step))
    keys = [*stage.key_encoder.parameters(), *stage.key_head.parameters()]
    assert all(p.grad is None and not p.requires_grad for p in keys)
    queries = [*stage.encoder.parameters(), *stage.head.parameters()]
    assert all(p.grad is not None for p in queries)
    assert any(not torch.equal(a, b) for a, b in zip(keys, queries, strict=True))


def test_key_networks_follow_by_equation_2() -> None:
    stage = moco(replace(SMALL, momentum=0.75))
    run_step(stage, rng(0))
    before, followed = stage.key_head[0].weight.clone(), stage.head[0].weight.clone()
    run_step(stage, rng(1))
    torch.testing.assert_close(stage.key_head[0].weight, 0.75 * before + 0.25 * followed)
    assert not torch.equal(before, followed)


def test_queue_has_the_newest_batch_first_and_drops_the_oldest() -> None:
    stage = moco()
    start = stage.queue.clone()
    assert start.shape == (24, 5)
    torch.testing.assert_close(start.norm(dim=1), torch.ones(24))
    fronts = []
    for step in range(4):
        run_step(stage, rng(step))
        fronts.append(stage.queue[:8].clone())
        if step == 1:
            assert torch.equal(stage.queue[16:], start[:8])
    assert torch.equal(stage.queue, torch.cat([fronts[3], fronts[2], fronts[1]]))
    torch.testing.assert_close(stage.queue.norm(dim=1), torch.ones(24))


# ------------------------------------------------------------------------------------------------------ training


def test_learning_rate_is_half_a_cosine_of_the_steps() -> None:
    stage, rates = moco(), []
    for step in range(6):
        run_step(stage, rng(step))
        rates.append([optimizer.param_groups[0]["lr"] for optimizer in stage.optimizers.values()])
    assert rates == [[pytest.approx(0.05 * (1 + math.cos(math.pi * step / 6)))] * 2 for step in range(6)]


def test_defaults_are_the_published_ones() -> None:
    c = MoCoConfig()
    assert (c.queue, c.momentum, c.temperature, c.projection_dim) == (65_536, 0.999, 0.2, 128)
    assert (c.learning_rate, c.sgd_momentum, c.weight_decay, c.batch_size) == (0.03, 0.9, 1e-4, 256)
    assert c.steps == 800 * (1_281_167 // 256)
    assert (c.crop_area, c.jitter_probability, c.grey_probability, c.blur_probability) == ((0.2, 1.0), 0.8, 0.2, 0.5)
    assert (c.brightness, c.contrast, c.saturation, c.hue, c.blur_sigma) == (0.4, 0.4, 0.4, 0.1, (0.1, 2.0))
    for optimizer in moco().optimizers.values():
        (group,) = optimizer.param_groups
        assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 1e-4, False)


def test_a_stopped_training_goes_on_byte_for_byte() -> None:
    """Three steps, state to disk's types and back into a fresh stage, three more: as six steps."""
    whole, first, second = moco(), moco(), moco(seed=1)
    for step in range(6):
        run_step(whole, rng(step))
    for step in range(3):
        run_step(first, rng(step))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for name, optimizer in first.optimizers.items():
        second.optimizers[name].load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(3, 6):
        run_step(second, rng(step))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_minibatch_is_uniform_over_the_union_of_domains() -> None:
    """10 dark and 14 bright images: 4,800 draws, each image 200 times within five standard deviations."""
    stage = moco(replace(SMALL, batch_size=4800, queue=4800))
    drawn = stage._minibatch(rng(0))
    every = torch.cat(stage.images).float() / 127.5 - 1
    which = torch.cdist(drawn.flatten(1)[:, :60], every.flatten(1)[:, :60])
    torch.testing.assert_close(which.min(dim=1).values, torch.zeros(4800), rtol=0, atol=5e-3)
    counts = which.argmin(dim=1).bincount(minlength=24)
    assert torch.all((counts - 200).abs() < 70)


def test_same_generator_same_views_and_every_image_has_its_own() -> None:
    stage = moco()
    same = pictures(3, 1, 0, 255).float().expand(6, -1, -1, -1) / 127.5 - 1
    one, again, other = (stage._view(same, rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1
    assert len({tuple(view.flatten()[:50].tolist()) for view in one}) == 6


def test_wrong_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"domain 1: uint8 \(N, 3, H, W\) wanted"):
        MoCo(SMALL, (pictures(1, 4, 0, 9), pictures(1, 4, 0, 9, size=16)))
    with pytest.raises(ValueError, match="domain 0"):
        MoCo(SMALL, (pictures(1, 4, 0, 9).float(),))


@pytest.mark.parametrize(
    "changes",
    [
        {"queue": 25}, {"key_splits": 3}, {"key_splits": 8}, {"temperature": 0.0}, {"hue": 0.6}, {"momentum": 1.1},
        {"encoder": "vgg"}, {"norm": "none "}, {"crop_area": (0.5, 0.4)}, {"blur_sigma": (2.0, 1.0)}, {"batch_size": 0},
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(SMALL, **changes)


def test_identity_follows_the_settings() -> None:
    assert moco().identity() == moco(seed=1).identity()
    assert moco().identity() != moco(replace(SMALL, hue=0.0)).identity()


# ------------------------------------------------------------------------------------------------------ encoders


def test_small_encoder_keeps_the_quarters_apart() -> None:
    """Counted by hand for width w; its features are those of four quarters, in rows."""
    w = 4
    network = SmallResNet(w)
    convolutions = 27 * w + 9 * w * w * (2 + 4 + 8 + 16 + 32 + 64) + w * w * (2 + 8 + 32)
    norms = 2 * w * (1 + 3 * 2 + 3 * 4 + 3 * 8)
    assert sum(p.numel() for p in network.parameters()) == convolutions + norms
    for size in (32, 64):
        x = torch.rand(2, 3, size, size)
        features = network.eval()(x)
        assert features.shape == (2, network.width) == (2, 128)
        assert features.min() >= 0
        maps = network.blocks(F.relu(network.bn(network.conv(network.normalise(x)))))  # (2, 32, size / 8, size / 8)
        half = size // 16
        for quarter, (top, left) in enumerate(((0, 0), (0, half), (half, 0), (half, half))):
            expected = maps[:, :, top : top + half, left : left + half].mean(dim=(2, 3))
            torch.testing.assert_close(features[:, quarter::4], expected)
    assert build_moco_encoder(SMALL).width == 64


def test_published_encoder_is_taken_out_of_the_checkpoint() -> None:
    source = build_moco_encoder(MoCoConfig())
    state = {f"module.encoder_q.{key}": value for key, value in source.state_dict().items()}
    state |= {"module.encoder_q.fc.0.weight": torch.zeros(1), "module.queue": torch.zeros(1)}
    loaded = build_backbone("moco_v2")
    load_backbone("moco_v2", loaded, lambda name: {"state_dict": state})
    assert loaded.normalise.norm == "none"
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in loaded.state_dict().items())
    del state["module.encoder_q.bn1.bias"]
    with pytest.raises(ValueError, match=r"missing bn1\.bias"):
        load_backbone("moco_v2", loaded, lambda name: state)


# --------------------------------------------------------------------------------------------------------- views


def one_colour(*rgb: float) -> Tensor:
    """(1, 3, 2, 2) in [-1, 1] of a colour in [0, 1]."""
    return (2 * torch.tensor(rgb, dtype=torch.float64) - 1)[None, :, None, None].expand(1, 3, 2, 2)


def luma(images: Tensor) -> Tensor:
    """(B, H, W) in [0, 1]."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=images.dtype)
    return ((images + 1) / 2 * weights[:, None, None]).sum(1)


def test_no_jitter_leaves_images_as_they_are() -> None:
    x = numbers(1, 3, 3, 6, 6)
    torch.testing.assert_close(random_view_colours(x, rng(0), 0.0, (0.4, 0.4, 0.4, 0.1), 0.0), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(random_view_colours(x, rng(0), 1.0, (0, 0, 0, 0), 0.0), x, rtol=0, atol=1e-12)
    assert torch.equal(random_view_blur(x, rng(0), 0.0, (0.1, 2.0)), x)


def test_grey_is_the_luma() -> None:
    x = numbers(1, 4, 3, 6, 6)
    found = random_view_colours(x, rng(0), 0.0, (0, 0, 0, 0), 1.0)
    torch.testing.assert_close((found + 1) / 2, luma(x)[:, None].expand(-1, 3, -1, -1))


def test_brightness_scales_and_contrast_keeps_the_mean_luma() -> None:
    x = numbers(1, 200, 3, 4, 4) * 0.4
    bright = (random_view_colours(x, rng(0), 1.0, (0.4, 0, 0, 0), 0.0) + 1) / 2
    factor = bright / ((x + 1) / 2)
    assert factor.flatten(1).std(dim=1).max() < 1e-9  # one factor per image
    factor = factor[:, 0, 0, 0]
    assert 0.6 <= factor.min() < 0.65
    assert 1.35 < factor.max() <= 1.4
    contrast = random_view_colours(x, rng(0), 1.0, (0, 0.4, 0, 0), 0.0)
    torch.testing.assert_close(luma(contrast).mean(dim=(1, 2)), luma(x).mean(dim=(1, 2)))
    assert not torch.allclose(contrast, x)


def test_saturation_and_hue_keep_the_luma_and_hue_turns() -> None:
    x = numbers(1, 50, 3, 4, 4) * 0.1
    for strengths in ((0, 0, 0.4, 0), (0, 0, 0, 0.5)):
        found = random_view_colours(x, rng(0), 1.0, strengths, 0.0)
        torch.testing.assert_close(luma(found), luma(x), rtol=0, atol=1e-6)
        assert (found - x).abs().max() > 0.02
    grey = one_colour(0.3, 0.3, 0.3)
    torch.testing.assert_close(random_view_colours(grey, rng(0), 1.0, (0, 0, 0.4, 0.5), 0.0), grey, rtol=0, atol=1e-3)
    red = one_colour(0.6, 0.4, 0.4).expand(500, -1, -1, -1)
    hues = random_view_colours(red, rng(0), 1.0, (0, 0, 0, 0.1), 0.0)[:, :, 0, 0]
    assert torch.all(hues.argmax(dim=1) == 0)  # a tenth of the circle: red stays the strongest
    wide_hues = random_view_colours(red, rng(0), 1.0, (0, 0, 0, 0.5), 0.0)[:, :, 0, 0]
    shares = wide_hues.argmax(dim=1).bincount(minlength=3) / 500
    assert shares.min() > 0.2


def test_shares_of_the_changed_views() -> None:
    x = numbers(1, 1, 3, 4, 4).expand(2000, -1, -1, -1) * 0.4
    jittered = (random_view_colours(x, rng(0), 0.8, (0.4, 0.4, 0.4, 0.1), 0.0) - x).abs().amax(dim=(1, 2, 3)) > 1e-6
    assert jittered.double().mean().item() == pytest.approx(0.8, abs=0.05)
    found = random_view_colours(x, rng(1), 0.0, (0, 0, 0, 0), 0.2)
    assert (found.std(dim=1).amax(dim=(1, 2)) < 1e-6).double().mean().item() == pytest.approx(0.2, abs=0.05)
    blurred = (random_view_blur(x, rng(2), 0.5, (30.0, 40.0)) - x).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert blurred.double().mean().item() == pytest.approx(0.5, abs=0.06)


def test_blur_is_a_gaussian_scaled_with_the_image() -> None:
    """sigma 2 at 224 pixels is 1 at 112: a point becomes exp(-r^2 / 2), normalised."""
    x = torch.zeros(1, 3, 112, 112, dtype=torch.float64)
    x[:, :, 50, 60] = 1
    found = random_view_blur(x, rng(0), 1.0, (2.0, 2.0))[0, 0]
    total = sum(math.exp(-(r**2) / 2) for r in range(-3, 4))
    for dy, dx in ((0, 0), (1, 0), (0, 2), (3, 1)):
        expected = math.exp(-(dy**2 + dx**2) / 2) / total**2
        assert found[50 + dy, 60 + dx].item() == pytest.approx(expected, rel=1e-9)
    assert found.sum().item() == pytest.approx(1)
    constant = torch.full((1, 3, 8, 8), 0.3)
    torch.testing.assert_close(random_view_blur(constant, rng(0), 1.0, (20.0, 60.0)), constant)


# ------------------------------------------------------------------------------------------------------ learning


def test_it_learns_to_tell_images_apart() -> None:
    """Blocks of four colours, 12 images: two views of one image become closer than views of two images."""
    blocks = F.interpolate(numbers(9, 12, 3, 2, 2), size=(SIZE, SIZE), mode="nearest")
    images = ((blocks + 1) * 127.5).to(torch.uint8)
    torch.manual_seed(0)
    config = replace(
        SMALL, width=4, projection_dim=16, queue=16, batch_size=16, steps=80, learning_rate=0.03,
        jitter_probability=0.0, grey_probability=0.0, flip=False,
    )  # fmt: skip
    stage = MoCo(config, (images,)).train()

    def gap() -> float:
        """Cosine of two views of one image less that of views of two images, means."""
        stage.eval()
        with torch.no_grad():
            views = [stage._view(blocks.float(), rng(seed)) for seed in (98, 99)]
            q, k = (F.normalize(stage.head(stage.encoder(view)), dim=1) for view in views)
        stage.train()
        similar = q @ k.T
        return (similar.diag().mean() - similar[~torch.eye(12, dtype=torch.bool)].mean()).item()

    before = gap()
    for step in range(80):
        run_step(stage, rng(step))
    after = gap()
    assert before < 0.1
    assert after > 0.5
