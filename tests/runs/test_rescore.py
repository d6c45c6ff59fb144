"""Scoring what was trained before: what is passed over, and what is refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import toys
from as_typed import cells, request, rescore, rescore_request, run

from bench.core.errors import BenchError
from bench.runs.rescore import RescoreRequest

pytestmark = pytest.mark.usefixtures("tiny_preset", "no_real_files")


def again(shapes: Path, results: Path, style: str = "", methods: tuple[str, ...] = ()) -> RescoreRequest:
    return rescore_request(shapes, results, methods=methods, style=style)


def test_what_cannot_be_scored_is_named(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(request(shapes, tmp_path))
    (cell,) = cells(tmp_path).values()
    before = {path.name: path.read_bytes() for path in Path(str(cell["folder"])).iterdir() if path.is_file()}
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(toys.Toy, "style_sources", ("noise",))
        assert rescore(again(shapes, tmp_path, "exemplar")) == 0
    said = capsys.readouterr().err
    assert "toys:Toy seed 0: passed over: this method takes styles from ('noise',), not from 'exemplar'" in said
    with pytest.raises(BenchError, match="no trained cell of cyclegan on folder with this data and preset"):
        rescore(again(shapes, tmp_path, methods=("cyclegan",)))
    monkeypatch.setattr(toys.Toy, "version", toys.Toy.version + 1)
    with pytest.raises(BenchError, match=r"no trained cell[\s\S]*python -m bench run --task folder --preset quick"):
        rescore(again(shapes, tmp_path))
    assert "passed over: made by another version of the method" in capsys.readouterr().err
    after = {path.name: path.read_bytes() for path in Path(str(cell["folder"])).iterdir() if path.is_file()}
    assert {name for name in before if after.get(name) != before[name]} <= {"status.json"}
