"""results/ on disk: one folder per cell, atomic files, a lock, states; and all of it as one long table."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from bench.atomic import write_json
from bench.errors import BenchError
from bench.progress import say
from bench.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

    from bench.checkpoints import CheckpointFolder

T = TypeVar("T")
State = Literal["new", "running", "trained", "done", "failed"]
SCHEMA = 2


class Cell:
    """The folder of one cell: `runs/<task>/<data>-<preset>/<method>-seed<k>-<identity>/`."""

    def __init__(self, root: Path, spec: RunSpec) -> None:
        self.spec = spec
        name = f"{spec.slug.replace('.', '_')}-seed{spec.seed}-{spec.identity()}"
        self.folder = root / "runs" / spec.task / f"{spec.data_kind}-{spec.preset}" / name
        self.plan = self.folder / "plan.json"
        self.log = self.folder / "log.jsonl"
        self.weights = self.folder / "weights.safetensors"
        self.cost = self.folder / "cost.json"
        self.scoring = self.folder / "scoring.json"
        self.environment = self.folder / "environment.json"
        self.pretrained = self.folder / "pretrained.json"
        self.semantics = root / "semantics" / spec.task

    @property
    def checkpoints(self) -> CheckpointFolder:
        """The cell's checkpoints."""
        from bench.checkpoints import CheckpointFolder

        return CheckpointFolder(self.folder / "checkpoints")

    def metrics(self, style: str) -> Path:
        """Where the metrics made with styles from `style` (`noise`, `exemplar`, `none`) are."""
        return self.folder / f"metrics-{style}.json"

    def styles(self) -> list[str]:
        """Where styles came from in the metrics that are there."""
        return sorted(path.stem.removeprefix("metrics-") for path in self.folder.glob("metrics-*.json"))

    def translations(self, direction: str, style: str) -> Path:
        """The stored uint8 translations (S, K, 3, H, W) of a direction."""
        return self.folder / f"translations-{direction_file(direction)}-{style}.npy"

    def grid(self, direction: str, style: str) -> Path:
        """The sample grid of a direction."""
        return self.folder / f"samples-{direction_file(direction)}-{style}.png"

    # --------------------------------------------------------------------------------------------------- states

    def is_trained(self) -> bool:
        """Whether nothing is left to train, whatever happened afterwards: a crash while scoring costs no training."""
        return self.weights.exists() and self.cost.exists()

    def state(self) -> State:
        """`new` if nothing was ever begun."""
        return self.status()["state"]

    def status(self) -> dict[str, Any]:
        """`{"state": ..., "reason": ..., "step": ...}`; the last two for failed cells only."""
        path = self.folder / "status.json"
        return json.loads(path.read_text()) if path.exists() else {"state": "new"}

    def begin(self, supervision: str = "none") -> None:
        """Record the specification and that work is going on. `supervision`: the method's, see Translator."""
        known = {"schema": SCHEMA, "identity": self.spec.identity(), "supervision": supervision}
        write_json(self.folder / "spec.json", {**known, **asdict(self.spec)})
        self.set_state("running")

    def set_state(self, state: State, **details: Any) -> None:
        """Replace the recorded state."""
        write_json(self.folder / "status.json", {"state": state, **details})

    def note(self, remarks: Sequence[str]) -> list[str]:
        """Record a method's remarks (see Translator) for the tables; returns them with the domains' names in."""
        first, second = self.spec.domains
        named = [remark.replace("{0}", first).replace("{1}", second) for remark in remarks]
        write_json(self.folder / "remarks.json", named)
        return named

    def limit_directions(self, directions: Sequence[tuple[int, int]]) -> None:
        """Record that the cell's weights translate in these directions alone."""
        write_json(self.folder / "directions.json", [list(direction) for direction in directions])

    def directions(self, of_task: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
        """Those of the task's directions in which the cell's weights translate: all, unless recorded otherwise."""
        path = self.folder / "directions.json"
        limited = json.loads(path.read_text()) if path.exists() else of_task
        return [direction for direction in of_task if list(direction) in [list(known) for known in limited]]

    def recording(self, weights: Callable[[str], T]) -> Callable[[str], T]:
        """`weights`, with the name of each network that it hands out kept in `pretrained.json`."""

        def recorded(name: str) -> T:
            found = weights(name)
            known = json.loads(self.pretrained.read_text()) if self.pretrained.exists() else []
            write_json(self.pretrained, sorted({*known, name}))
            return found

        return recorded

    @contextmanager
    def scoring_timed(self) -> Iterator[None]:
        """Add the seconds inside to those in `scoring.json`, unless it raises."""
        before = time.monotonic()
        yield
        earlier = json.loads(self.scoring.read_text())["seconds"] if self.scoring.exists() else 0.0
        write_json(self.scoring, {"seconds": round(earlier + time.monotonic() - before, 2)})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the cell. The operating system frees the lock of a dead process.

        Raises BenchError, naming the holder, if another process has it.
        """
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        owner = self.folder / "owner.json"
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            holder = json.loads(owner.read_text()) if owner.exists() else {"pid": "?", "host": "?"}
            raise BenchError(
                f"{self.folder} is being worked on by process {holder['pid']} on {holder['host']}",
                "wait for it to end, or choose another --results folder",
            ) from error
        try:
            write_json(owner, {"pid": os.getpid(), "host": socket.gethostname()})
            yield
            owner.unlink(missing_ok=True)
        finally:
            lock.release()


def direction_file(direction: str) -> str:
    """`direction` as a part of a file's name."""
    return direction.replace("->", "2").replace("/", "_")


ALIGNMENT = "alignment.json"
"""In the folder of a semantic stage: how well its clusters align with the classes, by the map of the original."""
READ = ("spec.json", "status.json", "cost.json", "remarks.json", "pretrained.json")
"""What tables read of a cell, with `metrics-<style>.json`."""


def cell_files(folder: Path) -> tuple[str, ...]:
    """Names of the files in `folder` that tables read."""
    return tuple(
        name
        for name in sorted(os.listdir(folder))
        if name in READ or (name.startswith("metrics-") and name.endswith(".json"))
    )


def read_cell(folder: Path, names: Sequence[str] | None = None) -> dict[str, Any]:
    """A cell as `{spec, status, cost, remarks, pretrained, scores: {style: metrics}, folder}`.

    `pretrained` names the networks that it was given. `names`: `cell_files(folder)`, if they are known. BenchError,
    with the file's name, for one that is damaged or of a newer version; FileNotFoundError if one is not there.
    """
    names = cell_files(folder) if names is None else names
    read = {name: _read(folder / name) for name in names}
    for name, content in read.items():
        schema = content.get("schema", 1) if isinstance(content, dict) else 1
        if schema > SCHEMA:
            raise BenchError(
                f"{folder / name} is of schema {schema}, and this version reads up to {SCHEMA}",
                "update udt-bench, or choose another --results folder",
            )
    return {
        "folder": folder,
        "spec": read["spec.json"],
        "status": read.get("status.json", {}),
        "cost": read.get("cost.json", {}),
        "remarks": list(read.get("remarks.json", [])),
        "pretrained": list(read.get("pretrained.json", [])),
        "scores": {
            name.removeprefix("metrics-").removesuffix(".json"): content
            for name, content in read.items()
            if name.startswith("metrics-")
        },
    }


def _read(path: Path) -> Any:
    """JSON of the shape that the harness writes: a table of names, or for two files a list."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise damaged(path, str(error)) from error
    if not isinstance(content, list if path.name in ("remarks.json", "pretrained.json") else dict):
        raise damaged(path, f"it holds a {type(content).__name__}")
    return content


def damaged(path: Path, detail: str) -> BenchError:
    """The error for a file of a cell that is not what the harness writes."""
    return BenchError(f"{path} is damaged: {detail}", "restore it, or remove the cell's folder and run it again")


def read_cells(root: Path, task: str) -> Iterator[dict[str, Any]]:
    """Every cell of `task` as by `read_cell`, ordered by folder. One that cannot be read is named and left out."""
    for path in sorted((root / "runs" / task).glob("*/*/spec.json")):
        try:
            yield read_cell(path.parent)
        except BenchError as error:
            say(f"left out: {error.what}")


def frame(root: Path, task: str) -> pd.DataFrame:
    """One row per cell x style source x metric x direction x class; one without value for a cell without metrics."""
    from bench.index import read_records

    records = read_records(root, task)
    base = root / "runs" / task
    return records.frame().assign(folder=lambda rows: [str(base / name) for name in rows["folder"]])
