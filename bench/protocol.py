"""Named, versioned metric protocols. A number belongs to its protocol; numbers of two never share a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TranslationProtocol:
    """How the images to be scored are made."""

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
    """How one metric is computed. Any change of a field needs a new name."""

    name: str
    """Name and version, as it stands in table headers."""
    metric: str
    """`fid`, `kid`, `lpips`, `judge_diversity` or `accuracy`."""
    encoder: Literal["inception", "alexnet", "judge"]
    """Network that reads the images."""
    preparation: str
    """From stored uint8 images to the encoder's input."""
    styles: int
    """How many of the styles per source are used."""
    reference: str
    """Real images on the other side; empty where the metric has none."""
    formula: str
    """What is computed from the features."""
    comparable: bool
    """Whether values may stand beside those of other data or other harnesses."""
    higher_is_better: bool
    """Direction."""
    unit: str = ""
    """Unit of the value."""


TRANSLATION = TranslationProtocol(name="translate-v1", batch=32, styles=5, sources="test")

_FORMULA = "|m1-m2|² + tr(S1 + S2 - 2 (S1 S2)^½), divisor n-1, float64, nuclear norm of the cross-Gram"
_KERNEL_FORMULA = "unbiased MMD² of the kernel (xᵀy / width + 1)³ over all pairs, float64, not scaled; can be negative"
_INCEPTION = "uint8, TF1 bilinear to 299 px (torch-fidelity's), Inception-v3 2015-12-05, pool3, 2048 wide"
_JUDGE = "uint8 / 255, last features of the target domain's judge"
_TRAIN_AND_TEST = "train + test of the target domain"

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="accuracy-judge-v1",
            metric="accuracy",
            encoder="judge",
            preparation="uint8 / 255",
            styles=1,
            reference="",
            formula="share of translations that the target domain's judge gives the source's true class, in percent",
            comparable=False,
            higher_is_better=True,
            unit="%",
        ),
        Protocol(
            name="fid-inception-v1",
            metric="fid",
            encoder="inception",
            preparation=_INCEPTION,
            styles=1,
            reference=_TRAIN_AND_TEST,
            formula=_FORMULA,
            comparable=True,
            higher_is_better=False,
        ),
        Protocol(
            name="kid-inception-v1",
            metric="kid",
            encoder="inception",
            preparation=_INCEPTION,
            styles=1,
            reference=_TRAIN_AND_TEST,
            formula=_KERNEL_FORMULA,
            comparable=True,
            higher_is_better=False,
        ),
        Protocol(
            name="fid-judge-v1",
            metric="fid",
            encoder="judge",
            preparation=_JUDGE,
            styles=1,
            reference=_TRAIN_AND_TEST,
            formula=_FORMULA,
            comparable=False,
            higher_is_better=False,
        ),
        Protocol(
            name="kid-judge-v1",
            metric="kid",
            encoder="judge",
            preparation=_JUDGE,
            styles=1,
            reference=_TRAIN_AND_TEST,
            formula=_KERNEL_FORMULA,
            comparable=False,
            higher_is_better=False,
        ),
        Protocol(
            name="lpips-alexnet-v1",
            metric="lpips",
            encoder="alexnet",
            preparation="uint8 / 127.5 - 1; below 64 px enlarged to 64 px, bilinear; LPIPS 0.1 AlexNet",
            styles=TRANSLATION.styles,
            reference="",
            formula="mean over sources of the mean LPIPS over the pairs of styles of one source",
            comparable=True,
            higher_is_better=True,
        ),
        Protocol(
            name="diversity-judge-v1",
            metric="judge_diversity",
            encoder="judge",
            preparation="uint8 / 255, last features of the target domain's judge, unit length",
            styles=TRANSLATION.styles,
            reference="",
            formula="mean over sources of the mean (1 - cosine) over the pairs of styles of one source",
            comparable=False,
            higher_is_better=True,
        ),
    )
}
