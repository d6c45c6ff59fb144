"""The encoder whose features are clustered or adapted: MoCo, trained here, or one of given weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from methods.base import Domains, Stage
from methods.parts.backbones import build_backbone, load_backbone
from methods.parts.layers import pooled_layer
from methods.semantics.classifiers import FeatureClassifier
from methods.semantics.config import LABELLED, TRAINED, SemanticsConfig
from methods.semantics.moco import MoCo, build_moco_encoder

if TYPE_CHECKING:
    from methods.base import Context


class SemanticEncoder(nn.Module):
    """A frozen encoder of images in [0, 1]: given weights, or MoCo trained on the task's images."""

    def __init__(self, config: SemanticsConfig, image_size: int) -> None:
        super().__init__()
        self.config, self.image_size = config, image_size
        trained = config.encoder == TRAINED
        self.network = build_moco_encoder(config.moco) if trained else build_backbone(config.encoder)

    @property
    def supervision(self) -> Literal["none", "weak"]:
        """MoCo's encoders have seen no label."""
        return "weak" if self.config.encoder in LABELLED else "none"

    @property
    def width(self) -> int:
        """Channels of the features."""
        return int(self.network.width)

    def stages(self, domains: Domains, context: Context) -> Iterator[Stage]:
        """MoCo on both domains' images, or nothing but the loading of the weights."""
        if self.config.encoder != TRAINED:
            load_backbone(self.config.encoder, self.network, context.weights)
            return
        moco = context.run_stage(lambda: MoCo(self.config.moco, domains.images))
        self.network.load_state_dict(moco.encoder.state_dict())
        yield moco

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, width), or (B, width, h, w)."""
        return self.network(x)


class EncodedClassifier(nn.Module):
    """A classifier of an encoder's features."""

    def __init__(self, encoder: SemanticEncoder, classifier: FeatureClassifier) -> None:
        super().__init__()
        self.encoder, self.classifier = encoder, classifier

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> logits (B, C)."""
        return self.classifier(pooled_layer(self.encoder(x)))
