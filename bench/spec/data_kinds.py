"""Kinds of data, as one word that stands in a run's specification, in folder names and in every table.

`real` are the published files, `embedded` and `mnist-drawn` are drawn, and `real-svhn-8000-2000` are real files in
the publisher's format that are not the published ones: SVHN with 8,000 training and 2,000 test images. The numbers of
images are part of the kind, so that such results never share a table with those of the published files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

REAL = "real"
DRAWN = ("embedded", "mnist-drawn")
_OTHER_FILES = re.compile(r"-([a-z0-9]+)-(\d+)-(\d+)")


def data_kind_of_other_files(counts: Mapping[str, tuple[int, int]]) -> str:
    """The kind of data whose domains in `counts` (name -> training and test images) are not the published files."""
    return REAL + "".join(f"-{domain}-{train}-{test}" for domain, (train, test) in counts.items())


def is_real_data_kind(kind: str) -> bool:
    """Whether nothing of it is drawn: the published files or others."""
    return kind == REAL or kind.startswith(f"{REAL}-")


def data_kind_note(kind: str) -> str:
    """`SVHN: 8,000 / 2,000 images, not the published files`; empty for data that is published, or drawn."""
    if kind == REAL or not is_real_data_kind(kind):
        return ""
    found = _OTHER_FILES.findall(kind.removeprefix(REAL))
    counts = "; ".join(f"{domain.upper()}: {int(train):,} / {int(test):,} images" for domain, train, test in found)
    return f"{counts}, not the published files"
