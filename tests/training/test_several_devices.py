"""`--devices N`: a training over several processes is the training in one."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from test_resume import wait_for_checkpoint
from tiny import METHODS, SOURCES
from torch import Tensor

from bench.core.device import Runtime
from bench.core.errors import BenchError
from bench.core.randomness import randomness, seeded
from bench.runs.request import Request, open_request
from bench.training.several_devices import Processes, join_devices
from methods.base import Domains, Progress, Translator, run_step
from methods.category_tables import CategoryTables
from methods.registry import BUILT_IN, load_registered

SCRIPT = Path(tiny.__file__)
STEPS = 3


def together(folder: Path, size: int, work: Callable[[Processes], Any]) -> list[Any]:
    """What `work` returns in each of `size` processes of a group; threads of this one stand for them."""
    folder.mkdir()

    def one(rank: int) -> tuple[Processes, Any]:
        processes = join_devices(folder, rank, size, torch.device("cpu"))
        return processes, work(processes)  # the group, too: it is left when all have ended

    with ThreadPoolExecutor(size) as pool:
        ranks = [pool.submit(one, rank) for rank in range(size)]
        return [rank.result(timeout=60)[1] for rank in ranks]


def make(name: str, **settings: Any) -> tuple[Translator, list[Any]]:
    """A tiny method in float64, and the batches of STEPS steps."""
    cls: Any = load_registered(BUILT_IN[name].target)
    chosen = {key: value for key, value in METHODS[name].items() if "." not in key} | {"batch_size": 4} | settings
    with seeded("data parallel", name):
        method: Translator = cls(cls.Config(**chosen, **({"clusters": 2} if name == "cats_udt" else {})), 32)
    rng = randomness("data parallel")
    domains = Domains(tuple(torch.randint(256, (8, 3, 32, 32), generator=rng, dtype=torch.uint8) for _ in range(2)))  # type: ignore[arg-type]
    if name == "cats_udt":
        method.tables = CategoryTables([torch.arange(8) % 2, torch.arange(8) % 2])  # type: ignore[assignment]
    method.train()
    batches = [method.draw(domains, randomness("data parallel", step), Progress(step, STEPS)) for step in range(STEPS)]
    return method, batches


def widened(batch: Any) -> Any:
    values = {name: value.double() for name, value in vars(batch).items() if value.is_floating_point()}
    return replace(batch, **values)


def trained(
    method: Translator, batches: list[Any], processes: Processes | None = None
) -> tuple[list[dict[str, Tensor]], Any]:
    """Losses of the steps, and the state after them."""
    if processes is None:
        losses = [run_step(method, batch) for batch in batches]
    else:
        losses = [
            run_step(method, processes.part(batch, method.batch_rows), average=processes.average) for batch in batches
        ]
    return losses, method.state_dict()


DIVISIBLE = [("stargan_v2", {}), ("cats_udt", {}), ("cats_udt", {"r1_share": 0.5}), ("munit", {})]


@pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "settings"), DIVISIBLE)
def test_steps_on_parts_are_the_steps_on_the_whole(
    name: str, settings: dict[str, Any], size: int, tmp_path: Path
) -> None:
    """In float64, where rounding (1e-16) cannot hide a wrong weight; Adam divides by gradients that may be small.

    Biases that an instance norm takes away again have a gradient of 0, of whose rounding Adam makes whole steps: what
    the method computes, its losses, is compared, and every tensor within the length of these steps.
    """
    if (settings, size) == ({"r1_share": 0.5}, 4):
        pytest.skip("2 of 4 images cannot be divided by 4")
    method, batches = make(name, **settings)
    method.check_divisible(size)
    method, batches = method.double(), [widened(batch) for batch in batches]
    copies = [copy_of(method) for _ in range(size)]
    expected, state = trained(method, batches)
    outcomes = together(tmp_path / "group", size, lambda processes: trained(copies[processes.rank], batches, processes))
    for losses, found in outcomes:
        for step in range(STEPS):
            assert {k: float(v) for k, v in losses[step].items()} == pytest.approx(
                {k: float(v) for k, v in expected[step].items()}, rel=1e-7, abs=1e-12
            )
        assert all(torch.equal(found[key], outcomes[0][1][key]) for key in state)
        close = [torch.allclose(found[key], state[key], rtol=1e-7, atol=1e-9) for key in state]
        assert sum(close) / len(close) > 0.6
        bound = 2 * STEPS * max(method.learning_rates(Progress(0, STEPS)).values())
        assert all(float((found[key] - state[key]).abs().max()) <= bound for key in state)


@pytest.mark.parametrize("name", ["stargan_v2", "cats_udt"])
def test_in_float32_they_agree_within_rounding(name: str, tmp_path: Path) -> None:
    """Losses within 1e-3 after three steps: float32 rounds at 6e-8, and Adam makes steps of what is rounded away."""
    method, batches = make(name)
    copies = [copy_of(method) for _ in range(2)]
    expected, _ = trained(method, batches)
    ((losses, state), (_, other)) = together(
        tmp_path / "group", 2, lambda processes: trained(copies[processes.rank], batches, processes)
    )
    for ours, whole in zip(losses, expected, strict=True):
        assert {k: float(v) for k, v in ours.items()} == pytest.approx(
            {k: float(v) for k, v in whole.items()}, rel=1e-3, abs=1e-6
        )
    assert all(torch.equal(state[key], other[key]) for key in state)


def copy_of(method: Translator) -> Translator:
    """With optimisers of its own, that step the copied weights."""
    return copy.deepcopy(method)


@dataclass(frozen=True)
class Rows:
    x: Tensor
    weight: Tensor


def test_parts_are_all_rows_once_and_the_first_ones_first(tmp_path: Path) -> None:
    batch = Rows(torch.arange(8), torch.tensor(0.5))
    first, second = together(tmp_path / "group", 2, lambda processes: processes.part(batch, ("x",)))
    assert sorted(torch.cat([first.x, second.x]).tolist()) == list(range(8))
    assert sorted([*first.x[:2].tolist(), *second.x[:2].tolist()]) == [0, 1, 2, 3]
    assert first.weight is batch.weight


def test_another_state_in_one_process_is_noticed_in_all(tmp_path: Path) -> None:
    def check(processes: Processes) -> str:
        state = {"optimizers": [torch.zeros(3), {"step": torch.tensor(float(processes.rank == 1))}]}
        processes.check_same({"batch": torch.ones(2)}, 6)
        try:
            processes.check_same({"batch": torch.ones(2), "state": state}, 7)
        except RuntimeError as error:
            return str(error)
        return ""

    assert set(together(tmp_path / "group", 3, check)) == {"process 1 has another state than process 0 at step 7"}


REFUSED = [
    ({"methods": ("cyclegan",)}, "cyclegan cannot be trained on 2 devices: its image pools", "leave out --devices"),
    ({"methods": ("drit",)}, "drit cannot .* several minibatches", "leave out --devices"),
    ({"methods": ("egsc_it",)}, "egsc_it cannot .* several minibatches", "leave out --devices"),
    ({"methods": ("toys:Toy",)}, "does not say which inputs", "leave out --devices"),
    ({"devices": 3}, "batch_size 4 is not a multiple of 3", "change the setting"),
    ({"methods": ("cats_udt",), "devices": 4, "overrides": ("cats_udt.r1_share=0.5",)}, "r1_share 0.5", "setting"),
    ({"budget": "seconds=5"}, "timed on one device", "images=N"),
    ({"launch": "ray"}, "--launch ray is for trainings on one device", "leave out --devices or --launch ray"),
    ({"profile": True}, "--profile is for trainings on one device", "leave out --devices or --profile"),
]


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
@pytest.mark.parametrize(("changes", "what", "remedy"), REFUSED)
def test_what_cannot_be_divided_is_refused(
    changes: dict[str, Any], what: str, remedy: str, shapes: Path, tmp_path: Path
) -> None:
    request = Request(
        task="folder", methods=("stargan_v2",), preset="quick", data=str(shapes), seeds=(0,), overrides=(),
        device="cpu", results=tmp_path, devices=2,
    )  # fmt: skip
    with pytest.raises(BenchError, match=what) as refused:
        open_request(replace(request, **changes))
    assert remedy in refused.value.remedy


def test_a_resume_on_another_number_of_devices_is_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="begun on 2 x cpu in float32, this run is on cpu in float32") as refused:
        Runtime("cpu", 32).check_can_resume("cpu", "32-true", 2, torch.__version__, tmp_path)
    assert "--devices 2" in refused.value.remedy


# ------------------------------------------------------------------------------------------------- whole commands


def start(shapes: Path, results: Path, cache: Path, devices: int, *more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": SOURCES, "UDT_BENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    environment.pop("UDT_BENCH_FILES", None)
    command = [
        sys.executable, str(SCRIPT), "run", "--task", "folder", "--data", str(shapes), "--results", str(results),
        "--device", "cpu", "--devices", str(devices), *(more or ("--methods", "stargan_v2", "--budget", "images=160")),
    ]  # fmt: skip
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen[str], status: int = 0) -> str:
    output, errors = process.communicate(timeout=240)
    assert process.returncode == status, output + errors
    return errors


def children(process: subprocess.Popen[str]) -> list[int]:
    """Python processes that it started for the training (and not multiprocessing's own)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent, command = path.read_text().rpartition(")")[2].split()[1], (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(parent) == process.pid and b"spawn_main" in command:
            found.append(int(path.parent.name))
    return found


def weights(results: Path) -> bytes:
    return next(results.glob("runs/*/*/*/weights.safetensors")).read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="children are found in /proc")
def test_a_lost_process_is_a_failed_cell_that_the_same_command_resumes(shapes: Path, tmp_path: Path) -> None:
    cache, broken = tmp_path / "cache", tmp_path / "broken"
    ended(start(shapes, tmp_path / "whole", cache, 2))
    process = start(shapes, broken, cache, 2)
    wait_for_checkpoint(broken, process, 10)
    (other,) = children(process)
    os.kill(other, signal.SIGKILL)
    assert "process 2 of 2 was killed by SIGKILL" in ended(process, 1)
    process = start(shapes, broken, cache, 2)
    wait_for_checkpoint(broken, process, 40)
    process.send_signal(signal.SIGTERM)
    left = children(process)
    assert "the same command resumes" in ended(process, 128 + signal.SIGTERM)
    process = start(shapes, broken, cache, 2)
    wait_for_checkpoint(broken, process, 60)
    left += children(process)
    process.kill()  # without a word: the other process notices
    process.communicate()
    assert "begun on 2 x cpu" in ended(start(shapes, broken, cache, 1), 2)
    assert "resuming at step" in ended(start(shapes, broken, cache, 2))
    assert weights(broken) == weights(tmp_path / "whole")
    cost = json.loads(next(broken.glob("runs/*/*/*/cost.json")).read_text())
    assert cost["devices"] == 2
    time.sleep(0.1)
    assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]


@pytest.mark.slow
def test_a_method_with_stages_is_trained_on_two_devices(shapes: Path, tmp_path: Path) -> None:
    """The first process learns the categories; the other one reads them. In bf16, too."""
    more = ("--methods", "cats_udt", "--budget", "images=24", "--precision", "bf16")
    ended(start(shapes, tmp_path / "results", tmp_path / "cache", 2, *more))
    cost = json.loads(next((tmp_path / "results").glob("runs/*/*/*/cost.json")).read_text())
    assert (cost["devices"], cost["precision"]) == (2, "bf16")
    assert set(cost["stage_seconds"]) == {"imsat", "adaptation"}
