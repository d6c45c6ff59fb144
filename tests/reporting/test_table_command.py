"""`bench table`: what may be asked for, what is written where, and what is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from board_cells import add, record
from stored_cells import fid, judged, store
from table_checks import parse_html

from bench.cli.commands import main
from bench.cli.outcome import show_outcome
from bench.core.errors import BenchError
from bench.reporting.leaderboard.leaderboards import leaderboards
from bench.reporting.paper.from_results import tables_from_results
from bench.reporting.setting import Commands
from bench.runs.run import RunOutcome


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["bench", "table", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


def test_the_leaderboard_is_printed_and_filtered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(tmp_path, [record(1.0)])
    add(tmp_path, [record(2.0)], preset="paper")
    add(tmp_path, [record(3.0)], data_kind="embedded")
    base = ["--task", "folder", "--results", str(tmp_path)]
    assert call(monkeypatch, *base) == 0
    assert capsys.readouterr().out == "\n".join(leaderboards(tmp_path, "folder"))
    assert call(monkeypatch, *base, "--preset", "paper") == 0
    assert capsys.readouterr().out.count("\n# folder") + 1 == 1
    assert call(monkeypatch, *base, "--data", "embedded", "--format", "csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("table,notes,row")
    assert not any("preset paper" in line or "real data" in line for line in lines)


@pytest.mark.parametrize(("suffix", "begin"), [(".md", "# "), (".tex", "% "), (".csv", "table,"), (".html", "<!DOC")])
@pytest.mark.parametrize("words", [["--task", "folder"], ["--paper", "2"]])
def test_the_file_has_the_form_that_its_name_says(
    words: list[str], suffix: str, begin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    add(tmp_path, [record(1.0)])
    out = tmp_path / "made" / f"t{suffix}"
    assert call(monkeypatch, *words, "--results", str(tmp_path), "--out", str(out)) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"table: {out}\n")
    assert out.read_text().startswith(begin)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    if suffix == ".html":
        body = out.read_text().partition("<body>")[2].partition("</body>")[0]
        parse_html(body)
    as_markdown = call(monkeypatch, *words, "--results", str(tmp_path), "--out", str(out), "--format", "md")
    assert as_markdown == (0 if suffix == ".md" else 2)  # a file's name does not lie
    assert out.read_text().startswith(begin)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name one of them"),
        (["--task", "folder", "--paper", "2"], "name one of them"),
        (["--task", "foldr"], "did you mean 'folder'"),
        (["--paper", "7"], "the paper has no table '7'"),
        (["--task", "folder", "--format", "latx"], "did you mean 'latex'"),
        (["--task", "folder", "--preset", "papr"], "did you mean 'paper'"),
        (["--task", "folder", "--data", "embeded"], "did you mean 'embedded'"),
        (["--task", "folder", "--preset", "paper"], "no results of folder in"),
        (["--task", "pacs"], "python -m bench run --task pacs"),
    ],
)
def test_what_cannot_be_met_is_refused_and_writes_nothing(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(tmp_path, [record(1.0)])
    out = tmp_path / "t.md"
    assert call(monkeypatch, *words, "--results", str(tmp_path), "--out", str(out)) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_several_settings_of_a_paper_s_table_stand_below_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store(tmp_path, "cats_udt", [fid(60.0)])
    store(tmp_path, "cats_udt", [fid(61.0)], preset="paper")
    assert call(monkeypatch, "--paper", "2", "--results", str(tmp_path)) == 0
    assert capsys.readouterr().out.count("# Table 2 of the paper") == 2
    assert call(monkeypatch, "--paper", "2", "--results", str(tmp_path), "--format", "csv", "--preset", "quick") == 0
    printed = capsys.readouterr().out
    assert printed.count("table,notes") == 1
    assert "60.0" in printed
    assert "61.0" not in printed


def test_torch_and_pandas_are_not_imported(tmp_path: Path) -> None:
    """Neither for a table of the paper, once the methods' settings are kept."""
    store(tmp_path, "cats_udt", [fid(60.0), judged(80.0)])
    store(tmp_path, "cats_udt", [fid(61.0), judged(81.0)], seed=1)
    tables_from_results(tmp_path, "2", lambda setting: True, Commands())
    code = (
        "import sys\n"
        "from bench.cli.commands import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert stop.code in (0, None), stop.code\n"
        "print({'torch', 'pandas', 'scipy.stats'} & set(sys.modules), file=sys.stderr)\n"
    )

    def heavy(*words: str) -> str:
        command = [sys.executable, "-c", code, "table", "--results", str(tmp_path), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr.strip()

    assert heavy("--task", "sketch2real") == "set()"
    assert heavy("--paper", "2") == "set()"


def test_a_cell_that_cannot_be_read_is_named_in_every_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Silence would read as "was never run"; where nothing else is left, it is an error."""
    broken, whole = add(tmp_path, [record(1.0)]), add(tmp_path, [record(2.0)], seed=1)
    base = ["--task", "folder", "--results", str(tmp_path)]
    for damage, said in (
        (lambda: (broken.folder / "spec.json").write_text("{"), "spec.json is damaged"),
        (lambda: (broken.folder / "spec.json").unlink(), "spec.json is damaged: it is not there"),
    ):
        damage()
        for form in ("md", "csv", "latex", "html"):
            assert call(monkeypatch, *base, "--format", form) == 0
            printed = capsys.readouterr()
            assert f"left out: {broken.folder / 'spec.json'}" in (printed.out if form == "md" else printed.err)
        assert said in (call(monkeypatch, *base), capsys.readouterr().out)[1]
    assert call(monkeypatch, "--paper", "2", "--results", str(tmp_path)) == 0
    (whole.folder / "status.json").write_text("[]")
    assert call(monkeypatch, *base) == 2
    error = capsys.readouterr().err
    assert str(broken.folder) in error
    assert str(whole.folder) in error
    with pytest.raises(BenchError, match=r"nothing of folder in .* can be shown"):
        show_outcome(tmp_path, RunOutcome("folder", True, {}, frozenset()))  # what `run` ends with
