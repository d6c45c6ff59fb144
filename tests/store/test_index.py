"""The index of results: never believed where a file may have changed, never needed, never in the way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from board_cells import add, record
from long_table import frame

from bench.core.errors import BenchError
from bench.store import index
from bench.store.cell import Cell, read_cells
from bench.store.columns import GIVEN, Records
from bench.store.index import read_index

LONG_AGO = 10**18


@pytest.fixture(autouse=True)
def every_cell_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "WORTH", 1)


def stored(root: Path) -> Path:
    return root / "index" / "folder.npz"


def settle(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all files of `root` were old: the clock is ahead of them."""
    clock = index._file_time(root)
    assert clock is not None
    monkeypatch.setattr(index, "_file_time", lambda folder: clock + 2 * index.SETTLES)


def value(root: Path) -> list[float | None]:
    return [None if x != x else x for x in read_index(root, "folder").records["value"].tolist()]


def metrics(cell: Cell) -> Path:
    return cell.metrics("none")


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Folders of the cells that are read from here on."""
    seen: list[str] = []
    real = index.read_cell

    def counted(folder: Path, names: tuple[str, ...]) -> dict[str, Any]:
        seen.append(folder.name)
        return real(folder, names)

    monkeypatch.setattr(index, "read_cell", counted)
    return seen


def test_what_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        add(tmp_path, [record(float(seed))], seed=seed)
    settle(tmp_path, monkeypatch)
    first = read_index(tmp_path, "folder")
    assert stored(tmp_path).exists()
    seen = reads(monkeypatch)
    second = read_index(tmp_path, "folder")
    assert seen == []
    assert second.texts("config") == first.texts("config")
    for side in ("cells", "records"):
        for name, column in getattr(first, side).items():
            np.testing.assert_array_equal(getattr(second, side)[name], column)


def rewrite_in_place(path: Path, text: str) -> None:
    with path.open("r+") as file:
        file.write(text)
        file.truncate()


def rewrite_and_set_the_time_back(path: Path, text: str) -> None:
    before = path.stat()
    rewrite_in_place(path, text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_and_set_the_time_back(path: Path, text: str) -> None:
    before, folder = path.stat(), path.parent.stat()
    other = path.with_name("other")
    other.write_text(text)
    os.replace(other, path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(path.parent, ns=(folder.st_atime_ns, folder.st_mtime_ns))


@pytest.mark.parametrize("rewrite", [rewrite_in_place, rewrite_and_set_the_time_back, replace_and_set_the_time_back])
def test_a_file_rewritten_with_the_same_size_never_shows_the_old_number(
    rewrite: Callable[[Path, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = add(tmp_path, [record(1.25)])
    settle(tmp_path, monkeypatch)
    assert value(tmp_path) == [1.25]
    text = metrics(cell).read_text()
    other = text.replace("1.25", "9.75")
    assert len(other) == len(text)
    rewrite(metrics(cell), other)
    assert value(tmp_path) == [9.75]


def test_a_file_too_young_to_tell_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewritten within one tick of the clock: times, size and inode are those of the file that was read."""
    cell = add(tmp_path, [record(1.25)])
    seen: dict[str, tuple[bytes, int]] = {}
    real = index._signature
    monkeypatch.setattr(index, "_signature", lambda folder, names: seen.setdefault(folder, real(folder, names)))
    assert value(tmp_path) == [1.25]
    assert stored(tmp_path).exists()
    rewrite_in_place(metrics(cell), metrics(cell).read_text().replace("1.25", "9.75"))
    assert value(tmp_path) == [9.75]
    settle(tmp_path, monkeypatch)
    assert value(tmp_path) == [9.75]
    rewrite_in_place(metrics(cell), metrics(cell).read_text().replace("9.75", "5.75"))
    assert value(tmp_path) == [9.75]  # the test's own clock: what it hides once a file is old, nobody can see


def test_whatever_changes_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [add(tmp_path, [record(float(seed))], seed=seed) for seed in range(4)]
    settle(tmp_path, monkeypatch)
    assert value(tmp_path) == [0.0, 1.0, 2.0, 3.0]
    cells[1].metrics("exemplar").write_text(json.dumps({"records": [record(10.0)]}))
    cells[2].set_state("failed", reason="out of luck", step=4)
    for path in cells[3].folder.iterdir():
        path.unlink()
    cells[3].folder.rmdir()
    add(tmp_path, [record(7.0)], seed=7)
    found = read_index(tmp_path, "folder")
    assert found.records["value"].tolist() == [0.0, 10.0, 1.0, 2.0, 7.0]
    assert found.texts("style") == ["none", "exemplar", "none", "none", "none"]
    assert found.texts("state") == ["done", "done", "failed", "done"]
    assert found.texts("reason")[2] == "out of luck"
    metrics(cells[0]).unlink()
    (cells[0].folder / "remarks.json").write_text('["odd"]')
    found = read_index(tmp_path, "folder")
    assert found.records["value"].tolist() == [10.0, 1.0, 2.0, 7.0]
    assert found.texts("remarks")[0] == "odd"


def test_a_change_while_the_cell_is_read_is_seen_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = add(tmp_path, [record(1.25)])
    settle(tmp_path, monkeypatch)
    real = index.read_cell

    def slow(folder: Path, names: tuple[str, ...]) -> dict[str, Any]:
        found = real(folder, names)
        rewrite_in_place(metrics(cell), metrics(cell).read_text().replace("1.25", "9.75"))
        return found

    with monkeypatch.context() as patched:
        patched.setattr(index, "read_cell", slow)
        assert value(tmp_path) == [1.25]
    assert value(tmp_path) == [9.75]


# --------------------------------------------------------------------------------------------------- in bad company


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other", "code"])
def test_a_damaged_index_costs_time_alone(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(20):
        add(tmp_path, [record(1.25 + seed)], seed=seed)
    settle(tmp_path, monkeypatch)
    expected = value(tmp_path)
    content = bytearray(stored(tmp_path).read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "flipped":  # in the values themselves: nothing but a checksum tells
        content[content.index(np.float64(1.25).tobytes())] ^= 1
    elif damage == "empty":
        content.clear()
    elif damage == "other":
        content[:] = b"not an index"
    else:
        monkeypatch.setattr(index, "_code", lambda: b"newer")
    stored(tmp_path).write_bytes(content)
    assert value(tmp_path) == expected
    assert value(tmp_path) == expected


def test_readers_and_writers_at_once(tmp_path: Path) -> None:
    for seed in range(30):
        add(tmp_path, [record(float(seed))], seed=seed)
    expected = sorted(float(seed) for seed in range(30))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(value, [tmp_path] * 12):
            assert sorted(x for x in found if x is not None) == expected
    assert [path.name for path in (tmp_path / "index").iterdir()] == ["folder.npz"]


def test_a_folder_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path, [record(1.0)])

    def refuse(*arguments: object, **more: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(index.tempfile, "TemporaryFile", refuse)
        assert value(tmp_path) == [1.0]
        assert not (tmp_path / "index").exists()
    full = BenchError("could not write", "free some space")
    monkeypatch.setattr(index, "write_atomically", lambda *arguments: (_ for _ in ()).throw(full))
    assert value(tmp_path) == [1.0]


def test_few_changes_are_not_worth_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "WORTH", 50)
    add(tmp_path, [record(1.0)])
    assert value(tmp_path) == [1.0]
    assert not (tmp_path / "index").exists()
    assert read_index(tmp_path / "nowhere", "folder").records["value"].size == 0
    assert not (tmp_path / "nowhere").exists()


# ------------------------------------------------------------------------------------------------- damaged cells


def test_what_cannot_be_read_is_named_and_the_rest_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [add(tmp_path, [record(float(seed))], seed=seed) for seed in range(8)]
    metrics(cells[0]).write_text("{")
    (cells[1].folder / "status.json").write_text("[]")
    (cells[2].folder / "spec.json").write_text('{"task": "folder"}')
    metrics(cells[3]).write_text(json.dumps({"schema": 3, "records": []}))
    metrics(cells[4]).write_text(json.dumps({"records": [record("many")]}))  # type: ignore[arg-type]
    metrics(cells[5]).write_text(json.dumps({"records": [{**record(1.0), "label": 3}]}))
    metrics(cells[6]).write_bytes(b"\xff\xfe\x00")
    settle(tmp_path, monkeypatch)
    for _ in range(2):  # the second time with an index
        found = read_index(tmp_path, "folder")
        assert found.records["value"].tolist() == [7.0]
        assert len(found.complaints) == 7
        assert all(str(cell.folder) in told for cell, told in zip(cells, sorted(found.complaints), strict=False))
    assert "metrics-none.json is damaged: Expecting property name" in found.complaints[0]
    assert any("is of schema 3, and this version reads up to 2" in told for told in found.complaints)
    assert len(list(read_cells(tmp_path, "folder"))) == 3  # only tables look into records
    assert capsys.readouterr().err.count("left out: ") == 5
    metrics(cells[0]).write_text(json.dumps({"records": [record(0.0)]}))
    assert value(tmp_path) == [0.0, 7.0]


def test_a_folder_without_a_spec_is_no_cell(tmp_path: Path) -> None:
    add(tmp_path, [record(1.0)])
    (tmp_path / "runs" / "folder" / "real-quick" / "odd").mkdir()
    (tmp_path / "runs" / "folder" / "note.txt").write_text("x")
    (tmp_path / "runs" / "folder" / "real-quick" / "note.txt").write_text("x")
    found = read_index(tmp_path, "folder")
    assert (found.records["value"].tolist(), found.complaints) == ([1.0], ())


# ------------------------------------------------------------------------------------------------------ the frame


def test_the_frame_is_what_the_files_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value of every file, read here without the columns; with and without an index, old schema included."""
    floors = {"floor": 4.0, "floor_deviation": 0.5, "floor_n": 10, "floor_reference": 12}
    add(
        tmp_path,
        [record(1.0, deviation=0.25, on_real=98.0, **floors), record(None, label="b", missing="needs: x")],
        seed=0,
    )
    add(tmp_path, [], state="failed", seed=1)
    add(tmp_path, [record(2.0)], method="cats_udt", weights="abc", stages={"moco": 2.5}, pretrained=("stand_in",))
    settle(tmp_path, monkeypatch)
    rows = []
    for path in sorted((tmp_path / "runs" / "folder").glob("*/*/spec.json")):
        spec = json.loads(path.read_text())
        own = path.parent / "metrics-none.json"
        for of in json.loads(own.read_text())["records"] if own.exists() else [{}]:
            rows.append({"identity": spec["identity"], "seed": spec["seed"], "method": spec["method"], **of})
    expected = pd.DataFrame(rows)
    for _ in range(2):
        long = frame(tmp_path, "folder")
        for column in expected:
            got, wanted = long[column].tolist(), expected[column].tolist()
            old = column.startswith("floor_") and column != "floor_deviation"  # a count is 0 where it is not known
            for a, b, metric in zip(got, wanted, long["metric"], strict=True):
                assert a == (0 if old and b != b and metric == metric else b) or (a != a and (b != b or b is None))
        assert long["budget"].tolist()[0] == GIVEN
        assert long["stage_seconds"].tolist() == [2.5, 0.0, 0.0, 0.0]
        assert long["stand_in"].tolist() == [True, False, False, False]
        assert long.loc[long["state"] == "failed", ["reason", "step"]].values.tolist() == [["loss is not finite", 7.0]]


def test_take_keeps_cells_and_records_together() -> None:
    words = ["", "a", "b", "c"]
    records = Records(
        words,
        {"folder": np.array([1, 2, 3], np.int32)},
        {"cell": np.array([0, 0, 1, 2, 2], np.int32), "value": np.array([0.0, 1.0, 2.0, 3.0, 4.0])},
    )
    found = records.take(np.array([2, 0]))
    assert found.texts("folder") == ["c", "a"]
    assert found.records["cell"].tolist() == [0, 0, 1, 1]
    assert found.records["value"].tolist() == [3.0, 4.0, 0.0, 1.0]
