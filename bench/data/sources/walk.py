"""Folders and files of a tree of images that count: no hidden ones, no system's, none that this program made."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")
OURS = ("runs/*/*/*/spec.json", "semantics/*/*/*.json", "prepared/*/prepared.json")


def visible_in(folder: Path) -> list[Path]:
    """What stands in `folder`, sorted by name."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in IGNORED)


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in `folder`."""
    return [path.name for path in visible_in(folder) if path.is_dir() and not _is_ours(path)]


def image_suffix(path: Path) -> bool:
    """Whether its name ends like an image's, in any case."""
    return path.suffix.lower() in SUFFIXES


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder of results or a cache of this program, which may lie inside the data."""
    return any(next(folder.glob(pattern), None) for pattern in OURS)
