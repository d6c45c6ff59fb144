"""The tidy table: each stored value once, told apart by its named columns alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from board_cells import FLOOR, add, record
from long_table import frame as independent
from stored_cells import fid, judged, store

from bench.cli.commands import main
from bench.reporting.tidy import TIDY_COLUMNS, tidy_results

NAMED = [name for name in TIDY_COLUMNS if name not in ("value", "deviation", "n", "floor", "revision", "metric")]


def table(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["bench", "table", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two tasks; a variant, other settings, two sources of styles, two judges, a failure, a missing value."""
    cell = add(tmp_path, [record(1.25, deviation=0.5, **FLOOR), record(2.5, label="disc")])
    cell.environment.write_text(json.dumps({"source": {"revision": "abc", "changed": True}}))
    add(tmp_path, [record(3.5)], config={"width": 16})
    add(tmp_path, [], state="failed", seed=4)
    store(tmp_path, "cats_udt:no_sem", [fid(7.0), judged(55.0)])
    stargan = store(tmp_path, "stargan_v2", [fid(8.0), fid(9.0, encoder="bbbbbbbbbbbb")], style="noise")
    stargan.metrics("exemplar").write_text(json.dumps({"records": [fid(None, encoder="", missing="needs: it")]}))
    store(tmp_path, "munit", [fid(10.0)], seed=1, preset="paper")
    return tmp_path


def test_every_value_stands_once_under_its_own_names(results: Path) -> None:
    frame = tidy_results(results)
    assert list(frame.columns) == list(TIDY_COLUMNS)
    assert not frame.duplicated(NAMED).any(), "two values under the same names"
    expected = pd.concat(independent(results, task) for task in ("folder", "sketch2real"))
    assert sorted(frame["value"].dropna()) == sorted(expected["value"].dropna())
    assert frame["value"].isna().sum() == 1
    variants = dict(zip(frame["value"], zip(frame["method"], frame["variant"], strict=True), strict=True))
    assert variants[1.25] == ("cyclegan", "width=8")
    assert variants[3.5] == ("cyclegan", "width=16")
    assert variants[7.0] == ("cats_udt", "no_sem")
    assert variants[8.0] == ("stargan_v2", "styles=noise")
    assert variants[10.0] == ("munit", "")
    protocols = dict(zip(frame["value"], frame["protocol"], strict=True))
    assert protocols[9.0] == "fid-judge-v1 [bbbbbbbbbbbb]"
    assert protocols[10.0] == "fid-judge-v1"
    first = frame[frame["value"] == 1.25].iloc[0]
    assert (first["deviation"], first["floor"], first["n"], first["class"]) == (0.5, 4.0, 10, "all")
    assert (first["revision"], first["data"], first["version"]) == ("abc (changed)", "real", "v1")
    assert frame.attrs["failed"] == ["folder: cyclegan [width=8] seed 4: loss is not finite (step 7)"]


def test_a_choice_of_results(results: Path) -> None:
    assert set(tidy_results(results, "folder")["task"]) == {"folder"}
    assert list(tidy_results(results, wanted=lambda setting: setting.preset == "paper")["value"]) == [10.0]
    assert list(tidy_results(results, "pacs").columns) == list(TIDY_COLUMNS)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_the_file_holds_the_frame(suffix: str, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = results / "made" / f"values{suffix}"
    assert table(monkeypatch, "--tidy", out, "--results", results) == 0
    numbers = dict.fromkeys(("value", "deviation", "floor"), "")
    read = pd.read_parquet(out) if suffix == ".parquet" else pd.read_csv(out, keep_default_na=False, na_values=numbers)
    frame = tidy_results(results)
    assert list(read.columns) == list(frame.columns)
    for name in ("task", "variant", "seed", "n", "revision"):
        assert list(read[name]) == list(frame[name])
    pd.testing.assert_series_equal(read["value"], frame["value"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tidy", "values.xlsx"], "what form is that?\n  valid: .csv, .parquet"),
        (["--tidy", "values.cvs"], "did you mean '.csv'?"),
        (["--tidy", "values"], "what form is that?"),
        (["--tidy", "values.csv", "--paper", "2"], "does not go with"),
        (["--tidy", "values.csv", "--preset", "qick"], "did you mean 'quick'?"),
        (["--tidy", "values.csv", "--budget", "images=1"], "no results in"),
        (["--task", "folder", "--out", "t.txt"], "a file that ends in .txt is not written here"),
    ],
)
def test_what_cannot_be_written_is_an_error(
    words: list[str], said: str, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results)
    before = sorted(results.iterdir())
    assert table(monkeypatch, *words, "--results", results) == 2
    assert said in capsys.readouterr().err
    assert sorted(results.iterdir()) == before


def test_without_pyarrow_parquet_is_refused_before_anything_is_read(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert table(monkeypatch, "--tidy", results / "v.parquet", "--results", results) == 2
    assert "udt-bench[parquet]" in capsys.readouterr().err
