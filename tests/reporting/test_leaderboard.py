"""The table: what may share a column, a row and a table; and what it says of failures."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from board_cells import ENCODER, FLOOR, add, record
from fixed_tables import check_golden
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from long_table import frame
from table_checks import check_latex, parse_html

from bench.reporting.leaderboard.columns import MeasuredColumn
from bench.reporting.leaderboard.leaderboards import all_leaderboards, leaderboards, render_boards, write_leaderboards
from bench.reporting.ranges import RANGES
from bench.reporting.tables.as_csv import HEADER
from bench.reporting.tables.marks import Marks
from bench.reporting.tables.render import FORMATS, render_tables
from bench.spec.protocols import PROTOCOLS
from bench.spec.run_spec import Budget
from bench.store.index import read_index
from bench.store.query import query_settings


def row_of(text: str, name: str, table: int = 0) -> list[str]:
    """The cells of a row, the methods' name first: of the first table that has it, or of a later one."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in lines[table].split("|")[1:-1]]


def column_of(text: str, heading: str) -> int:
    """The place of the first column, in any table, whose heading begins so."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| method")
    ]
    return next(row.index(cell) for row in rows for cell in row if cell.startswith(heading))


def test_what_a_method_remarks_stands_above_the_table_with_the_domains_names(tmp_path: Path) -> None:
    add(tmp_path, [record(9.0)])
    cell = add(tmp_path, [record(8.0)], method="cats_udt")
    assert cell.note(["all of {1} looks {like} one"]) == ["all of paint looks {like} one"]
    (text,) = leaderboards(tmp_path, "folder")
    assert "- warning: cats_udt seed 0: all of paint looks {like} one\n" in text.partition("##")[0]
    assert "cyclegan seed 0" not in text


def everything(root: Path) -> None:
    """Three methods with all that a board can hold."""
    for seed, value in enumerate((10.0, 12.0, 11.0)):
        own = [record(value, deviation=0.5, **FLOOR), record(20.0 + seed, n=5, label="disc", **FLOOR)]
        own += [record(91.0, metric="accuracy", protocol="accuracy-judge-v1", n=10, n_reference=0, on_real=99.0)]
        own += [record(0.25, metric="coverage", protocol="coverage-judge-v1")]
        own += [record(None, protocol="fid-inception-v1", encoder="", missing="needs: bench fetch inception")]
        add(root, own, seed=seed)
    add(root, [], state="failed", seed=3)
    for seed, value in enumerate((30.0, 31.0, 32.0)):
        other = [record(value, deviation=0.7, **FLOOR), record(40.0, n=5, label="disc", **FLOOR)]
        other += [record(31.0 + seed, metric="accuracy", protocol="accuracy-judge-v1", n_reference=0, on_real=99.0)]
        add(root, other, seed=seed, method="cats_udt:vgg", supervision="weak", stages={"moco": 20.4, "spectral": 1.0})
    add(root, [], state="failed", method="drit [50 %]")


@pytest.mark.parametrize("form", FORMATS)
def test_golden(form: str, tmp_path: Path) -> None:
    everything(tmp_path)
    found = all_leaderboards(tmp_path, "folder")
    check_golden(f"board{FORMATS[form][0]}", render_boards(found, form))
    if form == "markdown":
        assert write_leaderboards(tmp_path, "folder").read_text() == render_boards(found, form)
    if form == "html":
        parse_html(render_boards(found, form))
    if form == "latex":
        for table in found[0].tables:
            check_latex(render_tables(table, form), len(table.columns))
    if form == "csv":
        lines = list(csv.DictReader(io.StringIO(render_boards(found, form))))
        assert {len(line) for line in lines} == {len(HEADER)}
        own = [of for of in lines if of["row"] == "cyclegan" and of["protocol"] == "fid-judge-v1" and of["seeds"]]
        assert {(of["value"], of["seeds"], of["seeds_begun"], of["n"]) for of in own} == {
            ("11.0", "3", "4", "10"), ("21.0", "3", "4", "5"),
        }  # fmt: skip
        assert all("version v1" in of["notes"] and "preset quick" in of["table"] for of in lines)


def test_nothing_measured_is_no_table(tmp_path: Path) -> None:
    assert leaderboards(tmp_path, "folder") == []


def test_other_data_preset_or_budget_never_shares_a_table(tmp_path: Path) -> None:
    add(tmp_path, [record(1.0)])
    add(tmp_path, [record(2.0)], data_version="v2")
    add(tmp_path, [record(3.0)], data_kind="embedded")
    add(tmp_path, [record(4.0)], preset="paper")
    add(tmp_path, [record(5.0)], budget=Budget("images", 200))
    texts = leaderboards(tmp_path, "folder")
    assert len(texts) == 5
    assert all(text.count("| cyclegan") == 1 for text in texts)
    assert any("drawn by code, not real images" in text for text in texts)


def test_other_settings_or_versions_never_share_a_row(tmp_path: Path) -> None:
    add(tmp_path, [record(1.0)])
    add(tmp_path, [record(2.0)], config={"width": 16})
    add(tmp_path, [record(3.0)], method_version=2)
    (text,) = leaderboards(tmp_path, "folder")
    for row in ("[method_version=1, width=8]", "[method_version=1, width=16]", "[method_version=2, width=8]"):
        assert text.count(f"| cyclegan {row}") == 1, text


def test_a_mean_over_some_of_the_seeds_says_so(tmp_path: Path) -> None:
    add(tmp_path, [record(1.0)])
    add(tmp_path, [record(3.0)], seed=1)
    add(tmp_path, [record(None, encoder="", missing="needs: x")], seed=2)
    (text,) = leaderboards(tmp_path, "folder")
    assert "2.00 ± 1.4 [2/3]" in text


def test_other_weights_never_share_a_column(tmp_path: Path) -> None:
    add(tmp_path, [record(1.0)])
    add(tmp_path, [record(2.0, encoder="bbbbbbbbbbbb")], method="stargan_v2")
    (text,) = leaderboards(tmp_path, "folder")
    assert "fid-judge-v1 [aaaaaaaaaaaa]" in text
    assert "fid-judge-v1 [bbbbbbbbbbbb]" in text
    row = next(line for line in text.splitlines() if line.startswith("| stargan_v2"))
    assert [cell.strip() for cell in row.split("|")][4:6] == ["-", "2.00"]


def test_unequal_n_stands_beside_each_value(tmp_path: Path) -> None:
    add(tmp_path, [record(1.0, n=10)])
    add(tmp_path, [record(2.0, n=30)], method="stargan_v2")
    (text,) = leaderboards(tmp_path, "folder")
    assert "1.00 (n = 10/20)" in text
    assert "2.00 (n = 30/20)" in text
    assert "fid-judge-v1 ↓ |" in text


def test_a_missing_encoder_says_what_to_type(tmp_path: Path) -> None:
    more = {"protocol": "fid-inception-v1", "missing": "needs: bench fetch inception"}
    add(tmp_path, [record(1.0), record(None, n=0, encoder="", **more)])
    (text,) = leaderboards(tmp_path, "folder")
    assert text.count("needs: bench fetch inception") == 1  # and not in the row: no other row has a value either
    assert "no row has a value of fid-inception-v1 (needs: bench fetch inception)" in text
    add(tmp_path, [record(3.0), record(2.0, protocol="fid-inception-v1")], method="drit")
    (text,) = leaderboards(tmp_path, "folder")
    row = next(line for line in text.splitlines() if line.startswith("| cyclegan"))
    assert "needs: bench fetch inception" in row
    assert "python -m bench fetch inception (fetch --list" in text  # below the table: what can be typed, and then
    assert "fid-inception-v1 per class" not in text


def test_weak_supervision_and_the_cost_of_stages_are_shown(tmp_path: Path) -> None:
    """A mark behind the name and its meaning below; stages stand apart from the training proper."""
    add(tmp_path, [record(10.0)])
    add(tmp_path, [record(9.0)], method="cats_udt:vgg", supervision="weak", stages={"moco": 20.4, "spectral": 1.0})
    (text,) = leaderboards(tmp_path, "folder")
    assert "| cats_udt:vgg \\*" in text
    assert "| cyclegan     " in text
    assert "\\* weakly supervised" in text
    train, stages = column_of(text, "train s"), column_of(text, "stages s")
    assert [row_of(text, "cats_udt:vgg")[i] for i in (train, stages)] == ["62", "21"]
    assert [row_of(text, "cyclegan")[i] for i in (train, stages)] == ["62", "0"]
    assert "semantic stages before it" in text
    add(tmp_path / "other", [record(10.0)])
    (plain,) = leaderboards(tmp_path / "other", "folder")
    assert "weakly" not in plain
    assert "stages" not in plain


def test_the_footer_says_which_methods_had_the_stand_in(tmp_path: Path) -> None:
    add(tmp_path, [record(10.0)], method="cats_udt:vgg", supervision="weak", pretrained=("stand_in",))
    add(tmp_path, [record(9.0)], method="cats_udt:content_vgg", supervision="weak", pretrained=("vgg19",))
    (text,) = leaderboards(tmp_path, "folder")
    told = [line for line in text.splitlines() if line.startswith("- \\*")]
    assert told == [
        "- \\* weakly supervised: uses a network trained on labels; for cats_udt:vgg: a small network trained with "
        "labels on other drawn classes"
    ]
    add(tmp_path / "fetched", [record(9.0)], method="cats_udt:vgg", supervision="weak", pretrained=("vgg19", "moco"))
    (text,) = leaderboards(tmp_path / "fetched", "folder")
    assert "- \\* weakly supervised: uses a network trained on labels\n" in text


def test_nested_settings_that_differ_stand_behind_the_name(tmp_path: Path) -> None:
    for width in (8, 16):
        add(tmp_path, [record(10.0)], config={"semantics": {"imsat": {"width": width, "steps": 3}}})
    (text,) = leaderboards(tmp_path, "folder")
    assert "cyclegan [semantics.imsat.width=8]" in text
    assert "cyclegan [semantics.imsat.width=16]" in text
    assert "steps" not in text.split("##")[1]


def test_the_floor_stands_below_the_values_and_says_its_n_where_it_is_another(tmp_path: Path) -> None:
    add(tmp_path, [record(9.0, **FLOOR), record(3.0, label="disc", **{**FLOOR, "floor": 2.0, "floor_n": 5})])
    add(tmp_path, [record(8.0, **FLOOR), record(3.0, label="disc", **{**FLOOR, "floor": 2.0, "floor_n": 5})], seed=1)
    (text,) = leaderboards(tmp_path, "folder")
    assert row_of(text, "(floor:")[3] == "4.00 ± 0.5"
    assert row_of(text, "(floor:", 1)[2:] == ["4.00 ± 0.5", "2.00 ± 0.5 (n = 5/12)"]
    assert "Not to be subtracted" in text


def test_rows_of_unequal_n_have_a_floor_each(tmp_path: Path) -> None:
    add(tmp_path, [record(9.0, **FLOOR)])
    add(tmp_path, [record(9.0, n=20, **{**FLOOR, "floor": 3.0, "floor_n": 20})], method="stargan_v2")
    (text,) = leaderboards(tmp_path, "folder")
    assert row_of(text, "(floor:")[3] == "4.00 ± 0.5 (n = 10/12)"
    assert row_of(text, "   ")[3] == "3.00 ± 0.5 (n = 20/12)"  # below it, under the same name


def test_intervals_over_images_and_over_seeds(tmp_path: Path) -> None:
    for seed, value in enumerate((10.0, 12.0, 14.0)):
        add(tmp_path, [record(value, deviation=1.0)], seed=seed)
    add(tmp_path, [], state="failed", seed=3)
    (text,) = leaderboards(tmp_path, "folder")
    images, seeds = text.partition("95 % over images")[2].split("95 % over seeds")
    assert row_of(images, "cyclegan")[2] == "12.00 (10.04 to 13.96)"  # 12 ± 1.96: seeds share their images
    assert row_of(seeds, "cyclegan")[2] == "12.00 (7.03 to 16.97) [3/4]"  # 12 ± 4.3027 * 2 / sqrt(3)
    add(tmp_path / "one", [record(10.0, deviation=1.0)])
    (text,) = leaderboards(tmp_path / "one", "folder")
    assert "95 % over images" in text
    assert "95 % over seeds" not in text


def test_no_interval_leaves_the_range_of_its_metric(tmp_path: Path) -> None:
    """Two seeds near an end, and seeds that agree; every protocol has a range."""
    assert {protocol.metric for protocol in PROTOCOLS.values()} <= set(RANGES)
    accuracy = {"metric": "accuracy", "protocol": "accuracy-judge-v1", "n": 50, "n_reference": 0}
    for seed, value in enumerate((40.0, 60.0)):
        add(tmp_path, [record(2.0 + 9 * seed, deviation=4.0), record(value, **accuracy)], seed=seed)
        add(tmp_path, [record(9.0), record(100.0, deviation=0.0, **accuracy)], seed=seed, method="drit")
    (board,) = all_leaderboards(tmp_path, "folder")
    for table in board.tables:
        for row in table.rows():
            for column, cell in zip(table.columns, row, strict=True):
                if cell.low is not None and cell.high is not None:
                    assert 0 <= cell.low < cell.high or cell.value == 9.0
                    assert "%" not in column.unit or cell.high <= 100
    text = render_boards([board], "markdown")
    assert "100.00 (92.86 to 100.00)" in text.partition("95 % over images")[2].partition("95 % over seeds")[0]
    assert "100.00 (92.86 to 100.00)" in text.partition("95 % over seeds")[2]


def test_what_is_no_headline_has_a_table_of_its_own(tmp_path: Path) -> None:
    further = record(0.25, metric="coverage", protocol="coverage-judge-v1")
    add(tmp_path, [record(10.0), further])
    (text,) = leaderboards(tmp_path, "folder")
    first, second = text.partition("further measures")[::2]
    assert "coverage-judge-v1" not in first
    assert "coverage-judge-v1 ↑ (n = 10/20)" in second
    assert row_of(second, "cyclegan")[2] == "0.25"


def test_values_of_two_protocols_or_two_encoders_never_become_one(tmp_path: Path) -> None:
    """Even those of one cell: each has its own column, and no mean of them is anywhere."""
    add(tmp_path, [record(1.0), record(3.0, protocol="fid-clean-v1"), record(5.0, encoder="bbbbbbbbbbbb")])
    (text,) = leaderboards(tmp_path, "folder")
    row = row_of(text, "cyclegan")
    assert row[column_of(text, "fid-clean-v1")] == "3.00"
    assert row[column_of(text, "fid-judge-v1 [aaaaaaaaaaaa]")] == "1.00"
    assert row[column_of(text, "fid-judge-v1 [bbbbbbbbbbbb]")] == "5.00"
    assert not any(mean in text for mean in ("2.00", "3.00 ±", "4.00"))


def test_two_values_of_one_kind_in_one_cell_are_no_two_seeds(tmp_path: Path) -> None:
    add(tmp_path, [record(1.0)])
    add(tmp_path, [record(1.0), record(3.0)], seed=1)
    (text,) = leaderboards(tmp_path, "folder")
    assert row_of(text, "cyclegan")[2:4] == ["1/1", "1.00"]
    (told,) = [line for line in text.splitlines() if line.startswith("- left out: ")]
    assert "cyclegan-seed1-" in told
    assert "two values of one style, protocol, direction, class and encoder" in told


def test_a_method_of_which_nothing_was_scored_is_a_row_with_its_state(tmp_path: Path) -> None:
    add(tmp_path, [record(1.0)])
    add(tmp_path, [], state="failed", method="drit")
    add(tmp_path, [], state="running", method="munit")
    (text,) = leaderboards(tmp_path, "folder")
    assert row_of(text, "drit")[2:4] == ["0/1", "failed"]
    assert row_of(text, "munit")[2:4] == ["0/1", "interrupted"]
    assert "- failed: drit seed 0: loss is not finite (step 7)\n" in text
    add(tmp_path / "other", [], state="failed")
    (text,) = leaderboards(tmp_path / "other", "folder")
    assert row_of(text, "cyclegan")[2:4] == ["0/1", "failed"]
    assert "nothing scored yet" in text


def test_numbers_of_nothing_are_reasons_and_never_nan(tmp_path: Path) -> None:
    add(tmp_path, [record(1.0), record(float("nan"), protocol="kid-judge-v1", metric="kid", deviation=float("inf"))])
    add(tmp_path, [record(None, missing="features are NaN")], method="drit")
    (board,) = all_leaderboards(tmp_path, "folder")
    text = render_boards([board], "markdown")
    assert "no row has a value of kid-judge-v1 (the stored value is not a finite number)" in text
    assert row_of(text, "drit")[column_of(text, "fid-judge-v1")] == "features are NaN"
    assert "nan" not in text.lower().replace("are nan", "")


# ------------------------------------------------------------------------------------------------------------ the best


def test_bold_is_what_cannot_be_told_from_the_best_and_the_footer_says_by_which_test(tmp_path: Path) -> None:
    for method, values in {
        "cyclegan": (10.0, 10.2, 10.1),
        "drit": (10.3, 9.9, 10.0),
        "munit": (20.0, 20.1, 19.9),
    }.items():
        for seed, value in enumerate(values):
            add(tmp_path, [record(value)], method=method, seed=seed)
    (text,) = leaderboards(tmp_path, "folder")
    assert [row_of(text, name)[3].startswith("**") for name in ("cyclegan", "drit", "munit")] == [True, True, False]
    assert "Welch's t-test over seeds" in text
    for method, value in {"cyclegan": 50.0, "drit": 52.0, "munit": 60.0}.items():
        add(tmp_path / "one", [record(value, deviation=1.0)], method=method)
    (text,) = leaderboards(tmp_path / "one", "folder")
    assert [row_of(text, name)[3] for name in ("cyclegan", "drit", "munit")] == ["**50.00**", "**52.00**", "60.00"]
    assert "one seed: normal test over images" in text
    assert "of these trainings and no others" in text


def test_a_deterministic_method_is_never_the_most_diverse(tmp_path: Path) -> None:
    diversity = {"metric": "judge_diversity", "protocol": "diversity-judge-v1", "n_reference": 0}
    for seed in (0, 1):
        for method, value in {"cyclegan": 0.0, "egsc_it": 0.0}.items():
            add(tmp_path, [record(9.0), record(value, deviation=0.0, **diversity)], method=method, seed=seed)
    (text,) = leaderboards(tmp_path, "folder")
    column = column_of(text, "diversity-judge-v1")
    assert [row_of(text, name)[column] for name in ("cyclegan", "egsc_it")] == ["none (a)", "none (a)"]
    assert "one translation of each source" in text
    for seed in (0, 1):
        for method, value in {"munit": 0.1 + 0.001 * seed, "drit": 0.1 + 0.002 * seed}.items():
            add(tmp_path, [record(9.0), record(value, deviation=0.01, **diversity)], method=method, seed=seed)
    (text,) = leaderboards(tmp_path, "folder")
    shown = {name: row_of(text, name)[column] for name in ("cyclegan", "munit", "drit")}
    assert [cell.startswith("**") for cell in shown.values()] == [False, True, True]
    ranks = text.partition("### ranks over seeds")[2].partition("###")[0]
    assert row_of(ranks, "cyclegan")[column_of(ranks, "diversity-judge-v1")] == "-"


def test_notes_stand_only_where_they_apply(tmp_path: Path) -> None:
    """One seed, one method: no ±, no [k/n], no bold, no floor to explain."""
    add(tmp_path, [record(9.0, deviation=1.0)])
    (text,) = leaderboards(tmp_path, "folder")
    assert not [word for word in ("bold", "sample standard deviation", "[k/n]", "floor") if word in text]
    add(tmp_path, [record(10.0)], method="drit")
    (text,) = leaderboards(tmp_path, "folder")
    assert text.count("no bold in fid-judge-v1: one seed without a deviation") == 1
    assert "**" not in text


def test_values_of_unequal_n_are_not_compared(tmp_path: Path) -> None:
    for seed in (0, 1):
        add(tmp_path, [record(1.0 + seed / 9, n=10)], seed=seed)
        add(tmp_path, [record(90.0 + seed / 9, n=30)], seed=seed, method="stargan_v2")
    (text,) = leaderboards(tmp_path, "folder")
    assert "**" not in text
    assert "no bold in fid-judge-v1: its numbers of images differ" in text
    assert "ranks over seeds" not in text


def test_seeds_of_unequal_n_are_marked(tmp_path: Path) -> None:
    add(tmp_path, [record(1.0, n=10)])
    add(tmp_path, [record(2.0, n=30)], seed=1)
    (text,) = leaderboards(tmp_path, "folder")
    assert row_of(text, "cyclegan")[3] == "1.50 ± 0.71 (a)"
    assert "- (a) the seeds were not scored with the same numbers of images" in text


def test_ranks_are_ranges_and_improvement_is_against_the_best(tmp_path: Path) -> None:
    values = {"cyclegan": (10.0, 10.2, 10.1), "drit": (10.3, 9.9, 10.0), "munit": (20.0, 20.1, 19.9), "egsc_it": (1.0,)}
    for method, of in values.items():
        for seed, value in enumerate(of):
            add(tmp_path, [record(value)], method=method, seed=seed)
    (text,) = leaderboards(tmp_path, "folder")
    ranks, better = text.partition("### ranks over seeds")[2].split("### P(a training of the best is better)")
    assert [row_of(ranks, name)[2] for name in ("cyclegan", "drit", "munit")] == ["1 to 2", "1 to 2", "3"]
    assert "egsc_it" not in ranks.partition("###")[0]  # one seed has no rank
    shown = [row_of(better, name)[2] for name in ("cyclegan", "drit", "munit")]
    assert shown[1] == "best"  # of means 10.10 and 10.07
    assert shown[2] == "1.00"  # complete separation has no interval
    assert shown[0].startswith("0.61 (")  # of 9 pairs drit has the lower one in 5, and one is a tie
    add(tmp_path / "one", [record(1.0)])
    assert "ranks over seeds" not in leaderboards(tmp_path / "one", "folder")[0]


# --------------------------------------------------------------------------------------- against another computation


def _kind(drawn: tuple[Any, ...]) -> tuple[Any, ...]:
    """All but the value."""
    return (*drawn[:3], drawn[4])


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_number_is_that_of_a_plain_group_by(tmp_path: Path, data: st.DataObject) -> None:
    """Cells in random orders with random records, against pandas on the long table."""
    root = tmp_path / str(len(list(tmp_path.iterdir())))
    number = st.one_of(st.none(), st.floats(0, 100))
    for method in data.draw(st.lists(st.sampled_from(["cyclegan", "drit", "munit"]), unique=True, min_size=1)):
        for seed in data.draw(st.lists(st.integers(0, 5), unique=True, max_size=4)):
            kinds = data.draw(
                st.lists(
                    st.tuples(
                        st.sampled_from(["fid-judge-v1", "fid-inception-v1"]), st.sampled_from(["all", "b", "a"]),
                        st.sampled_from(["ink->paint", "paint->ink"]), number, st.sampled_from([ENCODER, "b" * 12]),
                    ),
                    unique_by=_kind, max_size=6,
                )
            )  # fmt: skip
            records = [
                record(value, label=label, protocol=protocol, direction=direction, encoder=encoder)
                for protocol, label, direction, value, encoder in kinds
            ]
            add(root, records, method=method, seed=seed)
    long = frame(root, "folder") if (root / "runs").exists() else None
    if long is None or long["value"].isna().all():
        return
    expected = {
        key: (own["value"].mean(), own["value"].std(ddof=1) if len(own) > 1 else None, len(own))
        for key, own in long[long["value"].notna()].groupby(["direction", "protocol", "encoder", "label", "method"])
    }
    (stored,) = query_settings(read_index(root, "folder"))
    for direction, every in stored.directions.items():
        for row, scores in enumerate(every):
            for key, measurement in scores.measurements.items():
                column = MeasuredColumn(*key, tuple(every))
                cell = column.cell(row, "", len(scores.row.cells), Marks())
                wanted = expected.pop((direction, *key, scores.row.method), None)
                seeds = long[long["method"] == scores.row.method].drop_duplicates("folder")["seed"].tolist()
                by_seed = {stored.seed(score.cell): score.value for score in stored.scores(key, measurement)}
                assert set(by_seed) <= set(seeds)
                assert [value for value in by_seed.values() if value is not None] == list(measurement.values)
                if wanted is None:
                    assert cell.value is None
                else:
                    assert (cell.value, cell.deviation, cell.seeds and cell.seeds[0]) == pytest.approx(wanted)
    assert not expected
