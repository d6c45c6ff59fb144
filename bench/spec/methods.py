"""Methods by name: their classes, and their settings in a preset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.core.errors import BenchError, error_remedy
from bench.core.progress import say
from bench.spec.presets import KindPreset
from methods.registry import BUILT_IN, load_registered, registered

if TYPE_CHECKING:
    from methods.base import Translator


def resolve_methods(names: Sequence[str]) -> tuple[dict[str, type[Translator]], dict[str, str]]:
    """({name: class}, {name: why it cannot be imported}).

    Raises BenchError for a name that is neither registered nor `package.module:Class`. A plug-in that fails to import
    is a warned line and a failed method; the others go on.
    """
    classes: dict[str, type[Translator]] = {}
    broken: dict[str, str] = {}
    for name in names or list(BUILT_IN):
        target = target_of_method(name)
        try:
            classes[name] = load_registered(target)
        except Exception as error:  # other people's code may raise anything while it is imported
            if name in BUILT_IN:
                raise
            broken[name] = f"{type(error).__name__}: {error}"
            say(f"warning: method {name} ({target}) cannot be imported: {broken[name]}")
    return classes, broken


def target_of_method(name: str) -> str:
    """`package.module:Class` of the method `name`; raises BenchError for a name that is neither that nor registered."""
    methods = registered()
    base, _, rest = name.partition(":")
    if name not in methods and base in methods:
        variants = [other for other in methods if other.startswith(f"{base}:")]
        raise BenchError(f"{base} has no variant '{rest}'", error_remedy(name, [base, *variants]))
    if name not in methods and not rest:
        raise BenchError(f"unknown method '{name}'", error_remedy(name, list(methods)) + ", or package.module:Class")
    return methods[name].target if name in methods else name


def method_settings(
    cls: type[Translator], name: str, preset: KindPreset, overrides: Mapping[str, Mapping[str, Any]], data_kind: str
) -> Iterator[Mapping[str, Any]]:
    """Layers of settings over the defaults: the preset's for that kind of data, the variant's, the preset's for
    this variant, the user's."""
    base = name if name in BUILT_IN else name.partition(":")[0]
    yield preset.settings(base, data_kind) if base in BUILT_IN else cls.quick
    methods = registered()
    yield methods[name].settings if name in methods else {}
    yield preset.methods.get(name, {}) if name != base else {}
    yield overrides.get(name, {})


def method_config_with_clusters(config: Any, classes: int) -> Any:
    """`config` with as many clusters as the task has classes, where it leaves their number open (0).

    The number is all that a method learns of the classes; the paper gives it too. One class is as none.
    """
    return replace(config, clusters=classes) if classes > 1 and getattr(config, "clusters", None) == 0 else config
