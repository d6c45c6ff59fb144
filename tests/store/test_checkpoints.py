"""Checkpoints survive damage and a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from bench.core.errors import BenchError
from bench.store.checkpoints import CheckpointFolder


def state(value: float) -> dict[str, object]:
    return {"module": {"w": torch.full((100,), value)}, "seconds": 1.5, "zero_since": None}


def value_of(loaded: dict[str, object]) -> float:
    module = loaded["module"]
    assert isinstance(module, dict)
    return float(module["w"][0])


def test_newest_is_loaded_and_two_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    assert folder.load_latest() is None
    for step in (10, 20, 30):
        folder.save(step, state(step))
    assert len(list(tmp_path.iterdir())) == 2
    found = folder.load_latest()
    assert found is not None
    assert (found[0], value_of(found[1])) == (30, 30.0)


@pytest.mark.parametrize("damage", ["truncated", "one bit"])
def test_damaged_newest_gives_previous_with_a_warning(tmp_path: Path, damage: str) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(10, state(10))
    newest = folder.save(20, state(20))
    payload = bytearray(newest.read_bytes())
    if damage == "truncated":
        payload = payload[: len(payload) // 2]
    else:
        payload[len(payload) // 2] ^= 1
    newest.write_bytes(payload)
    with pytest.warns(RuntimeWarning, match="damaged checkpoint .*step-000000020"):
        found = folder.load_latest()
    assert found is not None
    assert (found[0], value_of(found[1])) == (10, 10.0)


def test_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(10, state(10))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BenchError, match="No space left on device") as caught:
        folder.save(20, state(20))
    assert "resumes" in caught.value.remedy
    assert [path.name[:14] for path in tmp_path.iterdir()] == ["step-000000010"]
    found = folder.load_latest()
    assert found is not None
    assert value_of(found[1]) == 10.0


def test_clear_removes_all(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(10, state(10))
    folder.clear()
    assert list(tmp_path.iterdir()) == []
