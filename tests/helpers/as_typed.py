"""What the commands do with a request: work, print, exit status."""

from __future__ import annotations

from pathlib import Path

from bench.cli.outcome import show_broken_methods, show_outcome, show_outcome_leaderboards
from bench.core.terminal import show_on_terminal
from bench.runs import rescore as rescoring
from bench.runs import run as running
from bench.runs.request import Request
from bench.runs.rescore import RescoreRequest
from bench.runs.sweep import run as sweeping
from bench.runs.sweep.run import SweepRequest
from bench.store.cell import read_cells


def request(shapes: Path, results: Path, **changes: object) -> Request:
    """The toy method on the folder `shapes`, but for `changes`."""
    values: dict[str, object] = {
        "task": "folder", "methods": ("toys:Toy",), "preset": "quick", "data": str(shapes), "domains": "",
        "seeds": (0,), "overrides": (), "budget": "", "device": "cpu", "results": results, "jobs": 1,
    }  # fmt: skip
    return Request(**{**values, **changes})  # type: ignore[arg-type]


def rescore_request(shapes: Path, results: Path, **changes: object) -> RescoreRequest:
    """Every stored cell of the folder `shapes`, but for `changes`."""
    values: dict[str, object] = {
        "task": "folder", "methods": (), "style": "", "preset": "quick", "data": str(shapes), "batch_size": 64,
        "device": "cpu", "results": results,
    }  # fmt: skip
    return RescoreRequest(**{**values, **changes})  # type: ignore[arg-type]


def cells(results: Path) -> dict[str, dict[str, object]]:
    """`method/seed` -> the stored cell."""
    return {f"{c['spec']['method']}/{c['spec']['seed']}": c for c in read_cells(results, "folder")}


def run(request: Request) -> int:
    """`bench run`."""
    return show_outcome(request.results, running.run(request))


def rescore(request: RescoreRequest) -> int:
    """`bench evaluate`."""
    rescoring.rescore(request)
    show_outcome_leaderboards(request.results, request.task)
    return 0


def run_sweep(request: SweepRequest, dry_run: bool = False) -> int:
    """`bench sweep`."""
    if dry_run:
        text, broken = sweeping.plan_sweep(request)
        show_on_terminal(text)
        return show_broken_methods(broken)
    return show_outcome(request.results, sweeping.run_sweep(request))
