"""Navigation of pages that are not always there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OPTIONAL = {"gate.md": "The regression gate"}


def on_config(config: Any) -> Any:
    """Adds those that are there at the end of the navigation."""
    for name, title in OPTIONAL.items():
        if (Path(config["docs_dir"]) / name).exists():
            config["nav"].append({title: name})
    return config
