"""Scoring checkpoints that others trained: what may be read, what must be complete, and what the table says."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from determined import fill
from egsc_it_names import official_name
from safetensors.torch import load_file, save_file
from tiny import METHODS
from torch import Tensor

from bench.cli.commands import main
from bench.core.errors import BenchError
from bench.runs.published_checkpoint import read_published_checkpoint
from bench.spec.run_spec import spec_config
from bench.store.cell import read_cells
from methods.base import Translator, to_model_range, to_uint8
from methods.cyclegan import CycleGAN, CycleGANConfig
from methods.registry import BUILT_IN, load_registered

SIZE = 32


def state(value: float = 1.0) -> dict[str, Tensor]:
    return {"a.weight": torch.full((2, 3), value), "a.bias": torch.zeros(2)}


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


# ------------------------------------------------------------------------------------------------------- reading


def test_a_plain_state_dict_needs_the_networks_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "g.pth", state())
    found = read_published_checkpoint([f"G_A={path}"])
    assert set(found.states) == {"G_A"}
    assert torch.equal(found.states["G_A"]["a.weight"], torch.ones(2, 3))
    with pytest.raises(BenchError, match="the state dict of which network"):
        read_published_checkpoint([str(path)])


def test_a_file_of_several_networks_gives_their_names_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "all.ckpt", {"enc": state(), "gen": state(2), "gen_opt": {"state": {}, "lr": 1}, "ep": 3})
    assert set(read_published_checkpoint([str(path)]).states) == {"enc", "gen"}
    assert "all.ckpt: left out: ep, gen_opt" in capsys.readouterr().err
    assert set(read_published_checkpoint([f"dis={path}"]).states) == {"dis_enc", "dis_gen"}


def test_safetensors_and_npz_are_read(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "a.safetensors")
    np.savez(tmp_path / "b.npz", **{key: value.numpy() for key, value in state(2).items()})
    found = read_published_checkpoint([f"A={tmp_path / 'a.safetensors'}", f"B={tmp_path / 'b.npz'}"]).states
    assert torch.equal(found["A"]["a.weight"], torch.ones(2, 3))
    assert torch.equal(found["B"]["a.weight"], torch.full((2, 3), 2.0))


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.made),)


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    for name, write in (
        ("a.pth", torch.save),
        ("b.pth", lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))),
    ):
        write({"G": Harmful(tmp_path / "made")}, tmp_path / name)
        with pytest.raises(BenchError, match="cannot be read"):
            read_published_checkpoint([f"G={tmp_path / name}"])
    np.savez(tmp_path / "c.npz", a=np.array([Harmful(tmp_path / "made")], dtype=object))
    with pytest.raises(BenchError, match="cannot be read"):
        read_published_checkpoint([f"G={tmp_path / 'c.npz'}"])
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04damaged", b"not a checkpoint"])
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.npz"])
def test_damaged_files_are_one_clear_error(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchError, match=f"{name}: cannot be read"):
        read_published_checkpoint([f"G={tmp_path / name}"])


def test_absent_files_empty_ones_and_networks_given_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no such file"):
        read_published_checkpoint(["G=nowhere.pth"])
    with pytest.raises(BenchError, match="no state dict in it"):
        read_published_checkpoint([f"G={saved(tmp_path / 'e.pth', {'ep': 3})}"])
    with pytest.raises(BenchError, match="holds a list"):
        read_published_checkpoint([f"G={saved(tmp_path / 'l.pth', [1, 2])}"])
    twice = saved(tmp_path / "g.pth", state())
    with pytest.raises(BenchError, match="'G' is given twice"):
        read_published_checkpoint([f"G={twice}", f"G={twice}"])


def test_identity_is_of_names_shapes_and_bytes(tmp_path: Path) -> None:
    """And not of the file's format."""

    def identity(name: str, content: dict[str, Tensor]) -> str:
        return read_published_checkpoint([f"{name}={saved(tmp_path / 'x.pth', content)}"]).identity

    first = identity("G", state())
    assert first == identity("G", dict(reversed(state().items())))
    save_file(state(), tmp_path / "x.safetensors")
    assert first == read_published_checkpoint([f"G={tmp_path / 'x.safetensors'}"]).identity
    reshaped = {**state(), "a.weight": torch.ones(3, 2)}
    assert len({first, identity("D", state()), identity("G", state(2)), identity("G", reshaped)}) == 4


# ------------------------------------------------------------------------------------------------------- scoring


def evaluate(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["bench", "evaluate", "--device", "cpu", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def cyclegan() -> CycleGAN:
    built = CycleGAN(CycleGANConfig(**METHODS["cyclegan"]), SIZE)  # type: ignore[arg-type]
    fill(built)
    return built


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_a_checkpoint_is_scored_in_the_direction_that_it_has(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One generator of two: its own translations, one direction, a table of its own; and again without the file."""
    theirs = cyclegan()
    path = saved(tmp_path / "latest_net_G_A.pth", theirs.generator_ab.state_dict())
    base = ["--task", "folder", "--data", str(shapes), "--results", str(tmp_path / "results")]
    assert evaluate(monkeypatch, *base, "--method", "cyclegan", "--weights", f"G_A={path}") == 0
    printed, said = capsys.readouterr()
    assert "paint->ink: passed over: not in the files: generator_ba, discriminator_a, discriminator_b" in said
    assert "given checkpoints or images, scored and not trained here" in printed
    assert "## ink->paint" in printed
    assert "## paint->ink" not in printed
    (cell,) = read_cells(tmp_path / "results", "folder")
    assert cell["status"]["state"] == "done"
    made = np.load(cell["folder"] / "translations-ink2paint-none.npy")
    grid = torch.from_numpy(made[:, 0])
    with torch.no_grad():
        expected = torch.cat([to_uint8(theirs.translate(to_model_range(x[None]), 0, 1)) for x in sources(shapes)])
    # One by one and in a batch, floats agree to 1e-6: a value beside a half may be rounded to the other side.
    far = (grid[:, None].int() - expected[None].int()).abs().flatten(2).amax(2)  # (made, expected): levels apart
    assert (far <= 1).sum(0).tolist() == (far <= 1).sum(1).tolist() == [1] * len(expected)
    assert evaluate(monkeypatch, *base) == 0
    again = json.loads((cell["folder"] / "metrics-none.json").read_text())
    assert {record["direction"] for record in again["records"]} == {"ink->paint"}


def sources(shapes: Path) -> Tensor:
    """The test images of the first domain that the tiny preset translates: uint8 (N, 3, S, S)."""
    from bench.data.load import load_data
    from bench.spec.tasks import get_task

    return torch.from_numpy(np.array(load_data(get_task("folder"), str(shapes), SIZE).splits[0, "test"].images))


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
@pytest.mark.parametrize(
    ("network", "more", "message"),
    [
        ("D_A", [], "translate in no direction: not in the files: generator_ab, generator_ba"),
        ("G_A", ["--set", "cyclegan.width=8"], "G_A: model.1.bias is"),
        ("G_C", [], "unknown network 'G_C'"),
        ("G_A", ["--style", "noise"], "takes styles from"),
    ],
)
def test_checkpoints_that_do_not_fit_or_are_incomplete_leave_no_cell(
    network: str, more: list[str], message: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    theirs = cyclegan()
    held = theirs.discriminator_b if network == "D_A" else theirs.generator_ab
    path = saved(tmp_path / "x.pth", held.state_dict())
    words = ["--task", "folder", "--data", str(shapes), "--results", str(tmp_path / "results"), "--method", "cyclegan"]
    assert evaluate(monkeypatch, *words, "--weights", f"{network}={path}", *more) == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "results").rglob("spec.json"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights", "x.pth"], "--weights is a checkpoint of one method"),
        (["--set", "cyclegan.width=8"], "--set goes with --weights"),
    ],
)
@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_wrong_words_are_refused(
    words: list[str], message: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert evaluate(monkeypatch, "--task", "folder", "--data", str(shapes), "--results", str(tmp_path), *words) == 2
    assert message in capsys.readouterr().err


def published(name: str, built: Translator, folder: Path) -> list[str]:
    """The method's networks as its authors publish them, and the words that name the files."""
    own = {network: getattr(built, network).state_dict() for network in built.optimizers}
    match name:
        case "cyclegan":
            files = [("G_A", "generator_ab"), ("G_B", "generator_ba")]
            return [f"{theirs}={saved(folder / f'{theirs}.pth', own[ours])}" for theirs, ours in files]
        case "munit":
            both = {letter: own[f"generator_{letter}"] for letter in "ab"}
            return [f"gen={saved(folder / 'gen_01000000.pt', both)}"]
        case "drit":
            kept = {"enc_c": "content_encoder", "enc_a": "attribute_encoder", "gen": "generator"}
            content = {theirs: own[ours] for theirs, ours in kept.items()}
            return [str(saved(folder / "01199.pth", {**content, "gen_opt": {"state": {}}, "ep": 1199}))]
        case "stargan_v2":
            kept_names = ("generator", "mapping_network", "style_encoder")
            return [str(saved(folder / "100000_nets_ema.ckpt", {network: own[network] for network in kept_names}))]
        case "egsc_it":
            networks = [*built.optimizers, "features_a", "features_b"]
            arrays = {}
            for network in networks:
                for key, value in getattr(built, network).state_dict().items():
                    turned = value.permute(2, 3, 1, 0) if value.ndim == 4 else value
                    arrays[official_name(network, key)] = turned.numpy()
            np.savez(folder / "model.npz", **arrays)
            return [f"model={folder / 'model.npz'}"]
    raise AssertionError(f"say how {name} is published")


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != "cats_udt"])
def test_every_baselines_published_files_are_scored(
    name: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both directions, and the stored weights are the files' own."""
    cls: Any = load_registered(BUILT_IN[name].target)
    theirs = cls(spec_config(cls, name, METHODS[name]), SIZE)
    frozen = [network for network in ("features_a", "features_b") if hasattr(theirs, network)]
    for salt, network in enumerate([*theirs.optimizers, *frozen]):
        fill(getattr(theirs, network), salt)
    words = published(name, theirs, tmp_path)
    base = ["--task", "folder", "--data", str(shapes), "--results", str(tmp_path / "results"), "--method", name]
    assert evaluate(monkeypatch, *base, *(word for text in words for word in ("--weights", text))) == 0
    (cell,) = read_cells(tmp_path / "results", "folder")
    stored = load_file(cell["folder"] / "weights.safetensors")
    judged = ("discriminator", "ema.", "pool")
    compared = {key: value for key, value in theirs.state_dict().items() if not key.startswith(judged)}
    assert compared
    assert all(torch.equal(stored[key], value) for key, value in compared.items())
    assert all(value.isfinite().all() for value in stored.values())
    (score,) = cell["scores"].values()
    assert {record["direction"] for record in score["records"]} == {"ink->paint", "paint->ink"}
