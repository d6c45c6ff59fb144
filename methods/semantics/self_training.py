"""Self-training of cluster labels across domains: self-ensembling (French, Mackiewicz, Fisher, "Self-ensembling for
visual domain adaptation", ICLR 2018, arXiv 1706.05208) with the confident hard pseudo-labels of FixMatch (Sohn et al.
2020, arXiv 2001.07685). Ours, not CatS-UDT's: for minutes on a CPU, where VMT and VADA on images fail.

A small classifier of grey images learns the clusters of *altered* source images by cross-entropy. The alterations are
what tells written digits from digits on houses and what a label does not depend on: position, size and slant, dark on
light or light on dark, contrast and shading, blur, noise, and other digits at either side (of the source domain). From
`warm_up` on it also learns, on altered target images, what its own moving average says of the unaltered ones, where
that is sure enough. The average is the result. No label of either domain is used.

Traps: both domains' images stand in one batch, so that batch norm has one set of statistics and one h serves both.
The average's batch statistics are averaged, too.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from methods.base import Phase, Stage, digest
from methods.parts.checks import require
from methods.parts.losses import wide
from methods.semantics.classifiers import classifier_inputs


@dataclass(frozen=True)
class Warp:
    """Largest amounts of a random affine map, to either side; shifts in halves of the image's side."""

    rotation: float
    """Degrees."""
    scale: tuple[float, float]
    """Smallest and largest magnification."""
    aspect: float
    """Of the logarithm of width over height."""
    shear: float
    """Degrees, along x."""
    shift: tuple[float, float]
    """Along x and y."""


@dataclass(frozen=True)
class SelfTrainingConfig:
    """Settings."""

    width: int = 16
    """Channels at full resolution; twice and four times as many after each pooling."""
    steps: int = 1500
    """Training iterations."""
    batch_size: int = 64
    """Items per domain and iteration."""
    learning_rate: float = 2e-3
    """Adam; warmed up over 50 steps, cosine to 0."""
    weight_decay: float = 1e-4
    """L2, added to the gradient."""
    ema_decay: float = 0.99
    """Decay of the average, less in the first steps."""
    lambda_target: float = 1.0
    """Weight of the average's labels on target images."""
    confidence: float = 0.8
    """Target images count whose largest probability is at least this."""
    warm_up: float = 0.2
    """Share of the steps before target images count."""
    unaltered: float = 0.15
    """Share of the source images that stay as they are."""
    invert: float = 0.5
    """Share of the images whose light and dark are exchanged."""
    scale: tuple[float, float] = (0.9, 1.4)
    """Magnification of source images."""
    neighbours: float = 0.5
    """Probability of another source image at the left, and at the right."""
    distance: tuple[float, float] = (0.75, 1.15)
    """How far away, in halves of the image's side."""
    noise: float = 0.08
    """Largest standard deviation of the noise in source images."""
    shading: float = 0.3
    """Largest slope of the light, each way."""
    erase: int = 2
    """A square of 2 erase + 1 pixels is blanked in target images."""

    def __post_init__(self) -> None:
        shares = ("ema_decay", "confidence", "warm_up", "unaltered", "invert", "neighbours")
        rules = {f"{name} in [0, 1]": 0 <= getattr(self, name) <= 1 for name in shares}
        rules |= {f"{name} >= 1": getattr(self, name) >= 1 for name in ("width", "steps")}
        rules |= {f"{name} >= 0": getattr(self, name) >= 0 for name in ("lambda_target", "noise", "shading", "erase")}
        rules["batch_size >= 2"] = self.batch_size >= 2
        rules["scale 0 < smallest <= largest"] = 0 < self.scale[0] <= self.scale[1]
        require("self-training", rules)


def grey(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W)."""
    return torch.einsum("j,bjhw->bhw", x.new_tensor((0.299, 0.587, 0.114)), x)[:, None]


def standardise_images(x: Tensor) -> Tensor:
    """Each image with mean 0 and deviation 1."""
    return (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1e-2)


class GreyClassifier(nn.Module):
    """Six 3x3 convolutions, two poolings, a mean, a linear layer: (B, 3, H, W) in [0, 1] -> logits (B, K)."""

    def __init__(self, clusters: int, width: int) -> None:
        super().__init__()
        widths = (1, width, width, 2 * width, 2 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        for index, (i, o) in enumerate(pairwise(widths)):
            layers += [nn.MaxPool2d(2)] if index in (2, 4) else []
            layers += [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.1)]
        self.features = nn.Sequential(*layers)
        self.logits = nn.Linear(widths[-1], clusters)

    def of_grey(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) of any range -> (B, K)."""
        return self.logits(self.features(standardise_images(x)).mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, K)."""
        return self.of_grey(grey(x))


class Draw:
    """Uniform draws, one for each image."""

    def __init__(self, like: Tensor, rng: torch.Generator) -> None:
        self.like, self.rng = like, rng

    def __call__(self, low: float, high: float) -> Tensor:
        """(B,)."""
        return (torch.rand(len(self.like), generator=self.rng) * (high - low) + low).to(self.like)

    def column(self, low: float, high: float) -> Tensor:
        """(B, 1, 1, 1)."""
        return self(low, high)[:, None, None, None]

    def noise(self) -> Tensor:
        """Standard normal, as the images."""
        return torch.randn(self.like.shape, generator=self.rng).to(self.like)

    def sign(self, inverted: float) -> Tensor:
        """(B, 1, 1, 1): -1 with the probability `inverted`, else 1."""
        return 1 - 2 * (self.column(0, 1) < inverted).to(self.like)

    def affine(self, warp: Warp) -> Tensor:
        """(B, 2, 3): from places in the result to places in the image."""
        turn = torch.deg2rad(self(-warp.rotation, warp.rotation))
        size, slant = self(*warp.scale), torch.deg2rad(self(-warp.shear, warp.shear)).tan()
        aspect = (0.5 * self(-warp.aspect, warp.aspect)).exp()
        x, y = self(-warp.shift[0], warp.shift[0]), self(-warp.shift[1], warp.shift[1])
        c, s, across, down = turn.cos(), turn.sin(), size * aspect, size / aspect
        rows = [(c + slant * s) / across, (s + slant * c) / across, x, -s / down, c / down, y]
        return torch.stack(rows, dim=1).reshape(-1, 2, 3)


def warp_images(x: Tensor, affine: Tensor, padding: str) -> Tensor:
    """`x` (B, C, H, W) read bilinearly at `affine` (B, 2, 3)."""
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode=padding, align_corners=False)


def as_on_a_house(x: Tensor, c: SelfTrainingConfig, rng: torch.Generator) -> Tensor:
    """Light digits on dark ground (B, 1, S, S) in [0, 1] -> as they might look on a house; of any range."""
    draw = Draw(x, rng)
    affine = draw.affine(Warp(10.0, c.scale, 0.3, 15.0, (0.15, 0.1)))
    seen = warp_images(x, affine, "zeros")
    for side in (-1, 1):
        beside = affine.clone()
        beside[:, 0, 2] -= side * draw(*c.distance)
        other = warp_images(x[torch.randperm(len(x), generator=rng).to(x.device)], beside, "zeros")
        seen = torch.maximum(seen, other * (draw.column(0, 1) < c.neighbours))
    kernel = x.new_tensor((0.25, 0.5, 0.25))
    blurred = F.conv2d(F.pad(seen, (1, 1, 1, 1), mode="replicate"), (kernel[:, None] * kernel)[None, None])
    seen = seen.lerp(blurred, draw.column(0, 1))
    ramp = torch.linspace(-1, 1, x.shape[-1], device=x.device)
    shade = draw.column(-1, 1) * ramp[:, None] + draw.column(-1, 1) * ramp
    contrast = draw.column(0.4, 1.0) if c.shading > 0 else 1.0
    seen = seen * contrast + c.shading * shade + draw.noise() * draw.column(0, c.noise)
    return seen * draw.sign(c.invert)


def altered(x: Tensor, c: SelfTrainingConfig, rng: torch.Generator) -> Tensor:
    """Target images (B, 1, S, S): moved, partly blanked, with noise, light and dark exchanged; of any range."""
    draw = Draw(x, rng)
    seen = warp_images(x, draw.affine(Warp(10.0, (0.85, 1.15), 0.15, 10.0, (0.1, 0.06))), "reflection")
    side = x.shape[-1]
    if c.erase > 0:
        place = torch.arange(side, device=x.device)
        row, column = (torch.randint(side, (len(x), 1), generator=rng).to(x.device) for _ in range(2))
        hidden = ((place - row).abs() <= c.erase)[:, :, None] & ((place - column).abs() <= c.erase)[:, None]
        seen = torch.where(hidden[:, None], seen.mean((2, 3), keepdim=True), seen)
    return (standardise_images(seen) + draw.noise() * draw.column(0, 0.3)) * draw.sign(c.invert)


class SelfTraining(Stage):
    """Clusters of source images brought to target images; its result is `classifier`."""

    name = "adaptation"
    version = 2  # 1 kept the steps done beside its weights

    def __init__(
        self, config: SelfTrainingConfig, source: Tensor, target: Tensor, source_clusters: Tensor, clusters: int
    ) -> None:
        """Images uint8 (N, 3, S, S); `source_clusters` int64 (N,)."""
        super().__init__()
        require("self-training", {"one cluster per source image": len(source) == len(source_clusters)})
        self.config, self.steps, self.clusters = config, config.steps, clusters
        self.source, self.target, self.source_clusters = source, target, source_clusters.to(source.device)
        self.student = GreyClassifier(clusters, config.width)
        self.classifier = copy.deepcopy(self.student).requires_grad_(False)
        self.optimizers["student"] = Adam(
            self.student.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay
        )
        # The steps done stand in the optimiser: there they are stored, and reading them does not wait for a device.
        self.optimizers["student"].param_groups[0]["done"] = 0

    def identity(self) -> dict[str, Any]:
        """Settings, number of clusters, and what is trained on."""
        config = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self.config).items()}
        return {
            "kind": "self-training", "config": config, "clusters": self.clusters,
            "source": digest(self.source)[:16], "target": digest(self.target)[:16],
            "source_clusters": digest(self.source_clusters),
        }  # fmt: skip

    def training_step(self, batch: torch.Generator) -> Iterator[Phase]:
        """One step of the student on both domains."""
        (group,), c, size = self.optimizers["student"].param_groups, self.config, (self.config.batch_size,)
        step = group["done"]
        group["lr"] = c.learning_rate * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        rows = torch.randint(len(self.source), size, generator=batch).to(self.source.device)
        others = torch.randint(len(self.target), size, generator=batch).to(self.source.device)
        with torch.autocast(self.source.device.type, enabled=False):  # images stay as precise as they came
            source, target = grey(classifier_inputs(self.source[rows])), grey(classifier_inputs(self.target[others]))
            kept = (torch.rand(size, generator=batch) < c.unaltered).to(source.device)[:, None, None, None]
            shown = torch.where(kept, source, as_on_a_house(source, c, batch))
            shown_and_altered = torch.cat([shown, altered(target, c, batch)])
        on_source, on_target = self.student.of_grey(shown_and_altered).chunk(2)
        losses = {"source": F.cross_entropy(wide(on_source), self.source_clusters[rows])}
        if step >= c.warm_up * self.steps:
            self.classifier.eval()
            with torch.no_grad():
                sure, labels = wide(self.classifier.of_grey(target)).softmax(dim=1).max(dim=1)
            each = F.cross_entropy(wide(on_target), labels, reduction="none")
            losses["target"] = c.lambda_target * (each * (sure >= c.confidence)).mean()
        yield Phase(trains=("student",), losses=losses)

    @torch.no_grad()
    def update_ema(self) -> None:
        """The average, batch norm's statistics included."""
        (group,) = self.optimizers["student"].param_groups
        group["done"] += 1
        decay = min(self.config.ema_decay, group["done"] / (group["done"] + 9))
        live = self.student.state_dict()
        for name, average in self.classifier.state_dict().items():
            if average.is_floating_point():
                average.lerp_(live[name], 1 - decay)
