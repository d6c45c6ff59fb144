"""Which cells a figure takes: all of one setting, and those with the settings that it is about."""

from __future__ import annotations

from pathlib import Path

import pytest
from figure_toys import DIGITS, M2S, accuracies, make_task_data, store

from bench.core.errors import BenchError
from bench.data.types import TaskData
from bench.reporting.figures.collect import (
    CollectedCells,
    FigureRemedy,
    FigureRequest,
    FigureSlot,
    SlotCells,
    collect_figure_cells,
    collected_remedy,
    collected_warning,
)
from bench.reporting.figures.figures import FIGURES
from bench.spec.run_spec import Budget
from bench.spec.tasks import TASKS
from bench.store.columns import GIVEN
from bench.store.query import Setting

FULL, NO_SEM = FigureSlot("full", ("cats_udt",)), FigureSlot("λ_sem = 0", ("cats_udt:no_sem",))
REMEDY = FigureRemedy(("python -m bench sweep figure3a",), ())


def load(kind: str) -> TaskData:
    return make_task_data(DIGITS, "v2")


def gathered(root: Path, *slots: FigureSlot, **options: str) -> CollectedCells:
    return collect_figure_cells(FigureRequest("3a", root, DIGITS, **options), slots or (FULL, NO_SEM), REMEDY, load)


def values(collected: CollectedCells) -> list[list[float] | None]:
    return [None if found is None else _values(found) for found in collected.found]


def _values(found: SlotCells) -> list[float]:
    every = [scores for each in found.records.directions.values() for scores in each if scores.row == found.row]
    return [value for scores in every for measurement in scores.measurements.values() for value in measurement.values]


def test_cells_of_two_budgets_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 80.0}))
    store(tmp_path, DIGITS, "cats_udt:no_sem", records=accuracies({M2S: 20.0}), budget=Budget("images", 100))
    with pytest.raises(BenchError, match="several settings must not share a figure") as caught:
        gathered(tmp_path)
    assert "budget images=100" in str(caught.value)
    assert "budget images=9600" in str(caught.value)
    collected = gathered(tmp_path, budget="images=9600")
    assert values(collected) == [[80.0], None]
    assert collected.setting.budget == "images=9600"


def test_presets_and_image_sizes_never_mix(tmp_path: Path) -> None:
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 80.0}))
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 90.0}), preset="paper")
    assert values(gathered(tmp_path, FULL)) == [[80.0]]
    assert values(gathered(tmp_path, FULL, preset="paper")) == [[90.0]]
    store(tmp_path, DIGITS, "cats_udt:no_sem", records=accuracies({M2S: 20.0}), image_size=32)
    with pytest.raises(BenchError, match="at 32 px"):
        gathered(tmp_path)


def test_of_two_versions_of_the_data_that_which_is_there_now(tmp_path: Path) -> None:
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 80.0}))
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 70.0}), data_version="v2")
    collected = gathered(tmp_path, FULL)
    assert values(collected) == [[70.0]]
    assert collected.setting.data_version == "v2"


@pytest.mark.usefixtures("no_real_files")
def test_auto_takes_the_kind_of_data_that_is_stored_or_of_several_what_a_run_would_take(tmp_path: Path) -> None:
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 80.0}), data_kind="real")
    assert gathered(tmp_path, FULL).setting.data_kind == "real"
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 60.0}))
    assert gathered(tmp_path, FULL).setting.data_kind == "embedded"
    with pytest.raises(BenchError, match=r"no cell of mnist2svhn .*; stored: .*preset quick, real data"):
        gathered(tmp_path, FULL, data="mnist-drawn")


def test_given_checkpoints_stand_aside_for_what_was_trained(tmp_path: Path) -> None:
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 90.0}), weights="f00d")
    assert gathered(tmp_path, FULL).setting.budget == GIVEN
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 80.0}))
    assert values(gathered(tmp_path, FULL)) == [[80.0]]


def test_a_cell_of_another_figure_does_not_stand_in(tmp_path: Path) -> None:
    """`cats_udt` with lambda_sem = 10 is no full model, and with 10 it is no model without the loss."""
    ten = FigureSlot("10", ("cats_udt",), lambda preset, size: {"lambda_sem": 10.0})
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 30.0}), over={"lambda_sem": 10.0})
    assert values(gathered(tmp_path, FULL, ten)) == [None, [30.0]]
    with pytest.raises(BenchError, match=r"sweep figure3a"):
        gathered(tmp_path, FULL, NO_SEM)
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 80.0}))
    assert values(gathered(tmp_path, FULL, ten)) == [[80.0], [30.0]]


def test_any_other_setting_that_is_not_the_presets_is_told(tmp_path: Path) -> None:
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 80.0}), over={"batch_size": 32})
    collected = gathered(tmp_path, FULL)
    assert values(collected) == [[80.0]]
    assert collected.notes == ["full: batch_size=32 (the preset's: 8)"]
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 81.0}), over={"batch_size": 64})
    with pytest.raises(BenchError, match="several settings") as caught:
        gathered(tmp_path, FULL)
    assert all(f"batch_size={size} (the preset's: 8)" in str(caught.value) for size in (32, 64))
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 82.0}))
    assert values(gathered(tmp_path, FULL)) == [[82.0]]
    assert gathered(tmp_path, FULL).notes == []


def test_what_stands_in_weak_supervision_and_failures_are_told(tmp_path: Path) -> None:
    star = FigureSlot("StarGAN-v2", ("stargan_v2:cats", "stargan_v2"))
    egsc = FigureSlot("EGSC-IT", ("egsc_it",))
    store(tmp_path, DIGITS, "stargan_v2", records=accuracies({M2S: 28.0}))
    store(tmp_path, DIGITS, "stargan_v2:cats", state="failed")
    store(tmp_path, DIGITS, "egsc_it", records=accuracies({M2S: 47.0}), supervision="weak")
    store(tmp_path, DIGITS, "egsc_it", seed=1, state="failed", supervision="weak")
    collected = gathered(tmp_path, star, egsc)
    assert [found.label if found else None for found in collected.found] == ["StarGAN-v2", "EGSC-IT*"]
    assert collected.notes == [
        "StarGAN-v2: stargan_v2 stands in for stargan_v2:cats, which the paper's authors ran",
        "* weakly supervised: uses a network trained on labels",
        "EGSC-IT, seed 1: failed: loss is not finite",
    ]


def test_commands_are_the_sweeps_or_for_another_task_runs(tmp_path: Path) -> None:
    slots = (FULL, NO_SEM, FigureSlot("2", ("cats_udt",), lambda preset, size: {"lambda_sem": 2.0}))
    request = FigureRequest("3a", tmp_path / "my results", DIGITS, preset="paper", data="mnist-drawn")
    remedy = collected_remedy(request, DIGITS, "figure3a", slots)
    common = "python -m bench sweep figure3a --preset paper --data mnist-drawn"
    assert remedy.typed == (f"{common} --results '{tmp_path}/my results'",)
    assert remedy.printed == (common,)
    folder = FigureRequest("4", Path("results"), "pacs", data="/mine/pacs")
    assert collected_remedy(folder, "sketch2real", "figure4", slots[:1]).printed == (
        "python -m bench run --task pacs --methods cats_udt --seeds 0,1,2 --data FOLDER",
    )
    other = collected_remedy(FigureRequest("3a", Path("results"), "mnist2usps"), DIGITS, "figure3a", slots)
    assert other.typed == (
        "python -m bench run --task mnist2usps --methods cats_udt,cats_udt:no_sem --seeds 0,1,2",
        "python -m bench run --task mnist2usps --methods cats_udt --set cats_udt.lambda_sem=2.0 --seeds 0,1,2",
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"task": "mnist2usps"}, "task mnist2usps: not comparable with the paper"),
        ({"data_kind": "embedded", "preset": "quick", "budget": "images=9600"}, "drawn data, preset quick: not comp"),
        ({"data_kind": "mnist-drawn"}, "drawn house numbers: not"),
        ({"image_size": 64}, "64 px: not"),
        ({"budget": "images=7"}, "budget images=7: not"),
        ({"budget": GIVEN}, "given checkpoints: not"),
    ],
)
def test_only_the_papers_own_setting_is_comparable(changes: dict[str, str], why: str) -> None:
    paper = {
        "data_kind": "real", "data_version": "v", "image_size": 32, "preset": "paper",
        "budget": "images=400000",
    }  # fmt: skip
    changes = dict(changes)
    task = changes.pop("task", DIGITS)
    warning = collected_warning(task, Setting(**{**paper, **changes}), DIGITS)  # type: ignore[arg-type]
    assert warning.startswith(why) if why else warning == ""


def test_the_list_has_the_papers_figures_and_their_methods_exist() -> None:
    from methods.registry import registered

    assert ", ".join(FIGURES) == "1a, 3a, 3b, 3c, 4, 5, 6, 7a, 7b, 7c, 8a, 8b, 8c, 9, 10, 11, 12"
    for figure in FIGURES.values():
        assert figure.task in TASKS
        for slot in getattr(figure.kind, "slots", ()):
            assert set(slot.methods) <= set(registered())
