"""Sweeps from the file to the leaderboard: checked as a whole, planned, run, skipped, failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import test_processes
from as_typed import run_sweep

import bench
from bench.cli.commands import main
from bench.core.errors import BenchError
from bench.runs.estimate import Costs
from bench.runs.plan import PlannedCell, duration, planned_cells
from bench.runs.request import Request
from bench.runs.sweep.file import load_sweep
from bench.runs.sweep.run import MAX_CELLS, SweepRequest, check_sweep, expand_sweep, sweep_parts_to_plan
from bench.store.cell import read_cells
from bench.training.step_cost import StepCost, StepTimer

pytestmark = pytest.mark.usefixtures("tiny_preset", "no_real_files")

TOYS = """\
task: folder
seeds: [0, 1]
cells:
  - method: toys:Toy
  - method: toys:Toy
    grid: {batch_size: [3, 5]}
    seeds: 0
"""
STEP = StepCost(
    flops=3 * 10**9, parameters=5_000_000, peak_bytes=3 << 29, images=4, products={}, others=0, other_bytes=0
)  # fmt: skip
Run = Callable[..., int]


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step takes STEP, and two seconds."""
    monkeypatch.setattr(Costs, "step_of", lambda costs, job: STEP)
    monkeypatch.setattr(StepTimer, "step_seconds", lambda timer, cost: 2.0)


@pytest.fixture
def sweep(shapes: Path, tmp_path: Path) -> Run:
    """Runs a file's text on the shapes, in this process."""

    def run(text: str, dry_run: bool = False, **changes: Any) -> int:
        return run_sweep(request(text, shapes, tmp_path, **changes), dry_run)

    return run


def request(text: str, shapes: Path, folder: Path, **changes: Any) -> SweepRequest:
    path = folder / "own.yaml"
    path.write_text(text)
    values: dict[str, Any] = {
        "name": str(path), "presets": (), "seeds": (), "data": str(shapes), "budget": "", "device": "cpu",
        "results": folder / "results", "jobs": 1, "protocols": (),
    }  # fmt: skip
    return SweepRequest(**{**values, **changes})


def states(folder: Path) -> dict[str, str]:
    found = {}
    for cell in read_cells(folder / "results", "folder"):
        config = cell["spec"]["config"]
        found[f"{config['batch_size']}{config['fault']}/{cell['spec']['seed']}"] = cell["status"]["state"]
    return found


def folders(folder: Path) -> dict[tuple[int, int], Path]:
    """(batch size, seed) -> the toy's cell."""
    cells = read_cells(folder / "results", "folder")
    return {(cell["spec"]["config"]["batch_size"], cell["spec"]["seed"]): cell["folder"] for cell in cells}


def table_rows(output: str) -> list[list[str]]:
    """The first table's rows."""
    lines = [line for line in output.partition("\n\n")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


# ------------------------------------------------------------------------------------------------------ expansion


def test_grids_options_and_seeds(shapes: Path, tmp_path: Path) -> None:
    text = """\
task: folder
preset: [quick, paper]
budget: images=7
protocols: fid-clean-v1
cells:
  - method: [munit, toys:Toy]
    set: {batch_size: 2}
    grid: {learning_rate: [1, 2], width: [3, "4"]}
    preset: paper
  - method: cyclegan
    set: {betas: [0.5, 0.9]}
"""
    asked = request(text, shapes, tmp_path, seeds=(4, 5))
    found = [part.request for part in expand_sweep(load_sweep(Path(asked.name)), asked)]
    assert [part.preset for part in found] == ["quick", *["paper"] * 9]
    assert found[0].overrides == ("cyclegan.betas=[0.5, 0.9]",)
    pairs = [("1", "3"), ("1", "4"), ("2", "3"), ("2", "4")]
    for method, of_method in (("munit", found[1:5]), ("toys:Toy", found[5:9])):
        assert [part.methods for part in of_method] == [(method,)] * 4
        assert [part.overrides for part in of_method] == [
            (f"{method}.batch_size=2", f"{method}.learning_rate={rate}", f"{method}.width={width}")
            for rate, width in pairs
        ]
    assert {(p.task, p.seeds, p.budget, p.data) for p in found} == {("folder", (4, 5), "images=7", str(shapes))}
    assert {p.protocols for p in found} == {("fid-clean-v1",)}
    asked = request(text, shapes, tmp_path, budget="seconds=3", protocols=("fid-pytorch-v1", "fid-clean-v1"))
    found = [part.request for part in expand_sweep(load_sweep(Path(asked.name)), asked)]
    assert {(p.budget, p.protocols) for p in found} == {("seconds=3", ("fid-clean-v1", "fid-pytorch-v1"))}


def test_a_grid_of_too_many_cells_is_refused_before_it_is_expanded(shapes: Path, tmp_path: Path) -> None:
    grid = ", ".join(f"key{index}: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" for index in range(30))
    asked = request(f"task: folder\ncells: [{{method: munit, grid: {{{grid}}}}}]\n", shapes, tmp_path)
    with pytest.raises(BenchError, match=r"has 1,000,000,(000,)*000 cells") as caught:
        expand_sweep(load_sweep(Path(asked.name)), asked)
    assert f"at most {MAX_CELLS:,}" in caught.value.remedy


# --------------------------------------------------------------------------------------------------------- checks


HEAD = "task: folder\ncells:\n"
MUNIT = HEAD + "- {method: munit}\n"
CYCLEGAN = HEAD + "- {method: cyclegan}\n"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("task: foldr\ncells: [{method: munit}]", "", "own.yaml: unknown task 'foldr'\n  did you mean 'folder'"),
        (MUNIT + "- method: drti", "", "line 4: unknown method 'drti'\n  did you mean 'drit'"),
        (MUNIT + "- method: cats_udt:no_sen", "", "has no variant 'no_sen'\n  did you mean 'cats_udt:no_sem'"),
        (MUNIT + "- {method: drit, set: {widht: 3}}", "", "line 4: drit has no setting 'widht'\n  did you mean 'w"),
        (
            HEAD + "- {method: drit, grid: {width: [8, x]}}", "",
            "line 3: drit.width=x is of the wrong type: int wanted\n  for example set: {width: 64}",
        ),
        (HEAD + "- {method: 'cats_udt:no_sem', set: {lambda_sty: -1}}", "", "lambda_sty >= 0"),
        (MUNIT + "- {method: cyclegan, set: {discriminator_layers: 5}}", "", "line 4: cyclegan at 32 px"),
        (MUNIT + "- {method: munit, seeds: [1, 0]}", "", "lines 3 and 4 name the same cell: munit and munit, seed 0"),
        (
            CYCLEGAN + "- {method: cyclegan, grid: {lambda_cycle: [1, 10]}}", "",
            "lines 3 and 4 name the same cell: cyclegan and cyclegan [lambda_cycle=10], seed 0",
        ),
        (
            HEAD + "- {method: cyclegan, grid: {lambda_cycle: [1, 1.0]}}", "",
            "cyclegan [lambda_cycle=1] and cyclegan [lambda_cycle=1.0], seed 0",
        ),
        (MUNIT, "--preset quik", "unknown preset 'quik'\n  did you mean 'quick'"),
        (HEAD + "- {method: munit, preset: quick}", "--preset paper", "no cells under preset paper"),
        (MUNIT, "--device gpu", "own.yaml: unknown device 'gpu'"),
        (MUNIT, "--seeds 1,1", "names a seed twice"),
        (MUNIT, "--budget epochs=1", "--budget 'epochs=1' is not understood"),
        (MUNIT, "--protocols fid-pytorch", "own.yaml: unknown protocol 'fid-pytorch'\n  did you mean 'fid-pytorch-v1'"),
        ("protocols: [fid-judge]\n" + MUNIT, "", "unknown protocol 'fid-judge'\n  did you mean 'fid-judge-v1'"),
        (MUNIT, "--data auto", "--task folder needs to know the folder"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_error_before_anything_is_trained(
    text: str, options: str, message: str, shapes: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(text)
    monkeypatch.setattr("sys.argv", ["bench", "sweep", "own.yaml", "--data", str(shapes), *options.split()])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error: ") == 1
    assert "Traceback" not in error
    assert not (tmp_path / "results").exists()


def test_names_are_checked_before_data_is_prepared(sweep: Run, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="unknown method 'drti'"):
        sweep("task: folder\ncells:\n- method: munit\n- method: drti\n")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("arguments", [["sweep"], ["sweep", "tabel1"]])
def test_without_a_sweep(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "sweep --list" in (error := capsys.readouterr().err) or "did you mean 'table1'" in error


@pytest.mark.parametrize("arguments", [["sweep", "--list"], ["list", "sweeps"]])
def test_list(arguments: list[str]) -> None:
    """Every shipped sweep on a line of its own; without torch, so at once."""
    code = (
        "import sys; sys.argv = ['bench', *sys.argv[1:]]\nfrom bench.cli.commands import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert stop.code in (0, None)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("table1 ")
    assert " mnist2svhn   18 cells  Table 1, the six methods" in lines[0]
    assert len(lines) == 21


# ----------------------------------------------------------------------------------------------------------- runs


def test_cells_are_made_then_skipped(sweep: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(TOYS, seeds=(0,)) == 0
    assert states(tmp_path) == {"2/0": "done", "3/0": "done", "5/0": "done"}
    printed = capsys.readouterr()
    for row in ("toys:Toy [batch_size=2]", "toys:Toy [batch_size=3]", "toys:Toy [batch_size=5]"):
        assert f"| {row}" in printed.out
    assert printed.err.count("data: ") == 1  # once, not for every cell
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("runs/**/weights.safetensors")}
    assert len(before) == 3
    assert sweep(TOYS) == 0  # with the file's seeds: one more cell
    assert capsys.readouterr().err.count("finished before, skipped") == 3
    assert states(tmp_path) == {"2/0": "done", "2/1": "done", "3/0": "done", "5/0": "done"}
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_trainings_of_a_sweep_are_written_for_tensorboard(sweep: Run, tmp_path: Path) -> None:
    assert sweep(TOYS, seeds=(0,), tensorboard=True) == 0
    cells = [path.parent for path in tmp_path.rglob("runs/**/weights.safetensors")]
    assert len(cells) == 3
    assert all(list((cell / "tensorboard").glob("events.*")) for cell in cells)


def test_a_failing_cell_and_a_broken_plugin_cost_one_row_each(
    sweep: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """\
task: folder
cells:
  - {method: "toys:Toy", grid: {fault: [nan, ""]}}
  - method: no.such.module:Method
"""
    assert sweep(text) == 1
    assert states(tmp_path) == {"2nan/0": "failed", "2/0": "done"}
    output = capsys.readouterr().out
    assert "failed: toys:Toy [fault=nan] seed 0: loss 1:generator.adv is not finite" in output
    assert "failed: no.such.module:Method: ModuleNotFoundError" in output
    assert sweep("task: folder\ncells: [{method: no.such.module:Method}]") == 1
    assert sweep(text, dry_run=True) == 1
    assert "stays failed (loss 1:generator.adv is not finite)" in capsys.readouterr().out
    assert sweep("task: folder\ncells: [{method: toys:Toy}]") == 0


def test_all_cells_of_a_sweep_fill_the_machine_together(
    sweep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not request by request, which would end in a wait for the last cell of each."""
    seen: list[Any] = []

    def in_turn(orders: Sequence[Request], work: Callable[[Request], bool], at_once: int) -> bool:
        seen.append((at_once, [(order.methods, order.seeds, order.overrides) for order in orders]))
        outcomes = [work(order) for order in orders]
        return all(outcomes)

    monkeypatch.setattr("bench.runs.sweep.run.run_in_processes", in_turn)
    assert sweep(TOYS, jobs=3) == 0
    toy = ("toys:Toy",)
    grid = [(toy, (0,), ("toys:Toy.batch_size=3",)), (toy, (0,), ("toys:Toy.batch_size=5",))]
    assert seen == [(3, [(toy, (0,), ()), (toy, (1,), ()), *grid])]
    assert states(tmp_path) == {"2/0": "done", "2/1": "done", "3/0": "done", "5/0": "done"}
    assert not measured(tmp_path, "fid-clean-v1")
    fail = (
        "task: folder\nprotocols: fid-clean-v1\ncells: [{method: toys:Toy, grid: {fault: [nan, ''], batch_size: [7]}}]"
    )
    assert sweep(fail, jobs=2) == 1
    assert measured(tmp_path, "fid-clean-v1")


def measured(folder: Path, protocol: str) -> bool:
    """Whether some cell has a record of it, if only of what it needs."""
    cells = read_cells(folder / "results", "folder")
    return any(
        record["protocol"] == protocol
        for cell in cells
        for score in cell["scores"].values()
        for record in score["records"]
    )


@pytest.mark.slow
def test_cells_of_a_sweep_at_once_in_processes(shapes: Path, tmp_path: Path) -> None:
    text = "task: folder\ncells:\n- method: cyclegan\n  grid: {lambda_cycle: [10, 5]}\n"
    path = tmp_path / "own.yaml"
    path.write_text(text)
    root = str(Path(bench.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "UDT_BENCH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    arguments = ["sweep", str(path), "--data", str(shapes), "--device", "cpu", "--jobs", "2"]
    command = [sys.executable, str(test_processes.SCRIPT), *arguments, "--results", str(tmp_path / "results")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for row in ("| cyclegan [lambda_cycle=10.0]", "| cyclegan [lambda_cycle=5.0]"):
        assert row in done.stdout
    found = {cell["spec"]["config"]["lambda_cycle"]: cell for cell in read_cells(tmp_path / "results", "folder")}
    assert sorted(found) == [5.0, 10.0]
    assert all(cell["status"] == {"state": "done"} for cell in found.values())


# -------------------------------------------------------------------------------------------------------- dry run


def test_a_dry_run_says_what_is_left_and_what_it_costs(
    sweep: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(TOYS, dry_run=True) == 0
    before = capsys.readouterr().out
    assert [row[2] for row in table_rows(before)[1:]] == ["new"] * 4
    assert "4 cells, 4 left to do: 48 s of computing." in before  # 24 images, 4 a step, 2 s each
    assert "Of counted cells the training alone is known" in before
    steps = before.partition("| a training step of")[2].split("\n")[2:]
    toys = ["toys:Toy", "toys:Toy [batch_size=3]", "toys:Toy [batch_size=5]"]
    row = ["3.00", "5.00 M", "1.50 GiB", "4", "6"]
    assert [[cell.strip() for cell in step.strip("|").split("|")] for step in steps[:3]] == [
        [name, *row] for name in toys
    ]
    assert not (tmp_path / "results").exists()

    assert sweep(TOYS, seeds=(0,)) == 0
    for batch_size, seconds in ((2, 100), (3, 200), (5, 300)):
        set_seconds(folders(tmp_path)[batch_size, 0], seconds, scoring=7.0)
    capsys.readouterr()
    assert sweep(TOYS, dry_run=True) == 0
    output = capsys.readouterr().out
    toy = ["toys:Toy", "toys:Toy", "toys:Toy [batch_size=3]", "toys:Toy [batch_size=5]"]
    done = ["0", "done", "", "", "", ""]
    new = ["1", "new", "100", "", "7", "measured: toys:Toy"]  # the cell with these settings, not the mean of all three
    assert table_rows(output)[1:] == [[toy[0], *done], [toy[1], *new], [toy[2], *done], [toy[3], *done]]
    assert "4 cells, 1 left to do: 107 s of computing." in output.replace("2 min", "107 s")

    # A longer budget costs as much more, another setting what the method's cells cost on average.
    assert (
        sweep("task: folder\nbudget: images=48\ncells: [{method: toys:Toy, set: {batch_size: 6}}]", dry_run=True) == 0
    )
    assert table_rows(capsys.readouterr().out)[1][2:] == ["new", "400", "", "7", "measured: toys:Toy"]


def set_seconds(folder: Path, seconds: float, scoring: float) -> None:
    cost = json.loads((folder / "cost.json").read_text())
    (folder / "cost.json").write_text(json.dumps({**cost, "seconds": seconds, "images_per_domain": 24}))
    assert json.loads((folder / "scoring.json").read_text())["seconds"] > 0
    (folder / "scoring.json").write_text(json.dumps({"seconds": scoring}))


def test_states_of_unfinished_cells(sweep: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(TOYS) == 0
    found = folders(tmp_path)
    for folder in found.values():
        set_seconds(folder, 60, scoring=7.0)
    trained, killed, crashed = found[2, 0], found[2, 1], found[3, 0]
    (trained / "status.json").write_text('{"state": "trained"}')
    (killed / "status.json").write_text('{"state": "running"}')
    (killed / "cost.json").unlink()
    (crashed / "status.json").write_text('{"state": "failed", "reason": "out of memory"}')  # while scoring: tried again
    capsys.readouterr()
    assert sweep(TOYS, dry_run=True, jobs=2) == 0
    output = capsys.readouterr().out
    assert [row[2:6] for row in table_rows(output)[1:]] == [
        ["trained", "", "", "7"],
        ["interrupted", "60", "", "7"],
        ["failed", "", "", "7"],
        ["done", "", "", ""],
    ]
    assert "4 cells, 3 left to do: 81 s of computing, 2 cells at once." in output
    assert "Unfinished cells resume, but are counted in full." in output


def test_cells_of_another_machine_and_damaged_ones_say_nothing(
    sweep: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(TOYS, seeds=(0,)) == 0
    cells = [cell["folder"] for cell in read_cells(tmp_path / "results", "folder")]
    for folder in cells[:2]:
        environment = json.loads((folder / "environment.json").read_text())
        (folder / "environment.json").write_text(json.dumps({**environment, "processor": "another"}))
    (cells[2] / "cost.json").write_text('{"seconds": 3')
    capsys.readouterr()
    assert sweep("task: folder\nseeds: 1\ncells: [{method: toys:Toy}]", dry_run=True) == 0
    captured = capsys.readouterr()
    assert table_rows(captured.out)[1][3:] == ["12", "?", "?", "counted, at 2 GFLOP/s"]
    assert f"{cells[2].name}: passed over for estimates: damaged (JSONDecodeError" in captured.err


def planned(text: str, shapes: Path, tmp_path: Path, rate: float = 0.0, **changes: Any) -> list[PlannedCell]:
    asked = request(text, shapes, tmp_path, **changes)
    sessions, broken = check_sweep(expand_sweep(load_sweep(Path(asked.name)), asked), Path(asked.name))
    assert not broken
    return planned_cells(sweep_parts_to_plan(sessions), {}, rate)


def test_stages_that_cells_share_are_counted_once(shapes: Path, tmp_path: Path) -> None:
    text = """\
task: folder
seeds: [0, 1]
cells:
  - method: [cats_udt, cats_udt:no_sem]
  - method: cats_udt
    set: {semantics.imsat.steps: 41}
    seeds: 0
  - method: cats_udt:vgg
    set: {semantics.encoder: stand_in}
"""
    lines = planned(text, shapes, tmp_path)
    assert [(line.train, line.stages, line.scoring) for line in lines] == [(12.0, None, None)] * 7
    assert {line.source for line in lines} == {"counted, at 2 GFLOP/s"}
    # A stage that lies in the folder is paid for, also for another variant.
    record(planned_spec(text, shapes, tmp_path, 0), tmp_path, {"imsat": 70.0, "adaptation": 20.0}, seconds=48.0)
    lines = planned(text, shapes, tmp_path)
    assert [line.stages for line in lines] == [0, 90.0, 0, 0, 90.0, None, None]  # other settings: stages of their own
    assert [line.train for line in lines] == [48.0, 48.0, 48.0, 48.0, 48.0, 12.0, 12.0]
    assert [line.source for line in lines[1:6]] == ["measured: cats_udt"] * 4 + ["counted, at 2 GFLOP/s"]


def planned_spec(text: str, shapes: Path, tmp_path: Path, index: int) -> Any:
    asked = request(text, shapes, tmp_path)
    sessions, _ = check_sweep(expand_sweep(load_sweep(Path(asked.name)), asked), Path(asked.name))
    return [job.spec for _, session in sessions for job in session.jobs][index]


def record(spec: Any, folder: Path, stages: dict[str, float], seconds: float) -> None:
    """A trained cell of that cost."""
    from bench.core.environment import describe_environment
    from bench.store.cell import Cell

    cell = Cell(folder / "results", spec)
    cell.folder.mkdir(parents=True)
    cell.begin()
    cell.cost.write_text(json.dumps({"seconds": seconds, "stage_seconds": stages, "images_per_domain": 24}))
    cell.environment.write_text(json.dumps(describe_environment("cpu")))


def test_another_card_and_a_budget_of_seconds(shapes: Path, tmp_path: Path) -> None:
    """6 steps of 3 GFLOP at 0.001 TFLOP/s; what this machine needed says nothing of another card."""
    text = "task: folder\ncells: [{method: cats_udt}]"
    record(planned_spec(text, shapes, tmp_path, 0), tmp_path, {}, seconds=48.0)
    (line,) = planned(text, shapes, tmp_path, seeds=(1,), rate=0.001)
    assert (line.train, line.source) == (pytest.approx(18.0), "counted, at 1 GFLOP/s")
    (line,) = planned(text, shapes, tmp_path, budget="seconds=33", presets=("paper",))
    assert (line.train, line.scoring, line.source) == (33.0, None, "its budget")


def test_a_method_that_cannot_be_counted_is_not_measured(
    sweep: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Costs, "step_of", lambda costs, job: "ValueError: no labels")
    assert sweep("task: folder\ncells: [{method: toys:Toy}]", dry_run=True) == 0
    output = capsys.readouterr().out
    assert table_rows(output)[1][2:] == ["new", "?", "?", "?", "not measured"]
    assert "1 of them not measured: run one for an estimate" in output
    assert "not counted (ValueError: no labels)" in output


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89.4, "89 s"), (90, "2 min"), (3570, "1 h 00 min"), (11_100, "3 h 05 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
