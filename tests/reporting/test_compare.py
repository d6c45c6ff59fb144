"""`bench compare`: paired differences of stored cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from as_typed import cells, request, run
from long_table import frame

from bench.core.errors import BenchError
from bench.reporting.compare import CompareRequest, compare_methods

pytestmark = pytest.mark.usefixtures("tiny_preset", "no_real_files")


def asked(shapes: Path, results: Path, first: str = "cyclegan", second: str = "toys:Toy") -> CompareRequest:
    return CompareRequest(
        task="folder", first=first, second=second, preset="quick", data=str(shapes), device="cpu", results=results
    )


def rows(printed: str) -> dict[tuple[str, str], list[str]]:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if "->" in line]
    return {(line[0], line[1]): line[2:] for line in lines}


def test_differences_are_those_of_the_table_with_intervals(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(request(shapes, tmp_path, methods=("cyclegan", "toys:Toy"), seeds=(0, 1))) == 0
    capsys.readouterr()
    assert compare_methods(asked(shapes, tmp_path)) == 0
    told = capsys.readouterr().out
    printed = rows(told)
    long = frame(tmp_path, "folder")
    whole = long[(long.label == "all") & (long.direction == "ink->paint")]
    for protocol in ("accuracy-judge-v1", "fid-judge-v1", "kid-judge-v1", "diversity-judge-v1"):
        first, second, difference, images, seeds, which = printed["ink->paint", protocol]
        own = whole[whole.protocol == protocol].groupby("method").value.mean()
        assert float(first) == pytest.approx(own["cyclegan"], rel=5e-3, abs=5e-3), protocol
        assert float(second) == pytest.approx(own["toys:Toy"], rel=5e-3, abs=5e-3), protocol
        expected = own["cyclegan"] - own["toys:Toy"]
        assert float(difference) == pytest.approx(expected, rel=5e-3, abs=5e-3)
        for low, high in (map(float, images.split(" to ")), map(float, seeds.split(" to "))):
            assert low - 5e-3 <= expected <= high + 5e-3
        assert which == "0, 1"
    assert "difference: cyclegan minus toys:Toy." in told
    assert ("paint->ink", "fid-judge-v1") in printed
    assert ("ink->paint", "fid-inception-v1") not in printed  # no weights
    assert compare_methods(asked(shapes, tmp_path, "toys:Toy", "cyclegan")) == 0  # exchanged: the sign alone
    back = rows(capsys.readouterr().out)["ink->paint", "fid-judge-v1"]
    assert float(back[2]) == pytest.approx(-float(printed["ink->paint", "fid-judge-v1"][2]))


def test_what_cannot_be_compared_says_why(shapes: Path, tmp_path: Path) -> None:
    run(request(shapes, tmp_path))
    with pytest.raises(BenchError, match="no scored cell of cyclegan"):
        compare_methods(asked(shapes, tmp_path))
    run(request(shapes, tmp_path, methods=("cyclegan",), seeds=(1,)))
    with pytest.raises(BenchError, match=r"cyclegan has seeds \[1\], toys:Toy \[0\]: none in common"):
        compare_methods(asked(shapes, tmp_path))
    run(request(shapes, tmp_path, methods=("cyclegan",), seeds=(0,)))
    path = Path(str(cells(tmp_path)["cyclegan/0"]["folder"])) / "translations-ink2paint-none.npy"
    np.save(path, np.load(path) ^ 1)
    with pytest.raises(BenchError, match="not the translations that cyclegan-seed0"):
        compare_methods(asked(shapes, tmp_path))
    run(request(shapes, tmp_path, methods=("cyclegan",), budget="images=6"))
    with pytest.raises(BenchError, match="several settings or budgets"):
        compare_methods(asked(shapes, tmp_path))
