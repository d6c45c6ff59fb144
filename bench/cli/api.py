"""The commands as functions: the same words, and tables of pandas instead of text. Heavy imports are in bodies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.options import one_of_options, seeds_option, split_option
from bench.core.errors import BenchError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Folder = str | PathLike[str]
Names = str | Iterable[str]
"""`a,b`, as a command has it, or several names."""


def load_results(
    results: Folder = "results", *, task: str = "", preset: str = "", data: str = "", budget: str = ""
) -> pd.DataFrame:
    """Everything measured in a results folder: a row per cell, direction, class and protocol.

    The columns are those of `bench.reporting.tidy.TIDY_COLUMNS`, described in docs/library.md. `task`, `preset`, `data`
    and `budget` choose, as for the command `table`. `frame.attrs["failed"]`: a line for each training that failed.
    Raises BenchError if there is no such folder.
    """
    from bench.reporting.table_command import TableRequest
    from bench.reporting.tables.output import output_form
    from bench.reporting.tidy import tidy_results
    from bench.spec.tasks import get_task

    request = TableRequest(
        task=get_task(task).name if task else "", preset=preset, data=data, budget=budget, paper="", form="", out=None,
        results=Path(results),
    )  # fmt: skip
    output_form(request)  # an unknown preset or kind of data
    return tidy_results(request.results, request.task, request.wants)


def run(
    task: str,
    *,
    methods: Names = "",
    preset: str = "quick",
    data: Folder = "auto",
    domains: Names = "",
    seeds: str | int | Iterable[int] = 0,
    set: Names | Mapping[str, object] = (),  # noqa: A002 (the command's word)
    budget: str = "",
    device: str = "auto",
    precision: str = "auto",
    devices: int = 1,
    jobs: int = 1,
    protocols: Names = "",
    profile: bool = False,
    tensorboard: bool = False,
    launch: str = "local",
    address: str = "",
    results: Folder = "results",
) -> pd.DataFrame:
    """Train and score methods on a task, as the command `run`; returns what `load_results` has of these cells.

    `set`: `"method.key=value"`, several of these, or `{"method.key": value}`. `jobs`: more than one (0: as many as fill
    the machine) start processes, so that a script needs `if __name__ == "__main__":` then. A method that fails or
    cannot be imported is a line in `frame.attrs["failed"]`. Raises BenchError before anything is trained if the request
    cannot be met.
    """
    from bench.reporting.tidy import tidy_results
    from bench.runs.request import Request
    from bench.runs.run import run as run_request

    request = Request(
        task=task, methods=_names(methods), preset=preset, data=str(data), domains=",".join(_names(domains)),
        seeds=seeds_option(seeds if isinstance(seeds, str) else ",".join(map(str, _numbers(seeds)))),
        overrides=_changes(set), budget=budget, device=device, precision=precision, devices=devices, jobs=jobs,
        protocols=_names(protocols), profile=profile, tensorboard=tensorboard,
        launch=one_of_options("--launch", launch, ("local", "ray")), address=address, results=Path(results),
    )  # fmt: skip
    outcome = run_request(request)
    frame = tidy_results(request.results, outcome.task, identities=outcome.identities)
    frame.attrs["failed"] += [f"{outcome.task}: {name}: {why}" for name, why in outcome.broken.items()]
    return frame


def score(
    images: Folder | np.ndarray | None = None,
    reference: Folder | np.ndarray | None = None,
    *,
    task: str = "",
    name: str = "",
    direction: str = "",
    identity: bool = False,
    replace: bool = False,
    preset: str = "quick",
    data: Folder = "auto",
    domains: Names = "",
    protocols: Names = "",
    device: str = "auto",
    results: Folder = "results",
) -> pd.DataFrame:
    """Score images that another program made, as the command `score`.

    With a `reference`: FID and the like of two sets, each a folder of images or a uint8 array (N, 3, H, W) or
    (N, H, W, 3); a row per protocol and class. With `task` and `name`: `images` are translations of what `export`
    wrote; returns what `load_results` has of them. Raises BenchError that lists everything wrong.
    """
    if reference is not None:
        if task or name or direction or identity or replace:
            raise BenchError(
                "task, name, direction, identity and replace do not go with a reference",
                "bench.score(images, reference), or: bench.score(images, task=TASK, name=NAME)",
            )
        return _score_against(images, reference, _names(protocols), device, Path(results))
    if not task or not name:
        raise BenchError(
            "a reference, or task and name, are needed",
            "bench.score(images, reference), or: bench.score(images, task=TASK, name=NAME)",
        )
    from bench.reporting.tidy import tidy_results
    from bench.runs.given_images import ScoreRequest, score_images

    if images is not None and not isinstance(images, str | PathLike):
        raise BenchError("translations of a task are read from a folder or file", "numpy.save('made.npy', images)")
    request = ScoreRequest(
        task=task, images=None if images is None else Path(images), name=name, direction=direction, identity=identity,
        replace=replace, preset=preset, data=str(data), domains=",".join(_names(domains)), protocols=_names(protocols),
        device=device, results=Path(results),
    )  # fmt: skip
    return tidy_results(request.results, task, identities={score_images(request)})


def _score_against(
    images: Folder | np.ndarray | None, reference: Folder | np.ndarray, protocols: tuple[str, ...], device: str,
    results: Path,
) -> pd.DataFrame:  # fmt: skip
    import pandas as pd

    from bench.reporting.two_folders import folders_rows
    from bench.runs.folders_request import FoldersRequest
    from bench.runs.two_folders import score_against

    if images is None:
        raise BenchError("no images are given", "bench.score(images, reference)")
    first, second = (Path(one) if isinstance(one, str | PathLike) else _array(one) for one in (images, reference))
    request = FoldersRequest(
        images=first, real=second, sources=None, protocols=protocols, only=(), device=device, results=results
    )
    records, by_class = score_against(request)
    frame = pd.DataFrame(folders_rows(records, by_class)).rename(columns={"label": "class"})
    return frame.astype(dict.fromkeys(("value", "deviation", "low", "high", "floor", "floor_deviation"), float))


def _array(images: Any) -> np.ndarray:
    """What an array of NumPy, a tensor of the CPU or a list of images is as an array."""
    import numpy as np

    try:
        return np.asarray(images)
    except ValueError as error:
        raise BenchError(f"the images are no array: {error}", "wanted: uint8 (N, H, W, 3) or (N, 3, H, W)") from error


def _names(names: Names) -> tuple[str, ...]:
    return split_option(names) if isinstance(names, str) else tuple(map(str, names))


def _changes(changes: Names | Mapping[str, object]) -> list[str]:
    """As `--set` has them; a single text is one of them, because a value may have a comma."""
    if isinstance(changes, Mapping):
        return [f"{key}={value}" for key, value in changes.items()]
    return [changes] if isinstance(changes, str) else list(changes)


def _numbers(seeds: int | Iterable[int]) -> list[int]:
    return [int(seed) for seed in seeds] if isinstance(seeds, Iterable) else [int(seeds)]
