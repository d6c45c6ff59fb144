"""Images that another program made: sources out, translations back in, and what is wrong with them in one error."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pytest
from as_typed import request, run
from PIL import Image

from bench.cli.commands import main
from bench.store.cell import read_cells

pytestmark = pytest.mark.usefixtures("tiny_preset", "no_real_files")

Typed = Callable[..., int]


@pytest.fixture
def typed(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """A command on the folder of shapes; returns its exit status."""

    def command(name: str, *words: object) -> int:
        where = ["--task", "folder", "--data", str(shapes)]
        results = ["--results", str(tmp_path / "results"), "--device", "cpu"] if name == "score" else []
        monkeypatch.setattr("sys.argv", ["bench", name, *map(str, words), *where, *results])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0)

    return command


@pytest.fixture
def exported(typed: Typed, tmp_path: Path) -> Path:
    assert typed("export", "--out", tmp_path / "out") == 0
    return tmp_path / "out"


def listed(folder: Path, domain: str = "") -> list[dict[str, str]]:
    """Rows of `sources.csv`, of one domain."""
    rows = list(csv.DictReader((folder / "sources.csv").read_text().splitlines()))
    return [row for row in rows if row["file"].startswith(domain)]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def records(cell: dict[str, Any]) -> list[dict[str, Any]]:
    (score,) = cell["scores"].values()
    return list(score["records"])


def cell_of(results: Path, method: str) -> dict[str, Any]:
    return next(cell for cell in read_cells(results, "folder") if cell["spec"]["method"] == method)


def translated(exported: Path, folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """Every exported source, changed, in a folder like the exported one."""
    for row in listed(exported):
        path = folder / row["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(change(pixels(exported / row["file"]))).save(path)
    return folder


def test_the_sources_are_what_every_method_sees(exported: Path, shapes: Path, typed: Typed) -> None:
    from bench.data.load import load_data
    from bench.spec.tasks import get_task

    data = load_data(get_task("folder"), str(shapes), 32)
    assert {path.relative_to(exported).as_posix() for path in exported.rglob("*.png")} == {
        row["file"] for row in listed(exported)
    }
    for domain, name in enumerate(data.domains):
        split, rows = data.splits[domain, "test"], listed(exported, name)
        assert [row["id"] for row in rows] == list(split.ids)
        for row, label, image in zip(rows, split.labels, split.images, strict=True):
            assert row["class"] == data.classes[label]
            assert row["file"] == f"{name}/{row['class']}/{row['id']}.png"
            assert row["sha256"] == hashlib.sha256((exported / row["file"]).read_bytes()).hexdigest()
            assert (pixels(exported / row["file"]).transpose(2, 0, 1) == image).all()
    assert "bench score IMAGES" in (exported / "README.md").read_text()
    assert typed("export", "--out", exported) == 2  # not empty: nothing of yours is overwritten


@pytest.mark.parametrize(("method", "style"), [("cyclegan", "none"), ("toys:Toy", "noise")])
def test_a_trained_cells_own_translations_get_its_numbers_to_the_last_digit(
    method: str, style: str, exported: Path, shapes: Path, tmp_path: Path, typed: Typed
) -> None:
    results = tmp_path / "results"
    assert run(request(shapes, results, methods=(method,))) == 0
    cell = cell_of(results, method)
    for direction, domain in (("ink2paint", "ink"), ("paint2ink", "paint")):
        images = np.load(cell["folder"] / f"translations-{direction}-{style}.npy")
        for row, styles in zip(listed(exported, domain), images, strict=True):
            path = (tmp_path / "mirror" / row["file"]).with_suffix("")
            path.parent.mkdir(parents=True, exist_ok=True)
            for k, image in enumerate(styles):
                name = f"{path.name}_{k}.png" if len(styles) > 1 else f"{path.name}.png"
                Image.fromarray(image.transpose(1, 2, 0)).save(path.with_name(name))
    assert typed("score", tmp_path / "mirror", "--name", "theirs") == 0
    trained, given = records(cell), records(cell_of(results, "theirs"))
    assert any(record["value"] for record in trained if record["metric"] == "fid")
    assert given == trained


def test_every_form_is_read_alike(
    exported: Path, tmp_path: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mirrored, flat with suffixes and other files beside, and as arrays: the second form counts as scored before."""
    mirror = translated(exported, tmp_path / "mirror", lambda image: 255 - image)
    assert typed("score", mirror, "--name", "inverted") == 0
    printed = capsys.readouterr().out
    assert "inverted †" in printed
    assert "† given images, not trained here" in printed
    flat = tmp_path / "flat"
    flat.mkdir()
    for row in listed(exported):
        suffix = "_fake_B" if row["file"].startswith("ink") else "_fake"
        copyfile(mirror / row["file"], flat / f"{row['id']}{suffix}.png")
        copyfile(exported / row["file"], flat / f"{row['id']}_real_A.png")
    array = np.stack([pixels(mirror / row["file"]) for row in listed(exported)])
    np.save(tmp_path / "all.npy", array)
    one_way = np.stack([pixels(mirror / row["file"]) for row in listed(exported, "paint")])
    np.savez(tmp_path / "one.npz", images=one_way.transpose(0, 3, 1, 2)[:, None])
    for images, words in (
        (flat, ()),
        (tmp_path / "all.npy", ()),
        (tmp_path / "one.npz", ("--direction", "paint->ink")),
    ):
        assert typed("score", images, "--name", "inverted", *words) == 0
        assert "inverted: finished before, skipped" in capsys.readouterr().err, images


def test_other_images_of_the_same_name_are_refused_and_replaced(
    exported: Path, tmp_path: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    first = translated(exported, tmp_path / "first", lambda image: 255 - image)
    second = translated(exported, tmp_path / "second", lambda image: image // 2)
    assert typed("score", first, "--name", "mine", "--direction", "ink->paint") == 0
    assert typed("score", first, "--name", "mine", "--direction", "paint->ink") == 0  # adds to the row
    before = cell_of(tmp_path / "results", "mine")["scores"]["given"]
    assert sorted(before["images"]) == ["ink->paint", "paint->ink"]
    assert typed("score", second, "--name", "mine") == 2
    assert "other images are already scored as mine" in capsys.readouterr().err
    assert cell_of(tmp_path / "results", "mine")["scores"]["given"] == before
    assert typed("score", second, "--name", "mine", "--direction", "ink->paint", "--replace") == 0
    after = cell_of(tmp_path / "results", "mine")["scores"]["given"]
    assert list(after["images"]) == ["ink->paint"]
    assert after["images"]["ink->paint"] != before["images"]["ink->paint"]


def test_the_sources_themselves(exported: Path, tmp_path: Path, typed: Typed) -> None:
    assert typed("score", "--name", "identity", "--identity") == 0
    same = translated(exported, tmp_path / "same", lambda image: image)
    assert typed("score", same, "--name", "copied") == 0
    identity, copied = (records(cell_of(tmp_path / "results", name)) for name in ("identity", "copied"))
    assert identity == copied
    assert identity


def test_everything_wrong_is_one_error(
    exported: Path, tmp_path: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = translated(exported, tmp_path / "wrong", lambda image: image)
    absent, twice, *_ = listed(exported, "ink")
    (folder / absent["file"]).unlink()
    copyfile(folder / twice["file"], folder / f"{twice['id']}_fake.png")
    Image.new("RGB", (32, 32)).save(folder / "stranger.png")
    Image.new("RGB", (32, 30)).save(folder / listed(exported, "paint")[0]["file"])
    assert typed("score", folder, "--name", "mine") == 2
    said = capsys.readouterr().err
    assert f"missing: {absent['file']}" in said
    assert "named doubly: " in said
    assert "stranger.png is named like no source" in said
    assert "is 32 x 30 pixels, not 32 x 32" in said
    assert not (tmp_path / "results" / "runs").exists()
    small = translated(exported, tmp_path / "small", lambda image: image[::2, ::2])
    assert typed("score", small, "--name", "mine") == 2
    assert capsys.readouterr().err.count("is 16 x 16 pixels, not 32 x 32") == len(listed(exported))
    styles = translated(exported, tmp_path / "styles", lambda image: image)
    copyfile(styles / absent["file"], (styles / absent["file"]).with_name(f"{absent['id']}_1.png"))
    assert typed("score", styles, "--name", "mine") == 2
    assert f"missing: {twice['file']}, of its styles 0 to 1: 1" in capsys.readouterr().err


def test_arrays_that_do_not_fit(
    exported: Path, tmp_path: Path, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    count = len(listed(exported))
    np.save(tmp_path / "a.npy", np.zeros((count - 1, 16, 16, 3), np.float32))
    assert typed("score", tmp_path / "a.npy", "--name", "mine") == 2
    said = capsys.readouterr().err
    for part in ("is of float32, not of uint8", "is of shape", f"has {count - 1} rows; the sources are {count}"):
        assert part in said
    np.savez(tmp_path / "b.npz", a=np.zeros(1), b=np.zeros(1))
    assert typed("score", tmp_path / "b.npz", "--name", "mine") == 2
    assert "holds 2 arrays, not one" in capsys.readouterr().err
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04damaged")
    assert typed("score", tmp_path / "c.npz", "--name", "mine") == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name", "mine"], "either IMAGES or --identity is needed"),
        ([".", "--name", "mine", "--identity"], "either IMAGES or --identity is needed"),
        (["nowhere", "--name", "mine"], "nowhere: no such folder or file"),
        ([".", "--name", "cyclegan"], "--name cyclegan is a method of this program"),
        ([".", "--name", "a/b"], "--name 'a/b' is not a name"),
        ([".", "--name", "mine", "--direction", "ink->pant"], "no direction 'ink->pant'\n  did you mean 'ink->paint'"),
    ],
)
def test_wrong_words_are_refused(
    words: list[str], message: str, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("score", *words) == 2
    assert message in capsys.readouterr().err


def test_images_stay_out_of_what_is_about_methods(
    exported: Path, shapes: Path, tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`evaluate` passes over the row, and the report has the command that scores it."""
    from bench.reporting.leaderboard.leaderboards import leaderboards

    assert run(request(shapes, tmp_path / "results")) == 0
    assert typed("score", "--name", "identity", "--identity") == 0
    words = ["--task", "folder", "--data", str(shapes), "--results", str(tmp_path / "results")]
    monkeypatch.setattr("sys.argv", ["bench", "evaluate", *words, "--device", "cpu"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert len(leaderboards(tmp_path / "results", "folder")) == 2
    monkeypatch.setattr("sys.argv", ["bench", "report", "--results", str(tmp_path / "results")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    page = (tmp_path / "results" / "report" / "index.html").read_text()
    assert "bench score IMAGES --task folder --name identity" in page
