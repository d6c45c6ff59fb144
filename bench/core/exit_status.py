"""Exit status of a command and the text of an error. Tracebacks are printed with `--debug`."""

from __future__ import annotations

import errno
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from bench.core.errors import BenchError, Interrupted

FAILED = 1
REFUSED = 2
OUR_BUG = 70
"""EX_SOFTWARE of BSD's sysexits.h: nothing that a failed cell (1) or a wrong request (2) could be taken for."""
SIGNAL = 128
"""Added to a signal's number, as shells do: 130 after Ctrl-C."""

EXIT_STATUS = (
    "Exit status: 0 all done; 1 a cell, check or comparison failed; 2 the request cannot be met; 70 a bug of ours; "
    "130 or 143 stopped by Ctrl-C or SIGTERM. Of check: 0 pass; 1 regressed; 2 implausibly better; 3 cannot decide, or "
    "any error."
)

# Refusals of the file system are the user's to solve, wherever they happen.
MENDABLE = {
    errno.ENOSPC: "free some space there, or name another folder",
    errno.EDQUOT: "free some of your quota, or name another folder",
    errno.EACCES: "make it accessible to you, or name another one",
    errno.EPERM: "make it accessible to you, or name another one",
    errno.EROFS: "name a folder that can be written (most commands: --results)",
    errno.ENOTDIR: "a part of this path is a file: name another one",
    errno.ENAMETOOLONG: "shorten it: a name has at most 255 bytes, a path 4095",
    errno.EISDIR: "this is a folder: name a file",
}


@dataclass
class Wish:
    """Options before the command, filled in by the command line."""

    debug: bool = False
    """Show the traceback of every error."""


def run_and_exit(command: Callable[[], object], wish: Wish) -> NoReturn:
    """Run `command` and end the process with its status. Errors become one or two lines on standard error.

    `wish` is read when an error has arrived, because `command` itself reads the options.
    """
    try:
        command()
    except SystemExit as stop:
        if stop.code == SIGNAL + signal.SIGINT:  # Ctrl-C where nothing had to be saved
            print("interrupted", file=sys.stderr)
        raise
    except Exception as error:
        status, text = error_exit_status(error, keep=not wish.debug)
        if wish.debug:
            traceback.print_exc()
        print(text, file=sys.stderr)
        raise SystemExit(status) from None
    raise SystemExit(0)


def error_exit_status(error: Exception, keep: bool = True) -> tuple[int, str]:
    """(exit status, text) of an error. With `keep`, the traceback of a bug is written to a file."""
    if isinstance(error, BenchError):
        return REFUSED, f"error: {error}"
    if isinstance(error, Interrupted):
        return SIGNAL + error.number, str(error)
    if isinstance(error, OSError) and error.errno in MENDABLE:
        return REFUSED, f"error: {os.strerror(error.errno)}: {error.filename or 'a file'}\n  {MENDABLE[error.errno]}"
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    return OUR_BUG, f"error: this is a bug of udt-bench: {what}" + (f"; {_where(error)}" if keep else "")


def _where(error: Exception) -> str:
    """Write the traceback to a file, because the run may have taken hours. Returns the text that says where it is."""
    text = f"{' '.join(sys.argv)}\n\n" + "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="udt-bench-", suffix="-traceback.txt", delete=False
        ) as file:
            file.write(text)
    except OSError:
        return "udt-bench --debug COMMAND ... shows the traceback"
    return f"traceback: {file.name} (or: udt-bench --debug COMMAND ...)"
