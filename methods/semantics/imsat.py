"""IMSAT: clusters that do not change under transformations of the image (Hu et al., "Learning Discrete Representations
via Information Maximizing Self-Augmented Training", ICML 2017, arXiv 1702.08720), in the Wasserstein form of CatS-UDT
(Lavoie, Ahmed, Courville, ICLR 2021, arXiv 2010.01262, section 3.1 and eq. 12). Written from the papers and a
description of CatS-UDT's code.

Eq. 12 minimises lambda R(c) - I(X; C). R is the squared distance between the outputs at an image and at a transformed
copy of it. A deterministic c maximises I(X; C) when its clusters are equally large; so the term is the Wasserstein
distance between the outputs and one-hot vectors of uniformly drawn clusters, which a critic measures.

Deliberate differences from the official code:
- Minibatches are drawn uniformly with replacement; officially shuffled epochs.
- Other image sizes than 32 px: as many 3x3 layers as bring the map to 1x1.
- The transformation reads the source pixel under the centre of each pixel as PIL does, but in one batch on the device;
  where a centre falls on the border of two pixels, the other one may be read. `resampling=bilinear` mixes pixels.
- In a critic step the outputs are made without a graph; the encoder's gradients are not used there anyway.
Deliberate differences of both from the paper: the outputs are unbounded logits (`cluster_output` leads to the soft
clusters of the paper), R is a mean over components, too (the paper's lambda is 1 / clusters times this one), and the
critic has a one-sided gradient penalty, which the paper does not mention.

Traps: the critic goes *up* on outputs and *down* on one-hots, and the encoder goes down the critic. The encoder is in
train mode in the critic steps, too: batch norm's running statistics move there, by clean images alone; in the encoder's
step they move twice, by clean and then by transformed images. x is never transformed, only x' is. The first convolution
is 1x1 with padding 1, so that its bias stands on a border around the image. Batch norm's epsilon is 1e-8: pixels that
are constant over a whole batch are divided by nearly nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from methods.base import Phase, Stage, digest
from methods.parts.checks import is_power_of_two, load_checked, require, without_prefix
from methods.parts.layers import SLOPE
from methods.parts.losses import wide
from methods.parts.settings import stored_settings
from methods.semantics.classifiers import classifier_inputs, predict_classes

SAMPLE = 4096
"""Number of images, at most, by which a finished run is judged."""
EPS = 1e-8
"""Added to the variance in every batch norm."""


# -------------------------------------------------------------------------------------------------- settings


def imsat_logits(outputs: Tensor) -> Tensor:
    """The outputs (B, K) as they are: what the code does."""
    return outputs


def imsat_probabilities(outputs: Tensor) -> Tensor:
    """Their softmax (B, K), in the simplex whose corners are the one-hots: the soft clusters of the paper."""
    return outputs.softmax(dim=1)


RESAMPLINGS = ("nearest", "bilinear")

OUTPUTS: Mapping[str, Callable[[Tensor], Tensor]] = {"logits": imsat_logits, "softmax": imsat_probabilities}


@dataclass(frozen=True)
class IMSATConfig:
    """Settings; the defaults are the published ones."""

    width: int = 512
    """Channels of the cluster network's layers."""
    critic_width: int = 512
    """Units of the critic's layers."""
    steps: int = 50_001
    """Training iterations, each with one step of the cluster network."""
    batch_size: int = 64
    """Images per step of either network, at least 2."""
    critic_steps: int = 4
    """Steps of the critic before each one of the cluster network."""
    lambda_transform: float = 1.0
    """Weight of R, the mean squared change of an output under the transformation."""
    penalty_weight: float = 1.0
    """Weight of the critic's gradient penalty."""
    learning_rate: float = 1e-3
    """Adam, both networks."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates."""
    rotation: float = 30.0
    """Largest rotation, in degrees to either side."""
    scale: tuple[float, float] = (0.5, 1.5)
    """Smallest and largest magnification."""
    shear: float = 40.0
    """Largest shear along x, in degrees to either side."""
    resampling: str = "nearest"
    """Interpolation of a transformed pixel: `nearest` (the official code) or `bilinear`, which spares thin strokes."""
    cluster_output: str = "logits"
    """Outputs that the losses see: `logits` (the official code) or `softmax` (the paper)."""

    def __post_init__(self) -> None:
        at_least_1 = ("width", "critic_width", "steps", "critic_steps")
        at_least_0 = ("lambda_transform", "penalty_weight", "learning_rate")
        rules = {f"{name} >= 1": getattr(self, name) >= 1 for name in at_least_1}
        rules |= {f"{name} >= 0": getattr(self, name) >= 0 for name in at_least_0}
        rules["batch_size >= 2"] = self.batch_size >= 2
        rules["betas in [0, 1)"] = all(0 <= beta < 1 for beta in self.betas)
        rules["rotation in [0, 180]"] = 0 <= self.rotation <= 180
        rules["scale 0 < smallest <= largest"] = 0 < self.scale[0] <= self.scale[1]
        rules["shear in [0, 90)"] = 0 <= self.shear < 90
        rules[f"resampling one of {', '.join(RESAMPLINGS)}"] = self.resampling in RESAMPLINGS
        rules[f"cluster_output one of {', '.join(OUTPUTS)}"] = self.cluster_output in OUTPUTS
        require("IMSAT", rules)


# -------------------------------------------------------------------------------------------------- networks


def _layer(convolution: nn.Conv2d) -> list[nn.Module]:
    """`convolution`, batch norm, leaky ReLU, average pool: halves the map, rounding down."""
    width = convolution.out_channels
    return [convolution, nn.BatchNorm2d(width, eps=EPS), nn.LeakyReLU(SLOPE), nn.AvgPool2d(2)]


class ClusterNetwork(nn.Module):
    """c: an image's score for each cluster. Keys are the official ones."""

    def __init__(self, image_size: int, clusters: int, width: int) -> None:
        """Raises ValueError if the layers cannot take `image_size`."""
        super().__init__()
        require(
            f"IMSAT at {image_size} px",
            {"an image size that is a power of two, at least 16": is_power_of_two(image_size) and image_size >= 16},
        )
        layers = _layer(nn.Conv2d(3, width, 1, padding=1))  # (B, width, S/2 + 1, S/2 + 1)
        for _ in range(int(math.log2(image_size)) - 1):
            layers += _layer(nn.Conv2d(width, width, 3, padding=1))  # S/4, S/8, ..., 1
        self.x = nn.Sequential(*layers, nn.Conv2d(width, clusters, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, clusters), not bounded; an image's cluster is the largest one's."""
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)  # the same function in two thirds of the time there
        return self.x(x)


class Critic(nn.Module):
    """f: how little a vector looks like a one-hot, and how much like the cluster network's outputs. Official keys."""

    def __init__(self, clusters: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (clusters, width, width, width):
            layers += [nn.Linear(inputs, width), nn.LeakyReLU(SLOPE)]
        self.x = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, v: Tensor) -> Tensor:
        """(B, clusters) -> (B,)."""
        return self.x(v)[:, 0]


def imsat_cluster_of(network: nn.Module, images: Tensor, batch: int = 512) -> Tensor:
    """Cluster of each image: uint8 (N, 3, H, W) -> int64 (N,), on the images' device.

    In eval mode, `batch` images at a time; row i depends on row i alone, and the network's own mode is put back.
    """
    return predict_classes(network, images, batch)


# ------------------------------------------------------------------------------------------------ loss terms


def imsat_random_affine(
    images: Tensor,
    rng: torch.Generator,
    rotation: float,
    scale: tuple[float, float],
    shear: float,
    resampling: str = "nearest",
) -> Tensor:
    """T of the paper: shear along x, then rotation, then magnification, about the centre; an own draw for each image.

    (B, C, S, S) of any range -> the same shape; each pixel is one of the image's (`nearest`) or mixed of the four
    around it (`bilinear`), or 0 where none lies below it. `rotation` and `shear` are the largest angles in degrees, to
    either side; all draws are uniform.
    """
    draws = torch.rand(3, len(images), generator=rng, dtype=torch.float64)
    turn = torch.deg2rad((2 * draws[0] - 1) * rotation)
    slant = torch.deg2rad((2 * draws[1] - 1) * shear).tan()
    size = scale[0] + (scale[1] - scale[0]) * draws[2]
    # Where a pixel of the result comes from: magnification, rotation and shear undone, in this order. Not as a matrix
    # product, which autocast would round.
    source_x = (turn.cos() - slant * turn.sin()) / size, (turn.sin() + slant * turn.cos()) / size
    source_y = -turn.sin() / size, turn.cos() / size
    xx, xy, yx, yy = torch.stack([*source_x, *source_y]).to(images.device, images.dtype)[:, :, None, None]  # (B, 1, 1)
    side = images.shape[-1]
    x = (2 * torch.arange(side, device=images.device, dtype=images.dtype) + 1) / side - 1  # (S,), pixels' centres
    y = x[:, None]
    grid = torch.stack([xx * x + xy * y, yx * x + yy * y], dim=-1)  # (B, S, S, 2)
    return F.grid_sample(images, grid, mode=resampling, padding_mode="zeros", align_corners=False)


def imsat_gradient_penalty(critic: nn.Module, outputs: Tensor, one_hot: Tensor, alpha: Tensor) -> Tensor:
    """One-sided penalty: mean of max(|df/dm| - 1, 0)^2 at m = alpha * outputs + (1 - alpha) * one_hot.

    `outputs`, `one_hot`: (B, K), taken as constants; `alpha`: (B,) in [0, 1]. Returns a 0-d tensor with a graph to the
    critic's weights. The two-sided form is that of WGAN-GP (Gulrajani et al. 2017, eq. 3).
    """
    share = alpha[:, None]
    mixed = (share * outputs.detach() + (1 - share) * one_hot).requires_grad_()
    (gradient,) = torch.autograd.grad(wide(critic(mixed)).sum(), mixed, create_graph=True)
    return (wide(gradient).norm(dim=1) - 1).clamp_min(0).square().mean()


def imsat_mutual_information(counts: Tensor) -> Tensor:
    """Mutual information in nats of two variables from counts of their pairs: float64 (K, L) >= 0, sum > 0 -> 0-d."""
    joint = counts / counts.sum()
    independent = joint.sum(dim=1, keepdim=True) * joint.sum(dim=0, keepdim=True)
    return torch.xlogy(joint, joint).sum() - torch.xlogy(joint, independent).sum()


# ------------------------------------------------------------------------------------------------- the stage


class IMSAT(Stage):
    """Clusters the images of one domain."""

    name = "imsat"
    version = 2
    stability: Tensor

    def __init__(self, config: IMSATConfig, images: Tensor, clusters: int) -> None:
        """`images`: uint8 (N, 3, S, S). Raises ValueError if they are not, or for fewer than two clusters."""
        super().__init__()
        require(
            "IMSAT",
            {
                "uint8 images (N, 3, S, S), at least one": images.dtype == torch.uint8
                and images.ndim == 4
                and images.shape[1] == 3
                and images.shape[2] == images.shape[3]
                and len(images) > 0,
                "at least 2 clusters": clusters >= 2,
            },
        )
        self.config, self.steps, self.clusters, self.images = config, config.steps, clusters, images
        self._as_seen = OUTPUTS[config.cluster_output]
        self.encoder = ClusterNetwork(images.shape[-1], clusters, config.width)
        self.critic = Critic(clusters, config.critic_width)
        for name in ("encoder", "critic"):
            parameters = getattr(self, name).parameters()
            self.optimizers[name] = Adam(parameters, lr=config.learning_rate, betas=config.betas, fused=True)
        self.register_buffer("stability", torch.zeros((), dtype=torch.float64))
        """Mutual information of an image's cluster and its transformed copy's, in nats; once training has ended."""

    def identity(self) -> dict[str, Any]:
        """Settings, number of clusters, and the images, which tell the domain too."""
        return {"config": stored_settings(self.config), "clusters": self.clusters, "images": digest(self.images)[:16]}

    def load_official(self, state_dicts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Load official checkpoints: `classifier` (the cluster network), `contrastive` (the critic), or both.

        Raises ValueError naming the keys that are missing, unexpected or of another shape.
        """
        targets: dict[str, list[nn.Module]] = {"classifier": [self.encoder], "contrastive": [self.critic]}
        load_checked(targets, {name: without_prefix(state) for name, state in state_dicts.items()})

    # ------------------------------------------------------------------------------------------------ training

    def training_step(self, batch: torch.Generator) -> Iterator[Phase]:
        """The critic, `critic_steps` times, then the cluster network; each on images of its own."""
        for _ in range(self.config.critic_steps):
            yield Phase(trains=("critic",), losses=self.critic_losses(self._minibatch(batch), batch))
        yield Phase(trains=("encoder",), losses=self.encoder_losses(self._minibatch(batch), batch))

    def finish(self) -> None:
        """Judge the run: mutual information of the clusters before and after the transformation, on spaced images.

        It is large if clusters withstand the transformation and are equally large, what eq. 12 asks for. The
        transformations are the same for every run, so that runs on the same images can be compared.
        """
        c, rng = self.config, torch.Generator().manual_seed(0)
        images = self.images[:: math.ceil(len(self.images) / SAMPLE)]
        pairs = torch.zeros(self.clusters, self.clusters, dtype=torch.float64)
        for x in map(classifier_inputs, images.split(512)):
            moved = imsat_random_affine(x, rng, c.rotation, c.scale, c.shear, c.resampling)
            before, after = (self.encoder(seen).argmax(dim=1).cpu() for seen in (x, moved))
            pairs.index_put_((before, after), torch.ones((), dtype=torch.float64), accumulate=True)
        self.stability.copy_(imsat_mutual_information(pairs))

    def _minibatch(self, rng: torch.Generator) -> Tensor:
        """Images uniform with replacement: (B, 3, S, S) in [0, 1]."""
        index = torch.randint(len(self.images), (self.config.batch_size,), generator=rng)
        return classifier_inputs(self.images[index.to(self.images.device)])

    def _outputs(self, x: Tensor) -> Tensor:
        """Outputs that the losses see, (B, clusters), of images (B, 3, S, S) in [0, 1]."""
        return self._as_seen(wide(self.encoder(x)))

    def critic_losses(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """The negative Wasserstein distance of outputs and one-hots, and the penalty that makes f 1-Lipschitz."""
        with torch.no_grad():
            outputs = self._outputs(x)
        drawn = torch.randint(self.clusters, (len(x),), generator=rng).to(x.device)
        alpha = torch.rand(len(x), generator=rng).to(outputs)
        one_hot = F.one_hot(drawn, self.clusters).to(outputs)
        return {
            "one_hot": wide(self.critic(one_hot)).mean(),
            "output": -wide(self.critic(outputs)).mean(),
            "penalty": self.config.penalty_weight * imsat_gradient_penalty(self.critic, outputs, one_hot, alpha),
        }

    def encoder_losses(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Eq. 12: lambda R, differentiable in both outputs, and the distance that the critic measures."""
        c = self.config
        clean = self._outputs(x)
        transformed = self._outputs(imsat_random_affine(x, rng, c.rotation, c.scale, c.shear, c.resampling))
        return {
            "transform": c.lambda_transform * F.mse_loss(transformed, clean),
            "distance": wide(self.critic(clean)).mean(),
        }
