"""Two folders of images against each other, without a task."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from eval_toys import PairEncoder, PixelEncoder, make_encoders, smooth_images
from PIL import Image
from real_files import INCEPTION, real_file

from bench.cli.commands import main
from bench.runs import folder_scores
from metrics.frechet import frechet_distance


def write(folder: Path, images: np.ndarray) -> np.ndarray:
    """`images`, written as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{index:03d}.png")
    return images


def score(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["bench", "score", *map(str, words), "--device", "cpu"])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.fixture
def quarters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PixelEncoder:
    """An encoder of 12 numbers in Inception's place."""
    encoder = PixelEncoder()
    stand_in = make_encoders(tmp_path / "features", inception=encoder, alexnet=PairEncoder(), dinov2=PairEncoder())
    monkeypatch.setattr(folder_scores, "make_encoders", lambda *arguments: stand_in)
    return encoder


def test_values_over_all_and_per_class(
    quarters: PixelEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of folders whose images have different sizes; a second time nothing is encoded."""
    fake = {name: write(tmp_path / "a" / name, smooth_images(20, 8, seed)) for seed, name in enumerate("xy")}
    real = {name: write(tmp_path / "b" / name, smooth_images(26, 16, seed + 5)) for seed, name in enumerate("xy")}
    words = tmp_path / "a", "--against", tmp_path / "b", "--results", tmp_path / "r", "--format"
    assert score(monkeypatch, *words, "json") == 0
    records = json.loads(capsys.readouterr().out)
    by_label = {record["label"]: record for record in records if record["protocol"] == "fid-inception-v1"}
    for label, names in (("all", "xy"), ("x", "x"), ("y", "y")):
        x, y = (quarters(np.concatenate([images[name] for name in names])) for images in (fake, real))
        assert by_label[label]["value"] == pytest.approx(frechet_distance(x, y), rel=1e-9)
        assert (by_label[label]["n"], by_label[label]["n_reference"]) == (len(x), len(y))
        middle = (by_label[label]["low"] + by_label[label]["high"]) / 2
        assert middle == pytest.approx(by_label[label]["value"])
        assert by_label[label]["floor"] > 0
        assert by_label[label]["floor_n"] + by_label[label]["floor_reference"] == len(y)
    named = {"fid", "kid", "precision", "recall", "density", "coverage", "lpips_across"}
    assert {record["metric"] for record in records} == named
    seen = quarters.seen
    assert score(monkeypatch, *words, "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["value"]) for row in rows] == [record["value"] for record in records]
    assert quarters.seen == seen
    assert score(monkeypatch, *words, "md") == 0
    printed = capsys.readouterr().out
    assert "| fid-inception-v1 ↓       | x       |" in printed
    assert "40 / 52" in printed


@pytest.mark.usefixtures("quarters")
def test_styles_by_name_and_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Distances are of all images, whatever their names; LPIPS is within a source; sources, if given, by name."""
    sources = {name: write(tmp_path / "s" / name, smooth_images(11, 8, seed)) for seed, name in enumerate("xy")}
    write(tmp_path / "b" / "x", smooth_images(9, 8, 7))
    write(tmp_path / "b" / "y", smooth_images(9, 8, 8))
    images = {
        name: np.stack([smooth_images(11, 8, 20 + 3 * i + k) for k in range(3)], 1) for i, name in enumerate("xy")
    }
    for name, of_class in images.items():
        (tmp_path / "a" / name).mkdir(parents=True)
        for (row, style), image in (((r, k), of_class[r, k]) for r in range(11) for k in range(3)):
            Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "a" / name / f"{row:03d}_{style}.png")
    words = tmp_path / "a", "--against", tmp_path / "b", "--results", tmp_path / "r", "--format", "json"
    assert score(monkeypatch, *words) == 0
    printed = capsys.readouterr()
    assert "3 styles of each of 22 sources, by the files' names" in printed.err
    alone = {(r["protocol"], r["label"]): r for r in json.loads(printed.out)}
    assert (alone["fid-inception-v1", "all"]["n"], alone["fid-inception-v1", "x"]["n"]) == (66, 33)
    assert alone["fid-inception-v1", "all"]["deviation"] is None  # three of a source are not independent
    flat = {name: of_class.reshape(11, 3, -1) / 255 for name, of_class in images.items()}
    pairs = {n: [np.abs(f[:, i] - f[:, j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))] for n, f in flat.items()}
    assert alone["lpips-alexnet-v1", "y"]["value"] == pytest.approx(np.mean(pairs["y"]), rel=1e-5)
    assert alone["lpips-alexnet-v1", "all"]["value"] == pytest.approx(np.mean([*pairs["x"], *pairs["y"]]), rel=1e-5)
    assert alone["lpips-alexnet-v1", "all"]["n"] == 22
    assert not {"lpips-source-alexnet-v1", "structure-dinov2-v1"} & {protocol for protocol, _ in alone}
    more = "--sources", tmp_path / "s", "--protocols", "structure-dinov2-v1"
    assert score(monkeypatch, *words, *more) == 0
    known = {(r["protocol"], r["label"]): r for r in json.loads(capsys.readouterr().out)}
    for key in alone:
        assert known[key]["value"] == pytest.approx(alone[key]["value"], rel=1e-9)
    apart = {n: np.abs(sources[n].reshape(11, -1) / 255 - flat[n][:, 0]).mean(axis=1) for n in "xy"}
    for protocol in ("lpips-source-alexnet-v1", "structure-dinov2-v1"):
        assert known[protocol, "x"]["value"] == pytest.approx(apart["x"].mean(), rel=1e-5)
        assert known[protocol, "all"]["value"] == pytest.approx(np.mean([*apart["x"], *apart["y"]]), rel=1e-5)
    (tmp_path / "a" / "y" / "004_1.png").unlink()
    (tmp_path / "a" / "x" / "other_0.png").write_bytes((tmp_path / "a" / "x" / "000_0.png").read_bytes())
    assert score(monkeypatch, *words, *more) == 2
    printed = capsys.readouterr()
    assert "missing: s/y/004.png, of its styles 0 to 2: 1" in printed.err
    assert "other_0.png is named like no source" in printed.err
    assert "with --sources each image is of the size of its source" in printed.err


def test_what_is_scored_again_needs_neither_pixels_nor_encoders(
    quarters: PixelEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until a file has other bytes or another name."""
    write(tmp_path / "a", smooth_images(8, 8, 0))
    write(tmp_path / "b", smooth_images(8, 8, 1))
    words = (
        tmp_path / "a",
        "--against",
        tmp_path / "b",
        "--results",
        tmp_path / "r",
        "--only",
        "fid-inception-v1,kid-inception-v1",
    )
    assert score(monkeypatch, *words) == 0
    first = capsys.readouterr().out
    calls = list[object]()
    measure = folder_scores.measure_folders
    monkeypatch.setattr(folder_scores, "measure_folders", lambda *request: calls.append(1) or measure(*request))
    assert score(monkeypatch, *words) == 0
    assert capsys.readouterr().out == first
    assert not calls
    assert {"fid-inception-v1", "kid-inception-v1"} == {r.split()[1] for r in first.splitlines() if "inception" in r}
    write(tmp_path / "a", smooth_images(1, 8, 5))
    assert score(monkeypatch, *words) == 0
    assert len(calls) == 1
    (tmp_path / "b" / "000.png").rename(tmp_path / "b" / "zero.png")
    assert score(monkeypatch, *words) == 0
    assert score(monkeypatch, *words, "--format", "csv") == 0
    assert len(calls) == 2
    kept = list((tmp_path / "r").rglob("two-folders/*.json"))
    for path in kept:
        path.write_text("{", encoding="utf-8")
    assert score(monkeypatch, *words) == 0
    assert len(calls) == 3
    assert sum(path.read_text(encoding="utf-8") != "{" for path in kept) == 1  # damaged: measured and stored again


@pytest.mark.usefixtures("quarters")
def test_other_classes_are_not_compared_per_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a" / "x", smooth_images(8, 8, 0))
    write(tmp_path / "b" / "y", smooth_images(8, 8, 1))
    words = tmp_path / "a", "--against", tmp_path / "b", "--results", tmp_path / "r", "--format", "json"
    assert score(monkeypatch, *words) == 0
    assert {record["label"] for record in json.loads(capsys.readouterr().out)} == {"all"}


@pytest.mark.usefixtures("no_real_files")
def test_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    good, mixed, empty = tmp_path / "good", tmp_path / "mixed", tmp_path / "empty"
    write(good, smooth_images(4, 8, 0))
    write(mixed, smooth_images(4, 8, 1))
    write(mixed / "more", smooth_images(1, 16, 2))
    (mixed / "broken.png").write_bytes(b"\x89PNG damaged")
    empty.mkdir()
    for words, message in (
        ((good, "--against", tmp_path / "nowhere"), "nowhere is not a folder"),
        ((empty, "--against", good), "empty holds no image"),
        ((mixed, "--against", good), "broken.png cannot be decoded"),
        (("--against", good), "which images are compared?"),
        ((good, "--against", good, "--name", "x"), "do not go with --against"),
        ((good, "--against", good, "--format", "xml"), "--format 'xml' is not understood"),
        ((good, "--against", good, "--protocols", "fid-judge-v1"), "fid-judge-v1 needs a task"),
        ((good, "--against", good, "--only", "fid-clena-v1"), "unknown protocol 'fid-clena-v1'"),
        ((good, "--against", good, "--only", "lpips-alexnet-v1"), "good has one of each"),
        ((good, "--against", good, "--protocols", "lpips-source-alexnet-v1"), "compares each image with its source"),
        ((good, "--against", good, "--protocols", "fid-clean-v1", "--only", "fid-clean-v1"), "give one of the two"),
        ((good, "--against", good, "--sources", tmp_path / "none"), "none is not a folder"),
        ((good, "--task", "pacs", "--name", "x", "--sources", good), "--sources and --only go with --against"),
        ((good,), "--task is needed"),
    ):
        assert score(monkeypatch, *words, "--results", tmp_path / "r") == 2
        assert message in capsys.readouterr().err
    (mixed / "broken.png").unlink()
    assert score(monkeypatch, mixed, "--against", good, "--results", tmp_path / "r") == 2
    assert "000.png is 16 x 16 pixels" in capsys.readouterr().err
    assert score(monkeypatch, good, "--against", good, "--results", tmp_path / "r") == 0
    assert "needs: bench fetch inception" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch-fidelity's own
def test_fid_equals_torch_fidelity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = real_file(INCEPTION)
    import torch_fidelity

    write(tmp_path / "a", smooth_images(8, 48, 0))
    write(tmp_path / "b", smooth_images(8, 64, 1))
    words = tmp_path / "a", "--against", tmp_path / "b", "--results", tmp_path / "r", "--format", "json"
    assert score(monkeypatch, *words) == 0
    (ours,) = (r["value"] for r in json.loads(capsys.readouterr().out) if r["protocol"] == "fid-inception-v1")
    theirs = torch_fidelity.calculate_metrics(
        input1=str(tmp_path / "a"), input2=str(tmp_path / "b"), fid=True, cuda=False, verbose=False, cache=False,
        feature_extractor_weights_path=str(path),
    )["frechet_inception_distance"]  # fmt: skip
    assert ours == pytest.approx(theirs, rel=1e-5)
