"""Whether rendered tables are what their languages allow."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest
from tinyhtml5.parser import HTMLParser

from bench.reporting.tables.as_latex import PREAMBLE

PAGE = '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>t</title></head><body>{}</body></html>'


def parse_html(fragment: str) -> Element:
    """The tree, by a parser that follows the standard; fails on any parse error."""
    parser = HTMLParser()
    root = parser.parse(PAGE.format(fragment))
    assert [error[1] for error in parser.errors] == []
    return root


def elements(root: Element, tag: str) -> list[Element]:
    """Those called `tag`, in the order of the document."""
    return [node for node in root.iter() if isinstance(node.tag, str) and node.tag.split("}")[-1] == tag]


def check_latex(text: str, columns: int) -> None:
    """Balanced environments and braces, the same number of cells in every row, ASCII alone."""
    assert text.isascii()
    open_environments: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            open_environments.append(name)
        else:
            assert open_environments.pop() == name
    assert not open_environments
    bare = re.sub(r"\\[\\{}&%#$_^~]", "", text)
    depth = 0
    for char in bare:
        depth += (char == "{") - (char == "}")
        assert depth >= 0
    assert depth == 0
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    rows = [line for line in body.splitlines() if line.endswith(r" \\")]
    assert len(rows) == sum(not line.startswith(r"\midrule") for line in body.strip().splitlines())
    assert rows
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns - 1}
    assert "%" not in re.sub(r"\\%", "", body), "a comment would swallow the rest of a line"
    # Behind a line break these would be its arguments, wherever a cell begins with them.
    assert not re.search(r"\\\\\s*[\[*]|\\(?:top|mid)rule\s*\[", text)


def compile_latex(tables: Sequence[str], folder: Path) -> None:
    """Compile them in one document with booktabs alone; skips where no TeX is installed."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no TeX: pdflatex is not installed; the structure is checked all the same")
    body = "\\clearpage\n".join(tables)
    document = f"\\documentclass{{article}}\n{PREAMBLE}\n\\begin{{document}}\n{body}\\end{{document}}\n"
    (folder / "t.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert "Missing character" not in (folder / "t.log").read_text(errors="replace")
