"""Given images on real photographs and sketches, with the published weights of Inception and AlexNet."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
from as_typed import request, run
from PIL import Image
from real_files import INCEPTION, real_file
from test_given_images import cell_of, listed, records

from bench.cli.commands import main

CLASSES = "dog", "horse"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Ten PACS files of each class and domain as they are: a folder of data."""
    real_file(INCEPTION)
    real_file("weights/alexnet-features.pth")
    for domain in ("sketch", "photo"):
        for name in CLASSES:
            (tmp_path / "data" / domain / name).mkdir(parents=True)
            for file in sorted(real_file(f"datasets/pacs/{domain}/{name}").iterdir())[:10]:
                copyfile(file, tmp_path / "data" / domain / name / file.name)
    return tmp_path / "data"


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_preset")
def test_a_cells_own_translations_get_its_numbers(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run, export, the stored translations as PNG files, score: equal records; every protocol stands in the tables."""
    results, out = tmp_path / "results", tmp_path / "out"

    def typed(*words: object) -> str:
        data = [] if words[0] == "table" else ["--data", pictures]
        monkeypatch.setattr("sys.argv", ["bench", *map(str, [*words, "--task", "folder", *data])])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        return capsys.readouterr().out

    assert run(request(pictures, results)) == 0
    typed("export", "--out", out)
    cell = cell_of(results, "toys:Toy")
    for direction, domain in (("photo2sketch", "photo"), ("sketch2photo", "sketch")):
        images = np.load(cell["folder"] / f"translations-{direction}-noise.npy")
        for row, styles in zip(listed(out, domain), images, strict=True):
            (tmp_path / "given" / row["file"]).parent.mkdir(parents=True, exist_ok=True)
            for k, image in enumerate(styles):
                path = (tmp_path / "given" / row["file"]).with_suffix("")
                Image.fromarray(image.transpose(1, 2, 0)).save(f"{path}_{k}.png")
    typed("score", tmp_path / "given", "--name", "theirs", "--results", results, "--device", "cpu")
    trained, given = records(cell), records(cell_of(results, "theirs"))
    assert given == trained
    values = {record["protocol"]: record["value"] for record in given if record["label"] == "all"}
    for protocol in ("fid-inception-v1", "accuracy-probe-v1", "lpips-alexnet-v1", "lpips-source-alexnet-v1"):
        assert values[protocol] is not None, protocol
    typed("score", "--name", "identity", "--identity", "--results", results, "--device", "cpu")
    own = {r["protocol"]: r["value"] for r in records(cell_of(results, "identity")) if r["label"] == "all"}
    assert own["lpips-source-alexnet-v1"] == 0 < values["lpips-source-alexnet-v1"]
    assert "lpips-source-alexnet-v1" in typed("table", "--results", results, "--full")
    typed("table", "--results", results, "--out", tmp_path / "table.csv")
    assert "lpips-source-alexnet-v1" in (tmp_path / "table.csv").read_text()
