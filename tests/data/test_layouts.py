"""Layouts of a folder of images: how each is read, in one line, and what is ambiguous (bench/data/sources/layouts.py).

What is right is counted from the names of the folders, each of which holds another number of images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.core.errors import BenchError
from bench.data.load import load_data
from bench.data.sources.layouts import SPLIT_NAMES, read_layout
from bench.data.types import TaskData
from bench.spec.tasks import get_task


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "0.png").touch()
    return root


def images(root: Path, **counts: int) -> Path:
    """`counts`: folder, with __ for a slash -> number of different images in it."""
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        folder = root / name.replace("__", "/")
        folder.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return root


def loaded(root: Path, domains: str = "", val: str = "", task: str = "folder") -> TaskData:
    return load_data(get_task(task), str(root), 8, domains, val)


def counts(data: TaskData) -> list[int]:
    """Training and test images of domain 0, then of domain 1."""
    return [len(data.splits[domain, split]) for domain in (0, 1) for split in ("train", "test")]


# ------------------------------------------------------------------------------------------------ the five layouts


def test_cyclegan_s_layout(tmp_path: Path) -> None:
    data = loaded(images(tmp_path, trainA=5, trainB=6, testA=3, testB=4))
    assert (data.domains, data.classes, data.labelled, counts(data)) == (("A", "B"), (), False, [5, 3, 6, 4])
    assert "layout: trainA trainB testA testB; no classes; the data's own split" in data.note
    assert loaded(tmp_path, "B,A").domains == ("B", "A")
    with pytest.raises(BenchError, match="has no domain 'trainA'") as caught:
        loaded(tmp_path, "trainA,trainB")
    assert "A, B" in caught.value.remedy


def test_validation_images_join_or_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    images(tmp_path, trainA=5, trainB=6, testA=3, testB=4, valA=7, valB=8)
    left_out, joined = loaded(tmp_path), loaded(tmp_path, val="train")
    assert counts(left_out) == counts(loaded(tmp_path, val="out")) == [5, 3, 6, 4]
    assert counts(joined) == [5 + 7, 3, 6 + 8, 4]
    assert "val is left out (--val train adds it)" in left_out.note
    assert "val joins train (--val train)" in joined.note
    assert left_out.version != joined.version
    with pytest.raises(BenchError, match="--val 'test' is not understood"):
        loaded(tmp_path, val="test")


def test_afhq_s_layout_once_its_domains_are_named(tmp_path: Path) -> None:
    images(tmp_path, train__cat=5, train__dog=6, train__wild=9, val__cat=3, val__dog=4, val__wild=2)
    data = loaded(tmp_path, "dog,wild")
    assert (data.domains, data.classes, counts(data)) == (("dog", "wild"), (), [6, 4, 9, 2])
    assert "layout: <split>/<domain>/; no classes; the data's own split, val is its test" in data.note
    with pytest.raises(BenchError, match="the only test images"):
        loaded(tmp_path, "dog,wild", val="train")


def test_flat_domains(tmp_path: Path) -> None:
    data = loaded(images(tmp_path, ink=10, paint=20))
    assert (data.domains, data.classes, counts(data)) == (("ink", "paint"), (), [8, 2, 16, 4])
    assert "layout: <domain>/; no classes; test images chosen by content" in data.note
    with pytest.raises(BenchError, match=r"--val train: .* has no validation images"):
        loaded(tmp_path, val="train")


def test_classes_inside_splits_and_splits_inside_domains(tmp_path: Path) -> None:
    names = {f"{s}__{d}__{c}": n for s, n in (("train", 5), ("test", 3)) for d in ("ink", "paint") for c in "ab"}
    data = loaded(images(tmp_path / "one", **names))
    assert (data.classes, counts(data)) == (("a", "b"), [10, 6, 10, 6])
    assert "layout: <split>/<domain>/<class>/; 2 classes; the data's own split" in data.note
    names = {f"{d}__{s}__{c}": n for s, n in (("Train", 5), ("valid", 3)) for d in ("ink", "paint") for c in "ab"}
    data = loaded(images(tmp_path / "two", **names))
    assert (data.classes, counts(data)) == (("a", "b"), [10, 6, 10, 6])
    assert np.bincount(data.splits[0, "train"].labels).tolist() == [5, 5]
    assert "layout: <domain>/<split>/<class>/; 2 classes; the data's own split, val is its test" in data.note
    flat = images(tmp_path / "three", ink__train=5, ink__test=3, paint__train=6, paint__test=4)
    assert counts(loaded(flat)) == [5, 3, 6, 4]


def test_one_class_is_as_none_with_its_name(tmp_path: Path) -> None:
    data = loaded(images(tmp_path, ink__thing=10, paint__thing=20))
    assert (data.classes, data.labelled, counts(data)) == (("thing",), False, [8, 2, 16, 4])
    assert "one class, thing: as without" in data.note


def test_a_training_split_alone_is_split_by_content(tmp_path: Path) -> None:
    data = loaded(images(tmp_path, trainA=10, trainB=20))
    assert counts(data) == [8, 2, 16, 4]
    assert "test images chosen by content, there is no test split" in data.note


def test_the_split_is_part_of_the_version_and_names_of_folders_are_not(tmp_path: Path) -> None:
    one = images(tmp_path / "one", trainA=5, trainB=6, testA=3, testB=4)
    two = images(tmp_path / "two", train__A=5, train__B=6, validation__A=3, validation__B=4)
    assert loaded(one).version == loaded(two, "A,B").version
    (two / "validation/A/0.png").rename(two / "train/A/new.png")
    assert loaded(one).version != loaded(two, "A,B").version


# ------------------------------------------------------------------------------------------------ what is ambiguous


@pytest.mark.parametrize("splits", [("train", "val"), ("Train", "Test"), ("valid", "train")])
def test_splits_are_never_trained_on_each_other_unasked(tmp_path: Path, splits: tuple[str, str]) -> None:
    """AFHQ's layout, domains of that name, or one domain with its split: nobody can tell from the folders."""
    folders(tmp_path, *(f"{split}/{name}" for split in splits for name in ("cat", "dog")))
    with pytest.raises(BenchError) as caught:
        read_layout(tmp_path)
    first, second = sorted(splits)
    assert f"domains, {first} and {second}, with the classes cat, dog" in caught.value.what
    assert f"splits, {first} and {second}, of the domains cat, dog" in caught.value.what
    assert caught.value.remedy == (
        f"if they are splits, name the domains: --domains cat,dog; if they are domains: --domains {first},{second}"
    )
    assert read_layout(tmp_path, ("cat", "dog")).classes == ()
    layout = read_layout(tmp_path, (first, second))
    assert (layout.domains, layout.classes) == ((first, second), ("cat", "dog"))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("trainA", "trainB", "testA"), "a split without its domain: B has no split 'test'"),
        (("train/ink/a", "train/paint/a", "test/ink/a"), "paint has no split 'test'"),
        (("ink/train", "ink/test", "paint"), "ink holds splits, test, train, and .*paint does not"),
        (("testA", "testB"), "has the splits test, and no 'train'"),
        (("trainA", "testA"), "holds only testA, trainA: one domain"),
        (("valA", "validA", "trainA", "trainB", "valB"), "are one split, val"),
        (("trainA", "trainB", "testA", "testB", "extra"), "two ways: .*, beside which stands extra; or 5 domains"),
        (("train/ink", "test/ink", "photos"), "two ways: splits, .*, beside which stands photos; or 3 domains"),
        (("train", "test"), "two ways: splits, .* without folders of domains; or domains, .* without classes"),
        (("ink/a", "paint"), "paint has no class folders, and .*ink has a"),
        (("train/ink/a", "train/paint/a", "test/ink/a", "test/paint/b"), "class 'b' is in .*test/paint but not in"),
    ],
)
def test_what_is_incomplete_or_ambiguous_is_said(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        read_layout(folders(tmp_path, *names))


def test_a_class_or_domain_may_be_called_like_a_split(tmp_path: Path) -> None:
    folders(tmp_path, "train/steam", "train/toy", "photo/steam", "photo/toy")
    assert read_layout(tmp_path).domains == ("photo", "train")
    folders(tmp_path / "vehicles", "ink/train", "ink/bus", "paint/train", "paint/bus")
    assert read_layout(tmp_path / "vehicles").classes == ("bus", "train")
    folders(tmp_path / "words", "vala", "testb")  # no trainA beside them, and small letters
    assert read_layout(tmp_path / "words").domains == ("testb", "vala")


def test_images_beside_class_folders(tmp_path: Path) -> None:
    """One preview there is an accident; as many as a domain needs are a second reading."""
    images(tmp_path, ink__a=4, paint__a=4)
    for number in range(4):
        assert read_layout(tmp_path).classes == ("a",)
        (tmp_path / f"ink/{number}.png").write_bytes((tmp_path / f"ink/a/{number}.png").read_bytes())
    with pytest.raises(BenchError, match="two ways: 4 images without classes; or the classes a"):
        read_layout(tmp_path)


SPELLED = st.sampled_from(sorted(SPLIT_NAMES)).flatmap(lambda name: st.sampled_from([name, name.title(), name.upper()]))
NAMES = SPELLED | st.sampled_from(["cat", "dog", "trainA", "trainB", "testA", "testB", "val_A", ".hidden", "__MACOSX"])


@settings(max_examples=400, deadline=None, database=None)
@given(
    paths=st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), min_size=1, max_size=8, unique=True),
    domains=st.none() | st.tuples(NAMES, NAMES),
)
def test_any_tree_is_read_or_refused_with_a_remedy(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str], domains: tuple[str, str] | None
) -> None:
    """What is read: no image in two places, training and test images of both domains never in one folder."""
    root = tmp_path_factory.mktemp("tree")
    for path in paths:
        (root / path).mkdir(parents=True, exist_ok=True)
        (root / path / "0.png").touch()
    try:
        layout = read_layout(root, domains)
    except BenchError as error:
        if not (error.what and error.remedy):
            pytest.fail("an error without a remedy")
        return
    assert layout.line.startswith("layout: ")
    assert layout.domains == (domains or layout.domains)
    places = [part.folder for domain in layout.domains for part in layout.parts[domain]]
    assert len(places) == len(set(places))
    assert all(place.is_dir() for place in places)
    for domain in layout.domains:
        splits = {part.split for part in layout.parts[domain]}
        assert splits in ({None}, {"train", "test"})
        assert {part.label for part in layout.parts[domain]} == set(range(max(1, len(layout.classes))))
        for part in layout.parts[domain]:
            words = [word.lower() for word in part.folder.relative_to(root).parts]
            if part.split == "train":
                assert any(word.startswith("train") for word in words)
            if part.split == "test":
                assert any(word.startswith(("test", "val")) for word in words)
