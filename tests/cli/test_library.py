"""`import bench`: what it costs, and its three functions, which return what the commands print."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from PIL import Image

import bench
from bench.cli.commands import main
from bench.core.errors import BenchError
from bench.reporting.tidy import TIDY_COLUMNS

ROOT = Path(__file__).parents[2]


def test_the_import_is_light_and_has_the_three() -> None:
    code = (
        "import sys, bench\n"
        "assert set(bench.__all__) <= set(dir(bench))\n"
        "heavy = {'torch', 'numpy', 'pandas', 'typer'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "bench.load_results, bench.run, bench.score\n"
        "assert not {'torch', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": tiny.SOURCES})
    with pytest.raises(AttributeError, match="no attribute 'lod_results'"):
        getattr(bench, "lod_results")  # noqa: B009


def test_loading_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    code = f"import sys, bench; bench.load_results({str(tmp_path)!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": tiny.SOURCES})


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_the_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block in its order, in one namespace, as in a notebook."""
    tiny.make_folder(tmp_path / "my_images", per_class=6)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text("utf-8"), flags=re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, "docs/library.md", "exec"), names)
    trained, everything, values, row = (names[name] for name in ("trained", "everything", "values", "row"))
    assert list(trained.columns) == list(everything.columns) == list(row.columns) == list(TIDY_COLUMNS)
    assert trained.attrs["failed"] == []
    assert set(trained["method"]) == {"cyclegan", "stargan_v2"}
    assert set(trained["seed"]) == {0, 1}
    assert set(trained["budget"]) == {"images=40"}
    assert trained.equals(everything)
    assert set(row["method"]) == {"identity"}
    assert row["value"].notna().any()
    assert set(values["n"]) <= {0, 40}

    # What a command wrote is what a function returned: to the last digit.
    monkeypatch.setattr("sys.argv", ["bench", "table", "--tidy", "all.csv"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    stored = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text())))
    after = bench.load_results()
    assert [line["value"] for line in stored] == ["" if value != value else repr(value) for value in after["value"]]
    assert len(after) == len(everything) + len(row)


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_settings_by_name_and_a_method_that_fails(
    tmp_path: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The method that cannot be imported is a line; the other's settings are in `variant` where there are several."""
    (tmp_path / "broken_method.py").write_text("raise RuntimeError('a driver is missing')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    words = {"task": "folder", "data": shapes, "budget": "images=8", "results": tmp_path / "r"}
    bench.run(methods=["cyclegan"], seeds="0", **words)
    frame = bench.run(methods=["cyclegan", "broken_method:M"], set={"cyclegan.width": 2}, seeds=np.int64(0), **words)
    assert frame.attrs["failed"] == ["folder: broken_method:M: RuntimeError: a driver is missing"]
    assert set(frame["variant"]) == {"width=2"}
    assert set(bench.load_results(tmp_path / "r", task="folder")["variant"]) == {"width=2", "width=4"}
    assert len(bench.load_results(tmp_path / "r", preset="paper")) == 0


def test_two_sets_are_the_same_as_arrays_and_as_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from eval_toys import PixelEncoder, make_encoders, smooth_images

    from bench.runs import folder_scores

    stand_in = make_encoders(tmp_path / "features", inception=PixelEncoder())
    monkeypatch.setattr(folder_scores, "make_encoders", lambda *arguments: stand_in)
    sets = {name: smooth_images(30, 16, seed) for seed, name in enumerate(("fake", "real"))}
    for name, images in sets.items():
        (tmp_path / name).mkdir()
        for index, image in enumerate(images):
            Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / name / f"{index:03d}.png")
    words = {"device": "cpu", "results": tmp_path / "r"}
    folders = bench.score(tmp_path / "fake", tmp_path / "real", **words)
    first = bench.score(sets["fake"], sets["real"], **words)
    last = bench.score(sets["fake"].transpose(0, 2, 3, 1), str(tmp_path / "real"), **words)
    assert folders["value"].notna().sum() >= 6
    assert folders.equals(first)
    assert folders.equals(last)
    assert set(folders["class"]) == {"all"}


IMAGES = np.zeros((4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda path: bench.score(IMAGES.astype(np.float32), IMAGES), "an array of float32"),
        (lambda path: bench.score(IMAGES, IMAGES[..., 0]), r"of shape \(4, 8, 8\)"),
        (lambda path: bench.score([[1], [1, 2]], IMAGES), "no array"),
        (lambda path: bench.score(None, IMAGES), "no images"),
        (lambda path: bench.score(IMAGES), "a reference, or task and name"),
        (lambda path: bench.score(IMAGES, IMAGES, name="x"), "do not go with a reference"),
        (lambda path: bench.score(IMAGES, task="folder", name="x"), r"numpy\.save"),
        (lambda path: bench.score(IMAGES, IMAGES, protocols="fid-cleen-v1"), "did you mean 'fid-clean-v1'"),
        (lambda path: bench.run("foldr", results=path), "did you mean 'folder'"),
        (lambda path: bench.run("folder", seeds="0-x", results=path), "not understood"),
        (lambda path: bench.run("folder", data=path / "none", set="cyclegan.width", results=path), "--set"),
        (lambda path: bench.load_results(path / "nowhere"), "no results in"),
        (lambda path: bench.load_results(path, task="foldr"), "did you mean 'folder'"),
        (lambda path: bench.load_results(path, data="reel"), "did you mean 'real'"),
    ],
)
def test_what_cannot_be_done_is_said(call: Any, said: str, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(BenchError, match=said):
        call(tmp_path)
