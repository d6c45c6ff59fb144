"""The paper's tables from a results folder: whose cells stand in them, and whose do not, which is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stored_cells import CLASSES, fid, judged, own, store

from bench.core.errors import BenchError
from bench.reporting.paper.from_results import tables_from_results
from bench.reporting.paper.table import OTHER_PROTOCOL, OTHER_SETTING
from bench.reporting.setting import Commands
from bench.reporting.tables.render import render_tables
from bench.reporting.tables.table import Table, TableCell
from bench.spec.run_spec import Budget
from bench.spec.tasks import get_task
from bench.store import preset_match as module
from bench.store.preset_match import preset_methods

PUBLISHED = {"preset": "paper", "kind": "real"}


def tables(root: Path, name: str = "2", **wanted: str) -> list[Table]:
    return tables_from_results(
        root, name, lambda s: all(getattr(s, key) == value for key, value in wanted.items()), Commands()
    )


def ours(table: Table, row: str) -> dict[str, TableCell]:
    """Heading of a column -> ours, in the rows called `row`."""
    (cells,) = [cells for cells in table.rows() if cells[0].text == row and cells[1].text.startswith("ours")]
    return {column.label: cell for column, cell in zip(table.columns, cells, strict=True)}


def told(table: Table) -> str:
    return "\n".join([note.text + ": " + note.command for note in table.footnotes])


def test_stored_values_stand_in_their_places(tmp_path: Path) -> None:
    for seed, value in enumerate((60.0, 61.0)):
        records = [fid(value + i, label) for i, label in enumerate(CLASSES)]
        store(tmp_path, "cats_udt", [*records, judged(80.0)], seed)
        store(tmp_path, "stargan_v2", [fid(70.0 + seed), judged(70.0)], seed)
    store(tmp_path, "cats_udt", [], 2, failed="loss is not finite")
    store(tmp_path, "drit", [], 0, failed="collapsed")
    store(tmp_path, "cyclegan", [fid(None, encoder="", protocol="fid-inception-v1", missing="needs: bench fetch x")])
    (table,) = tables(tmp_path)
    whole, bird = ours(table, "all"), ours(table, "bird")
    assert (whole["CatS-UDT"].value, whole["CatS-UDT"].seeds, whole["CatS-UDT"].images) == (60.5, (2, 3), (100, 200))
    assert bird["CatS-UDT"].value == 61.5
    assert whole["StarGAN-V2"].value == 70.5
    assert (whole["DRIT"].missing, whole["DRIT"].seeds) == ("failed", (0, 1))
    assert whole["EGSC-IT"] == TableCell(role="ours")
    assert whole["value"].text.startswith("ours (quick, embedded data, 32 px)")
    assert set(whole["value"].marks) == {OTHER_SETTING, OTHER_PROTOCOL}
    text = told(table)
    assert "failed: loss is not finite (step 7)" in text
    assert "failed: collapsed (step 7)" in text
    assert "stargan_v2 stands in for stargan_v2:cats" in text
    assert "bench run --task sketch2real --preset quick --data embedded --methods cyclegan,egsc_it --seeds" in text
    assert "bench evaluate --task sketch2real --preset quick --data embedded --methods stargan_v2" in text
    assert "left out:" not in text


def test_without_results_the_published_values_stand_with_the_commands(tmp_path: Path) -> None:
    (table,) = tables(tmp_path / "nowhere", "3a")
    assert ours(table, "all")["λ_sem = 0"] == TableCell(role="ours")
    assert "bench run --task sketch2real --preset paper --methods cats_udt:no_sem," in told(table)
    with pytest.raises(BenchError, match="the paper has no table '5'"):
        tables(tmp_path, "5")


# ------------------------------------------------------------------------------------------------ one setting a table


def test_each_setting_has_a_table_and_none_is_mixed(tmp_path: Path) -> None:
    store(tmp_path, "cats_udt", [fid(60.0)])
    store(tmp_path, "cyclegan", [fid(61.0, label) for label in CLASSES], budget=Budget("images", 100))
    store(tmp_path, "drit", [fid(62.0)], preset="paper")
    store(tmp_path, "egsc_it", [fid(63.0)], data_version="v2")
    found = {}
    for table in tables(tmp_path):
        whole = ours(table, "all")
        text = whole["value"].text.partition(", n =")[0]
        found[text] = {label: cell.value for label, cell in whole.items() if cell.value is not None}
    assert found == {
        "ours (quick, embedded data, 32 px, images=100)": {"CycleGAN": 61.0},
        "ours (quick, embedded data, 32 px, data v1)": {"CatS-UDT": 60.0},
        "ours (quick, embedded data, 32 px, data v2)": {"EGSC-IT": 63.0},
        "ours (paper, embedded data, 256 px)": {"DRIT": 62.0},
    }
    (table,) = tables(tmp_path, preset="paper")
    assert ours(table, "all")["DRIT"].value == 62.0
    (table,) = tables(tmp_path, budget="images=100")
    (command,) = [note.command for note in table.footnotes if note.command]
    assert "--preset quick --data embedded --budget images=100 --methods drit,egsc_it,stargan_v2:cats" in command


def test_the_published_setting_alone_is_compared(tmp_path: Path) -> None:
    def differs(**changed: Any) -> bool:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        sources = changed.pop("n", 75)
        records = [fid(60.0, protocol="fid-pytorch-paper-v1"), judged(80.0, n=sources)]
        store(root, "cats_udt", records, **{**PUBLISHED, **changed})
        (table,) = tables(root)
        marked = OTHER_SETTING in ours(table, "all")["value"].marks
        differences = any(cells[1].text == "difference" for cells in table.rows())
        assert marked != differences
        return differences

    assert differs()
    assert not differs(preset="quick")
    assert not differs(kind="embedded")
    assert not differs(image_size=128)
    assert not differs(budget=Budget("images", 100))
    assert not differs(n=80)  # other images under the task's name
    assert not differs(weights="abc", budget=Budget("images", 0))


def test_the_published_setting_comes_first(tmp_path: Path) -> None:
    records = [fid(60.0, protocol="fid-pytorch-paper-v1"), judged(80.0, n=75)]
    store(tmp_path, "cats_udt", records)
    store(tmp_path, "cats_udt", records, **PUBLISHED)
    assert [OTHER_SETTING in ours(table, "all")["value"].marks for table in tables(tmp_path)] == [False, True]


def test_given_checkpoints_are_a_setting_of_their_own(tmp_path: Path) -> None:
    given = {"weights": "abc", "budget": Budget("images", 0)}
    store(tmp_path, "cyclegan", [fid(60.0)], **given)
    store(tmp_path, "drit", [fid(61.0)])
    checkpoint, trained = tables(tmp_path)
    assert ours(checkpoint, "all")["value"].text.startswith("ours (quick, embedded data, 32 px, given checkpoints)")
    assert ours(checkpoint, "all")["DRIT"].value is None
    assert "bench run" not in told(checkpoint)
    assert ours(trained, "all")["CycleGAN"].value is None
    store(tmp_path, "cyclegan", [fid(70.0)], **{**given, "weights": "def"})
    checkpoint, _ = tables(tmp_path)
    assert ours(checkpoint, "all")["CycleGAN"].value is None
    assert "one of several checkpoints (abc)" in told(checkpoint)


# ----------------------------------------------------------------------------------------------------- whose cells


def test_cells_with_other_settings_than_the_preset_s_are_left_out_and_named(tmp_path: Path) -> None:
    store(tmp_path, "cats_udt", [fid(60.0)])
    store(tmp_path, "cats_udt", [fid(10.0)], changed={"lambda_sem": 0.125})
    store(tmp_path, "drit", [fid(11.0)], changed={"width": 99})
    store(tmp_path, "cyclegan", [fid(12.0)], method_version=own("cyclegan").version + 1)
    (table,) = tables(tmp_path)
    whole = ours(table, "all")
    assert whole["CatS-UDT"].value == 60.0
    assert (whole["DRIT"].value, whole["CycleGAN"].value) == (None, None)
    text = told(table)
    assert "left out: cats_udt on sketch2real, 1 cells: not the preset's settings: lambda_sem=0.125" in text
    assert "left out: drit on sketch2real, 1 cells: not the preset's settings: width=99" in text
    version = own("cyclegan").version
    assert f"made by version {version + 1} of the method, which is now {version}" in text
    assert not {"10.00", "11.00", "12.00"} & set(render_tables(table, "markdown").split())


def test_styles_come_from_where_the_method_s_own_do(tmp_path: Path) -> None:
    cell = store(tmp_path, "cats_udt", [fid(60.0)])
    cell.metrics("exemplar").write_text(json.dumps({"records": [fid(10.0)]}))
    cell = store(tmp_path, "egsc_it", [fid(61.0)])
    cell.metrics("noise").write_text(json.dumps({"records": [fid(11.0)]}))
    (table,) = tables(tmp_path)
    whole = ours(table, "all")
    assert (whole["CatS-UDT"].value, whole["CatS-UDT"].seeds) == (60.0, (1, 1))
    assert (whole["EGSC-IT"].value, whole["EGSC-IT"].seeds) == (61.0, (1, 1))


def test_numbers_of_two_judges_are_not_mixed(tmp_path: Path) -> None:
    store(tmp_path, "cats_udt", [fid(60.0)])
    store(tmp_path, "drit", [fid(61.0)])
    store(tmp_path, "cyclegan", [fid(10.0, encoder="b" * 12)])
    (table,) = tables(tmp_path)
    whole = ours(table, "all")
    assert (whole["CatS-UDT"].value, whole["DRIT"].value, whole["CycleGAN"].value) == (60.0, 61.0, None)
    assert "left out: sketch->real by fid-judge-v1 with other weights (bbbbbbbbbbbb)" in told(table)


def test_seeds_without_a_value_say_why(tmp_path: Path) -> None:
    store(tmp_path, "cats_udt", [fid(60.0)], 0)
    store(tmp_path, "cats_udt", [fid(None, missing="features are NaN")], 1)
    store(tmp_path, "cats_udt", [judged(50.0)], 2)
    store(tmp_path, "cats_udt", [], 3, state="running")
    (table,) = tables(tmp_path)
    assert ours(table, "all")["CatS-UDT"].seeds == (1, 4)
    text = told(table)
    assert "features are NaN" in text
    assert "not scored by fid-judge-v1" in text
    assert "not scored yet (interrupted)" in text


# ---------------------------------------------------------------------------------------------- judges and clusters


def test_the_judge_stands_with_its_own_number_of_images(tmp_path: Path) -> None:
    both = {"mnist->svhn": 98.5, "svhn->mnist": 99.25}
    records = [judged(50.0, direction=direction, on_real=real) for direction, real in both.items()]
    store(tmp_path, "cats_udt", records, task="mnist2svhn")
    (table,) = tables(tmp_path, "1")
    judges = [ours(table, f"accuracy % ↑, {way}")["Target classifier"] for way in ("M→S", "S→M")]
    assert [(cell.value, cell.images) for cell in judges] == [(98.5, (777, 0)), (99.25, (777, 0))]
    store(tmp_path, "cats_udt", records, task="mnist2svhn", budget=Budget("images", 100))
    (text,) = tables(tmp_path, "text")  # how long a method was trained is nothing to the judge
    assert [ours(text, f"classifier, {name}, % ↑")["accuracy"].value for name in ("MNIST", "SVHN")] == [99.25, 98.5]


def align(root: Path, folder: str, seed: int, **changed: Any) -> None:
    found = own("cats_udt", "mnist2svhn")
    rows = [
        {"stage": "imsat", "seed": seed, "domain": domain, "split": split, "n": n, "accuracy": accuracy + seed / 100}
        for domain, split, n, accuracy in (
            ("mnist", "train", 900, 0.5), ("mnist", "test", 100, 0.75), ("svhn", "train", 900, 0.1),
            ("svhn", "test", 100, 0.2),
        )
    ]  # fmt: skip
    content = {
        "task": "mnist2svhn", "data_kind": "embedded", "data_version": "v1", "image_size": 16, "preset": "quick",
        "method": "cats_udt", "config": dict(found.config), "assignment": "majority", "alignment": rows, **changed,
    }  # fmt: skip
    path = root / "semantics" / "mnist2svhn" / folder / "alignment.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))


def test_clusters_are_those_of_the_preset_s_own_chain(tmp_path: Path) -> None:
    for seed in (0, 1):
        align(tmp_path, f"imsat-seed{seed}-a", seed)
    align(tmp_path, "imsat-seed2-b", 2, config={"semantics": {}})
    align(tmp_path, "imsat-seed3-c", 3, method="cats_udt:vgg")
    old = tmp_path / "semantics" / "mnist2svhn" / "imsat-seed4-d" / "alignment.json"
    old.parent.mkdir()
    old.write_text(json.dumps({"assignment": "majority", "alignment": []}))
    (table,) = tables(tmp_path, "text")
    cell = ours(table, "IMSAT, MNIST, % ↑")["accuracy"]
    assert (cell.value, cell.seeds, cell.images) == (75.5, (2, 2), (100, 0))
    assert ours(table, "adapted clusters, MNIST, % ↑")["accuracy"].value is None
    text = told(table)
    assert "clusters on mnist2svhn: of test images" in text
    assert "bench semantics --task mnist2svhn --preset quick --data embedded --stage adaptation --seeds 0,1,2" in text


# ------------------------------------------------------------------------------------------------- own settings


def test_own_settings_are_resolved_once_for_the_same_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = get_task("sketch2real")
    found = preset_methods(tmp_path, task, "quick", "embedded", ["cyclegan", "cats_udt"])
    assert found == {name: own(name) for name in ("cyclegan", "cats_udt")}

    def refuse(*arguments: object) -> Any:
        raise AssertionError("resolved again")

    monkeypatch.setattr(module, "preset_method", refuse)
    assert preset_methods(tmp_path, task, "quick", "embedded", ["cats_udt"])["cats_udt"] == own("cats_udt")
    with pytest.raises(AssertionError, match="resolved again"):
        preset_methods(tmp_path, task, "quick", "real", ["cats_udt"])
    monkeypatch.setattr(module, "_code_digest", lambda: "other code")
    with pytest.raises(AssertionError, match="resolved again"):
        preset_methods(tmp_path, task, "quick", "embedded", ["cats_udt"])


@pytest.mark.slow
def test_own_settings_are_what_the_command_trains(tmp_path: Path) -> None:
    """Every method of the paper, as `run` resolves it before it trains."""
    from bench.reporting.paper.shapes import OURS, VARIANTS
    from bench.runs.request import Request, open_request

    names = sorted({name for group in (OURS, VARIANTS) for of in group.values() for name in of} - {"judge"})
    request = Request(
        task="mnist2svhn", methods=names, preset="quick", data="embedded", seeds=(0,), overrides=(), device="cpu",
        results=tmp_path,
    )  # fmt: skip
    for job in open_request(request).jobs:
        found = own(job.spec.method, "mnist2svhn")
        assert (job.spec.config, job.spec.method_version) == (found.config, found.version), job.spec.method
