"""Tests on real files find them in `$UDT_BENCH_FILES` and skip, with a reason, where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

INCEPTION = "weights/weights-inception-2015-12-05-nofc.pth"


def real_file(relative: str) -> Path:
    """The first `<folder>/<relative>` that exists in `$UDT_BENCH_FILES` (joined by os.pathsep); else the test skips."""
    folders = os.environ.get("UDT_BENCH_FILES")
    if not folders:
        pytest.skip(f"needs {relative}: UDT_BENCH_FILES is not set")
    for folder in folders.split(os.pathsep):
        if folder and (Path(folder) / relative).exists():
            return Path(folder) / relative
    pytest.skip(f"needs {relative}: not in UDT_BENCH_FILES={folders}")


def pacs(folder: Path, count: int, size: int = 64) -> np.ndarray:
    """`count` images spread over the classes of a PACS domain: uint8 (count, 3, size, size)."""
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    files = files[:: len(files) // count][:count]
    images = [Image.open(path).convert("RGB").resize((size, size), Image.Resampling.LANCZOS) for path in files]
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in images])
