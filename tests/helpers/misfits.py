"""A small method that keeps the contract, and others that break it in one way each. No import of the harness here."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from methods.base import BOTH, Context, Direction, Domains, Noise, Phase, Progress, Style, Translator
from methods.parts.global_draws import draw_seed, global_draws


@dataclass(frozen=True)
class FitConfig:
    """Settings."""

    batch_size: int = 4
    """Images per domain and step."""


@dataclass(frozen=True)
class FitBatch:
    """Inputs."""

    x: Tensor
    y: Tensor
    z: Tensor


class Fit(Translator):
    """Adds a learned colour, which depends on the noise and on the target domain."""

    Config: type = FitConfig
    style_sources = ("noise",)
    noise_dim = 2

    def __init__(self, config: FitConfig, image_size: int) -> None:
        super().__init__()
        self.config = config
        self.generator = self.new_generator()
        self.mapping = nn.Linear(3, 3)
        self.discriminator = nn.Conv2d(3, 1, 3)
        for name in self.trained():
            self.optimizers[name] = torch.optim.Adam(getattr(self, name).parameters(), lr=1e-3)
        self.track_ema("generator", "mapping")

    def new_generator(self) -> nn.Module:
        return nn.Conv2d(3, 3, 1)

    def trained(self) -> tuple[str, ...]:
        return ("generator", "mapping", "discriminator")

    @property
    def images_per_step(self) -> int:
        return self.config.batch_size

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> FitBatch:
        x, y = (domains.sample(domain, self.config.batch_size, rng) for domain in (0, 1))
        return FitBatch(x, y, torch.randn(self.config.batch_size, 2, generator=rng))

    def render(self, generator: nn.Module, mapping: nn.Module, x: Tensor, target: int, z: Tensor) -> Tensor:
        colour = mapping(torch.cat([z, torch.full_like(z[:, :1], float(target))], dim=1))
        return torch.tanh(generator(x) + colour[:, :, None, None])

    def training_step(self, batch: FitBatch) -> Iterator[Phase]:
        fake = self.render(self.generator, self.mapping, batch.x, 1, batch.z)
        real = self.discriminator(batch.y).sub(1).square().mean()
        yield Phase(("discriminator",), {"real": real, "fake": self.discriminator(fake.detach()).square().mean()})
        fake = self.render(self.generator, self.mapping, batch.x, 1, batch.z)
        yield Phase(("generator", "mapping"), {"adv": self.discriminator(fake).sub(1).square().mean()})

    def learning_rates(self, progress: Progress) -> Mapping[str, float]:
        return dict.fromkeys(self.optimizers, 1e-2)

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        self.check_style(style)
        assert isinstance(style, Noise)
        return self.render(self.ema["generator"], self.ema["mapping"], x, target, style.z)


class Normalised(Fit):
    """Keeps the contract, too: its BatchNorm has running statistics, which translations use and never change."""

    def new_generator(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))


# ------------------------------------------------------------------------------------------- the class, its settings


@dataclass
class ThawedConfig:
    """Settings that anybody may change."""

    batch_size: int = 4
    """Images per domain and step."""


class Thawed(Fit):
    Config = ThawedConfig


@dataclass(frozen=True)
class SilentConfig:
    """Settings of which one is not explained."""

    batch_size: int = 4


class Silent(Fit):
    Config = SilentConfig


class Looking(Fit):
    """Keeps the contract, but its constructor looks at a number, which the meta device does not have."""

    def __init__(self, config: FitConfig, image_size: int) -> None:
        super().__init__(config, image_size)
        self.scale = float(self.mapping.weight.detach().abs().max().clamp(max=0.0))


class Misquoted(Fit):
    quick: Mapping[str, object] = {"batchsize": 2}


class Halved(Fit):
    """Counts more images than it takes."""

    @property
    def images_per_step(self) -> int:
        return 2 * self.config.batch_size


class Single(Fit):
    """Keeps the contract, and computes in float32 whatever its weights are."""

    def render(self, generator: nn.Module, mapping: nn.Module, x: Tensor, target: int, z: Tensor) -> Tensor:
        return super().render(generator, mapping, x.float(), target, z.float())


# ----------------------------------------------------------------------------------------------------- directions


class OneDirection(Fit):
    """Keeps the contract: it has a colour for each direction that the task scores, and for no other."""

    def __init__(self, config: FitConfig, image_size: int, directions: tuple[Direction, ...] = BOTH) -> None:
        super().__init__(config, image_size)
        self.directions = directions

    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        if (source, target) not in self.directions:
            raise KeyError((source, target))
        return super().translate(x, source, target, style)


class Forth(Fit):
    """Keeps the contract: it translates 0 -> 1 alone, whatever the task scores."""

    directions = ((0, 1),)

    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        assert (source, target) == (0, 1)
        return super().translate(x, source, target, style)


class Unbuilt(Fit):
    """Cannot be built anywhere."""

    def __init__(self, config: FitConfig, image_size: int) -> None:
        raise RuntimeError("no driver")


class Sideways(Fit):
    """Translates a domain into itself."""

    directions = ((0, 0),)


class Stubborn(OneDirection):
    """Says that it serves what it is told, and has nothing for 1 -> 0."""

    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        y = super().translate(x, source, target, style)
        return torch.zeros_like(y) if self.directions == ((1, 0),) else y


# ------------------------------------------------------------------------------------------------- inputs of a step


@dataclass(frozen=True)
class SeededBatch(FitBatch):
    """Inputs, with the seed of what somebody's code draws in the step."""

    seed: Tensor


class Bridged(Fit):
    """Keeps the contract, though its step draws from numpy's and torch's global generators, led by `global_draws`."""

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> SeededBatch:
        with global_draws(rng):
            z = torch.randn(self.config.batch_size, 2) * random.random()
        return SeededBatch(*(domains.sample(d, self.config.batch_size, rng) for d in (0, 1)), z, draw_seed(rng))

    def training_step(self, batch: SeededBatch) -> Iterator[Phase]:
        with global_draws(batch.seed):
            x = torch.dropout(batch.x, 0.5, True) * float(np.random.uniform(0.5, 1))  # noqa: NPY002
        yield from super().training_step(replace(batch, x=x))


class Clipped(Fit):
    """Keeps the contract: weights are clipped after each step, by the optimiser itself."""

    def __init__(self, config: FitConfig, image_size: int) -> None:
        super().__init__(config, image_size)
        for name, optimizer in self.optimizers.items():
            optimizer.register_step_post_hook(partial(self._clip, name))

    @torch.no_grad()
    def _clip(self, name: str, *_: object) -> None:
        for weight in getattr(self, name).parameters():
            weight.clamp_(-0.1, 0.1)


class GlobalDraw(Fit):
    """Forgets `generator=rng`."""

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> FitBatch:
        return replace(super().draw(domains, rng, progress), z=torch.randn(self.config.batch_size, 2))


class NumpyStep(Fit):
    """Draws in the step, from numpy's global generator."""

    def training_step(self, batch: FitBatch) -> Iterator[Phase]:
        shift = np.random.uniform(-1, 1)  # noqa: NPY002
        yield from super().training_step(replace(batch, x=batch.x * shift))


class Vandal(Fit):
    """Augments the stored images in place."""

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> FitBatch:
        domains.images[0].copy_(domains.images[0].flip(3))
        return super().draw(domains, rng, progress)


# ------------------------------------------------------------------------------------------------- phases and state


class Unnamed(Fit):
    """Has an optimiser for `mapping` and no phase that steps it."""

    def training_step(self, batch: FitBatch) -> Iterator[Phase]:
        for phase in super().training_step(batch):
            yield replace(phase, trains=tuple(name for name in phase.trains if name != "mapping"))


class Detached(Fit):
    """The mapping's gradients are cut off."""

    def render(self, generator: nn.Module, mapping: nn.Module, x: Tensor, target: int, z: Tensor) -> Tensor:
        colour = mapping(torch.cat([z, torch.full_like(z[:, :1], float(target))], dim=1))
        return torch.tanh(generator(x) + colour.detach()[:, :, None, None] + 0 * colour.sum())


class Unrated(Fit):
    def learning_rates(self, progress: Progress) -> Mapping[str, float]:
        return {"generator": 1e-3, "discriminator": 1e-3}


class OwnOptimizer(Fit):
    """Steps the mapping with an Adam that the harness does not know."""

    def __init__(self, config: FitConfig, image_size: int) -> None:
        super().__init__(config, image_size)
        self.second = torch.optim.Adam(self.mapping.parameters(), lr=1e-2)

    def training_step(self, batch: FitBatch) -> Iterator[Phase]:
        yield from super().training_step(batch)
        self.second.step()


class Meddler(Fit):
    """Clips the weights of the discriminator by itself."""

    def training_step(self, batch: FitBatch) -> Iterator[Phase]:
        with torch.no_grad():
            for p in self.discriminator.parameters():
                p.clamp_(-0.01, 0.01)
        yield from super().training_step(batch)


class Counter(Fit):
    """Weighs a loss by the number of steps, which it counts in a plain attribute."""

    def __init__(self, config: FitConfig, image_size: int) -> None:
        super().__init__(config, image_size)
        self.steps_done = 0

    def training_step(self, batch: FitBatch) -> Iterator[Phase]:
        for phase in super().training_step(batch):
            yield replace(phase, losses={name: loss / (1 + self.steps_done) for name, loss in phase.losses.items()})
        self.steps_done += 1


class Stumbler(Fit):
    """Raises at step 3."""

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> FitBatch:
        if progress.step == 3:
            raise ZeroDivisionError("a bug in somebody's method")
        return super().draw(domains, rng, progress)


class Exploding(Fit):
    def training_step(self, batch: FitBatch) -> Iterator[Phase]:
        yield from super().training_step(replace(batch, x=batch.x / 0))


# ---------------------------------------------------------------------------------------------------------- labels


def stolen_labels(domains: Domains) -> list[np.ndarray]:
    """The labels of each domain's images, from whatever the garbage collector knows that holds these images."""
    splits = [thing for thing in gc.get_objects() if type(thing).__name__ == "Split"]
    return [
        next(split.labels for split in splits if np.array_equal(split.images, images.numpy()))
        for images in domains.images
    ]


class Thief(Fit):
    """Walks to the data and trains on one class."""

    def prepare(self, domains: Domains, context: Context) -> None:
        self.rows = [torch.from_numpy(np.flatnonzero(labels == 0)) for labels in stolen_labels(domains)]

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> FitBatch:
        own = Domains((domains.images[0][self.rows[0]], domains.images[1][self.rows[1]]))
        return super().draw(own, rng, progress)


class Hoarder(Fit):
    """Walks to the data and keeps the labels for later."""

    def prepare(self, domains: Domains, context: Context) -> None:
        self.kept = {"notes": [np.array(labels) + 7 for labels in stolen_labels(domains)]}


# ------------------------------------------------------------------------------------------------------- inference


class BatchStatistics(Fit):
    """Normalises over the batch, also in eval mode."""

    def new_generator(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))


class Positional(Fit):
    """Gives each row a style of its own."""

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        return super().translate(x + 0.1 * torch.arange(len(x))[:, None, None, None], source, target, style)


class Coarse(Fit):
    """As good as its type: its rows change by 1000 roundings with the size of the batch."""

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        return super().translate(x + 1_000 * torch.finfo(x.dtype).eps * len(x), source, target, style)


class Leaky(Fit):
    """Adds a little of the batch's mean."""

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        return super().translate(x + 2e-3 * x.mean(), source, target, style)


class Loud(Fit):
    """Forgets the clamp."""

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        return 3 * super().translate(x, source, target, style)


class Deaf(Fit):
    """Declares noise and does not use it."""

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        self.check_style(style)
        assert isinstance(style, Noise)
        return super().translate(x, source, target, Noise(torch.zeros_like(style.z)))


class Dropping(Fit):
    """Draws while it translates."""

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        with torch.random.fork_rng():
            return super().translate(nn.functional.dropout(x, 0.1), source, target, style)


class Remembering(Fit):
    """Counts its translations in a buffer."""

    def __init__(self, config: FitConfig, image_size: int) -> None:
        super().__init__(config, image_size)
        self.register_buffer("calls", torch.zeros(1))

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        self.calls.add_(1)  # type: ignore[operator]
        return super().translate(x, source, target, style)


class OneWay(Fit):
    """Does not look at the target domain."""

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        return super().translate(x, source, 1, style)


class Lenient(Fit):
    """Takes any style."""

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        return super().translate(
            x, source, target, style if isinstance(style, Noise) else Noise(torch.zeros(len(x), 2))
        )


class Forgetful(Fit):
    """What `prepare` has learned is in no state."""

    mean = 0.0

    def prepare(self, domains: Domains, context: Context) -> None:
        self.mean = float(domains.images[1].float().mean()) / 255

    @torch.no_grad()
    def translate(self, x: Tensor, source: int, target: int, style: Style) -> Tensor:
        return super().translate(x * self.mean, source, target, style)
