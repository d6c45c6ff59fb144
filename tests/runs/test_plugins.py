"""Metrics and tasks from outside: the example, installed as its README says, and run; what is broken costs itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from bench.cli.commands import main
from bench.cli.listing import list_metrics, list_protocols, list_tasks
from bench.core.errors import BenchError
from bench.evaluation.translate import first_rows_of_each_class
from bench.reporting.tidy import tidy_results
from bench.spec import plugins, protocols
from bench.spec.protocols import PROTOCOLS, select_protocols
from bench.spec.tasks import TASKS, Task, get_task
from bench.store.cell import read_cells
from bench.store.definitions import know_definitions
from metrics.plugin import ImageMetric, SetMetric

PACKAGE = Path(__file__).parents[2] / "examples" / "outside_metrics_and_task"
DOCS = Path(__file__).parents[2] / "docs"
NAMES = ("kept-edges-v1", "colour-distance-v1", "broken-v1")


@pytest.fixture(autouse=True)
def nothing_stays_known() -> Iterator[None]:
    """A process keeps what it has met: not from test to test."""
    tables = (PROTOCOLS, TASKS, protocols.OUTSIDE, protocols.BROKEN)
    before = [dict(table) for table in tables]
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built and installed by pip without network into a folder of its own."""
    folder = tmp_path_factory.mktemp("outside")
    source, target = folder / "source", folder / "installed"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True, text=True)
    return target


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["bench", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_the_example_is_listed_run_and_scored(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(package))
    assert "marks" in list_tasks()
    assert "crosses and discs on paper -> at night, drawn (plug-in)" in list_tasks()
    assert "kept-edges-v1" in list_metrics()
    assert "computes:  distance between the mean colours of translations" in list_protocols()
    words = ("run", "--task", "marks", "--methods", "cyclegan", "--budget", "images=8", "--device", "cpu")
    missing = "no_such_package.metrics:METRIC"
    asked = ("--protocols", ",".join([*NAMES, missing]), "--results", tmp_path)
    assert call(monkeypatch, *words, *asked) == 0
    printed = capsys.readouterr()
    assert f"warning: metric {missing}" in printed.err
    assert "RuntimeError: a bug in somebody's metric" in printed.out
    assert f"needs: a metric {missing} that can be imported (ModuleNotFoundError" in printed.out
    assert "data: embedded (drawn by code" in printed.out

    (cell,) = read_cells(tmp_path, "marks")
    records = {(record["protocol"], record["label"]): record for record in cell["scores"]["none"]["records"]}
    translations = np.load(next(cell["folder"].glob("translations-*.npy")))[:, 0]
    data = _data(tmp_path)
    from colour_bench.metrics import MeanColour, kept_edges  # type: ignore[import-not-found]

    rows = first_rows_of_each_class(data.splits[0, "test"].labels, tiny.TINY.evaluation.sources_per_class)
    edges = kept_edges(translations, np.array(data.splits[0, "test"].images[rows]))
    kept = records["kept-edges-v1", "all"]
    assert kept["value"] == pytest.approx(edges.mean())
    assert kept["deviation"] == pytest.approx(edges.std(ddof=1) / len(edges) ** 0.5)
    distance = records["colour-distance-v1", "all"]
    real = np.concatenate([np.array(data.splits[1, name].images) for name in ("train", "test")])
    assert distance["n_reference"] <= len(real)
    assert distance["encoder"] == MeanColour.identity[:12]
    assert distance["value"] > 0.05
    assert 0 < distance["floor"] < distance["value"]
    assert {label for name, label in records if name == "colour-distance-v1"} == {"all", "cross", "disc"}

    # Scored again nothing is computed; a table needs neither the metrics nor their package.
    assert call(monkeypatch, *words, *asked) == 0
    assert "finished before, skipped" in capsys.readouterr().err
    for name in NAMES:
        del PROTOCOLS[name]
    know_definitions(tmp_path)
    assert {PROTOCOLS[name].higher_is_better for name in NAMES[:2]} == {True, False}
    frame = tidy_results(tmp_path, "marks")
    assert frame.loc[frame["protocol"] == "kept-edges-v1", "value"].notna().all()


def _data(results: Path) -> Any:
    from bench.data.load import load_data

    return load_data(get_task("marks"), "auto", 32)


def test_by_their_paths_without_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PACKAGE))
    name = "colour_bench.metrics:KEPT_EDGES"
    (protocol,) = (one for one in select_protocols([name]) if one.on_request)
    assert (protocol.name, protocol.encoder, protocol.higher_is_better) == (name, "pixels", True)
    assert get_task("colour_bench.task:MARKS") is get_task("marks")


SOUND = Task(
    name="sound", domains=("a", "b"), classes=("x", "y"), directions=((0, 1),), kind="pictures", summary="",
    sizes={"quick": 32, "small": 32, "paper": 64},
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "pacs"}, "its name is pacs, that of one of the harness's own"),
        ({"name": "a/b"}, "letters, digits"),
        ({"domains": ("a", "a")}, "two names wanted"),
        ({"directions": ((0, 0),)}, "directions"),
        ({"sizes": {"quick": 32, "paper": 64}}, "a size for each of quick, small, paper"),
        ({"classes": (), "sources": lambda: None}, "classes"),
    ],
)
def test_a_task_that_cannot_be_used_is_an_error(
    changes: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "SOME_TASK", replace(SOUND, **changes), raising=False)
    with pytest.raises(BenchError, match=said):
        get_task("tiny:SOME_TASK")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("makrs", "unknown task 'makrs'"),
        ("no_such_package:TASK", "ModuleNotFoundError"),
        ("tiny:TINY", "is a KindPreset, not a Task"),
        ("tiny:NOTHING", "AttributeError"),
    ],
)
def test_a_name_that_is_no_task_is_an_error(name: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        get_task(name)


def test_data_that_cannot_be_made_or_is_not_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.data.load import load_data

    with pytest.raises(BenchError, match="cannot be made: ZeroDivisionError"):
        load_data(replace(SOUND, sources=lambda: 1 // 0), "auto", 32)
    monkeypatch.syspath_prepend(str(PACKAGE))
    marks = get_task("colour_bench.task:MARKS")
    with pytest.raises(BenchError, match="states the domains"):
        load_data(replace(marks, domains=("paper", "day")), "auto", 32)
    with pytest.raises(BenchError, match="add --data ROOT"):
        load_data(SOUND, "auto", 32)


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (ImageMetric(lambda fake, real: np.zeros(1), "", True), "numbers of shape"),
        (ImageMetric(lambda fake, real: np.full(len(fake), np.nan), "", True), "are not finite"),
        (SetMetric(lambda x, y: float("inf"), "", True, "pixels"), "the value is inf"),
        (SetMetric(lambda x, y: 1.0, "", True, "incepton"), "no encoder called incepton"),
        (SetMetric(lambda x, y: 1.0, "", True, lambda: 1 // 0), "ZeroDivisionError"),
    ],
)
def test_a_metric_that_gives_no_number_says_why(
    metric: Any, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval_toys import smooth_images

    from bench.core.device import Runtime
    from bench.data.types import Split, TaskData
    from bench.evaluation import encoders as real_encoders
    from bench.evaluation.score import score_direction
    from bench.evaluation.translate import Translations
    from bench.spec.presets import get_preset

    monkeypatch.setattr(tiny, "SOME_METRIC", metric, raising=False)
    images, labels = smooth_images(12, 8, 0), np.arange(12) % 2
    splits = {
        (domain, name): Split(images, labels, tuple(f"{name}{domain}{row:02d}" for row in range(12)))
        for domain in (0, 1)
        for name in ("train", "test")
    }
    data = TaskData("real", "v", ("x", "y"), ("a", "b"), splits, 8, "")  # type: ignore[arg-type]
    made = real_encoders.make_encoders(
        tmp_path, data, get_preset("quick", "pictures"), Runtime("cpu", 8), ["tiny:SOME_METRIC"]
    )
    only = replace(made, protocols=tuple(p for p in made.protocols if p.name == "tiny:SOME_METRIC"))
    records = score_direction(data, Translations(0, 1, np.arange(12), labels, images[:, None]), "a->b", only)
    assert records
    assert all(record.value is None and reason in record.missing for record in records), records


def test_what_the_pages_show_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.data.load import load_data

    package = tmp_path / "shown_package"
    package.mkdir()
    for page, module in (("adding-a-metric.md", "metrics"), ("adding-data.md", "tasks")):
        (body,) = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), flags=re.DOTALL)
        (package / f"{module}.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ["shown_package.metrics:KEPT", "shown_package.metrics:MEANS"]
    chosen = {protocol.name: protocol for protocol in select_protocols(names)}
    assert [chosen[name].encoder for name in names] == ["pixels", "inception"]
    assert protocols.BROKEN == {}
    task = get_task("shown_package.tasks:INK")
    data = load_data(task, str(tiny.make_folder(tmp_path / "my_images", per_class=5)), 32)
    assert (data.domains, data.classes) == (task.domains, task.classes)


def test_a_damaged_file_of_definitions_is_named(tmp_path: Path) -> None:
    (tmp_path / "protocols.json").write_text(json.dumps({"x": {"name": "x", "reference": []}}))
    know_definitions(tmp_path)
    assert "x" not in PROTOCOLS
    (tmp_path / "protocols.json").write_text("[")
    with pytest.raises(BenchError, match=r"protocols\.json is damaged"):
        know_definitions(tmp_path)


def test_an_unknown_protocol_names_the_nearest_installed_one(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(package))
    assert set(NAMES) <= set(plugins.installed_plugins(plugins.METRICS))
    with pytest.raises(BenchError, match="did you mean 'kept-edges-v1'"):
        select_protocols(["kept-edge-v1"])
