"""Several items at once, results in order (bench/data/prepare.py)."""

from __future__ import annotations

import hashlib
import os
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from folder_trees import folder_sources
from PIL import Image

from bench.core.environment import available_cores, omp_num_threads
from bench.core.errors import BenchError
from bench.data.prepare import map_in_order, prepare_data
from bench.data.sources.decode import decode_rgb
from bench.data.sources.folder import FolderDomain


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_stand_in_order_and_few_items_are_held(threads: int) -> None:
    taken, most = 0, 0

    def items() -> Iterator[int]:
        nonlocal taken
        while taken < 40:
            taken += 1
            yield taken

    def slow_first(item: int) -> int:
        time.sleep(0.01 if item % 4 == 0 else 0)
        return 10 * item

    results = []
    for result in map_in_order(slow_first, items(), threads):
        results.append(result)
        most = max(most, taken - len(results) + 1)
    assert results == [10 * k for k in range(1, 41)]
    assert most <= 2 * threads


def test_that_many_at_once() -> None:
    """Three meet at a barrier that fewer would wait at for ever."""
    barrier = threading.Barrier(3, timeout=30)
    assert sorted(map_in_order(lambda _: barrier.wait(), range(6), 3)) == [0, 0, 1, 1, 2, 2]


def test_an_error_stands_where_its_result_would() -> None:
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise BenchError("3 is damaged", "remove it")
        return item

    results: list[int] = []
    with pytest.raises(BenchError, match="3 is damaged"):
        results.extend(map_in_order(work, range(100), 2))
    assert results == [0, 1, 2]
    assert max(begun) < 3 + 2 * 2


def test_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert omp_num_threads() == 3
    for no_number in ("0", "", "two", "-1"):
        monkeypatch.setenv("OMP_NUM_THREADS", no_number)
        assert omp_num_threads() is None
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def photographs(root: Path, per_class: int = 12) -> tuple[FolderDomain, FolderDomain]:
    """Folders of JPEGs of several sizes."""
    rng = np.random.default_rng(0)
    for domain in ("one", "two"):
        for name in ("a", "b"):
            (root / domain / name).mkdir(parents=True)
            for k in range(per_class):
                pixels = rng.integers(0, 256, (40 + k, 90 - k, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / domain / name / f"{k}.jpg")
    return folder_sources(root)


def test_the_prepared_bytes_do_not_depend_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = photographs(tmp_path / "images")
    stored = []
    for threads in ("1", "2", "7"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        version = prepare_data(sources, 32, tmp_path / threads, "real", "").version
        folder = tmp_path / threads / "prepared" / version
        stored.append({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())})
    assert set(stored[0]) == {"domain0.npy", "domain0.npz", "domain1.npy", "domain1.npz", "prepared.json"}
    assert stored[0] == stored[1] == stored[2]


def test_the_first_damaged_image_is_named_whatever_ends_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    sources = photographs(tmp_path / "images")
    names = [item.name for item in sources[0].items()]
    for name in (names[5], names[6]):
        Path(name).write_bytes(Path(name).read_bytes()[:300])
    with pytest.raises(BenchError) as caught:
        prepare_data(photographs_again(tmp_path / "images"), 32, tmp_path / "cache", "real", "")
    # Other bytes, another order: the first in the source's new order.
    order = [item.name for item in photographs_again(tmp_path / "images")[0].items()]
    assert str(caught.value).startswith(min(names[5:7], key=order.index))
    assert not [path for path in (tmp_path / "cache" / "prepared").iterdir() if path.suffix != ".lock"]


def photographs_again(root: Path) -> tuple[FolderDomain, FolderDomain]:
    """The same folders, looked at anew."""
    return folder_sources(root)


def test_filters_of_warnings_are_as_they_were(tmp_path: Path) -> None:
    """Threads that decode overlap in every way; each of them ignores warnings while it does."""
    (file, *_) = [Path(item.name) for item in photographs(tmp_path, 4)[0].items()]
    data, before = file.read_bytes(), list(warnings.filters)
    for _ in map_in_order(lambda _: decode_rgb(data, "x"), range(400), 8):
        pass
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", UserWarning, stacklevel=1)
