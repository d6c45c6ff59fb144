"""Specification of a run: frozen and resolved; its hash is the run's identity."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from bench.core.errors import BenchError, error_remedy
from methods.parts.settings import stored_settings

if TYPE_CHECKING:
    from methods.base import Translator


@dataclass(frozen=True)
class Budget:
    """Training length of every method of a run."""

    kind: Literal["images", "seconds"]
    """`images`: source images per domain, repetitions counted; `seconds`: wall clock of the training loop."""
    amount: int
    """Number of images or seconds."""

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


GIVEN_IMAGES = "given images"
"""`RunSpec.weights` of images that somebody else made; the method is then the name that they were given."""


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
    weights: str = ""
    """Identity of the checkpoint that is scored without training, or `GIVEN_IMAGES` (the budget is then 0); empty:
    trained here."""

    def identity(self) -> str:
        """12 hex digits: equal for equal specifications, on every machine."""
        values = dataclasses.asdict(self)
        if not self.weights:
            del values["weights"]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def slug(self) -> str:
        """The method's name as part of a file name."""
        return self.method.replace(":", "-")


def spec_overrides(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """`method.key=value` -> {method: {key: value}}; raises BenchError for another shape."""
    overrides: dict[str, dict[str, str]] = {}
    for text in texts:
        left, equals, value = text.partition("=")
        module, colon, rest = left.rpartition(":")  # dots before a colon belong to package.module:Class
        name, dot, key = rest.partition(".")
        method = module + colon + name if name else ""
        if not (equals and dot and method and key):
            raise BenchError(f"--set {text!r} is not understood", "write --set method.key=value")
        overrides.setdefault(method, {})[key] = value
    return overrides


def check_spec_overrides(overrides: Mapping[str, object], methods: Sequence[str]) -> None:
    """Raise BenchError if a `--set` names a method that this run does not train: it would be ignored in silence."""
    for name in overrides:
        if name not in methods:
            raise BenchError(
                f"--set {name}.…: '{name}' is not among this run's methods", error_remedy(name, list(methods))
            )


def spec_config(cls: type[Translator], name: str, *layers: Mapping[str, Any]) -> Any:
    """The method's Config with `layers` of values laid over its defaults, later ones last.

    Keys of nested settings are joined by dots (`semantics.imsat.width`). Strings (from the command line) are converted
    to the field's type. Raises BenchError for an unknown key (nearest valid one named), a value of the wrong type, and
    a value that the Config itself refuses.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    defaults = flat_spec_values(cls.Config())
    merged = OmegaConf.structured(cls.Config)
    _make_writable(merged)
    for layer in layers:
        for key, value in layer.items():
            if key not in defaults:
                raise BenchError(f"{name} has no setting '{key}'", error_remedy(key, list(defaults)))
            try:
                as_typed = not isinstance(value, str) or isinstance(defaults[key], str)  # a text may be empty, or "1"
                parsed = value if as_typed else OmegaConf.from_dotlist([f"value={value}"])["value"]
                OmegaConf.update(merged, key, parsed, merge=False)
            except (OmegaConfBaseException, ValueError) as error:
                raise BenchError(
                    f"{name}.{key}={value} is of the wrong type: {_type_name(cls.Config, key)} wanted",
                    f"for example --set {name}.{key}={defaults[key]}",
                ) from error
    values = OmegaConf.to_container(merged)
    assert isinstance(values, dict)
    try:
        return spec_config_from(cls.Config, {str(key): value for key, value in values.items()})
    except ValueError as error:
        raise BenchError(f"{name}: {error}", f"choose another value: --set {name}.key=value") from error


def _make_writable(node: Any) -> None:
    """Frozen dataclasses give read-only nodes, nested ones each for itself."""
    from omegaconf import DictConfig, OmegaConf

    OmegaConf.set_readonly(node, False)
    for key in node:
        if isinstance(node[key], DictConfig):
            _make_writable(node[key])


def spec_values(config: Any) -> dict[str, Any]:
    """A Config as it is stored: JSON values (tuples become lists, nested settings dictionaries).

    Settings that were `added_later` (methods/parts/settings.py) and have their defaults are left out.
    """
    return stored_settings(config)


def later_defaults(config: type) -> dict[str, Any]:
    """Dotted key -> default of each setting that was `added_later`: what stored values without it stand for."""
    stored = flat_spec_values(spec_values(config()))
    return {key: value for key, value in flat_spec_values(config()).items() if key not in stored}


def spec_config_from(config: type, values: Mapping[str, Any]) -> Any:
    """The inverse of `spec_values`. Raises what the Config raises."""
    hints = get_type_hints(config)

    def restored(key: str, value: Any) -> Any:
        if dataclasses.is_dataclass(hints[key]):
            return spec_config_from(hints[key], value)
        return tuple(value) if isinstance(value, list) else value

    return config(**{key: restored(key, value) for key, value in values.items()})


def flat_spec_values(config: Any) -> dict[str, Any]:
    """Dotted key -> JSON value, of all of a Config or of what `spec_values` gave."""

    def flatten(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for key, value in values.items():
            flat.update(flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
        return flat

    return flatten(config if isinstance(config, dict) else json.loads(json.dumps(dataclasses.asdict(config))), "")


def _type_name(config: type, key: str) -> str:
    first, _, rest = key.partition(".")
    hint = get_type_hints(config)[first]
    return _type_name(hint, rest) if rest else getattr(hint, "__name__", str(hint))
