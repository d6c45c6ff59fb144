"""What a results folder holds of each training: what a baseline keeps of one, and what is compared with it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.spec.protocols import ALL
from bench.store.columns import GIVEN
from bench.store.index import read_records
from bench.store.query import Setting

if TYPE_CHECKING:
    import pandas as pd

FAILED = "failed"


class Measure(NamedTuple):
    """What a value is of. Values of different ones are never compared."""

    direction: str
    """For example `sketch->real`."""
    protocol: str
    """Name and version."""


class Made(NamedTuple):
    """By what, and of how many images."""

    encoder: str
    """Identity of the weights that read the images; a judge's, or a network's."""
    n: int
    """Translated images."""
    n_reference: int
    """Real images; 0 where there are none."""


@dataclass(frozen=True)
class Training:
    """One cell."""

    setting: Setting
    """Data, size, preset, training length."""
    method: str
    """Name as given, `name[:variant]` or `package.module:Class`."""
    config: Mapping[str, Any]
    """Every setting of the method, as JSON values."""
    version: int
    """The method's."""
    seed: int
    identity: str
    """Hash of the resolved specification."""
    state: str
    """`done`, `failed`, or one of those that are not finished."""
    reason: str
    """Why it failed; empty otherwise."""
    style: str
    """Where its styles came from."""
    values: Mapping[Measure, float]
    """Over all classes."""
    made: Mapping[Measure, Made]
    """Of each of `values`."""
    missing: Mapping[Measure, str]
    """Why there is no value of a measure that was asked for."""
    folder: str
    """Below `runs/<task>/`."""

    def failure(self) -> str:
        """Why it failed; empty if it did not."""
        return (self.reason or "no reason was stored") if self.state == FAILED else ""


def read_trainings(root: Path, task: str, styles: Callable[[str], str] = lambda method: "") -> list[Training]:
    """Every training of `task` in the results folder `root`, in the order of folders; no given checkpoints.

    `styles`: method -> where its styles come from by default; of a method scored with several, those values are taken
    (empty: those of the first).
    """
    records = read_records(root, task)
    frame = records.frame()
    frame = frame[frame.budget != GIVEN]
    return [_training(rows, styles) for _, rows in frame.groupby("folder", sort=True)]


def _training(rows: pd.DataFrame, styles: Callable[[str], str]) -> Training:
    first = rows.iloc[0]
    config = json.loads(first.config)
    version = config.pop("method_version")
    del config["weights"]
    found = sorted(style for style in set(rows["style"]) if isinstance(style, str))
    wanted = styles(first.method)
    style = wanted if wanted in found else next(iter(found), "")
    values, made, missing = {}, {}, {}
    for row in rows[(rows["style"] == style) & (rows["label"] == ALL)].itertuples():
        measure = Measure(str(row.direction), str(row.protocol))
        if math.isnan(row.value):
            missing[measure] = str(row.missing)
        else:
            values[measure] = float(row.value)
            made[measure] = Made(str(row.encoder), int(row.n), int(row.n_reference))
    return Training(
        setting=Setting(first.data_kind, first.data_version, int(first.image_size), first.preset, first.budget),
        method=first.method, config=config, version=int(version), seed=int(first.seed), identity=first.identity,
        state=first.state, reason=first.reason, style=style, values=values, made=made, missing=missing,
        folder=first.folder,
    )  # fmt: skip


def classes_of(root: Path, task: str, setting: Setting) -> int:
    """How many classes the trainings of a setting were scored on."""
    frame = read_records(root, task).frame()
    chosen = (frame.data_kind == setting.data_kind) & (frame.data_version == setting.data_version)
    labels = frame[chosen]["label"].dropna()
    return len(set(labels) - {ALL})


def common_seeds(trainings: Sequence[Training]) -> list[int]:
    """Seeds of which every method among `trainings` has a finished one, or a failed one."""
    ended = Counter(of.seed for of in trainings if of.state in ("done", FAILED))
    methods = len({of.method for of in trainings})
    return sorted(seed for seed, count in ended.items() if count == methods)
