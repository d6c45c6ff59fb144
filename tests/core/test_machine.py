"""What depends on the machine: devices, threads, what a training cost, signals. Faked where this one has it not."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
import torch

from bench.core import device
from bench.core.device import PRECISIONS, SMALL_IMAGE, Runtime
from bench.core.errors import BenchError, all_true_or_errors
from bench.core.signals import stop_signals
from bench.training import cost
from bench.training.cost import Meter

# ---------------------------------------------------------------------------------------------------------- devices


def test_a_device_that_is_unknown_or_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BenchError, match="unknown device 'cudaa'") as caught:
        Runtime("cudaa", 32)
    assert "did you mean 'cuda'?" in caught.value.remedy
    with pytest.raises(BenchError, match=r"device 'cuda' is not available here\n  valid: auto, cpu"):
        Runtime("cuda", 32)


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(False, False, "cpu"), (False, True, "mps"), (True, False, "cuda"), (True, True, "cuda")]
)
def test_auto_takes_the_fastest_that_is_there(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, best: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert device._best_device() == best
    assert device._available() == ["cpu", *(["cuda"] if cuda else []), *(["mps"] if mps else [])]


def test_threads_follow_from_the_environment_or_the_image_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "available_cores", lambda: 6)
    for given in ("", "0", "two", "-1"):  # no number of threads
        monkeypatch.setenv("OMP_NUM_THREADS", given)
        assert (Runtime("cpu", SMALL_IMAGE).threads, Runtime("cpu", SMALL_IMAGE + 1).threads) == (1, 6)
    assert Runtime("cpu", SMALL_IMAGE).cells_at_once == 6
    assert Runtime("cpu", SMALL_IMAGE + 1).cells_at_once == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert Runtime("cpu", SMALL_IMAGE).threads == 4
    assert Runtime("cpu", SMALL_IMAGE).cells_at_once == 1  # 6 cores hold one and a half


def test_a_run_goes_on_only_where_its_bytes_stay_the_same(tmp_path: Path) -> None:
    runtime = Runtime("cpu", 32)
    runtime.check_can_resume("cpu", "32-true", 1, torch.__version__, tmp_path)
    for kind, precision in (("cuda", "bf16"), ("cuda", "float32"), ("cpu", "bf16")):
        said = f"was begun on {kind} in {precision}, this run is on cpu in float32"
        with pytest.raises(BenchError, match=said):
            runtime.check_can_resume(kind, PRECISIONS[precision], 1, torch.__version__, tmp_path)
    with pytest.warns(RuntimeWarning, match="was begun with torch 1.0: resumed with"):
        runtime.check_can_resume("cpu", "32-true", 1, "1.0", tmp_path)


# ------------------------------------------------------------------------------------------------------------- cost


def test_energy_is_that_of_all_packages_and_none_after_a_wrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Microjoules of two packages; the part of a package (`intel-rapl:0:0`) is in its package already."""
    monkeypatch.setattr(cost, "_RAPL", tmp_path)
    counters = [tmp_path / name / "energy_uj" for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0")]
    for path in counters:
        path.parent.mkdir()
        path.write_text("5000000\n")
    meter = Meter(torch.device("cpu"))
    counters[0].write_text("7500000\n")
    counters[1].write_text("6000000\n")
    counters[2].write_text("6000000\n")
    assert meter.energy() == pytest.approx(3.5, abs=1e-9)
    counters[0].write_text("10\n")  # wrapped around
    assert meter.energy() is None
    counters[0].unlink()
    counters[0].mkdir()  # cannot be read
    assert meter.energy() is None
    assert Meter(torch.device("cpu")).energy() is None


def test_the_peak_of_memory_is_that_since_construction() -> None:
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this machine does not reset the peak of memory")
    block = b"x" * (200 << 20)
    before = cost._peak_rss()
    del block
    meter = Meter(torch.device("cpu"))
    now = meter.peak_memory()
    assert before is not None
    assert now is not None
    assert now < before - (150 << 20)


# ---------------------------------------------------------------------------------------------------------- signals


def test_signals_are_noted_once_and_an_ignored_one_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    handled: list[int] = []
    ours = signal.signal(signal.SIGTERM, lambda number, frame: handled.append(number))
    try:
        with stop_signals() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop == []
            signal.raise_signal(signal.SIGTERM)
            assert (stop, handled) == ([signal.SIGTERM], [])
            signal.raise_signal(signal.SIGTERM)  # a second one acts at once
            assert handled == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, ours)


def test_in_another_thread_signals_are_left_to_whoever_runs_it() -> None:
    found: list[object] = []

    def work() -> None:
        with stop_signals() as stop:
            found.append((list(stop), signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [([], before)]


def test_the_others_go_on_and_one_error_names_every_failure() -> None:
    done: list[int] = []

    def work(order: int) -> bool:
        done.append(order)
        if order % 2:
            raise BenchError(f"cell {order} is damaged", "remove it")
        return True

    with pytest.raises(BenchError) as caught:
        all_true_or_errors([1, 2, 3, 4], work)
    assert done == [1, 2, 3, 4]
    assert (caught.value.what, caught.value.remedy) == ("cell 1 is damaged\ncell 3 is damaged", "remove it")
    with pytest.raises(BenchError, match=r"^cell 5 is damaged\n  remove it$"):
        all_true_or_errors([5], work)
    assert all_true_or_errors([2, 4], work)
