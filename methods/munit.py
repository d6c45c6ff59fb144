"""MUNIT: Huang, Liu, Belongie, Kautz, "Multimodal Unsupervised Image-to-Image Translation", ECCV 2018,
arXiv 1804.04732. Written from the paper and a description of the authors' code (last commit, 2021).

Each domain has an auto-encoder (a *generator*: content encoder, style encoder, decoder) and a multi-scale
discriminator. An image is translated by decoding its content in the other domain with a style of that domain: a random
one from N(0, I), or the style code of an exemplar. Images, contents and random styles have to be recovered.

Deliberate differences from the official code, none of which changes the objective:
- Iterations instead of epochs: the images of both domains are drawn uniformly with replacement. The learning rate is
  halved after every `halve_every` of the *budget*, officially every 100,000 of 1,000,000 iterations.
- One Adam per network. Adam works element by element, so this equals the official joint ones.
- Cheaper, same values: the contents of the real images are encoded once for both updates (officially each update
  encodes them; the generators do not change in between), the discriminators' fakes are made without a graph, and
  batches that meet the same weights go through in one call (all norms are per sample).
- AdaIN's parameters are arguments, where the official code stores them in the layers.
- Images come at their final size; `enlarge` > 1 adds a random crop. No VGG term: its weight is 0 in all official
  settings at 256 px, where the authors advise against it.

Traps: AdaIN takes the shift first and the scale second, with no (1 + scale); the decoder's layer norm divides by an
*unbiased* standard deviation plus eps, over C, H, W at once; reflection padding everywhere, in the discriminators too;
the least-squares losses are summed over the scales and have no factor 0.5; the content of a translation is encoded by
the *other* domain's encoder and compared with the source's, neither of them detached; encoded styles are decoded
within their domain alone, so that no discriminator ever sees an exemplar's style: exemplars may look worse than noise.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from methods.base import Code, Domains, Exemplar, Noise, Phase, Progress, Style, Translator
from methods.parts.augment import enlarge_and_crop, random_flip
from methods.parts.checks import load_checked, require, without_prefix
from methods.parts.kernels import InstanceNorm, adaptive_instance_norm_kernel
from methods.parts.layers import SLOPE, he_init_layer, normal_init_layer
from methods.parts.losses import l1_loss, least_squares_loss, wide

STYLE_DOWNSAMPLINGS = 4
"""Stride-2 stages of the style encoder."""


@dataclass(frozen=True)
class MUNITConfig:
    """Settings; the defaults are the published ones for 256 px (edges to handbags)."""

    width: int = 64
    """Channels of the generator's first stage."""
    style_dim: int = 8
    """Width of a style code, encoded or random."""
    downsamplings: int = 2
    """Stride-2 stages of the content encoder; the image size must be a multiple of 2 to this power."""
    blocks: int = 4
    """Residual blocks of the content encoder, and as many of the decoder."""
    mlp_width: int = 256
    """Width of the network that turns a style into AdaIN's parameters."""
    discriminator_width: int = 64
    """Channels of the discriminator's first convolution."""
    discriminator_layers: int = 4
    """Stride-2 convolutions of the discriminator at each scale (official n_layer); 3 at 32 px."""
    discriminator_scales: int = 3
    """Image sizes that are judged, each half of the one before (official num_scales); 2 at 32 px."""
    lambda_adversarial: float = 1.0
    """Weight of the generators' adversarial terms (paper eq. 4)."""
    lambda_image: float = 10.0
    """Weight of the image reconstruction (eq. 1)."""
    lambda_content: float = 1.0
    """Weight of the content reconstruction (eq. 2)."""
    lambda_style: float = 1.0
    """Weight of the style reconstruction (eq. 3)."""
    lambda_cycle: float = 0.0
    """Weight of the style-augmented cycle: 0 where shapes change, 10 where translations keep every pixel's place."""
    learning_rate: float = 1e-4
    """Adam, all networks, before it is halved."""
    halve_every: float = 0.1
    """Share of the training after which the learning rate is halved, again and again."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates."""
    weight_decay: float = 1e-4
    """L2, added to the gradient of every parameter."""
    batch_size: int = 1
    """Images per domain and iteration."""
    enlarge: float = 1.0
    """Images are enlarged by this factor and cropped at random to their size; 1 = off."""
    flip: bool = True
    """Mirror images left to right with probability 1/2 (not for digits)."""

    def __post_init__(self) -> None:
        at_least_1 = (
            *("width", "style_dim", "blocks", "mlp_width", "batch_size", "enlarge"),
            *("discriminator_width", "discriminator_layers", "discriminator_scales"),
        )
        at_least_0 = (
            *("downsamplings", "learning_rate", "weight_decay"),
            *("lambda_adversarial", "lambda_image", "lambda_content", "lambda_style", "lambda_cycle"),
        )
        rules = {f"{name} >= 1": getattr(self, name) >= 1 for name in at_least_1}
        rules |= {f"{name} >= 0": getattr(self, name) >= 0 for name in at_least_0}
        rules["halve_every > 0"] = self.halve_every > 0
        rules["betas in [0, 1)"] = all(0 <= beta < 1 for beta in self.betas)
        require("MUNIT", rules)


# ------------------------------------------------------------------------------- networks, with the official keys


class AdaIN(nn.Module):
    """scale * IN(x) + shift, with both given; no parameters."""

    def forward(self, x: Tensor, parameters: Tensor) -> Tensor:
        """`x` (B, C, H, W), `parameters` (B, 2C): the shifts, then the scales -> (B, C, H, W)."""
        shift, scale = parameters.chunk(2, dim=1)
        return adaptive_instance_norm_kernel(x, scale, shift)


class LayerNorm(nn.Module):
    """(x - mean) / (std + eps) * gamma + beta: one mean and one unbiased std per sample, gamma and beta per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(channels).uniform_())
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same. Not instance norm, which would erase the style."""
        centred = wide(x) - wide(x).mean(dim=(1, 2, 3), keepdim=True)
        # Unbiased, (B, 1, 1, 1). torch.std_mean takes several times as long on the CPU.
        std = torch.linalg.vector_norm(centred, dim=(1, 2, 3), keepdim=True) / math.sqrt(x[0].numel() - 1)
        return (centred * (self.gamma[:, None, None] / (std + 1e-5)) + self.beta[:, None, None]).to(x.dtype)


class ConvBlock(nn.Module):
    """Convolution with reflection padding and bias, norm, activation; (B, c_in, H, W) -> (B, c_out, H', W')."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int = 1,
        norm: Callable[[int], nn.Module] = nn.Identity,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=(kernel - 1) // 2, padding_mode="reflect")
        self.norm = norm(c_out)
        self.activation = activation()

    def forward(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """`parameters`: those of an adaptive norm."""
        return self.activation(self.norm(self.conv(x), *parameters))


class ResidualBlock(nn.Module):
    """x + two 3x3 convolution blocks, (B, C, H, W) -> same; no activation after the sum."""

    def __init__(self, channels: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        inner = ConvBlock(channels, channels, 3, norm=norm)
        outer = ConvBlock(channels, channels, 3, norm=norm, activation=nn.Identity)
        self.model = nn.ModuleList([inner, outer])

    def forward(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """`parameters`: none, or (B, 2C) for each of two adaptive norms."""
        inner = self.model[0](x, *parameters[:1])
        return x + self.model[1](inner, *parameters[1:])


class ResidualBlocks(nn.Module):
    """A chain of residual blocks, (B, C, H, W) -> same."""

    def __init__(self, blocks: int, channels: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.model = nn.ModuleList([ResidualBlock(channels, norm) for _ in range(blocks)])

    def forward(self, x: Tensor, parameters: Sequence[Tensor] = ()) -> Tensor:
        """`parameters`: none, or (B, 2C) for each of 2 * blocks adaptive norms, in order."""
        for i, block in enumerate(self.model):
            x = block(x, *parameters[2 * i : 2 * i + 2])
        return x


class Chain(nn.Module):
    """Layers one after the other, under the official key `model`."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Input of the first layer -> output of the last one."""
        return self.model(x)


def munit_style_encoder(width: int, style_dim: int) -> Chain:
    """(B, 3, H, W) in [-1, 1] -> (B, style_dim), not bounded. No norm, which would erase the style."""
    widths = [width * min(2**k, 4) for k in range(STYLE_DOWNSAMPLINGS + 1)]
    downs = [ConvBlock(i, o, 4, stride=2) for i, o in pairwise(widths)]
    return Chain(
        ConvBlock(3, width, 7), *downs, nn.AdaptiveAvgPool2d(1), nn.Conv2d(widths[-1], style_dim, 1), nn.Flatten()
    )


def munit_content_encoder(widths: Sequence[int], blocks: int) -> Chain:
    """(B, 3, H, W) in [-1, 1] -> content map (B, C, h, w); `widths`: channels before and after each down-sampling."""
    norm = InstanceNorm
    downs = [ConvBlock(i, o, 4, stride=2, norm=norm) for i, o in pairwise(widths)]
    return Chain(ConvBlock(3, widths[0], 7, norm=norm), *downs, ResidualBlocks(blocks, widths[-1], norm))


def munit_mlp(style_dim: int, width: int, outputs: int) -> Chain:
    """Style (B, style_dim) -> AdaIN parameters (B, outputs)."""
    layers = [nn.Linear(style_dim, width), nn.Linear(width, width), nn.Linear(width, outputs)]
    activations = [nn.ReLU(), nn.ReLU(), nn.Identity()]
    pairs = zip(layers, activations, strict=True)
    return Chain(*(nn.Sequential(OrderedDict(fc=layer, activation=activation)) for layer, activation in pairs))


class Decoder(nn.Module):
    """Content map and AdaIN parameters -> (B, 3, H, W) in (-1, 1)."""

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        """`widths`: the content encoder's."""
        super().__init__()
        self.norms = 2 * blocks
        layers: list[nn.Module] = [ResidualBlocks(blocks, widths[-1], lambda channels: AdaIN())]
        for c_out, c_in in reversed(list(pairwise(widths))):
            layers += [nn.Upsample(scale_factor=2), ConvBlock(c_in, c_out, 5, norm=LayerNorm)]
        self.model = nn.ModuleList([*layers, ConvBlock(widths[0], 3, 7, activation=nn.Tanh)])

    def forward(self, content: Tensor, parameters: Tensor) -> Tensor:
        """(B, C, h, w), (B, 2C * norms): the norms in order -> (B, 3, H, W)."""
        blocks, *rest = self.model
        x = blocks(content, parameters.chunk(self.norms, dim=1))
        for layer in rest:
            x = layer(x)
        return x


class Generator(nn.Module):
    """The auto-encoder of one domain."""

    def __init__(self, c: MUNITConfig) -> None:
        super().__init__()
        widths = [c.width * 2**k for k in range(c.downsamplings + 1)]
        self.enc_style = munit_style_encoder(c.width, c.style_dim)
        self.enc_content = munit_content_encoder(widths, c.blocks)
        self.dec = Decoder(widths, c.blocks)
        self.mlp = munit_mlp(c.style_dim, c.mlp_width, self.dec.norms * 2 * widths[-1])

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        """(B, C, h, w), (B, style_dim) -> (B, 3, H, W) in (-1, 1)."""
        return self.dec(content, self.mlp(style))


class Discriminator(nn.Module):
    """One patch discriminator per scale; they share no weights."""

    def __init__(self, width: int, layers: int, scales: int) -> None:
        super().__init__()
        widths = [3, *(width * 2**k for k in range(layers))]
        self.cnns = nn.ModuleList()
        for _ in range(scales):
            blocks = [
                ConvBlock(i, o, 4, stride=2, activation=partial(nn.LeakyReLU, SLOPE)) for i, o in pairwise(widths)
            ]
            self.cnns.append(nn.Sequential(*blocks, nn.Conv2d(widths[-1], 1, 1)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> a map (B, 1, h, w) of unbounded scores per scale; 256 px: 16, 8 and 4 wide."""
        maps = []
        for number, network in enumerate(self.cnns):
            if number > 0:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)  # the scale before, halved
            maps.append(network(x))
        return maps


def munit_least_squares(maps: Sequence[Tensor], target: float) -> Tensor:
    """LSGAN, summed over the scales' maps, 0-d."""
    return torch.stack([least_squares_loss(scores, target) for scores in maps]).sum()


# ------------------------------------------------------------------------------------------------ the method


@dataclass(frozen=True)
class Batch:
    """Every input of one iteration; B = `batch_size`."""

    real_a: Tensor
    """(B, 3, H, W) in [-1, 1], domain 0."""
    real_b: Tensor
    """(B, 3, H, W) in [-1, 1], domain 1."""
    style_a: Tensor
    """(B, style_dim), standard normal: of the translations into domain 0 that update the generators."""
    style_b: Tensor
    """(B, style_dim), standard normal: of the translations into domain 1 that update the generators."""
    judged_style_a: Tensor
    """(B, style_dim), standard normal: of the translations into domain 0 that update the discriminators."""
    judged_style_b: Tensor
    """(B, style_dim), standard normal: of the translations into domain 1 that update the discriminators."""


class MUNIT(Translator):
    """Domain A is 0, domain B is 1. Style from noise (default) or from an exemplar."""

    Config = MUNITConfig
    batch_rows = ("real_a", "real_b", "style_a", "style_b", "judged_style_a", "judged_style_b")
    style_sources = ("noise", "exemplar")

    def __init__(self, config: MUNITConfig, image_size: int) -> None:
        """Raises ValueError if the networks cannot take `image_size`."""
        super().__init__()
        c = config
        multiple = 2**c.downsamplings
        smallest = max(2**STYLE_DOWNSAMPLINGS, 2 * multiple)  # reflection needs 2 px at every padded convolution
        judged = 2 ** (c.discriminator_scales + c.discriminator_layers - 1)
        require(
            f"MUNIT at {image_size} px",
            {
                f"an image size that is a multiple of {multiple}": image_size % multiple == 0,
                f"an image size of at least {smallest}": image_size >= smallest,
                f"an image size of at least {judged} for discriminator_scales={c.discriminator_scales} and "
                f"discriminator_layers={c.discriminator_layers} (or less of these: 2 and 3 at 32 px)": image_size
                >= judged,
            },
        )
        self.config = c
        self.noise_dim = c.style_dim
        self.generator_a, self.generator_b = Generator(c).apply(he_init_layer), Generator(c).apply(he_init_layer)
        judge = (c.discriminator_width, c.discriminator_layers, c.discriminator_scales)
        self.discriminator_a = Discriminator(*judge).apply(normal_init_layer)
        self.discriminator_b = Discriminator(*judge).apply(normal_init_layer)
        for name, network in list(self.named_children()):
            if name != "ema":
                self.optimizers[name] = Adam(
                    network.parameters(), lr=c.learning_rate, betas=c.betas, weight_decay=c.weight_decay, fused=True
                )

    @property
    def images_per_step(self) -> int:
        """One image of each domain per batch item."""
        return self.config.batch_size

    # ------------------------------------------------------------------------------------------------ training

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> Batch:
        """Two independent image batches, and styles for either update."""
        c = self.config
        images = []
        for domain in (0, 1):
            drawn = enlarge_and_crop(domains.sample(domain, c.batch_size, rng), c.enlarge, rng)
            images.append(random_flip(drawn, rng) if c.flip else drawn)
        styles = torch.randn(4, c.batch_size, c.style_dim, generator=rng).to(domains.device)
        return Batch(*images, *styles)

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """Both discriminators, then both generators."""
        # With the graph that the generators' update needs: the discriminators' update leaves these weights alone.
        content_a = self.generator_a.enc_content(batch.real_a)
        content_b = self.generator_b.enc_content(batch.real_b)
        with torch.no_grad():
            fake_a = self.generator_a.decode(content_b, batch.judged_style_a)
            fake_b = self.generator_b.decode(content_a, batch.judged_style_b)
        yield Phase(
            trains=("discriminator_a", "discriminator_b"),
            losses={
                **self._discriminator_losses("a", self.discriminator_a, batch.real_a, fake_a),
                **self._discriminator_losses("b", self.discriminator_b, batch.real_b, fake_b),
            },
        )

        losses = self._generator_losses(batch, content_a, content_b)
        yield Phase(trains=("generator_a", "generator_b"), losses=losses)

    @staticmethod
    def _discriminator_losses(domain: str, network: Discriminator, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """(D(real) - 1)^2 + D(fake)^2 (eq. 4 in its least-squares form), over all scales."""
        halves = [scores.chunk(2) for scores in network(torch.cat([real, fake]))]
        return {
            f"real_{domain}": munit_least_squares([on_real for on_real, _ in halves], 1.0),
            f"fake_{domain}": munit_least_squares([on_fake for _, on_fake in halves], 0.0),
        }

    def _generator_losses(self, batch: Batch, content_a: Tensor, content_b: Tensor) -> dict[str, Tensor]:
        """Eq. 5. Nothing is detached: contents are targets, and have a gradient as such, too."""
        c, gen_a, gen_b = self.config, self.generator_a, self.generator_b
        own_a, own_b = gen_a.enc_style(batch.real_a), gen_b.enc_style(batch.real_b)  # (B, style_dim)
        same_a, fake_a = gen_a.decode(torch.cat([content_a, content_b]), torch.cat([own_a, batch.style_a])).chunk(2)
        same_b, fake_b = gen_b.decode(torch.cat([content_b, content_a]), torch.cat([own_b, batch.style_b])).chunk(2)
        again_b, again_a = gen_a.enc_content(fake_a), gen_b.enc_content(fake_b)  # a fake in A has B's content
        losses = {
            "adversarial_a": c.lambda_adversarial * munit_least_squares(self.discriminator_a(fake_a), 1.0),  # eq. 4
            "adversarial_b": c.lambda_adversarial * munit_least_squares(self.discriminator_b(fake_b), 1.0),
            "image_a": c.lambda_image * l1_loss(same_a, batch.real_a),  # eq. 1
            "image_b": c.lambda_image * l1_loss(same_b, batch.real_b),
            "content_a": c.lambda_content * l1_loss(again_a, content_a),  # eq. 2
            "content_b": c.lambda_content * l1_loss(again_b, content_b),
            "style_a": c.lambda_style * l1_loss(gen_a.enc_style(fake_a), batch.style_a),  # eq. 3
            "style_b": c.lambda_style * l1_loss(gen_b.enc_style(fake_b), batch.style_b),
        }
        if c.lambda_cycle > 0:  # style-augmented cycle consistency
            losses["cycle_a"] = c.lambda_cycle * l1_loss(gen_a.decode(again_a, own_a), batch.real_a)
            losses["cycle_b"] = c.lambda_cycle * l1_loss(gen_b.decode(again_b, own_b), batch.real_b)
        return losses

    def learning_rates(self, progress: Progress) -> Mapping[str, float]:
        """Halved at the start of every iteration whose number, from 1, is a multiple of the interval, as officially."""
        interval = self.config.halve_every * progress.total
        halvings = math.floor((progress.step + 1) / interval + 1e-9)  # against 0.1 * 3 > 0.3
        return dict.fromkeys(self.optimizers, self.config.learning_rate * 0.5**halvings)

    # ----------------------------------------------------------------------------------------------- inference

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        """The content by the source's encoder, decoded by the target's decoder."""
        self.check_style(style)
        generators = (self.generator_a, self.generator_b)
        content = generators[source].enc_content(x)
        return generators[target].decode(content, self.style_code(style, target)).clamp(-1.0, 1.0)

    @torch.no_grad()
    def style_code(self, style: Style, target: int) -> Tensor:
        """Code (B, style_dim) of a style for domain `target`; noise is a code as it is."""
        match style:
            case Noise(code) | Code(code):
                return code
            case Exemplar(image):
                return (self.generator_a, self.generator_b)[target].enc_style(image)
        raise TypeError(f"no style code for {style!r:.60}")

    def load_official(self, state_dicts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Any of gen_a, gen_b, dis_a, dis_b: the entries 'a' and 'b' of the published gen_*.pt and dis_*.pt.

        Buffers of AdaIN that nothing uses, and statistics of instance norm in old checkpoints, are dropped. Raises
        ValueError, see `load_checked`.
        """
        statistics = ("running_mean", "running_var", "num_batches_tracked")
        cleaned = {
            name: {key: value for key, value in without_prefix(state).items() if not key.endswith(statistics)}
            for name, state in state_dicts.items()
        }
        targets: dict[str, list[nn.Module]] = {
            "gen_a": [self.generator_a],
            "gen_b": [self.generator_b],
            "dis_a": [self.discriminator_a],
            "dis_b": [self.discriminator_b],
        }
        load_checked(targets, cleaned)
