"""Names of domains and classes that the file system allows: used, or refused with the reason before anything trains."""

from __future__ import annotations

import json
import os
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.core.errors import BenchError
from bench.data.load import load_data
from bench.data.sources.layouts import read_layout
from bench.data.sources.names import LONGEST_PAIR, check_pair
from bench.spec.tasks import get_task
from bench.store.cell import cell_direction_file


def tree(root: Path, domains: tuple[str, str] = ("ink", "paint"), classes: tuple[str, ...] = ("cross", "disc")) -> Path:
    rng = np.random.default_rng(0)
    for domain in domains:
        for name in classes:
            (root / domain / name).mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / domain / name / f"{number}.png")
    return root


def test_latin_1_names(tmp_path: Path) -> None:
    tree(tmp_path)
    latin = os.fsdecode(b"caf\xe9")
    for domain in ("ink", "paint"):
        (tmp_path / domain / "cross" / "0.png").rename(tmp_path / domain / "cross" / f"{latin}.png")
    assert len(load_data(get_task("folder"), str(tmp_path), 8).splits[0, "train"]) == 4  # names of files do not count
    (tmp_path / "ink" / "cross" / f"{latin}.png").write_bytes(b"damaged")
    with pytest.raises(BenchError, match="caf\ufffd\\.png cannot be decoded"):
        load_data(get_task("folder"), str(tmp_path), 8)
    for domain in ("ink", "paint"):
        (tmp_path / domain / "disc").rename(tmp_path / domain / latin)
    with pytest.raises(BenchError, match="ink/caf\ufffd is not UTF-8") as caught:
        read_layout(tmp_path)
    str(caught.value).encode()


def test_two_unicode_forms_of_a_name(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "ink/disc").rename(tmp_path / "ink/Caf\u00e9")
    (tmp_path / "paint/disc").rename(tmp_path / "paint/Cafe\u0301")
    with pytest.raises(BenchError, match=r"one name in two Unicode forms: 'Caf\\xe9', 'Cafe\\u0301'"):
        read_layout(tmp_path)
    for domain in ("ink", "paint"):
        for name in ("Caf\u00e9", "Cafe\u0301"):
            (tmp_path / domain / name).mkdir(exist_ok=True)
    with pytest.raises(BenchError, match="two Unicode forms"):
        read_layout(tmp_path)


@pytest.mark.parametrize(
    ("domains", "classes", "said"),
    [
        (("ink", "paint"), ("all", "disc"), "a class cannot be called 'all'"),
        (("a" * 120, "b" * 120), ("cross", "disc"), "have 240 bytes together"),
        (("x", "x2x"), ("cross", "disc"), "one name: x2x2x"),
        (("a->b", "paint"), ("cross", "disc"), "separates domains"),
        (("ink", "paint"), ("two\nlines", "disc"), r"two\\nlines holds control characters"),
    ],
)
def test_names_that_results_cannot_hold(tmp_path: Path, domains: tuple, classes: tuple, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        read_layout(tree(tmp_path, domains, classes))


def test_folders_of_this_program_are_no_domains(tmp_path: Path) -> None:
    tree(tmp_path)
    for made in ("results/runs/folder/real-quick/cell/spec.json", "cache/prepared/0123/prepared.json"):
        (tmp_path / made).parent.mkdir(parents=True)
        (tmp_path / made).write_text("{}")
    assert read_layout(tmp_path).domains == ("ink", "paint")
    (tmp_path / "runs").mkdir()  # a domain may be called so
    with pytest.raises(BenchError, match="3 domains: ink, paint, runs"):
        read_layout(tmp_path)


NAME = st.binary(min_size=1, max_size=120).map(lambda raw: os.fsdecode(raw.replace(b"/", b"").replace(b"\0", b"")))
LETTERS = st.text(min_size=1, max_size=40).map(lambda text: text.encode("utf-8", "ignore").decode().replace("/", ""))


@settings(max_examples=1000, deadline=None, database=None)
@given(names=st.lists((NAME | LETTERS).map(lambda x: x.replace("\0", "")), min_size=3, max_size=3, unique=True))
@example(["x", "x2x", "disc"])
@example(["trainA", os.fsdecode(b"caf\xe9"), "disc"])  # an error that names a stranger beside splits
def test_a_name_is_used_as_it_is_or_refused_with_a_reason(names: list[str]) -> None:
    """What is accepted can be stored, printed, put in a file's name, and told from every other."""
    names = [name for name in names if name and name not in (".", "..") and len(os.fsencode(name)) <= 255]
    if len(names) < 3:
        return
    first, second, label = names
    with tempfile.TemporaryDirectory() as folder:
        for domain in (first, second):
            os.makedirs(os.path.join(folder, domain, label))
        try:
            layout = read_layout(Path(folder), (first, second))
        except BenchError as error:
            str(error).encode()
            return
    pair = layout.domains
    if label.startswith("."):  # hidden: as if it were not there
        assert (pair, layout.classes) == ((first, second), ())
        return
    assert (pair, layout.classes) == ((first, second), (label,))
    for name in names:
        assert json.loads(json.dumps(name).encode()) == name
        assert len(name.splitlines()) == 1
    assert label != "all"
    forth, back = (cell_direction_file(f"{a}->{b}") for a, b in (pair, pair[::-1]))
    assert forth != back
    assert len(os.fsencode(f".translations-{forth}-exemplar.npy.xxxxxxxx.tmp")) <= 255


def test_the_longest_pair(tmp_path: Path) -> None:
    check_pair(tmp_path, "a" * (LONGEST_PAIR - 2), "\u00e9")
    with pytest.raises(BenchError, match=f"{LONGEST_PAIR + 1} bytes"):
        check_pair(tmp_path, "a" * (LONGEST_PAIR - 1), "\u00e9")
    assert unicodedata.normalize("NFC", "e\u0301") == "\u00e9"
