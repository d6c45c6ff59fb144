"""The feature cache: every encoder sees every image once, ever; what follows from real images alone is kept, too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from bench.atomic import write_array, write_json


class FeatureCache:
    """float32 arrays on disk, keyed by the images' bytes, the encoder's weights and the preparation's name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, images: np.ndarray, identity: str, preparation: str, encode: Callable[[], np.ndarray]) -> np.ndarray:
        """The stored array for `images` (uint8), or that of `encode()`, stored.

        A stored file that cannot be read (damaged) is made again.
        """
        path = self._path(preparation, content_key(images, identity, preparation), ".npy")
        with FileLock(path.with_suffix(".lock")):  # a second process waits for the first one's features
            found = _read_array(path)
            if found is None:
                found = encode().astype(np.float32, copy=False)
                write_array(path, found)
        return found

    def find(self, images: np.ndarray, identity: str, preparation: str) -> np.ndarray | None:
        """The stored array for `images`, None if there is none."""
        return _read_array(self._path(preparation, content_key(images, identity, preparation), ".npy"))

    def put(self, images: np.ndarray, identity: str, preparation: str, features: np.ndarray) -> None:
        """Store `features` of `images` for `find`."""
        write_array(self._path(preparation, content_key(images, identity, preparation), ".npy"), features)

    def values(self, what: str, key: str, compute: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """The stored JSON object called `what` for `key`, or that of `compute()`, stored."""
        path = self._path(what, key, ".json")
        with FileLock(path.with_suffix(".lock")):
            try:
                return json.loads(path.read_text())
            except (OSError, ValueError):  # absent or damaged
                found = compute()
                write_json(path, found)
        return found

    def _path(self, kind: str, key: str, suffix: str) -> Path:
        path = self.root / kind / f"{key}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _read_array(path: Path) -> np.ndarray | None:
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError):
        path.unlink()  # damaged
        return None


def content_key(array: np.ndarray, *parts: str) -> str:
    """sha256 over shape, dtype, bytes and `parts`."""
    digest = hashlib.sha256(repr((array.shape, array.dtype.str, parts)).encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
