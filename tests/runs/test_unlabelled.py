"""Data without classes: everything works, and what needs classes is left out with one line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from as_typed import cells, request, run
from PIL import Image

from bench.core.device import Runtime
from bench.core.errors import BenchError
from bench.data.load import load_data
from bench.evaluation.encoders import make_encoders
from bench.reporting.figures.figures import make_figure
from bench.reporting.leaderboard.first_screen import first_screen
from bench.reporting.leaderboard.leaderboards import leaderboards
from bench.reporting.page.page import write_report_page
from bench.runs.export import export_sources
from bench.runs.given_images import ScoreRequest, score_images
from bench.runs.semantics import SemanticsRequest, run_semantics
from bench.spec.presets import EvaluationSize, get_preset
from bench.spec.protocols import PROTOCOLS, WEIGHTLESS, WITHOUT_CLASSES
from bench.spec.tasks import get_task

pytestmark = pytest.mark.usefixtures("tiny_preset", "no_real_files")


@pytest.fixture
def flat(shapes: Path, tmp_path: Path) -> Path:
    """The images of `shapes`, not sorted into classes."""
    for path in sorted(shapes.rglob("*.png")):
        target = tmp_path / "flat" / path.parts[-3] / f"{path.parent.name}-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path / "flat"


def test_a_run_without_classes(flat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    assert run(request(flat, results, methods=("toys:Toy", "cats_udt"))) == 1
    printed = capsys.readouterr()
    assert WITHOUT_CLASSES in printed.err
    for method, said in (("cats_udt", "needs a number of clusters"), ("toys:Toy", "")):
        cell = cells(results)[f"{method}/0"]
        assert said in cell["status"].get("reason", "")  # type: ignore[attr-defined]
        assert cell["status"]["state"] == ("failed" if said else "done")  # type: ignore[index]
    (board,) = leaderboards(results, "folder")
    assert board.count(WITHOUT_CLASSES) == 1
    assert "failed: cats_udt seed 0: needs a number of clusters" in board
    assert "--set cats_udt.clusters=N" in board
    for needing in (name for name, protocol in PROTOCOLS.items() if protocol.needs_classes):
        assert needing not in board
    assert WEIGHTLESS in board
    assert WITHOUT_CLASSES in first_screen(results, "folder", 100)
    assert not (results / "judges").exists()
    (metrics,) = results.rglob("metrics-*.json")
    labels = {record["label"] for record in json.loads(metrics.read_text())["records"]}
    assert labels == {"all"}
    with Image.open(next(results.rglob("samples-*.png"))) as grid:
        assert grid.height > 5 * 96  # one class of two rows would be less
    before = metrics.stat().st_mtime_ns
    assert run(request(flat, results, methods=("toys:Toy",))) == 0
    assert "finished before, skipped" in capsys.readouterr().err
    assert metrics.stat().st_mtime_ns == before


def test_one_class_is_as_none(shapes: Path, tmp_path: Path) -> None:
    for domain in ("ink", "paint"):
        shutil.copytree(shapes / domain / "disc", tmp_path / "one" / domain / "disc")
    assert run(request(tmp_path / "one", tmp_path / "results")) == 0
    (board,) = leaderboards(tmp_path / "results", "folder")
    assert WITHOUT_CLASSES in board
    assert "per class" not in board.replace(WITHOUT_CLASSES, "")


@pytest.mark.slow
def test_clusters_that_are_given(flat: Path, tmp_path: Path) -> None:
    assert run(request(flat, tmp_path / "r", methods=("cats_udt",), overrides=("cats_udt.clusters=2",))) == 0


def test_as_many_images_as_of_five_classes(flat: Path, tmp_path: Path) -> None:
    size = EvaluationSize(100, 30)
    assert (size.for_classes(0), size.for_classes(1)) == (EvaluationSize(500, 150), EvaluationSize(500, 150))
    assert size.for_classes(2) == size
    assert EvaluationSize(None, None).for_classes(0) == EvaluationSize(None, None)
    data = load_data(get_task("folder"), str(flat), 32)
    encoders = make_encoders(tmp_path, data, get_preset("quick", "pictures"), Runtime("cpu", 32), ())
    assert encoders.size.sources_per_class == 15


def test_figure_report_csv_and_semantics(flat: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    assert run(request(flat, results, methods=("cyclegan",))) == 0
    page = write_report_page(results, tmp_path / "page", "folder").read_text()
    assert "ink test image 1" in page
    assert WITHOUT_CLASSES[1:] in page
    pictures = make_figure("5", results, "folder", data=str(flat))
    assert [path.suffix for path in pictures] == [".png", ".pdf", ".svg"]
    assert "the first 5 in the order of content hashes" in re.sub(r"\s+", " ", pictures[-1].read_text())
    asked = SemanticsRequest(
        task="folder", stage="", method="cats_udt", preset="quick", data=str(flat), seeds=(0,), overrides=(),
        map_from="", map_split="", assignment="majority", device="cpu", results=results,
    )  # fmt: skip
    with pytest.raises(BenchError, match="has none to tell apart") as caught:
        run_semantics(asked)
    assert "--set cats_udt.clusters=N" in caught.value.remedy


def test_export_and_score(flat: Path, tmp_path: Path) -> None:
    export_sources("folder", "quick", str(flat), "", "", tmp_path / "sources")
    sources = sorted((tmp_path / "sources").rglob("*.png"))
    assert {path.parent.name for path in sources} == {"ink", "paint"}
    asked = ScoreRequest(
        images=tmp_path / "sources", name="identity", direction="", identity=False, replace=False, task="folder",
        preset="quick", data=str(flat), device="cpu", results=tmp_path / "results",
    )  # fmt: skip
    score_images(asked)
    (board,) = leaderboards(tmp_path / "results", "folder")
    assert WITHOUT_CLASSES in board
    assert "identity" in board
