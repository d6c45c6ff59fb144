"""Layouts of a folder of images: which domains it holds, their classes, and a split of its own.

    <domain>/<class>/            <split>/<domain>/<class>/       <domain>/<split>/<class>/
    <domain>/                    <split>/<domain>/               <domain>/<split>/
    trainA trainB testA testB    (valA valB)

Splits are called train, val, valid, validation or test, in any case. Where folders can be read in two ways, nothing is
guessed: the error shows both readings and what to type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import BenchError, error_remedy, merged_errors
from bench.data.sources.names import check_names, check_pair, one_name, printable, two_forms
from bench.data.sources.walk import folders_in, image_suffix, visible_in
from bench.data.types import SplitName

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""A split's folder, in lower case -> what it is."""
SPLIT_AND_DOMAIN = re.compile(f"((?i:{'|'.join(SPLIT_NAMES)}))_?([AB])")
"""Such as trainA and testB, in which CycleGAN's data sets come."""
VAL_CHOICES = ("", "train", "out")
"""What `--val` takes: validation images join the training images, or are left out; empty: left out."""
LAYOUTS = (
    "ROOT/<domain>/<class>/<image>, ROOT/<domain>/<image>, ROOT/<split>/<domain>/..., or trainA trainB testA testB"
)
STRAY = 4
"""As many images beside class folders are no accident: which of both is the data?"""

Splits = Mapping[str, Path]
"""`train`, `val` or `test` -> its folder; the one key "" where there is no split."""


@dataclass(frozen=True)
class Part:
    """A folder of images of one class and split."""

    folder: Path
    label: int
    """Index into `Layout.classes`; 0 where there are none."""
    split: SplitName | None
    """None: test images are chosen by content."""


@dataclass(frozen=True)
class Layout:
    """How a folder is read."""

    line: str
    """`layout: trainA trainB testA testB; no classes; the data's own split`."""
    domains: tuple[str, str]
    classes: tuple[str, ...]
    """Sorted by name; empty: the images are not sorted into classes."""
    parts: Mapping[str, tuple[Part, ...]]
    """Domain -> where its images lie, class by class."""


def read_layout(
    root: Path, domains: Sequence[str] | None = None, known: Sequence[str] | None = None, val: str = ""
) -> Layout:
    """The layout of `root` and its two domains.

    `domains` is the user's choice (`--domains a,b`: the order is domain 0, domain 1); otherwise `known` (of the task,
    for example sketch and photo) if both are there; otherwise there must be exactly two, in name order. Of trainA and
    trainB, `known` are the names. `val`: see VAL_CHOICES. Raises BenchError for what is ambiguous or incomplete.
    """
    if not root.is_dir():
        raise BenchError(f"{printable(root)} is not a folder", f"give a folder: {LAYOUTS}")
    if val not in VAL_CHOICES:
        raise BenchError(f"--val {val!r} is not understood", error_remedy(val, list(VAL_CHOICES[1:])))
    form, tree = _form(root, domains, known)
    pair = _choose(root, list(tree), domains, known)
    check_names(root, pair, [])
    check_pair(root, *pair)
    if not form:
        form, tree = _inside(root, pair)
    splits, about = _used_splits(root, {domain: tree[domain] for domain in pair}, val)
    classes = _classes(root, [folder for domain in pair for _, folder in splits[domain]])
    parts = {
        domain: tuple(
            Part(folder / name if classes else folder, label, split)
            for label, name in enumerate(classes or ("",))
            for split, folder in splits[domain]
        )
        for domain in pair
    }
    line = f"layout: {form}{'<class>/' if classes and form.endswith('/') else ''}; {_about_classes(classes)}; {about}"
    return Layout(line, pair, classes, parts)


def _about_classes(classes: Sequence[str]) -> str:
    if len(classes) < 2:
        return f"one class, {classes[0]}: as without" if classes else "no classes"
    return f"{len(classes)} classes"


# ------------------------------------------------------------------------------------------------------- the forms


def _form(
    root: Path, domains: Sequence[str] | None, known: Sequence[str] | None
) -> tuple[str, dict[str, dict[str, Path]]]:
    """(the layout, domain -> its splits) where folders of splits stand at the top; else ("", every folder)."""
    present = folders_in(root)
    plain: dict[str, dict[str, Path]] = {name: {"": root / name} for name in present}
    lettered = {name: found for name in present if (found := SPLIT_AND_DOMAIN.fullmatch(name))}
    if lettered and not (domains and set(domains) <= set(present) - set(lettered)):
        return _lettered(root, present, lettered, known)
    named = [name for name in present if is_split(name)]
    if len(named) < 2 or len(named) < len(present):
        if named == present and named:  # `train` alone
            return _split_first(root, named)
        kinds = {SPLIT_NAMES[name.lower()] for name in named}
        if "train" in kinds and len(kinds) > 1 and not (domains and set(domains) <= {*present}):
            others = ", ".join(printable(name) for name in present if name not in named)
            raise BenchError(
                f"{root} can be read in two ways: splits, {' and '.join(named)}, beside which stands {others}; "
                f"or {len(present)} domains",
                f"move {others} out of it; or, if all are domains, choose two: --domains {present[0]},{present[1]}",
            )
        return "", plain
    inner = {name: folders_in(root / name) for name in named}
    deeper = [folder for name in named for folder in inner[name] if folders_in(root / name / folder)]
    if domains and set(domains) <= set(named) and not deeper:
        return "", plain
    every = {folder for listed in inner.values() for folder in listed}
    chosen = domains or (known if known and set(known) <= every else None)
    if not deeper and every and not (chosen and set(chosen) & every):
        below = sorted(every)
        raise BenchError(
            f"{root} can be read in two ways: domains, {' and '.join(named)}, with the classes {_some(below)}; "
            f"or splits, {' and '.join(named)}, of the domains {_some(below)}",
            f"if they are splits, name the domains: --domains {','.join((below * 2)[:2])}; "
            f"if they are domains: --domains {named[0]},{named[1]}",
        )
    return _split_first(root, named)


def _split_first(root: Path, named: Sequence[str]) -> tuple[str, dict[str, dict[str, Path]]]:
    """Of `<split>/<domain>/`."""
    tree: dict[str, dict[str, Path]] = {}
    for name in named:
        for domain in folders_in(root / name):
            _add_split(tree.setdefault(domain, {}), root, name, root / name / domain)
    if not tree:
        raise BenchError(
            f"{root} can be read in two ways: splits, {', '.join(named)}, without folders of domains; "
            f"or domains, {', '.join(named)}, without classes",
            f"if they are splits, give {LAYOUTS}; if they are domains: --domains {','.join((list(named) * 2)[:2])}",
        )
    return "<split>/<domain>/", tree


def _add_split(splits: dict[str, Path], root: Path, name: str, folder: Path) -> None:
    split = SPLIT_NAMES[name.lower()]
    if split in splits:
        raise BenchError(f"{splits[split]} and {folder} are one split, {split}", "put their images into one folder")
    splits[split] = folder


def _lettered(
    root: Path, present: Sequence[str], lettered: Mapping[str, re.Match[str]], known: Sequence[str] | None
) -> tuple[str, dict[str, dict[str, Path]]]:
    """Of trainA, trainB, testA, testB."""
    if strangers := [name for name in present if name not in lettered]:
        raise BenchError(
            f"{root} can be read in two ways: {', '.join(lettered)}, beside which stands {_some(strangers)}; "
            f"or {len(present)} domains",
            f"move {', '.join(map(printable, strangers))} out of it; or choose two domains: --domains a,b",
        )
    tree: dict[str, dict[str, Path]] = {}
    for name, found in lettered.items():
        letter = found[2].upper()
        _add_split(
            tree.setdefault(dict(zip("AB", known or "AB", strict=True))[letter], {}), root, found[1], root / name
        )
    if len(tree) == 1:
        raise BenchError(
            f"{root} holds only {', '.join(lettered)}: one domain", "the layout is trainA trainB testA testB"
        )
    return " ".join(sorted(lettered, key=lambda name: (list(SPLIT_NAMES).index(lettered[name][1].lower()), name))), tree


def _inside(root: Path, pair: Sequence[str]) -> tuple[str, dict[str, dict[str, Path]]]:
    """(`<domain>/` or `<domain>/<split>/`, domain -> its splits) of two domains at the top."""
    inside = {domain: folders_in(root / domain) for domain in pair}
    split = [domain for domain in pair if inside[domain] and all(is_split(name) for name in inside[domain])]
    kinds = {domain: {SPLIT_NAMES[name.lower()] for name in inside[domain]} for domain in split}
    if any("train" in kind and len(kind) > 1 for kind in kinds.values()):
        for domain in pair:
            if domain not in split:
                other = split[0]
                raise BenchError(
                    f"{root / other} holds splits, {', '.join(inside[other])}, and {root / domain} does not",
                    "give both domains the same splits",
                )
        tree: dict[str, dict[str, Path]] = {domain: {} for domain in pair}
        for domain in pair:
            for name in inside[domain]:
                _add_split(tree[domain], root, name, root / domain / name)
        return "<domain>/<split>/", tree
    return "<domain>/", {domain: {"": root / domain} for domain in pair}


def is_split(name: str) -> bool:
    """Whether a folder's name is that of a split, in any case."""
    return name.lower() in SPLIT_NAMES


def _choose(
    root: Path, present: list[str], domains: Sequence[str] | None, known: Sequence[str] | None
) -> tuple[str, str]:
    if domains is not None:
        if len(domains) != 2 or len(set(domains)) != 2:
            raise BenchError(f"two different domains are needed, got {', '.join(domains)}", "type --domains a,b")
        for name in domains:
            if name not in present:
                raise BenchError(
                    f"{root} has no domain '{printable(name)}'",
                    error_remedy(name, [printable(other) for other in present]),
                )
        return domains[0], domains[1]
    if known is not None and all(name in present for name in known):
        return known[0], known[1]
    if len(present) < 2:
        what = f"only the domain '{printable(present[0])}'" if present else "no domains"
        raise BenchError(f"{root} holds {what}; two are needed", f"the layout is {LAYOUTS}")
    if len(present) > 2:
        raise BenchError(
            f"{root} holds {len(present)} domains: {', '.join(map(printable, present))}",
            f"choose two: --domains {printable(present[0])},{printable(present[1])}",
        )
    return present[0], present[1]


# ------------------------------------------------------------------------------------------------ splits and classes


def _used_splits(
    root: Path, tree: Mapping[str, Splits], val: str
) -> tuple[dict[str, list[tuple[SplitName | None, Path]]], str]:
    """Domain -> (split, folder) of what is used, and in words which that is."""
    (first, one), (second, other) = tree.items()
    lone = [
        f"{d} has no split '{name}'" for d, a, b in ((first, one, other), (second, other, one)) for name in {*b} - {*a}
    ]
    if lone:
        raise BenchError(
            f"{root}: a split without its domain: {'; '.join(sorted(lone))}",
            "add its images, or remove that split of the other domain",
        )
    names = set(one)
    if names == {""} or names == {"train"}:
        (name,) = names
        if val:
            raise BenchError(f"--val {val}: {root} has no validation images", "leave out --val")
        about = "test images chosen by content" + (", there is no test split" if name else "")
        return {domain: [(None, splits[name])] for domain, splits in tree.items()}, about
    if "train" not in names or len(names) == 1:
        raise BenchError(f"{root} has the splits {', '.join(sorted(names))}, and no 'train'", "add training images")
    if "val" not in names and val:
        raise BenchError(f"--val {val}: {root} has no validation images", "leave out --val")
    if "test" not in names and val:
        raise BenchError(f"--val {val}: the validation images are the only test images of {root}", "leave out --val")
    used: list[tuple[SplitName, str]] = [("train", "train"), ("test", "test" if "test" in names else "val")]
    about = "the data's own split"
    if "test" not in names:
        about += ", val is its test"
    elif "val" in names:
        about += ", val joins train (--val train)" if val == "train" else ", val is left out (--val train adds it)"
        used += [("train", "val")] if val == "train" else []
    return {domain: [(split, splits[name]) for split, name in used] for domain, splits in tree.items()}, about


def _classes(root: Path, folders: Sequence[Path]) -> tuple[str, ...]:
    """The classes, which every one of `folders` (of a domain, or of its splits) has; empty where none has any."""
    names = {folder: folders_in(folder) for folder in folders}
    check_names(root, [], [folder / name for folder in folders for name in names[folder]])
    for folder, inside in names.items():
        images = sum(image_suffix(path) and not path.is_dir() for path in visible_in(folder))
        if inside and images >= STRAY:
            raise BenchError(
                f"{folder} can be read in two ways: {images} images without classes; or the classes {_some(inside)}",
                "if there are no classes, move all images up and remove the folders; else sort every image into one",
            )
    if not any(names.values()):
        return ()
    for folder, inside in names.items():
        if not inside:
            sorted_one = next(other for other in folders if names[other])
            raise BenchError(
                f"{folder} has no class folders, and {sorted_one} has {_some(names[sorted_one])}",
                "sort the images of both domains into the same classes, or those of neither",
            )
    _check_same(names)
    return tuple(sorted(names[folders[0]]))


def _check_same(names: Mapping[Path, Sequence[str]]) -> None:
    """Raise one BenchError that names every class that some folder lacks."""
    forms: list[BenchError] = []
    alone: list[BenchError] = []
    every = sorted({name for inside in names.values() for name in inside})
    for lacks, inside in names.items():
        for name in (name for name in every if name not in inside):
            has = next(folder for folder in names if name in names[folder])
            twins = [other for other in inside if one_name(name, other)]
            if twins and has / name < lacks / twins[0]:
                forms.append(two_forms(has / name, lacks / twins[0]))
            alone.append(
                BenchError(
                    f"class '{name}' is in {has} but not in {lacks}",
                    f"add {lacks / name}/ with images, or remove {has / name}",
                )
            )
    if forms or alone:
        raise merged_errors(forms or alone)


def _some(names: Sequence[str]) -> str:
    return (", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")) or "(none)"
