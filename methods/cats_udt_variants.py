"""The parts of CatS-UDT that its comparisons exchange: how semantics conditions the translation, and the semantic loss.

The category `c` of an image is either its cluster, int64 (B,), or a feature map of a frozen network, (B, R) or
(B, R, h, w). A `Conditioning` names the three networks that may look at it; a semantic loss says what keeps it.
Network keys are those of the official checkpoints.

| name               | Table / figure              | category | mapping F    | style encoder S | content          |
|---------------------|-----------------------------|----------|--------------|-----------------|------------------|
| `style`            | CatS-UDT, 3b Style          | cluster  | z, one-hot c | head (c, d)     | -                |
| `none`             | 3b None                     | cluster  | z            | head d          | -                |
| `content`          | 3b Content                  | cluster  | z            | head d          | times linear(c)  |
| `style_features`   | Fig. 3b VGG, MoCo           | features | z, linear(c) | head d on x, c  | -                |
| `content_features` | 3b Content(VGG), our reading | features | z            | head d          | times linear(c)  |

With clusters, exemplars and the semantic loss follow the clusters in `none` and `content` too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.parts.kernels import WholeMapConv
from methods.parts.layers import SLOPE, pick_layer, pooled_layer, trunk_layers
from methods.parts.losses import wide
from methods.stargan_v2 import Generator

DOMAINS = 2


@dataclass(frozen=True)
class Sizes:
    """Sizes that the networks' shapes follow from."""

    image_size: int
    """Side in pixels."""
    widths: tuple[int, ...]
    """The generator's channels before and after each down-sampling."""
    cap: int
    """Upper limit of the channels of the style encoder and of the discriminator."""
    content_size: int
    """Side of the content map."""
    bottleneck_blocks: int
    """Residual blocks on either side of the content map."""
    style_dim: int
    """Width of a style code."""
    latent_dim: int
    """Width of the noise z."""
    mapping_width: int
    """Width of the mapping network."""
    category_dim: int
    """Number of clusters, or channels R of the features."""
    style_heads: str
    """`overlapping` (index 2 d + c) or `disjoint` (index C d + c)."""


# ------------------------------------------------------------------------------------------------- generators


class PlainGenerator(Generator):
    """G(x, s): the category reaches it through the style alone."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(list(sizes.widths), sizes.bottleneck_blocks, sizes.style_dim)

    def encode_with(self, x: Tensor, c: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> content map (B, C, content_size, content_size)."""
        return self.content(x)


class _GatedGenerator(PlainGenerator):
    """The content map is multiplied by a linear, unbounded function of the category."""

    def _gated(self, x: Tensor, gate: Tensor) -> Tensor:
        content = self.content(x)
        return content * gate.reshape(content.shape)


class ContentGenerator(_GatedGenerator):
    """The `content` form of `sg_sem_content`: content times linear(one-hot cluster)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.clusters = sizes.category_dim
        self.y_embed = nn.Linear(sizes.category_dim, sizes.widths[-1] * sizes.content_size**2)

    def encode_with(self, x: Tensor, c: Tensor) -> Tensor:
        """`x` (B, 3, H, W), `c` int64 (B,) -> (B, C, content_size, content_size)."""
        return self._gated(x, self.y_embed(F.one_hot(c, self.clusters).to(x.dtype)))


class ContentFeatureGenerator(_GatedGenerator):
    """Content(VGG): content times linear(averaged features). No official code exists: this is our reading."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        self.f_embed = nn.Linear(sizes.category_dim, sizes.widths[-1] * sizes.content_size**2)

    def encode_with(self, x: Tensor, c: Tensor) -> Tensor:
        """`x` (B, 3, H, W), `c` (B, R) or (B, R, h, w) -> (B, C, content_size, content_size)."""
        return self._gated(x, self.f_embed(pooled_layer(c)))


# ------------------------------------------------------------------------------------------- mapping networks


def _mlp(widths: list[int], activation: type[nn.Module], **kwargs: float) -> list[nn.Module]:
    """Linear layers with an activation after each."""
    return [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), activation(**kwargs))]


class PlainMapping(nn.Module):
    """F(z, d): StarGAN v2's."""

    def __init__(self, sizes: Sizes, extra: int = 0) -> None:
        """`extra`: width of what is appended to z."""
        super().__init__()
        width = sizes.mapping_width
        self.shared = nn.Sequential(*_mlp([sizes.latent_dim + extra, *[width] * 4], nn.ReLU))
        self.unshared = nn.ModuleList(
            nn.Sequential(*_mlp([width] * 4, nn.ReLU), nn.Linear(width, sizes.style_dim)) for _ in range(DOMAINS)
        )

    def forward(self, z: Tensor, c: Tensor, d: Tensor) -> Tensor:
        """(B, latent_dim), category (not used), int64 (B,) -> (B, style_dim)."""
        return self.styles(z, d)

    def styles(self, inputs: Tensor, d: Tensor) -> Tensor:
        """(B, latent_dim + extra), int64 (B,) -> (B, style_dim). All heads are computed, see stargan_v2."""
        h = self.shared(inputs)
        return pick_layer(torch.stack([head(h) for head in self.unshared], dim=1), d)


class ClusterMapping(PlainMapping):
    """F(z, c, d) with the cluster as a one-hot vector beside z (paper: s = f(h(x), z))."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes, extra=sizes.category_dim)
        self.clusters = sizes.category_dim

    def forward(self, z: Tensor, c: Tensor, d: Tensor) -> Tensor:
        """(B, latent_dim), int64 (B,), int64 (B,) -> (B, style_dim)."""
        return self.styles(torch.cat([z, F.one_hot(c, self.clusters).to(z.dtype)], dim=1), d)


class FeatureMapping(PlainMapping):
    """F(z, f, d) with linear(features) beside z (`sg_sem_cont`)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes, extra=sizes.mapping_width)
        self.f_embed = nn.Linear(sizes.category_dim, sizes.mapping_width)

    def forward(self, z: Tensor, c: Tensor, d: Tensor) -> Tensor:
        """(B, latent_dim), (B, R) or (B, R, h, w), int64 (B,) -> (B, style_dim)."""
        return self.styles(torch.cat([z, self.f_embed(pooled_layer(c))], dim=1), d)


# --------------------------------------------------------------------------------------------- style encoders


class PlainStyleEncoder(nn.Module):
    """S(x, d): one linear head a domain, StarGAN v2's. `extra` features may join the trunk's."""

    def __init__(self, sizes: Sizes, extra: int = 0) -> None:
        super().__init__()
        layers, width = trunk_layers(sizes.image_size, sizes.widths[0], sizes.cap)
        self.shared = nn.Sequential(*layers)
        self.unshared = nn.ModuleList(nn.Sequential(nn.Linear(width + extra, sizes.style_dim)) for _ in range(DOMAINS))

    def forward(self, x: Tensor, c: Tensor, d: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], category (not used), int64 (B,) -> (B, style_dim)."""
        h = self.shared(x).flatten(1)
        return pick_layer(torch.stack([head(h) for head in self.unshared], dim=1), d)


class FeatureStyleEncoder(PlainStyleEncoder):
    """S(x, f, d): one linear head a domain on the trunk's features and the averaged semantic ones (`sg_sem_cont`)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes, extra=sizes.category_dim)

    def forward(self, x: Tensor, c: Tensor, d: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], (B, R) or (B, R, h, w), int64 (B,) -> (B, style_dim)."""
        h = torch.cat([self.shared(x).flatten(1), pooled_layer(c)], dim=1)
        return pick_layer(torch.stack([head(h) for head in self.unshared], dim=1), d)


class ClusterStyleEncoder(nn.Module):
    """S(x, c, d): 2 C heads of four linear layers, one picked per image."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        layers, width = trunk_layers(sizes.image_size, sizes.widths[0], sizes.cap)
        self.shared = nn.Sequential(*layers)
        self.unshared = nn.ModuleList(
            nn.Sequential(*_mlp([width] * 4, nn.LeakyReLU, negative_slope=SLOPE), nn.Linear(width, sizes.style_dim))
            for _ in range(DOMAINS * sizes.category_dim)
        )
        # Official: 2 d + c, an indexing slip (number of domains for number of clusters) that lets domains share heads.
        self.stride = {"overlapping": DOMAINS, "disjoint": sizes.category_dim}[sizes.style_heads]

    def forward(self, x: Tensor, c: Tensor, d: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], int64 (B,), int64 (B,) -> (B, style_dim)."""
        h = self.shared(x).flatten(1)
        return pick_layer(self._all_heads(h), self.stride * d + c)

    def _all_heads(self, h: Tensor) -> Tensor:
        """(B, W) -> (B, heads, style_dim), every head in one product per layer instead of 2 C small ones."""
        h = h.unsqueeze(0).expand(len(self.unshared), -1, -1)  # (heads, B, W)
        for layers in zip(*self.unshared, strict=True):
            if isinstance(layers[0], nn.Linear):
                weight = torch.stack([layer.weight for layer in layers])  # (heads, out, in)
                bias = torch.stack([layer.bias for layer in layers])[:, None]  # (heads, 1, out)
                h = torch.baddbmm(bias, h, weight.transpose(1, 2))
            else:
                h = layers[0](h)
        return h.transpose(0, 1)


# ---------------------------------------------------------------------------------------------- discriminators


class Discriminator(nn.Module):
    """D(x, d): logit of "x is a real image of domain d", and no logits of clusters."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        layers, width = trunk_layers(sizes.image_size, sizes.widths[0], sizes.cap)
        self.main = nn.Sequential(*layers)
        self.dis = WholeMapConv(width, DOMAINS, 1)
        self.classifier = nn.ModuleList()

    def forward(self, x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [-1, 1], int64 (B,) -> (B,), and cluster logits (B, C) or (B, 0)."""
        h = self.main(x)
        real = pick_layer(self.dis(h).flatten(1), d)
        if not self.classifier:
            return real, real.new_empty(len(x), 0)
        h = h.flatten(1)
        return real, pick_layer(torch.stack([head(h) for head in self.classifier], dim=1), d)


class ClassifyingDiscriminator(Discriminator):
    """Discriminator with the auxiliary classifier: one linear layer a domain on the trunk."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(sizes)
        width = self.dis.in_channels
        self.classifier = nn.ModuleList(nn.Linear(width, sizes.category_dim) for _ in range(DOMAINS))


# ---------------------------------------------------------------------------------------------- semantic losses


class SemanticLoss:
    """Loss that keeps the category of x in the translation: a term for G, and perhaps one for D. Unweighted."""

    discriminator: type[Discriminator] = Discriminator

    def of_discriminator(self, logits: Tensor, c: Tensor) -> Tensor | None:
        """`logits` (B, C): D's clusters of real images; `c`: their categories. None: no such term."""
        return None

    def of_generator(self, fake: Tensor, logits: Tensor, c: Tensor, semantics: nn.Module) -> Tensor:
        """`fake` (B, 3, H, W), `logits` (B, C) D's clusters of it, `c` the sources' categories, the frozen network."""
        raise NotImplementedError


class AuxiliaryClassifier(SemanticLoss):
    """The code's form: D also classifies, fitted on real images and their clusters (as in AC-GAN)."""

    discriminator = ClassifyingDiscriminator

    def of_discriminator(self, logits: Tensor, c: Tensor) -> Tensor | None:
        """Cross-entropy on real images."""
        return F.cross_entropy(wide(logits), c)

    def of_generator(self, fake: Tensor, logits: Tensor, c: Tensor, semantics: nn.Module) -> Tensor:
        """Cross-entropy of the translation with the source's cluster."""
        return F.cross_entropy(wide(logits), c)


class FrozenSemantics(SemanticLoss):
    """The paper's form, eq. 8: cross-entropy of the frozen h on the translation."""

    def of_generator(self, fake: Tensor, logits: Tensor, c: Tensor, semantics: nn.Module) -> Tensor:
        """Gradient flows through h into the image."""
        return F.cross_entropy(wide(semantics((fake + 1) / 2)), c)


class FeatureDistance(SemanticLoss):
    """Loss for continuous semantics: mean |f(x) - f(G(x))| over the unpooled features (`sg_sem_cont`)."""

    def of_generator(self, fake: Tensor, logits: Tensor, c: Tensor, semantics: nn.Module) -> Tensor:
        """Gradient flows through f into the image."""
        return F.l1_loss(wide(semantics((fake + 1) / 2)), wide(c))


SEMANTIC_LOSSES: dict[str, type[SemanticLoss]] = {
    "classifier": AuxiliaryClassifier, "frozen_h": FrozenSemantics, "features": FeatureDistance,
}  # fmt: skip


@dataclass(frozen=True)
class Conditioning:
    """The three networks that may look at the category."""

    generator: type[PlainGenerator]
    mapping_network: type[PlainMapping]
    style_encoder: type[PlainStyleEncoder] | type[ClusterStyleEncoder]
    continuous: bool = False
    """Whether the category is a feature and not a cluster."""


CONDITIONINGS: dict[str, Conditioning] = {
    "style": Conditioning(PlainGenerator, ClusterMapping, ClusterStyleEncoder),
    "none": Conditioning(PlainGenerator, PlainMapping, PlainStyleEncoder),
    "content": Conditioning(ContentGenerator, PlainMapping, PlainStyleEncoder),
    "style_features": Conditioning(PlainGenerator, FeatureMapping, FeatureStyleEncoder, continuous=True),
    "content_features": Conditioning(ContentFeatureGenerator, PlainMapping, PlainStyleEncoder, continuous=True),
}
