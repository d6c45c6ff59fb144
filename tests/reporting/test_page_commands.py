"""The command that the page shows makes the very cell: it is parsed as a user's would be, and has its identity."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from report_results import add, folder_data, records, spec

from bench.cli.commands import main
from bench.reporting.page.collect import collect_for_page
from bench.reporting.page.commands import as_typed, row_commands, spec_for_commands
from bench.reporting.setting import FOLDER
from bench.runs.request import Request, open_request
from bench.spec.methods import method_settings, resolve_methods
from bench.spec.presets import get_preset
from bench.spec.run_spec import Budget, flat_spec_values, later_defaults, spec_config, spec_overrides, spec_values
from bench.store.cell import Cell
from methods.registry import BUILT_IN, VARIANTS

OVERRIDES = {
    "toys:Toy": ("batch_size=3", "fault=with space; $(x) 'y'"),
    "cyclegan": ("width=6", "betas=[0.25,0.75]", "flip=false", "learning_rate=1e-05"),
    "cats_udt:content": ("semantics.adaptation.vat_xi=3e-07", "semantics.imsat.scale=[0.5,1.5]", "clusters=3"),
    "stargan_v2": (),
}


def typed(command: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Request:
    """What the command line makes of it."""
    caught: list[Request] = []

    def stop(request: Request) -> None:
        caught.append(request)
        raise SystemExit(0)

    monkeypatch.setattr("bench.runs.run.run", stop)
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "bench"]
    monkeypatch.setattr("sys.argv", ["bench", *[str(folder) if word == FOLDER else word for word in words[3:]]])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    return caught[0]


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_a_command_parsed_back_has_the_identities_of_its_cells(
    tmp_path: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities: dict[str, list[str]] = {}
    for method, changes in OVERRIDES.items():
        overrides = tuple(f"{method}.{change}" for change in changes)
        for budget in ("", "seconds=7"):
            request = Request(
                task="folder", methods=(method,), preset="quick", data=str(shapes), domains="ink,paint", seeds=(3, 11),
                overrides=overrides, budget=budget, device="cpu", results=tmp_path,
            )  # fmt: skip
            for job in open_request(request).jobs:
                cell = Cell(tmp_path, job.spec)
                cell.begin()
                cell.set_state("failed", reason="was never trained")
                identities.setdefault(f"{method} {budget}", []).append(job.spec.identity())
    shown = [entry for setting in collect_for_page(tmp_path) for entry in row_commands(setting)]
    assert len(shown) == len(identities) == 8
    found = []
    for entry in shown:
        (command,) = entry.commands
        jobs = open_request(typed(command, monkeypatch, shapes)).jobs
        assert [job.spec.identity() for job in jobs] == [identity for _, identity, _ in entry.cells]
        assert [(seed, state) for seed, _, state in entry.cells] == [(3, "failed"), (11, "failed")]
        found.append([identity for _, identity, _ in entry.cells])
        (remark,) = entry.remarks
        assert remark.startswith(f"{FOLDER}: where the images lie")
    assert sorted(found) == sorted(identities.values())
    # Only what the preset would not give is named.
    plain = next(entry.commands[0] for entry in shown if entry.row == "stargan_v2")
    assert "--set" not in plain


@pytest.mark.parametrize("method", [*BUILT_IN, *VARIANTS])
def test_every_setting_of_every_method_can_be_typed(method: str, tmp_path: Path) -> None:
    """The published settings, said of a cell of `quick`: all that differs has to be typed, of every type there is."""
    cls = resolve_methods([method])[0][method]
    paper, quick = (
        list(method_settings(cls, method, get_preset(name, "digits"), {}, "embedded")) for name in ("paper", "quick")
    )
    config = spec_values(spec_config(cls, method, *paper))
    stored = spec(
        task="mnist2svhn", domains=("mnist", "svhn"), data_kind="embedded", image_size=16, method=method,
        method_version=cls.version, config=_with_ten_clusters(config),
    )  # fmt: skip
    add(tmp_path, stored, records(1.0, direction="mnist->svhn"))
    (setting,) = collect_for_page(tmp_path)
    (entry,) = row_commands(setting)
    assert entry.remarks == ()
    words = shlex.split(entry.commands[0])
    assert words[words.index("--data") + 1] == "embedded"
    texts = [word for before, word in pairwise(words) if before == "--set"]
    own = spec_overrides(texts).get(method, {})
    again = _with_ten_clusters(spec_values(spec_config(cls, method, *quick, own)))
    assert replace(stored, config=again).identity() == stored.identity()
    usual = _with_ten_clusters(spec_values(spec_config(cls, method, *quick)))
    one, other = ({**later_defaults(cls.Config), **flat_spec_values(config)} for config in (stored.config, usual))
    assert len(texts) == sum(other[key] != value for key, value in one.items())


def _with_ten_clusters(config: dict[str, Any]) -> dict[str, Any]:
    """As a run on digits has them."""
    return {**config, "clusters": 10} if config.get("clusters") == 0 else config


def only(tmp_path: Path, **changes: Any) -> Any:
    """The entry of one cell of CycleGAN's `quick` settings, changed."""
    cls = resolve_methods(["cyclegan"])[0]["cyclegan"]
    config = spec_values(
        spec_config(cls, "cyclegan", *method_settings(cls, "cyclegan", get_preset("quick", "pictures"), {}, "real"))
    )
    style = changes.pop("style", "none")
    scores = changes.pop("scores", records(1.0))
    stored = spec(**{"method_version": cls.version, "config": config, "budget": Budget("images", 3_500), **changes})
    folder = add(tmp_path, stored, scores, style=style)
    (setting,) = collect_for_page(tmp_path)
    (entry,) = row_commands(setting)
    return entry, folder


def test_what_the_command_cannot_make_again_is_said(tmp_path: Path) -> None:
    entry, _ = only(tmp_path / "a", method_version=99)
    assert any("made by version 99 of cyclegan" in remark for remark in entry.remarks)
    entry, _ = only(tmp_path / "b", config={"a_setting_of_old": 1})
    assert any("this version cannot make these cells again" in remark for remark in entry.remarks)
    entry, _ = only(tmp_path / "c", config={"width": 8})
    assert any("this version has other settings" in remark and "another cell" in remark for remark in entry.remarks)
    entry, _ = only(tmp_path / "d", method="no.such.module:Method")
    assert any("cannot be imported here" in remark for remark in entry.remarks)
    entry, _ = only(tmp_path / "e", method="nothing")
    assert any("unknown method" in remark for remark in entry.remarks)
    entry, _ = only(tmp_path / "f")
    assert [remark.partition(":")[0] for remark in entry.remarks] == [FOLDER]
    assert "--set" not in entry.commands[0]
    assert "--budget" not in entry.commands[0]


def test_checkpoints_other_styles_and_protocols_have_their_commands(tmp_path: Path) -> None:
    entry, _ = only(tmp_path / "a", weights="0123456789ab", budget=Budget("images", 0))
    assert " evaluate --task folder --methods cyclegan " in entry.commands[0]
    assert "--weights CHECKPOINT" in entry.commands[0]
    assert "--seeds" not in entry.commands[0]
    assert any("identity 0123456789ab" in remark for remark in entry.remarks)
    asked = [{**records(1.0)[0], "protocol": "fid-clean-v1", "metric": "fid"}]
    entry, folder = only(tmp_path / "b", scores=[*records(1.0), *asked])
    assert entry.commands[0].endswith("--protocols fid-clean-v1")
    (folder / "metrics-exemplar.json").write_text((folder / "metrics-none.json").read_text())
    (setting,) = collect_for_page(tmp_path / "b")
    (entry,) = row_commands(setting)
    assert [shlex.split(command)[3] for command in entry.commands] == ["run", "evaluate"]
    assert entry.commands[1].endswith("--style exemplar")


@pytest.mark.usefixtures("no_real_files")
def test_the_specification_is_read_as_it_was_written(tmp_path: Path, shapes: Path) -> None:
    data = folder_data(shapes)
    stored = spec(data_version=data.version, config={"betas": [0.5, 0.999], "deep": {"x": None}})
    add(tmp_path, stored)
    (setting,) = collect_for_page(tmp_path)
    assert spec_for_commands(setting.cells[0]).identity() == stored.identity()
    assert json.loads(json.dumps(asdict(spec_for_commands(setting.cells[0])))) == json.loads(json.dumps(asdict(stored)))
    assert [as_typed(value) for value in (True, None, 1e-6, [0.5, 2], "a b")] == [
        "true",
        "null",
        "1e-06",
        "[0.5, 2]",
        "a b",
    ]
