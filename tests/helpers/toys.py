"""Small translators that misbehave in one known way; also the other people's methods of the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.base import Domains, Noise, Phase, Progress, Style, Translator


@dataclass(frozen=True)
class ToyConfig:
    """Settings."""

    batch_size: int = 4
    """Images per step."""
    fault: str = ""
    """`nan`, `collapse`, `zero`, `raise`, `memory` or none."""
    fault_step: int = 3
    """From which step on."""


@dataclass(frozen=True)
class ToyBatch:
    """Inputs."""

    x: Tensor
    step: int


class Toy(Translator):
    """Adds a learned colour and a little of the noise to every pixel."""

    Config = ToyConfig
    style_sources = ("noise", "exemplar")
    noise_dim = 3
    quick: Mapping[str, object] = {"batch_size": 2}

    def __init__(self, config: ToyConfig, image_size: int) -> None:
        super().__init__()
        self.config = config
        self.generator = nn.Conv2d(3, 3, 1)
        self.discriminator = nn.Conv2d(3, 1, 1)
        for name in ("generator", "discriminator"):
            self.optimizers[name] = torch.optim.Adam(getattr(self, name).parameters(), lr=1e-3)
        self.track_ema("generator")

    @property
    def images_per_step(self) -> int:
        return self.config.batch_size

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> ToyBatch:
        return ToyBatch(domains.sample(0, self.config.batch_size, rng), progress.step)

    def training_step(self, batch: ToyBatch) -> Iterator[Phase]:
        fault = self.config.fault if batch.step >= self.config.fault_step else ""
        if fault == "raise":
            raise RuntimeError("a bug in somebody's method")
        if fault == "memory":
            torch.ones(1 << 44)  # 64 TB
        loss = self.discriminator(batch.x).square().mean()
        yield Phase(
            ("discriminator",), {"real": loss * (0.0 if fault == "zero" else 1.0) + (0 if fault == "zero" else 1)}
        )
        loss = (self.generator(batch.x) - batch.x).square().mean()
        yield Phase(("generator",), {"adv": loss * (float("nan") if fault == "nan" else 1.0)})

    def learning_rates(self, progress: Progress) -> Mapping[str, float]:
        return {"generator": 1e-3 * (1 - progress.fraction), "discriminator": 1e-3}

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        self.check_style(style)
        if self.config.fault == "collapse":
            return torch.zeros_like(x)
        shift = style.z if isinstance(style, Noise) else style.image.mean((2, 3))  # type: ignore[union-attr]
        return (self.ema["generator"](x) + 0.2 * shift[:, :, None, None]).clamp(-1, 1)
