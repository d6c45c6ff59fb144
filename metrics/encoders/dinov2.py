"""DINOv2's features, for FD-DINOv2 (Stein et al. 2023, "Exposing flaws of generative model evaluation metrics").

And its keys, for the structure that a translation keeps (metrics/self_similarity.py).

The network is timm's; the checkpoint, Meta's. What is done here: the position table as Meta's own code resamples it for
224 px, and the preparation of the common implementations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from metrics.encoders.base import (
    Advance,
    ImageEncoder,
    Images,
    check_encoder_images,
    encode_in_batches,
    encoder_identity,
    exact_encoder_inference,
    read_encoder_tensors,
    to_device,
)
from metrics.self_similarity import structure_distances

SIDE, PATCH, HEAD = 224, 14, 64
"""Pixels of the input and of a patch; channels of an attention head."""
TABLE = 37
"""Patches on a side in the checkpoint's position table: it was trained at 518 px."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of red, green and blue in [0, 1]."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of a DINOv2 vision transformer (14 px patches, heads of 64 channels, no register tokens)."""

    name: str
    """Part of the encoder's name."""
    width: int
    """Channels of a token."""
    depth: int
    """Blocks."""


VIT_L = Architecture("vitl14", 1024, 24)
"""The one FD-DINOv2 is defined with."""


class Dinov2Encoder(ImageEncoder):
    """DINOv2's class token after the last norm; with `VIT_L` the features of FD-DINOv2. And the last block's keys.

    Preparation: bicubic with antialias to 224 px in float32 (not clipped, not rounded), / 255, ImageNet's mean and
    deviation. That is EDM2's; the first implementation rounds to uint8 after PIL's filter of the same shape.

    What has not been checked: no copy of the published weights could be had when this was written. The key names are
    those under which timm lists this very file, and loading is strict, so another layout is an error and not another
    number; the forward pass equals an independent one on made-up weights. No value has been compared with a published
    FD-DINOv2.
    """

    def __init__(
        self, weights_path: str | Path, device: str | torch.device = "cpu", architecture: Architecture = VIT_L
    ) -> None:
        """`weights_path`: Meta's `dinov2_vitl14_pretrain.pth`, or a file of its layout with the sizes `architecture`.

        ModuleNotFoundError without timm (the extra `dinov2`); FileNotFoundError if there is no such file; ValueError if
        it does not hold exactly this network's tensors (`mask_token`, which only training uses, may be absent).
        """
        model = _model_without_values(architecture)
        with Path(weights_path).open("rb") as file:
            state = read_encoder_tensors(file, weights_path)
        state = {name: tensor.float() for name, tensor in state.items() if name != "mask_token"}
        _check_state(state, model.state_dict(), architecture, weights_path)
        self.name = f"dinov2-{architecture.name}-bicubic-224"
        self.identity = encoder_identity(state)
        self.width = architecture.width
        self.device = torch.device(device)
        state["pos_embed"] = resampled_dinov2_positions(state["pos_embed"], SIDE // PATCH)
        model.load_state_dict(state, assign=True)
        self._model = model.eval().requires_grad_(False).to(self.device)

    def __call__(self, images: Images, batch_size: int | None = None, progress: Advance | None = None) -> np.ndarray:
        """uint8 (N, 3, H, W) -> float32 (N, width). ValueError for images of another dtype or shape.

        `batch_size` by default: 4 on a CPU, 64 elsewhere.
        """
        check_encoder_images(images)
        if batch_size is None:
            batch_size = 4 if self.device.type == "cpu" else 64
        return encode_in_batches(self._features, images, self.width, batch_size, self.device, progress)

    def structure_distances(
        self, x: Images, y: Images, batch_size: int | None = None, progress: Advance | None = None
    ) -> np.ndarray:
        """uint8 (N, 3, H, W) twice -> float32 (N,): `metrics.self_similarity` of x[i] and y[i].

        ValueError for other shapes or dtypes. `batch_size` pairs at once; by default 4 on a CPU, 64 elsewhere.
        """
        if x.shape != y.shape:
            raise ValueError(f"x and y: images of the same shape wanted, got {tuple(x.shape)} and {tuple(y.shape)}")
        check_encoder_images(x)
        check_encoder_images(y)
        step = batch_size or (4 if self.device.type == "cpu" else 64)
        distances = np.empty(len(x), np.float32)
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            distances[part] = structure_distances(self.keys(x[part]), self.keys(y[part]))
            if progress is not None:
                progress(len(distances[part]))
        return distances

    def keys(self, images: Images) -> np.ndarray:
        """uint8 (N, 3, H, W) -> float32 (N, 257, width): the keys of the last block's attention, all images at once.

        Of each token (the class token first, then 16 x 16 patches in row order) the heads' keys stand one after the
        other, as the product of the block's first norm with the key third of `attn.qkv` gives them, bias included.
        """
        check_encoder_images(images)
        kept: list[Tensor] = []
        queries_keys_values = self._model.blocks[-1].attn.qkv
        hook = queries_keys_values.register_forward_hook(lambda module, inputs, output: kept.append(output))
        try:
            with exact_encoder_inference():
                self._features(to_device(images, self.device))
        finally:
            hook.remove()
        return kept[0][:, :, self.width : 2 * self.width].cpu().numpy()  # (N, 257, 3 width): q, k, v

    def _features(self, images: Tensor) -> Tensor:
        x = F.interpolate(images.float(), (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
        mean, deviation = (x.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        return self._model.forward_features((x / 255 - mean) / deviation)[:, 0]  # (B, 1 + 256, width) -> class token


def resampled_dinov2_positions(table: Tensor, side: int) -> Tensor:
    """(1, 1 + 37², D) -> (1, 1 + side², D): the class token's row as it is, the others as Meta's code resamples them.

    That is bicubic *without* antialias, and by the scale factor (side + 0.1) / 37, not side / 37: a remnant of DINO's
    code with which the published features are made. timm resamples with antialias and without the 0.1.
    """
    patches = table[:, 1:].unflatten(1, (TABLE, TABLE)).permute(0, 3, 1, 2)  # (1, D, 37, 37)
    scale = (side + 0.1) / TABLE
    patches = F.interpolate(patches, scale_factor=(scale, scale), mode="bicubic", align_corners=False, antialias=False)
    return torch.cat([table[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def _model_without_values(architecture: Architecture) -> Any:
    """timm's VisionTransformer without memory for its parameters: no time for initial values, nothing drawn."""
    try:
        from timm.models.vision_transformer import VisionTransformer
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("timm"):
            raise
        raise ModuleNotFoundError("DINOv2 needs timm: pip install 'udt-bench[dinov2]'", name="timm") from error
    with torch.device("meta"):
        return VisionTransformer(
            img_size=SIDE, patch_size=PATCH, num_classes=0, init_values=1.0,  # init_values: there are layer scales
            embed_dim=architecture.width, depth=architecture.depth, num_heads=architecture.width // HEAD,
        )  # fmt: skip


def _check_state(
    state: Mapping[str, Tensor], model: Mapping[str, Tensor], architecture: Architecture, path: str | Path
) -> None:
    """ValueError unless `state` has the names and shapes of `model`, but for the longer position table."""
    wanted = {name: tuple(tensor.shape) for name, tensor in model.items()}
    wanted["pos_embed"] = (1, 1 + TABLE**2, architecture.width)
    got = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
    if wrong:
        first = wrong[0]
        raise ValueError(
            f"{path}: not the weights of DINOv2 {architecture.name}: {len(wrong)} tensors differ, the first is "
            f"{first}: {wanted.get(first, 'none')} wanted, got {got.get(first, 'none')}"
        )
