"""The state of a cell as it is: a process that is gone works on nothing, whatever the cell says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from board_cells import add, record

from bench.reporting.leaderboard.first_screen import first_screen
from bench.reporting.leaderboard.leaderboards import leaderboards
from bench.reporting.page.collect import collect_for_page
from bench.reporting.page.notes import unfinished_notes
from bench.store.cell import INTERRUPTED, Cell, cell_state
from bench.store.index import read_index


def owned(cell: Cell, pid: int, host: str = "", age: float = 0.0) -> None:
    """Say that the process `pid` works on `cell`, since `age` seconds."""
    owner = cell.folder / "owner.json"
    owner.write_text(json.dumps({"pid": pid, "host": host or socket.gethostname()}))
    os.utime(owner, (time.time() - age, time.time() - age))


def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def states(root: Path) -> list[str]:
    return read_index(root, "folder").texts("state")


@pytest.mark.parametrize("recorded", ["running", "trained"])
def test_a_cell_whose_process_is_gone_is_interrupted(recorded: str, tmp_path: Path) -> None:
    cell = add(tmp_path, [], state=recorded)
    owned(cell, os.getpid())
    assert states(tmp_path) == [recorded]
    owned(cell, gone())
    assert states(tmp_path) == [INTERRUPTED]
    assert cell.state() == recorded, "what is recorded stays: a run resumes from it"
    owned(cell, gone(), host="another-machine")
    assert states(tmp_path) == [recorded], "nothing is known of a process elsewhere"
    (cell.folder / "owner.json").write_text("[")
    assert states(tmp_path) == [recorded]
    (cell.folder / "owner.json").unlink()
    assert states(tmp_path) == [INTERRUPTED if recorded == "running" else recorded]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only /proc says when a process began")
def test_a_number_that_was_given_to_another_process_is_not_the_cells(tmp_path: Path) -> None:
    cell = add(tmp_path, [], state="running")
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        owned(cell, process.pid)
        assert cell_state(cell.folder, "running") == "running"
        owned(cell, process.pid, age=3600.0)  # that process began long after this cell was taken
        assert cell_state(cell.folder, "running") == INTERRUPTED
    finally:
        process.communicate(b"\n")


def test_a_held_cell_is_running_until_it_is_let_go(tmp_path: Path) -> None:
    cell = add(tmp_path, [], state="running")
    with cell.locked():
        assert states(tmp_path) == ["running"]
    assert states(tmp_path) == [INTERRUPTED]


def test_finished_states_are_never_looked_at(tmp_path: Path) -> None:
    for state in ("done", "failed", "new"):
        assert cell_state(tmp_path / "nowhere", state) == state


def test_tables_and_the_page_say_how_to_resume(tmp_path: Path) -> None:
    add(tmp_path, [record(3.0)], method="drit")
    for seed in (1, 4):
        owned(add(tmp_path, [], state="running", seed=seed), gone())
    typed = "python -m bench run --task folder --preset quick --budget images=100 --methods cyclegan --seeds 1,4"
    said = f"interrupted: cyclegan seed 1, cyclegan seed 4: no process works on it; to resume: {typed}"
    (board,) = leaderboards(tmp_path, "folder")
    assert said in board
    assert "running" not in board
    screen = first_screen(tmp_path, "folder", 300)
    assert said in screen.split("\n")
    assert any(line.split()[:2] == ["cyclegan", "interrupted"] for line in screen.split("\n"))
    (results,) = collect_for_page(tmp_path)
    assert said in unfinished_notes(results)
    assert {cell.state for cell in results.cells} == {"done", INTERRUPTED}


def test_settings_of_its_own_are_not_guessed(tmp_path: Path) -> None:
    add(tmp_path, [record(3.0)])
    owned(add(tmp_path, [], state="running", config={"width": 16}), gone())
    (board,) = leaderboards(tmp_path, "folder")
    assert "no process works on it; the command that began it resumes it" in board
