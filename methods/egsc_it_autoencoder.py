"""EGSC-IT's networks, and its first stage: an autoencoder for each domain (see methods/egsc_it.py).

The networks of both stages are the same ones. Layers bear the names of the original's variables, so that a checkpoint's
keys are translated mechanically.

Traps: no normalisation outside the discriminator; ReLU inside residual blocks, leaky ReLU elsewhere, nothing after a
residual sum; a transposed convolution is aligned as TensorFlow's "same": padding 0, and the last row and column cut off
(torch's padding 1 with output padding 1 is one pixel beside it); the discriminator's activations are doubled, and its
score passes a leaky ReLU, too; it pads odd sizes at the right and the bottom.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from methods.base import Domains, Phase, Stage
from methods.parts.augment import random_flip, random_resized_crop
from methods.parts.kernels import InstanceNorm
from methods.parts.layers import SLOPE, truncated_normal_
from methods.parts.losses import l1_loss, least_squares_loss, wide
from methods.parts.settings import stored_settings

RESIDUAL_BLOCKS = 3
"""Residual blocks in an encoder, and in a generator."""
DECAY = 0.9
"""Exponent of the learning rate's decay."""


# -------------------------------------------------------------------------------------------------- networks


class Convolution(nn.Conv2d):
    """Reflection padding that keeps H / stride, convolution, leaky ReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(c_in, c_out, kernel, stride, padding=kernel // 2, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H / stride, W / stride), rounded up."""
        return F.leaky_relu(super().forward(x), SLOPE)


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions with reflection padding and a ReLU between them, (B, C, H, W) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.res1 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.res2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same."""
        return x + self.res2(F.relu(self.res1(x)))


class Deconvolution(nn.ConvTranspose2d):
    """Transposed 3x3 convolution of stride 2, aligned as TensorFlow's "same", leaky ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 3, stride=2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, 2H, 2W)."""
        return F.leaky_relu(super().forward(x, output_size)[..., :-1, :-1], SLOPE)


def autoencoder_blocks(channels: int, count: int = 1) -> nn.Sequential:
    """`count` residual blocks, (B, channels, h, w) -> same; one of them is a shared encoder, or a shared generator."""
    return nn.Sequential(OrderedDict((f"resblock_{i}", ResidualBlock(channels)) for i in range(count)))


def encoder_of_autoencoder(width: int, stages: int) -> nn.Sequential:
    """(B, 3, H, W) in [-1, 1] -> (B, C, H / 2^(stages - 1), ...) with C = width * 2^(stages - 1)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv_0=Convolution(3, width, 7))
    for i in range(1, stages):
        layers[f"conv_{i}"] = Convolution(width * 2 ** (i - 1), width * 2**i, 3, stride=2)
    layers.update(autoencoder_blocks(width * 2 ** (stages - 1), RESIDUAL_BLOCKS).named_children())
    return nn.Sequential(layers)


def generator_of_autoencoder(width: int, stages: int) -> nn.Sequential:
    """The inverse shapes: (B, C, h, w) -> (B, 3, H, W) in (-1, 1)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers.update(autoencoder_blocks(width * 2 ** (stages - 1), RESIDUAL_BLOCKS).named_children())
    for i in range(stages - 1):
        channels = width * 2 ** (stages - 1 - i)
        layers[f"deconv_{i}"] = Deconvolution(channels, channels // 2)
    layers["deconv_tanh"] = nn.ConvTranspose2d(width, 3, 1)
    layers["tanh"] = nn.Tanh()
    return nn.Sequential(layers)


class Discriminator(nn.Module):
    """(B, 3, H, W) -> map (B, 1, h, w) of scores, one per patch; h = H / 2^layers, rounded up."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = layers
        channels = [3, *(width * 2**i for i in range(layers))]
        for i in range(layers):
            self.add_module(f"conv_{i}", nn.Conv2d(channels[i], channels[i + 1], 4, stride=2, padding=1))
            if i > 0:
                self.add_module(f"ins_norm_{i}", InstanceNorm(channels[i + 1], affine=True))
        self.dis_logit = nn.Conv2d(channels[-1], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """256 px and 4 layers: 16x16; 28 px: 14, 7, 4, 2."""
        for i in range(self.layers):
            height, width = x.shape[2:]
            x = F.pad(x, (0, width % 2, 0, height % 2))  # the rest of "same" is the convolution's own padding
            x = F.leaky_relu(self.get_submodule(f"conv_{i}")(x), SLOPE)
            if i > 0:
                x = self.get_submodule(f"ins_norm_{i}")(x)
            x = F.leaky_relu(x, SLOPE)
        return F.leaky_relu(self.dis_logit(x), SLOPE)


def initialise_autoencoder(module: nn.Module, std: float) -> None:
    """Normal(0, std) weights cut off at two standard deviations, in discriminators Xavier's; zero biases."""
    of_discriminators = {
        id(part) for judge in module.modules() if isinstance(judge, Discriminator) for part in judge.modules()
    }
    for part in module.modules():
        if not isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            continue
        if id(part) in of_discriminators:
            nn.init.xavier_uniform_(part.weight)
        else:
            truncated_normal_(part.weight, std)
        assert part.bias is not None
        nn.init.zeros_(part.bias)


class Autoencoder(nn.Module):
    """One domain's: encoder ("part1"), residual block, noise, residual block, generator."""

    def __init__(self, width: int, stages: int) -> None:
        super().__init__()
        channels = width * 2 ** (stages - 1)
        self.encoder = encoder_of_autoencoder(width, stages)
        self.inner, self.outer = autoencoder_blocks(channels), autoencoder_blocks(channels)
        self.generator = generator_of_autoencoder(width, stages)

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [-1, 1], noise of the latent's shape -> reconstruction, noisy latent (B, C, h, w)."""
        h = self.inner(self.encoder(x)) + noise
        return self.generator(self.outer(h)), h


# ------------------------------------------------------------------------------- the original's checkpoints


LAYERS = ("conv2d", "conv2d_transpose")
"""Parts of a variable's name that name no module of ours."""
PARAMETERS = {
    "kernel": "weight", "weights": "weight", "gamma": "weight", "bias": "bias", "biases": "bias", "beta": "bias",
}  # fmt: skip
"""Last part of a variable's name -> our parameter."""
NOT_WEIGHTS = ("Adam", "beta1_power", "beta2_power", "global_step")
"""Beginnings of that part for the optimisers' variables."""


def autoencoder_from_tensorflow(
    variables: Mapping[str, Tensor], scopes: Collection[str]
) -> dict[str, dict[str, Tensor]]:
    """A checkpoint's variables as state dicts of our networks, by scope; one of an unknown scope stays under its name.

    Optimiser slots and counters are left out.
    """
    states: dict[str, dict[str, Tensor]] = {scope: {} for scope in scopes}
    for name, value in variables.items():
        scope = next((scope for scope in scopes if name.startswith(f"{scope}/")), name)
        *modules, last = name[len(scope) + 1 :].split("/")
        if name.rpartition("/")[2].startswith(NOT_WEIGHTS):
            continue
        key = ".".join([part for part in modules if part not in LAYERS] + [PARAMETERS.get(last, last)])
        # (kh, kw, in, out) of a convolution, (kh, kw, out, in) of a transposed one: in torch's order by the same turn.
        states.setdefault(scope, {})[key] = value.permute(3, 2, 0, 1) if value.ndim == 4 else value
    return states


# --------------------------------------------------------------------------------------- what both stages do


def autoencoder_latent_shape(width: int, stages: int, image_size: int) -> tuple[int, int, int]:
    """(C, h, w) of an encoder's output for a square image."""
    factor = 2 ** (stages - 1)
    return width * factor, image_size // factor, image_size // factor


def autoencoder_images(
    domains: Domains, domain: int, count: int, rng: torch.Generator, crop_probability: float, flip: bool
) -> Tensor:
    """Augmented images of one domain: (count, 3, H, W) in [-1, 1]. Crops have 80 to 100 % of each side."""
    images = domains.sample(domain, count, rng)
    if crop_probability > 0:
        images = random_resized_crop(images, crop_probability, rng, scale=(0.8**2, 1.0), ratio=(1.0, 1.0))
    return random_flip(images, rng) if flip else images


def autoencoder_discriminator_losses(
    network: nn.Module, real: Tensor, fake: Tensor, weight: float, domain: str
) -> dict[str, Tensor]:
    """weight * 0.5 [(D(real) - 1)^2 + D(fake)^2], the halves apart for the log. (B, 3, H, W) each."""
    on_real, on_fake = network(torch.cat([real, fake])).chunk(2)  # one pass: instance norm keeps rows apart
    return {
        f"real_{domain}": 0.5 * weight * least_squares_loss(on_real, 1.0),
        f"fake_{domain}": 0.5 * weight * least_squares_loss(on_fake, 0.0),
    }


def decayed_autoencoder_rate(rate: float, fraction: float) -> float:
    """Learning rate after `fraction` of the training: falls to 0."""
    return rate * (1.0 - fraction) ** DECAY


# --------------------------------------------------------------------------------------------------- stage 1


@dataclass(frozen=True)
class AutoencoderConfig:
    """Settings that stage 1 depends on; each field is EGSC-IT's setting of that name."""

    width: int
    stages: int
    discriminator_width: int
    discriminator_layers: int
    lambda_adv: float
    lambda_rec: float
    lambda_latent: float
    init_std: float
    learning_rate: float
    betas: tuple[float, float]
    batch_size: int
    autoencoder_steps: int
    crop_probability: float
    flip: bool


class Autoencoders(Stage):
    """Stage 1: a VAE-GAN for each domain, both in one training. The encoders are what the translator takes."""

    name = "vaegan"

    def __init__(self, config: AutoencoderConfig, domains: Domains) -> None:
        """`domains`: square images of a size that EGSC-IT has checked."""
        super().__init__()
        self.config, self.domains, self.steps = config, domains, config.autoencoder_steps
        self.latent = autoencoder_latent_shape(config.width, config.stages, domains.images[0].shape[-1])
        self.autoencoder_a = Autoencoder(config.width, config.stages)
        self.autoencoder_b = Autoencoder(config.width, config.stages)
        self.discriminator_a = Discriminator(config.discriminator_width, config.discriminator_layers)
        self.discriminator_b = Discriminator(config.discriminator_width, config.discriminator_layers)
        initialise_autoencoder(self, config.init_std)
        for name, network in self.named_children():
            self.optimizers[name] = Adam(network.parameters(), lr=config.learning_rate, betas=config.betas, fused=True)
            # The steps done stand in the optimiser: there they are stored, and reading them does not wait for a device.
            self.optimizers[name].param_groups[0]["done"] = 0

    def identity(self) -> dict[str, Any]:
        """The settings; both domains' training images are used."""
        return stored_settings(self.config)

    def training_step(self, batch: torch.Generator) -> Iterator[Phase]:
        """Both discriminators, then both autoencoders, on images of their own."""
        self._set_learning_rate()
        c = self.config
        a, b, noise_a, noise_b = self._minibatch(batch)
        rec_a, rec_b = self._reconstructions(a, b, noise_a, noise_b)
        yield Phase(
            trains=("discriminator_a", "discriminator_b"),
            losses={
                **autoencoder_discriminator_losses(self.discriminator_a, a, rec_a, c.lambda_adv, "a"),
                **autoencoder_discriminator_losses(self.discriminator_b, b, rec_b, c.lambda_adv, "b"),
            },
        )
        a, b, noise_a, noise_b = self._minibatch(batch)
        yield Phase(
            trains=("autoencoder_a", "autoencoder_b"),
            losses={
                **self._losses(self.autoencoder_a, self.discriminator_a, a, noise_a, "a"),
                **self._losses(self.autoencoder_b, self.discriminator_b, b, noise_b, "b"),
            },
        )

    def _set_learning_rate(self) -> None:
        for optimizer in self.optimizers.values():
            (group,) = optimizer.param_groups
            group["lr"] = decayed_autoencoder_rate(self.config.learning_rate, group["done"] / self.steps)
            group["done"] += 1

    def _minibatch(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images (B, 3, H, W) in [-1, 1] of either domain, and latent noise (B, C, h, w) for either."""
        c, device = self.config, self.domains.device
        with torch.autocast(device.type, enabled=False):  # pixels keep their precision
            a, b = (autoencoder_images(self.domains, d, c.batch_size, rng, c.crop_probability, c.flip) for d in (0, 1))
        noise_a, noise_b = torch.randn(2, c.batch_size, *self.latent, generator=rng).to(device)
        return a, b, noise_a, noise_b

    @torch.no_grad()
    def _reconstructions(self, a: Tensor, b: Tensor, noise_a: Tensor, noise_b: Tensor) -> tuple[Tensor, Tensor]:
        """Images that the discriminators are shown."""
        return self.autoencoder_a(a, noise_a)[0], self.autoencoder_b(b, noise_b)[0]

    def _losses(
        self, autoencoder: nn.Module, discriminator: nn.Module, x: Tensor, noise: Tensor, domain: str
    ) -> dict[str, Tensor]:
        """Adversarial, reconstruction, and the (noisy) latent's distance from 0, of one domain."""
        c = self.config
        reconstruction, h = autoencoder(x, noise)
        return {
            f"adv_{domain}": c.lambda_adv * least_squares_loss(discriminator(reconstruction), 1.0),
            f"rec_{domain}": c.lambda_rec * l1_loss(reconstruction, x),
            f"latent_{domain}": c.lambda_latent * wide(h).square().mean(),
        }
