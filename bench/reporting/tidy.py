"""Everything measured as one table of pandas: a row per cell, source of styles, direction, class and protocol."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.core.errors import BenchError, error_remedy
from bench.core.files import read_json, write_atomically
from bench.core.progress import say
from bench.reporting.leaderboard.rows import Rows
from bench.store.columns import Records
from bench.store.index import read_index
from bench.store.query import Setting, SettingRecords, query_settings
from methods.registry import registered

if TYPE_CHECKING:
    import pandas as pd

TIDY_COLUMNS = (
    "task", "data", "version", "preset", "budget", "method", "variant", "seed", "direction", "class", "metric",
    "protocol", "value", "deviation", "n", "floor", "revision",
)  # fmt: skip
TIDY_SUFFIXES = (".csv", ".parquet")


def tidy_results(
    root: Path,
    task: str = "",
    wanted: Callable[[Setting], bool] = lambda setting: True,
    identities: Collection[str] | None = None,
) -> pd.DataFrame:
    """The results in the folder `root`, with TIDY_COLUMNS; `attrs["failed"]` has a line for each cell that failed.

    `task`: empty: every one. `identities`: of the cells that are taken; None: all. Rows without a value (NaN) were
    asked for and could not be measured; tables say why. Cells that cannot be read are named and left out. Raises
    BenchError if there is no such folder.
    """
    import pandas as pd

    if not (root / "runs").is_dir():
        raise BenchError(
            f"no results in {root}", "name the folder that --results named, or train: bench run --task TASK"
        )
    names = [task] if task else sorted(path.name for path in (root / "runs").iterdir() if path.is_dir())
    parts, failed = [pd.DataFrame(columns=TIDY_COLUMNS)], list[str]()
    for name in names:
        records = read_index(root, name)
        for complaint in records.complaints:
            say(f"left out: {complaint}")
        settings = query_settings(records, wanted)
        taken = _taken(records, settings, identities)
        parts.append(_of_task(root, records, settings, taken))
        failed += [f"{name}: {text}" for text in _failures(settings, taken)]
    whole = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    whole.attrs["failed"] = failed
    return whole


def _taken(records: Records, settings: list[SettingRecords], identities: Collection[str] | None) -> np.ndarray:
    """bool per cell: whether it is of one of `settings` and has one of `identities`."""
    taken = np.zeros(len(records), bool)
    taken[[cell for setting in settings for row in setting.rows for cell in row.cells]] = True
    if identities is not None:
        taken &= np.array([identity in identities for identity in records.texts("identity")], bool)
    return taken


def _failures(settings: list[SettingRecords], taken: np.ndarray) -> list[str]:
    """`cyclegan seed 0: loss is not finite (step 7)` of each cell that failed."""
    lines = []
    for setting in settings:
        names = Rows(setting).names
        failures = {cell: (row, setting.failure(cell)) for row in setting.rows for cell in row.cells if taken[cell]}
        lines += [f"{names[row]} seed {setting.seed(cell)}: {why}" for cell, (row, why) in failures.items() if why]
    return lines


def _of_task(root: Path, records: Records, settings: list[SettingRecords], taken: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    chosen = taken[records.records["cell"]]
    cell = records.records["cell"][chosen]
    words = np.array(records.words, dtype=object)

    def of_cell(column: str) -> np.ndarray:
        return words[records.cells[column]][cell]

    def of_record(column: str) -> np.ndarray:
        return words[records.records[column][chosen]]

    methods, variants, setting = _names(records, settings)
    frame = pd.DataFrame(
        {
            **{name: of_cell(column) for name, column in (("task", "task"), ("data", "data_kind"))},
            "version": of_cell("data_version"),
            **{name: of_cell(name) for name in ("preset", "budget")},
            "method": methods[cell],
            "variant": variants[cell],
            "seed": records.cells["seed"][cell].astype(np.int64),
            **{name: of_record(column) for name, column in (("direction", "direction"), ("class", "label"))},
            **{name: of_record(name) for name in ("metric", "protocol")},
            **{name: records.records[name][chosen] for name in ("value", "deviation")},
            "n": records.records["n"][chosen].astype(np.int64),
            "floor": records.records["floor"][chosen],
            "revision": _revisions(root, records, np.unique(cell))[cell],
        }
    )
    return _told_apart(frame, setting[cell], of_record("style"), of_record("encoder"))


def _names(records: Records, settings: list[SettingRecords]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per cell its method, its variant (with the settings that distinguish it, as in a leaderboard), its setting."""
    known = registered()
    methods, variants = (np.full(len(records), "", dtype=object) for _ in range(2))
    number = np.full(len(records), -1)
    for index, setting in enumerate(settings):
        changes = Rows(setting).changes
        for row in setting.rows:
            base, _, variant = row.method.partition(":")
            base, variant = (base, variant) if base in known else (row.method, "")  # package.module:Class has a colon
            cells = list(row.cells)
            methods[cells], number[cells] = base, index
            variants[cells] = ", ".join(text for text in (variant, changes[row]) if text)
    return methods, variants, number


def _told_apart(frame: pd.DataFrame, setting: np.ndarray, style: np.ndarray, encoder: np.ndarray) -> pd.DataFrame:
    """`frame`, in which rows say their source of styles, and the weights of their network, where there are several."""
    extra = frame.assign(setting=setting, style=style, encoder=encoder)
    styles = extra.groupby(["setting", "method", "variant"])["style"].transform("nunique")
    weights = (
        extra[extra["encoder"] != ""].groupby(["setting", "direction", "protocol"])["encoder"].transform("nunique")
    )
    several = weights[weights > 1].index
    frame.loc[several, "protocol"] += " [" + extra.loc[several, "encoder"] + "]"
    marked = styles[styles > 1].index
    comma = frame.loc[marked, "variant"].map(lambda text: ", " if text else "")
    frame.loc[marked, "variant"] += comma + "styles=" + extra.loc[marked, "style"]
    return frame


def _revisions(root: Path, records: Records, cells: np.ndarray) -> np.ndarray:
    """Per cell of `cells` the source revision of the code that began it; empty where that was no checkout."""
    texts = np.full(len(records), "", dtype=object)
    for cell in cells.tolist():
        path = root / "runs" / records.text("task", cell) / records.text("folder", cell) / "environment.json"
        try:
            source = read_json(path).get("source") or {}
            texts[cell] = source["revision"] + (" (changed)" if source["changed"] else "") if source else ""
        except (OSError, ValueError, AttributeError, KeyError, TypeError):
            continue  # as far as anyone knows; nothing that is measured hangs on it
    return texts


# ------------------------------------------------------------------------------------------------------------- files


def check_tidy_file(path: Path) -> None:
    """Raise BenchError if the name of `path` says none of TIDY_SUFFIXES, or a form that cannot be written here."""
    if path.suffix.lower() not in TIDY_SUFFIXES:
        raise BenchError(f"--tidy {path}: what form is that?", error_remedy(path.suffix, list(TIDY_SUFFIXES)))
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise BenchError(
                f"--tidy {path}: Parquet needs the package pyarrow", "pip install 'udt-bench[parquet]', or write a .csv"
            ) from error


def write_tidy(path: Path, frame: pd.DataFrame) -> None:
    """`frame` as CSV or Parquet, as the name of `path` says, atomically."""
    check_tidy_file(path)
    buffer = io.BytesIO()
    if path.suffix.lower() == ".parquet":
        frame.to_parquet(buffer, index=False)
    else:
        frame.to_csv(buffer, index=False, lineterminator="\n")
    write_atomically(path, lambda file: file.write(buffer.getvalue()))
