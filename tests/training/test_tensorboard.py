"""`--tensorboard`: what is written is what was trained, and writing it changes nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.checks.conform.images import few_conform_images
from bench.checks.tiny_run import CandidateMethod, TinyRun
from bench.core import progress as shown
from bench.core.errors import BenchError
from bench.store.cell import Cell
from bench.training import tensorboard
from bench.training.loop import losses_in_short
from bench.training.train import train
from methods.base import Translator

STEPS = 40


def trained(folder: Path, watched: bool) -> tuple[Translator, Cell]:
    run = TinyRun(CandidateMethod("misfits:Fit", "misfits:Fit", {}), few_conform_images(32), folder, threads=1)
    job = run.job_of_steps(STEPS)
    cell = Cell(folder, job.spec)
    cell.folder.mkdir(parents=True, exist_ok=True)
    method, _ = train(job.build, run.domains(), run.weights, job.spec, cell, run.runtime, tensorboard=watched)
    return method, cell


def events(cell: Cell) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(cell.folder / tensorboard.FOLDER), size_guidance={"images": 0, "scalars": 0})
    return read.Reload()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the packages that tensorboard imports
def test_losses_and_samples_are_those_of_the_training_which_is_the_same(tmp_path: Path) -> None:
    plain, _ = trained(tmp_path / "plain", watched=False)
    method, cell = trained(tmp_path / "watched", watched=True)
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in method.state_dict().items())

    read = events(cell)
    logged = [json.loads(line) for line in cell.log.read_text().splitlines()]
    assert [line["step"] for line in logged] == [10, 20, 30, 40]
    assert set(read.Tags()["scalars"]) == {"0 discriminator/real", "0 discriminator/fake", "1 generator+mapping/adv"}
    scalars = read.Scalars("0 discriminator/real")
    assert [scalar.step for scalar in scalars] == [10, 20, 30, 40]
    assert [scalar.value for scalar in scalars] == pytest.approx(
        [line["losses"]["0:discriminator.real"] for line in logged], rel=1e-6
    )

    assert set(read.Tags()["images"]) == {"samples/0 -> 1", "samples/1 -> 0"}
    images = read.Images("samples/0 -> 1")
    assert [image.step for image in images] == [10, 20, 30, 40]  # the checkpoints of 40 steps
    (tmp_path / "last.png").write_bytes(images[-1].encoded_image_string)
    grid = np.asarray(Image.open(tmp_path / "last.png")).transpose(2, 0, 1)
    assert grid.shape == (3, 32 * tensorboard.SOURCES, 32 * (1 + tensorboard.STYLES))
    run = TinyRun(CandidateMethod("misfits:Fit", "misfits:Fit", {}), few_conform_images(32), tmp_path / "x", threads=1)
    method.eval()
    assert np.array_equal(grid, tensorboard.tensorboard_grid(method, run.domains(), (0, 1)))
    source = grid[:, :32, :32]
    assert any(np.array_equal(source, image) for image in run.domains().images[0].numpy())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_a_killed_run_wrote_after_its_checkpoint_is_dropped(tmp_path: Path) -> None:
    writer = tensorboard.TensorBoardWriter(tmp_path, 0)
    for step in (10, 20, 30):
        writer.losses(step, {"0:a.x": float(step)})
    writer.close()
    writer = tensorboard.TensorBoardWriter(tmp_path, 20)
    writer.losses(20, {"0:a.x": -20.0})
    writer.close()

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(tmp_path / tensorboard.FOLDER)).Reload()
    assert [(scalar.step, scalar.value) for scalar in read.Scalars("0 a/x")] == [(10, 10.0), (20, -20.0)]


def test_without_the_package_the_request_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(BenchError, match=r"udt-bench\[tensorboard\]"):
        tensorboard.check_tensorboard()


def test_the_losses_stand_in_the_progress_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shown, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(shown, "SHORTEST_REPORTED", 0.0)
    _, cell = trained(tmp_path, watched=False)
    lines = [line for line in capsys.readouterr().err.splitlines() if " steps, " in line]
    last = json.loads(cell.log.read_text().splitlines()[-1])["losses"]
    discriminator = last["0:discriminator.real"] + last["0:discriminator.fake"]
    generator = last["1:generator+mapping.adv"]
    assert lines[-1].endswith(f" s left; discriminator {discriminator:.3g}, generator {generator:.3g}")
    assert "; " not in lines[0], "nothing is read back yet"


def test_losses_in_short() -> None:
    means = {"0:d_a+d_b.real": 0.25, "0:d_a+d_b.fake": 0.5, "0:d_a+d_b.grad_norm": 9.0, "1:g.adv": 12.3456}
    assert losses_in_short(means) == "d_a 0.75, g 12.3"
    assert losses_in_short({"0:d.a": 1.0, "1:d.a": 2.0, "2:g+s.a": 3.0}) == "d 1 + 2, g 3"
    assert losses_in_short({}) == ""
