"""What stands beside the code: citation, licence, changelog, what texts name, and what git keeps of results."""

from __future__ import annotations

import configparser
import itertools
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import bench
from bench.cli.commands import app, main

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_citation_has_what_the_schema_requires_and_agrees_with_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    # Required by the schema of CFF 1.2.0: these four. Nothing else may stand there than what it knows.
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert set(citation) <= {
        "cff-version", "message", "title", "authors", "type", "version", "license", "abstract", "keywords",
        "repository-code", "url", "doi", "date-released", "references", "preferred-citation", "identifiers", "contact",
    }  # fmt: skip
    for author in citation["authors"]:  # an entity has a `name`, a person none
        assert "name" in author or {"family-names", "given-names"} <= set(author)
    assert citation["type"] == "software"
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def test_the_licence_is_the_declared_one() -> None:
    assert PROJECT["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")


def test_the_changelog_is_kept_and_names_every_command() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[(.+?)\]", text, flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    kinds = set(re.findall(r"^### (.+)$", text, flags=re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    commands = {info.name or info.callback.__name__ for info in app.registered_commands if info.callback}
    assert {name for name in commands if f"`{name}`" not in text} == set()


def test_the_oldest_environment_has_the_lower_bound_of_every_dependency() -> None:
    """`tox -e oldest` installs exactly what pyproject.toml says is enough, dependencies of tests included."""
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in ("dinov2", "test"))]
    bounds = {
        re.split(r"[<>=]+", entry)[0]: re.findall(r"[>=]=([\d.]+)", entry)[0] for entry in itertools.chain(*lists)
    }
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read(ROOT / "tox.ini")
    pinned = dict(entry.split("==") for entry in parsed["testenv:oldest"]["deps"].split())
    numbers = lambda version: [int(part) for part in f"{version}.0.0".split(".")[:3]]  # noqa: E731
    assert {name: numbers(version) for name, version in pinned.items()} == {
        name: numbers(version) for name, version in bounds.items()
    }
    assert parsed["testenv:oldest"]["base_python"] == "python" + PROJECT["requires-python"].removeprefix(">=")


# ---------------------------------------------------------------------------------------------------------- mentions

TEXTS = [
    path
    for folder in ("bench", "methods", "metrics", "tests", "docs", "examples")
    for ending in ("*.py", "*.md", "*.toml", "*.yaml", "*.yml")
    for path in (ROOT / folder).rglob(ending)
] + [path for path in ROOT.iterdir() if path.suffix in (".md", ".toml", ".ini", ".yml")]
MENTION = re.compile(r"(?<![\w./-])((?:bench|methods|metrics|tests)/[\w./-]*\w|bench(?:\.[a-z]\w*)+)")


def is_there(mention: str) -> bool:
    """Whether `mention`, a path or a dotted name of ours, leads to a file or folder, or to a name in that file."""
    if "/" in mention:
        return (ROOT / mention).exists() or (ROOT / f"{mention}.py").exists()
    *folders, name = mention.split(".")
    if folders == ["bench"] and name in bench.__all__:
        return True
    if ROOT.joinpath(*folders, name).is_dir() or ROOT.joinpath(*folders, f"{name}.py").exists():
        return True
    module = ROOT.joinpath(*folders).with_suffix(".py")
    return (
        bool(re.search(rf"\b{name}\b", module.read_text()))
        if module.exists()
        else len(folders) > 1 and is_there(".".join(folders))
    )


def test_every_path_and_module_that_a_text_names_is_there() -> None:
    absent = [
        f"{path.relative_to(ROOT)}: {mention}"
        for path in TEXTS
        for mention in {match.group(1) for match in MENTION.finditer(path.read_text("utf-8"))}
        if not mention.endswith(".md") and not mention.startswith("bench/results") and not is_there(mention)
    ]
    assert not absent, "\n".join(absent)


# ------------------------------------------------------------------------------------------------------------ results


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_preset", "no_real_files")
def test_git_ignores_what_commands_write_into_results_and_sees_what_is_shipped(
    tmp_path: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"  # the cache lies beside it

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(checkout), "-c", "user.name=x", "-c", "user.email=x", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    checkout.mkdir()
    monkeypatch.chdir(checkout)
    shutil.copy(ROOT / ".gitignore", checkout)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "a checkout")
    task = "--task folder"
    for command in (
        f"run {task} --data {shapes} --methods cyclegan --seeds 0,1 --jobs 1 --device cpu",
        f"table {task} --out results/table.md",
        f"report {task}",
        f"figure 4 {task} --data {shapes}",
        f"baseline save small {task} --data {shapes}",
    ):
        monkeypatch.setattr("sys.argv", ["bench", *command.split()])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 0, command
    written = {path.relative_to(checkout / "results").parts[0] for path in (checkout / "results").rglob("*")}
    assert written >= {"runs", "judges", "leaderboards", "report", "figures", "baselines", "table.md"}
    assert git("status", "--porcelain", "--untracked-files=all") == ""
    assert git("check-ignore", "results/checks/small.json")  # of check --rerun
    shipped = ["README.md", "paper.csv", "baselines/embedded/baseline.json", "leaderboards/mnist2svhn/board.md"]
    for name in shipped:
        (checkout / "results" / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / "results" / name).touch()
    seen = git("status", "--porcelain", "--untracked-files=all").splitlines()
    assert sorted(seen) == sorted(f"?? results/{name}" for name in shipped)
