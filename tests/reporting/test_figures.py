"""Figures as pages and files: every one can be made, bytes are reproducible, nothing is left behind; and the t-SNE."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from figure_toys import DIGITS, PICTURES, fill, make_task_data
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from bench.cli.commands import main
from bench.core.device import Runtime
from bench.core.errors import BenchError
from bench.data.types import TaskData
from bench.reporting.figures import embedding
from bench.reporting.figures.collect import FigureRequest
from bench.reporting.figures.figures import FIGURES, draw_figure, make_figure
from bench.reporting.figures.page import SIZE, WIDTH, drawing_page
from bench.spec.presets import PRESETS, KindPreset
from bench.store.cell import Cell
from bench.training.stages import StageStore
from methods.semantics.spectral import Features, Spectral, SpectralConfig


@pytest.fixture(scope="module")
def data() -> dict[str, TaskData]:
    return {task: make_task_data(task) for task in (DIGITS, PICTURES)}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, data: dict[str, TaskData]) -> Path:
    """Every cell that any figure shows, and features."""
    root = tmp_path_factory.mktemp("figures")
    fill(root, data)
    store_features(root, data[PICTURES])
    return root


@pytest.fixture(autouse=True)
def load(monkeypatch: pytest.MonkeyPatch, data: dict[str, TaskData]) -> None:
    monkeypatch.setattr("bench.data.load.load_data", lambda task, *asked: data[task.name])
    monkeypatch.setattr(embedding, "ITERATIONS", 250)


class Channels(nn.Module):
    """Means of the three channels, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor([factor]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x.mean(dim=(2, 3))


def store_features(root: Path, data: TaskData, factor: float = 1.0, seed: int = 0, spectral: bool = True) -> Path:
    """What `bench semantics` leaves of an encoder's features, and of their clusters. Returns the features' folder."""
    images = tuple(torch.from_numpy(data.splits[domain, "train"].images) for domain in (0, 1))
    stages = StageStore(root / "semantics" / PICTURES, data.version, seed, Runtime("cpu", data.size))
    features = stages(lambda: Features(Channels(factor), images))  # type: ignore[arg-type]
    if spectral:
        stages(lambda: Spectral(SpectralConfig(affinity="rbf"), features.of(1), 5))
    return stages.folder(features)


SOME = ("1a", "3c", "8c", "12")
"""One of each kind; the others' files take too long for every day."""


def check_files(name: str, results: Path, out: Path) -> None:
    """All three are there, hold what they must and no date, and nothing else is changed."""
    before = dict(matplotlib.rcParams)
    paths = make_figure(name, results, out=out)
    assert paths == [out / f"{name}.{extension}" for extension in ("png", "pdf", "svg")]
    assert sorted(out.iterdir()) == sorted(paths)
    assert dict(matplotlib.rcParams) == before
    png, pdf, svg = paths
    with Image.open(png) as picture:
        assert picture.size[0] == WIDTH * 300
        assert picture.info["Title"] == f"Figure {name}: {FIGURES[name].title}"
        assert picture.info["Source"] == f"python -m bench figure {name}"
        assert "embedded data" in picture.info["Description"]
    assert pdf.read_bytes().startswith(b"%PDF")
    assert b"CreationDate" not in pdf.read_bytes()
    assert "<dc:date>" not in svg.read_text()


@pytest.mark.parametrize("name", SOME)
def test_files_are_the_same_bytes_again_and_no_setting_is_left(name: str, results: Path, tmp_path: Path) -> None:
    """Whatever the user's own settings are."""
    check_files(name, results, tmp_path / "first")
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 10, "svg.hashsalt": None}):
        check_files(name, results, tmp_path / "second")
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(FIGURES) - set(SOME)))
def test_files_of_every_other_figure(name: str, results: Path, tmp_path: Path) -> None:
    check_files(name, results, tmp_path / "figures")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_complete_and_says_what_data_it_is_of(name: str, results: Path) -> None:
    with drawing_page():
        drawn, _ = draw_figure(FigureRequest(name, results, FIGURES[name].task))
        assert list(drawn.missing) == []
        figure = drawn.figure
        told = [text.get_text() for text in figure.texts]
        assert "drawn data, preset quick, 16 px: not comparable with the paper" in told
        texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
        assert min(text.get_size() for text in texts) >= SIZE
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        figure.draw(renderer)
        for text in texts:  # nothing is cut off
            box = text.get_window_extent(renderer)
            assert min(box.x0, box.y0) >= 0, text
            assert box.x1 <= figure.bbox.width, text
            assert box.y1 <= figure.bbox.height, text


@pytest.mark.slow
def test_drawing_imports_no_pyplot_and_chooses_no_backend(results: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom bench.reporting.figures.figures import make_figure\n"
        "assert 'matplotlib' not in sys.modules\n"
        "make_figure('8a', Path(sys.argv[1]), out=Path(sys.argv[2]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(results), str(tmp_path)], check=True)
    assert (tmp_path / "8a.png").read_bytes() == make_figure("8a", results)[0].read_bytes()
    assert (results / "figures" / "8a.svg").exists()


def test_what_is_missing_is_said_on_stderr_with_the_command(
    tmp_path: Path, data: dict[str, TaskData], capsys: pytest.CaptureFixture[str]
) -> None:
    from figure_toys import M2S, accuracies, store

    with pytest.raises(BenchError, match=r"no cell of mnist2svhn .*\n  python -m bench sweep figure3a --results"):
        make_figure("3a", tmp_path)
    store(tmp_path, DIGITS, "cats_udt", records=accuracies({M2S: 80.0}))
    make_figure("3a", tmp_path)
    said = capsys.readouterr().err
    assert "figure 3a: missing: λ_sem = 0: not run" in said
    assert f"figure 3a: to make it: python -m bench sweep figure3a --results {tmp_path}" in said


def test_any_stored_method_can_be_shown_and_what_is_not_is_named(
    tmp_path: Path, data: dict[str, TaskData], capsys: pytest.CaptureFixture[str]
) -> None:
    from figure_toys import M2S, S2M, accuracies, add_translations, distances, store

    values = [*accuracies({M2S: 80.0, S2M: 70.0}), *distances({M2S: 8.0, S2M: 7.0})]
    trained = store(tmp_path, DIGITS, "munit", records=values)
    store(tmp_path, DIGITS, "drit", records=values)
    for name, weights in (("others:Model", ""), ("my_model", "images")):
        cell = Cell(tmp_path, replace(trained.spec, method=name, config={}, method_version=1, weights=weights))
        cell.begin()
        cell.set_state("done")
        add_translations(cell, data[DIGITS], records=values)
    add_translations(trained, data[DIGITS], records=values)
    asked = FigureRequest("8a", tmp_path, DIGITS, methods=("munit", "others:Model", "my_model"))
    with drawing_page():
        bars, _ = draw_figure(asked)
        grid, _ = draw_figure(replace(asked, name="5"))
    assert (bars.missing, grid.missing) == ([], [])
    assert "Stored, and not in this figure: drit (--methods shows any)." in bars.caption
    assert "my_model: given, not trained here" in bars.caption
    assert any("MUNIT 0" in line or "Seed of the training: 0" in line for line in grid.caption)
    with pytest.raises(BenchError, match="figure 3c shows settings of one method"):
        make_figure("3c", tmp_path, methods=["munit"])
    with pytest.raises(BenchError, match="no cell of mnist2svhn"):
        make_figure("8a", tmp_path, methods=["nowhere"])


def test_names_and_the_command_line(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def bench(*words: str) -> int | str | None:
        monkeypatch.setattr("sys.argv", ["bench", "figure", *words])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code

    assert bench("--list") == 0
    assert "3a  mnist2svhn" in capsys.readouterr().out
    assert bench("9", "--results", str(results), "--out", str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / f"9.{kind}") for kind in ("png", "pdf", "svg")]
    assert bench("3d") == 2
    assert "did you mean" in capsys.readouterr().err
    assert bench() == 2
    assert "see figure --list" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------- t-SNE


def request(root: Path) -> FigureRequest:
    return FigureRequest("1a", root, PICTURES)


def test_of_several_features_those_that_were_clustered_of_the_lowest_seed(
    tmp_path: Path, data: dict[str, TaskData]
) -> None:
    own = data[PICTURES]
    store_features(tmp_path, own, 3.0, seed=0, spectral=False)
    store_features(tmp_path, own, 1.0, seed=2)
    wanted = store_features(tmp_path, own, 2.0, seed=1)
    store_features(tmp_path, make_task_data(PICTURES, "v0"), 2.0, seed=0)  # of other data
    found = embedding.find_features_to_embed(request(tmp_path), own)
    assert wanted.name in found.origin
    assert "of which spectral clusters were made" in found.origin
    expected = 2.0 * own.splits[1, "train"].images.mean(axis=(2, 3)) / 255
    np.testing.assert_allclose(found.rows[1], expected, rtol=1e-5)


def test_points_are_the_first_of_each_class_in_their_colour_and_mark(
    tmp_path: Path, data: dict[str, TaskData], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = data[PICTURES]
    folder = store_features(tmp_path, own)
    monkeypatch.setattr(embedding, "PER_CLASS", 4)
    monkeypatch.setattr(embedding, "embed", lambda rows: rows[:, :2])  # features themselves: known places
    with drawing_page():
        drawn, _ = draw_figure(request(tmp_path))
    (axes,) = drawn.figure.axes
    clouds = {cloud.get_label(): np.asarray(cloud.get_offsets()) for cloud in axes.collections}
    assert len(clouds) == 10
    features = load_file(folder / "weights.safetensors")
    for domain, name in enumerate(own.domains):
        rows = np.flatnonzero(own.splits[domain, "train"].labels == 3)[:4]
        np.testing.assert_allclose(clouds[f"speedboat, {name}"], features[f"features_{domain}"][rows, :2], rtol=1e-6)
    assert "sketch n = 20, real n = 20" in " ".join(drawn.caption)


def test_tsne_is_reproducible_and_keeps_groups_apart() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1, (30, 8)), rng.normal(20, 1, (30, 8))]).astype(np.float32)
    places = embedding.embed(rows)
    np.testing.assert_array_equal(places, embedding.embed(rows))
    first, second = places[:30], places[30:]
    apart = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert apart > 3 * max(first.std(), second.std())
    assert embedding.perplexity(60) == 59 / 3
    assert embedding.perplexity(1000) == 30


def _quick(monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, Any]) -> None:
    old = PRESETS["quick"]["pictures"]
    new = KindPreset(old.images, old.judge, old.evaluation, {"cats_udt": settings})
    monkeypatch.setitem(PRESETS, "quick", {"pictures": new, "digits": new})


def test_features_that_need_no_training_are_computed_and_kept(
    tmp_path: Path, data: dict[str, TaskData], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"semantics.space": "features", "semantics.encoder": "gradients", "semantics.clustered_domain": 1}
    _quick(monkeypatch, given)
    found = embedding.find_features_to_embed(request(tmp_path), data[PICTURES])
    assert found.rows[0].shape[0] == 60
    kept = list((tmp_path / "semantics" / PICTURES).glob("*/stage.json"))
    assert [path.parent.name.startswith("features-seed0-") for path in kept] == [True]
    again = embedding.find_features_to_embed(request(tmp_path), data[PICTURES])
    np.testing.assert_array_equal(found.rows[1], again.rows[1])


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"semantics.space": "features"}, "what encodes is trained\n  python -m bench semantics --task sketch2real"),
        ({"semantics.space": "images"}, "categories are learned on images themselves"),
        ({"semantics.space": "features", "semantics.encoder": "moco_v2"}, "bench fetch moco\n  fetch it, then"),
    ],
)
def test_features_that_are_not_there_are_an_error_that_says_what_to_type(
    settings: Mapping[str, Any], why: str, tmp_path: Path, data: dict[str, TaskData], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UDT_BENCH_FILES", raising=False)
    _quick(monkeypatch, settings)
    with pytest.raises(BenchError) as caught:
        embedding.find_features_to_embed(request(tmp_path), data[PICTURES])
    assert why in str(caught.value)
