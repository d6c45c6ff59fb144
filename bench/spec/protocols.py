"""Named, versioned metric protocols. A number belongs to its protocol; numbers of two never share a column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bench.core.errors import BenchError, error_remedy
from bench.core.progress import say
from bench.spec.plugins import METRICS, installed_plugins, load_plugin, plugin_target

if TYPE_CHECKING:
    from metrics.plugin import Metric

SplitName = Literal["train", "test"]
EncoderName = Literal[
    "inception", "inception-bf16", "inception-pytorch", "inception-clean", "inception-probe", "dinov2", "alexnet",
    "judge", "pixels", "categories",
]  # fmt: skip


@dataclass(frozen=True)
class TranslationProtocol:
    """Translation of the images to be scored."""

    name: str
    """Name and version; part of every record."""
    batch: int
    """Images per call of `translate`; the last batch is padded, so that results do not depend on the caller."""
    styles: int
    """Styles per source image. Style k of source i has its own generator, from (source id, k)."""
    sources: Literal["test"]
    """Split that is translated."""


@dataclass(frozen=True)
class Protocol:
    """Computation of one metric. Any change of a field needs a new name."""

    name: str
    """Name and version, as it stands in table headers."""
    metric: str
    """Metric, a key of `MEASURES` in bench/evaluation/score.py."""
    encoder: str
    """Network that reads the images: an EncoderName, or one that a plug-in brings."""
    preparation: str
    """Steps from stored uint8 images to the encoder's input."""
    styles: int
    """Number of styles per source that are used."""
    reference: tuple[SplitName, ...]
    """Splits of the target domain that are the real images; empty where the metric has none."""
    formula: str
    """Formula of the value in terms of the features."""
    comparable: bool
    """Whether values may stand beside those of other data or other harnesses."""
    higher_is_better: bool
    """Whether larger values are better."""
    unit: str = ""
    """Unit of the value."""
    on_request: bool = False
    """Measured only where `--protocols` or the preset names it: another pass of a large network."""
    headline: bool = True
    """Whether it stands in the first table of a leaderboard; else in the second."""
    unrounded: bool = False
    """Whether the encoder sees translations as floats, before they are rounded to uint8."""
    as_published: bool = False
    """Whether rows are taken as in the paper's code: 128 sources in the first style, then in the second and so on; what
    does not fill a batch of 512 is dropped."""


ALL = "all"
"""Label of the records that pool every class."""

TRANSLATION = TranslationProtocol(name="translate-v1", batch=32, styles=5, sources="test")

ACROSS_GROUP = 5
"""Sources per group in `lpips-across-v1`."""
NDB_BINS = 20
"""Bins of `ndb-pixels-v1` (the paper names none; its values reach 19)."""

PROBE_TRAINING_IMAGES = 150
"""Training images of each class, at most, that the probe of `accuracy-probe-v1` is fitted to."""
PROBE_TEST_IMAGES = 50
"""Test images of each class, at most, that its own accuracy is measured on."""

ALIGNMENT_REFERENCE_IMAGES = 500
"""Training images of each class, at most, that decide which class a category stands for."""
NO_CATEGORIES = "—"
"""What stands in place of an alignment of a method that has no categories."""

_BOTH: tuple[SplitName, ...] = ("train", "test")
_FRECHET = "|m1-m2|² + tr(S1 + S2 - 2 (S1 S2)^½), divisor n-1, float64, nuclear norm of the cross-Gram"
_KERNEL = "unbiased MMD² of the kernel (xᵀy / width + 1)³ over all pairs, float64, not scaled; can be negative"
_POOL3 = "Inception-v3 2015-12-05, pool3, 2048 wide"
_INCEPTION = f"uint8, TF1 bilinear to 299 px (torch-fidelity's), {_POOL3}"
_JUDGE = "uint8 / 255, last features of the target domain's judge"
_ALEXNET = "uint8 / 127.5 - 1; below 64 px enlarged to 64 px, bilinear; LPIPS 0.1 AlexNet"
_PIXELS = "uint8, flattened"
_MANIFOLD = {
    "precision": "share of translations inside at least one real 3-nearest-neighbour ball",
    "recall": "share of real images inside at least one 3-nearest-neighbour ball of the translations",
    "density": "real 5-nearest-neighbour balls that a translation is in, over 5",
    "coverage": "share of real 5-nearest-neighbour balls that hold a translation",
}


def _distribution(name: str, metric: str, encoder: EncoderName, preparation: str, formula: str) -> Protocol:
    """Lower is better, against train + test, one style per source; comparable unless the judge reads the images."""
    return Protocol(
        name=name, metric=metric, encoder=encoder, preparation=preparation, styles=1, reference=_BOTH, formula=formula,
        comparable=encoder != "judge", higher_is_better=False,
    )  # fmt: skip


def _manifold(encoder: EncoderName, preparation: str) -> list[Protocol]:
    return [
        replace(
            _distribution(f"{metric}-{encoder}-v1", metric, encoder, preparation, formula),
            higher_is_better=True,
            headline=False,
        )
        for metric, formula in _MANIFOLD.items()
    ]


def _inception_variants() -> list[Protocol]:
    """FID as others compute it: the same network, other inputs."""
    floats = "float [0, 1], not rounded (real images: uint8 / 255), bilinear to 299 px without antialias (pytorch-fid)"
    pytorch = replace(
        _distribution("fid-pytorch-v1", "fid", "inception-pytorch", f"{floats}, {_POOL3}", _FRECHET),
        on_request=True,
        unrounded=True,
    )
    rounded = replace(pytorch, unrounded=False)
    published = replace(pytorch, name="fid-pytorch-paper-v1", styles=TRANSLATION.styles, as_published=True)
    return [
        pytorch,
        replace(pytorch, name="fid-pytorch-test-v1", reference=("test",)),
        published,
        replace(published, name="fid-pytorch-paper-test-v1", reference=("test",)),
        replace(
            rounded, name="fid-clean-v1", encoder="inception-clean",
            preparation=f"uint8, PIL bicubic in float to 299 px, clipped (clean-fid), {_POOL3}",
        ),
        replace(
            rounded, name="fid-inception-bf16-v1", encoder="inception-bf16",
            preparation=f"{_INCEPTION}, network in bfloat16",
        ),
    ]  # fmt: skip


_ACCURACY = Protocol(
    name="accuracy-judge-v1",
    metric="accuracy",
    encoder="judge",
    preparation="uint8 / 255",
    styles=1,
    reference=(),
    formula="share of translations that the target domain's judge gives the source's true class, in percent",
    comparable=False,
    higher_is_better=True,
    unit="%",
)
_ACCURACY_BY_PROBE = replace(
    _ACCURACY,
    name="accuracy-probe-v1",
    encoder="inception-probe",
    preparation=_INCEPTION,
    formula="share of translations that a multinomial logistic regression, fitted to the features of the first "
    f"{PROBE_TRAINING_IMAGES} training images of each class of the target domain, gives the source's true class, "
    "in percent",
)
_LPIPS = Protocol(
    name="lpips-alexnet-v1",
    metric="lpips",
    encoder="alexnet",
    preparation=_ALEXNET,
    styles=TRANSLATION.styles,
    reference=(),
    formula="mean over sources of the mean LPIPS over the pairs of styles of one source",
    comparable=True,
    higher_is_better=True,
)
_LPIPS_ACROSS = replace(
    _LPIPS,
    name="lpips-across-v1",
    metric="lpips_across",
    styles=1,
    formula=f"mean LPIPS over the pairs of translations of different sources, within random groups of {ACROSS_GROUP}",
    headline=False,
)
_DIVERSITY = replace(
    _LPIPS,
    name="diversity-judge-v1",
    metric="judge_diversity",
    encoder="judge",
    preparation=f"{_JUDGE}, unit length",
    formula="mean over sources of the mean (1 - cosine) over the pairs of styles of one source",
    comparable=False,
)
_NDB = replace(
    _distribution(
        "ndb-pixels-v1", "ndb", "pixels", _PIXELS,
        f"of {NDB_BINS} k-means bins of the real images, those whose shares differ (two-proportion z-test, 5 % each)",
    ),
    headline=False,
)  # fmt: skip
_JSD = replace(
    _NDB,
    name="jsd-pixels-v1",
    metric="jsd",
    formula=f"Jensen-Shannon divergence of the shares of {NDB_BINS} k-means bins of the real images, in nats",
)


def _alignments() -> list[Protocol]:
    """Agreement of a method's categories with the classes, on the sources and on real images of the target domain."""
    mapped = Protocol(
        name="alignment-v1",
        metric="alignment",
        encoder="categories",
        preparation="uint8, as the method reads them",
        styles=1,
        reference=(),
        formula="share of source images whose category is mapped to their class, in percent; the map is by majority on "
        f"the first {ALIGNMENT_REFERENCE_IMAGES} training images of each class of the clustered domain (eq. 14)",
        comparable=True,
        higher_is_better=True,
        unit="%",
    )
    others = {
        "hungarian": (
            "share of source images that agree under the one-to-one map that suits them best, in percent",
            "%",
        ),
        "nmi": ("normalised mutual information of categories and classes of source images", ""),
        "ari": ("adjusted Rand index of categories and classes of source images", ""),
    }
    source = [
        mapped,
        *(
            replace(mapped, name=f"{metric}-v1", metric=metric, formula=formula, unit=unit, headline=False)
            for metric, (formula, unit) in others.items()
        ),
    ]
    target = [
        replace(
            protocol, name=protocol.name.replace("-v1", "-target-v1"), headline=False,
            formula=protocol.formula.replace("source images", "real test images of the target domain"),
        )
        for protocol in source
    ]  # fmt: skip
    return source + target


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        _ACCURACY,
        _ACCURACY_BY_PROBE,
        _distribution("fid-inception-v1", "fid", "inception", _INCEPTION, _FRECHET),
        _distribution("kid-inception-v1", "kid", "inception", _INCEPTION, _KERNEL),
        *_inception_variants(),
        replace(
            _distribution(
                "fd-dinov2-v1", "fid", "dinov2",
                "uint8, bicubic with antialias to 224 px, DINOv2 ViT-L/14, class token, 1024 wide", _FRECHET,
            ),
            on_request=True,
        ),
        _distribution("fid-judge-v1", "fid", "judge", _JUDGE, _FRECHET),
        _distribution("kid-judge-v1", "kid", "judge", _JUDGE, _KERNEL),
        _LPIPS,
        _DIVERSITY,
        *_manifold("inception", _INCEPTION),
        *_manifold("judge", _JUDGE),
        _NDB,
        _JSD,
        _LPIPS_ACROSS,
        *_alignments(),
    )
}  # fmt: skip

OURS = frozenset(PROTOCOLS)
"""Those of this project; a process adds to PROTOCOLS what it meets of others."""
OUTSIDE: dict[str, Metric] = {}
"""Metrics from outside that were loaded, by the names of their protocols."""
BROKEN: dict[str, str] = {}
"""Those that could not be, and why."""
BROUGHT = "brought by "
"""Beginning of the name of an encoder that a metric brings."""

LEAST_ACCURACY = 80.0
"""Percent of real test images that a judge has to be right on; below it is weak, and nothing is decided by it."""

FREE = ("judge", "pixels", "categories")
"""Encoders that need no weights from elsewhere; the last is the method itself."""


def select_protocols(wanted: Iterable[str] = ()) -> tuple[Protocol, ...]:
    """Protocols that are always measured and those named in `wanted`, in the order of `PROTOCOLS`.

    A name may also be that of an installed plug-in, or `package.module:name` of a metric. One that cannot be imported
    is a warned line, and a protocol without values. Raises BenchError for a name that is none of these.
    """
    named = set(wanted)
    for name in sorted(named - OURS):
        target = plugin_target(METRICS, name)
        if not target:
            valid = [*OURS, *installed_plugins(METRICS)]
            raise BenchError(
                f"unknown protocol '{name}'",
                error_remedy(name, valid) + "; see: list protocols; or package.module:name of a metric",
            )
        PROTOCOLS[name] = _outside_protocol(name, target)
    return tuple(protocol for protocol in PROTOCOLS.values() if not protocol.on_request or protocol.name in named)


def _outside_protocol(name: str, target: str) -> Protocol:
    """The protocol of the metric at `target`, which is loaded."""
    from metrics.plugin import ImageMetric, SetMetric

    known = BROKEN.pop(name, "")
    try:
        metric: Metric | None = load_plugin(target, (ImageMetric, SetMetric))
    except Exception as error:  # other people's code may raise anything while it is imported
        metric, BROKEN[name] = None, f"{type(error).__name__}: {error}"
        if BROKEN[name] != known:  # a command selects more than once
            say(f"warning: metric {name} ({target}) cannot be imported: {BROKEN[name]}")
    usual = replace(
        _LPIPS, name=name, metric=name, encoder=f"{BROUGHT}{name}", preparation="as the metric reads them", styles=1,
        on_request=True, headline=False, formula="a metric that could not be imported", unit="",
    )  # fmt: skip
    if metric is None:
        return usual
    OUTSIDE[name] = metric
    stated = replace(usual, formula=metric.formula, higher_is_better=metric.higher_is_better, unit=metric.unit)
    if isinstance(metric, ImageMetric):
        return replace(stated, encoder="pixels", preparation="uint8 translations and their sources")
    return replace(
        stated, reference=_BOTH, preparation=metric.preparation or stated.preparation,
        encoder=metric.encoder if isinstance(metric.encoder, str) else stated.encoder,
    )  # fmt: skip


def only_one_protocol(names: Sequence[str], what: str) -> None:
    """Raise ValueError if `names`, the protocols (or encoders) of values that are to be shown together, differ."""
    if len(set(names)) > 1:
        raise ValueError(f"{what}: values of {', '.join(sorted(set(names)))} must not share a column")
