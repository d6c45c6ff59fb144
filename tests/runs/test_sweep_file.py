"""Sweep files: what they mean, and that whatever else is in one is refused in two lines and runs nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.errors import BenchError
from bench.runs.sweep.file import MAX_BYTES, SweepEntry, find_sweep_file, load_sweep, shipped_sweeps, sweep_file_cells

FULL = """\
summary: All that there is
task: mnist2svhn
preset: [quick, paper]
data: some/where else
domains: a,b
val: train
budget: images=100
protocols: [fid-clean-v1, fd-dinov2-v1]
seeds: [0, 7]
cells:
  - method: [cyclegan, cats_udt:no_sem]
  - method: my_package.module:Class
    set: {semantics.imsat.scale: [0.5, 1.5], base_width: null, transfer: ""}
    grid: {lambda_sem: [0, 1e-1], pairing: [union]}
    seeds: 3
    preset: paper
"""
START = "task: mnist2svhn\ncells:\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "own.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_every_key(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path, FULL))
    assert (sweep.name, sweep.summary, sweep.task) == ("own", "All that there is", "mnist2svhn")
    assert (sweep.presets, sweep.data) == (("quick", "paper"), "some/where else")
    assert (sweep.domains, sweep.val) == ("a,b", "train")
    assert (sweep.budget, sweep.seeds) == ("images=100", (0, 7))
    assert sweep.protocols == ("fid-clean-v1", "fd-dinov2-v1")
    first, second = sweep.entries
    assert first == SweepEntry(("cyclegan", "cats_udt:no_sem"), {}, {}, (), (), line=11)
    assert second == SweepEntry(
        methods=("my_package.module:Class",),
        settings={"semantics.imsat.scale": "[0.5, 1.5]", "base_width": "null", "transfer": ""},
        grid={"lambda_sem": ("0", "1e-1"), "pairing": ("union",)},
        seeds=(3,),
        presets=("paper",),
        line=12,
    )
    assert (
        sweep_file_cells(sweep.chosen()) == 2 * 2 * 2 + 2
    )  # two methods and seeds under both presets, a grid under one
    assert sweep_file_cells(sweep.chosen(presets=("quick", "quick"), seeds=(5,))) == 2


def test_defaults(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path, START + "- method: cyclegan\n"))
    assert (sweep.presets, sweep.data, sweep.seeds, sweep.budget, sweep.summary) == (("quick",), "auto", (0,), "", "")


BOMB = "a: &a [x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "own.yaml: the file is empty"),
        ("# only a comment\n", "own.yaml: the file is empty"),
        ("- a\n- b\n", "own.yaml, line 1: `key: value` lines wanted"),
        ("tusk: mnist2svhn\n", "own.yaml, line 1: unknown key 'tusk'\n  did you mean 'task'?"),
        ("task: mnist2svhn\n", "own.yaml: 'cells' is missing"),
        ("cells: [{method: munit}]\n", "own.yaml: 'task' is missing"),
        ("task:\ncells: [{method: munit}]\n", "own.yaml, line 1: a value is missing"),
        ("task: mnist2svhn\ntask: pacs\n", "own.yaml, line 2: 'task' is there twice"),
        ("task: [mnist2svhn]\ncells: [{method: munit}]\n", "line 1: a single value wanted"),
        ("task: mnist2svhn\ncells: munit\n", "line 2: a list wanted"),
        ("task: mnist2svhn\ncells: []\n", "line 2: an empty list"),
        (START + "- munit\n", "line 3: `key: value` lines wanted"),
        (START + "- {metod: munit}\n", "line 3: unknown key 'metod'\n  did you mean 'method'?"),
        (START + "- {set: {width: 3}}\n", "line 3: 'method' is missing"),
        (START + "- {method: [munit, munit]}\n", "line 3: a method is named twice"),
        (START + "- {method: 'os; rm -rf /'}\n", "line 3: 'os; rm -rf /' is not a method"),
        (START + "- {method: munit, set: [width]}\n", "line 3: `key: value` lines wanted"),
        (START + "- {method: munit, set: {width: {a: 3}}}\n", "line 3: a single value wanted"),
        (START + "- {method: munit, set: {wid=th: 3}}\n", "line 3: 'wid=th' is not a setting's name"),
        (START + "- {method: munit, set: {width: '${oc.env:HOME}'}}\n", "line 3: '${oc.env:HOME}' is not a value"),
        (START + "- {method: munit, set: {width: '*a'}}\n", "line 3: '*a' is not a value"),
        (START + "- {method: munit, set: {width: }}\n", "line 3: a value is missing"),
        (START + "- {method: munit, grid: {width: 3}}\n", "line 3: a list wanted"),
        (START + "- {method: munit, grid: {width: []}}\n", "line 3: an empty list"),
        (START + "- {method: munit, grid: {width: [3, 4, 3]}}\n", "line 3: a value stands twice in 3, 4, 3"),
        (START + "- {method: munit, grid: {width: [3]}, set: {width: 3}}\n", "'width' is in set and in grid"),
        (START + "- {method: munit, seeds: -1}\n", "line 3: '-1' is not a seed"),
        (START + "- {method: munit, seeds: [0, 0]}\n", "line 3: a seed is named twice"),
        (START + "- {method: munit, seeds: " + "9" * 5000 + "}\n", "is not a seed"),
        ("protocols: ['fid v1']\n" + START + "- {method: munit}\n", "line 1: 'fid v1' is not a protocol"),
        (START + "- {method: munit, preset: quik}\n", "line 3: unknown preset 'quik'\n  did you mean 'quick'?"),
        ("<<: {task: pacs}\n" + START + "- {method: munit}\n", "line 1: unknown key '<<'"),
        (START + "- {method: munit}\n---\ntask: pacs\n", "not YAML: but found another document"),
        ("task: [\n", "not YAML: "),
        (START + "- {method: munit, \x00}\n", "not YAML: "),
        ("task: !!python/object/apply:os.system [touch here]\n", "line 1: tags (tag:yaml.org,2002:python/object"),
        ("task: !!str pacs\n", "line 1: tags"),
        ("task: ! pacs\n", "line 1: tags"),
        (BOMB, "line 1: anchors and aliases"),
        ("task: *a\n", "line 1: anchors and aliases"),
        (START + "- {method: munit, set: {width: " + "[" * 9 + "]" * 9 + "}}\n", "line 3: nested too deep"),
        ("[" * MAX_BYTES, "line 1: nested too deep"),
        (b"task: \xff\xfe", "cannot be read as text"),
        ("cells_of: table1\nseeds: 3\n", "line 2: 'seeds' beside cells_of"),
        ("cells_of: tabel1\n", "line 1: no shipped sweep is called 'tabel1'\n  did you mean 'table1'?"),
        ("cells_of: ../sweeps/table1\n", "no shipped sweep is called '../sweeps/table1'"),
        ("cells_of: table4\n", "line 1: table4 has no cells of its own, but those of table2"),
    ],
)  # fmt: skip
def test_everything_else_is_refused(
    text: str | bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    begun = time.monotonic()
    with pytest.raises(BenchError) as caught:
        load_sweep(write(tmp_path, text))
    assert message in str(caught.value)
    assert time.monotonic() - begun < 5  # a bomb or 65,536 brackets take no longer than any other file
    assert [path.name for path in tmp_path.iterdir()] == ["own.yaml"]


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(BenchError, match="larger than 65,536 bytes"):
        load_sweep(path)


@given(st.one_of(st.text(), st.tuples(st.integers(0, len(FULL)), st.text("[]{}:-,&*!|>'\"#% \n\tx0", max_size=6))))
@settings(max_examples=300, deadline=None)
def test_no_text_gives_anything_but_a_sweep_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, change: str | tuple[int, str]
) -> None:
    """Any text, and the valid file with something typed into it."""
    text = change if isinstance(change, str) else FULL[: change[0]] + change[1] + FULL[change[0] :]
    try:
        sweep = load_sweep(write(tmp_path_factory.getbasetemp(), text.encode("utf-8", "surrogatepass")))
    except BenchError as refused:
        named = "own.yaml" in refused.what and bool(refused.remedy)
    else:
        named = bool(sweep.entries) and all(entry.methods for entry in sweep.entries)
    assert named


@pytest.mark.parametrize(
    ("name", "stem"),
    [("1", "table1"), ("3a", "table3a"), ("figure3a", "figure3a"), ("7b", "figure7b"), ("11", "figure11")],
)
def test_shipped_sweeps_are_found_by_name(name: str, stem: str) -> None:
    assert find_sweep_file(name) == shipped_sweeps()[stem]


def test_which_of_two_a_short_name_means_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    find_sweep_file("3a")
    assert "3a is table3a; the other one: sweep figure3a" in capsys.readouterr().err
    find_sweep_file("3c")
    assert capsys.readouterr().err == ""


def test_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table1").mkdir()
    own = write(tmp_path, FULL)
    assert find_sweep_file("own.yaml").resolve() == own
    assert find_sweep_file(str(own)) == own
    assert find_sweep_file("table1") == shipped_sweeps()["table1"]
    for missing in ("other.yaml", "./table1", "table1/"):
        with pytest.raises(BenchError, match="there is no sweep file"):
            find_sweep_file(missing)
    with pytest.raises(BenchError, match="no shipped sweep is called 'tabel2'") as caught:
        find_sweep_file("tabel2")
    assert "did you mean 'table2'" in caught.value.remedy
