"""The parts of the documentation that follow from the code: `python docs/generate.py` writes them anew.

They stand in the pages between `<!-- generated: NAME ARGUMENTS -->` and `<!-- end -->`; the rest of a page is written
by hand. Settings come from the fields of the methods' Config and their lines of documentation, differences and traps
from the modules' docstrings, protocols, tasks and sweeps from where the commands have them, results from
`results/leaderboards/`. `--check` writes nothing and fails if a page is out of date; a test does the same.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]  # this checkout's code, whatever is installed

from leaderboards import joined_leaderboard, stored_leaderboard  # noqa: E402  # found by the line above

BLOCK = re.compile(r"(<!-- generated: (.+?) -->\n).*?(<!-- end -->)", flags=re.DOTALL)


def pages() -> list[Path]:
    """The README and all pages, in order of name."""
    return [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))]


def rendered(text: str) -> str:
    """`text` of a page with its generated parts as they have to be. Raises KeyError for an unknown one."""

    def block(match: re.Match[str]) -> str:
        name, *arguments = match[2].split()
        return f"{match[1]}\n{BLOCKS[name](*arguments).strip()}\n\n{match[3]}"

    return BLOCK.sub(block, text)


# ----------------------------------------------------------------------------------------------- Markdown from text


def escaped(text: str) -> str:
    """`text` without what Markdown would take for a tag, outside of backticks."""
    parts = text.split("`")
    parts[::2] = [part.replace("&", "&amp;").replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def cell(text: str) -> str:
    """`text` for a place in a table."""
    return escaped(text).replace("|", r"\|")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells that are Markdown already."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def prose(paragraph: str) -> str:
    """A paragraph of a docstring: a list after a sentence gets the empty line that Markdown wants, code stays code."""
    if all(line.startswith("    ") for line in paragraph.split("\n")):
        return paragraph
    lines: list[str] = []
    for line in escaped(paragraph).split("\n"):
        item = line.startswith("- ")
        if item and lines and not lines[-1].startswith(("- ", "  ")):
            lines.append("")
        if not item and not line.startswith("  ") and lines and lines[-1].startswith(("- ", "  ")):
            lines.append("")
        lines.append("    " + line.lstrip() if line.startswith("  ") and not item else line)
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------- methods and stages

TRAPS = "Traps"
DIFFERENCES = ("Deliberate differences", "Paper and code differ")


def sections(module: str) -> dict[str, list[str]]:
    """Paragraphs of the docstring: `about` until the first difference or trap, `traps`, and `differences`, the rest."""
    paragraphs: dict[str, list[str]] = {"about": [], "differences": [], "traps": []}
    current = "about"
    for paragraph in (inspect.getdoc(import_module(module)) or "").split("\n\n"):
        if paragraph.startswith(TRAPS):
            paragraphs["traps"].append(paragraph)
            continue
        if paragraph.startswith(DIFFERENCES):
            current = "differences"
        paragraphs[current].append(paragraph)
    return paragraphs


def docstring(module: str, part: str) -> str:
    """One section of a module's docstring as Markdown."""
    return "\n\n".join(prose(paragraph) for paragraph in sections(module)[part])


def field_docs(config: type) -> dict[str, str]:
    """Field -> the string below it in the source."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(definition, ast.ClassDef)
    documentation = {}
    for node, following in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(following, ast.Expr):
            assert isinstance(following.value, ast.Constant)
            documentation[node.target.id] = " ".join(str(following.value.value).split())
    return documentation


def leaves(config: type, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """(dotted name, default, documentation) of every setting, those of nested dataclasses included."""
    documentation, hints, defaults = field_docs(config), get_type_hints(config), config()
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from leaves(type(getattr(defaults, field.name)), f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, getattr(defaults, field.name), documentation[field.name]


def value_text(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if text else "''"


def preset_values(method: str, key: str) -> str:
    """Where a preset has another value than the default."""
    from bench.spec.presets import PRESETS

    texts = []
    for preset, kinds in PRESETS.items():
        found = {}
        for kind, settings in kinds.items():
            for name, values in ((kind, settings.methods), (f"real {kind}", settings.real)):
                if key in values.get(method, {}):
                    found[name] = value_text(values[method][key])
        if set(found) >= set(kinds) and len(set(found.values())) == 1:
            texts.append(f"{preset}: `{found[kind]}`")
        else:
            texts += [f"{preset}, {name}: `{value}`" for name, value in found.items()]
    return "<br>".join(texts)


def method_class(name: str) -> Any:
    """The class of a registered method."""
    from methods.registry import load_registered, registered

    return load_registered(registered()[name].target)


def settings(method: str) -> str:
    """Every setting: name, default, what the presets have instead, and meaning."""
    rows = [
        [f"`{key}`", f"`{value_text(default)}`", preset_values(method, key), cell(text)]
        for key, default, text in leaves(method_class(method).Config)
    ]
    about = escaped(inspect.getdoc(method_class(method).Config) or "")
    return f"{about}\n\n" + table(["setting", "default", "presets", "what it is"], rows)


def facts(method: str) -> str:
    """What the registry and the class declare."""
    from methods.registry import registered

    cls, variants = method_class(method), [name for name in registered() if name.startswith(f"{method}:")]
    lines = [
        f"- name on the command line: `{method}`",
        f"- supervision: {cls.supervision}" + (" (tables mark it with an asterisk)" * (cls.supervision != "none")),
        f"- styles: {', '.join(cls.style_sources) or 'none: one translation of an image'}",
    ]
    if variants:
        lines += ["- variants, trained only when they are named:", ""]
        lines += [f"    - `{name}`: {escaped(registered()[name].summary)}" for name in variants]
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------ metrics, protocols


def protocols(*metrics: str) -> str:
    """Each protocol of these metrics in full, as `list protocols` has it."""
    from bench.spec.protocols import PROTOCOLS

    blocks = []
    for protocol in PROTOCOLS.values():
        if protocol.metric in metrics:
            better = "higher" if protocol.higher_is_better else "lower"
            where = "comparable wherever the protocol is the same" if protocol.comparable else (
                "comparable within one task, data version and preset only"
            )  # fmt: skip
            lines = [
                f"**`{protocol.name}`**: {better} is better; {where}"
                + ("; measured on request (`--protocols`)." if protocol.on_request else "."),
                "",
                f"- computes: {escaped(protocol.formula)}",
                f"- input: {escaped(protocol.preparation)}; {protocol.styles} style(s) per source",
            ]
            if protocol.reference:
                lines.append(f"- real images: {' + '.join(protocol.reference)} of the target domain")
            blocks.append("\n".join(lines))
    assert blocks, metrics
    return "\n\n".join(blocks)


def listing(what: str) -> str:
    """What `python -m bench list WHAT` prints."""
    from bench.cli.listing import LISTINGS

    return f"```text\n{LISTINGS[what]()}\n```"


# ------------------------------------------------------------------------------------------------ tables and figures


def sweeps(kind: str) -> str:
    """The shipped sweeps whose names begin with `kind`."""
    from bench.runs.sweep.file import load_sweep, shipped_sweeps, sweep_file_cells

    rows = []
    for name, path in shipped_sweeps().items():
        if name.startswith(kind):
            sweep = load_sweep(path)
            cells = str(sweep_file_cells(sweep.chosen()))
            rows.append([f"`{name}`", sweep.task, cells, cell(sweep.summary)])
    return table(["sweep", "task", "cells", "what it is"], rows)


def memory() -> str:
    """Peak memory of a training step of each method at 256 px by batch, and the largest batch that fits in a card."""
    import json

    stored = json.loads(MEMORY.read_text())
    rows = []
    for name, entry in stored["methods"].items():
        peaks = {int(batch): peak for batch, peak in entry["peak_bytes"].items()}
        (low, least), (high, most) = sorted(peaks.items())
        slope = (most - least) / (high - low)
        start = least - slope * low
        fits = [_largest_batch(start, slope, size, entry["multiple"]) for size in CARDS]
        line = f"{start / GIB:.2f} + {slope / GIB:.2f} n"
        rows.append([f"`{name}`", str(entry["published"]), line, *fits])
    return table(["method", "published batch n", "GiB", *(f"{size} GB" for size in CARDS)], rows)


CARDS = (8, 16, 24, 40, 80)
GIB = 2**30
TAKEN = 1.0
"""GB of a card that CUDA and its libraries take for themselves."""
MEMORY = DOCS / "memory.json"
"""Peaks at two batches, counted by `python docs/generate.py --count` (minutes)."""


def _largest_batch(start: float, slope: float, size: int, multiple: int) -> str:
    """The largest batch of those that the method takes."""
    batch = int(((size - TAKEN) * 1e9 - start) // slope)
    return str(batch - batch % multiple) if batch >= multiple else "none"


def count_memory() -> None:
    """Write MEMORY: peaks of a step of each method with the published settings at 256 px, in bfloat16 as on a GPU."""
    import json
    from dataclasses import replace

    from bench.spec.methods import method_config_with_clusters, method_settings
    from bench.spec.presets import get_preset
    from bench.spec.run_spec import spec_config
    from bench.training.step_cost import count_step
    from methods.registry import BUILT_IN, load_registered

    found: dict[str, Any] = {}
    for name in BUILT_IN:
        cls: Any = load_registered(BUILT_IN[name].target)
        layers = method_settings(cls, name, get_preset("paper", "pictures"), {}, "real")
        config = method_config_with_clusters(spec_config(cls, name, *layers), 5)
        peaks = {}
        for batch in (2, 4):
            chosen = replace(config, batch_size=batch)
            peaks[batch] = count_step(lambda cls=cls, chosen=chosen: cls(chosen, 256), 256, bf16=True).peak_bytes
        multiple = 2 if name == "cats_udt" else 1
        found[name] = {"published": config.batch_size, "multiple": multiple, "peak_bytes": peaks}
        print(name, found[name], flush=True)
    MEMORY.write_text(json.dumps({"image_size": 256, "precision": "bf16", "methods": found}, indent=2) + "\n")


def figures() -> str:
    """Every figure that can be drawn, with the command that makes its cells."""
    from bench.reporting.figures.figures import FIGURES

    rows = [
        [f"`{name}`", figure.task, cell(figure.title), f"`sweep {figure.sweep}`" if figure.sweep else
         "`semantics --stage features`"]
        for name, figure in FIGURES.items()
    ]  # fmt: skip
    return table(["figure", "task", "what it shows", "cells from"], rows)


def exit_status() -> str:
    """What `--help` says."""
    from bench.core.exit_status import EXIT_STATUS

    return EXIT_STATUS


def baseline(name: str) -> str:
    """The trainings of a shipped baseline, and with how many new ones a check compares them."""
    from bench.checks.gate.baseline import load_baseline
    from bench.checks.gate.family import ACCURACY, DISTANCES, baseline_series, plan_family, watched_series
    from bench.checks.gate.trainings import TrainingMeasure

    stored = load_baseline(DOCS / "none", name)
    watched, default = {(series.method, series.measure) for series in watched_series(stored)}, plan_family(stored)
    directions = list(dict.fromkeys(measure.direction for entry in stored.methods.values() for measure in entry.made))
    columns = [
        TrainingMeasure(direction, protocol) for protocol in (ACCURACY, DISTANCES[0]) for direction in directions
    ]
    rows = []
    for method, entry in stored.methods.items():
        series = {at: baseline_series(stored, method, at) for at in columns}
        texts = [
            number.stored_text().partition(" (")[0] + ("" if (method, at) in watched else " (not compared)")
            for at, number in series.items()
        ]
        failed = sum(bool(kept.failure) for kept in stored.of(method).values())
        rows.append([method, entry.budget, *texts, str(failed), f"{default.first}, up to {default.new[method]}"])
    headers = ["method", "length", *(f"{at.protocol.partition('-')[0]} {at.direction}" for at in columns), "failed"]
    return table([cell(header) for header in [*headers, "new seeds"]], [[cell(text) for text in row] for row in rows])


def leaderboard(name: str, *protocols: str) -> str:
    """The means of a stored leaderboard, a table for each direction."""
    return "\n\n".join(
        f"{cell(direction)}:\n\n{table(headings, rows)}"
        for direction, headings, rows in stored_leaderboard(name, *protocols)
    )


def board(name: str, *protocols: str) -> str:
    """The means of a stored leaderboard in one table."""
    headings, rows = joined_leaderboard(name, *protocols)
    return table([cell(heading) for heading in headings], rows)


BLOCKS: Mapping[str, Callable[..., str]] = {
    "facts": facts, "settings": settings, "docstring": docstring, "protocols": protocols, "list": listing,
    "sweeps": sweeps, "memory": memory, "figures": figures, "exit-status": exit_status,
    "baseline": baseline, "leaderboard": leaderboard, "board": board,
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Write (or with --check compare) every page; with --count, count memory anew first. Returns the exit status."""
    if "--count" in arguments:
        count_memory()
    stale = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        wanted = rendered(text)
        if wanted != text:
            stale.append(str(page.relative_to(DOCS.parent)))
            if "--check" not in arguments:
                page.write_text(wanted, encoding="utf-8")
    if stale:
        print(
            ("out of date, run python docs/generate.py: " if "--check" in arguments else "written: ") + ", ".join(stale)
        )
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
