"""The frozen encoders: layouts and sizes of the published files, torchvision's outputs, real photographs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from determined import fill, numbers
from real_files import real_file
from torch import Tensor, nn

from methods.parts.backbones import (
    BACKBONES,
    LITE_BLOCKS,
    NORMS,
    EfficientNetLite0,
    Normalise,
    OrientedGradients,
    ResNet50,
    SameConv2d,
    StandInVGG,
    VGG19Features,
    build_backbone,
    load_backbone,
    moco_backbone_state,
)


def images(count: int, size: int) -> Tensor:
    """(count, 3, size, size) in [0, 1)."""
    return (numbers(7, count, 3, size, size, dtype=torch.float32) + 1) / 2


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# --------------------------------------------------------------------------------------------- sizes and layouts


def test_parameter_counts_are_the_published_ones() -> None:
    """EfficientNet-Lite0 has 4,652,008 with its last layer of 1280 x 1000 + 1000."""
    assert count(ResNet50()) == 23_508_032
    assert count(VGG19Features()) == 12_944_960
    assert count(EfficientNetLite0()) == 4_652_008 - 1_281_000


def resnet50_keys() -> set[str]:
    """Written out by hand: torchvision's layout without `fc`."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    keys = {"conv1.weight", *(f"bn1.{k}" for k in norm)}
    for layer, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for block in range(blocks):
            at = f"layer{layer}.{block}"
            for i in (1, 2, 3):
                keys |= {f"{at}.conv{i}.weight", *(f"{at}.bn{i}.{k}" for k in norm)}
        keys |= {f"layer{layer}.0.downsample.0.weight", *(f"layer{layer}.0.downsample.1.{k}" for k in norm)}
    return keys


def test_resnet50_has_the_keys_of_the_published_file() -> None:
    state = ResNet50().state_dict()
    assert set(state) == resnet50_keys()
    assert state["layer3.0.downsample.0.weight"].shape == (1024, 512, 1, 1)
    assert state["layer4.2.conv2.weight"].shape == (512, 512, 3, 3)


def test_vgg19_has_the_keys_of_the_published_file() -> None:
    state = VGG19Features().state_dict()
    indices = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
    assert set(state) == {f"features.{i}.{k}" for i in indices for k in ("weight", "bias")}
    assert state["features.10.weight"].shape == (256, 128, 3, 3)
    assert state["features.28.weight"].shape == (512, 512, 3, 3)


def test_efficientnet_has_sixteen_blocks_and_its_own_layout() -> None:
    state = EfficientNetLite0().state_dict()
    assert sum(repeats for *_, repeats in LITE_BLOCKS) == 16
    assert "_blocks.0._expand_conv.weight" not in state
    assert state["_blocks.5._depthwise_conv.weight"].shape == (240, 1, 3, 3)
    assert state["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)
    assert len(state) == 296 - 2  # the published file, without the last layer


# ------------------------------------------------------------------------------------------ against torchvision


def test_resnet50_equals_torchvisions() -> None:
    torchvision = pytest.importorskip("torchvision")
    reference = fill(torchvision.models.resnet50(weights=None)).eval()
    ours = ResNet50().eval()
    ours.load(reference.state_dict())
    reference.fc = nn.Identity()
    x = images(2, 64)
    with torch.no_grad():
        expected = reference(x)
        found = ours(x)
    assert found.shape == (2, 2048)
    assert found.min() >= 0
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def test_vgg19_equals_torchvisions_layers_to_28() -> None:
    torchvision = pytest.importorskip("torchvision")
    layout = [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M"]
    features = torchvision.models.vgg.make_layers(layout)  # all 37 layers, without the 120 million of the classifier
    reference = fill(nn.ModuleDict({"features": features})).eval()
    ours = VGG19Features().eval()
    ours.load({**reference.state_dict(), "classifier.0.weight": torch.zeros(1)})
    x = images(2, 32)
    with torch.no_grad():
        expected = features[:29](x)
        found = ours(x)
    assert found.shape == (2, 512, 2, 2)
    assert found.min() < 0  # before the ReLU
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())
    with torch.no_grad():
        taps = ours.taps(x)
        for tap, depth in zip(taps, (2, 7, 12, 21, 30), strict=True):  # relu1_1, 2_1, 3_1, 4_1, 5_1
            torch.testing.assert_close(tap, features[:depth](x), rtol=1e-5, atol=1e-5 * tap.max().item())


def test_taps_round_odd_sides_up_and_are_as_wide_as_the_layout_says() -> None:
    """TensorFlow's "same" pooling: 28 -> 14 -> 7 -> 4 -> 2."""
    shapes = [tuple(tap.shape[1:]) for tap in fill(StandInVGG()).taps(images(1, 28))]  # type: ignore[operator]
    assert shapes == [(16, 28, 28), (32, 14, 14), (64, 7, 7), (64, 4, 4), (64, 2, 2)]


def test_caffe_weights_see_blue_first_in_0_to_255() -> None:
    """The first convolution by hand, from the file's weights and the original's preparation."""
    state = fill(VGG19Features()).state_dict()
    network = VGG19Features("caffe")
    network.load(state)
    x = images(1, 16)
    bgr = 255 * x.flip(1) - torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    expected = F.relu(F.conv2d(bgr, state["features.0.weight"], state["features.0.bias"], padding=1))
    with torch.no_grad():
        torch.testing.assert_close(network.taps(x)[0], expected, rtol=1e-4, atol=1e-4 * expected.max().item())


@pytest.mark.parametrize(("size", "kernel", "stride"), [(9, 3, 2), (8, 3, 2), (8, 5, 2), (7, 5, 1), (6, 1, 1)])
def test_same_padding_is_tensorflows(size: int, kernel: int, stride: int) -> None:
    """Output i is the sum over a window that starts at i * stride - (all padding // 2)."""
    layer = SameConv2d(1, 1, kernel, stride)
    nn.init.ones_(layer.weight)
    x = numbers(3, 1, 1, size, 1, dtype=torch.float32).expand(1, 1, size, size)  # constant along the rows
    out = -(-size // stride)
    before = max((out - 1) * stride + kernel - size, 0) // 2
    starts = [i * stride - before for i in range(out)]
    column = [x[0, 0, max(s, 0) : s + kernel, 0].sum() for s in starts]
    across = [min(s + kernel, size) - max(s, 0) for s in starts]
    expected = torch.stack(column)[:, None] * torch.tensor(across)[None]
    torch.testing.assert_close(layer(x)[0, 0], expected, rtol=1e-5, atol=1e-5)


# -------------------------------------------------------------------------------------------------- preparation


def test_normalisation_is_in_the_network_and_not_in_its_state() -> None:
    x = images(1, 32)
    plain, normalised = (fill(VGG19Features(norm)).eval() for norm in ("none", "imagenet"))
    assert plain.state_dict().keys() == normalised.state_dict().keys()
    by_hand = torch.stack([(x[:, c] - m) / s for c, (m, s) in enumerate(zip(*NORMS["imagenet"], strict=True))], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(normalised(x), plain(by_hand))
    assert str(plain) != str(normalised)
    with pytest.raises(ValueError, match="norm is one of none, imagenet, lite"):
        Normalise("imagnet")


def test_efficientnet_enlarges_small_images_only() -> None:
    network = fill(EfficientNetLite0(enlarge_to=64)).eval()
    as_it_is = fill(EfficientNetLite0(enlarge_to=0)).eval()
    small, large = images(1, 32), images(1, 96)
    with torch.no_grad():
        enlarged = F.interpolate(small, size=(64, 64), mode="bilinear", align_corners=False)
        assert torch.equal(network(small), as_it_is(enlarged))
        assert torch.equal(network(large), as_it_is(large))
        assert network(small).shape == (1, 1280)
        assert not torch.allclose(network(small), as_it_is(small))


# ------------------------------------------------------------------------------------------------------- loading


@pytest.mark.parametrize("make", [ResNet50, VGG19Features, EfficientNetLite0])
def test_loading_is_strict_and_all_or_nothing(make: type[ResNet50]) -> None:
    network = make()
    state = {key: value + 1 for key, value in network.state_dict().items()}
    first, *_, last = state
    before = network.state_dict()[first].clone()
    with pytest.raises(ValueError, match=f"missing {last}"):
        network.load({key: value for key, value in state.items() if key != last})
    with pytest.raises(ValueError, match=r"unexpected layer9\.weight"):
        network.load({**state, "layer9.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=rf"{first} is \(1, 2\), not"):
        network.load({**state, first: torch.zeros(1, 2)})
    assert torch.equal(network.state_dict()[first], before)
    network.load({**state, f"{network.ignored[0]}weight": torch.zeros(1)})
    assert torch.equal(network.state_dict()[first], before + 1)


def moco_checkpoint() -> dict[str, object]:
    """The published file's layout: the query encoder with its two-layer head among other things."""
    encoder = fill(ResNet50()).state_dict()
    state = {f"module.encoder_q.{key}": value for key, value in encoder.items()}
    state |= {f"module.encoder_q.fc.{i}.{k}": torch.zeros(1) for i in (0, 2) for k in ("weight", "bias")}
    state |= {f"module.encoder_k.{key}": value + 5 for key, value in encoder.items()}
    state |= {"module.queue": torch.zeros(2, 2), "module.queue_ptr": torch.zeros(1)}
    return {"epoch": 800, "arch": "resnet50", "state_dict": state, "optimizer": {}}


def test_moco_layout_is_found_in_the_checkpoint_and_in_its_state_dict() -> None:
    checkpoint = moco_checkpoint()
    expected = fill(ResNet50()).state_dict()
    for given in (checkpoint, checkpoint["state_dict"]):
        found = moco_backbone_state(given)  # type: ignore[arg-type]
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
    with pytest.raises(ValueError, match=r"module\.encoder_q\.\* wanted .*, found conv1\.weight, fc\.bias"):
        moco_backbone_state({"conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)})


def test_encoders_are_made_and_loaded_by_name() -> None:
    asked: list[str] = []

    def weights(name: str) -> dict[str, object]:
        asked.append(name)
        return moco_checkpoint()

    for name in ("moco_v2", "moco_v2_imagenet"):
        network = build_backbone(name)
        load_backbone(name, network, weights)
        assert torch.equal(network.state_dict()["conv1.weight"], fill(ResNet50()).state_dict()["conv1.weight"])
    assert asked == ["moco", "moco"]
    with pytest.raises(TypeError, match="a network made by build_backbone wanted, got Linear"):
        load_backbone("moco_v2", nn.Linear(1, 1), weights)
    assert {name: build_backbone(name).width for name in BACKBONES} == {
        "moco_v2": 2048, "moco_v2_imagenet": 2048, "vgg19": 512, "vgg19_imagenet": 512, "vgg19_caffe": 512,
        "stand_in": 64, "efficientnet": 1280, "gradients": 128, "gradients_fine": 512, "gradients_upright": 512,
    }  # fmt: skip


# --------------------------------------------------------------------------------------------------- real photos

IMAGENET = {"dog": set(range(151, 269)), "elephant": {101, 385, 386}, "guitar": {402, 546}, "horse": {339}}
"""Classes of ImageNet that show the animal or thing; it has no giraffe, and of horses one colour only."""


def test_efficientnet_classifies_real_photographs() -> None:
    """With the file's own last layer: 12 photographs of each kind. Measured: 11, 11, 12 and 6 right."""
    from PIL import Image

    state = torch.load(real_file("weights/efficientnet-lite0-57934424.pth"), map_location="cpu", weights_only=True)
    folder = real_file("datasets/pacs/photo")
    network = EfficientNetLite0().eval()
    network.load(state)
    right = {}
    for name, wanted in IMAGENET.items():
        paths = sorted((folder / name).iterdir())[:12]
        photos = [np.array(Image.open(p).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)) for p in paths]
        x = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            logits = network(x) @ state["_fc.weight"].T + state["_fc.bias"]
        right[name] = sum(int(k) in wanted for k in logits.argmax(1))
    assert right["dog"] >= 10
    assert right["elephant"] >= 9
    assert right["guitar"] >= 10
    assert right["horse"] >= 3


# ------------------------------------------------------------------------------------------- oriented gradients


def stripes(angle: float, size: int = 32) -> Tensor:
    """(1, 3, S, S) in [0, 1]: a wave whose gradient has the direction `angle` (radians)."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    wave = torch.sin((x * math.cos(angle) + y * math.sin(angle)) * 0.7)
    return (0.5 + 0.4 * wave).expand(1, 3, size, size)


@pytest.mark.parametrize("direction", range(8))
def test_gradients_vote_for_the_direction_of_stripes(direction: int) -> None:
    found = OrientedGradients()(stripes(direction * math.pi / 8)).reshape(8, 16).sum(1)
    assert int(found.argmax()) == direction
    assert found[direction] > 0.7 * found.sum()


def test_gradients_do_not_see_colours_polarity_or_contrast_but_do_see_place() -> None:
    network = OrientedGradients()
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for other in (1 - x, 0.25 + 0.5 * x, grey(x)):
        torch.testing.assert_close(network(other), network(x), rtol=0, atol=1e-3)
    assert not torch.allclose(network(x.roll(8, dims=3)), network(x), atol=0.1)
    torch.testing.assert_close(network(x).square().mean(1), torch.ones(2), rtol=0, atol=1e-3)


def grey(x: Tensor) -> Tensor:
    return torch.einsum("j,bjhw->bhw", torch.tensor((0.299, 0.587, 0.114)), x)[:, None].expand_as(x)


def test_gradients_of_a_flat_image_are_nothing_and_differentiable() -> None:
    x = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    features = OrientedGradients()(x)
    assert features.shape == (1, 128)
    assert features.abs().max() < 0.2
    features.sum().backward()
    assert torch.isfinite(x.grad).all()
