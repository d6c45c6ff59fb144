"""Checkpoints that survive a kill, a full disk and a damaged file."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from bench.core.errors import BenchError
from bench.core.files import refused_file, remove_leftover_files, write_atomically

_NAME = re.compile(r"step-(\d{9})-([0-9a-f]{16})\.pt")
KEPT = 2


class CheckpointFolder:
    """The last two checkpoints of a cell, each named by its step and the digest of its bytes.

    A new one is written to a temporary name, read back, compared and renamed before the oldest is removed, so at every
    moment at least one whole checkpoint lies in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write `state` (tensors, numbers, strings, lists, dicts) as the checkpoint of `step`.

        Raises BenchError if the disk refuses or what was written does not read back; older checkpoints are untouched.
        """
        remove_leftover_files(self.folder, "step-*")
        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getvalue()
        path = self.folder / f"step-{step:09d}-{hashlib.sha256(payload).hexdigest()[:16]}.pt"
        write_atomically(path, lambda file: file.write(payload))
        if not _is_whole(path):
            path.unlink()
            raise BenchError(f"{path} did not read back as written", "check the disk, then run the same command again")
        for old in self._newest_first()[KEPT:]:
            old.unlink()
        return path

    def load_latest(self) -> tuple[int, dict[str, Any]] | None:
        """(step, state) of the newest whole checkpoint, on the CPU; None if there is none.

        A damaged one is passed over with a warning that names it.
        """
        for path in self._newest_first():
            state = _read(path)
            if state is not None:
                return _step(path), state
            warnings.warn(f"damaged checkpoint {path}: using the one before it", RuntimeWarning, stacklevel=2)
        return None

    def clear(self) -> None:
        """Remove every checkpoint: the training is finished and its weights are stored."""
        remove_leftover_files(self.folder, "step-*")
        for path in self._newest_first():
            try:
                path.unlink()
            except OSError as error:
                raise refused_file(path, error) from error

    def _newest_first(self) -> list[Path]:
        checkpoints = [path for path in self.folder.glob("step-*.pt") if _NAME.fullmatch(path.name)]
        return sorted(checkpoints, key=_step, reverse=True)


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _read(path: Path) -> dict[str, Any] | None:
    """What `save` was given; None for a file that is not as `save` wrote it."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True) if _is_whole(path) else None
    except Exception:  # the digest guards against damage; a file that was made to fit it may raise whatever it likes
        return None
    return state if isinstance(state, dict) else None


def _is_whole(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] == match[2]
