"""The feature cache: every encoder sees every image once, ever."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from bench.atomic import write_array


class FeatureCache:
    """float32 arrays on disk, keyed by the images' bytes, the encoder's weights and the preparation's name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, images: np.ndarray, identity: str, preparation: str, encode: Callable[[], np.ndarray]) -> np.ndarray:
        """The stored array for `images` (uint8), or that of `encode()`, stored.

        A stored file that cannot be read (damaged) is made again.
        """
        path = self.root / preparation / f"{content_key(images, identity, preparation)}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # a second process waits for the first one's features
            if path.exists():
                try:
                    return np.load(path, allow_pickle=False)
                except (ValueError, EOFError):
                    path.unlink()
            features = encode().astype(np.float32, copy=False)
            write_array(path, features)
        return features


def content_key(images: np.ndarray, *parts: str) -> str:
    """sha256 over shape, bytes and `parts`."""
    digest = hashlib.sha256(repr((images.shape, images.dtype.str, parts)).encode())
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()
