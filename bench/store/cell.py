"""results/ on disk: one folder per cell, atomic files, a lock, states; and all of it as one long table."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from bench.core.errors import BenchError
from bench.core.files import file_lock, read_json, remove_leftover_files, write_json
from bench.core.progress import say
from bench.spec.run_spec import RunSpec
from bench.store.definitions import know_definitions

if TYPE_CHECKING:
    from bench.store.checkpoints import CheckpointFolder

T = TypeVar("T")
State = Literal["new", "running", "trained", "done", "failed"]
INTERRUPTED = "interrupted"
"""How a cell reads that is unfinished and whose process is gone (`cell_state`); never recorded."""
UNFINISHED = ("running", "trained")
"""States in which a process works on the cell, or was ended in its work."""
SCHEMA = 2
CLOCKS = 5.0
"""Seconds by which the clock of a file system and that of the machine may differ."""


class Cell:
    """The folder of one cell: `runs/<task>/<data>-<preset>/<method>-seed<k>-<identity>/`."""

    def __init__(self, root: Path, spec: RunSpec) -> None:
        self.root, self.spec = root, spec
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
        from bench.store.checkpoints import CheckpointFolder

        return CheckpointFolder(self.folder / "checkpoints")

    def metrics(self, style: str) -> Path:
        """Where the metrics made with styles from `style` (`noise`, `exemplar`, `none`) are."""
        return self.folder / f"metrics-{style}.json"

    def styles(self) -> list[str]:
        """Where styles came from in the metrics that are there."""
        return sorted(path.stem.removeprefix("metrics-") for path in self.folder.glob("metrics-*.json"))

    def translations(self, direction: str, style: str) -> Path:
        """The stored uint8 translations (S, K, 3, H, W) of a direction."""
        return self.folder / f"translations-{cell_direction_file(direction)}-{style}.npy"

    def grid(self, direction: str, style: str) -> Path:
        """The sample grid of a direction."""
        return self.folder / f"samples-{cell_direction_file(direction)}-{style}.png"

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
        status: dict[str, Any] = _read(path) if path.exists() else {"state": "new"}
        if not isinstance(status.get("state"), str):
            raise damaged_cell(path, "no state in it")
        return status

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

    def call(self, name: str) -> None:
        """Record what tables call the cell, where that is not its method's name."""
        write_json(self.folder / "name.json", {"name": name})

    def limit_directions(self, directions: Sequence[tuple[int, int]]) -> None:
        """Record that the cell's weights translate in these directions alone."""
        write_json(self.folder / "directions.json", [list(direction) for direction in directions])

    def directions(self, of_task: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
        """The task's directions in which the cell's weights translate: all, unless recorded otherwise."""
        path = self.folder / "directions.json"
        limited = _read(path) if path.exists() else [list(direction) for direction in of_task]
        return [direction for direction in of_task if list(direction) in limited]

    def recording(self, weights: Callable[[str], T]) -> Callable[[str], T]:
        """`weights`, with the name of each network that it hands out kept in `pretrained.json`."""

        def recorded(name: str) -> T:
            network = weights(name)
            known = _read(self.pretrained) if self.pretrained.exists() else []
            write_json(self.pretrained, sorted({*map(str, known), name}))
            return network

        return recorded

    @contextmanager
    def scoring_timed(self) -> Iterator[None]:
        """Add the seconds inside to those in `scoring.json`, unless it raises."""
        before = time.monotonic()
        yield
        earlier = _read(self.scoring).get("seconds") if self.scoring.exists() else 0.0
        if not isinstance(earlier, int | float):
            raise damaged_cell(self.scoring, f"its seconds are {earlier!r}")
        write_json(self.scoring, {"seconds": round(earlier + time.monotonic() - before, 2)})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the cell. The operating system frees the lock of a dead process.

        Raises BenchError, naming the holder, if another process has it.
        """
        from filelock import Timeout

        owner = self.folder / "owner.json"
        with ExitStack() as held:
            try:
                held.enter_context(file_lock(self.folder / ".lock", timeout=0))
            except Timeout as error:
                raise BenchError(
                    f"{self.folder} is being worked on by {_holder(owner)}",
                    "wait for it to end and run the same command again, or choose another --results folder",
                ) from error
            remove_leftover_files(self.folder)
            write_json(owner, {"pid": os.getpid(), "host": socket.gethostname()})
            yield
            owner.unlink(missing_ok=True)


def _holder(owner: Path) -> str:
    """Who holds a cell, as far as its file says: it may be gone, because that process ends just now."""
    try:
        known = read_json(owner)
        return f"process {known['pid']} on {known['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def cell_state(folder: Path | str, recorded: str) -> str:
    """The `recorded` state of the cell in `folder`, as it is: `interrupted` where its process is gone.

    Of a process on another machine nothing is known: its cell reads as recorded. So does one whose machine cannot say.
    """
    if recorded not in UNFINISHED:
        return recorded
    owner = Path(folder) / "owner.json"
    try:
        known, written = read_json(owner), owner.stat().st_mtime
        there = known["host"] != socket.gethostname() or _is_alive(int(known["pid"]), written)
    except FileNotFoundError:
        there = recorded != "running"  # it is removed where work ends well, and then nothing is running
    except (OSError, ValueError, KeyError, TypeError):
        there = True
    return recorded if there else INTERRUPTED


def _is_alive(pid: int, since: float) -> bool:
    """Whether the process `pid` lives, and began before `since` (seconds since 1970): numbers are given anew."""
    if os.name == "nt":  # where os.kill would end it
        return True
    try:
        with suppress(PermissionError):  # somebody else's process, which lives
            os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    except (OSError, ValueError, IndexError, StopIteration):
        return True
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK") < since + CLOCKS


def cell_direction_file(direction: str) -> str:
    """`direction` as a part of a file's name."""
    return direction.replace("->", "2").replace("/", "_")


ALIGNMENT = "alignment.json"
"""File in the folder of a semantic stage: how well its clusters align with the classes, by the map of the original."""
READ = ("spec.json", "status.json", "cost.json", "remarks.json", "pretrained.json", "name.json")
"""What tables read of a cell, with `metrics-<style>.json`."""
LISTS = ("remarks.json", "pretrained.json", "directions.json")
"""Files that hold a list; the others hold a table of names."""


def cell_files(folder: Path) -> tuple[str, ...]:
    """Names of the files in `folder` that tables read."""
    return tuple(
        name
        for name in sorted(os.listdir(folder))
        if name in READ or (name.startswith("metrics-") and name.endswith(".json"))
    )


def read_cell(folder: Path, names: Sequence[str] | None = None) -> dict[str, Any]:
    """A cell as `{spec, status, cost, remarks, pretrained, name, scores: {style: metrics}, folder}`.

    `pretrained` names the networks that it was given. `names`: `cell_files(folder)`, if they are known. BenchError,
    with the file's name, for one that is damaged or of a newer version; FileNotFoundError if one is not there.
    """
    names = cell_files(folder) if names is None else names
    read = {name: _read(folder / name) for name in names}
    for name, content in read.items():
        schema = content.get("schema", 1) if isinstance(content, dict) else 1
        if not isinstance(schema, int):
            raise damaged_cell(folder / name, f"its schema is {schema!r:.40}")
        if schema > SCHEMA:
            raise BenchError(
                f"{folder / name} is of schema {schema}, and this version reads up to {SCHEMA}",
                "update udt-bench, or choose another --results folder",
            )
    _check_spec(folder / "spec.json", read["spec.json"])
    return {
        "folder": folder,
        "spec": read["spec.json"],
        "status": read.get("status.json", {}),
        "cost": read.get("cost.json", {}),
        "remarks": list(read.get("remarks.json", [])),
        "pretrained": list(read.get("pretrained.json", [])),
        "name": str(read.get("name.json", {}).get("name", "")),
        "scores": {
            name.removeprefix("metrics-").removesuffix(".json"): content
            for name, content in read.items()
            if name.startswith("metrics-")
        },
    }


SPEC_TYPES = {
    "task": str, "domains": list, "data_kind": str, "data_version": str, "image_size": int, "preset": str,
    "method": str, "method_version": int, "config": dict, "budget": dict, "seed": int, "identity": str,
}  # fmt: skip
"""What every `spec.json` has, and of what type."""


def _check_spec(path: Path, spec: dict[str, Any]) -> None:
    wrong = [name for name, kind in SPEC_TYPES.items() if not isinstance(spec.get(name), kind)]
    if wrong:
        raise damaged_cell(path, f"not of the right type, or not there: {', '.join(wrong)}")
    budget = spec["budget"]
    if not isinstance(budget.get("kind"), str) or not isinstance(budget.get("amount"), int):
        raise damaged_cell(path, "no kind and amount of a budget in it")


def _read(path: Path) -> Any:
    """JSON of the shape that the harness writes: a table of names, or for some files a list."""
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise damaged_cell(path, str(error)) from error
    if not isinstance(content, list if path.name in LISTS else dict):
        raise damaged_cell(path, f"it holds a {type(content).__name__}")
    return content


def read_cell_metrics(path: Path) -> dict[str, Any]:
    """A cell's metrics. Raises BenchError if the file is not as the harness writes it."""
    stored = _read(path)
    records = stored.get("records")
    if not isinstance(records, list) or not all(
        isinstance(record, dict)
        and isinstance(record.get("protocol"), str)
        and isinstance(record.get("missing", ""), str)
        for record in records
    ):
        raise damaged_cell(path, "no list of records in it")
    return stored


def damaged_cell(path: Path, detail: str) -> BenchError:
    """The error for a file of a cell that is not what the harness writes."""
    return BenchError(f"{path} is damaged: {detail}", "restore it, or remove the cell's folder and run it again")


def read_cells(root: Path, task: str) -> Iterator[dict[str, Any]]:
    """Every cell of `task` as by `read_cell`, ordered by folder. One that cannot be read is named and left out."""
    know_definitions(root)
    for path in sorted((root / "runs" / task).glob("*/*/spec.json")):
        try:
            yield read_cell(path.parent)
        except BenchError as error:
            say(f"left out: {error.what}")
