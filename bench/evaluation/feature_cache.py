"""The feature cache: every encoder sees every image once, ever. Values that follow from real images are kept, too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bench.core.errors import BenchError
from bench.core.files import file_lock, read_array, read_json, remove_leftover_files, write_array, write_json
from bench.core.progress import progress
from metrics.encoders.base import ImageEncoder

T = TypeVar("T")


class FeatureCache:
    """float32 arrays on disk, keyed by the images' bytes, the encoder's weights and the preparation's name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, images: np.ndarray, identity: str, preparation: str, encode: Callable[[], np.ndarray]) -> np.ndarray:
        """The stored array for `images` (uint8), or that of `encode()`, stored.

        A stored file that is damaged is computed again.
        """
        path = self._path(preparation, feature_cache_key(images, identity, preparation), ".npy")
        with _locked(path):  # a second process waits for the first one's features
            features = _read(path, read_array)
            if features is None:
                features = encode().astype(np.float32, copy=False)
                write_array(path, features)
        return features

    def encode(self, encoder: ImageEncoder, images: np.ndarray) -> np.ndarray:
        """float32 (N, width) features of uint8 images (N, 3, H, W) by `encoder`, stored if they were ever computed."""

        def run() -> np.ndarray:
            with progress(f"encoding ({encoder.name})", len(images), "images") as advance:
                return encoder(images, progress=advance)

        return self.get(images, encoder.identity, encoder.name, run)

    def find(self, images: np.ndarray, identity: str, preparation: str) -> np.ndarray | None:
        """The stored array for `images`, None if there is none."""
        return _read(self._path(preparation, feature_cache_key(images, identity, preparation), ".npy"), read_array)

    def put(self, images: np.ndarray, identity: str, preparation: str, features: np.ndarray) -> None:
        """Store `features` of `images` for `find`."""
        write_array(self._path(preparation, feature_cache_key(images, identity, preparation), ".npy"), features)

    def values(self, kind: str, key: str, compute: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """The stored JSON object called `kind` for `key`, or that of `compute()`, stored."""
        path = self._path(kind, key, ".json")
        with _locked(path):
            stored: Mapping[str, Any] | None = _read(path, read_json)
            if not isinstance(stored, dict):
                stored = compute()
                write_json(path, stored)
        return stored

    def _path(self, kind: str, key: str, suffix: str) -> Path:
        return self.root / kind / f"{key}{suffix}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock `path` against other processes and remove what a killed one left."""
    with file_lock(path.with_suffix(".lock")):
        remove_leftover_files(path.parent, path.name)
        yield


def _read(path: Path, read: Callable[[Path], T]) -> T | None:
    """`read(path)`; None if the file is absent, or damaged and so to be computed again."""
    try:
        return read(path)
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror or error}", "check it and its permissions") from error


def feature_cache_key(array: np.ndarray, *parts: str) -> str:
    """sha256 over shape, dtype, bytes and `parts`."""
    digest = hashlib.sha256(repr((array.shape, array.dtype.str, parts)).encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
