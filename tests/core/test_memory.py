"""Memory of big tensors: pages are faulted in once, not at every operation."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
from tiny import SOURCES

from bench.core.memory import keep_memory_blocks

PROGRAM = """
import resource, sys
import torch
from bench.core.memory import keep_memory_blocks
if sys.argv[1] == "kept":
    assert keep_memory_blocks()
x = torch.zeros(64 << 20, dtype=torch.uint8)
for _ in range(10):
    x + 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    x + 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    """Of ten results of 64 MiB, each freed before the next."""
    command = [sys.executable, "-c", PROGRAM, how]
    done = subprocess.run(command, env={"PYTHONPATH": SOURCES}, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_freed_blocks_are_used_again() -> None:
    kept, returned = page_faults("kept"), page_faults("returned")
    assert returned > 100_000, "without it every result's pages are faulted in: else this can go"
    assert kept < 0.2 * returned


def test_it_may_be_asked_for_again() -> None:
    assert keep_memory_blocks() == keep_memory_blocks() == (platform.libc_ver()[0] == "glibc")
