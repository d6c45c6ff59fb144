"""CycleGAN: Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
ICCV 2017, arXiv 1703.10593. Written from the paper and a description of the authors' PyTorch code.

Two generators, one per direction, and one patch discriminator per domain. Each generator has to fool the discriminator
of its target domain (LSGAN), to be undone by the other generator (cycle), and to leave target images alone (identity).
Deterministic: no style.

Names. Ours say what is meant; the official ones count directions, so D_A judges domain *B*:

    generator_ab     G_A (paper: G)        discriminator_b  D_A (paper: D_Y)
    generator_ba     G_B (paper: F)        discriminator_a  D_B (paper: D_X)

Deliberate differences from the official code, none of which changes the objective:
- Iterations instead of epochs: both images of a pair are drawn uniformly with replacement (official: A in order, B
  random, an epoch is max(|A|, |B|)). The learning rate decays linearly over the last part of the *budget*; official
  factor of epoch e: 1 - max(0, e - 100) / 101 of 200. The two differ by at most 0.01 at the ends of the epochs.
- One Adam per network. Adam works element by element, so this equals the official two joint ones.
- One call for [images to translate, images to keep], and one for [real, fake] in a discriminator: instance norm keeps
  the rows independent, so the values are the same.
- The enlarged images are not rounded to 8 bits before they are cropped.
- `downsamplings`, for the 4x4 content map of CatS-UDT's Fig. 11b. Its widths are not published; ours double up to
  8 * `width`.

Traps: reflection padding at the 7x7 convolutions and in the residual blocks, zero padding everywhere else; biases
although instance norm cancels them (they count); no activation after a residual sum; the identity weight is 5 and not
0.5; the factor 0.5 in the discriminator loss; the pool works per image, in the discriminator step only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam

from methods.base import Domains, Phase, Progress, Style, Translator
from methods.parts.augment import enlarge_and_crop, random_flip
from methods.parts.checks import load_checked, require, without_prefix
from methods.parts.kernels import InstanceNorm
from methods.parts.layers import SLOPE, normal_init_layer
from methods.parts.losses import l1_loss, least_squares_loss


@dataclass(frozen=True)
class CycleGANConfig:
    """Settings; the defaults are the published ones for 256 px."""

    width: int = 64
    """Channels of the generator's first stage."""
    blocks: int = 9
    """Residual blocks: 9 at 256 px, 6 up to 128 px."""
    downsamplings: int = 2
    """Stride-2 stages of the generator; the image size must be a multiple of 2 to this power."""
    discriminator_width: int = 64
    """Channels of the discriminator's first convolution."""
    discriminator_layers: int = 3
    """Stride-2 convolutions of the discriminator: 3 = "basic" 70x70 patches (24 px or more), 2 from 12 px, 1 from 6."""
    lambda_cycle: float = 10.0
    """Weight of each cycle term, a plain L1 mean (paper eq. 3)."""
    identity_weight: float = 5.0
    """Weight of each identity term: the official lambda_identity 0.5 is a share of lambda_cycle, 0.5 * 10 = 5."""
    pool_size: int = 50
    """Earlier fakes kept per domain for the discriminators; 0 = none."""
    learning_rate: float = 2e-4
    """Adam, all networks, before the decay."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates."""
    batch_size: int = 1
    """Images per domain and iteration."""
    constant_fraction: float = 0.5
    """Share of the training at the full learning rate; then linear decay to 0."""
    enlarge: float = 286 / 256
    """Images are enlarged by this factor and cropped at random to their size; 1 = off."""
    flip: bool = True
    """Mirror images left to right with probability 1/2 (not for digits)."""

    def __post_init__(self) -> None:
        rules = {
            f"{name} >= 1": getattr(self, name) >= 1
            for name in ("width", "discriminator_width", "discriminator_layers", "batch_size", "enlarge")
        }
        rules |= {
            f"{name} >= 0": getattr(self, name) >= 0
            for name in ("blocks", "downsamplings", "lambda_cycle", "identity_weight", "pool_size", "learning_rate")
        }
        rules["betas in [0, 1)"] = all(0 <= beta < 1 for beta in self.betas)
        rules["constant_fraction in [0, 1]"] = 0 <= self.constant_fraction <= 1
        require("CycleGAN", rules)


# -------------------------------------------------------------------------------------------------- networks


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions with reflection padding, (B, C, H, W) -> same; no activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same."""
        return x + self.conv_block(x)


class Generator(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> same. Keys are `model.<i>`, the official ones."""

    def __init__(self, width: int, blocks: int, downsamplings: int = 2) -> None:
        super().__init__()
        widths = [width * min(2**k, 8) for k in range(downsamplings + 1)]
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), *_conv_norm_relu(nn.Conv2d(3, width, 7))]
        for k in range(downsamplings):  # zero padding here, unlike in the blocks
            layers += _conv_norm_relu(nn.Conv2d(widths[k], widths[k + 1], 3, stride=2, padding=1))
        layers += [ResidualBlock(widths[-1]) for _ in range(blocks)]
        for k in reversed(range(downsamplings)):
            up = nn.ConvTranspose2d(widths[k + 1], widths[k], 3, stride=2, padding=1, output_padding=1)
            layers += _conv_norm_relu(up)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, H, W) in (-1, 1)."""
        return self.model(x)


def _conv_norm_relu(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [convolution, InstanceNorm(convolution.out_channels), nn.ReLU()]


class Discriminator(nn.Module):
    """(B, 3, H, W) -> map (B, 1, h, w) of unbounded scores, one per patch. Keys are `model.<i>`, the official ones."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        modules: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        for k in range(1, layers + 1):  # the last of these has stride 1
            convolution = nn.Conv2d(
                width * min(2 ** (k - 1), 8), width * min(2**k, 8), 4, stride=2 if k < layers else 1, padding=1
            )
            modules += [convolution, InstanceNorm(convolution.out_channels), nn.LeakyReLU(SLOPE)]
        modules.append(nn.Conv2d(width * min(2**layers, 8), 1, 4, padding=1))
        self.model = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 1, h, w); 256 px and 3 layers: 30x30."""
        return self.model(x)


# ------------------------------------------------------------------------------------------------ image pool


def cyclegan_exchange(pool: Tensor, count: Tensor, fakes: Tensor, swap: Tensor, slot: Tensor) -> Tensor:
    """Pass `fakes` (B, 3, H, W) through the image pool (Shrivastava et al. 2017), one by one; updates both in place.

    `pool` (S, 3, H, W), `count` int64 (1,): images stored. `swap` bool (B,) and `slot` int64 (B,) in [0, S): the draws.
    While the pool fills, an image is stored and returned. Later, with `swap` the stored image at `slot` is returned and
    replaced by the new one; without, the new one is returned and not stored. Branch-free: nothing is read back.
    """
    returned = []
    for i in range(len(fakes)):  # one by one, for a stored image can come from the same batch
        new = fakes[i : i + 1].to(pool.dtype)
        filling = count < len(pool)
        place = torch.where(filling, count, slot[i : i + 1])
        stored = pool.index_select(0, place)
        swapped = ~filling & swap[i : i + 1]
        returned.append(torch.where(swapped, stored, new))
        pool.index_copy_(0, place, torch.where(filling | swapped, new, stored))
        count.add_(filling)
    return torch.cat(returned)


# ------------------------------------------------------------------------------------------------ the method


@dataclass(frozen=True)
class Batch:
    """Every input of one iteration; B = `batch_size`."""

    real_a: Tensor
    """(B, 3, H, W) in [-1, 1], domain 0."""
    real_b: Tensor
    """(B, 3, H, W) in [-1, 1], domain 1."""
    swap_a: Tensor
    """bool (B,): whether the fake of domain 0 is exchanged for one of the full pool."""
    slot_a: Tensor
    """int64 (B,) in [0, pool_size): place in the pool of that fake."""
    swap_b: Tensor
    """bool (B,): whether the fake of domain 1 is exchanged for one of the full pool."""
    slot_b: Tensor
    """int64 (B,) in [0, pool_size): place in the pool of that fake."""


class CycleGAN(Translator):
    """Domain A is 0, domain B is 1."""

    Config = CycleGANConfig
    indivisible = "its image pools take the fakes of a batch one after the other, and are one for all of them"

    def __init__(self, config: CycleGANConfig, image_size: int) -> None:
        """Raises ValueError if the networks cannot take `image_size`."""
        super().__init__()
        patch_side = image_size // 2**config.discriminator_layers - 1  # the last map that is normalised
        multiple = 2**config.downsamplings
        require(
            f"CycleGAN at {image_size} px",
            {
                f"an image size that is a multiple of {multiple}": image_size % multiple == 0,
                f"an image size of at least {max(4, 2 * multiple)}": image_size >= max(4, 2 * multiple),
                f"an image size of at least {3 * 2**config.discriminator_layers} for discriminator_layers="
                f"{config.discriminator_layers} (or fewer layers)": patch_side >= 2,
            },
        )
        self.config = config
        self.generator_ab = Generator(config.width, config.blocks, config.downsamplings)
        self.generator_ba = Generator(config.width, config.blocks, config.downsamplings)
        self.discriminator_a = Discriminator(config.discriminator_width, config.discriminator_layers)
        self.discriminator_b = Discriminator(config.discriminator_width, config.discriminator_layers)
        self.apply(normal_init_layer)
        for name, network in list(self.named_children()):
            if name != "ema":
                self.optimizers[name] = Adam(
                    network.parameters(), lr=config.learning_rate, betas=config.betas, fused=True
                )
        for domain in "ab":  # the image pools, part of the state
            self.register_buffer(f"pool_{domain}", torch.zeros(config.pool_size, 3, image_size, image_size))
            self.register_buffer(f"pool_{domain}_count", torch.zeros(1, dtype=torch.int64))

    @property
    def images_per_step(self) -> int:
        """One image of each domain per batch item."""
        return self.config.batch_size

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> Batch:
        """Two independent image batches and the pools' decisions."""
        images = []
        for domain in (0, 1):
            drawn = enlarge_and_crop(domains.sample(domain, self.config.batch_size, rng), self.config.enlarge, rng)
            images.append(random_flip(drawn, rng) if self.config.flip else drawn)
        swap = torch.rand(2, self.config.batch_size, generator=rng) < 0.5
        slot = torch.randint(max(1, self.config.pool_size), (2, self.config.batch_size), generator=rng)
        swap_a, swap_b = swap.to(domains.device)
        slot_a, slot_b = slot.to(domains.device)
        return Batch(images[0], images[1], swap_a, slot_a, swap_b, slot_b)

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """Both generators jointly, then both discriminators; the fakes are those of the generators before the step."""
        c = self.config
        a, b = batch.real_a, batch.real_b

        fake_b, same_b = self._translate_and_keep(self.generator_ab, a, b)
        fake_a, same_a = self._translate_and_keep(self.generator_ba, b, a)
        losses = {
            "gan_ab": least_squares_loss(
                self.discriminator_b(fake_b), 1.0
            ),  # eq. 1, in the least-squares form of sec. 4
            "gan_ba": least_squares_loss(self.discriminator_a(fake_a), 1.0),
            "cycle_a": c.lambda_cycle * l1_loss(self.generator_ba(fake_b), a),  # eq. 2
            "cycle_b": c.lambda_cycle * l1_loss(self.generator_ab(fake_a), b),
        }
        if same_a is not None and same_b is not None:
            losses["identity_a"] = c.identity_weight * l1_loss(same_a, a)  # sec. 5.2, L_identity
            losses["identity_b"] = c.identity_weight * l1_loss(same_b, b)
        yield Phase(trains=("generator_ab", "generator_ba"), losses=losses)

        # The two discriminators share no weight and no input: one phase is the same as two.
        pooled_a = self._pooled("a", fake_a.detach(), batch.swap_a, batch.slot_a)
        pooled_b = self._pooled("b", fake_b.detach(), batch.swap_b, batch.slot_b)
        yield Phase(
            trains=("discriminator_a", "discriminator_b"),
            losses={
                **self._discriminator_losses("a", self.discriminator_a, a, pooled_a),
                **self._discriminator_losses("b", self.discriminator_b, b, pooled_b),
            },
        )

    def _translate_and_keep(self, generator: Generator, x: Tensor, keep: Tensor) -> tuple[Tensor, Tensor | None]:
        """generator(x) and generator(keep), the second None if it carries no weight; (B, 3, H, W) each."""
        if self.config.identity_weight == 0:
            return generator(x), None
        fake, same = generator(torch.cat([x, keep])).chunk(2)
        return fake, same

    def _pooled(self, domain: str, fakes: Tensor, swap: Tensor, slot: Tensor) -> Tensor:
        """Images that the discriminator of `domain` sees for `fakes`."""
        if self.config.pool_size == 0:
            return fakes
        return cyclegan_exchange(
            self.get_buffer(f"pool_{domain}"), self.get_buffer(f"pool_{domain}_count"), fakes, swap, slot
        )

    @staticmethod
    def _discriminator_losses(domain: str, network: Discriminator, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """0.5 [(D(real) - 1)^2 + D(fake)^2], the halves apart for the log."""
        on_real, on_fake = network(torch.cat([real, fake])).chunk(2)
        return {
            f"real_{domain}": 0.5 * least_squares_loss(on_real, 1.0),
            f"fake_{domain}": 0.5 * least_squares_loss(on_fake, 0.0),
        }

    def learning_rates(self, progress: Progress) -> Mapping[str, float]:
        """Constant for `constant_fraction` of the training, then linear to 0 at its end (not reached)."""
        constant = self.config.constant_fraction
        done = max(0.0, progress.fraction - constant) / (1.0 - constant) if constant < 1 else 0.0
        return dict.fromkeys(self.optimizers, self.config.learning_rate * (1.0 - done))

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style = None) -> Tensor:
        """The generator of the direction; there is none within a domain (ValueError)."""
        self.check_style(style)
        if {source, target} != {0, 1}:
            raise ValueError(f"CycleGAN translates 0 -> 1 or 1 -> 0, not {source} -> {target}")
        generator = self.generator_ab if source == 0 else self.generator_ba
        return generator(x).clamp(-1.0, 1.0)

    def load_official(self, state_dicts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Any of G_A, G_B, D_A, D_B (or G, of a published one-way model A -> B, for G_A).

        Statistics of instance norm that old checkpoints carry are dropped. Raises ValueError, see `load_checked`.
        """
        statistics = ("running_mean", "running_var", "num_batches_tracked")
        cleaned = {
            "G_A" if name == "G" else name: {
                key: value for key, value in without_prefix(state).items() if not key.endswith(statistics)
            }
            for name, state in state_dicts.items()
        }
        targets: dict[str, list[nn.Module]] = {
            "G_A": [self.generator_ab],
            "G_B": [self.generator_ba],
            "D_A": [self.discriminator_b],
            "D_B": [self.discriminator_a],
        }
        load_checked(targets, cleaned)
