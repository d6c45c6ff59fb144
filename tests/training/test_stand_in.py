"""The stand-in for VGG-19: trained once, from its own seed, on other classes; handed out on demand, named in tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from as_typed import run
from safetensors.torch import load_file

from bench.cli.commands import main
from bench.core.device import Runtime
from bench.core.errors import BenchError
from bench.core.randomness import randomness
from bench.runs.request import Request
from bench.runs.semantics import SemanticsRequest, run_semantics
from bench.spec.methods import method_settings
from bench.spec.presets import StandInSettings, get_preset
from bench.spec.run_spec import spec_config
from bench.store.cell import read_cells
from bench.training.pretrained import weights_loader
from bench.training.stand_in import _shifted, stand_in_weights
from methods.cats_udt import CatsUDT
from methods.parts.backbones import StandInVGG

TINY = StandInSettings(train_per_class=1, test_per_class=1, steps=2, batch_size=8)
SMALL = StandInSettings(train_per_class=16, test_per_class=6, steps=200, batch_size=32)
VARIANTS = ("cats_udt:content_vgg", "cats_udt:vgg")


@pytest.fixture
def runtime() -> Runtime:
    return Runtime("cpu", 32)


@pytest.fixture
def tiny_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.spec.presets.STAND_IN_SETTINGS", TINY)


def record_of(root: Path) -> dict[str, object]:
    (path,) = (root / "stand_in").glob("*/stand_in.json")
    return json.loads(path.read_text())


# ------------------------------------------------------------------------------------------------- the network


def test_a_short_training_does_much_better_than_chance(
    tmp_path: Path, runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    network = StandInVGG()
    network.load(stand_in_weights(tmp_path, SMALL, runtime))
    record = record_of(tmp_path)
    assert record["test_images"] == 6 * 22
    accuracy = record["accuracy"]
    assert isinstance(accuracy, dict)
    assert accuracy["32 px"] > 0.2  # chance is 1 / 22; processors differ by their rounding
    assert accuracy["16 px"] > 0.2
    assert f"right: {100 * accuracy['32 px']:.1f} % at 32 px" in capsys.readouterr().err
    for side in (32, 16):
        x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(side))
        taps = network.taps(x)
        assert [tap.shape[1:] for tap in taps] == [
            (c, side >> i, side >> i) for i, c in enumerate((16, 32, 64, 64, 64))
        ]
        assert all(tap.isfinite().all() and tap.std() > 1e-3 for tap in taps)
        assert network(x).isfinite().all()


@pytest.mark.slow
def test_the_full_training_reads_four_of_five_held_out_drawings(tmp_path: Path, runtime: Runtime) -> None:
    stand_in_weights(tmp_path, StandInSettings(), runtime)
    accuracy = record_of(tmp_path)["accuracy"]
    assert isinstance(accuracy, dict)
    assert accuracy["32 px"] > 0.9
    assert accuracy["16 px"] > 0.85


def test_it_is_trained_once_from_its_own_seed(tmp_path: Path, runtime: Runtime) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = stand_in_weights(tmp_path / "a", TINY, runtime)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)  # the caller's generator is left alone
    (stored,) = (tmp_path / "a").rglob("weights.safetensors")
    written = stored.stat().st_mtime_ns
    again = stand_in_weights(tmp_path / "a", TINY, runtime)
    assert stored.stat().st_mtime_ns == written
    with torch.no_grad():  # a method may ask from anywhere
        elsewhere = stand_in_weights(tmp_path / "b", TINY, runtime)
    assert all(torch.equal(first[key], other[key]) for other in (again, elsewhere) for key in first)
    assert stored.read_bytes() == next((tmp_path / "b").rglob("weights.safetensors")).read_bytes()
    untrained = stand_in_weights(tmp_path / "c", StandInSettings(1, 1, steps=0), runtime)
    assert not torch.equal(untrained["features.0.weight"], first["features.0.weight"])  # so it did learn


def test_other_settings_are_another_network(tmp_path: Path, runtime: Runtime) -> None:
    stand_in_weights(tmp_path, TINY, runtime)
    stand_in_weights(tmp_path, StandInSettings(1, 1, steps=1, batch_size=8), runtime)
    assert len(list((tmp_path / "stand_in").iterdir())) == 2


TWO_AT_ONCE = """
import sys
from pathlib import Path
from bench.core.device import Runtime
from bench.spec.presets import StandInSettings
from bench.training.stand_in import stand_in_weights
root, steps = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
weights = stand_in_weights(root, StandInSettings(2, 1, steps=steps, batch_size=8), Runtime("cpu", 32))
print(float(sum(value.double().abs().sum() for value in weights.values())))
"""


def test_of_two_processes_at_once_one_trains(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWO_AT_ONCE, str(tmp_path), "30"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outcomes
    assert outcomes[0][0] == outcomes[1][0] != ""
    assert sum(errors.count("held-out drawings") for _, errors in outcomes) == 1
    assert len(list(tmp_path.rglob("weights.safetensors"))) == 1
    assert not list(tmp_path.rglob("*.tmp"))


def test_shifts_are_each_images_own_and_within_the_margin() -> None:
    x = torch.zeros(200, 2, 16, 16)
    x[:, 0, 8, 8], x[:, 1, 3, 12] = 1, 1
    moved = _shifted(x, 2, randomness("test"))
    first, second = moved[:, 0].nonzero()[:, 1:], moved[:, 1].nonzero()[:, 1:]
    offsets = first - torch.tensor([8, 8])
    assert torch.equal(offsets, second - torch.tensor([3, 12]))  # all channels move together, and nothing is flipped
    assert {tuple(offset) for offset in offsets.tolist()} == {(i, j) for i in range(-2, 3) for j in range(-2, 3)}
    edge = _shifted(torch.ones(50, 1, 4, 4), 2, randomness("test"))
    assert torch.equal(edge, torch.ones(50, 1, 4, 4))  # no black border comes in


# -------------------------------------------------------------------------------------------------- the harness


@pytest.mark.usefixtures("no_real_files", "tiny_stand_in")
def test_weights_are_the_stand_in_or_fetched_ones(tmp_path: Path, runtime: Runtime) -> None:
    weights = weights_loader(tmp_path, runtime)
    for name in ("vgg19", "stand_on"):
        with pytest.raises(LookupError, match=f"no weights called '{name}': bench fetch {name}"):
            weights(name)
    assert not (tmp_path / "stand_in").exists()  # nothing is trained before it is asked for
    found = weights("stand_in")
    (stored,) = tmp_path.rglob("weights.safetensors")
    assert all(torch.equal(value, found[key]) for key, value in load_file(stored).items())
    StandInVGG().load(found)


@pytest.mark.parametrize("kind", ["digits", "pictures"])
def test_the_quick_preset_has_it_for_the_vgg_variants_alone(kind: str) -> None:
    def encoder(name: str, preset: str, overrides: dict[str, str]) -> str:
        return spec_config(
            CatsUDT, name, *method_settings(CatsUDT, name, get_preset(preset, kind), {name: overrides}, "embedded")
        ).semantics.encoder

    for name in VARIANTS:
        assert encoder(name, "quick", {}) == "stand_in"
        assert encoder(name, "quick", {"semantics.encoder": "vgg19"}) == "vgg19"
        assert encoder(name, "paper", {}) == "vgg19"
        assert encoder(name, "paper", {"semantics.encoder": "stand_in"}) == "stand_in"
    assert encoder("cats_udt:moco", "quick", {}) == "moco"
    assert encoder("cats_udt", "quick", {}) == {"pictures": "moco", "digits": "gradients_upright"}[kind]


@pytest.mark.usefixtures("tiny_preset", "no_real_files", "tiny_stand_in")
def test_the_vgg_variants_run_with_it_and_the_table_says_so(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = Request(
        task="folder", methods=("cyclegan", *VARIANTS), preset="quick", data=str(shapes), domains="", seeds=(0,),
        overrides=tuple(f"{name}.semantics.encoder=stand_in" for name in VARIANTS), budget="", device="cpu",
        results=tmp_path, jobs=1,
    )  # fmt: skip
    assert run(request) == 0
    printed = capsys.readouterr()
    assert "for cats_udt:content_vgg, cats_udt:vgg: a small network trained with labels" in printed.out
    assert printed.err.count("stand-in for VGG-19: of 22 held-out drawings") == 1
    cells = {cell["spec"]["method"]: cell for cell in read_cells(tmp_path, "folder")}
    assert {name: cell["pretrained"] for name, cell in cells.items()} == {
        "cyclegan": [], "cats_udt:vgg": ["stand_in"], "cats_udt:content_vgg": ["stand_in"],
    }  # fmt: skip
    assert {name: cell["spec"]["supervision"] for name, cell in cells.items()} == {
        "cyclegan": "none", "cats_udt:vgg": "weak", "cats_udt:content_vgg": "weak",
    }  # fmt: skip
    (stored,) = (tmp_path / "stand_in").rglob("weights.safetensors")
    used = load_file(Path(str(cells["cats_udt:vgg"]["folder"])) / "weights.safetensors")
    (key,) = [key for key in used if key.endswith("features.0.weight")]
    assert torch.equal(used[key], load_file(stored)["features.0.weight"])


@pytest.mark.usefixtures("tiny_preset", "no_real_files", "tiny_stand_in")
def test_semantic_stages_alone_get_it_too(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--task", "folder", "--data", str(shapes), "--results", str(tmp_path), "--stage", "spectral"]
    settings = ["--set", "cats_udt.semantics.space=features", "--set", "cats_udt.semantics.encoder=stand_in"]
    monkeypatch.setattr("sys.argv", ["bench", "semantics", *words, *settings])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    assert capsys.readouterr().out.count("| spectral |") == 4
    assert len(list(tmp_path.glob("stand_in/*/stand_in.json"))) == 1


@pytest.mark.usefixtures("no_real_files")
def test_a_variant_without_stages_is_refused_by_the_semantics_command(shapes: Path, tmp_path: Path) -> None:
    request = SemanticsRequest(
        task="folder", stage="", method="cats_udt:vgg", preset="quick", data=str(shapes), domains="", seeds=(0,),
        overrides=(), map_from="", map_split="", assignment="majority", device="cpu", results=tmp_path / "results",
    )  # fmt: skip
    with pytest.raises(BenchError, match="cats_udt:vgg has no semantic stages: its encoder is given"):
        run_semantics(request)
    assert not (tmp_path / "results").exists()
