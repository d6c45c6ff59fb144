"""The FID network behind named preparations of its input.

One Inception-v3 (of 2015-12-05, the last pooled layer, 2048 wide) stands behind most published FIDs; what differs is
how an image becomes its 299 x 299 input, and that alone moves an FID by several units. So the network is read once, and
each preparation makes an encoder with a name of its own.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from metrics.encoders.base import (
    Advance,
    ImageEncoder,
    Images,
    check_encoder_floats,
    check_encoder_images,
    encode_in_batches,
    encoder_identity,
    encoder_without_counters,
    read_encoder_tensors,
)

SIDE = 299
"""Pixels of the network's input."""


# ------------------------------------------------------------------------------------------------------ preparations


@dataclass(frozen=True)
class Preparation:
    """Preparation of images as the network's input."""

    name: str
    """Part of the encoder's name."""
    from_bytes: Callable[[Tensor], Tensor]
    """uint8 (B, 3, H, W) -> float32 (B, 3, 299, 299), about [-1, 1], on the same device."""
    from_floats: Callable[[Tensor], Tensor] | None = None
    """float32 (B, 3, H, W) in [0, 1] -> the same; None where the definition knows only uint8."""


def _like_tensorflow(images: Tensor) -> Tensor:
    x = interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(SIDE, SIDE), align_corners=False)
    return (x - 128) / 128  # the original graph's range, [-1, 0.9921875]


def _like_pytorch_fid(images: Tensor) -> Tensor:
    x = F.interpolate(images, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=False)
    return 2 * x - 1  # [-1, 1]


def _like_clean_fid(images: Tensor) -> Tensor:
    """Resize by PIL itself, on the CPU: the definition names it; its filter widens where an image is made smaller."""
    channels = images.cpu().float().numpy()  # (B, 3, H, W) in [0, 255]
    resized = [
        [np.asarray(Image.fromarray(channel).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for channel in image]
        for image in channels
    ]  # float32 channels are images of mode F: nothing is rounded
    x = torch.from_numpy(np.array(resized, np.float32)).clamp(0, 255)  # bicubic filters overshoot
    return ((x - 128) / 128).to(images.device)


TF1 = Preparation("tf1-299", _like_tensorflow)
"""The original: bilinear as TensorFlow 1 did it (torch-fidelity's code), no antialias; source position = scale x index,
which moves an image by up to half a pixel."""
PYTORCH = Preparation("pytorch-299", lambda images: _like_pytorch_fid(images.float() / 255), _like_pytorch_fid)
"""mseitzer's pytorch-fid, with which CatS-UDT's paper measured: F.interpolate, bilinear, no antialias; source position
= scale x (index + 1/2) - 1/2. Defined for floats in [0, 1]; uint8 enters as x / 255."""
CLEAN = Preparation("clean-299", _like_clean_fid)
"""clean-fid (Parmar et al. 2022): each channel by PIL's bicubic filter in float, clipped to [0, 255], not rounded."""


# ------------------------------------------------------------------------------------------------------- the network


class InceptionNetwork:
    """The FID Inception-v3 up to its 2048 pooled features: read, folded and hashed once, whatever stands before it.

    About 1.5 times the rate of torch-fidelity's own on one CPU thread at equal output: every BatchNorm is folded into
    its convolution, and channels stand last in memory.
    """

    width = 2048

    def __init__(self, weights_path: str | Path, device: str | torch.device = "cpu") -> None:
        """`weights_path`: under torch-fidelity's key names; `fc` must be there but is not used.

        FileNotFoundError if there is no such file; ValueError if it does not hold exactly this network's tensors.
        """
        content = Path(weights_path).read_bytes()
        state = read_encoder_tensors(io.BytesIO(content), weights_path)
        try:
            with torch.random.fork_rng(devices=[]):  # the constructor draws initial weights
                # torch-fidelity unpickles without restrictions: of the very bytes that passed a restricted load above.
                full = FeatureExtractorInceptionV3("inception", ["2048"], io.BytesIO(content))
        except (RuntimeError, AttributeError) as error:
            reason = shorten(str(error), 200, placeholder=" ...")  # it may list several hundred names
            raise ValueError(f"{weights_path}: not the weights of the FID Inception network: {reason}") from error
        used = {key: value for key, value in state.items() if not key.startswith("fc.")}
        self.identity = encoder_identity(encoder_without_counters(used))
        self.device = torch.device(device)
        self.precision = torch.float32
        layers = [layer for name, layer in full.named_children() if name != "fc"]  # registered in order of use
        self._layers = _fold_norms(nn.Sequential(*layers)).to(self.device).to(memory_format=torch.channels_last)

    def in_bfloat16(self) -> InceptionNetwork:
        """Inception with its weights rounded to bfloat16 after folding, with every layer computed in bfloat16.

        About 3 times the rate of torch-fidelity's own on one thread of a CPU with bfloat16 instructions (casting by
        autocast was 3 % slower, channels first half as fast); elsewhere it may be slower than float32. Features are off
        by 2 to 3 % of their length, an FID of 200 images by about 0.1 %: an approximation, under a name of its own.
        """
        rounded = copy(self)
        rounded.precision = torch.bfloat16
        rounded._layers = deepcopy(self._layers).to(torch.bfloat16)
        return rounded

    def __call__(self, x: Tensor) -> Tensor:
        """float32 (B, 3, 299, 299), about [-1, 1] -> float32 (B, 2048)."""
        x = x.to(self.precision, memory_format=torch.channels_last)
        return self._layers(x).flatten(1).float()


def _fold_norms(network: nn.Module) -> nn.Module:
    """Every `conv` followed by its `bn` becomes one convolution with a bias."""
    for module in network.modules():
        conv, norm = getattr(module, "conv", None), getattr(module, "bn", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module.conv, module.bn = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return network


# ------------------------------------------------------------------------------------------------------- the encoder


class InceptionEncoder(ImageEncoder):
    """An `InceptionNetwork` behind one preparation; several encoders may share a network.

    With TF1 equal to torch-fidelity's features within 1e-5 of their largest value.
    """

    width = InceptionNetwork.width

    def __init__(self, network: InceptionNetwork, preparation: Preparation) -> None:
        precision = {torch.float32: "", torch.bfloat16: "-bf16"}[network.precision]
        self.name = f"inception-2015-12-05-{preparation.name}{precision}"
        self.identity = network.identity
        self.device = network.device
        self._network = network
        self._preparation = preparation

    def __call__(self, images: Images, batch_size: int | None = None, progress: Advance | None = None) -> np.ndarray:
        """uint8 (N, 3, H, W) -> float32 (N, 2048). ValueError for images of another dtype or shape.

        `batch_size` by default: 8 on a CPU, where small batches stay in its cache, and 128 elsewhere. In float32,
        features agree within 1e-5 of their largest value whatever it is.
        """
        check_encoder_images(images)
        return self._encode(self._preparation.from_bytes, images, batch_size, progress)

    def encode_floats(
        self, images: Images, batch_size: int | None = None, progress: Advance | None = None
    ) -> np.ndarray:
        """float32 (N, 3, H, W) in [0, 1] -> float32 (N, 2048): a generator's output, not rounded to uint8.

        ValueError for another dtype, another shape, any value outside [0, 1] (checked before the first is encoded), or
        a preparation that is defined for uint8 alone.
        """
        prepare = self._preparation.from_floats
        if prepare is None:
            raise ValueError(f"{self.name} is defined for uint8 images only: round to uint8 and call the encoder")
        check_encoder_floats(images)
        return self._encode(prepare, images, batch_size, progress)

    def _encode(
        self, prepare: Callable[[Tensor], Tensor], images: Images, batch_size: int | None, progress: Advance | None
    ) -> np.ndarray:
        if batch_size is None:
            batch_size = 8 if self.device.type == "cpu" else 128
        return encode_in_batches(
            lambda part: self._network(prepare(part)), images, self.width, batch_size, self.device, progress
        )
