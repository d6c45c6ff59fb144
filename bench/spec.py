"""What a run is: a frozen, resolved specification whose hash is the run's identity."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import BenchError, nearest

if TYPE_CHECKING:
    from methods.base import Translator


@dataclass(frozen=True)
class Budget:
    """How long every method of a run trains."""

    kind: Literal["images", "seconds"]
    """`images`: source images per domain, repetitions counted; `seconds`: wall clock of the training loop."""
    amount: int
    """How many."""

    def __str__(self) -> str:
        return f"{self.kind}={self.amount}"

    @staticmethod
    def parse(text: str) -> Budget:
        """`images=12000` or `seconds=120`; raises BenchError for anything else."""
        kind, _, amount = text.partition("=")
        if kind not in ("images", "seconds") or not amount.isdecimal() or int(amount) == 0:
            raise BenchError(
                f"--budget {text!r} is not understood", "write images=N or seconds=N with N a whole number > 0"
            )
        return Budget("images" if kind == "images" else "seconds", int(amount))


@dataclass(frozen=True)
class RunSpec:
    """One cell, fully resolved. Device, thread count and folders are not in it: they must not change the result."""

    task: str
    """Task name."""
    domains: tuple[str, str]
    """Names of domain 0 and 1."""
    data_kind: str
    """`embedded`, `mnist-drawn` or `real`."""
    data_version: str
    """Hash of the data's content and preparation."""
    image_size: int
    """Side in pixels."""
    preset: str
    """Preset name."""
    method: str
    """Method name as given, `name[:variant]` or `package.module:Class`."""
    method_version: int
    """The method's own version."""
    config: Mapping[str, Any]
    """Every setting of the method, defaults included, as JSON values."""
    budget: Budget
    """Training length."""
    seed: int
    """Seed of this cell."""

    def identity(self) -> str:
        """12 hex digits: equal for equal specifications, on every machine."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def slug(self) -> str:
        """The method's name as part of a file name."""
        return self.method.replace(":", "-")


def parse_overrides(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """`method.key=value` -> {method: {key: value}}; raises BenchError for another shape."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        left, equals, value = text.partition("=")
        method, dot, key = left.rpartition(".")
        if not (equals and dot and method and key):
            raise BenchError(f"--set {text!r} is not understood", "write --set method.key=value")
        found.setdefault(method, {})[key] = value
    return found


def check_override_methods(overrides: Mapping[str, object], methods: Sequence[str]) -> None:
    """Raise BenchError if a `--set` names a method that this run does not train: it would be ignored in silence."""
    for name in overrides:
        if name not in methods:
            raise BenchError(f"--set {name}.…: '{name}' is not among this run's methods", nearest(name, list(methods)))


def resolve_config(cls: type[Translator], name: str, *layers: Mapping[str, Any]) -> Any:
    """The method's Config with `layers` of values laid over its defaults, later ones last.

    Strings (from the command line) are converted to the field's type. Raises BenchError for an unknown key (nearest
    valid one named), a value of the wrong type, and a value that the Config itself refuses.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    fields = {field.name: field for field in dataclasses.fields(cls.Config)}
    merged = OmegaConf.structured(cls.Config)
    OmegaConf.set_readonly(merged, False)  # a frozen dataclass gives a read-only one
    for layer in layers:
        for key, value in layer.items():
            if key not in fields:
                raise BenchError(f"{name} has no setting '{key}'", nearest(key, list(fields)))
            try:
                parsed = OmegaConf.from_dotlist([f"{key}={value}"])[key] if isinstance(value, str) else value
                OmegaConf.update(merged, key, parsed, merge=False)
            except (OmegaConfBaseException, ValueError) as error:
                wanted = getattr(fields[key].type, "__name__", fields[key].type)
                raise BenchError(
                    f"{name}.{key}={value} is of the wrong type: {wanted} wanted",
                    f"for example --set {name}.{key}={_plain(getattr(cls.Config(), key))}",
                ) from error
    values = OmegaConf.to_container(merged)
    assert isinstance(values, dict)
    try:
        return cls.Config(**{str(k): tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except ValueError as error:
        raise BenchError(f"{name}: {error}", f"choose another value: --set {name}.key=value") from error


def config_values(config: Any) -> dict[str, Any]:
    """A Config as JSON values (tuples become lists)."""
    return {key: _plain(value) for key, value in dataclasses.asdict(config).items()}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
