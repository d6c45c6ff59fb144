"""Frozen encoders whose weights other people trained: ResNet-50 (MoCo-v2), VGG-19, EfficientNet-Lite0.

Written from the papers: He et al. 2016 (ResNet, with the stride in the 3x3 convolution), Simonyan & Zisserman 2015
(VGG), Tan & Le 2019 (EfficientNet; the "Lite" variant has no squeeze-and-excitation, ReLU6 for swish, and a stem and
head that are not scaled). Module names equal the keys of the published files, so that these load as they are:
torchvision's for ResNet-50 and VGG-19. Every network takes (B, 3, H, W) in [0, 1] and normalises inside; weights come
as state dicts from the caller, and no file is read here.

Deliberate differences from the original CatS-UDT code:
- the mean and standard deviation of the training are an option (`..._imagenet` in BACKBONES); as in the original,
  ResNet-50 and VGG-19 get [0, 1] by default, although they were trained on normalised images.
- VGG-19 keeps its pretrained weights; the original overwrote them by random ones before training, by mistake.
- EfficientNet-Lite0 is ours: MoCo-v2's and VGG's files may not be at hand. **Its supervision is weak**: it was trained
  on labelled ImageNet, as VGG-19 was; MoCo-v2 was not.

Traps: batch norm must be in eval mode (these are frozen; whoever holds one calls `eval()`); VGG's features end *before*
the ReLU of conv5_1; EfficientNet pads as TensorFlow does ("same": the odd pixel at the right and the bottom) and its
batch norm has eps 1e-3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.parts.checks import load_checked

NORMS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "lite": ((127 / 255,) * 3, (128 / 255,) * 3),
    "caffe": ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3),
    "half": ((0.5,) * 3, (0.5,) * 3),
}
"""Name -> mean and standard deviation of R, G, B in [0, 1]; `lite` is EfficientNet-Lite's, `caffe` that of the
original VGG-19, `half` of [-1, 1]."""


class Normalise(nn.Module):
    """(x - mean) / std per colour. Has no entry in a state dict."""

    mean: Tensor
    std: Tensor

    def __init__(self, norm: str) -> None:
        """`norm`: a key of NORMS; raises ValueError for another."""
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm is one of {', '.join(NORMS)}, got {norm!r}")
        self.norm = norm
        for name, values in zip(("mean", "std"), NORMS[norm], strict=True):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, H, W)."""
        return (x - self.mean) / self.std

    def extra_repr(self) -> str:
        """The name of the normalisation, so that a printed encoder says what it does."""
        return self.norm


class Backbone(nn.Module):
    """Base class of the encoders: the width of their features, and strict loading."""

    width: int
    """Channels of the features."""
    ignored: ClassVar[tuple[str, ...]] = ()
    """Prefixes of keys in the published file that belong to layers after the features."""

    def load(self, state_dict: Mapping[str, Tensor]) -> None:
        """Load the published file's state dict.

        Raises ValueError, with nothing loaded, naming the keys that are missing, unexpected or of another shape.
        """
        kept = {key: value for key, value in state_dict.items() if not key.startswith(self.ignored)}
        name = type(self).__name__
        load_checked({name: [self]}, {name: kept})


# -------------------------------------------------------------------------------------------------- ResNet-50


class Bottleneck(nn.Module):
    """1x1 to `planes`, 3x3 (with the stride), 1x1 to 4 `planes`: (B, c_in, H, W) -> (B, 4 planes, H/s, W/s)."""

    expansion = 4

    def __init__(self, c_in: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        c_out = planes * self.expansion
        self.conv1 = nn.Conv2d(c_in, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, c_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of shortcut + residual."""
        residual = F.relu(self.bn1(self.conv1(x)))
        residual = F.relu(self.bn2(self.conv2(residual)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(shortcut + self.bn3(self.conv3(residual)))


class ResNet50(Backbone):
    """ResNet-50 without its last layer: 2048 globally averaged channels, not negative, not of unit length."""

    width = 2048
    ignored = ("fc.",)

    def __init__(self, norm: str = "none") -> None:
        """`norm`: a key of NORMS."""
        super().__init__()
        self.normalise = Normalise(norm)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, 3, stride=1)
        self.layer2 = _stage(256, 128, 4, stride=2)
        self.layer3 = _stage(512, 256, 6, stride=2)
        self.layer4 = _stage(1024, 512, 3, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 2048)."""
        x = F.relu(self.bn1(self.conv1(self.normalise(x))))
        x = F.max_pool2d(x, 3, 2, padding=1)  # (B, 64, H/4, W/4)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return x.mean(dim=(2, 3))  # of (B, 2048, H/32, W/32)


def _stage(c_in: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    """The first block has the stride."""
    rest = [Bottleneck(planes * Bottleneck.expansion, planes) for _ in range(blocks - 1)]
    return nn.Sequential(Bottleneck(c_in, planes, stride), *rest)


MOCO_PREFIX = "module.encoder_q."


def moco_backbone_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict for `ResNet50` out of the published MoCo-v2 checkpoint, or out of its `state_dict`.

    Kept are the keys `module.encoder_q.*` except the projection head `module.encoder_q.fc.*`; the key encoder and the
    queue are not. Raises ValueError if there is none.
    """
    state = checkpoint.get("state_dict", checkpoint)
    kept = {key.removeprefix(MOCO_PREFIX): value for key, value in state.items() if key.startswith(MOCO_PREFIX)}
    if not kept:
        examples = ", ".join(sorted(map(str, state))[:3]) or "nothing"
        raise ValueError(f"MoCo-v2 checkpoint: keys {MOCO_PREFIX}* wanted (in `state_dict`), found {examples}, ...")
    return {key: value for key, value in kept.items() if not key.startswith("fc.")}


# ----------------------------------------------------------------------------------------------------- VGG-19

VGG19_LAYOUT = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512, 512, "pool", 512)
"""Channels of the 3x3 convolutions up to conv5_1, and 2x2 max poolings."""
STAND_IN_LAYOUT = (16, "pool", 32, "pool", 64, "pool", 64, "pool", 64)
"""VGG-19's five stages in miniature, one convolution each."""


class VGGFeatures(Backbone):
    """A VGG up to the first convolution of its fifth stage, before its ReLU: stride 16."""

    def __init__(self, layout: Sequence[int | str], norm: str = "none") -> None:
        """`layout`: channels of convolutions, and `pool` four times. `norm`: a key of NORMS."""
        super().__init__()
        self.normalise = Normalise(norm)
        layers: list[nn.Module] = []
        channels = 3
        for item in layout:
            if isinstance(item, int):
                layers += [nn.Conv2d(channels, item, 3, padding=1), nn.ReLU()]
                channels = item
            else:
                layers.append(nn.MaxPool2d(2))
        self.width = channels
        self.features = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, width, H/16, W/16), of either sign."""
        return self.features(self.normalise(x))

    def taps(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [0, 1] -> after the ReLU of each stage's first convolution (relu1_1 ... relu5_1):
        five maps (B, C_i, H / 2^i, W / 2^i) for i = 0 ... 4, the sides rounded up.
        """
        x = self.normalise(x)
        maps, wanted = [], True
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                x, wanted = F.max_pool2d(x, 2, ceil_mode=True), True
            elif isinstance(layer, nn.Conv2d):
                x = F.relu(layer(x))
                if wanted:
                    maps.append(x)
                wanted = False
        return maps


class VGG19Features(VGGFeatures):
    """VGG-19 up to conv5_1, before its ReLU (the index 28 of torchvision's `features`): 512 channels.

    With the norm `caffe` it takes the original Caffe weights in torchvision's key layout (blue first, 0..255): the
    first convolution's input channels are turned round on loading.
    """

    ignored = ("classifier.", "features.30.", "features.32.", "features.34.")

    def __init__(self, norm: str = "none") -> None:
        """`norm`: a key of NORMS."""
        super().__init__(VGG19_LAYOUT, norm)

    def load(self, state_dict: Mapping[str, Tensor]) -> None:
        """Implement `Backbone.load`."""
        first = "features.0.weight"
        if self.normalise.norm == "caffe" and first in state_dict:
            state_dict = {**state_dict, first: state_dict[first].flip(1)}
        super().load(state_dict)


class StandInVGG(VGGFeatures):
    """Stand-in for VGG-19 where nothing can be downloaded: five stages, 64 channels, trained by the harness with
    labels of drawn classes that no task has. **Its supervision is weak**, as VGG-19's is.
    """

    def __init__(self) -> None:
        super().__init__(STAND_IN_LAYOUT, "half")


# -------------------------------------------------------------------------------------------- EfficientNet-Lite0

LITE_EPS = 1e-3
LITE_BLOCKS = (
    # kernel, stride of the first, expansion, channels, repeats
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class SameConv2d(nn.Conv2d):
    """Convolution without bias, padded as TensorFlow's "same": output ceil(H / stride), the odd pixel at the end."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(c_in, c_out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, ceil(H/s), ceil(W/s))."""
        sides = zip(x.shape[2:], self.kernel_size, self.stride, strict=True)
        across, down = (max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in reversed(list(sides)))
        pads = (across // 2, across - across // 2, down // 2, down - down // 2)
        return super().forward(F.pad(x, pads))


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise k x k, linear 1x1 projection; a shortcut where the shape stays."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = c_in * expansion
        self.expands = expansion != 1
        self.shortcut = stride == 1 and c_in == c_out
        if self.expands:
            self._expand_conv = SameConv2d(c_in, inner, 1)
            self._bn0 = nn.BatchNorm2d(inner, eps=LITE_EPS)
        self._depthwise_conv = SameConv2d(inner, inner, kernel, stride, groups=inner)
        self._bn1 = nn.BatchNorm2d(inner, eps=LITE_EPS)
        self._project_conv = SameConv2d(inner, c_out, 1)
        self._bn2 = nn.BatchNorm2d(c_out, eps=LITE_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H/s, W/s), of either sign."""
        inner = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)))
        out = self._bn2(self._project_conv(inner))
        return x + out if self.shortcut else out


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 without its last layer: 1280 globally averaged channels in [0, 6]. Weak supervision.

    Module names are the keys of the file `efficientnet-lite0-57934424.pth`.
    """

    width = 1280
    ignored = ("_fc.",)

    def __init__(self, enlarge_to: int = 224, norm: str = "lite") -> None:
        """Images with a side below `enlarge_to` are enlarged to that square, bilinearly; 0: never.

        The network was trained at 224 pixels and says little about 32. `norm`: a key of NORMS.
        """
        super().__init__()
        self.enlarge_to = enlarge_to
        self.normalise = Normalise(norm)
        self._conv_stem = SameConv2d(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, eps=LITE_EPS)
        blocks, channels = [], 32
        for kernel, stride, expansion, c_out, repeats in LITE_BLOCKS:
            for repeat in range(repeats):
                blocks.append(InvertedResidual(channels, c_out, kernel, 1 if repeat else stride, expansion))
                channels = c_out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(channels, self.width, 1)
        self._bn1 = nn.BatchNorm2d(self.width, eps=LITE_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 1280)."""
        if min(x.shape[2:]) < self.enlarge_to:
            x = F.interpolate(x, size=(self.enlarge_to,) * 2, mode="bilinear", align_corners=False)
        x = self.normalise(x).contiguous(memory_format=torch.channels_last)  # depthwise layers: a third faster so
        x = F.relu6(self._bn0(self._conv_stem(x)))  # (B, 32, H/2, W/2)
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean(dim=(2, 3))  # of (B, 1280, H/32, W/32)

    def extra_repr(self) -> str:
        """The setting that changes features without changing weights."""
        return f"enlarge_to={self.enlarge_to}"


# -------------------------------------------------------------------------------- oriented gradients, untrained


class OrientedGradients(Backbone):
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005): no weights, no training, no colours.

    Drawings and photographs of a thing have little in common but the directions of its edges, and small encoders that
    are trained on both tell the two apart first of all. Dark on light and light on dark are the same here. Simplified:
    square cells, 8 unsigned directions with linear votes, one normalisation over the image (mean square 1) and none
    over blocks.
    """

    directions = 8
    sobel: Tensor

    def __init__(self, cells: int = 4, upright: bool = False) -> None:
        """`cells`: in each row and column of the image. `upright`: of the image `deskew_images`."""
        super().__init__()
        self.upright = upright
        self.cells, self.width = cells, cells**2 * self.directions
        across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
        self.register_buffer("sobel", torch.stack([across, across.T])[:, None], persistent=False)  # (2, 1, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 8 cells^2), not negative; 0 for an image without edges."""
        luma = torch.einsum("j,bjhw->bhw", x.new_tensor((0.299, 0.587, 0.114)), x)[:, None]
        if self.upright:
            luma = deskew_images(luma)
        dx, dy = F.conv2d(F.pad(luma, (1, 1, 1, 1), mode="replicate"), self.sobel.to(x)).unbind(1)  # (B, H, W) each
        strength = (dx.square() + dy.square() + 1e-12).sqrt()  # with a finite slope at 0
        turn = torch.atan2(dy, dx + 1e-12) / math.pi * self.directions  # one turn of a line is `directions`
        centres = torch.arange(self.directions, device=x.device)[:, None, None, None]
        apart = (turn - centres) % self.directions  # (directions, B, H, W)
        votes = (1 - torch.minimum(apart, self.directions - apart)).clamp_min(0) * strength
        histogram = F.adaptive_avg_pool2d(votes.transpose(0, 1), self.cells).flatten(1)
        return F.normalize(histogram, dim=1, eps=1e-4) * self.width**0.5

    def extra_repr(self) -> str:
        """Tells it from one with other cells, which has the same (that is, no) weights."""
        return f"cells={self.cells}{', upright' if self.upright else ''}"


def deskew_images(images: Tensor) -> Tensor:
    """(B, 1, S, S), a sign on even ground -> its centre of mass in the middle and its slant undone, by its moments.

    The mass of a pixel is its distance from the image's median; the slant is the regression of x on y, which a shear
    along x undoes (as writing is made upright before it is read: Bishop and LeCun, and others).
    """
    side = images.shape[-1]
    place = (2 * torch.arange(side, device=images.device, dtype=images.dtype) + 1) / side - 1
    median = images.flatten(1).median(dim=1).values[:, None, None, None]
    mass = (images - median).abs()[:, 0]
    mass = mass / mass.sum((1, 2), keepdim=True).clamp_min(1e-6)
    x, y = (mass * place).sum((1, 2)), (mass * place[:, None]).sum((1, 2))
    across, down = place - x[:, None, None], place[:, None] - y[:, None, None]
    slant = (mass * across * down).sum((1, 2)) / (mass * down.square()).sum((1, 2)).clamp_min(1e-6)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    affine = torch.stack([one, slant, x, zero, one, y], dim=1).reshape(-1, 2, 3)
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    return F.grid_sample(images - median, grid, align_corners=False)


# ------------------------------------------------------------------------------------------------ by name

BACKBONES: dict[str, tuple[Callable[[], Backbone], str]] = {
    "moco_v2": (ResNet50, "moco"),
    "moco_v2_imagenet": (lambda: ResNet50("imagenet"), "moco"),
    "vgg19": (VGG19Features, "vgg19"),
    "vgg19_imagenet": (lambda: VGG19Features("imagenet"), "vgg19"),
    "vgg19_caffe": (lambda: VGG19Features("caffe"), "vgg19_caffe"),
    "stand_in": (StandInVGG, "stand_in"),
    "efficientnet": (EfficientNetLite0, "efficientnet"),
    "gradients": (OrientedGradients, ""),
    "gradients_fine": (lambda: OrientedGradients(8), ""),
    "gradients_upright": (lambda: OrientedGradients(8, upright=True), ""),
}
"""Name of an encoder -> how it is made, and the name of its weights if it has any. `_imagenet`: with ImageNet's mean
and standard deviation."""


def build_backbone(name: str) -> Backbone:
    """The network of BACKBONES[name], not yet loaded."""
    return BACKBONES[name][0]()


def load_backbone(name: str, network: nn.Module, weights: Callable[[str], Mapping[str, Any]]) -> None:
    """Fill `network`, made by `build_backbone(name)`, with published weights.

    `weights`: name -> what the published file holds (`Context.weights`). Raises ValueError if it does not fit, and
    whatever `weights` raises if it is not to be had.
    """
    if not isinstance(network, Backbone):
        raise TypeError(f"{name}: a network made by build_backbone wanted, got {type(network).__name__}")
    weights_name = BACKBONES[name][1]
    if not weights_name:
        return
    state = weights(weights_name)
    network.load(moco_backbone_state(state) if weights_name == "moco" else state)
