"""CatS-UDT's translator against the official code's numbers: parameter counts, keys, losses and gradient norms.

The numbers were recorded from the official networks and losses, run with weights and inputs that follow from a formula
(`determined.py`).
"""

from __future__ import annotations

import math

import pytest
import torch
from determined import fill, numbers
from torch import Tensor, nn

from methods.cats_udt import Batch, CatsUDT, CatsUDTConfig

NETWORKS = ("generator", "mapping_network", "style_encoder", "discriminator")


def published(size: int, clusters: int, **settings: object) -> CatsUDT:
    """Full width, without memory for its weights."""
    with torch.device("meta"):
        return CatsUDT(CatsUDTConfig(clusters=clusters, **settings), size)  # type: ignore[arg-type]


FEATURES = {"categories": "features", "semantic_loss": "features"}


@pytest.mark.parametrize(
    ("size", "clusters", "settings", "counts"),
    [
        (32, 10, {}, (47_888_899, 2_443_392, 34_784_000, 18_379_286)),
        (256, 5, {}, (53_041_795, 2_440_832, 29_059_264, 20_857_420)),
        (32, 10, {"conditioning": "none"}, (47_888_899, 2_438_272, 18_433_664, 18_379_286)),
        (256, 5, {"conditioning": "none"}, (53_041_795, 2_438_272, 20_916_928, 20_857_420)),
        (32, 10, {"conditioning": "content"}, (49_330_691, 2_438_272, 18_433_664, 18_379_286)),
        (256, 5, {"conditioning": "content"}, (53_828_227, 2_438_272, 20_916_928, 20_857_420)),
        (32, 10, {"semantic_loss": "frozen_h"}, (47_888_899, 2_443_392, 34_784_000, 18_369_026)),
        (32, 10, {"bottleneck_blocks": 2}, (28_740_099, 2_443_392, 34_784_000, 18_379_286)),
    ],
)
def test_parameter_counts(size: int, clusters: int, settings: dict[str, object], counts: tuple[int, ...]) -> None:
    assert published(size, clusters, **settings).parameter_counts() == dict(zip(NETWORKS, counts, strict=True))


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        (32, (47_888_899, 2_963_072, 18_499_200, 18_369_026)),
        (256, (53_041_795, 2_963_072, 20_982_464, 20_852_290)),
    ],
)
def test_parameter_counts_with_continuous_semantics(size: int, counts: tuple[int, ...]) -> None:
    """VGG-19's 512 channels."""
    from methods.semantics.config import SemanticsConfig

    built = published(size, 5, conditioning="style_features", semantics=SemanticsConfig(encoder="vgg19"), **FEATURES)
    assert built.parameter_counts() == dict(zip(NETWORKS, counts, strict=True))


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def test_keys_are_the_official_ones() -> None:
    """A sample of each kind of the published listing, and the number of tensors, at 32 px with 10 clusters."""
    built = published(32, 10)
    assert [len(shapes(getattr(built, name))) for name in NETWORKS] == [86, 24, 176, 22]
    assert shapes(built.generator)["decode.4.norm2.fc.weight"] == (1024, 64)
    assert shapes(built.generator)["to_rgb.2.weight"] == (3, 512, 1, 1)
    assert shapes(built.mapping_network)["shared.0.weight"] == (512, 26)
    assert shapes(built.mapping_network)["unshared.1.6.weight"] == (64, 512)
    assert shapes(built.style_encoder)["unshared.19.6.bias"] == (64,)
    assert shapes(built.style_encoder)["shared.5.weight"] == (512, 512, 4, 4)
    assert shapes(built.discriminator)["classifier.1.weight"] == (10, 512)
    assert shapes(built.discriminator)["dis.weight"] == (2, 512, 1, 1)
    content = published(32, 10, conditioning="content")
    assert shapes(content.generator)["y_embed.weight"] == (131072, 10)
    assert shapes(content.style_encoder)["unshared.1.0.weight"] == (64, 512)


def official_batch() -> Batch:
    """A stated case: B = 2, every lambda 1, lambda_ds 2."""
    images = [numbers(tag, 2, 3, 32, 32) for tag in (0, 5, 6)]
    return Batch(
        x_source=images[0], d_source=torch.tensor([0, 1]), cluster=torch.tensor([3, 1]), x_ref=images[1],
        x_ref2=images[2], d_target=torch.tensor([1, 0]), z=2 * numbers(1, 2, 16), z2=2 * numbers(2, 2, 16),
        lambda_ds=torch.tensor(2.0, dtype=torch.float64),
    )  # fmt: skip


def norm(loss: Tensor, network: nn.Module) -> float:
    found = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, allow_unused=True)
    return math.sqrt(sum(g.square().sum().item() for g in found if g is not None))


@pytest.mark.slow
def test_a_step_reproduces_the_official_losses_and_gradient_norms() -> None:
    """Full width, float64: totals to 1e-8, the printed digits of the parts and of the norms."""
    built = published(32, 10).double().to_empty(device="cpu")
    for name in NETWORKS:
        fill(getattr(built, name))
    phases = list(built.training_step(official_batch()))
    totals = [torch.stack(list(phase.losses.values())).sum() for phase in phases]
    expected = [3.3081066061, 3.4092131126, 4.3470091112, 4.5504491304]
    assert [total.item() for total in totals] == pytest.approx(expected, rel=1e-8)

    def printed(phase: int, digits: int) -> dict[str, float]:
        return {name: round(value.item(), digits) for name, value in phases[phase].losses.items()}

    assert {**printed(0, 5), "r1": round(phases[0].losses["r1"].item(), 6)} == {
        "real": 0.80153, "fake": 0.37277, "sem": 2.11817, "r1": 0.015638,
    }  # fmt: skip
    generator_terms = printed(2, 5)
    assert round(-generator_terms.pop("ds") / 2, 5) == 0.73269  # printed without its weight
    assert generator_terms == {"adv": 1.28056, "sty": 1.19223, "sem": 2.40966, "cyc": 0.92994}
    norms = [round(norm(totals[2], getattr(built, name)), 3) for name in NETWORKS[:3]]
    assert norms == [80.613, 35.569, 10.328]
    assert norm(totals[3], built.mapping_network) == 0  # the reference pass has no gradient for it


def small(**settings: object) -> CatsUDT:
    """Narrow networks with determined weights."""
    sizes = {"max_width": 16, "base_width": 8, "bottleneck_blocks": 1, "style_dim": 8, "mapping_width": 16}
    torch.manual_seed(0)
    return CatsUDT(CatsUDTConfig(clusters=10, content_size=8, **sizes, **settings), 16)  # type: ignore[arg-type]


def test_style_heads_of_two_domains_overlap_as_officially() -> None:
    """Index 2 d + y: (y = 2, d = 0) and (y = 0, d = 1) are one head; with `disjoint` they are two."""
    x, d0, d1 = numbers(0, 1, 3, 16, 16, dtype=torch.float32), torch.tensor([0]), torch.tensor([1])
    y0, y2 = torch.tensor([0]), torch.tensor([2])
    encoder = small().style_encoder
    assert torch.equal(encoder(x, y2, d0), encoder(x, y0, d1))
    disjoint = small(style_heads="disjoint").style_encoder
    assert not torch.equal(disjoint(x, y2, d0), disjoint(x, y0, d1))


def test_every_style_head_is_its_own_network() -> None:
    """The batched heads against each head called alone."""
    encoder = small(style_heads="disjoint").style_encoder.double()
    x = numbers(0, 4, 3, 16, 16)
    y, d = torch.tensor([0, 9, 4, 4]), torch.tensor([0, 1, 0, 1])
    features = encoder.shared(x).flatten(1)
    alone = torch.stack([encoder.unshared[10 * int(d[i]) + int(y[i])](features[i]) for i in range(4)])
    torch.testing.assert_close(encoder(x, y, d), alone, rtol=0, atol=1e-12)


def test_official_checkpoints_load_into_live_and_averaged_networks() -> None:
    built, other = small(), small()
    state = {name: {f"module.{k}": v + 1 for k, v in getattr(other, name).state_dict().items()} for name in NETWORKS}
    built.load_official(state)
    for name in NETWORKS[:3]:
        for network in (getattr(built, name), built.ema[name]):
            assert all(torch.equal(v, state[name][f"module.{k}"]) for k, v in network.state_dict().items())
    with pytest.raises(ValueError, match="mapping_network: missing"):
        built.load_official({"mapping_network": {}})
