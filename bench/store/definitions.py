"""`protocols.json` of a results folder: the protocols from outside, for tables made where these are not installed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.core.files import file_lock, read_json, write_json
from bench.core.progress import say
from bench.spec.protocols import OURS, PROTOCOLS, Protocol

FILE = "protocols.json"


def keep_definitions(root: Path, protocols: Iterable[Protocol]) -> None:
    """Store those of `protocols` that are not ours."""
    others = {protocol.name: asdict(protocol) for protocol in protocols if protocol.name not in OURS}
    if not others:
        return
    with file_lock(root / f".{FILE}.lock"):
        known = _read(root)
        if {**known, **others} != known:
            write_json(root / FILE, {**known, **others})


def know_definitions(root: Path) -> None:
    """Put the stored protocols that this process does not know into PROTOCOLS."""
    for name, fields in _read(root).items():
        if name in PROTOCOLS:
            continue
        try:
            PROTOCOLS[name] = Protocol(**{**fields, "reference": tuple(fields["reference"])})
        except (TypeError, KeyError) as error:
            say(f"left out: {root / FILE} is damaged: {name}: {error}")


def _read(root: Path) -> dict[str, dict[str, Any]]:
    try:
        content = read_json(root / FILE)
        if not isinstance(content, dict) or not all(isinstance(value, dict) for value in content.values()):
            raise ValueError("no table of protocols")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BenchError(f"{root / FILE} is damaged: {error}", "remove it, and score again: bench evaluate") from error
    return content
