"""Damage for the fuzz tests: what disks, transfers, editors and unfriendly people do to files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

Damage = Callable[[bytes], bytes]

EXTREMES = [
    number.to_bytes(width, order, signed=False)
    for width in (2, 4, 8)
    for number in (0, 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1, 2 ** (4 * width))
    for order in ("little", "big")
]  # type: ignore[misc]
"""Numbers that a header should not hold."""
PLACES = st.one_of(st.integers(0, 600), st.integers(-600, -1), st.integers(0, 1 << 20))
"""Where: headers stand at the beginning, directories of archives at the end."""


def _at(place: int, content: bytes) -> int:
    return place % max(len(content), 1)


def _overwrite(place: int, new: bytes) -> Damage:
    return lambda old: old[: _at(place, old)] + new + old[_at(place, old) + len(new) :]


def _flip(place: int, bit: int) -> Damage:
    return lambda old: old[: (at := _at(place, old))] + bytes(b ^ 1 << bit for b in old[at : at + 1]) + old[at + 1 :]


def _move(place: int, length: int, target: int) -> Damage:
    return lambda old: (
        old[: _at(target, old)] + old[_at(place, old) : _at(place, old) + length] + old[_at(target, old) :]
    )


def _cut(place: int, length: int) -> Damage:
    return lambda old: old[: _at(place, old)] + old[_at(place, old) + length :]


damages: st.SearchStrategy[Damage] = st.one_of(
    st.builds(_flip, PLACES, st.integers(0, 7)),
    st.builds(_overwrite, PLACES, st.one_of(st.sampled_from(EXTREMES), st.binary(min_size=1, max_size=16))),
    st.builds(_move, PLACES, st.integers(1, 4096), PLACES),
    st.builds(_cut, PLACES, st.one_of(st.integers(1, 64), st.just(1 << 30))),  # the second: all of the rest
    st.builds(lambda new: lambda old: new, st.binary(max_size=200)),
)


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """`good`, one to four times damaged."""
    content = good
    for damage in draw(st.lists(damages, min_size=1, max_size=4)):
        content = damage(content)
    return content


# ------------------------------------------------------------------------------------------------------------- JSON

RAW = "raw:"
"""A text that begins so stands for itself in the file, without quotes."""
ODD: list[Any] = [
    None, True, -1, 0, 3.5, "", "x" * 10_000, [], {}, [[]], {"": None}, f"{RAW}NaN", f"{RAW}-Infinity", f"{RAW}1e999",
    f"{RAW}{'9' * 400}", f"{RAW}{'9' * 5000}", f"{RAW}{'[' * 100_000}", f"{RAW}{'[' * 500}{']' * 500}", "\ud800",
    "../../etc/passwd", "<script>alert(1)</script>", f"{RAW}",
]  # fmt: skip


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything inside `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


@st.composite
def damaged_json(draw: st.DrawFn, good: bytes) -> bytes:
    """`good` with one to three values taken away or replaced by odd ones; or damaged as any other file."""
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged(good))
    value = json.loads(good)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value))
        if not places:
            break
        container, key = places[draw(st.integers(0, len(places) - 1))]
        if draw(st.integers(0, 4)) == 0:
            del container[key]
        else:
            container[key] = deepcopy(draw(st.sampled_from(ODD)))  # or the next change would change ODD
    text = json.dumps(value)
    for odd in ODD:
        if isinstance(odd, str) and odd.startswith(RAW):
            text = text.replace(json.dumps(odd), odd.removeprefix(RAW))
    return text.encode()
