"""A baseline is stored whole or not at all, and of trainings that belong together."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gate_cells import save_baseline, stand_in_code_check, store_judge, train

from bench.core.errors import BenchError


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """No code part is made."""
    stand_in_code_check(monkeypatch)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    train(tmp_path, range(3))
    train(tmp_path, [3], methods=["cyclegan"])
    store_judge(tmp_path)
    with pytest.raises(BenchError, match="munit has no finished training of seed 3"):
        save_baseline(tmp_path, seeds=(1, 2, 3))
    with pytest.raises(BenchError, match="there are no trainings of munitt") as caught:
        save_baseline(tmp_path, methods=("munitt",))
    assert "did you mean 'munit'?" in caught.value.remedy
    assert not (tmp_path / "baselines").exists()


def test_a_code_part_that_fails_leaves_no_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path, range(3))
    store_judge(tmp_path)

    def torn(folder: Path, outside: object) -> None:
        folder.mkdir()
        (folder / "inputs.npz").write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["bench.checks.gate.code.code_check"], "record_code_check", torn)
        with pytest.raises(KeyboardInterrupt):
            save_baseline(tmp_path)
    assert [path for path in (tmp_path / "baselines").rglob("*") if path.is_file() and path.name != ".lock"] == []
    save_baseline(tmp_path)
    assert (tmp_path / "baselines" / "main").is_dir()
