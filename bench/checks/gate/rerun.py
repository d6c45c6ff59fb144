"""`bench check --rerun`: train new seeds with the code as it is now, as the baseline's were trained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.checks.gate.baseline import Baseline, baseline_folder, install_baseline_judges
from bench.checks.gate.family import plan_family
from bench.checks.gate.training import differing_fields, differing_settings, methods_in_doubt
from bench.core.files import write_json
from bench.core.progress import say
from bench.spec.run_spec import flat_spec_values, later_defaults
from bench.store.cell import read_cells
from bench.store.query import Setting
from methods.registry import registered

if TYPE_CHECKING:
    from bench.runs.request import Request


Wanted = dict[str, list[int]]
"""Method -> new seeds."""


@dataclass(frozen=True)
class Rerun:
    """The seeds that were trained."""

    seeds: Mapping[str, Sequence[int]]
    """Method -> seeds."""
    obstacle: str = ""
    """Reason why nothing was trained; empty if something was."""


def rerun_baseline(
    baseline: Baseline, root: Path, seeds: Sequence[int] = (), data: str = "", device: str = "auto", jobs: int = 0
) -> Rerun:
    """Train and score new seeds of every method into the results folder: a few, and more of methods that are in doubt.

    `seeds`: those of every method instead, at once. A rerun that was interrupted goes on with its seeds, as long as
    the code is the same; otherwise only seeds are taken of which nothing is there, for a finished cell would be
    skipped, whatever code had made it. `data`: instead of the baseline's `--data`, for folders that lie elsewhere.
    BenchError and Interrupted as `run`.
    """
    from bench.runs.run import run_together

    install_baseline_judges(baseline_folder(root, baseline.name), root)
    default = plan_family(baseline)
    drawn = [] if seeds else _begun(root, baseline) or _unused(baseline, root, max(default.new.values()))
    wanted = {name: list(seeds) or drawn[: default.first] for name in baseline.methods}

    def train(now: Wanted) -> str:
        """Train `now`; return the reason why not, empty if it was done."""
        requests, obstacle = rerun_requests(baseline, root, now, data, device, jobs)
        if obstacle:
            return f"nothing was trained: {obstacle}"
        _note(root, baseline, {"drawn": drawn, "seeds": wanted, "finished": False})
        summary = "; ".join(f"{', '.join(request.methods)}: seeds {_listed(request.seeds)}" for request in requests)
        say(f"check: training {sum(map(len, now.values()))} cells. {summary}")
        run_together(requests)
        return ""

    if obstacle := train(wanted):
        return Rerun(wanted, obstacle)
    more = (
        {name: drawn[: default.new[name]] for name in methods_in_doubt(baseline, root, drawn[: default.first])}
        if drawn
        else {}
    )
    if more := {name: seeds for name, seeds in more.items() if len(seeds) > default.first}:
        say(f"check: in doubt after {default.first} seeds, so more are trained: {', '.join(more)}")
        wanted |= more
        train(more)
    _note(root, baseline, {"drawn": drawn, "seeds": wanted, "finished": True})
    return Rerun(wanted)


def rerun_requests(
    baseline: Baseline, root: Path, wanted: Wanted, data: str = "", device: str = "auto", jobs: int = 0
) -> tuple[list[Request], str]:
    """The runs that train `wanted` as the baseline's were, and why this code cannot (empty: it can). Trains nothing.

    Settings that a preset has changed since are set back.
    """
    from bench.runs.request import Request, open_request, request_settings

    groups: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for name, new in wanted.items():
        groups.setdefault((baseline.methods[name].budget, tuple(new)), []).append(name)
    requests = list[Request]()
    for (budget, seeds), methods in groups.items():
        request = Request(
            task=baseline.task, methods=methods, preset=baseline.shared.preset, data=data or baseline.data,
            domains=baseline.domains, val=baseline.val,
            seeds=seeds, overrides=[], budget=budget, device=device, results=root, jobs=jobs,
        )  # fmt: skip
        requests.append(replace(request, overrides=_overrides(baseline, request_settings(request)[2])))
        for job in open_request(requests[-1]).jobs:
            spec = job.spec
            setting = Setting(spec.data_kind, spec.data_version, spec.image_size, spec.preset, str(spec.budget))
            if why := differing_fields(setting, baseline.setting(spec.method)):
                return requests, why
            if changed := differing_settings(baseline, spec.method, spec.config):
                return requests, f"{spec.method} with {', '.join(changed[:3])}"
    return requests, ""


def last_rerun_seeds(baseline: Baseline, root: Path) -> Wanted:
    """Seeds of the last rerun with this baseline, if it was made with this code; else none."""
    stored = _read(_path(root, baseline))
    return dict(stored["seeds"]) if stored.get("code") == rerun_code(baseline) else {}


def _begun(root: Path, baseline: Baseline) -> list[int]:
    """The seeds that an interrupted rerun of this code drew."""
    stored = _read(_path(root, baseline))
    unfinished = stored.get("code") == rerun_code(baseline) and not stored["finished"]
    return list(stored["drawn"]) if unfinished else []


def _note(root: Path, baseline: Baseline, content: Mapping[str, Any]) -> None:
    write_json(_path(root, baseline), {"code": rerun_code(baseline), **content})


def _path(root: Path, baseline: Baseline) -> Path:
    return root / "checks" / f"{baseline.name}.json"


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _read(note: Path) -> dict[str, Any]:
    return json.loads(note.read_text()) if note.exists() else {}


def _unused(baseline: Baseline, root: Path, count: int) -> list[int]:
    """The first `count` seeds after the baseline's of which there is no cell in the results folder."""
    used = {cell["spec"]["seed"] for cell in read_cells(root, baseline.task)}
    seed, unused = max(baseline.seeds) + 1, list[int]()
    while len(unused) < count:
        if seed not in used:
            unused.append(seed)
        seed += 1
    return unused


def _overrides(baseline: Baseline, configs: Mapping[str, Any]) -> list[str]:
    """`method.key=value` for every setting that is no longer as in the baseline, if it still exists."""
    texts = []
    for name, config in configs.items():
        was = {**later_defaults(type(config)), **flat_spec_values(dict(baseline.methods[name].config))}
        now = flat_spec_values(config)
        for key in was:
            left_open = key == "clusters" and now.get(key) == 0  # the data decides their number
            if key in now and now[key] != was[key] and not left_open:
                texts.append(f"{name}.{key}={was[key] if isinstance(was[key], str) else json.dumps(was[key])}")
    return texts


def rerun_code(baseline: Baseline) -> str:
    """A digest of all code that its methods' results can follow from: ours, and that of other people's packages."""
    outside = sha256()
    for path in sorted(_outside(baseline.methods)):
        outside.update(path.read_bytes())
    return f"{rerun_harness_code()}-{outside.hexdigest()[:12]}"


def _outside(methods: Iterable[str]) -> set[Path]:
    """The Python files of the packages, or the modules, of methods that are not ours."""
    known, sources = registered(), set[Path]()
    targets = {(known[name].target if name in known else name).partition(":")[0] for name in methods}
    for package in {target.partition(".")[0] for target in targets} - {"methods"}:
        spec = find_spec(package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        sources.update(path for folder in folders for path in Path(folder).rglob("*.py"))
        if spec and spec.origin and not folders:
            sources.add(Path(spec.origin))
    return sources


def rerun_harness_code() -> str:
    """A digest of the code of the harness, the metrics and the methods that come with it."""
    whole = sha256()
    for package in ("bench", "methods", "metrics"):
        folder = Path(str(files(package)))
        for path in sorted(folder.rglob("*.py")):
            whole.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return whole.hexdigest()[:12]
