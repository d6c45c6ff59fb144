"""The networks of DRIT (methods/drit.py), with the concatenation and the feature-wise form of attributes side by side.

Every network but the discriminators serves both domains: `domain` 0 is A, 1 is B. Attribute names equal the keys of the
original checkpoints, so that these load as they are. Feature maps are (B, C, H, W); widths are multiples of `width`, 64
as published. "Reflected" convolutions pad by reflection, which needs maps larger than the padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.parts.kernels import InstanceNorm
from methods.parts.losses import wide

LEAK = 0.01
"""Slope of the leaky ReLU in the content encoder and in all discriminators."""
ATTRIBUTE_LEAK = 0.2
"""Slope of the leaky ReLU in the concatenation form's attribute encoder, and only there."""


def init_drit_network(module: nn.Module) -> None:
    """Initialise, for `apply`: Normal(0, 0.02) weights in (transposed) convolutions; all else is left to torch.

    Unlike `layers.normal_init`, biases are *not* set to zero.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)


def _reflected(c_in: int, c_out: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(padding), nn.Conv2d(c_in, c_out, kernel, stride)]


# ---------------------------------------------------------------------------------------------------- blocks


class LeakyConv(nn.Module):
    """Reflected convolution and leaky ReLU, no norm."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*_reflected(c_in, c_out, kernel, stride, padding), nn.LeakyReLU(LEAK))

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H', W')."""
        return self.model(x)


class NormConv(nn.Module):
    """Reflected 3x3 convolution of stride 2, instance norm, ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*_reflected(c_in, c_out, 3, 2, 1), InstanceNorm(c_out), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H/2, W/2)."""
        return self.model(x)


class ResidualBlock(nn.Module):
    """x + two reflected 3x3 convolutions with instance norm; no activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            *_reflected(channels, channels, 3, 1, 1),
            InstanceNorm(channels),
            nn.ReLU(),
            *_reflected(channels, channels, 3, 1, 1),
            InstanceNorm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same."""
        return x + self.model(x)


class LayerNorm(nn.Module):
    """Layer norm over C, H, W of each image, with a weight and a bias per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same; group norm with one group is this function."""
        return F.group_norm(x, 1, self.weight.flatten(), self.bias.flatten())


class UpBlock(nn.Module):
    """Transposed 3x3 convolution of stride 2, layer norm, ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        up = nn.ConvTranspose2d(c_in, c_out, 3, stride=2, padding=1, output_padding=1)
        self.model = nn.Sequential(up, LayerNorm(c_out), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, 2H, 2W)."""
        return self.model(x)


def concatenate_attribute(x: Tensor, z: Tensor) -> Tensor:
    """Features (B, C, H, W), and z (B, d) at every place after them: (B, C + d, H, W)."""
    return torch.cat([x, z[:, :, None, None].expand(-1, -1, *x.shape[2:])], dim=1)


# --------------------------------------------------------------------------------------------- content encoder


class ContentEncoder(nn.Module):
    """Images of either domain to the common content space, (B, 3, H, W) -> (B, 4 width, H/4, W/4), without noise."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convA = self._own_layers(width)
        self.convB = self._own_layers(width)
        self.conv_share = nn.Sequential(ResidualBlock(4 * width))

    @staticmethod
    def _own_layers(width: int) -> nn.Sequential:
        down = [LeakyConv(3, width, 7, 1, 3), NormConv(width, 2 * width), NormConv(2 * width, 4 * width)]
        return nn.Sequential(*down, *(ResidualBlock(4 * width) for _ in range(3)))

    def both(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Contents of as many images of A as of B, in [-1, 1]."""
        content_a, content_b = self.conv_share(torch.cat([self.convA(a), self.convB(b)])).chunk(2)
        return content_a, content_b

    def forward(self, x: Tensor, domain: int) -> Tensor:
        """Images of one domain, in [-1, 1] -> their contents."""
        return self.conv_share((self.convA, self.convB)[domain](x))


# ------------------------------------------------------------------------------------------ attribute encoders


class AttributeEncoder(nn.Module):
    """Interface of an attribute encoder."""

    def forward(self, x: Tensor, domain: int, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) in [-1, 1] and standard normal noise (B, d) -> attributes z (B, d), prior terms (B,).

        The prior term is what draws z to N(0, I).
        """
        raise NotImplementedError

    def mean(self, x: Tensor, domain: int) -> Tensor:
        """z (B, d) without noise."""
        raise NotImplementedError


class _DownBlock(nn.Module):
    """Pre-activated residual block (B, c_in, H, W) -> (B, c_out, H/2, W/2); no norm."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.LeakyReLU(ATTRIBUTE_LEAK),
            *_reflected(c_in, c_in, 3, 1, 1),
            nn.LeakyReLU(ATTRIBUTE_LEAK),
            nn.Sequential(*_reflected(c_in, c_out, 3, 1, 1), nn.AvgPool2d(2)),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(c_in, c_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The plain sum of both paths."""
        return self.conv(x) + self.shortcut(x)


class ConcatAttributeEncoder(AttributeEncoder):
    """A Gaussian for each image: z = mean + eps * exp(logvar / 2), prior term KL to N(0, I) *summed* over z."""

    def __init__(self, width: int, attribute_dim: int) -> None:
        super().__init__()
        self.conv_A, self.conv_B = (self._trunk(width) for _ in "AB")
        self.fc_A, self.fc_B = (nn.Linear(4 * width, attribute_dim) for _ in "AB")
        self.fcVar_A, self.fcVar_B = (nn.Linear(4 * width, attribute_dim) for _ in "AB")

    @staticmethod
    def _trunk(width: int) -> nn.Sequential:
        widths = [width, 2 * width, 3 * width, 4 * width]  # they grow by `width` and do not double
        blocks = [_DownBlock(i, o) for i, o in pairwise(widths)]
        return nn.Sequential(*_reflected(3, width, 4, 2, 1), *blocks, nn.LeakyReLU(ATTRIBUTE_LEAK))

    def _features(self, x: Tensor, domain: int) -> Tensor:
        """(B, 3, H, W) -> (B, 4 width): the mean of (B, 4 width, H/16, W/16)."""
        return (self.conv_A, self.conv_B)[domain](x).mean(dim=(2, 3))

    def forward(self, x: Tensor, domain: int, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Implement `AttributeEncoder`."""
        h = self._features(x, domain)
        mean = wide((self.fc_A, self.fc_B)[domain](h))
        logvar = wide((self.fcVar_A, self.fcVar_B)[domain](h))
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(dim=1)
        return mean + eps * (0.5 * logvar).exp(), kl

    def mean(self, x: Tensor, domain: int) -> Tensor:
        """Implement `AttributeEncoder`."""
        return (self.fc_A, self.fc_B)[domain](self._features(x, domain))


class FeatureWiseAttributeEncoder(AttributeEncoder):
    """One vector for each image: z is the output, eps is not used; prior term: the *mean* of z^2."""

    def __init__(self, width: int, attribute_dim: int) -> None:
        super().__init__()
        self.model_a, self.model_b = (self._trunk(width, attribute_dim) for _ in "ab")

    @staticmethod
    def _trunk(width: int, attribute_dim: int) -> nn.Sequential:
        layers: list[nn.Module] = [*_reflected(3, width, 7, 1, 3), nn.ReLU()]
        for c_in, c_out in pairwise([width, 2 * width, 4 * width, 4 * width, 4 * width]):
            layers += [*_reflected(c_in, c_out, 4, 2, 1), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Conv2d(4 * width, attribute_dim, 1))

    def forward(self, x: Tensor, domain: int, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Implement `AttributeEncoder`."""
        z = wide(self.mean(x, domain))
        return z, z.square().mean(dim=1)

    def mean(self, x: Tensor, domain: int) -> Tensor:
        """Implement `AttributeEncoder`."""
        return (self.model_a, self.model_b)[domain](x).flatten(1)


# -------------------------------------------------------------------------------------------------- generators


class Generator(nn.Module):
    """Interface of a generator: `decode` takes the output of `shared`."""

    def shared(self, content: Tensor) -> Tensor:
        """The layers that are common to both domains and see no attribute: (B, 4 width, H/4, W/4) -> same."""
        raise NotImplementedError

    def decode(self, shared: Tensor, z: Tensor, domain: int) -> Tensor:
        """(B, 4 width, H/4, W/4) and z (B, d) -> image of `domain`, (B, 3, H, W) in (-1, 1)."""
        raise NotImplementedError

    def forward(self, content: Tensor, z: Tensor, domain: int) -> Tensor:
        """Content (B, 4 width, H/4, W/4) and z (B, d) -> image of `domain`, (B, 3, H, W) in (-1, 1)."""
        return self.decode(self.shared(content), z, domain)


class ConcatGenerator(Generator):
    """z is put beside the features again at every resolution."""

    def __init__(self, width: int, attribute_dim: int) -> None:
        super().__init__()
        self.dec_share = nn.Sequential(ResidualBlock(4 * width))
        self.decA1, self.decA2, self.decA3, self.decA4 = self._stages(4 * width, attribute_dim)
        self.decB1, self.decB2, self.decB3, self.decB4 = self._stages(4 * width, attribute_dim)

    @staticmethod
    def _stages(channels: int, d: int) -> list[nn.Sequential]:
        """Published: 264 -> 264, 272 -> 136, 144 -> 72, 80 -> 3."""
        blocks = nn.Sequential(*(ResidualBlock(channels + d) for _ in range(3)))
        first = channels + 2 * d
        second = first // 2 + d
        ups = [nn.Sequential(UpBlock(c_in, c_in // 2)) for c_in in (first, second)]
        return [blocks, *ups, nn.Sequential(nn.ConvTranspose2d(second // 2 + d, 3, 1), nn.Tanh())]

    def shared(self, content: Tensor) -> Tensor:
        """Implement `Generator`."""
        return self.dec_share(content)

    def decode(self, shared: Tensor, z: Tensor, domain: int) -> Tensor:
        """Implement `Generator`."""
        of_a = (self.decA1, self.decA2, self.decA3, self.decA4)
        of_b = (self.decB1, self.decB2, self.decB3, self.decB4)
        for stage in (of_a, of_b)[domain]:
            shared = stage(concatenate_attribute(shared, z))
        return shared


class FeatureWiseBlock(nn.Module):
    """x + two times: reflected 3x3 convolution with instance norm, then two 1x1 convolutions that see z."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (self._spatial(channels) for _ in range(2))
        self.blk1, self.blk2 = (self._mixing(channels) for _ in range(2))

    @staticmethod
    def _spatial(channels: int) -> nn.Sequential:
        return nn.Sequential(nn.Sequential(*_reflected(channels, channels, 3, 1, 1)), InstanceNorm(channels))

    @staticmethod
    def _mixing(channels: int) -> nn.Sequential:
        wide_one = nn.Conv2d(2 * channels, 2 * channels, 1)
        return nn.Sequential(wide_one, nn.ReLU(), nn.Conv2d(2 * channels, channels, 1), nn.ReLU())

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """(B, C, H, W), (B, C) -> (B, C, H, W)."""
        h = self._mixed(self.blk1, self.conv1(x), z)
        return x + self._mixed(self.blk2, self.conv2(h), z)

    @staticmethod
    def _mixed(layers: nn.Sequential, h: Tensor, z: Tensor) -> Tensor:
        """layers(h and z at every place), where the first convolution's share of z is computed at one place only."""
        first, c = layers[0], h.shape[1]
        assert isinstance(first, nn.Conv2d)
        of_z = F.linear(z, first.weight[:, c:, 0, 0])[:, :, None, None]  # (B, 2C, 1, 1)
        return layers[1:](F.conv2d(h, first.weight[:, :c], first.bias) + of_z)


class FeatureWiseGenerator(Generator):
    """z becomes four vectors, one for each of four residual blocks. Nothing is shared by the domains."""

    def __init__(self, width: int, attribute_dim: int) -> None:
        super().__init__()
        c = 4 * width
        self.mlpA, self.mlpB = (self._mlp(attribute_dim, c) for _ in "AB")
        self.decA1, self.decA2, self.decA3, self.decA4 = (FeatureWiseBlock(c) for _ in range(4))
        self.decB1, self.decB2, self.decB3, self.decB4 = (FeatureWiseBlock(c) for _ in range(4))
        self.decA5, self.decB5 = (self._last_stage(width) for _ in "AB")

    @staticmethod
    def _mlp(attribute_dim: int, c: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(attribute_dim, c), nn.ReLU(), nn.Linear(c, c), nn.ReLU(), nn.Linear(c, 4 * c))

    @staticmethod
    def _last_stage(width: int) -> nn.Sequential:
        ups = (UpBlock(4 * width, 2 * width), UpBlock(2 * width, width))
        return nn.Sequential(*ups, nn.ConvTranspose2d(width, 3, 1), nn.Tanh())

    def shared(self, content: Tensor) -> Tensor:
        """The content itself."""
        return content

    def decode(self, shared: Tensor, z: Tensor, domain: int) -> Tensor:
        """Implement `Generator`."""
        of_a = (self.decA1, self.decA2, self.decA3, self.decA4)
        of_b = (self.decB1, self.decB2, self.decB3, self.decB4)
        vectors = (self.mlpA, self.mlpB)[domain](z).chunk(4, dim=1)  # four of (B, 4 width)
        for block, vector in zip((of_a, of_b)[domain], vectors, strict=True):
            shared = block(shared, vector)
        return (self.decA5, self.decB5)[domain](shared)


# ---------------------------------------------------------------------------------------------- discriminators


class Discriminator(nn.Module):
    """Whether images are real, at several scales, each with a network of its own."""

    def __init__(self, width: int, scales: int, layers: int) -> None:
        super().__init__()
        self.Diss = nn.ModuleList(self._one_scale(width, layers) for _ in range(scales))

    @staticmethod
    def _one_scale(width: int, layers: int) -> nn.Sequential:
        widths = [3, *(width * 2**k for k in range(layers))]
        return nn.Sequential(*(LeakyConv(i, o, 4, 2, 1) for i, o in pairwise(widths)), nn.Conv2d(widths[-1], 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> maps of logits, one (B, 1, h, w) per scale; 216 px: sides 13, 6, 3."""
        maps = []
        for number, network in enumerate(self.Diss):
            if number > 0:
                x = F.avg_pool2d(x, 3, 2, padding=1, count_include_pad=False)
            maps.append(network(x))
        return maps


class _ContentNetwork(nn.Module):
    """Whether contents come from domain B: (B, C, h, w) -> map of logits (B, 1, h', w')."""

    smallest: ClassVar[int]
    """Smallest side of a content map that it takes."""

    def __init__(self, channels: int, convolutions: Sequence[tuple[int, int, int]]) -> None:
        """`convolutions`: kernel, stride, padding of each; a 1x1 convolution to the logit follows them."""
        super().__init__()
        layers = [LeakyConv(channels, channels, *shape) for shape in convolutions]
        self.model = nn.Sequential(*layers, nn.Conv2d(channels, 1, 1))

    def forward(self, content: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 1, h', w')."""
        return self.model(content)


class ContentDiscriminator(_ContentNetwork):
    """The published one, without the instance norm that its code meant to have and never built."""

    smallest = 53

    def __init__(self, channels: int, side: int) -> None:
        """`side` of the content maps, at least 53: 54 (216 px) gives one logit, 64 (256 px) 2x2."""
        super().__init__(channels, [(7, 2, 1)] * 3 + [(4, 1, 0)])


class SmallContentDiscriminator(_ContentNetwork):
    """Variant for smaller content maps, not published: halved to 2x2 by 3x3 convolutions, a 2x2 one, then the logit."""

    smallest = 2

    def __init__(self, channels: int, side: int) -> None:
        """`side` of the content maps: 8 (32 px) takes two halvings, 4 (16 px) one."""
        halvings = (side - 1).bit_length() - 1  # 3, 4 -> 1; 5 to 8 -> 2: odd sides are rounded up
        super().__init__(channels, [(3, 2, 1)] * halvings + [(2, 1, 0)])
