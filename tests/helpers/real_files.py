"""Tests on real files find them in `$UDT_BENCH_FILES` and skip, with a reason, where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def real_file(relative: str) -> Path:
    """The first `<folder>/<relative>` that exists in `$UDT_BENCH_FILES` (joined by os.pathsep); else the test skips."""
    folders = os.environ.get("UDT_BENCH_FILES")
    if not folders:
        pytest.skip(f"needs {relative}: UDT_BENCH_FILES is not set")
    for folder in folders.split(os.pathsep):
        if folder and (Path(folder) / relative).exists():
            return Path(folder) / relative
    pytest.skip(f"needs {relative}: not in UDT_BENCH_FILES={folders}")
