"""How the commands behave: version, completion, exit status, errors without tracebacks, colours, narrow terminals."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from fixed_tables import LEADERBOARD

from bench.cli import commands as cli
from bench.cli import listing
from bench.cli.commands import main
from bench.cli.options import seeds_option
from bench.core.environment import PACKAGES
from bench.core.errors import BenchError, Interrupted
from bench.core.terminal import fit_to_terminal
from bench.reporting.tables.render import render_tables
from bench.spec.tasks import TASKS

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ROOT = Path(__file__).parents[2]


def ends(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit status of the command line."""
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def fails_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """`list tasks` raises `error` from now on."""

    def raises() -> str:
        raise error

    monkeypatch.setitem(listing.LISTINGS, "tasks", raises)


def test_version_says_what_a_report_of_a_bug_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(monkeypatch, "--version") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("udt-bench ")
    named = {line.partition(":")[0] for line in lines[1:]}
    assert named == {"source", "system", "python", *PACKAGES} - {"udt-bench"}
    import torch

    assert f"torch: {torch.__version__.partition('+')[0]}" in "\n".join(lines)


def test_version_works_where_there_is_no_git(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ends(monkeypatch, "--version") == 0
    assert "source: not a git checkout" in capsys.readouterr().out


def completed(words: str) -> list[str]:
    """What the shell is offered for the last of `words`. Nothing heavy may be imported on the way."""
    code = (
        "import sys; sys.argv = ['udt-bench']\n"
        "from bench.cli.commands import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'PIL', 'scipy', 'omegaconf', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    asked = {"_UDT_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("udt-bench swe", {"sweep"}),
        ("udt-bench run --task mnist", {name for name in TASKS if name.startswith("mnist")}),
        ("udt-bench run --methods cyclegan,mun", {"cyclegan,munit"}),
        ("udt-bench sweep table3", {"table3a", "table3b"}),
        ("udt-bench list pres", {"presets"}),
    ],
)
def test_tab_completes_commands_and_names(words: str, offered: set[str]) -> None:
    assert set(completed(words)) == offered


def test_completion_is_of_the_installed_command_however_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))  # there may be no shell above
    assert ends(monkeypatch, "--show-completion", "bash") == 0
    assert "udt-bench" in capsys.readouterr().out


def test_help_documents_the_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(monkeypatch, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "0 all done; 1 a cell, check or comparison failed; 2 the request cannot be met; 70 a bug of ours" in text


def test_no_summary_in_the_help_is_cut_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for level in ([], ["baseline"]):
        assert ends(monkeypatch, *level, "--help") == 0
        listed = capsys.readouterr().out.partition("Commands:")[2]
        assert listed
        assert "..." not in listed


def test_list_without_a_name_says_what_can_be_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(monkeypatch, "list") == 2
    err = capsys.readouterr().err
    assert all(name in err for name in listing.LISTINGS)


@pytest.mark.parametrize(
    ("typed", "seeds"),
    [("0", (0,)), ("3,1", (3, 1)), ("0-3", (0, 1, 2, 3)), ("0-2, 7,10 - 11", (0, 1, 2, 7, 10, 11)), ("5-5", (5,))],
)
def test_seeds_and_ranges_of_them(typed: str, seeds: tuple[int, ...]) -> None:
    assert seeds_option(typed) == seeds


@pytest.mark.parametrize("typed", ["", "a", "-1", "3-1", "0-", "0--2", "0-2-4", "0,1,...,4", "0-200000000", "0-2,1"])
def test_what_is_no_list_of_seeds_is_shown_as_typed(typed: str) -> None:
    with pytest.raises(BenchError) as caught:
        seeds_option(typed)
    assert f"--seeds {typed!r} " in caught.value.what


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (BenchError("no such thing", "type another"), 2, "error: no such thing\n  type another\n"),
        (Interrupted(15), 143, "interrupted by SIGTERM; saved: the same command resumes\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (OSError(errno.ENOSPC, "x", "here/a.npy"), 2, "error: No space left on device: here/a.npy\n  free some space"),
    ],
    ids=["request", "SIGTERM", "Ctrl-C", "disk full"],
)
def test_exit_status_and_what_is_said(
    error: BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fails_with(error, monkeypatch)
    assert ends(monkeypatch, "list", "tasks") == status
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert "Traceback" not in err


def test_a_bug_of_ours_is_one_line_and_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fails_with(ZeroDivisionError("two\nlines"), monkeypatch)
    assert ends(monkeypatch, "list", "tasks") == 70
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("error: this is a bug of udt-bench: ZeroDivisionError: two; traceback: ")
    [kept] = tmp_path.iterdir()
    assert str(kept) in err
    text = kept.read_text()
    assert text.startswith("bench list tasks\n")
    assert text.endswith("ZeroDivisionError: two\nlines\n")


def test_a_bug_is_told_where_no_file_can_be_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    fails_with(KeyError("x"), monkeypatch)
    assert ends(monkeypatch, "list", "tasks") == 70
    assert capsys.readouterr().err.endswith("KeyError: 'x'; udt-bench --debug COMMAND ... shows the traceback\n")


@pytest.mark.parametrize(("error", "status"), [(KeyError("x"), 70), (BenchError("a", "b"), 2)])
def test_debug_shows_the_traceback_and_keeps_no_file(
    error: Exception,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fails_with(error, monkeypatch)
    assert ends(monkeypatch, "--debug", "list", "tasks") == status
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert "in raises" in err
    assert not list(tmp_path.iterdir())


def on_terminal(code: str, columns: int, **environment: str) -> str:
    """What Python's `code` writes to a terminal of `columns`, standard output and error together."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    environment = {**inherited, "TERM": "xterm-256color", **environment}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=follower, stderr=follower, env=environment, cwd=ROOT) as process:
        os.close(follower)
        written = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:  # Linux' way to say that the other end is closed
                break
            if not part:
                break
            written += part
    os.close(leader)
    assert process.returncode == 0, written
    return written.decode().replace("\r\n", "\n")


PROGRESS = (
    "from bench.core.progress import progress\nimport time\n"
    "with progress('training cats_udt on sketch2real, seed 0', 100, 'images') as advance:\n"
    "    for _ in range(4):\n        time.sleep(0.03)\n        advance(25)\n"
)


@pytest.mark.parametrize("columns", [40, 100])
def test_progress_fits_the_terminal_and_says_how_far_it_is(columns: int) -> None:
    text = ESCAPE.sub("", on_terminal(PROGRESS, columns))
    bars = [line for line in re.split(r"[\r\n]", text) if line.startswith("training")]
    assert max(map(len, bars)) <= columns
    assert ("100 %" if columns == 40 else "100/100") in bars[-1]


def test_no_color_is_heeded() -> None:
    colour = re.compile(r"\x1b\[[0-9;]*m")
    assert colour.search(on_terminal(PROGRESS, 100))
    assert not colour.search(on_terminal(PROGRESS, 100, NO_COLOR="1"))


def test_a_wide_table_becomes_rows_on_a_narrow_terminal() -> None:
    table = render_tables(LEADERBOARD, "markdown")
    narrow = fit_to_terminal(table, 40)
    lines = narrow.split("\n")
    assert all(len(line) <= 40 or "`" in line or len(line.split()) == 1 for line in lines)
    at = lines.index("method: cats_udt:no_sem")
    assert lines[at + 1 : at + 3] == ["  accuracy-judge-v1 % ↑ (n = 250):", "    **81.25 ± 1.4 [2/3]** (a)"]
    # Nothing is lost: every word of every cell is still there.
    words = {word for line in table.split("\n") if line.startswith("| ") for word in line.split() if word != "|"}
    assert words <= {word.rstrip(":") for word in narrow.split()} | set(narrow.split())


def test_text_that_fits_and_text_for_a_pipe_stay_as_they_are() -> None:
    table = render_tables(LEADERBOARD, "markdown")
    assert fit_to_terminal(table, 10_000) == table
    printed = "import bench.core.terminal as t\nt.show_on_terminal('| a | b |\\n|---|---|\\n| ' + 'x ' * 60 + '| 1 |')"
    environment = {**os.environ, "COLUMNS": "40"}
    piped = subprocess.run(
        [sys.executable, "-c", printed], capture_output=True, text=True, check=True, env=environment, cwd=ROOT
    )
    assert piped.stdout == "| a | b |\n|---|---|\n| " + "x " * 60 + "| 1 |\n"
    assert max(map(len, on_terminal(printed, 40).splitlines())) <= 40


def test_rows_that_leave_a_repeated_name_empty_show_it() -> None:
    table = "| class | method with a long heading | value |\n|--|--|--|\n| dog | a | 1 |\n|  | b | 2 |"
    assert fit_to_terminal(table, 30).split("\n\n")[1].split("\n") == [
        "class: dog",
        "  method with a long heading:",
        "    b",
        "  value: 2",
    ]


def test_a_command_is_never_broken() -> None:
    line = "- What is missing: `python -m bench sweep table3a --preset paper --seeds 0,1,2`"
    assert fit_to_terminal(line, 40) == line


def test_every_command_is_in_the_tests_of_help() -> None:
    from test_commands import LEVELS

    commands = {info.name or info.callback.__name__ for info in cli.app.registered_commands if info.callback}
    groups = {group.name: group.typer_instance for group in cli.app.registered_groups}
    assert commands | set(groups) == {level[0] for level in LEVELS if level}
    for name, of in groups.items():
        assert of is not None
        assert {info.name for info in of.registered_commands} == {
            level[1] for level in LEVELS if level[1:] and level[0] == name
        }
