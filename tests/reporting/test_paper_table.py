"""The paper's tables: every published number in its place, ours marked where it is not to be compared."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from fixed_tables import Measurements, check_golden
from table_checks import check_latex, compile_latex, parse_html

from bench.core.errors import BenchError
from bench.core.installation import installed_results
from bench.reporting.paper.published import INCONSISTENCIES, published, published_inconsistencies
from bench.reporting.paper.shapes import ALIGNMENT, JUDGE, OURS, SHAPES, STAGES, VARIANTS
from bench.reporting.paper.table import OTHER_PROTOCOL, OTHER_SETTING, paper_table
from bench.reporting.paper.values import Measured
from bench.reporting.setting import Commands
from bench.reporting.tables.as_csv import HEADER
from bench.reporting.tables.render import FORMATS, render_tables
from bench.reporting.tables.table import Table, TableCell
from bench.spec.protocols import PROTOCOLS
from bench.spec.tasks import TASKS
from methods.registry import registered

# Read off the paper a second time, table by table, left to right: what published.csv and the shapes must agree with.
TRANSCRIBED = {
    "1": """
        10.89 10.44 13.11 28.26 47.72 95.63 98.0
        11.27 10.12 9.54 11.58 16.92 76.49 99.6
        46.3 55.15 127.87 66.54 72.43 39.72
        24.8 30.34 20.98 26.27 19.45 6.60""",
    "2": """
        124.10 141.18 101.09 93.58 92.69
        170.12 153.05 145.18 108.62 105.59
        242.84 223.63 225.24 209.91 137.01
        189.20 239.94 174.78 127.23 126.18
        156.54 245.73 109.97 69.08 41.77
        102.37 128.45 86.86 65.00 58.69""",
    "3a": """
        148.32 94.18 108.68 101.97
        131.35 109.50 120.39 106.24
        211.84 124.37 160.97 154.77
        185.11 97.52 127.68 99.67
        153.03 39.24 52.64 41.55
        69.19 53.43 67.88 58.47""",
    "3b": """
        101.88 405.29 129.69 92.69
        142.79 343.62 229.18 105.59
        196.70 323.52 220.72 137.01
        160.57 280.47 192.38 126.18
        57.29 212.69 228.84 41.77
        81.69 275.21 112.10 58.59""",
    "4": """
        0.713 0.736 0.064 0.672 0.065
        18 16 19 16 12
        0.139 0.025 0.044 0.029 0.033""",
    "text": "98.24\n98.20\n88.0\n99.6\n98.0\n92.13\n75.47\n90.32",
}


def nothing(*key: str) -> Measured | None:
    return None


def rows_of(table: Table, value: str) -> list[tuple[TableCell, ...]]:
    """The rows whose second cell begins with `value`, without their names."""
    return [row[2:] for row in table.rows() if row[1].text.startswith(value)]


@pytest.mark.parametrize("name", SHAPES)
def test_published_values_stand_as_printed_where_the_paper_has_them(name: str) -> None:
    table = paper_table(name, nothing)
    shown = [[f"{c.value:.{c.decimals}f}" for c in row if c.value is not None] for row in rows_of(table, "published")]
    assert shown == [line.split() for line in TRANSCRIBED[name].strip().splitlines()]


def test_every_published_number_is_in_one_place_and_none_is_invented() -> None:
    placed = [place.published for make in SHAPES.values() for line in make().lines for place in line.places if place]
    assert len(placed) == len(set(placed)) == 127
    assert set(placed) == set(published())
    text = (installed_results() / "paper.csv").read_text()
    assert len(text.splitlines()) == 128


def test_what_is_asked_for_exists() -> None:
    lookup = Measurements()
    for name in SHAPES:
        paper_table(name, lookup)
    for method, task, direction, label, protocol in lookup.asked:
        assert method in {*registered(), JUDGE, *STAGES.values()}
        assert protocol in {*PROTOCOLS, ALIGNMENT}
        of = TASKS[task]
        directions = [of.direction_name(d) for d in of.directions]
        assert direction in (of.domains if method in STAGES.values() else directions)
        assert label in (*of.classes, "all")
    assert {key[0] for key in lookup.asked} >= {
        name for group in (OURS, VARIANTS) for of in group.values() for name in of
    }


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name in SHAPES for form in FORMATS if form == "markdown" or name in ("2", "4")]
)
def test_golden(name: str, form: str) -> None:
    check_golden(f"paper-{name}{FORMATS[form][0]}", render_tables(paper_table(name, Measurements()), form))


def lpips_of(values: dict[str, float], n: dict[str, int] | None = None) -> Table:
    """Table 4 with these values of one seed, over so many images."""

    def lookup(method: str, task: str, direction: str, label: str, protocol: str) -> Measured | None:
        if protocol not in ("lpips-alexnet-v1", "lpips-across-v1", "jsd-pixels-v1") or method not in values:
            return None
        images = {"n": (n or {}).get(method, 75), "setting": "quick"}
        return Measured((values[method],), protocol=protocol, image_deviation=0.001, **images)  # type: ignore[arg-type]

    return paper_table("4", lookup)


def test_a_diversity_of_zero_is_none_and_never_bold() -> None:
    for values in ({"cyclegan": 0.0, "drit": 0.05, "egsc_it": 0.01}, {"cyclegan": 0.0, "drit": 0.0}):
        table = lpips_of(values)
        within, across = rows_of(table, "ours, within a source"), rows_of(table, "ours, across sources")
        assert not any(cell.bold for row in (*within, *across) for cell in row if not cell.value)
        assert within[0][0].text == "none"
        assert any(note.text.startswith("none: the method gives one translation") for note in table.footnotes)
    (row,) = rows_of(lpips_of({"cyclegan": 0.0, "drit": 0.05, "egsc_it": 0.01}), "ours, within")
    assert [cell.bold for cell in row if cell.value] == [True, False]


def test_what_is_not_bold_is_named_and_never_nothing_below_bold_rows() -> None:
    values = {"cyclegan": 0.03, "drit": 0.05, "egsc_it": 0.01}
    notes = [note.text for note in lpips_of(values, {"drit": 3}).footnotes]
    assert any(note.startswith("not compared, and so not bold, because their numbers") for note in notes)
    assert not any("nothing" in note and "bold" in note for note in notes)


def test_golden_of_quick_results() -> None:
    lookup = Measurements(
        "quick, embedded data, 32 px",
        False,
        without=("fid-pytorch-paper-v1", "fid-pytorch-v1", "fid-inception-v1", "stargan_v2:cats", "egsc_it"),
    )
    check_golden("paper-2-quick.md", render_tables(paper_table("2", lookup, Commands("quick")), "markdown"))


@pytest.mark.parametrize("name", SHAPES)
def test_every_rendering_is_well_formed(name: str) -> None:
    table = paper_table(name, Measurements())
    check_latex(render_tables(table, "latex"), len(table.columns))
    parse_html(render_tables(table, "html"))
    rows = list(csv.DictReader(io.StringIO(render_tables(table, "csv"))))
    assert {len(row) for row in rows} == {len(HEADER)}
    stated = [row["value"] for row in rows if row["role"] == "published"]
    assert [float(value) for value in stated] == [float(value) for value in TRANSCRIBED[name].split()]


def test_the_tables_compile(tmp_path: Path) -> None:
    compile_latex([render_tables(paper_table(name, Measurements()), "latex") for name in SHAPES], tmp_path)


# ---------------------------------------------------------------------------------------- what may be compared, and how


def test_the_difference_is_ours_less_published_with_the_interval_of_ours() -> None:
    def lookup(method: str, task: str, direction: str, label: str, protocol: str) -> Measured | None:
        found = method == "cats_udt" and label == "all" and protocol == "fid-pytorch-paper-v1"
        return Measured((60.0, 61.0, 65.0), setting="paper", comparable=True, n=375, n_reference=475) if found else None

    table = paper_table("2", lookup)
    (difference,) = [row[4] for row in rows_of(table, "difference")]
    assert difference.value == pytest.approx(62.0 - 58.69)
    # t(0.975, 2) = 4.302653, deviation sqrt(7), over sqrt(3)
    reach = 4.302653 * 7**0.5 / 3**0.5
    assert (difference.low, difference.high) == (
        pytest.approx(3.31 - reach, abs=1e-5),
        pytest.approx(3.31 + reach, abs=1e-5),
    )
    assert "+3.31 (-3.26 to +9.88)" in render_tables(table, "markdown")


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_not_comparable_bears_a_mark_and_has_no_difference(name: str) -> None:
    table = paper_table(name, Measurements("quick, embedded data, 32 px", comparable=False))
    named = [row[1] for row in table.rows() if row[1].text.startswith("ours")]
    assert named
    assert all(OTHER_SETTING in cell.marks and "quick, embedded data" in cell.text for cell in named)
    assert rows_of(table, "difference") == []
    for form in FORMATS:
        text = render_tables(table, form)
        assert "not comparable with the published values" in text
        assert ("\\dag" if form == "latex" else OTHER_SETTING) in text


def test_unless_it_says_so_nothing_is_comparable() -> None:
    def lookup(*key: str) -> Measured:
        return Measured((50.0, 51.0))

    assert rows_of(paper_table("2", lookup), "difference") == []


def test_another_protocol_stands_in_for_the_whole_table_and_is_marked() -> None:
    table = paper_table("2", Measurements(without=("fid-pytorch-paper-v1", "fid-pytorch-v1")))
    named = [row[1] for row in table.rows() if row[1].text.startswith("ours")]
    assert all(OTHER_PROTOCOL in cell.marks for cell in named)
    assert rows_of(table, "difference") == []
    assert "ours by fid-inception-v1" in table.notes[2]

    def mixed(method: str, task: str, direction: str, label: str, protocol: str) -> Measured | None:
        if protocol == ("fid-pytorch-paper-v1" if method == "drit" else "fid-judge-v1"):
            return Measured((50.0, 51.0), setting="paper", comparable=True)
        return None

    table = paper_table("2", mixed)  # one method by the right protocol: the others' numbers may not stand beside it
    assert all(
        [cell.value is not None for cell in row] == [False, True, False, False, False] for row in rows_of(table, "ours")
    )


def test_settings_are_never_mixed() -> None:
    def lookup(method: str, *key: str) -> Measured:
        return Measured((1.0,), setting=method)

    with pytest.raises(ValueError, match="several settings"):
        paper_table("2", lookup)


def test_the_form_that_the_authors_compared_with_comes_first() -> None:
    assert "StarGAN-V2 = stargan_v2:cats" in paper_table("2", Measurements()).notes[1]
    stood_in = paper_table("2", Measurements(without=("stargan_v2:cats",)))
    assert "StarGAN-V2 = stargan_v2," in stood_in.notes[1]
    assert any("stargan_v2 stands in for stargan_v2:cats" in note.text for note in stood_in.footnotes)


def test_lpips_of_unknown_computation_is_shown_both_ways_and_never_subtracted() -> None:
    table = paper_table("4", Measurements())
    values = [row[1].text.split(" (")[0] for row in table.groups[0].rows]
    assert values == ["published", "ours, across sources", "ours, within a source"]
    assert [row[1].text for row in table.groups[1].rows if row[1].text == "difference"] == ["difference"]


def test_failures_and_what_is_missing_are_shown_with_reason_and_command() -> None:
    table = paper_table("1", Measurements())
    text = render_tables(table, "markdown")
    munit = [row[1] for row in rows_of(table, "ours")]
    assert {(cell.missing, cell.seeds) for cell in munit} == {("failed", (0, 3))}
    assert "failed: loss is not finite (step 9)" in text
    drit = [row[2] for row in rows_of(table, "ours")]
    assert {cell.seeds for cell in drit} == {(2, 3)}
    missing = paper_table("2", Measurements(without=("egsc_it", "drit")), Commands("paper", "D"))
    assert [note.command for note in missing.footnotes if note.command] == [
        "python -m bench run --task sketch2real --preset paper --data D --methods drit,egsc_it --seeds 0,1,2"
    ]
    unscored = paper_table("4", Measurements(without=("ndb-pixels-v1",)))
    (command,) = [note.command for note in unscored.footnotes if note.command]
    assert command.startswith("python -m bench evaluate --task sketch2real --preset paper --methods cyclegan,drit,")
    commands = [note.command for note in paper_table("text", nothing).footnotes if note.command]
    assert [(words[3], words[5], words[words.index("--stage") + 1]) for words in map(str.split, commands)] == [
        ("semantics", "mnist2svhn", "imsat"), ("semantics", "mnist2svhn", "adaptation"),
        ("semantics", "sketch2real", "spectral"), ("semantics", "sketch2real", "adaptation"),
    ]  # fmt: skip


def test_bold_is_among_methods_and_the_classifier_never_competes() -> None:
    table = paper_table("1", Measurements())
    ours = rows_of(table, "ours")
    assert all(any(cell.bold for cell in row) for row in ours)
    assert not any(row[6].bold for row in ours)
    assert not any(cell.bold for row in rows_of(table, "published") for cell in row)


def test_weak_supervision_bears_an_asterisk_in_every_table() -> None:
    weak = {"1": ["EGSC-IT"], "2": ["EGSC-IT"], "4": ["EGSC-IT"], "3b": ["Content(VGG)"], "3a": [], "text": []}
    for name, expected in weak.items():
        assert [column.label for column in paper_table(name, nothing).columns if "*" in column.marks] == expected


def test_counts_and_floor_stand_in_the_row_s_name_and_others_beside_their_value() -> None:
    table = paper_table("1", Measurements())
    text = render_tables(table, "markdown")
    assert "n = 375/475, floor 40.00" in text
    judge = [row[6] for row in rows_of(table, "ours") if row[6].value is not None]
    assert [cell.images for cell in judge] == [(10_000, 0)] * 2
    assert "Target classifier (n = 10000)" in text


# ----------------------------------------------------------------------------------------------------- inconsistencies


def test_each_inconsistency_is_told_below_each_of_its_tables() -> None:
    for note in INCONSISTENCIES:
        for source in note.tables:
            name = "text" if source.startswith("Text") else source.removeprefix("Table ")
            assert any(of.text == note.footnote for of in paper_table(name, nothing).footnotes), (name, note.place)
    assert all(published_inconsistencies(number.table) for number in published() if number.table != "Text 4.1")
    assert "58.69 in Table 2 and 58.59 in Table 3b" in render_tables(paper_table("2", nothing), "csv")


def test_the_inconsistencies_are_in_the_numbers() -> None:
    def fid(table: str, variant: str = "full", label: str = "all") -> float:
        (number,) = published(table=table, method="CatS-UDT", variant=variant, label=label, metric="fid")
        return number.value

    assert (fid("Table 2"), fid("Table 3b", "cond=style")) == (58.69, 58.59)
    classes = ("bird", "dog", "flower", "speedboat", "tiger")
    assert all(fid("Table 2", label=of) == fid("Table 3b", "cond=style", of) for of in classes)
    assert fid("Table 3a", "lambda_sty=0") < fid("Table 3a", "lambda_sd=0") < fid("Table 3b", "cond=style")
    better = [of for of in classes if fid("Table 3a", "lambda_sty=0", of) < fid("Table 2", label=of)]
    assert better == ["flower", "speedboat", "tiger"]
    marked = {
        (row[0].text, column.label)
        for row in paper_table("2", nothing).rows()
        for cell, column in zip(row[2:], paper_table("2", nothing).columns[2:], strict=True)
        if cell.marks
    }
    assert marked == {("all", "CatS-UDT")}
    # 75 test images allow multiples of 1/75 alone.
    for number in published(table="Text 4.2"):
        assert all(round(100 * k / 75, 2) != number.value for k in range(76))


def test_unknown_names_are_refused_by_name() -> None:
    with pytest.raises(BenchError, match="valid: 1, 2, 3a, 3b, 4, text"):
        paper_table("3", nothing)
    with pytest.raises(TypeError, match="klass"):
        published(klass="bird")
