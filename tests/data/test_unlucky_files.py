"""A disk that refuses, files that are damaged or in the way: what is said, and what is left behind."""

from __future__ import annotations

import errno
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.io import savemat
from small_judge import SETTINGS, make_data
from tiny import TINY_STAND_IN

from bench.core.device import Runtime
from bench.core.errors import BenchError
from bench.core.files import file_lock, remove_leftover_files, write_atomically, write_json
from bench.data.fetch import locate
from bench.data.fetch.manifest import ManifestForm
from bench.data.fetch.unpack import unpack_archive
from bench.data.sources.digits import Svhn, read_digits_mat
from bench.data.sources.folder import read_image_bytes
from bench.evaluation.feature_cache import FeatureCache
from bench.evaluation.judge import get_judge
from bench.store import checkpoints
from bench.store.checkpoints import CheckpointFolder
from bench.training.loop import LossLog
from bench.training.stand_in import stand_in_weights


def refuse(number: int) -> object:
    """A function that fails as a disk does."""

    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return failing


# ------------------------------------------------------------------------------------------------------- writing


def test_a_write_that_fails_by_itself_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    write_json(path, {"kept": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"value": float("nan")})

    def broken(file: object) -> None:
        raise KeyError("a bug in what writes")

    with pytest.raises(KeyError, match="a bug"):
        write_atomically(path, broken)
    assert [entry.name for entry in tmp_path.iterdir()] == ["numbers.json"]
    assert json.loads(path.read_text()) == {"kept": 1}


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EROFS, "make .* writable, or choose another --results folder"),
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some of your quota"),
        (errno.ENAMETOOLONG, "shorten the name"),
        (errno.ENOTDIR, "a part of this path is a file"),
        (errno.EISDIR, "a folder is in its place"),
    ],
)
def test_the_remedy_is_that_of_the_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    monkeypatch.setattr(os, "replace", refuse(number))
    with pytest.raises(BenchError, match=rf"could not write .*a\.json: {os.strerror(number)}\n  {remedy}"):
        write_json(tmp_path / "a.json", {})
    assert list(tmp_path.iterdir()) == []


def test_a_lock_where_there_can_be_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BenchError, match=r"could not write .*file/\.lock"), file_lock(tmp_path / "file" / ".lock"):
        pytest.fail("the lock is not held")


def test_leftovers_of_one_name_are_removed_and_no_other(tmp_path: Path) -> None:
    for name in (".a.json.x1.tmp", ".b.json.x2.tmp", "a.json"):
        (tmp_path / name).touch()
    remove_leftover_files(tmp_path, "a.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.json.x2.tmp", "a.json"]


def test_a_checkpoint_that_does_not_read_back_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(100, {"w": torch.ones(3)})
    monkeypatch.setattr(checkpoints, "_is_whole", lambda path: "000000200" not in path.name)
    with pytest.raises(BenchError, match="did not read back as written"):
        folder.save(200, {"w": torch.ones(3)})
    found = folder.load_latest()
    assert found is not None
    assert found[0] == 100
    monkeypatch.setattr(Path, "unlink", refuse(errno.EROFS))
    with pytest.raises(BenchError, match=r"could not write .*step-000000100"):
        folder.clear()


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"could not write .*absent/log\.jsonl"):
        LossLog(tmp_path / "absent" / "log.jsonl").append(10, {"adv": 0.5})


# ------------------------------------------------------------------------------------------------------- data


def test_images_and_folders_that_the_system_refuses(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"gone\.png cannot be read: No such file"):
        read_image_bytes(tmp_path / "gone.png")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BenchError, match=r"cannot write to .*\n  set UDT_BENCH_CACHE to another folder"):
        locate.create_folder(tmp_path / "file" / "datasets")


def test_a_record_of_a_digest_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"x")
    for content in ("{", "[]", '{"sha256": "0"}'):
        locate.digest_record_path(path).write_text(content)
        with pytest.raises(BenchError, match="not a record of a digest"):
            locate.matches_digest_record(path)


def test_a_folder_and_an_archive_that_lack_a_part(tmp_path: Path) -> None:
    (tmp_path / "pacs" / "photo").mkdir(parents=True)
    form = ManifestForm("pacs", folder=True, holds=("photo", "sketch"))
    with pytest.raises(BenchError, match="the folder 'sketch' is missing"):
        locate.check_published_file(form, tmp_path / "pacs")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("top/photo/dog/1.jpg", b"x")
    with pytest.raises(BenchError, match="no folder in it holds photo, sketch"):
        unpack_archive(tmp_path / "some.zip", tmp_path / "unpacked", ("photo", "sketch"))
    assert not (tmp_path / "unpacked").exists()


def test_matlab_files_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "train_32x32.mat"
    savemat(path, {"images": np.zeros((2, 2), np.uint8)})
    with pytest.raises(BenchError, match="no variables X and y in it"):
        next(iter(Svhn(path, path).items()))
    savemat(path, {"X": {"nested": 1}, "y": np.zeros(1)})
    with pytest.raises(BenchError, match="X is of the type struct, arrays of numbers expected"):
        read_digits_mat(path)


# ------------------------------------------------------------------------------------------- what is stored of a run


def test_features_that_cannot_be_read(tmp_path: Path) -> None:
    """Damaged ones are made again; where the system refuses, making them would not help."""
    cache, images = FeatureCache(tmp_path), np.zeros((2, 3, 4, 4), np.uint8)
    cache.put(images, "network", "plain", np.ones((2, 5), np.float32))
    found = cache.find(images, "network", "plain")
    assert found is not None
    assert (found == 1).all()
    assert cache.find(images, "another network", "plain") is None
    (stored,) = tmp_path.rglob("*.npy")
    stored.unlink()
    stored.mkdir()
    with pytest.raises(BenchError, match="cannot be read: Is a directory"):
        cache.find(images, "network", "plain")


def exchange_a_weight(path: Path) -> None:
    """A whole file of the same layout with another number in it: nothing but its identity tells."""
    tensors = load_file(path)
    name = max(tensors, key=lambda one: tensors[one].numel())
    tensors[name].view(-1)[0] += 1
    save_file(tensors, path)


def test_a_judge_with_other_weights_is_refused(tmp_path: Path) -> None:
    """Its numbers would look right."""
    data, runtime = make_data(), Runtime("cpu", 8)
    get_judge(tmp_path, data, 0, SETTINGS, runtime)
    (weights,) = tmp_path.rglob("weights.safetensors")
    exchange_a_weight(weights)
    with pytest.raises(BenchError, match="the weights are not those that were stored with it"):
        get_judge(tmp_path, data, 0, SETTINGS, runtime)
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BenchError, match="judges"):
        get_judge(tmp_path, data, 0, SETTINGS, runtime)


def test_a_stand_in_with_other_weights_is_refused(tmp_path: Path) -> None:
    runtime = Runtime("cpu", 8)
    stand_in_weights(tmp_path, TINY_STAND_IN, runtime)
    (weights,) = tmp_path.rglob("weights.safetensors")
    exchange_a_weight(weights)
    with pytest.raises(BenchError, match="the weights are not those that were stored with it"):
        stand_in_weights(tmp_path, TINY_STAND_IN, runtime)
