"""Memory of big tensors: kept by the process between operations, instead of returned to the system after each."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

KEPT = 1 << 30
"""Bytes of a block, or of free memory at the end of the heap, up to which memory is kept."""
AHEAD = 64 << 20
"""Bytes that the heap grows by more than is asked for: pages are touched only when they are used."""
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's mallopt (malloc.h)."""


@cache
def keep_memory_blocks() -> bool:
    """Let the C library keep blocks of up to KEPT bytes that are freed; whether it does. Numbers do not change by it.

    By default glibc maps a block of more than 32 MiB anew for every operation, and each of its pages is then faulted
    in and zeroed. The price is that the process holds as much memory as it once used. Only glibc is asked; elsewhere
    nothing is done.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    wanted = {_M_MMAP_THRESHOLD: KEPT, _M_TRIM_THRESHOLD: KEPT, _M_TOP_PAD: AHEAD}
    return all(library.mallopt(parameter, value) for parameter, value in wanted.items())


def release_free_blocks() -> None:
    """Return memory that is kept but not used to the system: before a peak is measured."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
