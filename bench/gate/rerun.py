"""`bench check --rerun`: train new seeds with the code as it is now, as the baseline's were trained."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.atomic import write_json
from bench.gate.baseline import Baseline, folder_of, install_judges
from bench.gate.family import plan
from bench.gate.training import differing, unlike
from bench.pools import Setting
from bench.progress import say
from bench.results import read_cells
from bench.spec import config_values, flat_values
from methods.registry import registered


@dataclass(frozen=True)
class Rerun:
    """What was trained."""

    seeds: Sequence[int]
    obstacle: str = ""
    """Why nothing was; empty if something was."""


def rerun(
    baseline: Baseline, root: Path, seeds: Sequence[int] = (), data: str = "", device: str = "auto", jobs: int = 0
) -> Rerun:
    """Train and score `seeds` (empty: new ones, as many as `plan` says) of every method into the results folder.

    A rerun that was interrupted goes on with its seeds, as long as the code is the same; otherwise only seeds are taken
    of which nothing is there, for a finished cell would be skipped, whatever code had made it. `data`: instead of the
    baseline's `--data`, for folders that lie elsewhere. BenchError and Interrupted as `launch.run`.
    """
    from bench.launch import Request, open_session, resolve_settings, run

    install_judges(folder_of(root, baseline.name), root)
    note = root / "checks" / f"{baseline.name}.json"
    chosen = list(seeds) or _begun(note, baseline) or _unused(baseline, root)
    request = Request(
        task=baseline.task, methods=list(baseline.methods), preset=baseline.setting.preset, data=data or baseline.data,
        domains=baseline.domains, seeds=chosen, overrides=[], budget=baseline.setting.budget, device=device,
        results=root, jobs=jobs,
    )  # fmt: skip
    configs = {name: config_values(config) for name, config in resolve_settings(request)[2].items()}
    request = replace(request, overrides=_overrides(baseline, configs))
    session = open_session(request)
    for job in session.jobs:
        spec = job.spec
        setting = Setting(spec.data_kind, spec.data_version, spec.image_size, spec.preset, str(spec.budget))
        if why := unlike(setting, baseline.setting):
            return Rerun(chosen, f"nothing was trained: {why}")
        if changed := differing(baseline, spec.method, spec.config):
            return Rerun(chosen, f"nothing was trained: {spec.method} with {', '.join(changed[:3])}")
    write_json(note, {"code": code_of(baseline), "seeds": chosen, "finished": False})
    say(f"check: training {len(session.jobs)} cells, seeds {', '.join(map(str, chosen))}")
    with redirect_stdout(sys.stderr):  # the leaderboard; standard output is kept for the verdict
        run(request)
    write_json(note, {"code": code_of(baseline), "seeds": chosen, "finished": True})
    return Rerun(chosen)


def last_seeds(baseline: Baseline, root: Path) -> list[int]:
    """Those of the last rerun with this baseline, if it was made with this code; else none."""
    stored = _read(root / "checks" / f"{baseline.name}.json")
    return list(stored["seeds"]) if stored.get("code") == code_of(baseline) else []


def _begun(note: Path, baseline: Baseline) -> list[int]:
    stored = _read(note)
    unfinished = stored.get("code") == code_of(baseline) and not stored["finished"]
    return list(stored["seeds"]) if unfinished else []


def _read(note: Path) -> dict[str, Any]:
    return json.loads(note.read_text()) if note.exists() else {}


def _unused(baseline: Baseline, root: Path) -> list[int]:
    """The first seeds after the baseline's of which there is no cell in the results folder."""
    used = {cell["spec"]["seed"] for cell in read_cells(root, baseline.task)}
    first, found = max(baseline.seeds) + 1, list[int]()
    while len(found) < plan(baseline).new:
        if first not in used:
            found.append(first)
        first += 1
    return found


def _overrides(baseline: Baseline, configs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """`method.key=value` for every setting that is no longer as in the baseline, if it still exists."""
    texts = []
    for name, config in configs.items():
        was, now = flat_values(dict(baseline.methods[name].config)), flat_values(dict(config))
        for key in was:
            left_open = key == "clusters" and now.get(key) == 0  # the data decides their number
            if key in now and now[key] != was[key] and not left_open:
                texts.append(f"{name}.{key}={was[key] if isinstance(was[key], str) else json.dumps(was[key])}")
    return texts


def code_of(baseline: Baseline) -> str:
    """A digest of all code that its methods' results can follow from: ours, and that of other people's packages."""
    theirs = sha256()
    for path in sorted(_outside(baseline.methods)):
        theirs.update(path.read_bytes())
    return f"{code_digest()}-{theirs.hexdigest()[:12]}"


def _outside(methods: Iterable[str]) -> set[Path]:
    """The Python files of the packages, or the modules, of methods that are not ours."""
    known, found = registered(), set[Path]()
    targets = {(known[name].target if name in known else name).partition(":")[0] for name in methods}
    for package in {target.partition(".")[0] for target in targets} - {"methods"}:
        spec = find_spec(package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        found.update(path for folder in folders for path in Path(folder).rglob("*.py"))
        if spec and spec.origin and not folders:
            found.add(Path(spec.origin))
    return found


def code_digest() -> str:
    """Of the harness, the metrics and the methods that come with it."""
    whole = sha256()
    for package in ("bench", "methods", "metrics"):
        folder = Path(str(files(package)))
        for path in sorted(folder.rglob("*.py")):
            whole.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return whole.hexdigest()[:12]
