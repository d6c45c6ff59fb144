"""The shipped sweeps: the paper's tables and figures, each cell buildable under every preset, no cell twice."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.reporting.paper import shapes as paper_shapes
from bench.runs.request import Job, Request, check_request, request_job, request_settings
from bench.runs.sweep.file import load_sweep, shipped_sweeps
from bench.runs.sweep.run import SweepPart, SweepRequest, expand_sweep
from bench.spec.methods import method_config_with_clusters
from bench.spec.presets import PRESETS, get_preset
from bench.spec.run_spec import Budget
from bench.spec.tasks import DIGITS, get_task
from methods.cyclegan import ResidualBlock

NAMES = list(shipped_sweeps())
COMPARED = {True: paper_shapes.FID_DIGITS[0].protocols[0], False: paper_shapes.FID[0].protocols[0]}
"""What `table --paper` puts beside the published FID; measured on request alone."""
BUILT: set[str] = set()
"""Identities of cells that were built in this process: most are in several sweeps."""
DIGITS_ONLY = {"table1", "figure5", "figure6"} | {
    name for name in NAMES if name[:7] in ("figure3", "figure7", "figure8")
}


def parts(name: str, preset: str) -> list[SweepPart]:
    request = SweepRequest(
        name=name, presets=(preset,), seeds=(), data="", budget="", results=Path("results"), device="cpu"
    )
    return expand_sweep(load_sweep(shipped_sweeps()[name]), request)


def labels(name: str, preset: str = "quick") -> list[str]:
    return [part.label for part in parts(name, preset)]


@cache
def jobs(name: str, preset: str, kind: str = "embedded") -> list[Job]:
    """Every cell, without data of that kind."""
    choice = {"embedded": "embedded", "real": "a/folder"}[kind]
    return [job for part in parts(name, preset) for job in part_jobs(replace(part.request, data=choice), kind)]


@cache
def part_jobs(request: Request, kind: str) -> list[Job]:
    task, preset = get_task(request.task), get_preset(request.preset, get_task(request.task).kind)
    (method,) = request.methods
    classes, broken, configs = request_settings(request)
    assert not broken
    data: Any = SimpleNamespace(
        domains=task.domains, kind=kind, version="0", size=task.sizes[request.preset], classes=task.classes or DIGITS
    )
    config = method_config_with_clusters(configs[method], len(data.classes))
    budget = Budget("images", preset.images)
    return [
        request_job(task, data, request.preset, method, classes[method], config, budget, seed) for seed in request.seeds
    ]


def test_every_table_and_figure_of_the_paper_is_there() -> None:
    tables = ["table1", "table2", "table3a", "table3b", "table4"]
    letters = [f"figure{number}{letter}" for number in (3, 7, 8) for letter in "abc"]
    assert set(NAMES) == {*tables, *letters, *(f"figure{number}" for number in (4, 5, 6, 9, 10, 11, 12))}
    assert NAMES[:6] == [*tables, "figure3a"]
    assert NAMES[-3:] == ["figure10", "figure11", "figure12"]
    for name in NAMES:
        sweep = load_sweep(shipped_sweeps()[name])
        title = name.replace("table", "Table ").replace("figure", "Figure ")
        assert sweep.summary.startswith(f"{title}, ")
        assert sweep.name == name
        assert sweep.seeds == (0, 1, 2)
        if "FID" in sweep.summary:
            assert sweep.protocols == (COMPARED[name in DIGITS_ONLY],)
        assert sweep.task == ("mnist2svhn" if name in DIGITS_ONLY else "sketch2real")


def test_golden_cells() -> None:
    abscissae = ["0.1", "0.5", "2", "5", "10"]
    assert labels("figure3c") == ["cats_udt:no_sem", "cats_udt", *(f"cats_udt [lambda_sem={x}]" for x in abscissae)]
    first = parts("figure3c", "paper")[2].request
    assert (first.task, first.methods, first.preset, first.seeds) == ("mnist2svhn", ("cats_udt",), "paper", (0, 1, 2))
    assert (first.overrides, first.data, first.budget) == (("cats_udt.lambda_sem=0.1",), "auto", "")
    assert labels("table2") == ["cyclegan", "drit", "stargan_v2:cats", "egsc_it", "cats_udt", "cats_udt:no_sty"]
    assert labels("table3b") == ["cats_udt:none", "cats_udt:content", "cats_udt:content_vgg", "cats_udt"]
    encoders = ["cats_udt:vgg", "cats_udt:moco", "cats_udt:not_adapted", "cats_udt"]
    assert labels("figure3b", "quick") == encoders
    encoders[1] = "cats_udt:moco [semantics.encoder=moco_v2]"  # else the paper's MoCo would be trained for months
    assert labels("figure3b", "paper") == encoders
    assert labels("figure11", "quick") == ["cats_udt:map4", "cyclegan [downsamplings=3]"]
    assert labels("figure11", "paper") == ["cats_udt:map4", "cyclegan [downsamplings=6]"]


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("name", NAMES)
def test_every_cell_can_be_built_and_none_is_there_twice(name: str, preset: str) -> None:
    for kind in ("embedded",) if name in DIGITS_ONLY or preset == "paper" else ("embedded", "real"):
        found = jobs(name, preset, kind)
        identities = [job.spec.identity() for job in found]
        assert len(set(identities)) == len(identities) == 3 * len(labels(name, preset))
        for job in found[::3]:
            if job.spec.identity() not in BUILT:
                check_request(job, get_task(job.spec.task))
                BUILT.add(job.spec.identity())


@pytest.mark.parametrize(("preset", "size"), [("quick", 32), ("small", 64), ("paper", 256)])
def test_the_content_maps_of_figure_11_are_4x4(preset: str, size: int) -> None:
    cats, cyclegan = (job.build for job in jobs("figure11", preset)[::3])
    sides: list[int] = []
    with torch.device("meta"), torch.no_grad():
        x = torch.zeros(1, 3, size, size)
        method: Any = cats()
        assert method.generator.content(x).shape[2:] == (4, 4)
        method = cyclegan()
        for module in method.generator_ab.modules():
            if isinstance(module, ResidualBlock):
                module.register_forward_hook(lambda _, inputs, out: sides.append(out.shape[-1]))
        assert method.generator_ab(x).shape == x.shape
    assert set(sides) == {4}


@pytest.mark.parametrize("preset", list(PRESETS))
def test_cells_are_shared_between_tables_and_figures(preset: str) -> None:
    """Whoever has run the one need not train again for the other."""
    own = {name: {job.spec.identity() for job in jobs(name, preset)} for name in NAMES}
    equal = [("table4", "table2"), ("figure4", "table2"), ("figure5", "table1"), ("figure7a", "figure3a")]
    for one, other in [*equal, ("figure7b", "figure3c"), ("figure8b", "figure8a")]:
        assert own[one] == own[other]
    part_of = [("figure7c", "figure3c"), ("figure8c", "figure3b"), ("figure9", "table3a"), ("figure10", "table3b")]
    for one, other in [*part_of, ("figure12", "table2"), ("figure6", "table1")]:
        assert own[one] < own[other]
    assert len(own["figure3a"] & own["figure3c"]) == 6  # lambda_sem 0 and 1, three seeds
    assert len(own["table2"] & own["table3a"]) == 6  # lambda_sty 1 and 0, three seeds


def test_lambda_sem_0_is_the_same_whatever_it_is_called() -> None:
    """figure3c has `cats_udt:no_sem` for 0: nothing but the name differs."""
    no_sem, plain, *_ = (job.spec for job in jobs("figure3c", "quick")[::3])
    assert {**plain.config, "lambda_sem": 0.0} == no_sem.config
    assert plain.config["lambda_sem"] == 1.0
