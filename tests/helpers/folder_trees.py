"""Sources of folders of images, as a run makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.data.sources.folder import FolderDomain
from bench.data.sources.layouts import Part, read_layout


def folder_sources(root: Path, known: Sequence[str] | None = None) -> tuple[FolderDomain, FolderDomain]:
    """Both domains of `root`, looked at anew."""
    layout = read_layout(root, known=known)
    first, second = (FolderDomain(domain, layout.classes, layout.parts[domain]) for domain in layout.domains)
    return first, second


def class_folders(root: Path, domain: str, classes: Sequence[str] = ("cat", "hat")) -> FolderDomain:
    """One domain of `root/<domain>/<class>/`, whatever else stands in `root`."""
    return FolderDomain(domain, classes, [Part(root / domain / name, k, None) for k, name in enumerate(classes)])
