"""A rehearsal walks every path with two steps, finds what would fail, and leaves no result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from as_typed import request
from tiny import METHODS
from toys import Toy

from bench.cli.rehearsal import show_rehearsal
from bench.core.device import Runtime
from bench.core.errors import BenchError
from bench.runs.rehearse import Clock, rehearsal_text, rehearse_run
from bench.runs.sweep.run import SweepRequest, rehearse_sweep

pytestmark = pytest.mark.usefixtures("tiny_preset", "no_real_files")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a rehearsal takes."""
    folder = tmp_path / "scratch"

    def made(prefix: str) -> str:
        folder.mkdir()
        return str(folder)

    monkeypatch.setattr("tempfile.mkdtemp", made)
    return folder


def rehearsed(shapes: Path, tmp_path: Path, **changes: Any) -> int:
    asked = request(shapes, tmp_path / "results", **changes)
    return show_rehearsal(lambda folder: ("folder", rehearse_run(asked, folder)))


def test_a_training_is_stopped_resumed_and_scored_and_nothing_is_left(
    shapes: Path, tmp_path: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rehearsed(shapes, tmp_path, seeds=(3, 4), overrides=("toys:Toy.fault=collapse",)) == 0
    captured = capsys.readouterr()
    assert "toys:Toy: interrupted after its first step, as rehearsed" in captured.err
    assert captured.err.count("toys:Toy seed 3: resuming at step 1") == 1
    assert "seed 4" not in captured.err
    (row,) = [line for line in captured.out.splitlines() if line.startswith("| toys:Toy")]
    label, outcome, memory, train, stages, scoring = (cell.strip() for cell in row.strip("|").split("|"))
    assert (label, outcome, stages) == ("toys:Toy", "runs", "0 s")
    assert memory.endswith("GiB")
    assert "?" not in train + scoring
    assert "needs: bench fetch inception" in captured.out
    assert "Leaderboard and report were made." in captured.out
    assert not scratch.exists()
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("fault", "reason"), [("raise", "a bug in somebody's method"), ("nan", "is not finite")])
def test_what_would_fail_is_named(
    fault: str, reason: str, shapes: Path, tmp_path: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = (f"toys:Toy.fault={fault}", "toys:Toy.fault_step=1")
    assert rehearsed(shapes, tmp_path, overrides=overrides) == 1
    output = capsys.readouterr().out
    assert "FAILS" in output
    assert "toys:Toy would have failed: " in output
    assert reason in output
    assert scratch.exists()


def test_weights_that_were_not_fetched_are_no_crash_and_what_to_type_is_said(
    shapes: Path, tmp_path: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ("egsc_it.perceptual=vgg19_caffe",)
    assert rehearsed(shapes, tmp_path, methods=("egsc_it",), overrides=overrides) == 1
    captured = capsys.readouterr()
    assert "egsc_it would have failed: no weights called 'vgg19_caffe': bench fetch vgg19_caffe" in captured.out
    assert "CRASHED" not in captured.err
    assert not list(scratch.rglob("crash.txt"))
    (status,) = scratch.rglob("runs/**/status.json")
    assert "step" not in json.loads(status.read_text())  # so that the same command tries again


def test_a_translation_that_fails_after_the_training_is_found(
    shapes: Path, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The end of a long training, which is what rehearsals are for."""
    whole = Toy.translate

    def only_in_training(method: Toy, x: Any, *given: Any) -> Any:
        if len(x) != 8:  # as the loop's own check asks for
            raise ValueError("other sizes of batch")
        return whole(method, x, *given)

    monkeypatch.setattr(Toy, "translate", only_in_training)
    assert rehearsed(shapes, tmp_path) == 1
    assert "toys:Toy would have failed: ValueError: other sizes of batch" in capsys.readouterr().out


def test_stages_make_two_steps_and_are_reckoned_whole(shapes: Path, tmp_path: Path) -> None:
    asked = request(shapes, tmp_path, methods=("cats_udt",))
    (row,) = rehearse_run(asked, tmp_path / "scratch")
    assert row.failure == ""
    stored = {path.parent.name.partition("-")[0]: json.loads(path.read_text())
              for path in (tmp_path / "scratch").rglob("stage.json")}  # fmt: skip
    assert {name: stage["steps"] for name, stage in stored.items()} == {"imsat": 2, "adaptation": 2}
    assert METHODS["cats_udt"]["semantics.imsat.steps"] > 2
    assert row.stages is not None
    assert row.stages > 0
    clock = Clock(Runtime("cpu", 32), stages={"a": (0.5, 2.0, 40), "b": (0.0, 3.0, 0)})
    assert clock.stage_seconds == 0.5 * 40 + 2.0 + 3.0
    assert "One seed of these 1 cells" in rehearsal_text([row])


def test_each_part_of_a_sweep_is_rehearsed_once(shapes: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("task: folder\nseeds: [0, 1]\ncells: [{method: toys:Toy, grid: {batch_size: [3, 5]}}]\n")
    asked = SweepRequest(
        name=str(path), presets=(), seeds=(), data=str(shapes), budget="", results=tmp_path / "results", device="cpu"
    )
    task, rows = rehearse_sweep(asked, tmp_path / "scratch")
    assert task == "folder"
    assert [(row.label, row.failure) for row in rows] == [
        ("toys:Toy [batch_size=3]", ""), ("toys:Toy [batch_size=5]", ""),
    ]  # fmt: skip
    assert not (tmp_path / "results").exists()


def test_a_cluster_is_not_rehearsed(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="one device of this machine"):
        rehearse_run(request(shapes, tmp_path, launch="ray"), tmp_path / "scratch")
