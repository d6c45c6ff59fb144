"""The options that most commands share: which trainings they are about, and where these are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Where:
    """The trainings that a command makes or reads, as typed. A command without an option leaves its field empty."""

    task: str
    """Task name; empty: every task that the command is about."""
    preset: str
    """`quick` or `paper`; empty: any, for a command that only reads."""
    data: str
    """`auto`, `embedded`, `mnist-drawn` or a folder; to choose stored settings, the kind of data, or empty: any."""
    domains: str = ""
    """`a,b` for a folder with more than two domains, else empty."""
    val: str = ""
    """What becomes of a folder's validation images: `train` or `out`; empty: as `out`."""
    budget: str = ""
    """`images=N` or `seconds=S`; empty: the preset's, or any for a command that only reads."""
    results: Path
    """The results folder."""
