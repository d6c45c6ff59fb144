"""The folder of this installation: its packages, found before others of the same name, and the results it ships."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path

from bench.core.errors import BenchError

PACKAGES = ("bench", "methods", "metrics")
BENCH = Path(__file__).resolve().parents[1]
ROOT = BENCH.parent
"""The folder that holds our three packages: a checkout, or a site-packages folder."""


def installed_results() -> Path:
    """The folder with the published values and the baselines: in the package (wheel) or beside it (checkout)."""
    inside = BENCH / "results"
    return inside if inside.is_dir() else ROOT / "results"


def prefer_installed_packages(folder: Path | None = None) -> None:
    """Let `import` search `folder` (default: the current one) last, for the user's `package.module:Class`.

    `python -m bench` puts the current folder before everything, `udt-bench` leaves it out: after this call both find
    the same. Processes that are spawned from here inherit it. Raises BenchError if a folder of somebody else's stands
    before one of our packages all the same ($PYTHONPATH, or a distribution with a package of that name).
    """
    folder = (folder or Path.cwd()).resolve()
    if folder != ROOT:
        sys.path[:] = [*(entry for entry in sys.path if Path(entry).resolve() != folder), str(folder)]
    for name in PACKAGES:
        ours = ROOT / name
        spec = PathFinder.find_spec(name)  # not importlib.util.find_spec: spawned processes have imported nothing yet
        if spec is None or spec.origin is None:  # neither is on sys.path: a finder of its own has found ours
            continue
        if Path(spec.origin).resolve() == ours / "__init__.py":
            continue
        file = Path(spec.origin)
        other = file.parent if file.name == "__init__.py" else file
        raise BenchError(
            f"'{name}' is {other}, and not {ours}, a part of udt-bench",
            f"rename {other}, or take {other.parent} out of $PYTHONPATH if that names it",
        )
