"""Each method's settings in a preset, which decide whether a stored cell is the method as the preset trains it.

To resolve them takes the methods' classes, hence torch, hence seconds. So they are kept in `results/index/`, under a
digest of the code that they follow from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from bench.core.errors import BenchError
from bench.core.files import write_json
from bench.spec.presets import get_preset
from bench.spec.tasks import Task

CODE = ("methods.py", "presets.py", "run_spec.py", "tasks.py")
"""In bench/spec/; the whole of methods/ besides."""


class Own(NamedTuple):
    """A method as a preset trains and scores it."""

    config: Mapping[str, Any]
    """Every setting, as JSON values."""
    version: int
    """The method's."""
    style: str
    """Where its styles come from unless something else is asked for."""


def own_settings(root: Path, task: Task, preset: str, data_kind: str, methods: Sequence[str]) -> dict[str, Own]:
    """Those of the registered `methods` on a `task` whose classes are fixed; kept in the results folder `root`.

    Raises BenchError for an unknown preset.
    """
    get_preset(preset, task.kind)
    path = root / "index" / f"settings-{_code_digest()}.json"
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        kept = {}
    key = f"{task.name} {preset} {data_kind}"
    known = {name: Own(*of) for name, of in kept.get(key, {}).items()}
    if missing := [name for name in methods if name not in known]:
        known |= {name: _resolved(task, preset, data_kind, name) for name in missing}
        try:
            write_json(path, {**kept, key: known})
        except BenchError:
            return known  # a full disk or a folder of somebody else's
    return known


def _resolved(task: Task, preset: str, data_kind: str, name: str) -> Own:
    from dataclasses import replace

    from bench.spec.methods import layers
    from bench.spec.run_spec import config_values, resolve_config
    from methods.registry import load, registered

    cls = load(registered()[name].target)
    config = resolve_config(cls, name, *layers(cls, name, get_preset(preset, task.kind), {}, data_kind))
    if getattr(config, "clusters", None) == 0:
        config = replace(config, clusters=len(task.classes))
    return Own(config_values(config), cls.version, cls.style_sources[0] if cls.style_sources else "none")


def _code_digest() -> str:
    whole = sha256()
    code = [files("bench") / "spec" / name for name in CODE]
    for source in [*code, *_python_files(files("methods"))]:
        whole.update(source.read_bytes())
    return whole.hexdigest()[:12]


def _python_files(folder: Any) -> list[Any]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _python_files(entry)
        elif entry.name.endswith(".py"):
            found.append(entry)
    return found
