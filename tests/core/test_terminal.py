"""Text for any reader: what an encoding lacks is transliterated, and a broken command can still be copied."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from board_cells import add, record
from hypothesis import given
from hypothesis import strategies as st
from tiny import SOURCES

from bench.core import terminal
from bench.core.terminal import PLAIN, fit_to_terminal, speak_any_encoding, writable_text
from bench.reporting import setting
from bench.reporting.leaderboard.first_screen import first_screen

ENCODINGS = ("iso8859-15", "cp1252", "ascii", "utf-8")


@given(st.text())
def test_no_text_fails_in_any_encoding(text: str) -> None:
    for encoding in ENCODINGS:
        with pytest.MonkeyPatch.context() as patch:
            stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
            patch.setattr(sys, "stdout", stream)
            patch.setattr(sys, "stderr", stream)
            speak_any_encoding()
            print(text, flush=True)
            assert len(writable_text(text).encode(encoding)) >= len(text.encode("ascii", "ignore"))


def test_what_an_encoding_has_is_kept_and_the_rest_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "± ↑ é λ 日"
    for encoding, wanted in (
        ("utf-8", text), ("cp1252", "± ^ é lambda ?"), ("iso8859-15", "± ^ é lambda ?"), ("ascii", "+- ^ e lambda ?"),
    ):  # fmt: skip
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        assert writable_text(text) == wanted


def test_what_stands_for_a_character_is_ascii() -> None:
    assert all(plain.isascii() and not char.isascii() for char, plain in PLAIN.items())


# ------------------------------------------------------------------------------------------------------ long lines

COMMAND = "python -m bench run --task sketch2real --preset quick --methods cyclegan,drit --seeds 0,1,2"


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_command_that_is_broken_can_be_copied(width: int) -> None:
    lines = fit_to_terminal(f"interrupted: some cells: to resume: {COMMAND}", width).split("\n")
    assert len(lines) > 1
    assert max(map(len, lines)) <= width
    typed = "\n".join(lines).partition("resume:")[2]
    assert shlex.split(typed.replace("\\\n", " ")) == shlex.split(COMMAND)
    first = next(i for i, line in enumerate(lines) if "python -m" in line)
    assert [line.endswith(" \\") for line in lines[first:]] == [True] * (len(lines) - first - 1) + [False]


def test_prose_after_a_command_is_not_part_of_it() -> None:
    text = f"add them: {COMMAND}, then the same run again, or evaluate with more words than there is room for here"
    lines = fit_to_terminal(text, 60).split("\n")
    after = [line for line in lines if "again" in line or "words" in line]
    assert after
    assert not any(line.endswith("\\") for line in after)


@given(st.text(alphabet="ab cd-e;, ", max_size=200), st.integers(20, 60))
def test_wrapping_loses_no_word(text: str, width: int) -> None:
    lines = fit_to_terminal(text, width).split("\n")
    assert " ".join(lines).split() == text.split()
    assert all(len(line) <= width or len(line.split()) == 1 for line in lines)


def test_commands_are_quoted_for_the_system_that_they_are_typed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    data = r"C:\My Data\faces"
    assert setting.setting_command("run", data=data) == rf"python -m bench run --data '{data}'"
    monkeypatch.setattr(setting.os, "name", "nt")
    assert setting.setting_command("run", data=data) == rf'python -m bench run --data "{data}"'
    assert setting.setting_command("run", task="pacs") == "python -m bench run --task pacs"


# -------------------------------------------------------------------------------------------------- whole commands


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_first_screen_is_aligned_in_any_encoding(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (0, 1):
        add(tmp_path, [record(3.0 + seed, deviation=1.0)], seed=seed)
    add(tmp_path, [record(90.0, deviation=1.0)], method="drit")
    monkeypatch.setattr(terminal.sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    lines = first_screen(tmp_path, "folder", 60).split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("ink->paint"))
    assert "FID ^" in lines[start] or "FID ↓".encode(encoding, "ignore").decode(encoding) in lines[start]
    shown = [line for line in lines[start : start + 4] if line]
    assert len({len(line) for line in shown}) == 1, shown
    "\n".join(lines).encode(encoding)


@pytest.mark.parametrize("encoding", ["iso8859-15", "ascii"])
def test_commands_end_well_where_characters_are_lacking(encoding: str, tmp_path: Path) -> None:
    add(tmp_path, [record(3.0, deviation=1.0), record(4.0, label="größe λ")], method="été")
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": SOURCES, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "bench", "table", "--task", "folder", "--results", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    text = ended.stdout.decode(encoding)
    assert "\x1b" not in text
    assert "fid-judge-v1 v (n" in text
    assert ("ete" if encoding == "ascii" else "été") in text
