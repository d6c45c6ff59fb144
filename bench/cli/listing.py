"""What `list` and `fetch --list` print. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bench.core.errors import BenchError
from bench.spec import plugins
from bench.spec.plugins import installed_plugins
from bench.spec.presets import PRESETS, SUMMARIES
from bench.spec.protocols import PROTOCOLS, TRANSLATION, select_protocols
from bench.spec.tasks import OURS, TASKS, get_task
from methods.registry import registered

if TYPE_CHECKING:
    from bench.data.fetch.fetch import FileStatus


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def list_tasks() -> str:
    """Tasks: name, sizes, summary; those that are installed, or why they cannot be used."""
    rows = []
    for name in dict.fromkeys([*TASKS, *installed_plugins(plugins.TASKS)]):
        try:
            task = get_task(name)
        except BenchError as error:
            rows.append((name, "plug-in", error.what))
        else:
            sizes = ", ".join(f"{preset} {size} px" for preset, size in task.sizes.items())
            rows.append((name, sizes, task.summary + ("" if name in OURS else " (plug-in)")))
    return _columns(rows)


def list_methods() -> str:
    """Methods: name and summary, plug-ins included."""
    return _columns([(name, entry.summary) for name, entry in sorted(registered().items())])


def list_metrics() -> str:
    """Metrics: name, direction, and the protocols that measure it."""
    protocols_of: dict[str, list[str]] = {}
    for protocol in PROTOCOLS.values():
        protocols_of.setdefault(f"{protocol.metric} {'↑' if protocol.higher_is_better else '↓'}", []).append(
            protocol.name
        )
    outside = [(name, "plug-in: --protocols") for name in installed_plugins(plugins.METRICS)]
    return _columns([*((metric, ", ".join(names)) for metric, names in protocols_of.items()), *outside])


def list_presets() -> str:
    """Presets: name, budgets, summary."""
    return _columns(
        [
            (name, ", ".join(f"{kind} {sizes.images:,}" for kind, sizes in kinds.items()), SUMMARIES[name])
            for name, kinds in PRESETS.items()
        ]
    )


def list_protocols() -> str:
    """Every protocol in full: it is what a number means. Of installed plug-ins, too."""
    select_protocols(installed_plugins(plugins.METRICS))
    blocks = [
        f"{TRANSLATION.name}: {TRANSLATION.sources} images of the source domain, up to {TRANSLATION.styles} styles "
        f"each, batches of {TRANSLATION.batch} (padded), one generator per (source image, style), rounded to uint8"
    ]
    for protocol in PROTOCOLS.values():
        lines = [
            protocol.name
            + ("" if protocol.comparable else " (comparable within one task, data version and preset only)")
            + (" (measured on request: --protocols)" if protocol.on_request else ""),
            f"  computes:  {protocol.formula}",
            f"  input:     {protocol.preparation}; {protocol.styles} style(s) per source",
        ]
        if protocol.reference:
            lines.append(f"  reference: {' + '.join(protocol.reference)} of the target domain")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def list_sweeps() -> str:
    """Shipped sweeps: name, task, number of cells, summary."""
    from bench.runs.sweep.file import load_sweep, shipped_sweeps, sweep_file_cells

    rows = []
    for name, path in shipped_sweeps().items():
        sweep = load_sweep(path)
        rows.append((name, sweep.task, f"{sweep_file_cells(sweep.chosen())} cells", sweep.summary))
    return _columns(rows)


def list_files(rows: Sequence[FileStatus]) -> str:
    """One line per file of the manifest."""
    if not rows:
        return "nothing is missing"
    lines = [("file", "group", "size", "checksum", "licence", "where")]
    for row in rows:
        size = f"{row.size / 1e6:.1f} MB" if row.size is not None else "?"
        lines.append((row.name, row.group, size, row.checksum, row.licence, str(row.path) if row.path else "missing"))
    return _columns(lines)


LISTINGS: dict[str, Callable[[], str]] = {
    "tasks": list_tasks, "methods": list_methods, "metrics": list_metrics, "presets": list_presets,
    "protocols": list_protocols, "sweeps": list_sweeps,
}  # fmt: skip
