"""The harness: the only package that knows methods, metrics and files together.

`bench.run`, `bench.score` and `bench.load_results` are for programs and notebooks (docs/library.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.cli.api import load_results, run, score

__all__ = ["load_results", "run", "score"]


def __getattr__(name: str) -> Any:
    """One of `__all__`, imported when it is first asked for: every command imports this package."""
    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    from bench.cli import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
