"""`bench run --profile`: the parts of a step sum to a step, the files are there, and the cell is as without it."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toys import Toy, ToyBatch, ToyConfig

from bench.cli.commands import main
from bench.core.device import Runtime
from bench.training.profiling import profile_steps
from methods.base import Domains, Phase, Progress

NAP = 0.01
PARTS = ("forward", "backward", "optimiser")


class Slow(Toy):
    """Sleeps in its draw, and twice as long before the second phase."""

    def draw(self, domains: Domains, rng: torch.Generator, progress: Progress) -> ToyBatch:
        time.sleep(NAP)
        return super().draw(domains, rng, progress)

    def training_step(self, batch: ToyBatch) -> Iterator[Phase]:
        first, second = super().training_step(batch)
        yield first
        time.sleep(2 * NAP)
        yield second

    def learning_rates(self, progress: Progress) -> Mapping[str, float]:
        return dict.fromkeys(self.optimizers, 1e-3)


def random_domains() -> Domains:
    images: Tensor = torch.randint(256, (8, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return Domains((images, images))


def test_time_is_found_where_it_was_spent(tmp_path: Path) -> None:
    found = profile_steps(Slow(ToyConfig(), 8), random_domains(), 0, Runtime("cpu", 8), tmp_path)
    assert list(found.parts_ms) == [
        "draw",
        *(f"{phase}: {part}" for phase in ("0 discriminator", "1 generator") for part in PARTS),
        "between",
        "average",
    ]
    assert found.step_ms >= 3e3 * NAP
    assert found.parts_ms["draw"] >= 1e3 * NAP
    assert found.parts_ms["1 generator: forward"] >= 2e3 * NAP
    longest = sorted(found.parts_ms, key=lambda part: -found.parts_ms[part])[:2]
    assert set(longest) == {"draw", "1 generator: forward"}
    assert json.loads((tmp_path / "steps.json").read_text())["parts_ms"] == pytest.approx(found.parts_ms)
    assert (tmp_path / "steps.txt").read_text() == found.text()
    assert sum(row["share"] for row in found.operators) <= 1 + 1e-9
    events = json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))["traceEvents"]
    names = [event.get("name") for event in events]
    assert names.count("draw") == 3
    assert "aten::convolution" in names


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("cyclegan", "0 generator_ab + generator_ba: backward"),
        # whose steps need what its stages have learned
        pytest.param("cats_udt", "2 generator + mapping_network + style_encoder: backward", marks=pytest.mark.slow),
    ],
)
def test_the_command_profiles_a_cell_and_changes_nothing_else(
    method: str,
    part: str,
    tmp_path: Path,
    shapes: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(results: Path, *more: str) -> str:
        words = ["run", "--task", "folder", "--data", str(shapes), "--methods", method, "--jobs", "1"]
        monkeypatch.setattr("sys.argv", ["bench", *words, "--device", "cpu", "--results", str(results), *more])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 0
        return capsys.readouterr().out

    run(tmp_path / "without")
    printed = run(tmp_path / "with", "--profile")
    (folder,) = (tmp_path / "with" / "runs").glob("*/*/*/profile")
    assert {path.name for path in folder.iterdir()} == {"steps.txt", "steps.json", "trace.json.gz"}
    assert (folder / "steps.txt").read_text() in printed
    assert part in printed
    (own,), (other,) = (list((tmp_path / name / "runs").glob("*/*/*/weights*")) for name in ("with", "without"))
    assert own.read_bytes() == other.read_bytes()
    assert "where a training step's time goes" in run(tmp_path / "with", "--profile")  # a finished cell, too
