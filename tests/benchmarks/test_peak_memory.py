"""What a step holds, and that nothing of it outlives it; the script that measures peaks works."""

from __future__ import annotations

import sys

import peak_memory
import pytest
import tiny
import torch
from made_up_training import make

from methods.base import run_step

MIB = 2**20
needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")


def test_what_is_held_is_every_tensor_once() -> None:
    """StarGAN-v2: Adam keeps two averages of each weight and a count of steps; three networks have a moving average."""
    settings = {key: value for key, value in tiny.METHODS["stargan_v2"].items() if "." not in key}
    method = make("stargan_v2", "paper", "pictures", 32, images=4, **settings).method
    before = {name: value.clone() for name, value in method.state_dict().items()}
    peak_memory.fill_optimizers(method)
    found = peak_memory.held(method)
    trained = 4 * sum(method.parameter_counts().values())
    count = sum(len(list(getattr(method, name).parameters())) for name in method.optimizers)
    assert found["weights"] == found["gradients"] == trained
    assert found["optimisers"] == 2 * trained + 4 * count
    assert 0 < found["averages"] < trained
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


def test_a_batch_beyond_the_limit_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(name: str, side: int, batch: int, device: str, settings: object) -> peak_memory.Found:
        assert batch < 8
        return peak_memory.Found(name, side, batch, 100 + 50 * batch, {"weights": 1}, 0.0)

    monkeypatch.setattr(peak_memory, "in_own_process", measured)
    found, fitted = peak_memory.measure_batches("munit", 256, [8, 1, 4, 2], limit=400, device="cpu")
    assert [f.batch for f in found] == [1, 2, 4]
    assert fitted == {8: pytest.approx(500)}
    assert "by the line (not run)" in peak_memory.table("munit", found, fitted)


@needs_linux
@pytest.mark.benchmark
@pytest.mark.parametrize("name", list(tiny.METHODS))
def test_nothing_of_a_step_outlives_it(name: str) -> None:
    """The tenth step's peak is the second's: neither graphs nor images are kept. Over 2 % more would be one of them."""
    small = {key: value for key, value in tiny.METHODS[name].items() if "." not in key}
    training = make(name, "paper", "pictures", 64, images=8, **{**small, "batch_size": 8})
    peaks = []
    for step in range(10):
        peak_memory.forget_peak()
        run_step(training.method, training.batch(step))
        peaks.append(peak_memory.resident("VmHWM"))
    print(f"{name}: {[round(peak / MIB) for peak in peaks]} MiB")
    assert peaks[-1] < 1.02 * peaks[1]


@needs_linux
@pytest.mark.benchmark
def test_the_line_is_found_in_fresh_processes() -> None:
    """Four images more of a discriminator's and a generator's maps at 64 px: some MiB each, and no more than 32."""
    small = {key: value for key, value in tiny.METHODS["munit"].items() if "." not in key}
    found, fitted = peak_memory.measure_batches("munit", 64, [4, 12, 20], 4 * peak_memory.GIB, "cpu", small)
    start, slope = peak_memory.line_through([f.batch for f in found], [f.peak for f in found])
    print(peak_memory.table("munit", found, fitted))
    assert start > 0
    assert 2 * MIB < slope < 32 * MIB
