"""h: from an image to its cluster, learned without labels by a chain of stages (paper section 3.1).

Each class below is one way to learn it; CatS-UDT picks one at construction. All of them cluster one domain, and all but
the "not adapted" ones then adapt the clusters to the other domain:

    images    IMSAT on the images                                      -> VMT + VADA on the images     (MNIST -> SVHN)
    features  MoCo, or a given encoder; spectral clusters of features  -> VMT on the features          (real -> sketch)
    mixed     IMSAT on the images                                      -> VMT on an encoder's features (ours)

A category network takes images (B, 3, H, W) in [0, 1], is frozen, stays in eval mode whatever its owner does, and can
be built without data, so that a stored method can be loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from methods.base import Domains, Stage
from methods.semantics.adaptation import AdaptationConfig, FeatureAdaptation, ImageAdaptation
from methods.semantics.classifiers import FeatureClassifier, ImageClassifier
from methods.semantics.config import TRAINED, SemanticsConfig
from methods.semantics.encoder import EncodedClassifier, SemanticEncoder
from methods.semantics.imsat import IMSAT, ClusterNetwork, imsat_cluster_of
from methods.semantics.self_training import GreyClassifier, SelfTraining, SelfTrainingConfig
from methods.semantics.spectral import Features, Spectral

if TYPE_CHECKING:
    from methods.base import Context


class Categories(nn.Module):
    """h, frozen. `network` takes images in [0, 1]."""

    chain: ClassVar[tuple[str, ...]]
    """Names of the stages that `stages` runs, in order, if the encoder is trained here."""
    discrete: ClassVar[bool] = True
    """Whether a category is a cluster, and not a feature."""
    network: nn.Module

    def __init__(self, config: SemanticsConfig, image_size: int, clusters: int) -> None:
        super().__init__()
        self.config, self.image_size, self.clusters = config, image_size, clusters

    @property
    def category_dim(self) -> int:
        """Number of clusters, or channels of the features."""
        return self.clusters

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages that `stages` runs, in order."""
        return tuple(name for name in self.chain if name != TRAINED or self.config.encoder == TRAINED)

    @property
    def supervision(self) -> Literal["none", "weak"]:
        """`weak` if the encoder was trained on somebody's labels."""
        return "none"

    def stages(self, domains: Domains, context: Context) -> Iterator[Stage]:
        """Run the stages one after the other, yielding each when it has ended; after the last one h is learned."""
        raise NotImplementedError

    def learn(self, domains: Domains, context: Context) -> None:
        """Run every stage."""
        for _ in self.stages(domains, context):
            pass

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> logits (B, C), or features."""
        return self.network(x)

    @torch.no_grad()
    def of(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> category: int64 (B,), or features."""
        return self((x + 1) / 2).argmax(dim=1)

    def of_all(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, H, W) -> cluster int64 (N,)."""
        return imsat_cluster_of(self, images)

    def describe(self, x: Tensor, cluster: Tensor) -> Tensor:
        """Category of images (B, 3, H, W) in [-1, 1] whose clusters (B,) are known."""
        return cluster

    def train(self, mode: bool = True) -> Categories:
        """Stays in eval mode: h is frozen."""
        return super().train(False)

    def encoder(self) -> nn.Module:
        """The network whose features are clustered; raises AttributeError where images themselves are."""
        raise AttributeError(f"{type(self).__name__} has no encoder")


# ----------------------------------------------------------------------------------------------- in image space


def cluster_into_categories(config: SemanticsConfig, images: Tensor, clusters: int, context: Context) -> IMSAT:
    """The best of `imsat_attempts` trainings on `images` (uint8 (N, 3, S, S)).

    The best one is that whose clusters withstand its transformations best, which needs no label: from some starts,
    training ends with two shapes in one cluster or one shape in two, and such clusters change more often.
    """
    attempts = [
        context.run_stage(lambda: IMSAT(config.imsat, images, clusters), attempt)
        for attempt in range(config.imsat_attempts)
    ]
    return max(attempts, key=lambda imsat: float(imsat.stability))


class ClusteredImages(Categories):
    """IMSAT's clusters of one domain, applied to both as they are (Fig. 3b, "not adapted")."""

    chain = ("imsat",)

    def __init__(self, config: SemanticsConfig, image_size: int, clusters: int) -> None:
        super().__init__(config, image_size, clusters)
        self.network = ClusterNetwork(image_size, clusters, config.imsat.width)

    def stages(self, domains: Domains, context: Context) -> Iterator[Stage]:
        """IMSAT."""
        imsat = cluster_into_categories(
            self.config, domains.images[self.config.clustered_domain], self.clusters, context
        )
        self.network.load_state_dict(imsat.encoder.state_dict())
        yield imsat


class AdaptedImages(Categories):
    """IMSAT's clusters of one domain, adapted to the other by VMT and VADA on the images (MNIST -> SVHN)."""

    chain = ("imsat", "adaptation")

    def __init__(self, config: SemanticsConfig, image_size: int, clusters: int) -> None:
        super().__init__(config, image_size, clusters)
        adaptation = config.adaptation
        self.network = ImageClassifier(image_size, clusters, adaptation.width, adaptation.bn_momentum)

    def stages(self, domains: Domains, context: Context) -> Iterator[Stage]:
        """IMSAT, adaptation."""
        source = self.config.clustered_domain
        images, others = domains.images[source], domains.images[1 - source]
        imsat = cluster_into_categories(self.config, images, self.clusters, context)
        yield imsat
        labels = imsat_cluster_of(imsat.encoder, images)
        adaptation = context.run_stage(
            lambda: ImageAdaptation(self.config.adaptation, images, others, labels, self.clusters)
        )
        self.network.load_state_dict(adaptation.classifier.state_dict())
        yield adaptation


# --------------------------------------------------------------------------------------------- in feature space


class AdaptedFeatures(Categories):
    """Spectral clusters of one domain's features, adapted to the other domain's features (real -> sketch).

    With a `transfer_encoder`, clusters are found in one encoder's features and adapted in another's. The original has
    one encoder for both, trained on a million photographs; one that is trained on a thousand small images finds
    clusters of colourful ones, but nothing in common with drawings.
    """

    chain = ("moco", "features", "spectral", "adaptation")
    network: EncodedClassifier

    def __init__(self, config: SemanticsConfig, image_size: int, clusters: int) -> None:
        super().__init__(config, image_size, clusters)
        clustered = SemanticEncoder(config, image_size)
        seen = clustered
        if config.transfer_encoder:
            seen = SemanticEncoder(replace(config, encoder=config.transfer_encoder), image_size)
        self._clustered = (clustered,)  # in a tuple: a part of h only where h sees its features
        self.network = EncodedClassifier(seen, FeatureClassifier(seen.width, clusters, config.adaptation.width))

    def encoder(self) -> SemanticEncoder:
        """Images -> the features that are clustered."""
        return self._clustered[0]

    @property
    def supervision(self) -> Literal["none", "weak"]:
        """`weak` if one of the encoders is."""
        return "weak" if "weak" in (self.encoder().supervision, self.network.encoder.supervision) else "none"

    def stages(self, domains: Domains, context: Context) -> Iterator[Stage]:
        """MoCo (unless the encoder is given), features, spectral clusters, adaptation."""
        source, clustered, seen = self.config.clustered_domain, self.encoder().to(domains.device), self.network.encoder
        yield from clustered.requires_grad_(False).eval().stages(domains, context)
        features = context.run_stage(lambda: Features(clustered, domains.images))
        yield features
        spectral = context.run_stage(lambda: Spectral(self.config.spectral, features.of(source), self.clusters))
        yield spectral
        if seen is not clustered:
            yield from seen.stages(domains, context)
            features = context.run_stage(lambda: Features(seen, domains.images))
        adaptation = context.run_stage(
            lambda: FeatureAdaptation(
                self.adaptation(), features.of(source), features.of(1 - source), spectral.labels, self.clusters
            )
        )
        self.network.classifier.load_state_dict(adaptation.classifier.state_dict())
        yield adaptation

    def adaptation(self) -> AdaptationConfig:
        """Settings of the last stage."""
        return self.config.adaptation


class AdaptedInFeatures(Categories):
    """IMSAT's clusters of one domain's images, adapted to the other domain in an encoder's features.

    A short adaptation of small images takes dark digits on light ground for other digits. Features in which both look
    alike, such as unsigned gradients, leave it less to do.
    """

    chain = ("imsat", "moco", "features", "adaptation")
    network: EncodedClassifier

    def __init__(self, config: SemanticsConfig, image_size: int, clusters: int) -> None:
        config = replace(config, encoder=config.transfer_encoder or config.encoder)
        super().__init__(config, image_size, clusters)
        encoder = SemanticEncoder(config, image_size)
        self.network = EncodedClassifier(encoder, FeatureClassifier(encoder.width, clusters, config.adaptation.width))

    @property
    def supervision(self) -> Literal["none", "weak"]:
        """That of the encoder."""
        return self.network.encoder.supervision

    def encoder(self) -> nn.Module:
        """Images -> the features that are adapted."""
        return self.network.encoder

    def stages(self, domains: Domains, context: Context) -> Iterator[Stage]:
        """IMSAT, MoCo (unless the encoder is given), features, adaptation."""
        source, encoder = self.config.clustered_domain, self.network.encoder.to(domains.device)
        imsat = cluster_into_categories(self.config, domains.images[source], self.clusters, context)
        yield imsat
        labels = imsat_cluster_of(imsat.encoder, domains.images[source])
        yield from encoder.stages(domains, context)
        features = context.run_stage(lambda: Features(encoder, domains.images))
        yield features
        adaptation = context.run_stage(
            lambda: FeatureAdaptation(
                self.config.adaptation, features.of(source), features.of(1 - source), labels, self.clusters
            )
        )
        self.network.classifier.load_state_dict(adaptation.classifier.state_dict())
        yield adaptation


class SelfTrained(Categories):
    """Spectral clusters of one domain's features, and a classifier that teaches itself to see them in both."""

    chain = ("moco", "features", "spectral", "adaptation")

    def __init__(self, config: SemanticsConfig, image_size: int, clusters: int) -> None:
        super().__init__(config, image_size, clusters)
        self._clustered = (SemanticEncoder(config, image_size),)
        self.network = GreyClassifier(clusters, config.self_training.width)

    def encoder(self) -> SemanticEncoder:
        """Images -> the features that are clustered."""
        return self._clustered[0]

    def stages(self, domains: Domains, context: Context) -> Iterator[Stage]:
        """MoCo (unless the encoder is given), features, spectral clusters, self-training."""
        source, encoder = self.config.clustered_domain, self.encoder().to(domains.device)
        yield from encoder.requires_grad_(False).eval().stages(domains, context)
        images, others = domains.images[source], domains.images[1 - source]
        images = images[: self.config.spectral.sample or len(images)]
        features = context.run_stage(lambda: Features(encoder, (images, images[:1])))
        yield features
        spectral = context.run_stage(lambda: Spectral(self.config.spectral, features.of(0), self.clusters))
        yield spectral
        adaptation = context.run_stage(
            lambda: SelfTraining(self.self_training(), images, others, spectral.labels, self.clusters)
        )
        self.network.load_state_dict(adaptation.classifier.state_dict())
        yield adaptation

    def self_training(self) -> SelfTrainingConfig:
        """Settings of the last stage."""
        return self.config.self_training


class SelfTrainedOnSource(SelfTrained):
    """As `SelfTrained`, but no image of the other domain counts."""

    def self_training(self) -> SelfTrainingConfig:
        """Without the labels of target images."""
        return replace(self.config.self_training, lambda_target=0.0)


class ClusteredFeatures(AdaptedFeatures):
    """`AdaptedFeatures` with h fitted to the spectral clusters of the clustered domain alone."""

    def adaptation(self) -> AdaptationConfig:
        """Settings without the terms that look at the other domain."""
        return replace(
            self.config.adaptation, lambda_entropy=0.0, lambda_confusion=0.0, lambda_vat_target=0.0,
            lambda_mixup_target=0.0,
        )  # fmt: skip


class FeatureCategories(Categories):
    """No clusters: the category of an image is its feature by a frozen encoder (Fig. 3b: VGG, MoCo)."""

    chain = ("moco",)
    discrete = False
    network: SemanticEncoder

    def __init__(self, config: SemanticsConfig, image_size: int, clusters: int) -> None:
        super().__init__(config, image_size, clusters)
        self.network = SemanticEncoder(config, image_size)

    @property
    def category_dim(self) -> int:
        """Channels of the features."""
        return self.network.width

    def encoder(self) -> nn.Module:
        """Images -> features."""
        return self.network

    @property
    def supervision(self) -> Literal["none", "weak"]:
        """That of the encoder."""
        return self.network.supervision

    def stages(self, domains: Domains, context: Context) -> Iterator[Stage]:
        """MoCo, unless the encoder is given."""
        yield from self.network.stages(domains, context)

    @torch.no_grad()
    def of(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, R) or (B, R, h, w)."""
        return self((x + 1) / 2)

    def of_all(self, images: Tensor) -> Tensor:
        """One cluster for all: exemplars are any images of the target domain."""
        return torch.zeros(len(images), dtype=torch.int64)

    def describe(self, x: Tensor, cluster: Tensor) -> Tensor:
        """The features of what is shown."""
        return self.of(x)


CATEGORIES: dict[str, dict[str, type[Categories]]] = {
    "adapted": {
        "images": AdaptedImages, "features": AdaptedFeatures, "mixed": AdaptedInFeatures, "self_training": SelfTrained,
    },
    "clustered": {
        "images": ClusteredImages, "features": ClusteredFeatures, "mixed": ClusteredImages,
        "self_training": SelfTrainedOnSource,
    },
    "features": dict.fromkeys(("images", "features", "mixed", "self_training"), FeatureCategories),
}  # fmt: skip
"""CatS-UDT's setting `categories` -> `SemanticsConfig.space` -> class."""


def build_categories(kind: str, config: SemanticsConfig, image_size: int, clusters: int) -> Categories:
    """The frozen, not yet learned h. `kind`: a key of CATEGORIES."""
    categories = CATEGORIES[kind][config.space](config, image_size, clusters)
    return categories.requires_grad_(False).eval()
