"""Settings as they are stored, and those that a method got after results of it had been stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

_LATER = "added later"


def added_later(default: Callable[[], Any]) -> Any:
    """A field of a Config, with `default()` as its default, that came after results had been stored.

    At its default it stands in no stored specification, so what was stored before keeps its identity, is found as the
    method's own and can be resumed. The default must therefore do what the method did without it.
    """
    return dataclasses.field(default_factory=default, metadata={_LATER: True})


def stored_settings(config: Any) -> dict[str, Any]:
    """A Config as JSON values: tuples become lists, Configs in it dictionaries.

    Fields that were `added_later` and have their defaults are left out.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if _LATER in field.metadata and value == field.default_factory():  # type: ignore[misc]  # `added_later` sets it
            continue
        if dataclasses.is_dataclass(value):
            value = stored_settings(value)
        values[field.name] = list(value) if isinstance(value, tuple) else value
    return values
