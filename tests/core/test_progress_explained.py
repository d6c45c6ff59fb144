"""Work that says nothing for two seconds says what it is; shorter work and work shown elsewhere do not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.core import progress as progress_module
from bench.core.device import Runtime
from bench.core.files import file_lock
from bench.core.progress import explained, hand_progress_to, progress
from bench.evaluation import translate
from bench.spec.protocols import TRANSLATION
from bench.training.stages import StageStore
from methods.base import Stage


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "SILENT", 0.2)


def test_long_work_is_explained_once_and_short_work_never(capsys: pytest.CaptureFixture[str]) -> None:
    with explained("short"):
        pass
    with explained("drawing"):
        time.sleep(0.6)
    time.sleep(0.4)
    assert capsys.readouterr().err == "drawing ...\n"


def test_progress_begins_with_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("translating a->b", 250, "images") as advance:
        time.sleep(0.6)
        advance(1)
    assert capsys.readouterr().err == "translating a->b: 250 images ...\n"


def test_a_process_whose_progress_is_shown_elsewhere_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    from contextvars import copy_context

    heard: list[object] = []

    def work() -> None:
        hand_progress_to(heard.append)
        with explained("nothing"):
            time.sleep(0.5)

    copy_context().run(work)
    assert (heard, capsys.readouterr().err) == ([], "")


def test_waiting_for_another_process_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import threading

    def hold() -> None:
        with file_lock(tmp_path / "x.lock"):
            taken.set()
            time.sleep(0.8)

    taken = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    with file_lock(tmp_path / "x.lock"):
        thread.join()
    assert "waiting for another process, which holds" in capsys.readouterr().err


def test_translating_advances_with_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 256 px a block of 256 translations takes minutes."""

    class Split:
        images = np.zeros((3 * TRANSLATION.batch, 3, 4, 4), np.uint8)
        ids = tuple(map(str, range(3 * TRANSLATION.batch)))

    class Data:
        def __init__(self) -> None:
            self.splits = {(0, TRANSLATION.sources): Split}

    class Method(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def translate(self, x: Tensor, source: int, target: int, styles: object) -> Tensor:
            return x

    counts: list[int] = []
    pairs = [(row, 0) for row in range(2 * TRANSLATION.batch + 1)]
    made = translate._translate_block(Method(), Data(), 0, 1, "none", pairs, TRANSLATION, counts.append)  # type: ignore[arg-type]
    assert made.shape[0] == len(pairs)
    assert counts == [TRANSLATION.batch, TRANSLATION.batch, 1]


def test_a_stage_that_computes_of_all_images_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Features and clusters of thousands of photographs are minutes without a step."""

    class Slow(Stage):
        name = "slow"

        def identity(self) -> dict[str, Any]:
            return {}

        def finish(self) -> None:
            time.sleep(0.6)

    StageStore(tmp_path, "data", 0, Runtime("cpu", 32))(Slow)
    assert "slow seed 0: computing its results ...\n" in capsys.readouterr().err
