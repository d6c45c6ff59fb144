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
from bench.presets import STAND_IN
from bench.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

    from bench.checkpoints import CheckpointFolder

T = TypeVar("T")
State = Literal["new", "running", "trained", "done", "failed"]
SCHEMA = 2
GIVEN = "given weights"
"""Budget of a checkpoint that was scored and not trained."""


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


def read_cells(root: Path, task: str) -> Iterator[dict[str, Any]]:
    """Every cell of `task` as `{spec, status, cost, remarks, pretrained, scores: {style: metrics}, folder}`, ordered by
    folder; `pretrained` names the networks that it was given.
    """
    for path in sorted((root / "runs" / task).glob("*/*/spec.json")):
        folder = path.parent
        yield {
            "folder": folder,
            "spec": json.loads(path.read_text()),
            "status": _read(folder / "status.json"),
            "cost": _read(folder / "cost.json"),
            "remarks": list(_read(folder / "remarks.json")),
            "pretrained": list(_read(folder / "pretrained.json")),
            "scores": {
                metrics.stem.removeprefix("metrics-"): json.loads(metrics.read_text())
                for metrics in sorted(folder.glob("metrics-*.json"))
            },
        }


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else {}


def frame(root: Path, task: str) -> pd.DataFrame:
    """One row per cell x style source x metric x direction x class; one without value for a cell without metrics."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for cell in read_cells(root, task):
        spec, status, cost = cell["spec"], cell["status"], cell["cost"]
        common = {
            **{
                key: spec[key]
                for key in ("task", "data_kind", "data_version", "image_size", "preset", "method", "seed")
            },
            "budget": GIVEN if spec.get("weights") else f"{spec['budget']['kind']}={spec['budget']['amount']}",
            # With version and weights: results of two versions of a method are two rows, never one mean.
            "config": json.dumps(
                {**spec["config"], "method_version": spec["method_version"], "weights": spec.get("weights", "")},
                sort_keys=True,
            ),
            "identity": spec["identity"],
            "folder": str(cell["folder"]),
            "supervision": spec.get("supervision", "none"),
            "stand_in": STAND_IN in cell["pretrained"],
            "state": status.get("state", "new"),
            "reason": status.get("reason", ""),
            "remarks": "; ".join(cell["remarks"]),
            "step": status.get("step"),
            "seconds": cost.get("seconds"),
            "stage_seconds": sum(cost.get("stage_seconds", {}).values()),
            "parameters": cost.get("parameters"),
            "flops": cost.get("flops"),
            "peak_memory_bytes": cost.get("peak_memory_bytes"),
        }
        records = [{"style": style, **record} for style, score in cell["scores"].items() for record in score["records"]]
        rows.extend({**common, **record} for record in records or [{}])
    return pd.DataFrame(rows)
