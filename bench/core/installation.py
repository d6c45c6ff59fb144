"""Location of this installation: its packages, before others of the same name, and the results shipped with it."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from bench.core.errors import BenchError

PACKAGES = ("bench", "methods", "metrics")
BENCH = Path(__file__).resolve().parents[1]
ROOT = BENCH.parent
"""The folder that holds our three packages: a checkout, or a site-packages folder."""


def shipped_results() -> Path:
    """The folder with the published values and the baselines: in the package (wheel) or beside it (checkout)."""
    inside = BENCH / "results"
    return inside if inside.is_dir() else ROOT / "results"


def prefer_own_packages() -> None:
    """Let `import` find our packages first, and modules in the current folder (`package.module:Class`) last.

    `python -m bench` puts the current folder before everything, `udt-bench` leaves it out: after this call they find
    the same. Processes that are started from here inherit it. Raises BenchError if a folder of somebody else's stands
    before one of our packages all the same (in $PYTHONPATH, for example).
    """
    here = os.getcwd()
    others = [entry for entry in sys.path if Path(entry or here).resolve() != Path(here).resolve()]
    known = {Path(entry).resolve() for entry in others}
    sys.path[:] = [*others, *([str(ROOT)] if ROOT not in known and Path(here).resolve() != ROOT else []), here]
    for name in PACKAGES:
        spec = find_spec(name)
        locations = [Path(folder).resolve() for folder in (spec.submodule_search_locations or ())] if spec else []
        if (ROOT / name) not in locations:
            place = locations[0] if locations else spec.origin if spec else "no folder"
            raise BenchError(
                f"'{name}' is {place}, and not {ROOT / name}, a part of udt-bench",
                f"rename that folder, or take {Path(str(place)).parent} out of $PYTHONPATH",
            )
