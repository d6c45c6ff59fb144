"""A fixed table with everything in it, fixed measurements, and golden files."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bench.reporting.paper.shapes import JUDGE
from bench.reporting.paper.values import Measured
from bench.reporting.tables.table import Column, Footnote, RowGroup, Table, TableCell

GOLDEN = Path(__file__).parents[1] / "golden"
WRITE = "UDT_BENCH_WRITE_GOLDEN"
"""With this variable set to 1 the tests write the golden files anew instead of comparing: look at `git diff` then."""


def check_golden(name: str, text: str) -> None:
    """`text` equals tests/golden/`name`, byte for byte; long decimals of a CSV or page to 1e-9 relative.

    The last digit of a sum depends on the processor, the eleventh of a quantile of Student's t on SciPy's version.
    """
    path = GOLDEN / name
    if os.environ.get(WRITE) == "1":
        path.write_bytes(text.encode())
    found, wanted = text, path.read_bytes().decode()
    if name.endswith((".csv", ".html")):
        found, wanted = _rounded(found), _rounded(wanted)
    assert found == wanted, f"{name} differs; if that is meant: {WRITE}=1 pytest tests/reporting"


LEADERBOARD = Table(
    title="folder: real data at 32 px, ink->paint & back",
    columns=(
        Column("method", align="left"),
        Column("accuracy-judge-v1", unit="%", better="higher"),
        Column("fid-judge-v1", better="lower"),
        Column("lpips-alexnet-v1", better="higher"),
    ),
    groups=(
        RowGroup((
            (
                TableCell("cats_udt:no_sem"),
                TableCell(
                    value=81.25, deviation=1.41421, seeds=(2, 3), images=(250, 0), bold=True, role="ours", marks=("a",),
                ),
                TableCell(value=11.0, deviation=123.4, seeds=(3, 3), images=(10, 20), role="ours"),
                TableCell(value=0.06449, low=0.061, high=0.0679, seeds=(1, 1), images=(250, 0), bold=True, role="ours"),
            ),
            (
                TableCell("egsc_it [k=1, note=50 % <b>|x|</b>]", marks=("*",)),
                TableCell(value=9.996, deviation=0.0, images=(250, 0), role="ours"),
                TableCell(value=-0.0001234, images=(10, 30), role="ours"),
                TableCell(missing="needs: bench fetch alexnet", role="ours"),
            ),
        )),
        RowGroup((
            (
                TableCell("(real test images)"),
                TableCell(value=99.5, decimals=1, role="reference"),
                TableCell(role="reference"),
                TableCell(),
            ),
        )),
    ),
    notes=("data: real, version v1; 100 % of it", "preset: quick"),
    footnotes=(
        Footnote("weakly supervised: uses a network trained on labels", "*"),
        Footnote("failed: loss is not finite (step 7)", "a"),
        Footnote("- again", command="python -m bench run --task folder --set a_b='1'"),
    ),
)  # fmt: skip


CENTRES = {
    "accuracy-judge-v1": 60.0, "fid-pytorch-paper-v1": 100.0, "fid-pytorch-paper-test-v1": 100.0,
    "fid-pytorch-v1": 101.0, "fid-pytorch-test-v1": 101.0, "fid-inception-v1": 103.0, "fid-judge-v1": 5.0,
    "lpips-across-v1": 0.7, "lpips-alexnet-v1": 0.06, "ndb-pixels-v1": 14.0, "jsd-pixels-v1": 0.04,
    "alignment-accuracy": 90.0,
}  # fmt: skip
COUNTS = {
    "ndb-pixels-v1": (375, 475),
    "jsd-pixels-v1": (375, 475),
    "lpips-alexnet-v1": (75, 0),
    "lpips-across-v1": (75, 0),
}


class Measurements:
    """A lookup of made-up values that follow from the key alone: three seeds of each method; DRIT has a failed one."""

    def __init__(
        self, setting: str = "paper preset, real data", comparable: bool = True, without: tuple[str, ...] = ()
    ) -> None:
        self.setting, self.comparable = setting, comparable
        self.without = without
        """Methods and protocols that were not measured."""
        self.asked: list[tuple[str, str, str, str, str]] = []

    def __call__(self, method: str, task: str, direction: str, label: str, protocol: str) -> Measured | None:
        self.asked.append((method, task, direction, label, protocol))
        if {method, protocol} & set(self.without):
            return None
        key = sum(i * ord(char) for i, char in enumerate(method + direction + label, start=1))
        centre = CENTRES[protocol] * (1 + (key % 89) / 200)
        values = tuple(centre * (1 + shift * (1 + key % 5) / 1000) for shift in (-1, 0, 2))
        n, real = COUNTS.get(protocol, (75, 95) if label != "all" else (375, 475))
        common = {
            "protocol": protocol, "n": n, "n_reference": real, "setting": self.setting, "comparable": self.comparable,
            "floor": 40.0 if protocol.startswith("fid") else None,
        }  # fmt: skip
        if method == "cyclegan" and protocol == "lpips-alexnet-v1":
            return Measured((), missing=("needs: bench fetch alexnet",) * 3, **common)
        if method == "drit":
            return Measured(values[:2], failed=("loss is not finite (step 7)",), **common)
        if method == "munit":
            return Measured((), failed=("loss is not finite (step 9)",) * 3, **common)
        if method == JUDGE:
            return Measured(values[:1], **{**common, "n": 10_000, "n_reference": 0})
        return Measured(values, **common)


def _rounded(text: str) -> str:
    """`text` with its long decimals cut to nine significant digits."""
    return re.sub(r"-?\d+\.\d{9,}(e-?\d+)?", lambda number: f"{float(number[0]):.9g}", text)
