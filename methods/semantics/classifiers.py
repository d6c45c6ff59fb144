"""Networks of the domain adaptation: cluster classifiers mlp(phi(x)) and domain discriminators.

Those of CatS-UDT (Lavoie, Ahmed, Courville, "Integrating Categorical Semantics into Unsupervised Domain Translation",
ICLR 2021, arXiv 2010.01262), which are the "small" ones of VMT (Mao et al., "Virtual Mixup Training for Unsupervised
Domain Adaptation", 2019) made wider. Keys are the official ones; officially phi is called `x`.

Deliberate differences from the official code:
- Other image sizes than 32 px: the average pool over 8x8 is one over the whole map, and the discriminator is as wide
  as phi's output.
- `bn_momentum` is a setting; the default is the official 0.99.

Traps: a batch norm (images) or layer norm (features) stands over the logits too. Batch norm's momentum is 0.99 in
PyTorch's sense, so that the running statistics are those of the last batch that was seen, which is a mixed *target*
batch. The layer norm has no affine part: with 5 clusters the largest logit is 2, the largest probability 0.753.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from methods.parts.checks import require
from methods.parts.layers import he_init_layer

LEAK = 0.1
"""Negative slope of the leaky ReLUs."""
EPS = 1e-3
"""Added to the variance in every norm."""
DROPOUT = 0.5
"""Share of the activations that is dropped, each by itself."""


class GaussianNoise(nn.Module):
    """Adds N(0, 1) to every activation in training; nothing in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out; draws from torch's global generator."""
        return x + torch.randn_like(x) if self.training else x


class Classifier(nn.Module):
    """h = mlp(phi(.))."""

    x: nn.Sequential
    mlp: nn.Sequential

    @property
    def phi(self) -> nn.Sequential:
        """The part whose output the discriminator sees, besides the logits."""
        return self.x

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, ...) -> logits (B, K)."""
        return self.mlp(self.x(inputs))


def _convolutions(c_in: int, width: int, momentum: float) -> list[nn.Module]:
    """Three 3x3 convolutions, each with batch norm and leaky ReLU: (B, c_in, H, W) -> (B, width, H, W)."""
    layers: list[nn.Module] = []
    for inputs in (c_in, width, width):
        layers += [
            nn.Conv2d(inputs, width, 3, padding=1),
            nn.BatchNorm2d(width, eps=EPS, momentum=momentum),
            nn.LeakyReLU(LEAK),
        ]
    return layers


class ImageClassifier(Classifier):
    """Classifier of images: 4,735,006 parameters at width 256 with 10 clusters."""

    def __init__(self, image_size: int, clusters: int, width: int = 256, bn_momentum: float = 0.99) -> None:
        """`image_size`: a multiple of 4, else ValueError."""
        super().__init__()
        require("image classifier", {"an image size that is a multiple of 4": image_size > 0 and image_size % 4 == 0})
        self.x = nn.Sequential(
            nn.InstanceNorm2d(3),  # per image and colour: brightness and contrast of the domains vanish here
            *_convolutions(3, width, bn_momentum),
            *(nn.MaxPool2d(2), nn.Dropout(DROPOUT), GaussianNoise()),  # (B, width, S/2, S/2)
            *_convolutions(width, width, bn_momentum),
            *(nn.MaxPool2d(2), nn.Dropout(DROPOUT), GaussianNoise()),  # (B, width, S/4, S/4)
        )
        self.mlp = nn.Sequential(
            *_convolutions(width, width, bn_momentum),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, clusters, 1),
            nn.BatchNorm2d(clusters, eps=EPS, momentum=bn_momentum),
            nn.Flatten(),
        )
        self.x.apply(he_init_layer)  # phi alone: mlp keeps PyTorch's initialisation, as officially
        self.phi_size = width * (image_size // 4) ** 2
        """Numbers per image in phi's output."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> logits (B, K)."""
        return super().forward(inputs)


def _linear(widths: tuple[int, ...]) -> list[nn.Module]:
    """Linear layers, each with layer norm (no affine part) and leaky ReLU."""
    return [
        layer
        for i, o in pairwise(widths)
        for layer in (nn.Linear(i, o), nn.LayerNorm(o, eps=EPS, elementwise_affine=False), nn.LeakyReLU(LEAK))
    ]


class FeatureClassifier(Classifier):
    """Classifier of features: 920,581 parameters at 2048 features, width 256 and 5 clusters."""

    def __init__(self, feature_dim: int, clusters: int, width: int = 256) -> None:
        super().__init__()
        self.x = nn.Sequential(
            *_linear((feature_dim, width, width)),
            *(nn.Dropout(DROPOUT), GaussianNoise()),
            *_linear((width,) * 3),
            *(nn.Dropout(DROPOUT), GaussianNoise()),
        )
        self.mlp = nn.Sequential(
            *_linear((width,) * 4),
            nn.Linear(width, clusters),
            nn.LayerNorm(clusters, eps=EPS, elementwise_affine=False),
        )
        self.apply(he_init_layer)
        self.phi_size = width
        """Numbers per item in phi's output."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, feature_dim) -> logits (B, K)."""
        return super().forward(inputs)


class Discriminator(nn.Module):
    """D(phi, logits): logit of "the item is of the source domain"."""

    hidden_layers: int

    def __init__(self, phi_size: int, clusters: int, width: int = 100) -> None:
        """`phi_size`: numbers per item in phi's output."""
        super().__init__()
        widths = (phi_size + clusters, *[width] * self.hidden_layers)
        hidden = [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]
        self.x = nn.Sequential(*hidden, nn.Linear(width, 1))
        self.apply(he_init_layer)

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """phi's output (B, ...) and logits (B, K) -> (B,)."""
        return self.x(torch.cat([features.flatten(1), logits], dim=1))[:, 0]


class ImageDiscriminator(Discriminator):
    """1,669,901 parameters at 32 px, width 256 and 10 clusters."""

    hidden_layers = 4


class FeatureDiscriminator(Discriminator):
    """26,301 parameters at width 256 and 5 clusters."""

    hidden_layers = 1


def classifier_inputs(stack: Tensor) -> Tensor:
    """Input of a classifier: uint8 images -> float32 in [0, 1]; features, which are float, as they are."""
    return stack.float() / 255 if stack.dtype == torch.uint8 else stack


@torch.no_grad()
def predict_classes(classifier: nn.Module, inputs: Tensor, batch: int = 512) -> Tensor:
    """Cluster of each row: uint8 images (N, 3, H, W) or float features (N, D) -> int64 (N,), on the inputs' device.

    In eval mode, so that row i depends on row i alone; the classifier's own mode is put back.
    """
    training = classifier.training
    classifier.eval()
    classes = [classifier(classifier_inputs(part)).argmax(dim=1) for part in inputs.split(batch)]
    classifier.train(training)
    return torch.cat(classes)
