"""Files of a results folder as bytes, for nodes that cannot reach it: a cell's own, and what cells share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from filelock import FileLock

from bench.core.files import write_atomically
from bench.store.cell import Cell

Files = Mapping[str, bytes]
"""Name relative to some folder -> content."""

SHARED = {"judges/*": "judge.json", "stand_in/*": "stand_in.json", "semantics/*/*": "stage.json"}
"""Folders that cells share -> the file that is written last into each."""
STATUS, WEIGHTS = "status.json", "weights.safetensors"
OWN = (".lock", "owner.json")
"""Files of a cell that mean something only where they are."""


def pack_transfer(folder: Path) -> dict[str, bytes]:
    """The files below `folder` but locks and what is being written; none if it does not exist."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in OWN and not path.name.startswith(".")
    }


def unpack_transfer(files: Files, folder: Path, last: str) -> None:
    """Write `files` below `folder`, each atomically and `last` after all others, because readers go by it."""
    for name in sorted(files, key=lambda name: (name == last, name)):
        content = files[name]
        write_atomically(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]


def store_gathered_cell(files: Files, cell: Cell) -> bool:
    """Put a cell that was made elsewhere in its place; False if another training of it is finished there, and stays.

    Raises BenchError if another process is working on it.
    """
    with cell.locked():
        if cell.state() == "done" and files.get(cell.weights.name) != cell.weights.read_bytes():
            return False
        unpack_transfer(files, cell.folder, STATUS)
        if cell.is_trained():
            cell.checkpoints.clear()
    return True


def transfer_units(root: Path, features: bool) -> dict[str, list[Path]]:
    """What cells share under `root` and is complete: name -> its files, the one that says so last.

    `features`: also each file of the feature cache.
    """
    units: dict[str, list[Path]] = {}
    for pattern, marker in SHARED.items():
        for folder in sorted(root.glob(pattern)):
            if (folder / marker).is_file():
                others = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
                files = sorted(path for path in others if path.name != marker)
                units[str(folder.relative_to(root))] = [*files, folder / marker]
    for path in sorted(root.glob("features/*/*")) if features else ():
        if path.suffix in (".npy", ".json") and not path.name.startswith("."):
            units[str(path.relative_to(root))] = [path]
    return units


def pack_units(root: Path, known: Collection[str]) -> dict[str, dict[str, bytes]]:
    """`transfer_units` with features, but those called by the names in `known`, with their contents."""
    units = transfer_units(root, features=True)
    return {
        unit: {path.name: path.read_bytes() for path in files} for unit, files in units.items() if unit not in known
    }


def store_unit(unit: str, files: Files, root: Path) -> bool:
    """Put what cells share in its place, unless it is there; False if what is there was made with other bytes.

    `files`: as `pack_units` orders them, the one that says that all is there last.
    """
    last = list(files)[-1]
    if "." in last and unit.endswith(last):  # a file of the feature cache: whichever came first is as good
        if not (root / unit).exists():
            unpack_transfer(files, (root / unit).parent, last)
        return True
    folder = root / unit
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / last).exists():
            unpack_transfer(files, folder, last)
    return (folder / WEIGHTS).read_bytes() == files[WEIGHTS]
