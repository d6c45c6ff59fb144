"""What a user asks for of two folders of images, and the protocols that it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.core.errors import BenchError
from bench.spec.protocols import PROTOCOLS, Protocol, select_protocols

OF_A_TASK = ("judge", "inception-probe", "categories", "pixels")
"""Encoders of protocols that need a task: its classes, or images of one size."""
TO_SOURCES = ("lpips_source", "structure")
"""Metrics that compare an image with its source."""


@dataclass(frozen=True, kw_only=True)
class FoldersRequest:
    """What the user asked for, as typed."""

    images: Path | np.ndarray
    """Folder of the images to score, or the images: uint8 (N, 3, H, W) or (N, H, W, 3)."""
    real: Path | np.ndarray
    """Folder of the real images, or these."""
    sources: Path | None
    """Folder of what `images` were made of, or None."""
    protocols: Sequence[str]
    """Protocols to measure beside the usual ones."""
    only: Sequence[str]
    """Protocols to measure in their place; empty: the usual ones."""
    device: str
    """As for `run`."""
    results: Path
    """Folder that keeps features and numbers."""

    @property
    def sets(self) -> tuple[Path | np.ndarray, ...]:
        """Those that are there: images, real images, sources."""
        return (self.images, self.real, *([self.sources] if self.sources else []))

    @property
    def folders(self) -> tuple[Path, ...]:
        """Those of `sets` that are folders."""
        return tuple(one for one in self.sets if isinstance(one, Path))


def protocols_for_folders(request: FoldersRequest) -> tuple[Protocol, ...]:
    """The usual protocols and those that are named, or those of `only`; with `sources`, those that want them, too.

    Files are rounded, so nothing is measured before rounding. Raises BenchError for one that cannot be measured.
    """
    possible = {name: replace(protocol, unrounded=False) for name, protocol in PROTOCOLS.items() if _possible(protocol)}
    for name in [*request.protocols, *request.only]:
        if name in PROTOCOLS and name not in possible:
            raise BenchError(f"{name} needs a task", f"without --task: {', '.join(possible)}")
        if request.sources is None and name in possible and possible[name].metric in TO_SOURCES:
            raise BenchError(f"{name} compares each image with its source", "name their folder: --sources FOLDER")
    chosen = select_protocols([*request.protocols, *request.only])
    return tuple(
        possible[protocol.name]
        for protocol in chosen
        if protocol.name in possible
        and (request.sources is not None or protocol.metric not in TO_SOURCES)
        and (not request.only or protocol.name in request.only)
    )


def _possible(protocol: Protocol) -> bool:
    """Whether a protocol can be measured of folders."""
    return protocol.encoder not in OF_A_TASK and not protocol.as_published
