"""Plug-ins for metrics and tasks: what is installed under an entry point's name, or lies at `package.module:name`."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

METRICS = "udt_bench.metrics"
TASKS = "udt_bench.tasks"
"""Groups of entry points. That of methods is in methods/registry.py."""


def installed_plugins(group: str) -> dict[str, str]:
    """Name -> `package.module:name` of what is installed. Nothing of it is imported."""
    return {point.name: point.value for point in entry_points(group=group)}


def plugin_target(group: str, name: str) -> str:
    """`package.module:name` of the plug-in called `name`; empty if there is none."""
    return installed_plugins(group).get(name, name if ":" in name else "")


def load_plugin(target: str, kinds: tuple[type, ...]) -> Any:
    """The object at `package.module:name`.

    Raises whatever its module raises, AttributeError if it has no such name, TypeError if it is none of `kinds`.
    """
    module, _, name = target.partition(":")
    found = getattr(import_module(module), name)
    if not isinstance(found, kinds):
        raise TypeError(f"{target} is a {type(found).__name__}, not a {' or '.join(kind.__name__ for kind in kinds)}")
    return found
