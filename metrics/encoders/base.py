"""Common parts of the encoders: their interface, reading and identifying weights, checking images, exact inference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

Advance = Callable[[int], None]
"""Called with the number of images done since the last call."""
Images = np.ndarray | Tensor


@runtime_checkable
class ImageEncoder(Protocol):
    """Images to vectors. Features depend on the image, `name` and `identity` alone: together they are a cache's key."""

    name: str
    """Name of the network, its precision and the preparation of its input; another one wherever values would differ."""
    identity: str
    """sha256 (hex) of the weights in use: `encoder_identity`."""
    width: int
    """Features of one image."""

    def __call__(self, images: Images, batch_size: int | None = None, progress: Advance | None = None) -> np.ndarray:
        """uint8 (N, 3, H, W) -> float32 (N, width). ValueError for images of another dtype or shape.

        `images` may be memory-mapped: one batch of them is read at a time. `batch_size` None: what suits the device.
        """


# --------------------------------------------------------------------------------------------------------- weights


def encoder_identity(tensors: Mapping[str, Tensor]) -> str:
    """sha256 (hex) over the sorted names, dtypes, shapes and bytes of `tensors`: the identity of weights in use.

    Not that of a file: a file may be repacked, or hold more than is used.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def encoder_without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State without BatchNorm's `num_batches_tracked`, which no evaluation uses."""
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def read_encoder_tensors(file: IO[bytes], path: str | Path) -> dict[str, Tensor]:
    """The state dict in `file`. ValueError with the name `path` if it is damaged or holds anything but tensors."""
    try:
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path}: not a readable PyTorch file of tensors: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: a state dict (name -> tensor) wanted")
    return state


# ---------------------------------------------------------------------------------------------------------- images


def check_encoder_images(images: Images) -> None:
    """ValueError unless uint8 (N, 3, H, W), none of H and W 0."""
    if images.dtype not in (np.uint8, torch.uint8):
        raise ValueError(
            f"images: uint8 in 0..255 wanted, got {images.dtype}. Floats may be in [0, 1] or [-1, 1], and the "
            "wrong one gives a wrong number that looks right: round to uint8 first"
        )
    _check_shape(images)


def check_encoder_floats(images: Images) -> None:
    """ValueError unless float32 (N, 3, H, W), none of H and W 0, every value in [0, 1]."""
    if images.dtype not in (np.float32, torch.float32):
        raise ValueError(f"images: float32 in [0, 1] wanted, got {images.dtype}")
    _check_shape(images)
    for start in range(0, len(images), 256):
        part = _tensor(images[start : start + 256])
        low, high = (float(value) for value in part.aminmax())
        if not (low >= 0 and high <= 1):  # NaN, too, makes this true
            raise ValueError(
                f"images: finite values in [0, 1] wanted, got {low:g} to {high:g} among images {start} to "
                f"{start + len(part) - 1}. From [-1, 1]: clamp, then (x + 1) / 2"
            )


def _check_shape(images: Images) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise ValueError(f"images: shape (N, 3, H, W) wanted, got {tuple(images.shape)}")


def check_encoder_batch_size(batch_size: int) -> None:
    """ValueError below 1."""
    if batch_size < 1:
        raise ValueError(f"batch_size: at least 1 wanted, got {batch_size}")


def to_device(images: Images, device: torch.device) -> Tensor:
    """A copy on `device`; of a memory-mapped array it reads just these images."""
    return _tensor(images).to(device)


def _tensor(images: Images) -> Tensor:
    return images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))


# -------------------------------------------------------------------------------------------------------- encoding


def encode_in_batches(
    encode: Callable[[Tensor], Tensor],
    images: Images,
    width: int,
    batch_size: int,
    device: torch.device,
    progress: Advance | None,
) -> np.ndarray:
    """`encode` over batches of checked `images` (N, 3, H, W), which may be memory-mapped -> float32 (N, width)."""
    check_encoder_batch_size(batch_size)
    features = np.empty((len(images), width), np.float32)
    for start in range(0, len(images), batch_size):
        part = to_device(images[start : start + batch_size], device)
        with exact_encoder_inference():
            features[start : start + len(part)] = encode(part).cpu().numpy()
        if progress is not None:
            progress(len(part))
    return features


@contextmanager
def exact_encoder_inference() -> Iterator[None]:
    """No graph, no autocast, no TF32 in convolutions (the default of cuDNN) or products (where a program has chosen
    it): any of them would move features by 1e-3."""
    exact_convolutions = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.inference_mode(),
            exact_convolutions,
            torch.autocast("cuda", enabled=False),
            torch.autocast("cpu", enabled=False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
