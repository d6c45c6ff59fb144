"""Which methods there are. Names are resolved lazily, so that listing them needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

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
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Config values that distinguish a variant: over the preset's, under the user's."""


BUILT_IN: Mapping[str, MethodEntry] = {
    "cyclegan": MethodEntry("methods.cyclegan:CycleGAN", "Zhu et al., ICCV 2017; deterministic, image pool"),
    "munit": MethodEntry("methods.munit:MUNIT", "Huang et al., ECCV 2018; noise and exemplar styles"),
    "drit": MethodEntry("methods.drit:DRIT", "Lee et al., ECCV 2018 and IJCV 2020; noise and exemplar styles"),
    "stargan_v2": MethodEntry("methods.stargan_v2:StarGANv2", "Choi et al., CVPR 2020; noise and exemplar styles"),
    "egsc_it": MethodEntry(
        "methods.egsc_it:EGSCIT", "Ma et al., ICLR 2019; exemplar styles; weak supervision (a classifier's features)"
    ),
    "cats_udt": MethodEntry("methods.cats_udt:CatsUDT", "Lavoie et al., ICLR 2021; style conditioned on clusters"),
}


def _cats(summary: str, **settings: Any) -> MethodEntry:
    """A comparison of the paper: CatS-UDT with other settings."""
    return MethodEntry(BUILT_IN["cats_udt"].target, summary, settings)


def _stargan(summary: str, **settings: Any) -> MethodEntry:
    """A form of StarGAN-v2."""
    return MethodEntry(BUILT_IN["stargan_v2"].target, summary, settings)


VARIANTS: Mapping[str, MethodEntry] = {
    "stargan_v2:original": _stargan(
        "as its authors train it: what `stargan_v2` is, too", style_rec_domain="target", sampling="balanced"
    ),
    "stargan_v2:cats": _stargan(
        "as CatS-UDT's authors compared with it", style_rec_domain="source", sampling="union", lambda_ds=2.0
    ),
    "cats_udt:no_sem": _cats("Table 3a: lambda_sem = 0", lambda_sem=0.0),
    "cats_udt:no_sty": _cats("Table 3a: lambda_sty = 0, also the code's command for sketches", lambda_sty=0.0),
    "cats_udt:no_cyc": _cats("Table 3a: lambda_cyc = 0", lambda_cyc=0.0),
    "cats_udt:no_ds": _cats("Table 3a: lambda_SD = 0", lambda_ds=0.0),
    "cats_udt:none": _cats("Table 3b: clusters in the losses and exemplars alone", conditioning="none"),
    "cats_udt:content": _cats("Table 3b: clusters condition the content", conditioning="content"),
    "cats_udt:content_vgg": _cats(
        "Table 3b: VGG-19 features condition the content (our reading; weak supervision)",
        categories="features",
        conditioning="content_features",
        semantic_loss="features",
        **{"semantics.encoder": "vgg19"},
    ),
    "cats_udt:vgg": _cats(
        "Fig. 3b: VGG-19 features condition the style (weak supervision)",
        categories="features",
        conditioning="style_features",
        semantic_loss="features",
        **{"semantics.encoder": "vgg19"},
    ),
    "cats_udt:moco": _cats(
        "Fig. 3b: MoCo features condition the style",
        categories="features",
        conditioning="style_features",
        semantic_loss="features",
        **{"semantics.encoder": "moco"},
    ),
    "cats_udt:not_adapted": _cats("Fig. 3b, 8c: clusters of one domain, not adapted", categories="clustered"),
    "cats_udt:frozen_h": _cats("the paper's semantic loss, eq. 8, with the frozen h", semantic_loss="frozen_h"),
    "cats_udt:map4": _cats("Fig. 11a: content map of 4x4", content_size=4),
    "drit:feature_wise": MethodEntry(
        BUILT_IN["drit"].target,
        "attributes enter feature by feature: the authors' advice where shapes change",
        {"attribute": "feature_wise"},
    ),
}
"""Variants of built-in methods: trained only when named, as `name:variant`."""


def registered() -> dict[str, MethodEntry]:
    """Name -> entry of the built-in methods, their variants, and the plug-ins installed in `udt_bench.methods`.

    A plug-in cannot take a built-in method's name.
    """
    plugins = {point.name: MethodEntry(point.value, "plug-in") for point in entry_points(group=ENTRY_POINT_GROUP)}
    return {**plugins, **BUILT_IN, **VARIANTS}


def load_registered(target: str) -> type[Translator]:
    """Import the class at `package.module:Class`.

    Raises ImportError (or whatever the module raises) if it cannot be imported, TypeError if it is no Translator.
    """
    from methods.base import Translator

    module_name, _, class_name = target.partition(":")
    cls = getattr(import_module(module_name), class_name)
    if not (isinstance(cls, type) and issubclass(cls, Translator)):
        raise TypeError(f"{target} is not a subclass of methods.base.Translator")
    return cls
