"""One encoded image (PNG, JPEG, WebP, BMP) -> RGB pixels.

Pillow is given what decides the pixels and nothing else: text, profiles, thumbnails and EXIF blocks are taken out
before, because a damaged or large one makes Pillow refuse an intact image. Of an EXIF block the orientation is read
here. So is a PNG's colour key, which Pillow does not scale to the depth of the pixels.
"""

from __future__ import annotations

import io
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from bench.core.errors import BenchError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
DECODING_VERSION = 2
"""Raised when a file's pixels change: part of the fingerprint of data whose files are decoded here."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
EXIF_PREFIX = b"Exif\0\0"
ORIENTATION = 0x0112
INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""Types of an EXIF entry that hold an integer -> format of `struct`."""


@dataclass(frozen=True)
class _Stripped:
    """An encoded image without the parts that do not decide its pixels."""

    data: bytes
    exif: bytes = b""
    key: bytes | None = None
    """Content of the tRNS chunk of a grey or RGB PNG: the colour that is transparent."""


def decode_rgb(data: bytes, name: str) -> np.ndarray:
    """An encoded image -> uint8 (h, w, 3). Raises BenchError naming `name` if it cannot be decoded.

    The EXIF orientation is applied. Transparency (alpha, palette or colour key) is composited on white. Grey is
    repeated, CMYK converted by Pillow without a colour profile, 16-bit depth reduced to its upper 8 bits, a colour key
    compared at full depth. Of an animation the first frame is taken.
    """
    try:
        with _only_bombs():
            return _decode(data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BenchError(
            f"{name} is too large: more than {(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels",
            "make it smaller (it is scaled down to the size of the task in any case)",
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders fail in many ways on damaged files
        reason = re.sub(r"<_io\.BytesIO[^>]*>", "the file", str(error)) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "no PNG, JPEG, WebP or BMP image, or its header is damaged" if data else "the file is empty"
        raise BenchError(
            f"{name} cannot be decoded: {reason}", "repair or remove this image and run the same command again"
        ) from error


class _OnlyBombs:
    """Context in which warnings are ignored (the pixels are what counts), apart from those of decompression bombs,
    which are errors.

    Python's filters belong to all threads: the first thread that enters sets them, the last that leaves puts back what
    was there. `warnings.catch_warnings` in each of several threads would leave the filters of one of them behind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._before.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._before.close()


_only_bombs = _OnlyBombs()


# ------------------------------------------------------------------------------------------------------- pixels


def _decode(data: bytes) -> np.ndarray:
    stripped = _stripped(data)
    with Image.open(io.BytesIO(stripped.data), formats=FORMATS) as opened:
        opened.load()
        exif = stripped.exif or opened.info.get("exif", b"")  # WebP's is not parsed by opening
        pixels = np.asarray(_to_rgb(opened))
        if stripped.key is not None:
            pixels = np.where(_keyed(opened, stripped)[:, :, None], np.uint8(255), pixels)
    return np.ascontiguousarray(_upright(pixels, read_orientation(exif)))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: "I;16", or "I" with values up to 65535
        values = np.asarray(image).astype(np.int64)
        image = Image.fromarray((values.clip(0, 65535) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _keyed(image: Image.Image, stripped: _Stripped) -> np.ndarray:
    """bool (h, w): the pixels of a grey or RGB PNG that have the colour key, compared at the depth of the file."""
    depth, colour = stripped.data[24], stripped.data[25]
    channels = 3 if colour == 2 else 1
    if stripped.key is None or len(stripped.key) != 2 * channels:
        return np.zeros((image.height, image.width), bool)
    highest = (1 << depth) - 1
    key = np.frombuffer(stripped.key, ">u2").astype(np.int64) & highest
    if depth == 16:
        values = np.asarray(image).astype(np.int64)
        if colour == 2:
            values = values << 8 | _lower_bytes(stripped.data)
    else:
        key = key * 255 // highest  # Pillow widens 1, 2 and 4 bits to 8
        values = np.asarray(image.convert("L") if colour == 0 else image).astype(np.int64)
    return (values.reshape(image.height, image.width, channels) == key).all(axis=2)


def _lower_bytes(png: bytes) -> np.ndarray:
    """uint8 (h, w, 3): the lower bytes of a 16-bit RGB PNG, of which Pillow keeps the upper ones."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as opened:
        opened.tile = [tile._replace(args="RGB;16L") for tile in opened.tile]
        return np.array(opened)


# ------------------------------------------------------------------------------------------------------- orientation


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The image (h, w, 3) as it is to be seen, by the eight values of EXIF 2.32, section 4.6.4."""
    if orientation >= 5:  # 5 to 8 are 1, 4, 3 and 2 with rows and columns exchanged
        pixels, orientation = pixels.transpose(1, 0, 2), {5: 1, 6: 2, 7: 3, 8: 4}[orientation]
    return {1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1]}[orientation]


def read_orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, in the first directory of an EXIF block; 1 where there is none that can be read.

    Nothing else is looked at, so nothing else in the block can do harm. The first entry of that tag counts.
    """
    tiff = exif.removeprefix(EXIF_PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    start = struct.unpack_from(f"{order}I", tiff, 4)[0]
    if start + 2 > len(tiff):
        return 1
    entries = struct.unpack_from(f"{order}H", tiff, start)[0]
    for place in range(start + 2, min(start + 2 + 12 * entries, len(tiff) - 11), 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", tiff, place)
        if tag == ORIENTATION:
            value = struct.unpack_from(order + INTEGERS[kind], tiff, place + 8)[0] if kind in INTEGERS else 1
            return value if count == 1 and 1 <= value <= 8 else 1
    return 1


# -------------------------------------------------------------------------------------------------------- containers


def _stripped(data: bytes) -> _Stripped:
    """What decides the pixels of a PNG or JPEG; other kinds as they are. What cannot be followed is left to Pillow."""
    if data.startswith(PNG_SIGNATURE):
        return _strip_png(data)
    return _strip_jpeg(data) if data.startswith(b"\xff\xd8") else _Stripped(data)


def _strip_png(data: bytes) -> _Stripped:
    """Critical chunks (their name begins with a capital), and of the others tRNS."""
    kept, exif, key, place = [PNG_SIGNATURE], b"", None, len(PNG_SIGNATURE)
    has_key = len(data) > 25 and data[25] in (0, 2)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if place + 12 + length > len(data):
            break
        if kind == b"eXIf":
            exif = exif or data[place + 8 : place + 8 + length]
        elif kind == b"tRNS" and has_key:
            key = data[place + 8 : place + 8 + length]
        elif kind[:1].isupper() or kind == b"tRNS":
            kept.append(data[place : place + 12 + length])
        place += 12 + length
    return _Stripped(b"".join([*kept, data[place:]]), exif, key)


def _strip_jpeg(data: bytes) -> _Stripped:
    """Everything but comments and APP1 to APP15; APP14 stays, which says how CMYK and RGB are stored."""
    kept, blocks, place = [data[:2]], list[bytes](), 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        length = struct.unpack_from(">H", data, place + 2)[0]
        if marker == 0xDA or length < 2 or marker == 0x01 or 0xD0 <= marker <= 0xD9:
            break
        segment = data[place : place + 2 + length]
        if marker == 0xE1 and segment[4:].startswith(EXIF_PREFIX):
            blocks.append(segment[4 + len(EXIF_PREFIX) :])
        if marker != 0xFE and (not 0xE1 <= marker <= 0xEF or marker == 0xEE):
            kept.append(segment)
        place += 2 + length
    return _Stripped(b"".join([*kept, data[place:]]), b"".join(blocks))
