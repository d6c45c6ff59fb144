"""The documentation is current, and what it tells a reader to type works.

Three kinds of commands. *Run*, literally, with the settings of tests/helpers/tiny.py on a small folder: the quick
start's story on `my_images`, in its order (`test_the_quick_starts_story`), and everything that only lists or explains
(`test_what_only_lists`). *Checked*, all of them: the real parser reads the options, and names of tasks, methods,
settings, presets, protocols, sweeps, figures and files are looked up, but nothing is trained (`test_each_command`).
*Neither*: programs that are not ours (pip, tox, pytest).
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import docs_commands
import pandas as pd
import pytest
import tiny
import yaml
from docs_commands import DOCS, ROOT, Shown, check, commands, shown

from bench.checks.conform.conform import conform
from bench.cli.commands import main
from bench.core.errors import BenchError
from bench.runs.sweep.file import load_sweep
from methods.registry import BUILT_IN, ENTRY_POINT_GROUP

QUICK_START = "docs/quick-start.md"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(
        module
    )  # as a script it looks into its checkout first; what is tested here is what is installed
    sys.path[:] = before
    return module


# ---------------------------------------------------------------------------------------------------- generated parts


def test_generated_parts_are_current(generate: ModuleType) -> None:
    stale = [
        str(page) for page in generate.pages() if generate.rendered(page.read_text("utf-8")) != page.read_text("utf-8")
    ]
    assert not stale, "run: python docs/generate.py"


def test_a_changed_setting_makes_its_page_stale(generate: ModuleType) -> None:
    page = (DOCS / "methods" / "cyclegan.md").read_text("utf-8")
    assert generate.rendered(page.replace("| `pool_size` | `50` |", "| `pool_size` | `51` |")) == page
    assert "`50`" in page


def test_the_tables_of_results_are_those_of_the_records(generate: ModuleType) -> None:
    """Computed anew with pandas, from every folder that a page shows; what made it lies beside it."""
    shown_blocks = [
        match.split()
        for page in generate.pages()
        for match in re.findall(r"<!-- generated: (?:leaderboard|board) (.+?) -->", page.read_text("utf-8"))
    ]
    assert shown_blocks
    for name, *protocols in shown_blocks:
        folder = ROOT / "results" / "leaderboards" / name
        assert (folder / "README.md").is_file()
        records = pd.read_csv(folder / "records.csv", keep_default_na=False, na_values=[""])
        assert set(records["revision"].str.len()) == {40}
        chosen = records[(records["class"] == "all") & records["protocol"].isin(protocols) & records["value"].notna()]
        values = chosen.groupby(["direction", "protocol", "method", "variant"], dropna=False)["value"]
        table = generate.leaderboard(name, *protocols)
        for mean, deviation, count in zip(values.mean(), values.std(), values.count(), strict=True):
            shown_values = [f"{mean:.{k}f}" + (f" ± {deviation:.{k}f}" if count > 1 else "") for k in (1, 2, 3)]
            assert mean == 0 or any(f"| {text} |" in table for text in shown_values), (name, shown_values)


@pytest.mark.parametrize("method", BUILT_IN)
def test_every_setting_of_a_method_is_on_its_page(method: str, generate: ModuleType) -> None:
    from bench.spec.run_spec import flat_spec_values

    page = (DOCS / "methods" / f"{method}.md").read_text("utf-8")
    config = generate.method_class(method).Config
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `(.*?)` \|", page, flags=re.MULTILINE))
    assert set(rows) == set(flat_spec_values(config()))
    # The docstring's own words, found without the parser that made the page.
    tree = ast.parse(Path(sys.modules[config.__module__].__file__ or "").read_text("utf-8"))
    (found,) = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == config.__name__]
    texts = [
        node.value.value for node in found.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]
    first = str(texts[1]).split("\n")[0].replace("<", "&lt;").rstrip(".")
    assert first in page
    for part in ("## Where ours differs", "## Traps", "## How to cite", "arXiv"):
        assert part in page


def test_every_protocol_is_on_a_page() -> None:
    from bench.spec.protocols import PROTOCOLS

    text = "".join(page.read_text("utf-8") for page in (DOCS / "metrics").glob("*.md"))
    assert {name for name in PROTOCOLS if f"**`{name}`**" not in text} == set()


def test_the_navigation_has_every_page() -> None:
    """The builder refuses others, but for gate.md, which docs/hooks.py adds where it is there."""
    config = yaml.safe_load((ROOT / "properdocs.yml").read_text())
    listed = set(re.findall(r"[\w/-]+\.md", str(config["nav"])))
    assert listed == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"gate.md"}


# ----------------------------------------------------------------------------------------------------------- commands


def test_there_are_commands_of_every_kind() -> None:
    from bench.cli.commands import app

    named = {command.arguments[0] for command in commands()}
    assert named >= {info.name or info.callback.__name__ for info in app.registered_commands if info.callback}


@pytest.mark.parametrize("command", commands(), ids=str)
def test_each_command(command: Shown) -> None:
    check(command.arguments)


@pytest.mark.parametrize(
    "typed",
    [
        "run --task sketch2real --methdos cyclegan",
        "run --task sketch2reel",
        "run --task sketch2real --methods cyclegna",
        "run --task sketch2real --preset papper",
        "run --task sketch2real --set cyclegan.lambda_cycel=1 --methods cyclegan",
        "run --task sketch2real --jobs many",
        "run --task sketch2real --budget image=1",
        "run --task sketch2real --protocols fid-clean",
        "rnu --task sketch2real",
        "run",
        "list protocol",
        "sweep table9",
        "figure 2",
        "table --paper 5",
        "fetch incepton",
        "compare cats_udt --task sketch2real",
        "semantics --task mnist2svhn --stage mocco",
        "--degub list tasks",
    ],
)
def test_a_typo_is_found(typed: str) -> None:
    (command,) = shown(f"```sh\npython -m bench {typed}  # why\n```", "a page")
    with pytest.raises(Exception) as caught:  # noqa: PT011 (the parser's class is private)
        check(command.arguments)
    assert isinstance(caught.value, BenchError | AssertionError) or "UsageError" in str(type(caught.value).__mro__)


def test_a_line_that_is_no_known_program_is_found() -> None:
    with pytest.raises(ValueError, match="what is this"):
        list(shown("```sh\npyton -m bench list tasks\n```", "a page"))


def test_the_sweep_file_that_is_shown_is_one(tmp_path: Path) -> None:
    (body,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "reproduce.md").read_text("utf-8"), flags=re.DOTALL)
    path = tmp_path / "my_sweep.yaml"
    path.write_text(body)
    assert load_sweep(path).task == "mnist2svhn"


def test_the_method_that_is_shown_keeps_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (body,) = re.findall(r"```python\n(.*?)```", (DOCS / "adding-a-method.md").read_text("utf-8"), flags=re.DOTALL)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "my_module.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    outcomes = conform("my_package.my_module:MyMethod", sizes=(32,))
    assert [outcome.name for outcome in outcomes if outcome.status != "passed"] == []
    assert len(outcomes) > 30


def test_the_package_that_is_shown_installs_beside_a_results_folder() -> None:
    """setuptools refuses to guess where there are two folders that could be packages, and `run` makes the second."""
    (body,) = re.findall(r"```toml\n(.*?)```", (DOCS / "adding-a-method.md").read_text("utf-8"), flags=re.DOTALL)
    package = tomllib.loads(body)
    assert package["tool"]["setuptools"]["packages"] == ["my_package"]
    assert package["project"]["entry-points"][ENTRY_POINT_GROUP] == {"my_method": "my_package.my_module:MyMethod"}
    assert package["project"]["dependencies"] == ["udt-bench"]


def test_no_picture_or_link_of_the_readme_leads_nowhere() -> None:
    """Those of the pages are checked by the builder."""
    linked = re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text("utf-8"))
    assert "docs/images/mnist2svhn-real-quick.png" in linked
    assert [path for path in linked if "://" not in path and not (ROOT / path).exists()] == []


LISTS = ("list", "--help", "--version", "--list", "--show-completion")


@pytest.mark.usefixtures("no_real_files")
def test_what_only_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))  # there may be no shell above
    chosen = [command for command in commands() if set(command.arguments) & set(LISTS)]
    assert len(chosen) >= 12
    for command in chosen:
        monkeypatch.setattr("sys.argv", ["udt-bench", *command.arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 0, command
        assert capsys.readouterr().out, command
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_the_quick_starts_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command on `my_images`, as typed, in the page's order, and then what the page says lies there."""
    tiny.make_folder(tmp_path / "my_images", per_class=6)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "bench.core.device.Runtime.cells_at_once", 1
    )  # a process for each cell would have other presets
    story = [
        command.arguments
        for command in shown((ROOT / QUICK_START).read_text("utf-8"), QUICK_START)
        if {"my_images", "folder"} & set(command.arguments)
    ]
    assert len(story) >= 7
    for arguments in story:
        monkeypatch.setattr("sys.argv", ["udt-bench", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 0, arguments
    results = tmp_path / "results"
    assert (results / "report" / "index.html").exists()
    assert (results / "leaderboards" / "folder.md").exists()
    assert "cyclegan" in (tmp_path / "results.csv").read_text()
    assert len(list((results / "runs").rglob("spec.json"))) == 4  # two methods, another setting, another budget


def test_the_commands_module_reads_all_pages() -> None:
    assert {page.name for page in docs_commands.pages()} >= {"README.md", "CONTRIBUTING.md", "quick-start.md"}
