"""MoCo-v2: features without labels, by telling images apart.

He, Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020 (eq. 1, 2),
and Chen, Fan, Girshick, He, "Improved Baselines with Momentum Contrastive Learning", 2020 (MLP head, stronger
augmentation, cosine schedule). CatS-UDT (eq. 1, 13) takes the encoder that these authors published, trained on
ImageNet: `methods.parts.backbones`. `MoCo` trains one on the task's own images, for where that file is not at hand.

Deliberate differences from the published training:
- minibatches are drawn uniformly with replacement from the union of the domains, not from shuffled epochs;
- "shuffling BN" needs several GPUs. Here the keys are computed in `key_splits` parts of a shuffled batch, each with its
  own batch statistics, and the queries in one; so a query's statistics do not tell which key is its own;
- colour jitter is linear (see `views`), blur is scaled with the image size, crops are bilinear without antialiasing;
- `small` is an encoder for images of 32 to 64 pixels, far narrower than ResNet-50, whose features keep the quarters
  of the image apart;
- the queue is kept as a list, the newest batch first, and not as a ring with a pointer; same set of keys.

Traps: the key networks have no optimiser and no gradient, follow the query networks *before* they make the keys, and
average parameters only (running statistics are their own); the queue gets the keys after the loss is taken; a queue as
long as the data set holds every image's own older keys as negatives, so keep it shorter; features are those before the
head. Jittered hues make features blind to colour: turn `hue` and `grey_probability` down where colour tells classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from methods.base import Phase, Stage, to_model_range
from methods.parts.augment import random_flip, random_resized_crop
from methods.parts.backbones import NORMS, Normalise, ResNet50
from methods.parts.checks import require
from methods.parts.losses import wide
from methods.parts.settings import stored_settings
from methods.semantics.views import random_view_blur, random_view_colours

RATIO = (3 / 4, 4 / 3)
"""Aspect ratios of the crops."""


@dataclass(frozen=True)
class MoCoConfig:
    """Settings; the defaults are those of the published 800-epoch training on ImageNet."""

    encoder: str = "resnet50"
    """`resnet50`, or `small` for images of 32 to 64 pixels."""
    width: int = 16
    """Channels of the first stage of `small`; its features have 32 times as many."""
    norm: str = "imagenet"
    """Mean and standard deviation that the encoder subtracts and divides by: `imagenet` or `none`."""
    projection_dim: int = 128
    """Width of the space in which keys and queries are compared."""
    queue: int = 65_536
    """Number of keys that are negatives: a multiple of batch_size; shorter than the data set."""
    momentum: float = 0.999
    """Share of the old value in the average of the key networks, in [0, 1]."""
    temperature: float = 0.2
    """Divisor of the similarities."""
    learning_rate: float = 0.03
    """SGD, at the start; cosine to 0 over the steps."""
    sgd_momentum: float = 0.9
    """SGD's momentum."""
    weight_decay: float = 1e-4
    """L2, added to the gradient."""
    batch_size: int = 256
    """Images per step, over all domains."""
    steps: int = 4_003_200
    """800 epochs of 5,004 batches."""
    key_splits: int = 8
    """Parts of the batch of keys with batch statistics of their own (published: one per GPU); divides batch_size."""
    crop_area: tuple[float, float] = (0.2, 1.0)
    """Share of the image that a crop shows."""
    jitter_probability: float = 0.8
    """Share of the views whose colours are changed."""
    brightness: float = 0.4
    """Spread of the factor about 1."""
    contrast: float = 0.4
    """Spread of the factor about 1."""
    saturation: float = 0.4
    """Spread of the factor about 1."""
    hue: float = 0.1
    """Largest turn of the hue, as a share of the full circle."""
    grey_probability: float = 0.2
    """Share of the views without colour."""
    blur_probability: float = 0.5
    """Share of the views that are blurred."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Standard deviation of the blur in pixels of a 224-pixel image."""
    flip: bool = True
    """Mirror views left to right with probability 1/2."""

    def __post_init__(self) -> None:
        positive = ("width", "projection_dim", "queue", "temperature", "batch_size", "key_splits")
        at_least_0 = ("steps", "learning_rate", "weight_decay", "brightness", "contrast", "saturation")
        shares = ("momentum", "jitter_probability", "grey_probability", "blur_probability")
        rules = {f"{name} > 0": getattr(self, name) > 0 for name in positive}
        rules |= {f"{name} >= 0": getattr(self, name) >= 0 for name in at_least_0}
        rules |= {f"{name} in [0, 1]": 0 <= getattr(self, name) <= 1 for name in shares}
        rules["sgd_momentum in [0, 1)"] = 0 <= self.sgd_momentum < 1
        rules["hue in [0, 0.5]"] = 0 <= self.hue <= 0.5
        rules["crop_area with 0 < low <= high <= 1"] = 0 < self.crop_area[0] <= self.crop_area[1] <= 1
        rules["blur_sigma with 0 <= low <= high"] = 0 <= self.blur_sigma[0] <= self.blur_sigma[1]
        rules[f"encoder {' or '.join(ENCODERS)}"] = self.encoder in ENCODERS
        rules[f"norm {' or '.join(NORMS)}"] = self.norm in NORMS
        if rules["batch_size > 0"] and rules["key_splits > 0"]:
            rules["a queue that is a multiple of batch_size"] = self.queue % self.batch_size == 0
            rules["key_splits that divides batch_size into parts of at least 2"] = (
                self.batch_size % self.key_splits == 0 and self.batch_size // self.key_splits >= 2
            )
        require("MoCo", rules)


# -------------------------------------------------------------------------------------------------- encoders


class SmallBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut (He et al. 2016): (B, c_in, H, W) -> (B, c_out, H/s, W/s)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of shortcut + residual."""
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + residual)


class SmallResNet(nn.Module):
    """Residual network of 8 layers for 32 to 64 pixels: 8 `width` channels, averaged within each quarter of the image.

    The quarters are kept apart because a shape is little more than a layout at this size.
    """

    quarters = 2
    """Features keep so many rows and columns."""

    def __init__(self, width: int, norm: str = "imagenet") -> None:
        super().__init__()
        self.width = 8 * width * self.quarters**2
        self.normalise = Normalise(norm)
        self.conv = nn.Conv2d(3, width, 3, 2, padding=1, bias=False)  # half the size at once: meant for CPUs
        self.bn = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(
            SmallBlock(width, 2 * width, 2), SmallBlock(2 * width, 4 * width, 2), SmallBlock(4 * width, 8 * width, 1)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 32 width), not negative."""
        x = F.relu(self.bn(self.conv(self.normalise(x))))  # (B, width, H/2, W/2)
        x = self.blocks(x)  # (B, 8 width, H/8, W/8)
        return F.adaptive_avg_pool2d(x, self.quarters).flatten(1)


ENCODERS = ("resnet50", "small")


def build_moco_encoder(config: MoCoConfig) -> ResNet50 | SmallResNet:
    """The encoder that `config` names, with random weights; its `width` is the number of its features."""
    return ResNet50(config.norm) if config.encoder == "resnet50" else SmallResNet(config.width, config.norm)


# ----------------------------------------------------------------------------------------------------- stage


def info_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """MoCo eq. 1: cross-entropy of picking a query's own key among it and the queue; 0-d, mean over the batch.

    `query`, `key` (B, D) and `queue` (K, D) have rows of length 1.
    """
    query, key = wide(query), wide(key)
    positive = (query * key).sum(dim=1, keepdim=True)
    logits = torch.cat([positive, query @ queue.T], dim=1) / temperature  # (B, 1 + K)
    return F.cross_entropy(wide(logits), torch.zeros(len(query), dtype=torch.int64, device=query.device))


def _head(features: int, projection_dim: int) -> nn.Sequential:
    """MoCo-v2's MLP: hidden layer as wide as the features."""
    return nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, projection_dim))


class MoCo(Stage):
    """Trains `encoder` on the images of all domains."""

    name = "moco"
    queue: Tensor

    def __init__(self, config: MoCoConfig, images: tuple[Tensor, ...]) -> None:
        """`images`: per domain uint8 (N, 3, H, W), all of one size. Raises ValueError for other tensors."""
        super().__init__()
        for domain, stack in enumerate(images):
            if stack.dtype != torch.uint8 or stack.ndim != 4 or stack.shape[1:] != images[0].shape[1:]:
                raise ValueError(f"domain {domain}: uint8 (N, 3, H, W) wanted, got {stack.dtype} {tuple(stack.shape)}")
        self.config, self.images, self.steps = config, images, config.steps
        self.encoder = build_moco_encoder(config)
        self.head = _head(self.encoder.width, config.projection_dim)
        self.key_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.key_head = copy.deepcopy(self.head).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(config.queue, config.projection_dim), dim=1))
        for name in ("encoder", "head"):
            self.optimizers[name] = SGD(
                getattr(self, name).parameters(),
                lr=config.learning_rate,
                momentum=config.sgd_momentum,
                weight_decay=config.weight_decay,
            )
            # The steps done stand in the optimiser: there they are stored, and reading them does not wait for a device.
            self.optimizers[name].param_groups[0]["done"] = 0

    def identity(self) -> dict[str, Any]:
        """The settings; all domains' training images are used."""
        return {"config": stored_settings(self.config), "domains": len(self.images)}

    def training_step(self, batch: torch.Generator) -> Iterator[Phase]:
        """Keys by the key networks, then the query networks' loss, then the queue."""
        self._set_learning_rate()
        with torch.autocast(self.images[0].device.type, enabled=False):  # pixels keep their precision
            images = self._minibatch(batch)
            x_query, x_key = self._view(images, batch), self._view(images, batch)
        key = self._keys(x_key, torch.randperm(len(x_key), generator=batch))
        query = F.normalize(wide(self.head(self.encoder(x_query))), dim=1)
        loss = info_nce(query, key, self.queue, self.config.temperature)
        yield Phase(trains=("encoder", "head"), losses={"info_nce": loss})
        self._enqueue(key)

    def _set_learning_rate(self) -> None:
        """Half a cosine from `learning_rate` to 0."""
        for optimizer in self.optimizers.values():
            (group,) = optimizer.param_groups
            group["lr"] = self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * group["done"] / self.steps))
            group["done"] += 1

    def _minibatch(self, rng: torch.Generator) -> Tensor:
        """Images uniform over the union of the domains: (B, 3, H, W) in [-1, 1]."""
        row = torch.randint(sum(map(len, self.images)), (self.config.batch_size,), generator=rng)
        device, start = self.images[0].device, 0
        gathered = self.images[0].new_zeros((len(row), *self.images[0].shape[1:]))
        for images in self.images:  # a row of another domain takes any image: shapes do not depend on what is drawn
            taken = images[(row - start).clamp(0, len(images) - 1).to(device)]
            gathered = torch.where((row >= start).to(device)[:, None, None, None], taken, gathered)
            start += len(images)
        return to_model_range(gathered)

    def _view(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """One augmentation of each image: (B, 3, H, W) in [-1, 1] -> the same in [0, 1]."""
        c = self.config
        x = random_resized_crop(images, 1.0, rng, c.crop_area, RATIO)
        strengths = (c.brightness, c.contrast, c.saturation, c.hue)
        x = random_view_colours(x, rng, c.jitter_probability, strengths, c.grey_probability)
        x = random_view_blur(x, rng, c.blur_probability, c.blur_sigma)
        return ((random_flip(x, rng) if c.flip else x) + 1) / 2

    @torch.no_grad()
    def _keys(self, x: Tensor, order: Tensor) -> Tensor:
        """Follow the query networks (eq. 2), then keys of `x`: (B, 3, H, W) in [0, 1] -> (B, projection_dim).

        `order`: a permutation, int64 (B,) on the CPU; which images share batch statistics.
        """
        for key, query in ((self.key_encoder, self.encoder), (self.key_head, self.head)):
            torch._foreach_lerp_(list(key.parameters()), list(query.parameters()), 1 - self.config.momentum)
        parts = x[order.to(x.device)].chunk(self.config.key_splits)
        keys = torch.cat([self.key_head(self.key_encoder(part)) for part in parts])
        return F.normalize(wide(keys), dim=1)[order.argsort().to(x.device)]

    @torch.no_grad()
    def _enqueue(self, key: Tensor) -> None:
        """The newest batch first; the oldest leaves."""
        self.queue.copy_(torch.cat([key, self.queue])[: len(self.queue)])
