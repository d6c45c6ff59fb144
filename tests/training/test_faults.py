"""What happens to results when machines, disks and processes fail: each fault is caused, none is imagined."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from multiprocessing import Pipe
from pathlib import Path

import pytest
from faults import begin, call, damaged_files, end, finished, lasting, names, on_a_disk, phase

from bench.runs.processes import _Child, run_in_processes

TOY = ("--methods", "toys:Toy", "--seeds", "0,1", "--budget", "images=80")


def command(data: Path, results: Path, *more: object) -> list[object]:
    return ["run", "--task", "folder", "--data", data, "--results", results, "--device", "cpu", "--jobs", "1", *more]


@pytest.fixture(scope="module")
def whole(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    status, printed = call(command(shapes, folder / "results", *TOY), folder)
    assert status == 0, printed
    assert len(finished(folder / "results")) == 2
    assert damaged_files(folder / "results") == []
    return folder / "results"


def check_after_a_kill(results: Path, done: dict[str, dict[str, str]]) -> None:
    """Nothing is half written, and what was finished is what it was; `done` grows."""
    assert damaged_files(results) == []
    now = finished(results)
    assert {folder: now.get(folder) for folder in done} == done
    done.update(now)


def check_equal(whole: Path, results: Path) -> None:
    """The same results, byte for byte, and not one file more."""
    assert names(results) == names(whole)
    expected, got = lasting(whole), lasting(results)
    assert {name for name in expected if expected[name] != got[name]} == set()
    assert sum(name.endswith("weights.safetensors") for name in expected) >= 2


# ------------------------------------------------------------------------------------------------------------ kills


def test_killed_while_it_writes(whole: Path, shapes: Path, tmp_path: Path) -> None:
    """SIGKILL at every fifteenth file that is written: half of it there, all of it, or under its name already."""
    results, done, kills = tmp_path / "results", dict[str, dict[str, str]](), 0
    for fault in ("half", "before", "after", "half", "before", "after", "half", "before", "after", "half"):
        status, printed = call(command(shapes, results, *TOY), tmp_path, fault, 15)
        if status == 0:
            break
        assert status == -signal.SIGKILL, printed
        kills += 1
        check_after_a_kill(results, done)
    assert kills >= 4
    assert call(command(shapes, results, *TOY), tmp_path)[0] == 0
    check_equal(whole, results)


def test_terminated_while_it_is_scored(whole: Path, shapes: Path, tmp_path: Path) -> None:
    results, done = tmp_path / "results", dict[str, dict[str, str]]()
    status, printed = call(command(shapes, results, *TOY), tmp_path, "term", 40)
    assert status in (-signal.SIGTERM, 128 + signal.SIGTERM), printed
    assert "Traceback" not in printed
    check_after_a_kill(results, done)
    assert call(command(shapes, results, *TOY), tmp_path)[0] == 0
    check_equal(whole, results)


KILLS = 60
STAGES = ("--set", "cats_udt.semantics.imsat.steps=40", "--set", "cats_udt.semantics.adaptation.steps=40")
MIXED = ("--methods", "toys:Toy,cats_udt", "--seeds", "0,1", "--budget", "images=80", *STAGES)


@pytest.mark.slow
def test_sixty_kills_at_random(shapes: Path, tmp_path: Path) -> None:
    """Rounds of one run each, killed at random moments (of time, or of a file's writing) until it completes."""
    rng = random.Random(0)
    folder = tmp_path / "whole"
    folder.mkdir()
    begun = time.monotonic()
    assert call(command(shapes, folder / "results", *MIXED), folder, "count")[0] == 0
    seconds, writes = time.monotonic() - begun, int((folder / "writes.txt").read_text())
    counts: Counter[str] = Counter()
    rounds = 0
    while counts.total() < KILLS:
        rounds += 1
        results, done = tmp_path / f"round{rounds}" / "results", dict[str, dict[str, str]]()
        results.parent.mkdir()
        status = -1
        while status != 0:
            left = 1 - len(done) / 4
            timed = rng.random() < 0.6
            fault, number = ("", 0) if timed else (rng.choice(["half", "before", "after"]), rng.randint(1, writes // 4))
            process = begin(command(shapes, results, *MIXED), results.parent, fault, number)
            if timed:
                process.join(1.5 + rng.uniform(0, left * seconds / 4))
                process.kill()
            status = end(process, 300)
            assert status in (0, -signal.SIGKILL), (results.parent / "printed.txt").read_text()
            if status:
                counts[phase(results)] += 1
            check_after_a_kill(results, done)
        check_equal(folder / "results", results)
        print(f"\n{counts.total()} kills in {rounds} runs: {dict(counts)}")
    assert min(counts[name] for name in ("training", "saving", "stage")) > 0


# ------------------------------------------------------------------------------------------------ disks and clocks


def test_a_full_disk(whole: Path, shapes: Path, tmp_path: Path) -> None:
    """A disk that is full four times, each time later; then there is space, and the run completes."""
    words = command(shapes, tmp_path / "disk" / "results", *TOY)
    told = on_a_disk([(f"size={size}k", words) for size in (24, 200, 260, 500, 64_000)], tmp_path)
    if told is None:
        pytest.skip("nothing can be mounted on this machine")
    for status, printed, damaged in told[:4]:
        assert (status, damaged) == (2, []), printed
        assert "error: could not write" in printed
        assert "No space left on device" in printed
        assert "free some space" in printed
        assert "Traceback" not in printed
    assert (told[4][0], told[4][2]) == (0, []), told[4][1]
    check_equal(whole, tmp_path / "kept")


def test_read_only_results(whole: Path, shapes: Path, tmp_path: Path) -> None:
    """Stored results can be read and are not touched; a run says what to do, and completes when it can write."""
    results = tmp_path / "disk" / "results"
    first = command(shapes, results, *TOY[:2], "--seeds", "0", *TOY[4:])
    both = command(shapes, results, *TOY)
    table = ["table", "--task", "folder", "--results", results]
    told = on_a_disk([("size=64m", first), ("ro", both), ("ro", table), ("rw", both)], tmp_path)
    if told is None:
        pytest.skip("nothing can be mounted on this machine")
    status, printed, damaged = told[1]
    assert (status, damaged) == (2, []), printed
    assert "Read-only file system" in printed
    assert "choose another --results folder" in printed
    assert "Traceback" not in printed
    assert told[2][0] == 0, told[2][1]
    assert "toys:Toy" in told[2][1]
    assert [told[0][0], told[3][0]] == [0, 0], told[3][1]
    check_equal(whole, tmp_path / "kept")


def test_results_in_the_place_of_a_file(shapes: Path, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    status, printed = call(command(shapes, tmp_path / "results", *TOY), tmp_path)
    assert status == 2
    assert "could not write" in printed
    assert "Traceback" not in printed


def test_a_clock_that_goes_backwards(whole: Path, shapes: Path, tmp_path: Path) -> None:
    """By an hour whenever it is asked, in mid-training, and with files that are from the future then."""
    results = tmp_path / "results"
    assert call(command(shapes, results, *TOY), tmp_path, "after", 12)[0] == -signal.SIGKILL
    for path in results.rglob("*"):
        os.utime(path, (4e9, 4e9))
    status, printed = call(command(shapes, results, *TOY), tmp_path, "clock", 3)
    assert status == 0, printed
    check_equal(whole, results)
    for name in ("cost.json", "scoring.json"):
        times = [json.loads(path.read_text())["seconds"] for path in results.rglob(name)]
        assert len(times) == 2
        assert all(0 <= seconds < 600 for seconds in times), times


# ------------------------------------------------------------------------------------------------ several processes


def test_two_runs_in_one_folder(whole: Path, shapes: Path, tmp_path: Path) -> None:
    """Each cell is made once, by whoever comes first; what the other one leaves out, it names."""
    results = tmp_path / "results"
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    running = [begin(command(shapes, results, *TOY), folder) for folder in folders]
    statuses = [end(process) for process in running]
    for status, folder in zip(statuses, folders, strict=True):
        printed = (folder / "printed.txt").read_text()
        assert status in (0, 2), printed
        assert "Traceback" not in printed
        assert status == 0 or "being worked on by" in printed
    assert len(finished(results)) == 2
    assert call(command(shapes, results, *TOY), tmp_path)[0] == 0
    check_equal(whole, results)


def mark_or_die(order: str) -> bool:
    """A worker: dies of the signal that it is told, or leaves a file."""
    if order.isdecimal():
        os.kill(os.getpid(), int(order))
    Path(order).write_text("done")
    return True


def test_a_worker_that_is_killed_costs_its_own_cell(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    orders = [str(tmp_path / "a"), str(int(signal.SIGKILL)), str(tmp_path / "b"), str(tmp_path / "c")]
    assert not run_in_processes(orders, mark_or_die, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]
    assert "killed by SIGKILL: run again to resume it" in capfd.readouterr().err


def test_a_message_torn_by_a_kill_is_the_end_of_messages() -> None:
    receiver, sender = Pipe(duplex=False)
    os.write(sender.fileno(), (1000).to_bytes(4, "big") + b"only the beginning")
    sender.close()
    child = _Child.__new__(_Child)
    child.receiver, child.show = receiver, lambda message: None
    thread = threading.Thread(target=child.relay)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert child.receiver is None


# ------------------------------------------------------------------------------------------------- one cell of many

SWEEP = """
task: folder
budget: images=40
cells: [{method: "toys:Toy", grid: {fault: [nan, memory, ""]}}]
"""


def test_nan_and_out_of_memory_cost_one_cell_each(shapes: Path, tmp_path: Path) -> None:
    """A NaN in a loss, and 64 TB that no machine has: both are rows with a reason, and the third cell is measured."""
    (tmp_path / "own.yaml").write_text(SWEEP)
    results = tmp_path / "results"
    words = ["sweep", tmp_path / "own.yaml", "--data", shapes, "--results", results, "--device", "cpu", "--jobs", "1"]
    status, printed = call(words, tmp_path)
    assert status == 1, printed
    told = [json.loads(path.read_text()) for path in results.rglob("status.json")]
    states = {entry.get("reason", "").partition(":")[0].partition(",")[0]: entry["state"] for entry in told}
    assert states == {"": "done", "out of memory": "failed", "loss 1": "failed"}
    assert "toys:Toy [fault=memory] seed 0: out of memory, a smaller batch_size needs less" in printed
    assert "loss 1:generator.adv is not finite (step 3)" in printed
    assert damaged_files(results) == []
