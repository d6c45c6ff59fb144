"""What grows with the number of images, and how: a step not at all, evaluation and the preparation of data linearly.

(Tables and cells: test_table_speed.py.)
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from board_cells import add
from eval_toys import PairEncoder, PixelEncoder, make_data, make_encoders
from made_up_training import CLUSTERS, make
from paired import take_turns
from toys import Toy, ToyConfig

from bench.data.load import load_data
from bench.evaluation.evaluate import evaluate_cell
from bench.spec.tasks import get_task
from bench.training.step_cost import made_up_domains
from methods.base import Domains, run_step
from methods.category_tables import CategoryTables
from methods.registry import BUILT_IN

FEW, MANY = 1_000, 100_000


@pytest.fixture(scope="module")
def stores() -> dict[int, Domains]:
    """Random images of 32 px; the few are a copy of their own."""
    (images, _) = made_up_domains(32, MANY).images
    return {FEW: Domains((images[:FEW].clone(),) * 2), MANY: Domains((images, images))}


@pytest.mark.benchmark
@pytest.mark.parametrize("name", list(BUILT_IN))
def test_a_step_is_as_fast_with_100_times_the_images(name: str, stores: dict[int, Domains]) -> None:
    """With small networks, so that what a draw costs would show. A tenth is for caches: rows lie farther apart."""
    small = {key: value for key, value in tiny.METHODS[name].items() if "." not in key}
    training = make(name, "paper", "pictures", 32, **small)
    steps = {}
    for count, domains in stores.items():
        tables = CategoryTables([torch.arange(count) % CLUSTERS] * 2)

        def step(domains: Domains = domains, tables: CategoryTables = tables) -> None:
            training.method.tables = tables
            run_step(training.method, type(training)(training.method, domains).batch())

        steps[str(count)] = step
    timings = take_turns(steps, rounds=15, calls=3)
    ratio = timings.ratio(str(MANY), str(FEW))
    print(f"{name}: {1e3 * timings.median(str(FEW)):.2f} ms a step; with 100 times the images {ratio:.3f} times that")
    assert ratio < 1.1


@pytest.mark.benchmark
def test_evaluation_is_linear_in_images(tmp_path: Path) -> None:
    """800 test images against 200: four times the work of translating and encoding.

    KID, precision and recall compare all pairs. At 2,000 images they cost a twelfth of an Inception pass
    (test_metric_cost.py), so a third more than linear is where something else would be wrong.
    """
    seconds = {}
    torch.manual_seed(0)
    method = Toy(ToyConfig(), 32).eval()
    for count in (20, 200, 800):  # the first is a warm-up
        root = tmp_path / str(count)
        root.mkdir()
        encoders = make_encoders(root / "features", inception=PixelEncoder(), alexnet=PairEncoder())
        data, cell = make_data(count // 2, 32), add(root, [])
        start = time.process_time()
        evaluate_cell(method, data, [(0, 1)], cell, encoders, "noise")
        seconds[count] = time.process_time() - start
    ratio = seconds[800] / seconds[200]
    print(f"200 images {seconds[200]:.2f} s, 800 images {seconds[800]:.2f} s: {ratio:.2f} times")
    assert ratio < 4 * 4 / 3


@pytest.mark.benchmark
def test_preparing_data_is_linear_in_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of PNGs, decoded and resized to 32 px; once prepared, it is opened at once."""
    seconds, again = {}, {}
    for per_class in (5, 50, 200):  # the first is a warm-up
        root = tiny.make_folder(tmp_path / str(per_class), per_class=per_class, size=48)
        monkeypatch.setenv("UDT_BENCH_CACHE", str(tmp_path / f"cache{per_class}"))
        for into in (seconds, again):
            start = time.process_time()
            data = load_data(get_task("folder"), str(root), 32)
            into[per_class] = time.process_time() - start
        assert sum(len(split.images) for split in data.splits.values()) == 4 * per_class
        assert isinstance(data.splits[0, "train"].images, np.ndarray)
    print(f"200 images {seconds[50]:.2f} s, 800 images {seconds[200]:.2f} s ({800 / seconds[200]:.0f} images/s); "
          f"opened again in {again[200]:.3f} s")  # fmt: skip
    assert seconds[200] < 5 * seconds[50]
    assert again[200] < seconds[200] / 2
