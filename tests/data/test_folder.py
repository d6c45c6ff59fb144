"""Any <domain>/<class>/ tree: what is accepted and refused, how odd images are decoded
(bench/data/sources/folder.py)."""

from __future__ import annotations

import hashlib
import io
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from folder_trees import class_folders, folder_sources
from PIL import Image
from real_files import real_file

from bench.core.errors import BenchError
from bench.data.load import load_data
from bench.data.prepare import prepare_data
from bench.data.sources.decode import decode_rgb
from bench.data.sources.layouts import read_layout
from bench.spec.tasks import get_task


def png(seed: int) -> bytes:
    return encoded(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 6, 3), dtype=np.uint8)))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tree(root: Path, domains: tuple[str, ...] = ("photo", "sketch"), count: int = 6) -> Path:
    seed = 0
    for domain in domains:
        for name in ("cat", "hat"):
            folder = root / domain / name
            folder.mkdir(parents=True)
            for k in range(count):
                (folder / f"{k}.png").write_bytes(png(seed := seed + 1))
    return root


# ------------------------------------------------------------------------------------------------------ the tree


def test_two_domains_and_their_classes(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "README.txt").write_text("a plain file beside the domains")
    (tmp_path / "photo" / "list.csv").write_text("a plain file beside the classes")
    assert read_layout(tmp_path).domains == ("photo", "sketch")
    assert read_layout(tmp_path).classes == ("cat", "hat")
    assert read_layout(tmp_path, ("sketch", "photo")).domains == ("sketch", "photo")
    assert read_layout(tmp_path, known=("sketch", "photo")).domains == ("sketch", "photo")


def test_not_a_folder_and_one_domain_only(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="nowhere is not a folder"):
        read_layout(tmp_path / "nowhere")
    with pytest.raises(BenchError, match="no domains"):
        read_layout(tmp_path)
    with pytest.raises(BenchError, match="only the domain 'photo'"):
        read_layout(tree(tmp_path, ("photo",)))


def test_more_than_two_domains_need_a_choice(tmp_path: Path) -> None:
    tree(tmp_path, ("art", "photo", "sketch"))
    with pytest.raises(BenchError, match="3 domains: art, photo, sketch") as caught:
        read_layout(tmp_path)
    assert "--domains art,photo" in caught.value.remedy
    assert read_layout(tmp_path, ("sketch", "art")).domains == ("sketch", "art")
    assert read_layout(tmp_path, known=("sketch", "photo")).domains == ("sketch", "photo")
    with pytest.raises(BenchError, match="no domain 'sketsch'") as caught:
        read_layout(tmp_path, ("sketsch", "art"))
    assert "'sketch'" in caught.value.remedy
    with pytest.raises(BenchError, match="two different domains"):
        read_layout(tmp_path, ("art", "art"))


def test_class_in_one_domain_only(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "photo" / "mouse").mkdir()
    with pytest.raises(BenchError, match=r"class 'mouse' is in .*photo but not in .*sketch"):
        read_layout(tmp_path)


def test_all_faults_of_a_folder_are_named_at_once(tmp_path: Path) -> None:
    """A folder collected by hand has many: one run must be enough to learn of those of a kind."""
    tree(tmp_path)
    for lonely in ("photo/mouse", "sketch/louse"):
        (tmp_path / lonely).mkdir()
    with pytest.raises(BenchError) as caught:
        load_data(get_task("folder"), str(tmp_path), 8)
    assert all(f"class '{name}' is in" in caught.value.what for name in ("mouse", "louse"))
    for lonely in ("photo/mouse", "sketch/louse"):
        (tmp_path / lonely).rmdir()
    for name in ("photo/cat/notes.txt", "photo/hat/list.csv", "sketch/hat/a.heic"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "sketch" / "cat" / "more").mkdir()
    with pytest.raises(BenchError) as caught:
        load_data(get_task("folder"), str(tmp_path), 8)
    assert all(name in caught.value.what for name in ("notes.txt", "list.csv", "a.heic", "cat/more is a folder"))
    assert caught.value.remedy.count("convert it") == 1


def test_all_damaged_images_of_a_domain_are_named_at_once(tmp_path: Path) -> None:
    tree(tmp_path, count=30)
    for k in range(25):
        (tmp_path / "photo" / "cat" / f"{k}.png").write_bytes(b"damaged")
    sources = class_folders(tmp_path, "photo"), class_folders(tmp_path, "sketch")
    with pytest.raises(BenchError) as caught:
        prepare_data(sources, 32, tmp_path / "prepared", "folder", "")
    assert caught.value.what.count("cannot be decoded") == 25
    assert not list((tmp_path / "prepared").rglob("*.npy"))
    printed = str(caught.value).splitlines()
    assert printed[-2:] == ["... and 5 more", "  repair or remove this image and run the same command again"]


def test_domain_without_classes(tmp_path: Path) -> None:
    tree(tmp_path, ("photo",))
    (tmp_path / "sketch").mkdir()
    with pytest.raises(BenchError, match="sketch has no class folders"):
        read_layout(tmp_path)


def test_empty_and_too_small_class(tmp_path: Path) -> None:
    tree(tmp_path)
    hat = tmp_path / "sketch" / "hat"
    for k in (0, 1, 2):
        (hat / f"{k}.png").unlink()
    with pytest.raises(BenchError, match=r"hat has 3 images; at least 4"):
        class_folders(tmp_path, "sketch")
    for path in hat.iterdir():
        path.unlink()
    with pytest.raises(BenchError, match=r"hat holds no images"):
        class_folders(tmp_path, "sketch")


def test_system_files_are_ignored_others_refused(tmp_path: Path) -> None:
    tree(tmp_path)
    cat = tmp_path / "photo" / "cat"
    for name in (".DS_Store", "._0.png", "Thumbs.db", "desktop.ini"):
        (cat / name).write_bytes(b"junk")
    for folder in (tmp_path / "__MACOSX" / "photo", tmp_path / ".git", tmp_path / "photo" / ".cache", cat / "__MACOSX"):
        folder.mkdir(parents=True)
    assert folder_sources(tmp_path)[0].count() == 12
    (cat / "moving.gif").write_bytes(b"GIF89a")
    with pytest.raises(BenchError, match=r"moving\.gif is not an image of a known type"):
        class_folders(tmp_path, "photo")
    (cat / "moving.gif").unlink()
    (cat / "more").mkdir()
    with pytest.raises(BenchError, match=r"more is a folder among the images"):
        class_folders(tmp_path, "photo")


# ------------------------------------------------------------------------------------------------------ the split


@pytest.mark.parametrize(("count", "tests"), [(4, 2), (10, 2), (20, 4), (33, 7)])
def test_split_is_the_first_fifth_by_digest(tmp_path: Path, count: int, tests: int) -> None:
    tree(tmp_path, ("photo",), count)
    source = class_folders(tmp_path, "photo")
    for label, name in enumerate(source.classes):
        mine = [item for item in source.items() if item.label == label]
        digest = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "photo" / name).iterdir()}
        expected = {str(path) for path in sorted(digest, key=lambda p: digest[p])[:tests]}
        assert {item.name for item in mine if item.split == "test"} == expected
        assert len(mine) == count


def test_names_do_not_count_but_bytes_do(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    (two / "photo/cat/0.png").rename(two / "photo/cat/renamed.PNG")
    sources = [class_folders(root, "photo") for root in (one, two)]
    assert sources[0].fingerprint() == sources[1].fingerprint()
    (two / "photo/cat/renamed.PNG").write_bytes(png(99))
    assert class_folders(two, "photo").fingerprint() != sources[0].fingerprint()


# ------------------------------------------------------------------------------------------------------ decoding


def test_truncated_image_is_named(tmp_path: Path) -> None:
    tree(tmp_path)
    path = tmp_path / "photo" / "cat" / "3.png"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BenchError, match=r"photo/cat/3\.png cannot be decoded"):
        [item.pixels for item in class_folders(tmp_path, "photo").items()]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "PNG"])
def test_truncated_of_every_kind(kind: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    data = encoded(image, kind)
    assert decode_rgb(data, "x").shape == (40, 40, 3)
    with pytest.raises(BenchError, match="x cannot be decoded"):
        decode_rgb(data[: len(data) // 2], "x")
    with pytest.raises(BenchError, match="x cannot be decoded"):
        decode_rgb(b"", "x")


def test_unknown_content_under_a_known_suffix() -> None:
    with pytest.raises(BenchError, match=r"a\.png cannot be decoded"):
        decode_rgb(encoded(Image.new("RGB", (4, 4)), "TIFF"), "a.png")


def test_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("L", (100, 100)))
    for limit in (8000, 2000):  # Pillow warns above the limit and raises above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(BenchError, match=r"x is too large: more than 0 million pixels") as caught:
            decode_rgb(data, "x")
        assert "smaller" in caught.value.remedy


def test_grey_and_one_bit() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    assert (decode_rgb(encoded(Image.fromarray(grey)), "x") == grey[:, :, None]).all()
    bits = Image.fromarray(grey > 100)
    assert bits.mode == "1"
    assert (decode_rgb(encoded(bits), "x") == np.where(grey > 100, 255, 0)[:, :, None]).all()


def test_sixteen_bit_grey_keeps_the_upper_bits() -> None:
    values = np.array([[0, 255, 256], [32768, 65280, 65535]], np.uint16)
    data = encoded(Image.fromarray(values))
    assert decode_rgb(data, "x")[:, :, 0].tolist() == [[0, 0, 1], [128, 255, 255]]


def test_transparency_is_composited_on_white() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = (0, 51, 255)
    for kind in ("PNG", "WEBP"):
        out = decode_rgb(
            encoded(Image.fromarray(rgba), kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})), "x"
        )
        # 255 + alpha (c - 255) by hand
        assert out[0].tolist() == [[255, 255, 255], [244, 204, 204], [200, 0, 0]]
    grey = Image.fromarray(np.array([[[10, 0], [10, 255]]], np.uint8))
    assert grey.mode == "LA"
    assert decode_rgb(encoded(grey), "x")[0].tolist() == [[255] * 3, [10] * 3]


def test_palette_with_and_without_transparency() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    white = [255, 255, 255]
    assert decode_rgb(encoded(image), "x")[0].tolist() == colours
    assert decode_rgb(encoded(image, transparency=1), "x")[0].tolist() == [colours[0], white, colours[2]]
    several = bytes([0, 255, 0])  # an alpha for each palette entry
    assert decode_rgb(encoded(image, transparency=several), "x")[0].tolist() == [white, colours[1], white]


def test_colour_key() -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert decode_rgb(encoded(image, transparency=(1, 2, 3)), "x")[0].tolist() == [[255] * 3, [4, 5, 6]]


def test_cmyk() -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # magenta and yellow ink: red
    out = decode_rgb(encoded(image, "JPEG", quality=100), "x")
    assert out.shape == (8, 8, 3)
    assert abs(out.astype(int) - [255, 0, 0]).max() <= 3  # JPEG's own rounding


def test_exif_orientation() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    out = decode_rgb(encoded(Image.fromarray(pixels), exif=exif), "x")
    assert out.shape == (3, 2, 3)
    assert out[0, 1].tolist() == [255, 255, 255]
    assert out.sum() == 3 * 255


def test_real_pacs() -> None:
    root = real_file("datasets/pacs")
    sketch, photo = folder_sources(root, ("sketch", "photo"))
    assert (sketch.domain, photo.domain) == ("sketch", "photo")
    assert sketch.classes == photo.classes == ("dog", "elephant", "giraffe", "guitar", "horse")
    assert (sketch.count(), photo.count()) == (3689, 958)
    assert next(sketch.items()).pixels.shape == next(photo.items()).pixels.shape == (227, 227, 3)


def test_what_is_no_file_is_named_and_never_opened(tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to would wait for ever."""
    tree(tmp_path)
    cat = tmp_path / "photo" / "cat"
    os.mkfifo(cat / "pipe.png")
    (cat / "to device.png").symlink_to("/dev/zero")
    (cat / "nowhere.png").symlink_to("absent.png")
    with socket.socket(socket.AF_UNIX) as listening:
        before = Path.cwd()
        os.chdir(cat)  # a socket's path has 108 bytes at most
        try:
            listening.bind("socket.jpg")
        finally:
            os.chdir(before)
        with pytest.raises(BenchError) as caught:
            class_folders(tmp_path, "photo")
    said = {
        "pipe.png is a named pipe",
        "to device.png is a device",
        "nowhere.png is a link that leads nowhere",
        "socket.jpg is a socket",
    }
    assert all(line in caught.value.what for line in said), caught.value.what


def test_arrays_of_another_decoding_are_not_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path)
    before = class_folders(tmp_path, "photo").fingerprint()
    monkeypatch.setattr("bench.data.sources.folder.DECODING_VERSION", 3)
    assert class_folders(tmp_path, "photo").fingerprint() != before
