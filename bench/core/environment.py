"""Versions, hardware and source revision that a result was computed with."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.core.installation import ROOT

PACKAGES = (
    "udt-bench", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "Pillow", "torch-fidelity", "lpips",
    "lightning-fabric", "omegaconf", "pandas",
)  # fmt: skip


def describe_environment(device: str) -> dict[str, Any]:
    """JSON record of the environment, for a cell's file; `device`: `cpu`, `cuda` or `mps`."""
    import torch

    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "packages": _packages(),
        "source": _revision(ROOT),
    }


def version_text() -> str:
    """Text of `--version`: the version, and the environment for bug reports. Imports no torch."""
    installed = versions()
    lines = [
        f"udt-bench {installed.pop('udt-bench') or '(not installed)'}",
        f"source: {_revision_text(_revision(ROOT))}",
        f"system: {platform.platform()}, {_processor() or 'unknown processor'}, {os.cpu_count()} cores",
        *(f"{name}: {number or '(not installed)'}" for name, number in installed.items()),
    ]
    return "\n".join(lines)


def _revision_text(revision: dict[str, Any] | None) -> str:
    if revision is None:
        return "not a git checkout, or git is not installed"
    return revision["revision"] + (", with changes that are not committed" if revision["changed"] else "")


def versions() -> dict[str, str | None]:
    """Version of Python and of every package that can move a result; None for one that is not installed."""
    return {"python": platform.python_version(), **_packages()}


def _packages() -> dict[str, str | None]:
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # run from a checkout that was not installed
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] if cpuinfo.exists() else []
    )
    return names[0].partition(":")[2].strip() if names else platform.processor()


def _revision(folder: Path) -> dict[str, Any] | None:
    if not (folder / ".git").exists() or shutil.which("git") is None:
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    return {"revision": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "--untracked-files=no"))}


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def omp_num_threads() -> int | None:
    """$OMP_NUM_THREADS; None if it is unset or not a positive number."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() and int(text) > 0 else None
