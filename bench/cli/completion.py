"""Names that a shell completes. Nothing heavy is imported: a shell waits for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

PROGRAM = "udt-bench"
"""The installed command. A shell completes this name, however the script for it was asked for."""


def completion_program_name() -> str | None:
    """The name that a completion script is for; None (as it was called) where none is asked for."""
    asked = any(argument.startswith(("--install-completion", "--show-completion")) for argument in sys.argv[1:])
    return PROGRAM if asked else None


def complete_one(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Completes a name out of `names()`."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


def complete_joined(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Completes the last of several names joined by commas; those before it are not offered again."""

    def complete(incomplete: str) -> list[str]:
        *before, last = incomplete.split(",")
        head = ",".join([*before, ""])
        return [head + name for name in names() if name.startswith(last) and name not in before]

    return complete


def complete_tasks() -> Iterable[str]:
    """Names of the tasks."""
    from bench.spec.plugins import TASKS as PLUGINS
    from bench.spec.plugins import installed_plugins
    from bench.spec.tasks import TASKS

    return [*TASKS, *installed_plugins(PLUGINS)]


def complete_presets() -> Iterable[str]:
    """Names of the presets."""
    from bench.spec.presets import PRESETS

    return PRESETS


def complete_methods() -> Iterable[str]:
    """Names of methods, variants and plug-ins."""
    from methods.registry import registered

    return registered()


def complete_protocols() -> Iterable[str]:
    """Names of the protocols that are measured on request."""
    from bench.spec.plugins import METRICS, installed_plugins
    from bench.spec.protocols import PROTOCOLS

    return [*(name for name, protocol in PROTOCOLS.items() if protocol.on_request), *installed_plugins(METRICS)]


def complete_sweeps() -> Iterable[str]:
    """Names of the shipped sweeps."""
    from bench.runs.sweep.file import shipped_sweeps

    return shipped_sweeps()


def complete_listings() -> Iterable[str]:
    """What `list` can list."""
    from bench.cli.listing import LISTINGS

    return LISTINGS
