"""What stands beside the code: citation, licence, changelog."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

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
    from bench.cli.commands import app

    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[(.+?)\]", text, flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    kinds = set(re.findall(r"^### (.+)$", text, flags=re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    commands = {info.name or info.callback.__name__ for info in app.registered_commands if info.callback}
    assert {name for name in commands if f"`{name}`" not in text} == set()
