"""The command line in a process of its own that dies, or meets a broken machine, at a chosen moment.

A fork of a server that has everything imported: it starts in a second, and is killed by the same signals as any other.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from itertools import count
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any
from unittest import mock

import tiny

from bench.core.files import read_array, read_json, read_weights_file

TESTS = Path(__file__).parent
UNEQUAL = ("cost.json", "scoring.json", "environment.json", "stage.json", "owner.json", ".lock")
"""Files that say how long something took, or who did it."""


def begin(words: Sequence[object], folder: Path, fault: str = "", number: int = 0) -> ForkServerProcess:
    """Start `bench <words>` with the tiny preset; what it prints goes to `folder/printed.txt`.

    `fault`, at the file that is the `number`-th to be written: `before` it gets its name, `after`, or when it is `half`
    written the process is killed; `term`: it gets SIGTERM; `clock`: from there on the clock goes backwards; `count`:
    nothing, but the number of files goes to `writes.txt`.
    """
    context = _server()
    process = context.Process(target=_run, args=([str(word) for word in words], folder, fault, number))
    process.start()
    return process


def _server() -> ForkServerContext:
    """The context of a server that imports the package that is tested, wherever it is started."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["faults", "tiny", "toys", "bench.runs.run", "bench.runs.semantics", "bench.cli.commands", "pandas"]
    )
    # The server is `python -c ...`, and so would find a checkout in the current folder first; sys.path of this process
    # reaches it only after its imports.
    path = os.pathsep.join((tiny.SOURCES, str(TESTS)))
    with mock.patch.dict(os.environ, PYTHONPATH=path, PYTHONSAFEPATH="1"):
        forkserver.ensure_running()
    return context


def end(process: ForkServerProcess, seconds: float = 120) -> int:
    """Its exit status; negative for a signal. One that hangs is a failed test."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"it did not end within {seconds} s")
    return process.exitcode


def call(words: Sequence[object], folder: Path, fault: str = "", number: int = 0) -> tuple[int, str]:
    """(exit status, what it printed)."""
    (folder / "printed.txt").unlink(missing_ok=True)
    status = end(begin(words, folder, fault, number))
    return status, (folder / "printed.txt").read_text()


def _run(words: list[str], folder: Path, fault: str, number: int) -> None:
    _prepare(folder)
    counted = _plant(fault, number)
    sys.argv = ["bench", *words]
    from bench.cli.commands import main

    try:
        main()
    except SystemExit as stop:
        if fault == "count":
            (folder / "writes.txt").write_text(str(len(counted)))
        os._exit(int(stop.code or 0))


def _prepare(folder: Path) -> None:
    """The tiny preset, an own cache, and `printed.txt` for what is printed."""
    os.environ.pop("UDT_BENCH_FILES", None)
    os.environ.update(UDT_BENCH_CACHE=str(folder / "cache"), OMP_NUM_THREADS="1")
    printed = os.open(folder / "printed.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    warnings.simplefilter("default")
    tiny.install()


def _plant(fault: str, number: int) -> list[str]:
    """Make the `number`-th file's writing go wrong; returns the names of those written, which grows."""
    names: list[str] = []
    replace, fsync = os.replace, os.fsync

    def replaced(source: Any, target: Any) -> None:
        names.append(str(target))
        if fault == "before" and len(names) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if fault == "after" and len(names) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def flushed(descriptor: int) -> None:
        if len(names) + 1 == number and fault == "half":
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            fsync(descriptor)
            os.kill(os.getpid(), signal.SIGKILL)
        if len(names) + 1 == number and fault == "term":
            os.kill(os.getpid(), signal.SIGTERM)
        if len(names) + 1 == number and fault == "clock":
            start = time.time()
            backwards = count(1)
            time.time = lambda: start - 3600.0 * next(backwards)
            time.time_ns = lambda: int(time.time() * 1e9)
        fsync(descriptor)

    os.replace, os.fsync = replaced, flushed
    return names


# ---------------------------------------------------------------------------------------------- a disk of one's own


def on_a_disk(stages: Sequence[tuple[str, Sequence[object]]], folder: Path) -> list[tuple[int, str, list[str]]] | None:
    """Run the commands of `stages` one after the other on a file system in memory that nobody else sees.

    Before each one, the file system gets the stage's mount options (`size=200k`, `ro`, `rw`). It is the folder
    `folder/disk`. Returns (exit status, what was printed, damaged files of `disk/results`) of each; None where this
    machine lets nobody mount anything. The results are copied to `folder/kept` at the end.
    """
    process = _server().Process(target=_on_a_disk, args=(list(stages), folder))
    process.start()
    assert end(process) == 0, (folder / "printed.txt").read_text()
    told = json.loads((folder / "stages.json").read_text())
    return None if told is None else [(status, printed, damaged) for status, printed, damaged in told]


def _on_a_disk(stages: list[tuple[str, Sequence[object]]], folder: Path) -> None:
    _prepare(folder)
    disk = folder / "disk"
    disk.mkdir()
    told: list[tuple[int, str, list[str]]] | None = []
    if not _own_mounts() or not _mount(disk, stages[0][0]):
        told = None
    from bench.cli.commands import main

    for options, words in stages if told is not None else ():
        assert _mount(disk, f"remount,{options}"), options
        (folder / "printed.txt").write_text("")
        sys.argv = ["bench", *map(str, words)]
        try:
            main()
        except SystemExit as stop:
            assert told is not None
            told.append((int(stop.code or 0), (folder / "printed.txt").read_text(), damaged_files(disk / "results")))
    (folder / "stages.json").write_text(json.dumps(told))
    if told is not None:
        shutil.copytree(disk / "results", folder / "kept")


def _own_mounts() -> bool:
    """Whether this process now has a table of mounts that ends with it. Needs root or user namespaces."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, new_user, private = 0x00020000, 0x10000000, 0x44000
    user, group = os.getuid(), os.getgid()
    if libc.unshare(new_mounts) != 0:
        if libc.unshare(new_mounts | new_user) != 0:
            return False
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    return bool(libc.mount(b"none", b"/", None, private, None) == 0)


def _mount(disk: Path, options: str) -> bool:
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=False).returncode == 0


# ------------------------------------------------------------------------------------------------ what is left behind


def names(results: Path) -> set[str]:
    """Every file, but for the leaderboard, which is not of a cell."""
    found = (path.relative_to(results) for path in results.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] != "leaderboards"}


def lasting(results: Path) -> dict[str, str]:
    """Digest of every file that must be the same whatever happened on the way."""
    return {
        name: hashlib.sha256((results / name).read_bytes()).hexdigest()
        for name in names(results)
        if Path(name).name not in UNEQUAL and not name.endswith((".lock", ".tmp"))
    }


def damaged_files(results: Path) -> list[str]:
    """Files under their final names that are not whole, and everything that tables complain about."""
    from bench.store.checkpoints import _is_whole
    from bench.store.index import read_index

    readers: dict[str, Any] = {".json": read_json, ".npy": read_array, ".safetensors": read_weights_file}
    found = [line for task in (results / "runs").glob("*") for line in read_index(results, task.name).complaints]
    for name in sorted(names(results)):
        path = results / name
        try:
            if path.suffix in readers:
                readers[path.suffix](path)
            elif path.suffix == ".pt" and not _is_whole(path):
                raise ValueError("its digest is another")
            elif path.suffix == ".png":
                from PIL import Image

                Image.open(path).load()
        except (OSError, ValueError) as error:
            found.append(f"{name}: {error}")
    return found


def finished(results: Path) -> dict[str, dict[str, str]]:
    """Folder of each finished cell -> its files and their digests."""
    done = [path.parent for path in results.rglob("status.json") if json.loads(path.read_text())["state"] == "done"]
    return {str(folder.relative_to(results)): lasting(folder) for folder in done}


def phase(results: Path) -> str:
    """What a killed run was doing, as far as its files tell."""
    if list(results.rglob(".*.tmp")):
        return "saving"
    if any(not (path / "stage.json").exists() for path in results.glob("semantics/*/*")):
        return "stage"
    states = [json.loads(path.read_text())["state"] for path in results.glob("runs/*/*/*/status.json")]
    if "running" in states or "new" in states or not states:
        return "training" if states else "starting"
    return "evaluation" if "trained" in states else "between cells"
