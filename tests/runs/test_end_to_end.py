"""The whole main job on a tiny folder: commands, files, states, failures."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from as_typed import cells, request, rescore, rescore_request, run
from long_table import frame
from PIL import Image

from bench.cli.commands import main
from bench.core.errors import BenchError
from bench.evaluation.self_test.doctor import doctor_record
from bench.reporting.leaderboard.leaderboards import leaderboards
from bench.store.cell import read_cells

pytestmark = pytest.mark.usefixtures("tiny_preset", "no_real_files")


def test_run_writes_everything_and_prints_the_table(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a run must not open a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    methods = ("cyclegan", "stargan_v2")
    assert run(request(shapes, tmp_path, methods=methods)) == 0
    table = capsys.readouterr().out
    assert "needs: bench fetch inception" in table
    assert "needs: bench fetch alexnet" in table
    for part in ("## ink->paint", "## paint->ink", "fid-judge-v1", "(n = 4/16)", "preset: quick", "real images"):
        assert part in table, part
    for cell in cells(tmp_path).values():
        folder = Path(str(cell["folder"]))
        assert json.loads((folder / "status.json").read_text()) == {"state": "done"}
        style = "none" if "cyclegan" in folder.name else "noise"
        images = np.load(folder / f"translations-ink2paint-{style}.npy")
        assert images.dtype == np.uint8
        assert images.shape == (4, 1 if style == "none" else 5, 3, 32, 32)
        with Image.open(folder / f"samples-ink2paint-{style}.png") as grid:
            assert grid.width > 96 * (1 + images.shape[1])
        cost = json.loads((folder / "cost.json").read_text())
        assert cost["flops"] > 1e6
        assert cost["steps"] * (2) == cost["images_per_domain"] == 24
        environment = json.loads((folder / "environment.json").read_text())
        assert environment["packages"]["torch"] == environment["doctor"]["versions"]["torch"]
        assert environment["doctor"]["failed"] == []
        assert (folder / "log.jsonl").read_text().count("\n") >= 1
    long = frame(tmp_path, "folder")
    deterministic = long[(long.method == "cyclegan") & (long.metric == "judge_diversity")]
    assert (deterministic.value == 0).all()
    assert long[(long.metric == "fid") & (long.protocol == "fid-judge-v1")].value.gt(0).all()


def test_finished_cells_are_skipped_and_a_changed_setting_makes_a_new_one(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(request(shapes, tmp_path))
    (first,) = cells(tmp_path).values()
    weights = Path(str(first["folder"])) / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    run(request(shapes, tmp_path))
    assert "finished before, skipped" in capsys.readouterr().err
    assert weights.stat().st_mtime_ns == before
    run(request(shapes, tmp_path, overrides=("toys:Toy.batch_size=3",)))
    assert len(list(read_cells(tmp_path, "folder"))) == 2
    (table,) = leaderboards(tmp_path, "folder")
    assert "toys:Toy [batch_size=2]" in table
    assert "toys:Toy [batch_size=3]" in table
    run(request(shapes, tmp_path, budget="images=6"))
    assert len(leaderboards(tmp_path, "folder")) == 2  # another budget never shares a table


def test_several_seeds_become_one_row(shapes: Path, tmp_path: Path) -> None:
    run(request(shapes, tmp_path, seeds=(0, 1)))
    (table,) = leaderboards(tmp_path, "folder")
    row = next(line for line in table.splitlines() if line.startswith("| toys:Toy"))
    assert "2/2" in row
    assert "±" in row


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("nan", "loss 1:generator.adv is not finite"),
        ("collapse", "collapsed: all outputs 0->1 are one and the same image"),
        ("raise", "RuntimeError: a bug in somebody's method"),
    ],
)
def test_a_failing_cell_is_a_row_and_the_others_go_on(shapes: Path, tmp_path: Path, fault: str, reason: str) -> None:
    wanted = request(shapes, tmp_path, seeds=(0, 1), overrides=(f"toys:Toy.fault={fault}",))
    assert run(wanted) == 1
    assert [cell["status"]["reason"] for cell in cells(tmp_path).values()] == [reason] * 2  # type: ignore[index]
    (table,) = leaderboards(tmp_path, "folder")
    assert f"failed: toys:Toy seed 1: {reason}" in table
    if fault == "nan":
        assert "(step 3)" in table
    assert run(wanted) == 1  # a second run does not turn it into a success


def test_a_crash_while_scoring_costs_no_training(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*arguments: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr("bench.runs.cell.evaluate_cell", crash)
        assert run(request(shapes, tmp_path)) == 1
    (cell,) = cells(tmp_path).values()
    folder = Path(str(cell["folder"]))
    assert cell["status"] == {"state": "failed", "reason": "RuntimeError: out of memory"}
    assert "out of memory" in (folder / "crash.txt").read_text()
    before = (folder / "weights.safetensors").stat().st_mtime_ns
    assert run(request(shapes, tmp_path)) == 0
    assert (folder / "weights.safetensors").stat().st_mtime_ns == before
    assert "failed:" not in capsys.readouterr().out.rpartition("# folder")[2]


def test_a_metric_that_refuses_its_input_is_a_reason_in_the_table_and_costs_no_training(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object) -> float:
        raise ValueError("x: 3 of 9 values are NaN or infinite")

    doctor_record()  # before anything is broken: it is kept for the process
    with monkeypatch.context() as patched:
        patched.setattr("metrics.kernel._mmd2", refuse)
        run(request(shapes, tmp_path, seeds=(0, 1)))
    assert "x: 3 of 9 values are NaN or infinite" in capsys.readouterr().out
    trained = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("weights.safetensors") if "runs" in path.parts}
    assert len(trained) == 2  # the second cell had its turn
    run(request(shapes, tmp_path, seeds=(0, 1)))
    assert {path: path.stat().st_mtime_ns for path in trained} == trained


def test_a_discriminator_that_has_won_for_long_fails_the_cell(shapes: Path, tmp_path: Path) -> None:
    wanted = request(shapes, tmp_path, overrides=("toys:Toy.fault=zero",), budget="images=1400")
    assert run(wanted) == 1
    (cell,) = cells(tmp_path).values()
    status = cell["status"]
    assert isinstance(status, dict)
    assert "discriminator losses below" in status["reason"]
    assert 500 <= status["step"] <= 530


def test_a_plugin_that_fails_to_import_costs_one_row(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(request(shapes, tmp_path, methods=("toys:Toy", "no.such.module:Method"))) == 1
    captured = capsys.readouterr()
    assert "warning: method no.such.module:Method" in captured.err
    assert "failed: no.such.module:Method: ModuleNotFoundError" in captured.out
    assert cells(tmp_path)["toys:Toy/0"]["status"] == {"state": "done"}


def test_two_processes_on_one_cell(shapes: Path, tmp_path: Path) -> None:
    run(request(shapes, tmp_path))
    (stored,) = cells(tmp_path).values()
    folder = Path(str(stored["folder"]))
    child_reads, parent_writes = os.pipe()
    parent_reads, child_writes = os.pipe()
    pid = os.fork()
    if pid == 0:  # another process holds the cell until it is told to end
        from filelock import FileLock

        lock = FileLock(folder / ".lock")  # a name: a lock without one is released at once
        lock.acquire()
        (folder / "owner.json").write_text(json.dumps({"pid": os.getpid(), "host": "elsewhere"}))
        os.write(child_writes, b"1")
        os.read(child_reads, 1)
        os._exit(1)
    os.read(parent_reads, 1)
    try:
        with pytest.raises(BenchError, match=f"worked on by process {pid} on elsewhere"):
            run(request(shapes, tmp_path))
    finally:
        os.write(parent_writes, b"1")
        os.waitpid(pid, 0)
    assert run(request(shapes, tmp_path)) == 0  # the dead process's lock is taken over


def test_a_budget_in_seconds_is_fixed_at_the_first_step(shapes: Path, tmp_path: Path) -> None:
    assert run(request(shapes, tmp_path, budget="seconds=1")) == 0
    (cell,) = cells(tmp_path).values()
    folder = Path(str(cell["folder"]))
    plan = json.loads((folder / "plan.json").read_text())
    assert 1 < plan["steps"] < 100_000  # a toy step takes milliseconds, far from a second
    assert json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["step"] == plan["steps"]


def test_rescore_with_another_style_and_batch_size(shapes: Path, tmp_path: Path) -> None:
    run(request(shapes, tmp_path))
    (stored,) = cells(tmp_path).values()
    folder = Path(str(stored["folder"]))
    before = (folder / "metrics-noise.json").read_bytes()
    images = (folder / "translations-ink2paint-noise.npy").read_bytes()
    again = rescore_request(shapes, tmp_path, batch_size=1)
    assert rescore(again) == 0
    assert (folder / "metrics-noise.json").read_bytes() == before
    assert (folder / "translations-ink2paint-noise.npy").read_bytes() == images
    rescore(rescore_request(shapes, tmp_path, style="exemplar"))
    (table,) = leaderboards(tmp_path, "folder")
    assert "exemplar" in table


def test_scoring_without_weights_says_what_to_fetch(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(request(shapes, tmp_path))
    capsys.readouterr()
    assert rescore(rescore_request(shapes, tmp_path)) == 0
    table = capsys.readouterr().out
    for name in ("inception", "alexnet"):
        assert f"needs: bench fetch {name}" in table
    assert frame(tmp_path, "folder").query("protocol == 'fid-inception-v1'").value.isna().all()


def test_rescore_without_cells(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no trained cell") as caught:
        rescore(rescore_request(shapes, tmp_path))
    assert "bench run --task folder" in caught.value.remedy


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--task", "sketch2reel"], "unknown task 'sketch2reel'\n  did you mean 'sketch2real'"),
        (["run", "--task", "folder", "--methods", "cyclegam"], "unknown method 'cyclegam'\n  did you mean 'cyclegan'"),
        (["run", "--task", "folder", "--methods", "cyclegan:big"], "cyclegan has no variant 'big'"),
        (["run", "--task", "folder", "--preset", "quik"], "unknown preset 'quik'\n  did you mean 'quick'"),
        (["run", "--task", "folder", "--set", "cyclegan.widht=3"], "no setting 'widht'\n  did you mean 'width'"),
        (["run", "--task", "folder", "--set", "cyclegan.width=x"], "is of the wrong type: int wanted"),
        (["run", "--task", "folder", "--set", "cyclegam.width=3"], "not among this run's methods"),
        (["run", "--task", "folder", "--seeds", "a"], "--seeds 'a' is not understood"),
        (["run", "--task", "folder", "--seeds", "1,1"], "names a seed twice"),
        (["run", "--task", "folder", "--device", "gpu"], "unknown device 'gpu'"),
        (["run", "--task", "folder", "--budget", "epochs=3"], "--budget 'epochs=3' is not understood"),
        (["run", "--task", "folder"], "--task folder needs to know the folder"),
        (["run", "--task", "mnist2usps"], "these files are missing: datasets/mnist/"),
        (["run", "--task", "mnist2usps", "--data", "embedded"], "no embedded data"),
        (["run", "--task", "mnist2svhn", "--data", "somewhere"], "does not read a folder"),
        (["table", "--task", "folder"], "no results of folder"),
        (["evaluate", "--task", "folder", "--style", "nois"], "unknown style 'nois'\n  did you mean 'noise'"),
        (["list", "task"], "cannot list 'task'\n  did you mean 'tasks'"),
        (["fetch"], "nothing named to fetch"),
        (["fetch", "inceptoin"], "did you mean 'inception'"),
    ],
)
def test_bad_input_is_one_clear_error(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert "Traceback" not in error
    assert list(tmp_path.rglob("results")) == []  # nothing written half


def test_setting_that_the_networks_refuse(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="cyclegan at 32 px") as caught:
        run(request(shapes, tmp_path, methods=("cyclegan",), overrides=("cyclegan.discriminator_layers=5",)))
    assert "--set cyclegan.key=value" in caught.value.remedy
    assert not (tmp_path / "runs").exists()


def test_cell_folder_name_is_safe(shapes: Path, tmp_path: Path) -> None:
    run(request(shapes, tmp_path))
    (stored,) = cells(tmp_path).values()
    name = Path(str(stored["folder"])).name
    assert ":" not in name
    assert name.startswith("toys-Toy-seed0-")
