"""Pixels of PNG, JPEG and WebP files against decoders that share no code with Pillow: pypng and OpenCV
(bench/data/sources/decode.py)."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import png
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.core.errors import BenchError
from bench.data.sources.decode import decode_rgb, read_orientation

PNG_KINDS = [
    *(("grey", depth) for depth in (1, 2, 4, 8, 16)),
    *((kind, depth) for kind in ("rgb", "grey+alpha", "rgb+alpha") for depth in (8, 16)),
    *(("palette", depth) for depth in (1, 2, 4, 8)),
]
TURNED = {
    1: None, 2: lambda x: cv2.flip(x, 1), 3: lambda x: cv2.rotate(x, cv2.ROTATE_180), 4: lambda x: cv2.flip(x, 0),
    5: cv2.transpose, 6: lambda x: cv2.rotate(x, cv2.ROTATE_90_CLOCKWISE),
    7: lambda x: cv2.transpose(cv2.rotate(x, cv2.ROTATE_180)),
    8: lambda x: cv2.rotate(x, cv2.ROTATE_90_COUNTERCLOCKWISE),
}  # fmt: skip


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    turn = TURNED[orientation]
    return pixels if turn is None else turn(np.ascontiguousarray(pixels))


def on_white(rgba: np.ndarray) -> np.ndarray:
    colour, alpha = rgba[..., :3].astype(int), rgba[..., 3:].astype(int)
    return np.rint((colour * alpha + 255 * (255 - alpha)) / 255).astype(np.uint8)


def write_png(seed: int, kind: str, depth: int, transparent: bool, interlaced: bool) -> bytes:
    """A PNG of random pixels by pypng. A key is the colour of a pixel, and others differ from it by a bit or two."""
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 10, 2))
    channels = {"grey": 1, "rgb": 3, "grey+alpha": 2, "rgb+alpha": 4, "palette": 1}[kind]
    values = rng.integers(0, 1 << depth, (height, width, channels))
    options: dict[str, object] = {"greyscale": kind.startswith("grey"), "alpha": "alpha" in kind}
    if kind == "palette":
        palette = rng.integers(0, 256, (1 << depth, 4 if transparent else 3))
        options = {"palette": [tuple(int(value) for value in row) for row in palette]}
    elif transparent and kind in ("grey", "rgb"):
        key = values[0, 0].copy()
        near = rng.random((height, width)) < 0.5
        values[near] = key ^ (1 << rng.integers(0, depth, (int(near.sum()), channels)))
        values[rng.random((height, width)) < 0.3] = key
        options["transparent"] = int(key[0]) if kind == "grey" else tuple(int(value) for value in key)
    file = io.BytesIO()
    writer = png.Writer(width, height, bitdepth=depth, interlace=interlaced, **options)
    writer.write(file, values.reshape(height, -1).tolist())
    return file.getvalue()


def by_pypng(data: bytes) -> np.ndarray:
    width, height, rows, info = png.Reader(bytes=data).asDirect()
    values = np.array([list(row) for row in rows], np.int64).reshape(height, width, info["planes"])
    depth = info["bitdepth"]
    values = values >> 8 if depth == 16 else values * 255 // ((1 << depth) - 1)
    colour, alpha = (
        (values[..., :-1], values[..., -1:]) if info["alpha"] else (values, np.full_like(values[..., :1], 255))
    )
    return on_white(np.concatenate([np.broadcast_to(colour, (height, width, 3)), alpha], axis=2))


def by_opencv(data: bytes, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), flags), cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize(("kind", "depth"), PNG_KINDS)
@settings(max_examples=150, deadline=None, database=None)
@given(seed=st.integers(0, 2**32 - 1), transparent=st.booleans(), interlaced=st.booleans())
def test_png_of_every_kind(kind: str, depth: int, seed: int, transparent: bool, interlaced: bool) -> None:
    data = write_png(seed, kind, depth, transparent, interlaced)
    decoded = decode_rgb(data, "x")
    assert (decoded == by_pypng(data)).all()
    if not transparent and "alpha" not in kind:
        assert (decoded == by_opencv(data)).all()


# ------------------------------------------------------------------------------------------------- other chunks


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) if crc is None else crc)
    )


@pytest.mark.parametrize("added", [
    chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 2_000_000)),  # Pillow refuses over 1 MB
    chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * 2_000_000),
    chunk(b"tEXt", b"Title\0damaged", crc=0),
    chunk(b"iCCP", b"profile\0\0not compressed"),
    chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
    chunk(b"pHYs", b"") + chunk(b"gAMA", b"1") + chunk(b"cHRM", b"") + chunk(b"sRGB", b"") + chunk(b"acTL", b""),
])  # fmt: skip
def test_chunks_that_do_not_decide_the_pixels(added: bytes) -> None:
    plain = write_png(0, "rgb", 8, False, False)
    assert (decode_rgb(plain[:33] + added + plain[33:], "x") == by_pypng(plain)).all()
    end = len(plain) - 12
    assert (decode_rgb(plain[:end] + added + plain[end:], "x") == by_pypng(plain)).all()


# ------------------------------------------------------------------------------------------------ orientation

ENTRY = st.tuples(
    st.integers(0, 65535).filter(lambda tag: tag != 0x0112), st.integers(0, 14), st.integers(0, 2**32 - 1),
    st.binary(min_size=4, max_size=4)
)  # fmt: skip


def exif_block(order: str, before: list, orientation: int, kind: int, after: list, rest: bytes) -> bytes:
    """A TIFF header and one directory, with entries of any tag, type, count and content around the orientation."""
    code = {1: "Bxxx", 3: "Hxx", 4: "I", 6: "bxxx", 8: "hxx", 9: "i"}[kind]
    entries = [struct.pack(f"{order}HHI", tag, type_, count) + value for tag, type_, count, value in before]
    entries.append(struct.pack(f"{order}HHI", 0x0112, kind, 1) + struct.pack(order + code, orientation))
    entries += [struct.pack(f"{order}HHI", tag, type_, count) + value for tag, type_, count, value in after]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    return head + b"".join(entries) + rest


def with_exif(kind: str, image: np.ndarray, exif: bytes) -> bytes:
    """`image` encoded by OpenCV (no loss but JPEG's), with an EXIF block put in by hand."""
    plain = cv2.imencode({"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}[kind], image[..., ::-1])[1].tobytes()
    if kind == "JPEG":
        body = b"Exif\0\0" + exif
        return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain[2:]
    if kind == "PNG":
        return plain[:33] + chunk(b"eXIf", exif) + plain[33:]
    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", lossless=True, exact=True, exif=exif)
    return file.getvalue()


def picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (*rng.integers(1, 24, 2), 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@settings(max_examples=400, deadline=None, database=None)
@given(
    seed=st.integers(0, 2**32 - 1), order=st.sampled_from("<>"), orientation=st.integers(1, 8),
    type_=st.sampled_from((1, 3, 4, 6, 8, 9)), before=st.lists(ENTRY, max_size=5), after=st.lists(ENTRY, max_size=5),
    rest=st.binary(max_size=40),
)  # fmt: skip
@example(0, "<", 6, 3, [(0x011A, 5, 1, b"\xff" * 4), (0x9204, 10, 1, b"\xff" * 4)], [(0x9201, 9, 1, b"\xff" * 4)], b"")
def test_the_orientation_is_read_whatever_else_the_block_holds(
    kind: str, seed: int, order: str, orientation: int, type_: int, before: list, after: list, rest: bytes
) -> None:
    image, exif = picture(seed), exif_block(order, before, orientation, type_, after, rest)
    data = with_exif(kind, image, exif)
    stored = by_opencv(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if kind == "JPEG" else image
    assert (decode_rgb(data, "x") == turned(stored, orientation)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_as_opencv_applies_it(orientation: int) -> None:
    data = with_exif("JPEG", picture(orientation), exif_block(">", [], orientation, 3, [], b"\0" * 4))
    assert (decode_rgb(data, "x") == by_opencv(data)).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@settings(max_examples=400, deadline=None, database=None)
@given(seed=st.integers(0, 2**32 - 1), block=st.binary(max_size=120), cut=st.integers(0, 80), header=st.booleans())
def test_no_block_makes_an_intact_image_fail(kind: str, seed: int, block: bytes, cut: int, header: bool) -> None:
    image = picture(seed)
    exif = exif_block("<", [], 8, 3, [], block)[: len(block) + 26 - cut] if header else block
    data = with_exif(kind, image, exif)
    stored = by_opencv(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if kind == "JPEG" else image
    assert (decode_rgb(data, "x") == turned(stored, read_orientation(exif))).all()


def test_orientation_that_is_none() -> None:
    for value, type_, count in ((0, 3, 1), (9, 3, 1), (6, 3, 2), (6, 2, 1), (6, 5, 1), (-1, 8, 1)):
        exif = b"II*\0" + struct.pack("<IHHHI", 8, 1, 0x0112, type_, count) + struct.pack("<i", value)
        assert read_orientation(exif) == 1, (value, type_, count)
    twice = b"II*\0" + struct.pack("<IH", 8, 2) + b"".join(struct.pack("<HHII", 0x0112, 3, 1, v) for v in (3, 6))
    assert read_orientation(twice) == 3  # as OpenCV does


@pytest.mark.parametrize("marker", range(0xE1, 0xF0))
@pytest.mark.parametrize(
    "body",
    [b"", b"Exif\0\0", b"MPF\0II*\0\xff\xff\xff\xff", b"ICC_PROFILE\0\xff\xff", b"Photoshop 3.0\x008BIM\x03\xed"],
)
def test_segments_of_applications_do_no_harm(marker: int, body: bytes) -> None:
    plain = with_exif("JPEG", picture(3), b"")
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
    assert (decode_rgb(plain[:2] + segment + plain[2:], "x") == by_opencv(plain)).all()


@settings(max_examples=200, deadline=None, database=None)
@given(
    seed=st.integers(0, 2**32 - 1), quality=st.integers(1, 100), progressive=st.booleans(), grey=st.booleans(),
    sampling=st.sampled_from((0, 1, 2)), comment=st.binary(max_size=30),
)  # fmt: skip
def test_jpeg(seed: int, quality: int, progressive: bool, grey: bool, sampling: int, comment: bytes) -> None:
    file, image = io.BytesIO(), Image.fromarray(picture(seed))
    image = image.convert("L") if grey else image
    image.save(file, "JPEG", quality=quality, progressive=progressive, subsampling=sampling, comment=comment)
    assert (decode_rgb(file.getvalue(), "x") == by_opencv(file.getvalue())).all()


# ---------------------------------------------------------------------------------------------------- damage


@settings(max_examples=500, deadline=None, database=None)
@given(
    seed=st.integers(0, 1000), kind=st.sampled_from(("JPEG", "PNG", "WEBP", "BMP")), cut=st.integers(0, 400),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
)  # fmt: skip
def test_a_damaged_file_is_pixels_or_an_error_that_names_it(
    seed: int, kind: str, cut: int, changes: list[tuple[int, int]]
) -> None:
    file = io.BytesIO()
    Image.fromarray(picture(seed)).save(file, kind)
    data = bytearray(file.getvalue()[: len(file.getvalue()) - cut] if cut % 3 == 0 else file.getvalue())
    for place, value in changes:
        if data:
            data[place % len(data)] = value
    try:
        decoded = decode_rgb(bytes(data), "folder/name.png")
    except BenchError as error:
        assert error.what.startswith("folder/name.png ")  # noqa: PT017
        assert "BytesIO" not in error.what  # noqa: PT017
    else:
        assert decoded.dtype == np.uint8
        assert decoded.shape[2] == 3


def test_messages_say_what_the_file_is() -> None:
    with pytest.raises(BenchError, match=r"^a\.png cannot be decoded: the file is empty"):
        decode_rgb(b"", "a.png")
    with pytest.raises(BenchError, match=r"^a\.png cannot be decoded: no PNG, JPEG, WebP or BMP image"):
        decode_rgb(b"<html>not found</html>", "a.png")
