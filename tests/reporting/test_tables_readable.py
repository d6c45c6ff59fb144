"""A table as people read it: no column of reasons alone, many classes as rows; CSV keeps everything."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from board_cells import FLOOR, add, record
from table_checks import check_latex, elements, parse_html

from bench.reporting.leaderboard.leaderboards import all_leaderboards, render_boards
from bench.reporting.page.boards import board_panels
from bench.reporting.page.collect import collect_for_page
from bench.reporting.tables.readable import readable_table
from bench.reporting.tables.table import Column, Footnote, RowGroup, Table, TableCell

ABSENT = {
    "fid-inception-v1": "inception",
    "kid-inception-v1": "inception",
    "lpips-alexnet-v1": "alexnet",
}


def without_weights(root: Path) -> None:
    for method in ("cyclegan", "drit"):
        missing = [
            record(
                None, protocol=name, metric=name.partition("-")[0], encoder="", missing=f"needs: bench fetch {from_}"
            )
            for name, from_ in ABSENT.items()
        ]
        add(root, [record(3.0, deviation=1.0), *missing], method=method)
    add(root, [], state="failed", method="munit")


@pytest.mark.parametrize("form", ["markdown", "html", "latex"])
def test_what_no_row_has_is_one_footnote_and_no_column(form: str, tmp_path: Path) -> None:
    without_weights(tmp_path)
    text = render_boards(all_leaderboards(tmp_path, "folder"), form)
    wanted = "fid-inception-v1, kid-inception-v1 (needs: bench fetch inception); lpips-alexnet-v1 (needs: bench"
    assert text.replace("-{}", "-").count(f"no row has a value of {wanted}") == 1
    assert all(text.count(name) == 1 for name in ABSENT)
    assert "fid-judge-v1" in text
    assert text.count("munit") >= 1


def test_csv_keeps_what_no_row_has(tmp_path: Path) -> None:
    without_weights(tmp_path)
    rows = list(csv.DictReader(io.StringIO(render_boards(all_leaderboards(tmp_path, "folder"), "csv"))))
    missing = {(row["row"], row["column"]): row["missing"] for row in rows if row["column"] in ABSENT}
    assert missing["drit", "kid-inception-v1"] == "needs: bench fetch inception"
    assert missing["munit", "kid-inception-v1"] == "failed"
    assert len(missing) == 9


def test_a_column_that_one_row_has_stays_with_its_reasons() -> None:
    value, reason = TableCell(value=1.0, role="ours"), TableCell(missing="needs: x", role="ours")
    real = TableCell(value=2.0, role="reference")
    columns = (Column("method"), Column("a"), Column("b"), Column("c", marks=("*",)))
    rows = ((TableCell("m"), value, value, reason), (TableCell("n"), value, reason, reason))
    groups = (RowGroup(rows), RowGroup(((TableCell("real"), real, real, real),)))
    table = readable_table(Table("t", columns, groups, footnotes=(Footnote("of c", "*"), Footnote("x"))), "html")
    assert [column.label for column in table.columns] == ["method", "a", "b"]
    assert [cell.missing for row in table.rows() for cell in row] == [""] * 5 + ["needs: x"] + [""] * 3
    assert [note.text for note in table.footnotes] == ["x", "no row has a value of c (needs: x)"]


# ---------------------------------------------------------------------------------------------------- many classes

MANY = [f"class_{i:03d}" for i in range(125)]
METHODS = ("cyclegan", "drit", "munit")


def many_classes(root: Path, methods: tuple[str, ...] = METHODS) -> None:
    """Class i has a FID of i, one more for each method."""
    for place, method in enumerate(methods):
        for seed in (0, 1):
            of_class = [
                record(i + place + seed / 8, n=2 + i % 2, label=name, deviation=0.1) for i, name in enumerate(MANY)
            ]
            add(root, [record(9.0 + place, deviation=1.0, **FLOOR), *of_class], method=method, seed=seed)


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_many_classes_are_rows(form: str, tmp_path: Path) -> None:
    many_classes(tmp_path)
    text = render_boards(all_leaderboards(tmp_path, "folder"), form)
    if form == "markdown":
        assert max(map(len, text.split("\n"))) < 320
        table = text.partition("per class")[2]
        assert table.split("\n")[2].count("|") == 5 + 1  # class, three methods, the floor
        (line,) = [line for line in table.split("\n") if line.startswith("| class\\_007 ")] or [
            line for line in table.split("\n") if line.startswith("| class_007 ")
        ]
        assert [cell.strip() for cell in line.split("|")[1:5]] == [
            "class_007 (n = 3/20)", "**7.06 ± 0.088**", "8.06 ± 0.088", "9.06 ± 0.088",
        ]  # fmt: skip
    else:
        tables = elements(parse_html(text), "table")
        assert max(len(elements(table, "tr")) for table in tables) == 1 + 1 + len(MANY)
        assert max(len(elements(row, "th")) + len(elements(row, "td")) for table in tables for row in table.iter() if
                   str(row.tag).endswith("tr")) < 12  # fmt: skip


def test_many_classes_in_latex_are_the_best_and_the_worst_on_one_page(tmp_path: Path) -> None:
    many_classes(tmp_path)
    board = all_leaderboards(tmp_path, "folder")[0]
    (by_class,) = [sheet.table for sheet in board.sheets if "per class" in sheet.heading]
    shown = readable_table(by_class, "latex")
    names = [row[0].text.partition(" ")[0] for row in shown.rows()]
    assert names == ["all", *MANY[:6], *MANY[-6:]]
    assert "the 6 classes with the best and the 6 with the worst mean of the rows, of 125" in shown.footnotes[-1].text
    text = render_boards([board], "latex")
    assert max(text.count("\\\\\n", *span) for span in _tabulars(text)) < 45
    check_latex(text[text.rindex("\\begin{table}") :], len(shown.columns))


def _tabulars(text: str) -> list[tuple[int, int]]:
    starts = [i for i in range(len(text)) if text.startswith("\\begin{table}", i)]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def test_many_classes_of_many_rows_are_the_best_and_the_worst(tmp_path: Path) -> None:
    many_classes(tmp_path, tuple(f"method_{i:02d}" for i in range(14)))
    text = render_boards(all_leaderboards(tmp_path, "folder"), "markdown").partition("per class")[2]
    heading = text.split("\n")[2]
    assert [name in heading for name in (MANY[5], MANY[6], MANY[118], MANY[119])] == [True, False, False, True]
    assert "of 125; all of them are in --format csv" in text
    rows = list(csv.DictReader(io.StringIO(render_boards(all_leaderboards(tmp_path, "folder"), "csv"))))
    assert {row["column"] for row in rows} >= set(MANY)


def test_the_page_has_no_panel_for_each_of_many_classes(tmp_path: Path) -> None:
    many_classes(tmp_path)
    (results,) = collect_for_page(tmp_path)
    panels = board_panels(results, "ink->paint")
    assert [panel.kind for panel in panels] == ["all", "classes side by side"]
    assert len(list(panels[1].tables[0].rows())) == 1 + len(MANY)
    assert panels[1].tables[0].columns[1].better == "lower"
