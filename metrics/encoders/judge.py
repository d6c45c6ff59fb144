"""The task's own judge as an encoder."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch

from metrics.encoders.base import (
    Advance,
    ImageEncoder,
    Images,
    check_encoder_images,
    encode_in_batches,
    encoder_identity,
    encoder_without_counters,
    exact_encoder_inference,
)
from metrics.encoders.wide_resnet import WideResNet


class JudgeEncoder(ImageEncoder):
    """The task's own judge: its penultimate features, and its verdicts. Input uint8 / 255."""

    name = "judge-penultimate-v1"

    def __init__(self, network: WideResNet) -> None:
        """A frozen copy of `network` in evaluation mode, on its device; `network` itself stays as it is."""
        self._network = deepcopy(network).eval().requires_grad_(False)
        self.identity = encoder_identity(encoder_without_counters(network.state_dict()))
        self.width = network.width
        self.device = network.linear.weight.device

    def __call__(self, images: Images, batch_size: int | None = None, progress: Advance | None = None) -> np.ndarray:
        """uint8 (N, 3, H, W) -> float32 (N, width), 64 at a time by default. ValueError for another dtype or shape."""
        check_encoder_images(images)
        return encode_in_batches(
            lambda part: self._network.features(part.float() / 255),
            images,
            self.width,
            64 if batch_size is None else batch_size,
            self.device,
            progress,
        )

    def logits(self, features: np.ndarray) -> np.ndarray:
        """float32 (N, width) features, as the call returns them -> float32 (N, classes): nothing is encoded twice."""
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ValueError(f"features: shape (N, {self.width}) wanted, got {features.shape}")
        with exact_encoder_inference():
            return self._network.linear(torch.tensor(features, dtype=torch.float32, device=self.device)).cpu().numpy()

    def classify(self, features: np.ndarray) -> np.ndarray:
        """float32 (N, width) features -> int64 (N,): the most likely class, the lowest of equals."""
        return self.logits(features).argmax(axis=1)

    def predict(self, images: Images, batch_size: int | None = None, progress: Advance | None = None) -> np.ndarray:
        """uint8 (N, 3, H, W) -> int64 (N,): the most likely class."""
        return self.classify(self(images, batch_size, progress))
