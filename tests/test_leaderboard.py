"""The table: what may share a column, a row and a table; and what it says of failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.leaderboard import leaderboards, one_value, write_leaderboards
from bench.results import Cell, frame
from bench.spec import Budget, RunSpec

ENCODER = "aaaaaaaaaaaa"


def record(value: float | None, n: int = 10, encoder: str = ENCODER, label: str = "all", **more: Any) -> dict[str, Any]:
    return {
        "metric": "fid", "protocol": "fid-judge-v1", "direction": "ink->paint", "label": label, "value": value, "n": n,
        "n_reference": 20, "encoder": encoder, "missing": "", "on_real": None, **more,
    }  # fmt: skip


def add(
    root: Path, records: list[dict[str, Any]], state: str = "done", supervision: str = "none",
    stages: dict[str, float] | None = None, pretrained: tuple[str, ...] = (), **changes: Any,
) -> Cell:  # fmt: skip
    values: dict[str, Any] = {
        "task": "folder", "domains": ("ink", "paint"), "data_kind": "real", "data_version": "v1", "image_size": 32,
        "preset": "quick", "method": "cyclegan", "method_version": 1, "config": {"width": 8},
        "budget": Budget("images", 100), "seed": 0,
    }  # fmt: skip
    cell = Cell(root, RunSpec(**{**values, **changes}))
    cell.begin(supervision)
    for name in pretrained:
        cell.recording(lambda name: name)(name)
    details = {"reason": "loss is not finite", "step": 7} if state == "failed" else {}
    cell.set_state(state, **details)  # type: ignore[arg-type]
    if state == "done":
        cost = {"seconds": 61.6, "parameters": 1234567, "flops": 2.5e12, "stage_seconds": stages or {}}
        cell.cost.write_text(json.dumps(cost))
        cell.metrics("none").write_text(json.dumps({"records": records}))
    return cell


GOLDEN = """\
# folder: real data at 32 px, preset quick

- data: real (real images), version v1
- preset: quick (small networks, short training: not comparable with the paper), budget images=100 per domain
- columns: metric protocol, direction of better; n = translated images (or sources) / real images
- **failed**: cyclegan seed 2: loss is not finite (step 7)

## ink->paint

| method             |   styles |   seeds k/n |   fid-judge-v1 ↓ (n = 10/20) |   parameters |   train s |   TFLOP |
|--------------------|----------|-------------|------------------------------|--------------|-----------|---------|
| cyclegan           |     none |         2/3 |                  11.00 ± 1.4 |    1,234,567 |        62 |     2.5 |
| (real test images) |          |             |                              |              |           |         |

fid-judge-v1 per class (encoder aaaaaaaaaaaa)

| method   |   styles |   all (n = 10/20) |   disc (n = 5/20) |
|----------|----------|-------------------|-------------------|
| cyclegan |     none |       11.00 ± 1.4 |         20.00 ± 0 |

Values are means over seeds ± the sample standard deviation between them; k/n: seeds finished / begun.
"""


def test_what_a_method_remarks_stands_above_the_table_with_the_domains_names(tmp_path: Path) -> None:
    add(tmp_path, [record(9.0)])
    cell = add(tmp_path, [record(8.0)], method="cats_udt")
    assert cell.note(["all of {1} looks {like} one"]) == ["all of paint looks {like} one"]
    (text,) = leaderboards(tmp_path, "folder")
    assert "- **warning**: cats_udt seed 0: all of paint looks {like} one\n" in text
    assert "cyclegan seed 0" not in text


def test_golden(tmp_path: Path) -> None:
    for seed, value in enumerate((10.0, 12.0)):
        add(tmp_path, [record(value), record(20.0, n=5, label="disc")], seed=seed)
    add(tmp_path, [], state="failed", seed=2)
    assert write_leaderboards(tmp_path, "folder").read_text() == GOLDEN


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
    assert all(text.count("| cyclegan") == 2 for text in texts)
    assert any("drawn by code, not real images" in text for text in texts)


def test_other_settings_or_versions_never_share_a_row(tmp_path: Path) -> None:
    add(tmp_path, [record(1.0)])
    add(tmp_path, [record(2.0)], config={"width": 16})
    add(tmp_path, [record(3.0)], method_version=2)
    (text,) = leaderboards(tmp_path, "folder")
    for row in ("[method_version=1, width=8]", "[method_version=1, width=16]", "[method_version=2, width=8]"):
        assert text.count(f"| cyclegan {row}") == 2, text


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
    row = next(line for line in text.splitlines() if line.startswith("| cyclegan"))
    assert "needs: bench fetch inception" in row
    assert "fid-inception-v1 per class" not in text


def test_weak_supervision_and_the_cost_of_stages_are_shown(tmp_path: Path) -> None:
    """A mark behind the name and its meaning below; stages stand apart from the training proper."""
    add(tmp_path, [record(10.0)])
    add(tmp_path, [record(9.0)], method="cats_udt:vgg", supervision="weak", stages={"moco": 20.4, "spectral": 1.0})
    (text,) = leaderboards(tmp_path, "folder")
    assert "| cats_udt:vgg \\*" in text
    assert "| cyclegan     " in text
    assert "\\* weakly supervised" in text
    assert "|   62 + 21 |" in text.replace("       62 + 21", "   62 + 21")
    assert "semantic stages before it" in text
    add(tmp_path / "other", [record(10.0)])
    (plain,) = leaderboards(tmp_path / "other", "folder")
    assert "weakly" not in plain
    assert "stages" not in plain


def test_the_footer_says_which_methods_had_the_stand_in(tmp_path: Path) -> None:
    add(tmp_path, [record(10.0)], method="cats_udt:vgg", supervision="weak", pretrained=("stand_in",))
    add(tmp_path, [record(9.0)], method="cats_udt:content_vgg", supervision="weak", pretrained=("vgg19",))
    (text,) = leaderboards(tmp_path, "folder")
    assert text.splitlines()[-1] == (
        "\\* weakly supervised: uses a network trained on labels; for cats_udt:vgg: a small network trained with "
        "labels on other drawn classes."
    )
    add(tmp_path / "fetched", [record(9.0)], method="cats_udt:vgg", supervision="weak", pretrained=("vgg19", "moco"))
    (text,) = leaderboards(tmp_path / "fetched", "folder")
    assert text.splitlines()[-1] == "\\* weakly supervised: uses a network trained on labels."


def test_nested_settings_that_differ_stand_behind_the_name(tmp_path: Path) -> None:
    for width in (8, 16):
        add(tmp_path, [record(10.0)], config={"semantics": {"imsat": {"width": width, "steps": 3}}})
    (text,) = leaderboards(tmp_path, "folder")
    assert "cyclegan [semantics.imsat.width=8]" in text
    assert "cyclegan [semantics.imsat.width=16]" in text
    assert "steps" not in text.split("##")[1]


FLOOR = {"floor": 4.0, "floor_deviation": 0.5, "floor_n": 10, "floor_reference": 12}


def row_of(text: str, name: str, table: int = 0) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in lines[table].split("|")[1:-1]]


def test_the_floor_stands_below_the_values_and_says_its_n_where_it_is_another(tmp_path: Path) -> None:
    add(tmp_path, [record(9.0, **FLOOR), record(3.0, label="disc", **{**FLOOR, "floor": 2.0, "floor_n": 5})])
    add(tmp_path, [record(8.0, **FLOOR), record(3.0, label="disc", **{**FLOOR, "floor": 2.0, "floor_n": 5})], seed=1)
    (text,) = leaderboards(tmp_path, "folder")
    assert row_of(text, "(floor:")[3] == "4.00 ± 0.5"
    assert row_of(text, "(floor:", 1)[2:] == ["4.00 ± 0.5", "2.00 ± 0.5 (n = 5/12)"]
    assert "Not to be subtracted." in text


def test_rows_of_unequal_n_have_a_floor_each(tmp_path: Path) -> None:
    add(tmp_path, [record(9.0, **FLOOR)])
    add(tmp_path, [record(9.0, n=20, **{**FLOOR, "floor": 3.0, "floor_n": 20})], method="stargan_v2")
    (text,) = leaderboards(tmp_path, "folder")
    assert row_of(text, "(floor:")[3] == "4.00 ± 0.5 (n = 10/12); 3.00 ± 0.5 (n = 20/12)"


def test_intervals_over_images_and_over_seeds(tmp_path: Path) -> None:
    for seed, value in enumerate((10.0, 12.0, 14.0)):
        add(tmp_path, [record(value, deviation=1.0)], seed=seed)
    add(tmp_path, [], state="failed", seed=3)
    (text,) = leaderboards(tmp_path, "folder")
    images, seeds = text.partition("95 % over images")[2].split("95 % over seeds")
    assert row_of(images, "cyclegan")[2] == "10.04 to 13.96"  # 12 ± 1.96: seeds share their images
    assert row_of(seeds, "cyclegan")[2] == "7.03 to 16.97"  # 12 ± 4.3027 * 2 / sqrt(3)
    add(tmp_path / "one", [record(10.0, deviation=1.0)])
    (text,) = leaderboards(tmp_path / "one", "folder")
    assert "95 % over images" in text
    assert "95 % over seeds" not in text


def test_what_is_no_headline_has_a_table_of_its_own(tmp_path: Path) -> None:
    further = record(0.25, metric="coverage", protocol="coverage-judge-v1")
    add(tmp_path, [record(10.0), further])
    (text,) = leaderboards(tmp_path, "folder")
    first, second = text.partition("further measures")[::2]
    assert "coverage-judge-v1" not in first
    assert "coverage-judge-v1 ↑ (n = 10/20)" in second
    assert row_of(second, "cyclegan")[2] == "0.25"


def test_a_cell_of_two_protocols_is_an_error(tmp_path: Path) -> None:
    """A table that would mix them is refused, not averaged."""
    add(tmp_path, [record(1.0), record(3.0, protocol="fid-clean-v1")])
    both = frame(tmp_path, "folder")
    with pytest.raises(ValueError, match="fid-clean-v1, fid-judge-v1 must not share a column"):
        one_value(both, 1, show_n=False)
    same = both.assign(protocol="fid-judge-v1", encoder=["aaaa", "bbbb"])
    with pytest.raises(ValueError, match="aaaa, bbbb must not share a column"):
        one_value(same, 1, show_n=False)
