"""The paper's numbers (Lavoie et al., ICLR 2021, arXiv 2010.01262), and where they do not fit together.

`results/paper.csv` has every number that the paper prints: its tables, and the accuracies in the text of 4.1 and 4.2.
The values of its bar charts (Figs. 3, 7, 8) are printed nowhere. A table's own names of methods, directions and classes
are kept; which of ours they are, paper.py says.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache

from bench.core.installation import installed_results


@dataclass(frozen=True)
class Published:
    """One row of published.csv."""

    table: str
    """`Table 1`, `Table 2`, `Table 3a`, `Table 3b`, `Table 4`, `Text 4.1` or `Text 4.2`."""
    task: str
    """`mnist_svhn` or `sketch_real`."""
    direction: str
    """`M->S`, `S->M`, `Sketch->Real`; in the text the domain that was clustered or classified."""
    method: str
    variant: str
    """`full`, or what distinguishes an ablation."""
    label: str
    """Class, or `all`."""
    metric: str
    """`accuracy` (percent), `fid`, `lpips`, `ndb`, `jsd`, or an accuracy of the text."""
    value: float
    decimals: int
    """Decimals that the paper prints."""
    higher_is_better: bool


@dataclass(frozen=True)
class Inconsistency:
    """Something in the paper that its own numbers, or the authors' code, do not bear out."""

    place: str
    """Where in the paper it is."""
    text: str
    tables: tuple[str, ...]
    """The tables (as in `Published.table`) below which it is to be said."""
    method: str = ""
    """The numbers it is about; an empty field: any."""
    variant: str = ""
    label: str = ""
    metric: str = ""

    @property
    def footnote(self) -> str:
        """Place and text, for a footnote."""
        return f"{self.place}: {self.text}"

    def about(self, number: Published) -> bool:
        """Whether it is about this number rather than about a whole table."""
        wanted = (self.method, self.variant, self.label, self.metric)
        has = (number.method, number.variant, number.label, number.metric)
        return (
            any(wanted) and number.table in self.tables and all(w in ("", h) for w, h in zip(wanted, has, strict=True))
        )


@cache
def _all() -> tuple[Published, ...]:
    text = (installed_results() / "paper.csv").read_text(encoding="utf-8")
    return tuple(
        Published(
            row["source_table"], row["task"], row["direction"], row["method"], row["variant"], row["class"],
            row["metric"], float(row["value"]), len(row["value"].partition(".")[2]), row["higher_is_better"] == "1",
        )
        for row in csv.DictReader(text.splitlines())
    )  # fmt: skip


def published(**wanted: str) -> tuple[Published, ...]:
    """The numbers whose fields equal `wanted` (`table="Table 2", label="all"`), in the order of the paper; all without.

    Raises TypeError for a field that there is not.
    """
    if unknown := set(wanted) - set(Published.__dataclass_fields__):
        raise TypeError(f"published numbers have no {sorted(unknown)}")
    return tuple(row for row in _all() if all(getattr(row, name) == value for name, value in wanted.items()))


def published_inconsistencies(table: str) -> tuple[Inconsistency, ...]:
    """The inconsistencies that stand below `table`."""
    return tuple(one for one in INCONSISTENCIES if table in one.tables)


_FID_TABLES = ("Table 1", "Table 2", "Table 3a", "Table 3b")

INCONSISTENCIES = (
    Inconsistency(
        "Tables 2 and 3b, CatS-UDT over all classes",
        "58.69 in Table 2 and 58.59 in Table 3b, for the same model: the five classes agree to the last digit",
        ("Table 2",), method="CatS-UDT", label="all",
    ),
    Inconsistency(
        "Tables 2 and 3b, CatS-UDT over all classes",
        "58.59 in Table 3b and 58.69 in Table 2, for the same model: the five classes agree to the last digit",
        ("Table 3b",), variant="cond=style", label="all",
    ),
    Inconsistency(
        "Table 3a, lambda_sty = 0",
        "better than the full model over all (53.43 against 58.69) and on flower, speedboat and tiger; the text of 4.2 "
        "speaks of lambda_sem alone, and the authors' command for the main model sets lambda_sty = 0, too",
        ("Table 3a",), variant="lambda_sty=0", label="all",
    ),
    Inconsistency(
        "Table 3a, lambda_SD = 0",
        "better than the full model over all (58.47 against 58.69), too, which the text does not mention",
        ("Table 3a",), variant="lambda_sd=0", label="all",
    ),
    Inconsistency(
        "Table 3, caption",
        "the caption speaks of translation accuracy; the numbers are FIDs",
        ("Table 3a", "Table 3b"),
    ),
    Inconsistency(
        "Table 3b, Content(VGG)",
        "there is no code for it; ours is a reading of the text, with features of a network trained on labels",
        ("Table 3b",), variant="cond=content_vgg",
    ),
    Inconsistency(
        "Section 4.2 against Table 3b, None",
        "the text says that this variant has one style per class; no number of the paper measures that",
        ("Table 3b",), variant="cond=none",
    ),
    Inconsistency(
        "Table 4, LPIPS of EGSC-IT",
        "a tenth of the others' (0.672 to 0.736): another computation than theirs, or a lost digit (0.64)",
        ("Table 4",), method="EGSC-IT", metric="lpips",
    ),
    Inconsistency(
        "Table 4, LPIPS of CatS-UDT",
        "a tenth of the others' (0.672 to 0.736): another computation than theirs, or a lost digit (0.65)",
        ("Table 4",), method="CatS-UDT", metric="lpips",
    ),
    Inconsistency(
        "Table 4, LPIPS of CycleGAN",
        "CycleGAN is deterministic: between translations of one source its LPIPS is 0, so 0.713 must be between "
        "translations of different sources",
        ("Table 4",), method="CycleGAN", metric="lpips",
    ),
    Inconsistency(
        "Section 4.2 against Table 4, CatS-UDT",
        "the text says that CatS-UDT is less diverse; its NDB of 12 is the best of the row, its JSD of 0.033 is not",
        ("Table 4",), method="CatS-UDT", metric="ndb",
    ),
    Inconsistency(
        "Table 4, caption",
        "the caption says 'qualitatively' of numbers, and NBD for NDB; neither paper nor code has settings for LPIPS, "
        "NDB or JSD: NDB up to 19 needs 19 bins or more, and ours are a guess",
        ("Table 4",),
    ),
    Inconsistency(
        "Tables 2 and 4, methods",
        "MUNIT is missing, and the columns stand in another order than in Table 1; EGSC-IT bears "
        "the asterisk of Table 1 here, too",
        ("Table 2", "Table 4"),
    ),
    Inconsistency(
        "Section 4.1, baselines",
        "the baselines are said to have been tuned; no settings are reported",
        ("Table 1", "Table 2", "Table 4"),
    ),
    Inconsistency(
        "Tables 1 to 3, FID",
        "protocol of the authors' code: pytorch-fid of 2020 (bilinear resize to 299 px without antialiasing, no "
        "rounding to 8 bit), images beyond the last full batch left out, and not the same number of styles per source: "
        "5 for CatS-UDT, 10 for StarGAN-V2 and Content, 20 for None, 1 for deterministic methods. Nearest to it is "
        "fid-pytorch-paper-v1 (Table 1: fid-pytorch-paper-test-v1); fid-inception-v1 is another number",
        _FID_TABLES,
    ),
    Inconsistency(
        "Tables 2 and 3, FID",
        "neither paper nor code says which sketches were translated, and how many; the real images were train + test. "
        "Much of a FID of so few images is bias, which depends on their number: compare the columns, not the rows",
        ("Table 2", "Table 3a", "Table 3b"),
    ),
    Inconsistency(
        "Table 1, accuracy",
        "protocol of the authors' code: all test images of the source (10,000 or 26,032), one style each, Wide ResNet "
        "16-8 of the target domain; the one for SVHN was trained on 'extra' only, for its validation split took all of "
        "SVHN's train",
        ("Table 1",), metric="accuracy", method="Target classifier",
    ),
    Inconsistency(
        "Section 4.2, cluster accuracies",
        "said to be on the test set, but 92.13, 75.47 and 90.32 % are no multiples of 1/75, the test images of the "
        "authors' split; their code measures training features",
        ("Text 4.2",), label="all",
    ),
    Inconsistency(
        "Names",
        "EGSC-IT is also written EGST-IT and EGSC-It; appendix B.2 cites BicycleGAN for CycleGAN",
        ("Table 1",),
    ),
)  # fmt: skip
"""All, in the order of the notes. The captions of Figs. 1a and 8c contradict it too, without a number."""
