"""Methods that translate one way alone, and constructors that cannot be asked: each costs what it lacks and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli.commands import main
from bench.store.cell import read_cells


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, results: Path, methods: str, *words: str) -> int:
    words = ("--budget", "images=8", "--device", "cpu", "--jobs", "1", *words)
    base = ("run", "--task", "folder", "--data", str(folder), "--methods", methods, "--results", str(results))
    monkeypatch.setattr("sys.argv", ["bench", *base, *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_it_is_trained_watched_and_scored_in_its_own_direction(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The task scores both; the other direction would raise. A second scoring keeps to it, too."""
    assert run(monkeypatch, shapes, tmp_path, "misfits:Forth,misfits:Fit") == 0
    table = capsys.readouterr().out
    line = next(line for line in table.splitlines() if "does not translate" in line)
    assert line == "- warning: misfits:Forth seed 0: it does not translate paint -> ink", line
    cells = {cell["spec"]["method"]: cell for cell in read_cells(tmp_path, "folder")}
    scored = {name: set(cell["scores"]["noise"]["images"]) for name, cell in cells.items()}
    assert scored == {"misfits:Forth": {"ink->paint"}, "misfits:Fit": {"ink->paint", "paint->ink"}}
    forth, back = table.split("paint->ink", 1)[0], table.split("## folder", 1)[-1]
    assert "misfits:Forth" in forth
    assert back
    words = ["bench", "evaluate", "--task", "folder", "--data", str(shapes), "--methods", "misfits:Forth"]
    monkeypatch.setattr("sys.argv", [*words, "--results", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_a_constructor_that_raises_is_a_failed_row(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, shapes, tmp_path, "misfits:Unbuilt,misfits:Looking") == 1
    printed = capsys.readouterr()
    assert "warning: misfits:Unbuilt cannot be built: RuntimeError: no driver" in printed.err
    assert "failed: misfits:Unbuilt seed 0: RuntimeError: no driver" in printed.out
    states = {cell["spec"]["method"]: cell["status"]["state"] for cell in read_cells(tmp_path, "folder")}
    assert states == {"misfits:Unbuilt": "failed", "misfits:Looking": "done"}


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_a_task_that_scores_none_of_its_directions_refuses_it(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    from bench.spec.tasks import TASKS

    monkeypatch.setitem(TASKS, "folder", replace(TASKS["folder"], directions=((1, 0),)))
    assert run(monkeypatch, shapes, tmp_path, "misfits:Forth") == 2
    assert "misfits:Forth does not translate paint->ink" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert run(monkeypatch, shapes, tmp_path, "misfits:OneDirection") == 0, "it was told"
    (cell,) = read_cells(tmp_path, "folder")
    assert set(cell["scores"]["noise"]["images"]) == {"paint->ink"}
