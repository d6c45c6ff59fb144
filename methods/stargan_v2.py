"""StarGAN v2: Choi, Uh, Yoo, Ha, "StarGAN v2: Diverse Image Synthesis for Multiple Domains", CVPR 2020,
arXiv 1912.01865. Written from the paper and a description of the authors' code (last commit, 2022).

One generator serves both domains and both directions; the domain enters through the style code alone, which comes from
random noise (mapping network) or from a reference image (style encoder), and through the discriminator's head.

Deliberate differences from the official code:
- `w_hpf` is 0 (the setting for data other than faces): no high-pass skip connections, no face alignment network.
- The EMA copies start as exact copies of the live networks. The official ones are cloned before the initialisation and
  start unrelated to them, which vanishes as 0.999^t; harmless, and better for short runs.
- Both references of an item are drawn uniformly from the target domain; officially the second one follows from the
  first by a permutation fixed at the start. Domains of sources and references are uniform, as there.
- The annealed diversity weight is a function of the progress, so a resumed run continues it (officially it restarts).
- Cheaper, same values: what the same weights make of the same inputs (content codes, translations) is made once, with
  a graph where one is needed.
- `content_size` and `base_width`, for small images; the defaults follow the official rules.

CatS-UDT's authors compared with a form of their own (`stargan_v2:cats`): sources and references uniform over the union
of both domains instead of balanced, style reconstructed with the head of the *source* domain, lambda_ds 2, four
bottleneck blocks; its checkpoints load, too. Its 50,000 iterations are not copied: a preset's budget holds for all.

All heads of F, E and D are computed and the requested one is picked: a head that no item asked for then has a gradient
of 0 and not None, so that Adam still applies its weight decay and momentum to it, as officially.

Traps: no output tanh; residual sums over sqrt(2); (1 + gamma); F learns 100 times slower; beta1 is 0; R1 has the
factor 0.5 and is applied at every D step; s is *not* detached in the style term; the second image of the diversity
term *is*; the reference pass steps the generator alone (stepping E or F there hurts).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Adam

from methods.base import Code, Domains, Exemplar, Noise, Phase, Progress, Style, Translator
from methods.parts.augment import random_flip, random_resized_crop
from methods.parts.checks import is_power_of_two, load_checked, require, without_prefix
from methods.parts.kernels import InstanceNorm, WholeMapConv
from methods.parts.layers import SLOPE, DownBlock, UpBlock, he_init_layer, layer_widths, pick_layer, trunk_layers
from methods.parts.losses import l1_loss, logistic_loss, r1_penalty

DOMAINS = 2


def _balanced(count: int, sizes: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Domains, int64 (count,): each one half of the time."""
    return torch.randint(DOMAINS, (count,), generator=rng)


def _union(count: int, sizes: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Domains, int64 (count,), of images drawn uniformly from both domains' together."""
    return (torch.randint(sum(sizes), (count,), generator=rng) >= sizes[0]).long()


SAMPLINGS: Mapping[str, Callable[[int, tuple[int, int], torch.Generator], Tensor]] = {
    "balanced": _balanced, "union": _union,
}  # fmt: skip


@dataclass(frozen=True)
class StarGANv2Config:
    """Settings; the defaults are the published ones (w_hpf 0)."""

    max_width: int = 512
    """Upper limit of the channels, after the first convolution."""
    base_width: int | None = None
    """Channels at full resolution; None: the official 2^14 / image size."""
    content_size: int = 16
    """Side of the content map, a power of two: the generator down-samples to it."""
    bottleneck_blocks: int = 2
    """Residual blocks at the content map's size, on either side of it."""
    style_dim: int = 64
    """Width of a style code."""
    latent_dim: int = 16
    """Width of the noise z."""
    mapping_width: int = 512
    """Width of the mapping network's layers."""
    lambda_reg: float = 1.0
    """Weight of R1."""
    lambda_sty: float = 1.0
    """Weight of the style reconstruction (eq. 2)."""
    lambda_cyc: float = 1.0
    """Weight of the cycle term (eq. 4)."""
    lambda_ds: float = 1.0
    """Initial weight of the diversity term (eq. 3): 1 for CelebA-HQ, 2 for AFHQ."""
    style_rec_domain: str = "target"
    """Domain whose head of E reconstructs the style: `target`, or `source` as CatS-UDT's authors have it."""
    sampling: str = "balanced"
    """Domains of sources and of references: `balanced`, or as frequent as in the `union` of the images."""
    diversity_fraction: float = 1.0
    """Share of the training over which lambda_ds falls linearly to 0 (official: 100,000 of 100,000 iterations)."""
    learning_rate: float = 1e-4
    """Adam, for generator, style encoder, discriminator."""
    mapping_learning_rate: float = 1e-6
    """Adam, for the mapping network."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates."""
    weight_decay: float = 1e-4
    """L2, added to the gradient."""
    ema_decay: float = 0.999
    """Decay of the averaged networks."""
    batch_size: int = 8
    """Items per iteration, over both domains: even (half of them per domain, in expectation); unstable below 8."""
    crop_probability: float = 0.5
    """Share of the images that are cropped at random (0.8 to 1 of the area) and resized; 0 for digits."""
    flip: bool = True
    """Mirror images left to right with probability 1/2 (not for digits)."""

    def __post_init__(self) -> None:
        positive = ("max_width", "style_dim", "latent_dim", "mapping_width", "diversity_fraction")
        at_least_0 = (
            *("bottleneck_blocks", "lambda_reg", "lambda_sty", "lambda_cyc", "lambda_ds"),
            *("learning_rate", "mapping_learning_rate", "weight_decay"),
        )
        rules = {f"{name} > 0": getattr(self, name) > 0 for name in positive}
        rules |= {f"{name} >= 0": getattr(self, name) >= 0 for name in at_least_0}
        rules["base_width >= 1 or None"] = self.base_width is None or self.base_width >= 1
        rules["content_size that is a power of two, at least 2"] = (
            is_power_of_two(self.content_size) and self.content_size >= 2
        )
        rules["an even batch_size, at least 2"] = self.batch_size >= 2 and self.batch_size % 2 == 0
        rules["style_rec_domain `target` or `source`"] = self.style_rec_domain in ("target", "source")
        rules[f"sampling {' or '.join(SAMPLINGS)}"] = self.sampling in SAMPLINGS
        rules["betas in [0, 1)"] = all(0 <= beta < 1 for beta in self.betas)
        rules["ema_decay in [0, 1]"] = 0 <= self.ema_decay <= 1
        rules["crop_probability in [0, 1]"] = 0 <= self.crop_probability <= 1
        require("StarGAN v2", rules)


# -------------------------------------------------------------------------------------------------- networks


class Generator(nn.Module):
    """G(x, s) = decode(encode(x), s). Keys are the official ones."""

    def __init__(self, widths: list[int], bottleneck_blocks: int, style_dim: int) -> None:
        """`widths`: channels before and after each down-sampling, as `layer_widths` makes them."""
        super().__init__()
        stages = list(pairwise(widths))
        wide = widths[-1]
        self.from_rgb = nn.Conv2d(3, widths[0], 3, padding=1)
        self.encode = nn.ModuleList([DownBlock(i, o, normalise=True, down=True) for i, o in stages])
        self.encode.extend(DownBlock(wide, wide, normalise=True) for _ in range(bottleneck_blocks))
        self.decode = nn.ModuleList([UpBlock(wide, wide, style_dim) for _ in range(bottleneck_blocks)])
        self.decode.extend(UpBlock(o, i, style_dim, up=True) for i, o in reversed(stages))
        self.to_rgb = nn.Sequential(
            InstanceNorm(widths[0], affine=True), nn.LeakyReLU(SLOPE), nn.Conv2d(widths[0], 3, 1)
        )

    def content(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, C, content_size, content_size)."""
        x = self.from_rgb(x)
        for block in self.encode:
            x = block(x)
        return x

    def render(self, content: Tensor, s: Tensor) -> Tensor:
        """Content map and style (B, style_dim) -> (B, 3, H, W), not bounded."""
        for block in self.decode:
            content = block(content, s)
        return self.to_rgb(content)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], (B, style_dim) -> (B, 3, H, W), not bounded."""
        return self.render(self.content(x), s)


def _mlp(widths: list[int]) -> list[nn.Module]:
    """Linear layers with a ReLU after each."""
    return [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]


class MappingNetwork(nn.Module):
    """F(z, y): noise to the style code of domain y."""

    def __init__(self, latent_dim: int, width: int, style_dim: int, domains: int = DOMAINS) -> None:
        super().__init__()
        self.shared = nn.Sequential(*_mlp([latent_dim, *[width] * 4]))
        self.unshared = nn.ModuleList(
            nn.Sequential(*_mlp([width] * 4), nn.Linear(width, style_dim)) for _ in range(domains)
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """(B, latent_dim), int64 (B,) -> (B, style_dim)."""
        h = self.shared(z)
        return pick_layer(torch.stack([head(h) for head in self.unshared], dim=1), y)


class StyleEncoder(nn.Module):
    """E(x, y): image to its style code in domain y."""

    def __init__(self, image_size: int, first: int, cap: int, style_dim: int, domains: int = DOMAINS) -> None:
        super().__init__()
        layers, width = trunk_layers(image_size, first, cap)
        self.shared = nn.Sequential(*layers)
        self.unshared = nn.ModuleList(nn.Linear(width, style_dim) for _ in range(domains))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], int64 (B,) -> (B, style_dim)."""
        h = self.shared(x).flatten(1)
        return pick_layer(torch.stack([head(h) for head in self.unshared], dim=1), y)


class Discriminator(nn.Module):
    """D(x, y): logit of "x is a real image of domain y"."""

    def __init__(self, image_size: int, first: int, cap: int, domains: int = DOMAINS) -> None:
        super().__init__()
        layers, width = trunk_layers(image_size, first, cap)
        self.main = nn.Sequential(*layers, WholeMapConv(width, domains, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], int64 (B,) -> (B,)."""
        return pick_layer(self.main(x).flatten(1), y)


# ------------------------------------------------------------------------------------------------ the method


@dataclass(frozen=True)
class Batch:
    """Every input of one iteration; B = `batch_size`, domains mixed."""

    x_source: Tensor
    """(B, 3, H, W) in [-1, 1]."""
    y_source: Tensor
    """int64 (B,): their domains."""
    x_ref: Tensor
    """(B, 3, H, W) in [-1, 1], of the target domains."""
    x_ref2: Tensor
    """(B, 3, H, W) in [-1, 1], of the target domains: for the diversity term."""
    y_target: Tensor
    """int64 (B,); drawn independently, so with two domains of one size it is the source's half of the time."""
    z: Tensor
    """(B, latent_dim), standard normal."""
    z2: Tensor
    """(B, latent_dim), standard normal: for the diversity term."""
    lambda_ds: Tensor
    """0-d: the diversity weight of this iteration."""


class Translated(NamedTuple):
    """Sources in other styles."""

    content: Tensor
    """(B, C, content_size, content_size): the sources' content map."""
    s: Tensor
    """(B, style_dim)."""
    fake: Tensor
    """(B, 3, H, W), not bounded."""


class StarGANv2(Translator):
    """Style from noise (default) or from an exemplar."""

    Config = StarGANv2Config
    style_sources = ("noise", "exemplar")
    batch_rows = ("x_source", "y_source", "x_ref", "x_ref2", "y_target", "z", "z2")

    def __init__(self, config: StarGANv2Config, image_size: int) -> None:
        """Raises ValueError if the networks cannot take `image_size`."""
        super().__init__()
        smallest = max(8, config.content_size)
        require(
            f"StarGAN v2 at {image_size} px",
            {
                f"an image size that is a power of two, at least {smallest}": is_power_of_two(image_size)
                and image_size >= smallest
            },
        )
        self.config = config
        self.noise_dim = config.latent_dim
        self.ema_decay = config.ema_decay
        first = config.base_width or max(1, 2**14 // image_size)
        cap = config.max_width
        widths = layer_widths(first, cap, int(math.log2(image_size // config.content_size)))
        self.generator = Generator(widths, config.bottleneck_blocks, config.style_dim)
        self.mapping_network = MappingNetwork(config.latent_dim, config.mapping_width, config.style_dim)
        self.style_encoder = StyleEncoder(image_size, first, cap, config.style_dim)
        self.discriminator = Discriminator(image_size, first, cap)
        self.apply(he_init_layer)
        self.track_ema("generator", "mapping_network", "style_encoder")
        for name, rate in self.learning_rates(Progress(0, 1)).items():
            parameters = getattr(self, name).parameters()
            self.optimizers[name] = Adam(
                parameters, lr=rate, betas=config.betas, weight_decay=config.weight_decay, fused=True
            )

    @property
    def images_per_step(self) -> int:
        """Half of the batch per domain, in expectation: the source's domain is drawn for each item."""
        return self.config.batch_size // 2

    # ------------------------------------------------------------------------------------------------ training

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> Batch:
        """Source and target domain of each item are independent, images uniform within them."""
        c = self.config
        y_source, y_target = (
            SAMPLINGS[c.sampling](c.batch_size, domains.sizes, rng).to(domains.device) for _ in range(2)
        )
        remaining = max(0.0, 1.0 - progress.fraction / c.diversity_fraction)
        return Batch(
            x_source=self._images(domains, y_source, rng),
            y_source=y_source,
            x_ref=self._images(domains, y_target, rng),
            x_ref2=self._images(domains, y_target, rng),
            y_target=y_target,
            z=torch.randn(c.batch_size, c.latent_dim, generator=rng).to(domains.device),
            z2=torch.randn(c.batch_size, c.latent_dim, generator=rng).to(domains.device),
            lambda_ds=torch.tensor(c.lambda_ds * remaining, dtype=torch.float32, device=domains.device),
        )

    def _images(self, domains: Domains, y: Tensor, rng: torch.Generator) -> Tensor:
        """One augmented image of each item's domain `y` (B,): (B, 3, H, W) in [-1, 1]."""
        of_0, of_1 = (domains.sample(domain, len(y), rng) for domain in (0, 1))
        images = torch.where((y == 0)[:, None, None, None], of_0, of_1)
        if self.config.crop_probability > 0:
            images = random_resized_crop(images, self.config.crop_probability, rng)
        return random_flip(images, rng) if self.config.flip else images

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """D on latent styles, D on reference styles, G with F and E on latent styles, G alone on reference styles."""
        # D's steps leave G and F as they are: what D is shown first is, with its graph, what G is trained on after.
        latent = self._translated(batch, self.mapping_network(batch.z, batch.y_target))
        fake_reference = self._detached_reference_fake(batch, latent.content)
        yield Phase(trains=("discriminator",), losses=self._discriminator_losses(batch, latent.fake.detach()))
        yield Phase(trains=("discriminator",), losses=self._discriminator_losses(batch, fake_reference))

        s2 = self.mapping_network(batch.z2, batch.y_target).detach()
        s_source = self.style_encoder(batch.x_source, batch.y_source)
        losses = self._generator_losses(batch, latent, s2, s_source)
        yield Phase(trains=("generator", "mapping_network", "style_encoder"), losses=losses)

        s, s2, s_source = self._reference_styles(batch)
        losses = self._generator_losses(batch, self._translated(batch, s), s2, s_source)
        yield Phase(trains=("generator",), losses=losses)

    def _translated(self, batch: Batch, s: Tensor) -> Translated:
        """The sources in the styles `s` (B, style_dim)."""
        content = self.generator.content(batch.x_source)
        return Translated(content, s, self.generator.render(content, s))

    @torch.no_grad()
    def _detached_reference_fake(self, batch: Batch, content: Tensor) -> Tensor:
        """Translations that D is shown with reference styles, (B, 3, H, W), made before F and E change."""
        return self.generator.render(content, self.style_encoder(batch.x_ref, batch.y_target))

    @torch.no_grad()
    def _reference_styles(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Styles of x_ref, x_ref2 and x_source, (B, style_dim) each; no graph, for this pass steps G alone."""
        images = torch.cat([batch.x_ref, batch.x_ref2, batch.x_source])
        domains = torch.cat([batch.y_target, batch.y_target, batch.y_source])
        s, s2, s_source = self.style_encoder(images, domains).chunk(3)
        return s, s2, s_source

    def _discriminator_losses(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """Eq. 1 for D, and R1 on the real images."""
        x = batch.x_source.detach().requires_grad_()
        on_real = self.discriminator(x, batch.y_source)
        return {
            "real": logistic_loss(on_real, real=True),
            "fake": logistic_loss(self.discriminator(fake, batch.y_target), real=False),
            "r1": self.config.lambda_reg * r1_penalty(on_real, x),
        }

    def _generator_losses(
        self, batch: Batch, translated: Translated, s2: Tensor, s_source: Tensor
    ) -> dict[str, Tensor]:
        """Eq. 1 for G, and eqs. 2 to 4."""
        c, x, fake = self.config, batch.x_source, translated.fake
        y_style = {"target": batch.y_target, "source": batch.y_source}[c.style_rec_domain]
        losses = {
            "adv": logistic_loss(self.discriminator(fake, batch.y_target), real=True),
            "sty": c.lambda_sty * l1_loss(self.style_encoder(fake, y_style), translated.s),
            "cyc": c.lambda_cyc * l1_loss(self.generator(fake, s_source), x),
        }
        # After the calls that need a graph: autocast keeps the weights it has cast, and those cast first without a
        # graph would then be used without one.
        with torch.no_grad():
            other = self.generator.render(translated.content, s2)
        losses["ds"] = -batch.lambda_ds * l1_loss(fake, other)
        return losses

    def learning_rates(self, progress: Progress) -> Mapping[str, float]:
        """Constant rates."""
        rate = self.config.learning_rate
        return {
            "generator": rate,
            "mapping_network": self.config.mapping_learning_rate,
            "style_encoder": rate,
            "discriminator": rate,
        }

    # ----------------------------------------------------------------------------------------------- inference

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        """EMA networks; `source` does not matter."""
        self.check_style(style)
        return self.ema["generator"](x, self.style_code(style, target)).clamp(-1.0, 1.0)

    @torch.no_grad()
    def style_code(self, style: Style, target: int) -> Tensor:
        """Code (B, style_dim) of a style for domain `target`, by the EMA networks."""
        match style:
            case Code(s):
                return s
            case Noise(z):
                return self.ema["mapping_network"](z, torch.full((len(z),), target, device=z.device))
            case Exemplar(image):
                return self.ema["style_encoder"](image, torch.full((len(image),), target, device=image.device))
        raise TypeError(f"no style code for {style!r:.60}")

    def load_official(self, state_dicts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """generator, mapping_network, style_encoder, each into the live and the averaged network; discriminator.

        The face alignment network `fan` is ignored. Any part may be given; CatS-UDT's baseline has other names for the
        last layers of E and D, which are accepted. Raises ValueError, see `load_checked` (a checkpoint with w_hpf > 0
        has another generator).
        """
        targets: dict[str, list[nn.Module]] = {
            name: [getattr(self, name), self.ema[name]] for name in ("generator", "mapping_network", "style_encoder")
        }
        targets["discriminator"] = [self.discriminator]
        states = {name: without_prefix(state) for name, state in state_dicts.items() if name != "fan"}
        if (state := states.get("style_encoder")) is not None:
            states["style_encoder"] = {re.sub(r"^(unshared\.\d+)\.0\.", r"\1.", key): v for key, v in state.items()}
        if (state := states.get("discriminator")) is not None:
            last = f"main.{len(self.discriminator.main) - 1}."
            states["discriminator"] = {re.sub(r"^dis\.", last, key): v for key, v in state.items()}
        load_checked(targets, states)
