"""The numbers of the programs that `score --against` replaces, as they printed them, against ours on the same files.

Run once on the files that `folders` below lays, with torch 2.14.1 on a CPU and one thread:

- `fidelity --fid --cpu --no-cache --input1 A --input2 B`, torch-fidelity 0.4.0, which prints seven digits;
- `python -m pytorch_fid --device cpu A B`, pytorch-fid 0.3.0, with the same network under its file's name;
- `cleanfid.fid.compute_fid(A, B, mode="clean")`, clean-fid 0.1.35, with the same network as TorchScript in place of
  NVIDIA's file, which could not be had.
"""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copyfile

import pytest
from real_files import INCEPTION, real_file

from bench.cli.commands import main

PRINTED = {
    "fid-inception-v1": (371.303, 1e-5),
    "fid-pytorch-v1": (370.71588837943807, 1e-4),
    "fid-clean-v1": (384.9456015039871, 1e-4),
}
"""Protocol -> what the program that it is named for printed, and the relative difference that is allowed."""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """20 sketches and 20 photographs of PACS, the files as they are (PNG and JPEG, 227 px)."""
    real_file(INCEPTION)
    for name, domain, step in (("a", "sketch", 180), ("b", "photo", 45)):
        (tmp_path / name).mkdir()
        files = sorted(real_file(f"datasets/pacs/{domain}").glob("*/*"))[::step][:20]
        for file in files:
            copyfile(file, tmp_path / name / f"{file.parent.name}_{file.name}")
    return tmp_path / "a", tmp_path / "b"


@pytest.mark.slow
def test_equal_to_what_they_printed(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images, real = map(str, folders)
    words = "bench", "score", images, "--against", real, "--results", str(tmp_path / "r"), "--device", "cpu"
    monkeypatch.setattr("sys.argv", [*words, "--only", ",".join(PRINTED), "--format", "json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    values = {record["protocol"]: record["value"] for record in json.loads(capsys.readouterr().out)}
    assert values.keys() == PRINTED.keys()
    for protocol, (printed, within) in PRINTED.items():
        assert values[protocol] == pytest.approx(printed, rel=within), protocol
