"""What rows are called, methods that there are not, and endings of files that nothing writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from board_cells import add, record

from bench.cli.commands import main
from bench.reporting.leaderboard.leaderboards import leaderboards
from bench.runs.given_images import given_name


def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """(exit status, standard error) of a command."""
    monkeypatch.setattr("sys.argv", ["bench", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(str(stopped.value.code)), capsys.readouterr().err


def test_rows_of_checkpoints_are_called_by_file_or_name(tmp_path: Path) -> None:
    for weights, name in (("a" * 12, "munit (gen_1.pt)"), ("b" * 12, "my munit"), ("c" * 12, ""), ("d" * 12, "")):
        cell = add(tmp_path, [record(3.0)], method="munit", weights=weights)
        if name:
            cell.call(name)
    (board,) = leaderboards(tmp_path, "folder")
    names = {line.split("|")[1].strip() for line in board.split("\n") if line.startswith("| m")}
    assert names == {
        "method", "munit (gen\\_1.pt)", "my munit", f"munit [weights={'c' * 12}]", f"munit [weights={'d' * 12}]",
    } or names == {"method", "munit (gen_1.pt)", "my munit", f"munit [weights={'c' * 12}]",
                   f"munit [weights={'d' * 12}]"}  # fmt: skip


def test_two_checkpoints_of_one_name_are_still_two_rows(tmp_path: Path) -> None:
    for weights in ("a" * 12, "b" * 12):
        add(tmp_path, [record(3.0)], method="munit", weights=weights).call("munit (latest.pt)")
    (board,) = leaderboards(tmp_path, "folder")
    assert all(f"munit (latest.pt) [weights={letter * 12}]" in board for letter in "ab")


def test_images_are_called_as_their_folder_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert given_name(Path("/x/my_model")) == "my_model"
    assert given_name(Path("out/v1.2 final")) == "v1.2_final"
    assert given_name(Path("made.npz")) == "made"
    assert given_name(None) == "identity"
    assert given_name(Path("munit")) == "munit_given"  # a method of this program did not make them
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert given_name(Path()) == "here"


def test_evaluate_says_that_a_method_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("evaluate", "--task", "mnist2svhn", "--results", tmp_path)
    status, error = typed(monkeypatch, capsys, *where, "--methods", "cyclgan")
    assert (status, error.split("\n")[0]) == (2, "error: unknown method 'cyclgan'")
    assert "did you mean 'cyclegan'?" in error
    status, error = typed(monkeypatch, capsys, *where, "--methods", "cats_udt:nothing")
    assert (status, error.split("\n")[0]) == (2, "error: cats_udt has no variant 'nothing'")
    status, error = typed(monkeypatch, capsys, *where, "--name", "x")
    assert (status, error.split("\n")[0]) == (2, "error: --name goes with --weights")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("table --task folder --out board.txt", "a file that ends in .txt is not written here"),
        ("table --task folder --out board.pdf --format latex", "end it in .tex"),
        ("table --task folder --out board.md --format csv", "end it in .csv"),
        ("table --paper 1 --out t.xlsx", "end it in .md or .tex or .csv or .html"),
        ("claims --out claims.docx", "end it in .md or .tex or .csv or .html"),
        ("report --out page.html", "is named like a file, and a folder is written"),
        ("figure 3a --out bars.png", "is named like a file, and a folder is written"),
        ("export --task pacs --out sources.zip", "is named like a file, and a folder is written"),
        ("check --baseline x --json found.yaml", "end it in .json"),
        ("check --baseline x --out found.html", "end it in .md"),
        ("check --baseline x --junit found.json", "end it in .xml"),
    ],
)
def test_wrong_endings_are_errors_and_nothing_is_written(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(tmp_path / "results", [record(3.0)])
    monkeypatch.chdir(tmp_path)
    status, error = typed(monkeypatch, capsys, *words.split())
    assert (status, said in error) == (3 if words.startswith("check") else 2, True), error
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_right_endings_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(tmp_path / "results", [record(3.0)])
    monkeypatch.chdir(tmp_path)
    for name, begins in (
        ("a.md", "# folder"),
        ("a.tex", "% in the"),
        ("a.csv", "table,"),
        ("a.html", "<!DOCTYPE"),
        ("a", "#"),
    ):
        assert typed(monkeypatch, capsys, "table", "--task", "folder", "--out", name)[0] == 0
        assert (tmp_path / name).read_text().startswith(begins)
