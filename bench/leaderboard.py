"""From the long table of results to a Markdown leaderboard. Nothing in it was typed by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.atomic import write_text
from bench.protocol import PROTOCOLS, only_one
from bench.results import GIVEN, frame
from bench.spec import flat_values
from metrics.intervals import NORMAL_95, seed_interval

if TYPE_CHECKING:
    import pandas as pd

SAME_SETTING = ["data_kind", "data_version", "image_size", "preset", "budget"]
"""Cells that differ in one of these never share a table."""
WEAK = " \\*"
"""Behind the name of a weakly supervised method."""
REAL_ROW = "(real test images)"
FLOOR_ROW = "(floor: real images against others)"
PER_CLASS = ("accuracy", "fid", "kid")
"""Metrics that have a table per class."""
FLOOR_NOTE = (
    "Floor: what n real images of the target domain get against the other real ones, mean of random splits, so what a "
    "perfect method would get; where there are not 2 n of them it was taken at the n beside it. Not to be subtracted."
)
DATA_WARNING = {
    "embedded": "drawn by code, not real images: not comparable with the paper or with any other data",
    "mnist-drawn": "real MNIST against drawn house numbers: not comparable with the paper",
    "real": "real images",
}
PRESET_WARNING = {
    "quick": "small networks, short training: not comparable with the paper",
    "paper": "published settings",
}


def leaderboards(root: Path, task: str) -> list[str]:
    """One Markdown text per setting (data, size, preset, budget) that `task` was run in; empty if it never was."""
    cells = frame(root, task)
    if cells.empty:
        return []
    return [_leaderboard(task, group) for _, group in cells.groupby(SAME_SETTING, sort=True)]


def write_leaderboards(root: Path, task: str) -> Path:
    """`root/leaderboards/<task>.md` with every leaderboard of `task`; returns its path."""
    path = root / "leaderboards" / f"{task}.md"
    write_text(path, "\n\n".join(leaderboards(root, task)) + "\n")
    return path


def _leaderboard(task: str, cells: pd.DataFrame) -> str:
    first = cells.iloc[0]
    cells = cells.assign(row=_row_names(cells))
    lines = [
        f"# {task}: {first.data_kind} data at {first.image_size} px, preset {first.preset}",
        "",
        f"- data: {first.data_kind} ({DATA_WARNING.get(first.data_kind, '')}), version {first.data_version}",
        _training(first),
        "- columns: metric protocol, direction of better; n = translated images (or sources) / real images",
    ]
    scored = cells[cells["metric"].notna()] if "metric" in cells else cells.iloc[:0]
    lines += [*_failed(cells), *_remarks(cells), ""]
    for direction in dict.fromkeys(scored["direction"]) if len(scored) else ():
        part = scored[scored["direction"] == direction]
        lines += [f"## {direction}", "", _overview(part, cells), "", *_further(part), *_intervals(part, cells)]
        for protocol in [name for name in PROTOCOLS if PROTOCOLS[name].metric in PER_CLASS]:
            lines += _per_class(part[part["protocol"] == protocol], protocol)
    lines.append(
        "Values are means over seeds ± the sample standard deviation between them; k/n: seeds finished / begun."
    )
    if "floor" in scored and scored["floor"].notna().any():
        lines.append(FLOOR_NOTE)
    if cells["stage_seconds"].any():
        lines.append("train s: the method's own training + the semantic stages before it, which variants share.")
    if (cells["supervision"] == "weak").any():
        lines.append(f"{WEAK.strip()} weakly supervised: uses a network trained on labels{_stand_in(cells)}.")
    return "\n".join(lines)


def _training(first: Any) -> str:
    """How what is in this table was trained."""
    if first.budget == GIVEN:
        return "- given checkpoints, scored and not trained here: what they were trained on and for how long is theirs"
    return f"- preset: {first.preset} ({PRESET_WARNING.get(first.preset, '')}), budget {first.budget} per domain"


def _row_names(cells: pd.DataFrame) -> list[str]:
    """Method names; where one method was run with several settings, those that differ stand behind it."""
    names = {}
    for method, group in cells.groupby("method"):
        configs = {text: flat_values(json.loads(text)) for text in group["config"].unique()}
        differing = {
            key
            for config in configs.values()
            for key in config
            if len({json.dumps(other.get(key)) for other in configs.values()}) > 1
        }
        for text, config in configs.items():
            shown = ", ".join(f"{key}={config[key]}" for key in sorted(differing) if key in config)
            weak = WEAK if (group.loc[group["config"] == text, "supervision"] == "weak").any() else ""
            names[method, text] = (f"{method} [{shown}]" if shown else str(method)) + weak
    return [names[row.method, row.config] for row in cells.itertuples()]


def _stand_in(cells: pd.DataFrame) -> str:
    """Which methods were given the stand-in and not a fetched network, and what it is."""
    names = [name.removesuffix(WEAK) for name in dict.fromkeys(cells.loc[cells["stand_in"], "row"])]
    return f"; for {', '.join(names)}: a small network trained with labels on other drawn classes" if names else ""


def _failed(cells: pd.DataFrame) -> list[str]:
    import pandas as pd

    failed = cells[cells["state"] == "failed"].drop_duplicates("identity")
    return [
        f"- **failed**: {row.row} seed {row.seed}: {row.reason}"
        + (f" (step {int(row.step)})" if pd.notna(row.step) else "")
        for row in failed.itertuples()
    ]


def _remarks(cells: pd.DataFrame) -> list[str]:
    """One line per cell of which its method had something to say."""
    noted = cells[cells["remarks"] != ""].drop_duplicates("identity")
    return [f"- **warning**: {row.row} seed {row.seed}: {row.remarks}" for row in noted.itertuples()]


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    from tabulate import tabulate

    align = ["left", *["right"] * (len(headers) - 1)]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True, colalign=align)


def _columns(part: pd.DataFrame, protocols: Sequence[str]) -> list[tuple[str, str]]:
    """(protocol, encoder) of each column: numbers of different protocols or different weights never share one.

    A protocol whose encoder is missing in every cell has one column; one that is missing in some joins the others'.
    """
    found = []
    for protocol in protocols:
        encoders = sorted(set(part.loc[part["protocol"] == protocol, "encoder"]))
        found += [(protocol, encoder) for encoder in encoders if encoder or encoders == [""]]
    return found


def _headers(pooled: pd.DataFrame, columns: Sequence[tuple[str, str]]) -> list[str]:
    """Name, unit, direction of better and n of each column."""
    seen, headers = [protocol for protocol, _ in columns], []
    for protocol, encoder in columns:
        arrow = "↑" if PROTOCOLS[protocol].higher_is_better else "↓"
        unit = f" {PROTOCOLS[protocol].unit}" if PROTOCOLS[protocol].unit else ""
        which = f" [{encoder}]" if seen.count(protocol) > 1 else ""
        values = pooled[(pooled["protocol"] == protocol) & pooled["value"].notna()]
        headers.append(f"{protocol}{which}{unit} {arrow}{_counts(values)}")
    return headers


def _cells(group: pd.DataFrame, pooled: pd.DataFrame, columns: Sequence[tuple[str, str]]) -> list[str]:
    """One method's value in each column."""
    seeds = group["identity"].nunique()
    return [
        one_value(
            group[(group["protocol"] == protocol) & group["encoder"].isin([encoder, ""])],
            seeds,
            show_n=not _equal_counts(pooled[pooled["protocol"] == protocol]),
        )
        for protocol, encoder in columns
    ]


def _overview(part: pd.DataFrame, cells: pd.DataFrame) -> str:
    pooled = part[part["label"] == "all"]
    columns = _columns(pooled, [name for name, protocol in PROTOCOLS.items() if protocol.headline])
    headers = ["method", "styles", "seeds k/n", *_headers(pooled, columns), "parameters", "train s", "TFLOP"]
    rows = []
    for (name, style), group in pooled.groupby(["row", "style"], sort=False):
        begun = cells[cells["row"] == name]["identity"].nunique()
        single = group.drop_duplicates("identity")
        stages = single["stage_seconds"].mean()
        seconds = f"{single['seconds'].mean():.0f}" + (f" + {stages:.0f}" if stages else "")
        flops = single["flops"].dropna()
        cost = [f"{int(single['parameters'].iloc[0]):,}", seconds]
        cost.append(f"{flops.mean() / 1e12:.1f}" if len(flops) else "?")
        rows.append([str(name), str(style), f"{len(single)}/{begun}", *_cells(group, pooled, columns), *cost])
    on_real = [_on_real(pooled[(pooled["protocol"] == name) & (pooled["encoder"] == code)]) for name, code in columns]
    rows.append([REAL_ROW, "", "", *on_real, "", "", ""])
    return _table(rows + _floor_row(pooled, columns, ["", ""], ["", "", ""]), headers)


def _further(part: pd.DataFrame) -> list[str]:
    """The table of what is no headline; nothing where none of it was measured."""
    pooled = part[part["label"] == "all"]
    columns = _columns(pooled, [name for name, protocol in PROTOCOLS.items() if not protocol.headline])
    if not columns:
        return []
    rows = [
        [str(name), str(style), *_cells(group, pooled, columns)]
        for (name, style), group in pooled.groupby(["row", "style"], sort=False)
    ]
    rows += _floor_row(pooled, columns, [""], [])
    return ["further measures", "", _table(rows, ["method", "styles", *_headers(pooled, columns)]), ""]


def _floor_row(
    pooled: pd.DataFrame, columns: Sequence[tuple[str, str]], before: Sequence[str], after: Sequence[str]
) -> list[list[str]]:
    """A row of floors, or none if no column has one."""
    floors = [_floor(pooled[(pooled["protocol"] == name) & (pooled["encoder"] == code)]) for name, code in columns]
    return [[FLOOR_ROW, *before, *floors, *after]] if any(floors) else []


def _floor(records: pd.DataFrame) -> str:
    """The floor, with its n where that is not the values' own; one for each n where these differ."""
    if "floor" not in records or records["floor"].isna().all():
        return ""
    known = records[records["floor"].notna()]
    known = known.drop_duplicates(["n", "floor_n", "floor_reference"])
    texts = []
    for row in known.itertuples():
        text = _number(row.floor) + (f" ± {row.floor_deviation:.2g}" if row.floor_deviation else "")
        own = row.floor_n == row.n and len(known) == 1
        texts.append(text if own else f"{text} (n = {int(row.floor_n)}/{int(row.floor_reference)})")
    return "; ".join(texts)


def _intervals(part: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    """95 % intervals over images, and over seeds where there are several; nothing where no record has them."""
    pooled = part[part["label"] == "all"]
    if "deviation" not in pooled or pooled["deviation"].isna().all():
        return []
    with_interval = pooled[pooled["deviation"].notna()]
    columns = _columns(with_interval, list(PROTOCOLS))
    headers = ["method", "styles", *_headers(with_interval, columns)]
    over_images, over_seeds = [], []
    for (name, style), group in pooled.groupby(["row", "style"], sort=False):
        begun = cells[cells["row"] == name]["identity"].nunique()
        own = [group[(group["protocol"] == protocol) & (group["encoder"] == code)] for protocol, code in columns]
        over_images.append([str(name), str(style), *[_over_images(records) for records in own]])
        over_seeds.append([str(name), str(style), *[_over_seeds(records, begun) for records in own]])
    lines = [f"95 % over images: value ± {NORMAL_95} half-sample standard deviations", "", _table(over_images, headers)]
    if any(text for row in over_seeds for text in row[2:]):
        lines += ["", "95 % over seeds: t-interval of the mean, the unit is a whole training", ""]
        lines.append(_table(over_seeds, headers))
    return [*lines, ""]


def _over_images(records: pd.DataFrame) -> str:
    """`low to high`. The seeds share their images, so their mean is as uncertain over images as each of them."""
    known = records[records["deviation"].notna()]
    if known.empty:
        return ""
    only_one(list(known["protocol"]), "an interval over images")
    reach = NORMAL_95 * known["deviation"].mean()
    return f"{_number(known['value'].mean() - reach)} to {_number(known['value'].mean() + reach)}"


def _over_seeds(records: pd.DataFrame, begun: int) -> str:
    values = list(records["value"].dropna())
    found = seed_interval([*values, *[None] * (begun - len(values))])
    return "" if found.low is None or found.high is None else f"{_number(found.low)} to {_number(found.high)}"


def _on_real(records: pd.DataFrame) -> str:
    """What the same encoder says of the target domain's own test images: the ceiling of a translation accuracy."""
    values = records["on_real"].dropna().unique() if "on_real" in records else []
    return f"{values[0]:.2f}" if len(values) == 1 else ""


def _per_class(part: pd.DataFrame, protocol: str) -> list[str]:
    """A heading and a table with one column per class; nothing where the protocol has no value."""
    if part.empty or part["value"].isna().all():
        return []
    classes = list(dict.fromkeys(part["label"]))
    lines = []
    for encoder in sorted(set(part.loc[part["value"].notna(), "encoder"])):
        own = part[part["encoder"] == encoder]
        headers = ["method", "styles"] + [f"{label}{_counts(own[own['label'] == label])}" for label in classes]
        rows = [
            [str(name), str(style)]
            + [
                one_value(
                    group[group["label"] == label],
                    group["identity"].nunique(),
                    show_n=not _equal_counts(own[own["label"] == label]),
                )
                for label in classes
            ]
            for (name, style), group in own.groupby(["row", "style"], sort=False)
        ]
        on_real = [_on_real(own[own["label"] == label]) for label in classes]
        if any(on_real):
            rows.append([REAL_ROW, "", *on_real])
        floors = [_floor(own[own["label"] == label]) for label in classes]
        if any(floors):
            rows.append([FLOOR_ROW, "", *floors])
        unit = f", {PROTOCOLS[protocol].unit}" if PROTOCOLS[protocol].unit else ""
        lines += [f"{protocol} per class{unit} (encoder {encoder})", "", _table(rows, headers), ""]
    return lines


def _equal_counts(values: pd.DataFrame) -> bool:
    measured = values[values["value"].notna()]
    return len(measured[["n", "n_reference"]].drop_duplicates()) <= 1


def _counts(values: pd.DataFrame) -> str:
    """` (n = 250/950)` for a column's header; nothing where rows differ, for then each value bears its own."""
    measured = values[values["value"].notna()]
    if measured.empty or not _equal_counts(measured):
        return ""
    n, real = int(measured["n"].iloc[0]), int(measured["n_reference"].iloc[0])
    return f" (n = {n}/{real})" if real else f" (n = {n})"


def one_value(records: pd.DataFrame, cells: int, show_n: bool) -> str:
    """Mean ± standard deviation over seeds, with k/n if only k of `cells` have a value; or why there is none.

    ValueError for records of several protocols, or of several encoders: they have no mean.
    """
    measured = records[records["value"].notna()]
    only_one(list(measured["protocol"]), "a table's cell")
    only_one(list(measured["encoder"]), "a table's cell")
    if measured.empty:
        reasons = [reason for reason in dict.fromkeys(records["missing"]) if reason] if len(records) else []
        return "; ".join(reasons) or "-"
    values = measured["value"]
    text = _number(values.mean())
    if len(values) > 1:
        text += f" ± {values.std(ddof=1):.2g}"
    if len(values) < cells:
        text += f" [{len(values)}/{cells}]"
    return text + (_counts(measured) if show_n else "")


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
