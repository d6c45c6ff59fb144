"""The four renderings: golden files, and that no name of a user's becomes markup, a formula or a broken table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from fixed_tables import LEADERBOARD, check_golden
from hypothesis import assume, example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from table_checks import check_latex, compile_latex, elements, parse_html

from bench.core.errors import BenchError
from bench.reporting.tables.as_csv import FORMULA
from bench.reporting.tables.render import FORMATS, render_tables
from bench.reporting.tables.table import Column, Footnote, RowGroup, Table, TableCell, spread, table_line, table_number

NASTY = "a_b & 50% #1 $x$ {y} ~z^2 <b>|</b> \\cmd [q](u) *em* `c` -- '' \"q\" é ẽ ∞ 日本 \u202e\x00\n=cmd()"
names = st.text(max_size=25) | st.text(alphabet="_*&%<>|[](){}\\`~#$^=+-@'\" \n\tab1!:./é日\u202e\x00", max_size=25)


def table_of(*texts: str) -> Table:
    """The same names wherever a name can stand."""
    rows = tuple(
        (TableCell(text, marks=("*",)), TableCell(missing=text), TableCell(text, bold=True), TableCell(value=1.0))
        for text in texts
    )
    columns = (
        Column(texts[0], align="left", marks=("*",)),
        Column(texts[0]),
        Column("c"),
        Column("d", better="higher"),
    )
    return Table(texts[0], columns, (RowGroup(rows),), (texts[0],), (Footnote(texts[0], "*", command=texts[0]),))


@pytest.mark.parametrize("form", FORMATS)
def test_golden(form: str) -> None:
    check_golden(f"leaderboard{FORMATS[form][0]}", render_tables(LEADERBOARD, form))


def test_an_unknown_form_names_the_nearest() -> None:
    with pytest.raises(BenchError, match="did you mean 'latex'"):
        render_tables(LEADERBOARD, "latx")


# ------------------------------------------------------------------------------------------------------------ Markdown


def markdown_texts(text: str) -> tuple[list[list[str]], list[str]]:
    """(rows of a table of four columns, paragraphs), as a reader sees them; fails on any markup but bold and code."""
    rows: list[list[str]] = []
    others: list[str] = []
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        if token.type != "inline":
            continue
        kinds = {child.type for child in token.children or ()}
        assert kinds <= {"text", "text_special", "strong_open", "strong_close", "code_inline"}, (kinds, token.content)
        shown = "".join(child.content for child in token.children or ())
        (rows[-1] if rows and len(rows[-1]) < 4 else others).append(shown)
    return rows, others


@given(st.lists(names, min_size=1, max_size=3))
@example([NASTY])
@example(["\\|", "|", "a\\"])
@example(["1. x", "- y", "# z"])
def test_markdown_shows_every_name_as_it_is(texts: list[str]) -> None:
    assume(table_line(texts[0]))  # a heading without words is no paragraph
    rows, (title, note, footnote) = markdown_texts(render_tables(table_of(*texts), "markdown"))
    lines = [table_line(text) for text in texts]
    assert rows[1:] == [[f"{line} *".strip(), line, line, "1.00"] for line in lines]
    assert rows[0][1] == title == note == lines[0]
    assert footnote.startswith(f"* {lines[0]}".strip())


# ----------------------------------------------------------------------------------------------------------------- CSV


@given(st.lists(names, min_size=1, max_size=3))
@example(["=cmd()", "\t=1+1", "＠x"])
def test_csv_has_no_formula_and_loses_no_cell(texts: list[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(render_tables(table_of(*texts), "csv"))))
    assert len(rows) == 3 * len(texts)
    assert not any(value.startswith(FORMULA) for row in rows for value in row.values())
    assert [row["row"].removeprefix("'") for row in rows[::3]] == [table_line(text).removeprefix("'") for text in texts]


def test_csv_numbers_are_exact_and_negative_ones_stay_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(render_tables(LEADERBOARD, "csv"))))
    assert [float(row["value"]) for row in rows if row["value"]] == [81.25, 11.0, 0.06449, 9.996, -0.0001234, 99.5]
    (first,) = [row for row in rows if row["row"] == "cats_udt:no_sem" and row["column"] == "accuracy-judge-v1"]
    assert (first["deviation"], first["seeds"], first["seeds_begun"], first["n"], first["n_real"]) == (
        "1.41421",
        "2",
        "3",
        "250",
        "0",
    )
    assert (first["bold"], first["better"], first["remarks"]) == ("1", "higher", "failed: loss is not finite (step 7)")
    missing = [row for row in rows if row["missing"]]
    assert [row["missing"] for row in missing] == ["needs: bench fetch alexnet"]
    assert missing[0]["remarks"] == "weakly supervised: uses a network trained on labels"  # the mark of its row's name


# ---------------------------------------------------------------------------------------------------------------- HTML


@given(st.lists(names, min_size=1, max_size=3))
@example([NASTY])
@example(["<script>alert(1)</script>", '" onload="x', "&lt;"])
def test_html_is_valid_and_shows_every_name_as_it_is(texts: list[str]) -> None:
    root = parse_html(render_tables(table_of(*texts), "html"))
    allowed = {"html", "head", "meta", "title", "body", "div", "table", "caption", "thead", "tbody", "tr", "th", "td",
               "ul", "li", "sup", "strong", "span", "code"}  # fmt: skip
    assert {node.tag.split("}")[-1] for node in root.iter()} <= allowed
    attributes = {name for node in root.iter() for name in node.attrib}
    assert attributes <= {
        "lang",
        "charset",
        "class",
        "role",
        "aria-label",
        "tabindex",
        "scope",
        "rowspan",
        "data-value",
    }
    assert "".join(elements(root, "caption")[0].itertext()) == table_line(texts[0])
    for text, row in zip(texts, elements(root, "tr")[1:], strict=True):
        assert ["".join(cell.itertext()) for cell in row] == [
            table_line(text) + "*",
            table_line(text),
            table_line(text),
            "1.00",
        ]


@pytest.mark.parametrize("stub", [1, 2])
def test_html_is_a_table_that_a_screen_reader_can_read(stub: int) -> None:
    cells = tuple(
        (TableCell("bird"), TableCell(name), TableCell(value=-1.5, role="ours", bold=True))
        for name in ("published", "ours")
    )
    table = Table(
        "t", (Column("a"), Column("b"), Column("c", better="lower")), (RowGroup(cells), RowGroup(cells[:1])), stub=stub
    )
    root = parse_html(render_tables(table, "html"))
    assert [node.attrib["scope"] for node in elements(root, "th")[:3]] == ["col"] * 3
    groups = [node for node in elements(root, "th") if node.attrib["scope"] == "rowgroup"]
    assert [node.attrib["rowspan"] for node in groups] == (["2"] if stub == 2 else [])
    spanned = {0: 0, 1: 1 if stub == 2 else 0, 2: 0}
    for place, row in enumerate(elements(root, "tr")[1:]):
        assert len(row) + spanned[place] == 3
    numbers = [node for node in elements(root, "td") if "number" in node.attrib.get("class", "")]
    assert {node.attrib.get("data-value") for node in numbers if "ours" in node.attrib["class"]} == {"-1.5"}
    assert "".join(numbers[-1].itertext()) == "\N{MINUS SIGN}1.50"
    assert [node.attrib["aria-label"] for node in elements(root, "span")] == ["lower is better"]


# --------------------------------------------------------------------------------------------------------------- LaTeX


@given(st.lists(names, min_size=1, max_size=3))
@example([NASTY])
@example(["[x]", "*", "\\\\"])
def test_latex_is_well_formed_whatever_the_names(texts: list[str]) -> None:
    check_latex(render_tables(table_of(*texts), "latex"), columns=4)


def test_latex_compiles(tmp_path: Path) -> None:
    """With booktabs alone, every printable character below U+2300 and what may join with what stands beside it."""
    every = [chr(code) for code in range(0x20, 0x2300) if table_line(chr(code)) not in ("", "\ufffd")]
    chunks = ["".join(every[i : i + 40]) for i in range(0, len(every), 40)]
    pairs = [a + b for a in "[]*-'`<>?!,\"" for b in "[]*-'`<>?!,\""]
    tables = [LEADERBOARD, table_of(NASTY, *pairs), *(table_of(*chunks[i : i + 8]) for i in range(0, len(chunks), 8))]
    compile_latex([render_tables(table, "latex") for table in tables], tmp_path)


# -------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "text"),
    [
        (11, None, False, "11.00"), (0.06449, None, False, "0.0645"), (-0.5, None, False, "-0.5"),
        (-0.004, 2, False, "0.00"), (-0.004, 2, True, "+0.00"), (0.0, None, True, "+0"), (-0.0, None, False, "0"),
        (46.3, 1, False, "46.3"), (18, 0, False, "18"), (2.5, None, True, "+2.50"), (1.0, None, False, "1.00"),
    ],
)  # fmt: skip
def test_numbers(value: float, decimals: int | None, signed: bool, text: str) -> None:
    assert table_number(value, decimals, signed) == text


def test_deviations_have_two_digits_and_no_exponent_when_large() -> None:
    assert [spread(x) for x in (1.41421, 0.0, 123.4, 99.9, 0.00496)] == ["1.4", "0", "120", "100", "0.005"]


# ----------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": float("nan")},
        {"value": 1.0, "deviation": float("inf")},
        {"deviation": 1.0},
        {"value": 1.0, "low": 0.5},
        {"value": 1.0, "missing": "failed"},
        {"text": "x", "value": 1.0},
    ],
)
def test_a_cell_is_one_thing(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"wanted|without|ends"):
        TableCell(**wrong)


def test_a_mark_without_a_footnote_and_an_uneven_row_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no footnote for \['\*'\]"):
        Table("t", (Column("a"),), (RowGroup(((TableCell("x", marks=("*",)),),)),))
    with pytest.raises(ValueError, match="two footnotes for one mark"):
        Table("t", (Column("a"),), (), footnotes=(Footnote("x", "*"), Footnote("y", "*")))
    with pytest.raises(ValueError, match="2 cells under 1 columns"):
        Table("t", (Column("a"),), (RowGroup(((TableCell("x"), TableCell("y")),)),))


def test_image_counts_stand_in_the_heading_only_where_all_agree() -> None:
    def text(*counts: tuple[int, int]) -> str:
        rows = tuple((TableCell(f"m{i}"), TableCell(value=1.0, images=of, role="ours")) for i, of in enumerate(counts))
        return render_tables(Table("t", (Column("method"), Column("fid")), (RowGroup(rows),)), "markdown")

    assert text((5, 9), (5, 9)).count("n = 5/9") == 1
    assert "fid (n = 5/9)" in text((5, 9), (5, 9))
    mixed = text((5, 9), (5, 8))
    assert "fid (n" not in mixed
    assert mixed.count("n = 5/9") == mixed.count("n = 5/8") == 1


@pytest.mark.parametrize("form", FORMATS)
def test_a_table_without_rows_is_still_a_table(form: str) -> None:
    empty = Table("t", (Column("a"), Column("b")), ())
    assert render_tables(empty, form)
    if form == "html":
        parse_html(render_tables(empty, form))
