"""What a results folder holds as one table of pandas: an independent way to look at the records in tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.store.columns import CELL_TEXTS, RECORD_TEXTS, Records
from bench.store.index import read_index


def frame(root: Path, task: str) -> pd.DataFrame:
    """One row per cell x style source x metric x direction x class; one without value for a cell without metrics."""
    base = root / "runs" / task
    return as_frame(read_index(root, task)).assign(folder=lambda rows: [str(base / name) for name in rows["folder"]])


def as_frame(stored: Records) -> pd.DataFrame:
    """All columns, texts as texts; a cell without records is one row without them."""

    def decoded(name: str, values: np.ndarray) -> Any:
        texts = name in CELL_TEXTS or name in RECORD_TEXTS
        return np.array(stored.words, dtype=object)[values] if texts else values

    cells = pd.DataFrame({name: decoded(name, values) for name, values in stored.cells.items()})
    cells = cells.astype({"image_size": int, "seed": int, "stand_in": bool})
    records = pd.DataFrame({name: decoded(name, values) for name, values in stored.records.items()})
    return cells.join(records.set_index("cell"), how="left").reset_index(drop=True)
