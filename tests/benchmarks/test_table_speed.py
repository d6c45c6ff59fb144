"""How long `bench table` takes with many cells, as they lie on disk and by the index."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stored_cells import CLASSES, fid, own

from bench.spec.presets import get_preset
from bench.store.index import read_index

BY_CLASS = (
    ("accuracy", "accuracy-judge-v1"), ("fid", "fid-inception-v1"), ("kid", "kid-inception-v1"),
    ("fid", "fid-judge-v1"), ("kid", "kid-judge-v1"), ("lpips", "lpips-alexnet-v1"),
    ("judge_diversity", "diversity-judge-v1"), ("fid", "fid-pytorch-v1"),
)  # fmt: skip
MANIFOLD = ("precision", "recall", "density", "coverage")
POOLED = (
    *((metric, f"{metric}-{encoder}-v1") for encoder in ("inception", "judge") for metric in MANIFOLD),
    ("ndb", "ndb-pixels-v1"), ("jsd", "jsd-pixels-v1"), ("lpips_across", "lpips-across-v1"),
)  # fmt: skip
METHODS = ("cats_udt", "cyclegan", "drit", "egsc_it", "munit", "stargan_v2", "cats_udt:no_sem", "cats_udt:content")


def many(root: Path, count: int) -> None:
    """`count` cells of 59 records each: 8 methods of the paper, 5 budgets, 10 learning rates, seeds."""
    kinds = [(*of, label) for of in BY_CLASS for label in CLASSES] + [(*of, "all") for of in POOLED]
    more = {"deviation": 0.5, "floor": 2.0, "floor_deviation": 0.25, "floor_n": 100, "floor_reference": 100}
    records = [fid(1.0, label, protocol, metric=metric, **more) for metric, protocol, label in kinds]
    text = json.dumps({"schema": 2, "records": records}, indent=2, sort_keys=True)
    usual = get_preset("quick", "pictures").images
    for i in range(count):
        method, budget, learning_rate, seed = METHODS[i % 8], usual + i // 8 % 5, i // 40 % 10, i // 400
        found = own(method)
        config = dict(found.config) | ({"learning_rate": learning_rate} if learning_rate else {})
        folder = root / "runs" / "sketch2real" / "embedded-quick" / f"{method.replace(':', '-')}-seed{seed}-{i:012x}"
        folder.mkdir(parents=True)
        spec = {
            "schema": 2, "identity": f"{i:012x}", "supervision": "none", "task": "sketch2real",
            "domains": ["sketch", "real"], "data_kind": "embedded", "data_version": "v1", "image_size": 32,
            "preset": "quick", "method": method, "method_version": found.version, "config": config,
            "budget": {"kind": "images", "amount": budget}, "seed": seed, "weights": "",
        }  # fmt: skip
        cost = {"seconds": 60.0 + seed, "parameters": 10**6, "flops": 10**12, "stage_seconds": {}}
        for name, content in (("spec", spec), ("cost", cost), ("status", {"state": "done"}), ("remarks", [])):
            (folder / f"{name}.json").write_text(json.dumps(content, indent=2, sort_keys=True))
        values = iter(range(i, i + 1000))
        own_text = "".join(
            part + (f'"value": {10 + next(values) * 7919 % 1000 / 100}' if more else "")
            for part, more in zip(text.split('"value": 1.0'), [*[True] * 59, False], strict=True)
        )
        (folder / f"metrics-{found.style}.json").write_text(own_text)


@pytest.mark.benchmark
def test_ten_thousand_cells_in_two_seconds_and_in_linear_time(tmp_path: Path) -> None:
    """Wall time of the whole command, the best of three, with an index. What builds it is reported, and linear, too."""
    seconds = {}
    for count in (1_000, 10_000):
        root = tmp_path / str(count)
        many(root, count)
        time.sleep(2.5)  # younger files would not be believed
        start = time.monotonic()
        records = read_index(root, "sketch2real")
        seconds["index", count] = time.monotonic() - start
        assert (len(records), len(records.records["value"])) == (count, 59 * count)
        for words in (("--task", "sketch2real"), ("--paper", "2")):
            command = [sys.executable, "-m", "bench", "table", "--results", str(root), *words]
            subprocess.run(command, capture_output=True, check=True)
            taken = []
            for _ in range(3):
                start = time.monotonic()
                subprocess.run(command, capture_output=True, check=True)
                taken.append(time.monotonic() - start)
            seconds[words[0], count] = min(taken)
    print({f"{what} {count}": f"{value:.2f} s" for (what, count), value in seconds.items()})
    for what in ("--task", "--paper"):
        assert seconds[what, 10_000] < 2.0
        assert seconds[what, 10_000] < 10 * seconds[what, 1_000]
    assert seconds["index", 10_000] < 15 * seconds["index", 1_000]
