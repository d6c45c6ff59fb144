"""Fixtures that every test file may use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tiny
import torch
from hypothesis import settings

# The default run draws the same examples each time: a commit that changes nothing cannot fail. `tox -e search` looks
# for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=2000, deadline=None)
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache folder."""
    monkeypatch.setenv("UDT_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def no_real_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without data or weights."""
    monkeypatch.delenv("UDT_BENCH_FILES", raising=False)


@pytest.fixture
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick preset is tiny in this test."""
    from bench.spec import presets

    monkeypatch.setattr(presets, "STAND_IN_SETTINGS", tiny.TINY_STAND_IN)
    monkeypatch.setitem(presets.PRESETS, "quick", {"pictures": tiny.TINY, "digits": tiny.TINY})


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two domains and two classes."""
    return tiny.make_folder(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small convolutions on several threads collapse when other processes use the cores."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command does to the search path of modules, in this process, ends with the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
