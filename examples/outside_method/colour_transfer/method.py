"""Colour transfer, the documented example of a method outside udt-bench.

An image is given the colours of the other domain by an affine map of RGB. A small network predicts the map from the
image's own colours, the target domain and noise; a critic looks at every pixel by itself. Shapes stay.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from methods.base import Domains, Noise, Phase, Progress, Style, Translator

PIXELS = 8  # side of the reduced images in which colours are compared


@dataclass(frozen=True)  # frozen, with a default and a line of documentation for every field
class Config:
    """Settings; `--set colour_transfer.width=64` changes one."""

    width: int = 64
    """Hidden units of both networks."""
    noise_dim: int = 4
    """Width of the noise vector."""
    lambda_contrast: float = 2.0
    """Weight of the term that keeps the contrast: without it, one colour for all pixels would do."""
    lambda_diversity: float = 0.2
    """Weight of the term that makes noise matter."""
    learning_rate: float = 5e-3
    """Adam, both networks; falls linearly to 0."""
    batch_size: int = 16
    """Images per domain and step."""


@dataclass(frozen=True)
class Batch:
    """Every input of one iteration: whatever is random is drawn here, and nowhere else."""

    x: Tensor
    """(2, B, 3, H, W) in [-1, 1], by domain."""
    z: Tensor
    """(2, 2, B, noise_dim): two noise vectors for each image, by target domain."""


class ColourTransfer(Translator):
    """Domains are 0 and 1; one network serves both directions."""

    Config = Config
    style_sources = ("noise",)  # what `translate` accepts; () would be a deterministic method
    quick: Mapping[str, object] = {"width": 32}  # settings of the preset `quick`, over the defaults
    ema_decay = 0.98  # of the averaged weights, see `track_ema`

    def __init__(self, config: Config, image_size: int) -> None:
        super().__init__()
        self.config, self.noise_dim, w = config, config.noise_dim, config.width
        self.generator = nn.Sequential(nn.Linear(6 + 1 + config.noise_dim, w), nn.ReLU(), nn.Linear(w, 12))
        self.discriminator = nn.Sequential(  # (B, 3, H, W) -> (B, 2, H, W), a score for each domain
            nn.Conv2d(3, w, 1), nn.LeakyReLU(0.2), nn.Conv2d(w, w, 1), nn.LeakyReLU(0.2), nn.Conv2d(w, 2, 1)
        )
        # The loop steps these, by name. Everything else that must survive a checkpoint is a buffer or a network.
        for name in ("generator", "discriminator"):
            self.optimizers[name] = torch.optim.Adam(getattr(self, name).parameters(), betas=(0.5, 0.99))
        self.track_ema("generator")

    @property
    def images_per_step(self) -> int:
        """Source images per domain and step: budgets are counted in them."""
        return self.config.batch_size

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> Batch:
        """Images of both domains and noise, from `rng` alone."""
        x = torch.stack([domains.sample(domain, self.config.batch_size, rng) for domain in (0, 1)])
        return Batch(x, torch.randn(2, 2, self.config.batch_size, self.noise_dim, generator=rng).to(x.device))

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """First the critic, then the generator. Each `yield` steps the networks that it names."""
        c, x = self.config, [adaptive_avg_pool2d(images, PIXELS) for images in batch.x]
        pairs = [(t, x[1 - t], self._recolour(self.generator, x[1 - t], t, batch.z[t, 0])) for t in (0, 1)]
        losses = {}
        for t, _, fake in pairs:  # t: the target domain
            losses[f"real_{t}"] = (self._score(x[t], t) - 1).square().mean()  # least squares
            losses[f"fake_{t}"] = self._score(fake.detach(), t).square().mean()
        yield Phase(trains=("discriminator",), losses=losses)

        losses = {}
        for t, source, fake in pairs:
            other = self._recolour(self.generator, source, t, batch.z[t, 1])
            losses[f"adv_{t}"] = (self._score(fake, t) - 1).square().mean()
            losses[f"contrast_{t}"] = c.lambda_contrast * (_contrast(fake) - _contrast(source)).abs().mean()
            losses[f"diversity_{t}"] = -c.lambda_diversity * (fake - other).abs().mean().clamp(max=0.5)
        yield Phase(trains=("generator",), losses=losses)

    def learning_rates(self, progress: Progress) -> Mapping[str, float]:
        """A rate for every optimiser; it may depend on how far the training is."""
        return dict.fromkeys(self.optimizers, self.config.learning_rate * (1 - progress.fraction))

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        """Each row by itself; no state changes; (B, 3, H, W) in [-1, 1]."""
        self.check_style(style)
        assert isinstance(style, Noise)
        return self._recolour(self.ema["generator"], x, target, style.z).clamp(-1, 1)

    def _recolour(self, network: nn.Module, x: Tensor, target: int, z: Tensor) -> Tensor:
        pixels = adaptive_avg_pool2d(x, PIXELS).flatten(2)  # (B, 3, P)
        direction = torch.full_like(z[:, :1], 2.0 * target - 1)
        matrix, shift = network(torch.cat([pixels.mean(2), pixels.std(2), direction, z], dim=1)).split((9, 3), dim=1)
        matrix = matrix.view(-1, 3, 3) + torch.eye(3, device=x.device)  # (B, 3, 3): the identity and what is learned
        return torch.einsum("bij,bjhw->bihw", matrix, x) + shift[:, :, None, None]

    def _score(self, x: Tensor, domain: int) -> Tensor:
        return self.discriminator(x)[:, domain].mean((1, 2))  # (B,)


def _contrast(x: Tensor) -> Tensor:
    grey = x.mean(1)  # (B, H, W)
    return (grey - grey.mean((1, 2), keepdim=True)) / (grey.std((1, 2), keepdim=True) + 0.05)
