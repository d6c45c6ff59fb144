"""The semantic stages in the harness: no label reaches them, they resume exactly, are shared, and are scored."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file
from tiny import SOURCES

from bench.cli.commands import main
from bench.core.device import Runtime
from bench.data.load import load_data
from bench.data.types import Split, TaskData
from bench.spec.tasks import get_task
from bench.training.loop import TrainingFailed
from bench.training.pretrained import fetched_weights
from bench.training.stages import StageStore
from bench.training.train import training_domains
from methods.base import Context, digest
from methods.semantics.adaptation import AdaptationConfig
from methods.semantics.categories import build_categories
from methods.semantics.config import SemanticsConfig
from methods.semantics.imsat import ClusterNetwork, IMSATConfig, imsat_cluster_of
from methods.semantics.moco import MoCoConfig

TINY = SemanticsConfig(
    imsat=IMSATConfig(width=4, critic_width=8, steps=12, batch_size=8),
    moco=MoCoConfig(encoder="small", width=4, projection_dim=8, queue=16, batch_size=8, steps=12, key_splits=2),
    adaptation=AdaptationConfig(width=4, discriminator_width=8, steps=12, batch_size=8),
)
FEATURES = replace(
    TINY, space="features", clustered_domain=1,
    adaptation=replace(TINY.adaptation, lambda_vat_source=0.0, lambda_vat_target=0.0),
)  # fmt: skip
MIXED = replace(FEATURES, space="mixed", clustered_domain=0, transfer_encoder="gradients_fine")
CHAINS = pytest.mark.parametrize("config", [TINY, FEATURES, MIXED], ids=["images", "features", "mixed"])


@pytest.fixture
def data(shapes: Path) -> TaskData:
    return load_data(get_task("folder"), str(shapes), 16)


def learn(config: SemanticsConfig, data: TaskData, root: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    """The finished h, as the harness makes it for a cell."""
    runtime = Runtime("cpu", 16)
    torch.manual_seed(99)
    categories = build_categories("adapted", config, data.size, 2)
    store = StageStore(root, data.version, seed, runtime)
    categories.learn(training_domains(data, runtime), Context(fetched_weights, store))
    return categories.state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class _Sealed(Split):
    """A split whose labels cannot be read."""

    def __getattribute__(self, name: str) -> Any:
        if name == "labels":
            raise AssertionError("a semantic stage asked for labels")
        return super().__getattribute__(name)


@CHAINS
def test_no_label_reaches_a_stage(config: SemanticsConfig, data: TaskData, tmp_path: Path) -> None:
    """The result is the same, byte for byte, when labels cannot even be read."""
    open_result = learn(config, data, tmp_path / "open")
    sealed = replace(
        data,
        splits={key: _Sealed(split.images, split.labels, split.ids) for key, split in data.splits.items()},
    )
    with pytest.raises(AssertionError, match="asked for labels"):
        _ = sealed.splits[0, "train"].labels
    assert same(open_result, learn(config, sealed, tmp_path / "sealed"))


@CHAINS
def test_finished_stages_are_read_and_not_trained_again(
    config: SemanticsConfig, data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = learn(config, data, tmp_path)
    monkeypatch.setattr("bench.training.stages._StageLoop.one_step", lambda self: pytest.fail("trained again"))
    assert same(first, learn(config, data, tmp_path))


def test_another_seed_setting_or_data_is_another_stage(data: TaskData, tmp_path: Path) -> None:
    first = learn(TINY, data, tmp_path)
    assert not same(first, learn(TINY, data, tmp_path, seed=1))
    learn(replace(TINY, adaptation=replace(TINY.adaptation, lambda_entropy=0.5)), data, tmp_path)
    folders = sorted(path.parent.name.rsplit("-", 1)[0] for path in tmp_path.rglob("stage.json"))
    assert folders == ["adaptation-seed0", "adaptation-seed0", "adaptation-seed1", "imsat-seed0", "imsat-seed1"]


def test_clusters_of_images_are_adapted_in_the_features_of_the_transfer_encoder(data: TaskData, tmp_path: Path) -> None:
    state = learn(MIXED, data, tmp_path)
    names = sorted(path.parent.name.partition("-")[0] for path in tmp_path.rglob("stage.json"))
    assert names == ["adaptation", "features", "imsat"]
    categories = build_categories("adapted", MIXED, data.size, 2)
    assert categories.stage_names == ("imsat", "features", "adaptation")
    categories.load_state_dict(state)
    x = torch.rand(8, 3, data.size, data.size, generator=torch.Generator().manual_seed(0))
    assert categories(x).std(dim=0).min() > 1e-3  # it does look at the image
    torch.testing.assert_close(categories(1 - x), categories(x), rtol=0, atol=1e-3)  # but not at its polarity
    # Another encoder without weights is another stage.
    other = learn(replace(MIXED, transfer_encoder="gradients"), data, tmp_path)
    assert other["network.classifier.x.0.weight"].shape != state["network.classifier.x.0.weight"].shape
    assert len(list(tmp_path.glob("features-*"))) == 2
    assert len(list(tmp_path.glob("imsat-*"))) == 1


def test_of_several_attempts_the_most_stable_clusters_are_adapted(data: TaskData, tmp_path: Path) -> None:
    learn(TINY, data, tmp_path)
    (single,) = tmp_path.glob("imsat-*/weights.safetensors")
    before = single.stat().st_mtime_ns
    learn(replace(TINY, imsat_attempts=4), data, tmp_path)
    assert single.stat().st_mtime_ns == before  # the first attempt is the one that was there
    stored = {path.parent: load_file(path) for path in tmp_path.glob("imsat-*/weights.safetensors")}
    assert len(stored) == 4
    stability = [float(state["stability"]) for state in stored.values()]
    assert len({state["encoder.x.0.weight"].sum().item() for state in stored.values()}) == 4  # four starts
    assert len(set(stability)) > 1
    # Only the best one's clusters may have been adapted, beside the single one's.
    best = max(stored, key=lambda folder: float(stored[folder]["stability"]))
    assert best != single.parent
    images = torch.from_numpy(np.array(data.splits[0, "train"].images))
    network = ClusterNetwork(data.size, 2, TINY.imsat.width)
    wanted = set()
    for folder in (single.parent, best):
        encoder = {key.removeprefix("encoder."): value for key, value in stored[folder].items() if "encoder" in key}
        network.load_state_dict(encoder)
        wanted.add(digest(imsat_cluster_of(network, images)))
    adapted = {
        json.loads(path.read_text())["identity"]["source_clusters"] for path in tmp_path.glob("adaptation-*/stage.json")
    }
    assert adapted == wanted


@CHAINS
def test_an_interrupted_stage_resumes_exactly(
    config: SemanticsConfig, data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.training.stages import _StageLoop

    whole = learn(config, data, tmp_path / "whole")
    original = _StageLoop.one_step

    def failing(self: Any) -> Any:
        if self.step == 11:
            raise KeyboardInterrupt
        return original(self)

    for _ in range(2):  # dies in the first stage that trains, then (resumed) in the next one
        monkeypatch.setattr(_StageLoop, "one_step", failing)
        with pytest.raises(KeyboardInterrupt):
            learn(config, data, tmp_path / "broken")
        monkeypatch.setattr(
            _StageLoop, "one_step", lambda self: original(self) if not self.label.startswith("adap") else failing(self)
        )
        with pytest.raises(KeyboardInterrupt):
            learn(config, data, tmp_path / "broken")
    monkeypatch.setattr(_StageLoop, "one_step", original)
    assert same(whole, learn(config, data, tmp_path / "broken"))
    assert not list((tmp_path / "broken").rglob("step-*.pt"))


SCRIPT = Path(tiny.__file__)


@pytest.mark.slow  # by default `test_resume.py` kills a training in its stage, and a stage is interrupted above
def test_a_killed_command_resumes_exactly(shapes: Path, tmp_path: Path) -> None:
    """SIGKILL while a stage is trained, twice; then the stored stages equal those of an uninterrupted run."""
    environment = {
        **os.environ,
        "PYTHONPATH": SOURCES,
        "UDT_BENCH_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("UDT_BENCH_FILES", None)

    def start(results: Path) -> subprocess.Popen[str]:
        command = [
            sys.executable, str(SCRIPT), "semantics", "--task", "folder", "--data", str(shapes), "--results",
            str(results), "--device", "cpu", "--set", "cats_udt.semantics.imsat.steps=150",
        ]  # fmt: skip
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def weights(results: Path) -> dict[str, bytes]:
        return {path.parent.name: path.read_bytes() for path in results.rglob("weights.safetensors")}

    output, errors = start(tmp_path / "whole").communicate(timeout=120)
    assert "| adaptation | 0" in output, errors
    for step in (30, 80):
        process = start(tmp_path / "broken")
        for _ in range(3000):
            found = [int(path.name[5:14]) for path in (tmp_path / "broken").rglob("step-*.pt")]
            if found and max(found) >= step:
                break
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    again, errors = start(tmp_path / "broken").communicate(timeout=120)
    assert "resuming at step" in errors
    assert weights(tmp_path / "whole") == weights(tmp_path / "broken")
    assert len(weights(tmp_path / "whole")) == 2
    assert again == output


# --------------------------------------------------------------------------------------------------- the command


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["bench", "semantics", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


def rows(printed: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()[2:] if "|" in line]


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
@pytest.mark.parametrize("stage", ["imsat", "adaptation"])
def test_alignment_is_reported_on_both_domains_and_splits(
    stage: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--task", "folder", "--data", str(shapes), "--results", str(tmp_path), "--stage", stage, "--seeds", "0,1"]
    assert call(monkeypatch, *words) == 0
    printed = rows(capsys.readouterr().out)
    assert [row[:5] for row in printed[:4]] == [
        [stage, "0", "ink", "train", "20"], [stage, "0", "ink", "test", "4"],
        [stage, "0", "paint", "train", "20"], [stage, "0", "paint", "test", "4"],
    ]  # fmt: skip
    assert len(printed) == 8
    assert {row[6] for row in printed} == {"clusterer on ink test"}
    assert all(50 <= float(row[10]) <= 100 for row in printed)  # of two clusters, the larger one
    assert all(0 <= float(row[5]) <= float(row[7]) <= 100 for row in printed)  # no map suits better than the best one
    assert all(0 <= float(row[8]) <= 1 and -0.5 <= float(row[9]) <= 1 for row in printed)
    stored = list(tmp_path.rglob("alignment.json"))
    assert len(stored) == 2
    for content in (json.loads(path.read_text()) for path in stored):
        assert len(content["alignment"]) == 4
        setting = {name: content[name] for name in ("task", "data_kind", "image_size", "preset", "method")}
        assert setting == {
            "task": "folder", "data_kind": "real", "image_size": 32, "preset": "quick", "method": "cats_udt",
        }  # fmt: skip
        assert content["data_version"] == load_data(get_task("folder"), str(shapes), 32).version
        assert content["config"]["semantics"]["imsat"]["steps"] > 0
    before = [path.read_bytes() for path in stored]
    assert call(monkeypatch, *words, "--assignment", "hungarian") == 0  # another map has a file of its own
    assert [path.read_bytes() for path in stored] == before
    assert len(list(tmp_path.rglob("alignment-hungarian.json"))) == 2


FEATURE_SPACE = [
    "--set", "cats_udt.semantics.space=features", "--set", "cats_udt.semantics.moco.encoder=small",
    "--set", "cats_udt.semantics.moco.width=4", "--set", "cats_udt.semantics.moco.steps=20",
    "--set", "cats_udt.semantics.moco.batch_size=8", "--set", "cats_udt.semantics.moco.queue=16",
    "--set", "cats_udt.semantics.moco.key_splits=2",
]  # fmt: skip


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
@pytest.mark.parametrize("stage", ["moco", "features", "spectral", "adaptation"])
def test_stages_in_feature_space_are_usable_alone(
    stage: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--task", "folder", "--data", str(shapes), "--results", str(tmp_path), "--stage", stage, *FEATURE_SPACE]
    assert call(monkeypatch, *words) == 0
    printed = rows(capsys.readouterr().out)
    assert len(printed) == 4
    assert {row[6] for row in printed} == {f"{'adapted' if stage == 'adaptation' else stage} on ink train"}
    # the map is made of these very predictions: with two balanced classes it cannot score below one half on them
    assert float(printed[0][5]) >= 50


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stage", "imsatt"], "has no stage 'imsatt'"),
        (["--stage", "moco"], "its stages: imsat, adaptation"),
        (["--method", "cyclegan"], "'cyclegan' has no semantic stages"),
        (["--map-split", "val"], "--map-split 'val'"),
        (["--set", "cats_udt.semantics.imsat.widht=3"], "semantics.imsat.width"),
        (["--set", "cats_udt.semantics.imsat.steps=many"], "wrong type"),
        (["--set", "cats_udt.semantics.encoder=vgg"], "encoder moco or one of"),
    ],
)
def test_wrong_requests_are_refused(
    words: list[str], message: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    base = ["--task", "folder", "--data", str(shapes), "--results", str(tmp_path / "results")]
    assert call(monkeypatch, *base, *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_a_stage_that_fails_costs_its_seed_alone(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one_seed(categories: object, wanted: str, config: object, data: object, seed: int, *rest: object) -> list:
        if seed == 0:
            raise TrainingFailed("loss mutual_information is not finite", 12)
        return []

    monkeypatch.setattr("bench.runs.semantics._one_seed", one_seed)
    words = ["--task", "folder", "--data", str(shapes), "--results", str(tmp_path), "--seeds", "0,1"]
    assert call(monkeypatch, *words) == 1
    assert "adaptation seed 0: FAILED: loss mutual_information is not finite (step 12)" in capsys.readouterr().err


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_spectral_clusters_make_no_map_of_test_images(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--task", "folder", "--data", str(shapes), "--results", str(tmp_path), "--stage", "spectral"]
    words += [*FEATURE_SPACE, "--map-from", "clusterer"]
    assert call(monkeypatch, *words, "--map-split", "test") == 2
    assert "spectral clusters exist for training images alone\n  use --map-split train" in capsys.readouterr().err
    assert call(monkeypatch, *words) == 0
    assert {row[6] for row in rows(capsys.readouterr().out)} == {"clusterer on ink train"}


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_an_encoder_whose_weights_are_missing_costs_its_cell_and_says_what_to_fetch(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "sys.argv",
        ["bench", "run", "--task", "folder", "--data", str(shapes), "--results", str(tmp_path), "--methods",
         "cats_udt:vgg", "--jobs", "1"],
    )  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert "bench fetch vgg19" in capsys.readouterr().out


def test_images_are_in_an_order_that_does_not_betray_the_class(data: TaskData) -> None:
    """What the stages see is sorted by content: labels along it are mixed."""
    labels = np.array(data.splits[0, "train"].labels)
    assert int((np.diff(labels) != 0).sum()) >= 3
