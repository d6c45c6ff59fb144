"""Settings of the stages that learn categories."""

from __future__ import annotations

from dataclasses import dataclass, field

from methods.parts.backbones import BACKBONES
from methods.parts.checks import require
from methods.parts.settings import added_later
from methods.semantics.adaptation import AdaptationConfig
from methods.semantics.imsat import IMSATConfig
from methods.semantics.moco import MoCoConfig
from methods.semantics.self_training import SelfTrainingConfig
from methods.semantics.spectral import SpectralConfig

TRAINED = "moco"
"""Name of the encoder that is trained here and not given."""
LABELLED = ("vgg19", "vgg19_imagenet", "vgg19_caffe", "stand_in", "efficientnet")
"""Encoders that were trained on labels (ImageNet's, or of drawn classes that no task has): weak supervision."""


@dataclass(frozen=True)
class SemanticsConfig:
    """Settings of the stages that learn categories. The defaults are those of MNIST -> SVHN."""

    space: str = "images"
    """`images` (IMSAT, adaptation of images), `features` (an encoder, spectral clusters, adaptation of features),
    `mixed` (IMSAT, adaptation of features; not published), or `self_training` (an encoder, spectral clusters,
    self-training on images; not published)."""
    clustered_domain: int = 0
    """The domain whose images are clustered: 0 or 1 (MNIST; the real images)."""
    encoder: str = TRAINED
    """Encoder whose features are clustered: `moco` is trained on both domains' images; else one of given weights."""
    transfer_encoder: str = ""
    """Encoder whose features are adapted, and seen by h; empty: the same one (published)."""
    imsat: IMSATConfig = field(default_factory=IMSATConfig)
    """Clustering of images."""
    imsat_attempts: int = 1
    """Trainings of IMSAT, of which the one with the most stable clusters is used; 1 is published."""
    moco: MoCoConfig = field(default_factory=MoCoConfig)
    """The encoder that is trained on both domains' images."""
    spectral: SpectralConfig = field(default_factory=SpectralConfig)
    """Clustering of features."""
    adaptation: AdaptationConfig = field(default_factory=AdaptationConfig)
    """Adaptation to the other domain."""
    self_training: SelfTrainingConfig = added_later(SelfTrainingConfig)
    """Adaptation in the space `self_training`."""

    def __post_init__(self) -> None:
        require(
            "semantics",
            {
                "space `images`, `features`, `mixed` or `self_training`": self.space
                in ("images", "features", "mixed", "self_training"),
                "clustered_domain 0 or 1": self.clustered_domain in (0, 1),
                "imsat_attempts >= 1": self.imsat_attempts >= 1,
                f"encoder {TRAINED} or one of {', '.join(BACKBONES)}": self.encoder in (TRAINED, *BACKBONES),
                f"transfer_encoder empty or one of {', '.join(BACKBONES)}": self.transfer_encoder in ("", *BACKBONES),
            },
        )
