"""The tables of the page Results, from the records that lie beside each stored leaderboard."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

STORED = Path(__file__).resolve().parents[1] / "results" / "leaderboards"
COLUMNS = {
    "accuracy-judge-v1": ("accuracy %", 1),
    "accuracy-probe-v1": ("accuracy %", 1),
    "fid-inception-v1": ("FID", 1),
    "fid-judge-v1": ("FID on the judge's features", 2),
    "lpips-alexnet-v1": ("diversity (LPIPS)", 3),
    "alignment-v1": ("clusters right in the source %", 1),
    "alignment-target-v1": ("in the target %", 1),
}
"""Protocol -> its heading, and decimals."""

Values = Mapping[tuple[str, str], Sequence[float]]
"""(method, protocol) -> its value for each seed."""


def stored_leaderboard(name: str, *protocols: str) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """(direction, headings, rows) of each direction in `results/leaderboards/NAME/records.csv`.

    Values are means and sample standard deviations over seeds. Raises FileNotFoundError for an unknown name, KeyError
    for a protocol without a column.
    """
    by_direction: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    seeds: dict[str, set[str]] = defaultdict(set)
    with (STORED / name / "records.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            method = f"{row['method']} ({row['variant']})" if row["variant"] else row["method"]
            seeds[method].add(row["seed"])
            if row["protocol"] in protocols and row["class"] == "all" and row["value"]:
                by_direction[row["direction"]][method, row["protocol"]].append(float(row["value"]))
    for direction, values in by_direction.items():
        rows = [
            [f"`{method}`", str(len(seeds[method])), *(_text(values, method, protocol) for protocol in protocols)]
            for method in seeds
        ]
        yield direction, ["method", "seeds", *(COLUMNS[protocol][0] for protocol in protocols)], rows


def joined_leaderboard(name: str, *protocols: str) -> tuple[list[str], list[list[str]]]:
    """(headings, rows) of all directions of `stored_leaderboard` side by side."""
    headings, rows = ["method", "seeds"], dict[str, list[str]]()
    for direction, columns, part in stored_leaderboard(name, *protocols):
        headings += [f"{direction}: {column}" for column in columns[2:]]
        for method, seeds, *texts in part:
            rows.setdefault(method, [method, seeds]).extend(texts)
    return headings, list(rows.values())


def _text(values: Values, method: str, protocol: str) -> str:
    found, digits = values.get((method, protocol), ()), COLUMNS[protocol][1]
    if not found:
        return "—"
    if protocol == "lpips-alexnet-v1" and not any(found):
        return "none"  # one translation of each source
    spread = f" ± {stdev(found):.{digits}f}" if len(found) > 1 else ""
    return f"{mean(found):.{digits}f}{spread}"
