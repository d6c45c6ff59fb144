"""Which methods there are. Names are resolved lazily, so that listing them needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from methods.base import Translator

ENTRY_POINT_GROUP = "udt_bench.methods"


@dataclass(frozen=True)
class MethodEntry:
    """One registered method."""

    target: str
    """`package.module:Class`."""
    summary: str
    """One line for `list methods`."""


BUILT_IN: Mapping[str, MethodEntry] = {
    "cyclegan": MethodEntry("methods.cyclegan:CycleGAN", "Zhu et al., ICCV 2017; deterministic, image pool"),
    "stargan_v2": MethodEntry("methods.stargan_v2:StarGANv2", "Choi et al., CVPR 2020; noise and exemplar styles"),
}


def registered() -> dict[str, MethodEntry]:
    """Name -> entry of the built-in methods and of the plug-ins installed in `udt_bench.methods`.

    A plug-in cannot take a built-in method's name.
    """
    found = {point.name: MethodEntry(point.value, "plug-in") for point in entry_points(group=ENTRY_POINT_GROUP)}
    return {**found, **BUILT_IN}


def load(target: str) -> type[Translator]:
    """Import the class at `package.module:Class`.

    Raises ImportError (or whatever the module raises) if it cannot be imported, TypeError if it is no Translator.
    """
    from methods.base import Translator

    module_name, _, class_name = target.partition(":")
    found = getattr(import_module(module_name), class_name)
    if not (isinstance(found, type) and issubclass(found, Translator)):
        raise TypeError(f"{target} is not a subclass of methods.base.Translator")
    return found
