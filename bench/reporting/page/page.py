"""The report's page: the template, the pictures in it or beside it, and a policy that forbids all else.

Whatever a user named (methods, classes, reasons, settings) reaches the page through Jinja's escaping or that of
`bench.reporting.tables.as_html`; control characters and characters that turn the direction of writing are replaced in
both. Nothing of it becomes an address, an identifier, a style or a script.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.core.files import write_atomically, write_text
from bench.core.progress import explained
from bench.reporting.page import boards, charts, commands, notes, opening, samples, tradeoff
from bench.reporting.page.collect import PageResults, collect_for_page
from bench.reporting.page.samples import PagePicture, SampleSheet
from bench.reporting.tables.as_html import html_table
from bench.reporting.tables.table import Table, table_line

INLINE_LIMIT = 15_000_000
"""Bytes of pictures (as base64) up to which they lie in the page itself."""
IMAGES = "images"
"""Folder beside the page, where they do not."""
_OURS = re.compile(r"[0-9a-f]{32}\.png")


@dataclass(frozen=True)
class PageDirection:
    """What is shown of one direction."""

    name: str
    opening: opening.Opening
    panels: Sequence[boards.Panel]
    tradeoff: tradeoff.Tradeoff | None
    grid: SampleSheet


@dataclass(frozen=True)
class PageSection:
    """What is shown of one setting."""

    results: PageResults
    banner: Sequence[str]
    failures: Sequence[str]
    unfinished: Sequence[str]
    remarks: Sequence[str]
    caveats: Sequence[str]
    directions: Sequence[PageDirection]
    curves: Sequence[charts.LossCurves]
    made: Sequence[commands.RowCommands]
    environments: Sequence[notes.EnvironmentNote]
    protocols: Sequence[Any]


def write_report_page(results: Path, out: Path, task: str = "") -> Path:
    """Write `out/index.html` of every task and setting with results, or of `task` alone; returns its path.

    Raises BenchError if there are no results, or the disk refuses.
    """
    with explained("making the report: reading every cell, its pictures and its losses"):
        return write_page(out, [page_section(results_of) for results_of in collect_for_page(results, task)])


def page_section(results: PageResults) -> PageSection:
    """Everything that the template needs of one setting."""
    directions = [
        PageDirection(
            name,
            opening.page_opening(results, name),
            boards.board_panels(results, name),
            tradeoff.tradeoff(results, name),
            samples.sample_tiles(results, name),
        )
        for name in results.directions
    ]
    return PageSection(
        results, notes.banner_notes(results), notes.failure_notes(results), notes.unfinished_notes(results),
        notes.remark_notes(results), notes.caveat_notes(results), directions, charts.loss_charts(results),
        commands.row_commands(results),
        notes.environment_notes(results), notes.protocol_notes(results),
    )  # fmt: skip


def write_page(out: Path, sections: Sequence[PageSection], inline_limit: int = INLINE_LIMIT) -> Path:
    """`out/index.html`, and `out/images/` where the pictures are too many for the page; returns the page's path.

    Pictures are written first, so that the page never names one that is not there. Pictures of an earlier report that
    this one does not show are removed. Raises BenchError where the disk refuses.
    """
    pictures = [picture for part in sections for direction in part.directions for picture in _pictures(direction.grid)]
    inline = sum(4 * len(picture.png) // 3 for picture in pictures) <= inline_limit
    page = out / "index.html"
    if inline:
        write_text(page, render_page(sections, _data_uri))
        _remove_others(out / IMAGES, set())
        return page
    kept = {}
    for picture in pictures:
        name = _name(picture)
        if name not in kept:
            kept[name] = picture
            _write(out / IMAGES / name, picture.png)
    write_text(page, render_page(sections, lambda picture: f"{IMAGES}/{_name(picture)}"))
    _remove_others(out / IMAGES, set(kept))
    return page


def _pictures(grid: SampleSheet) -> Iterator[PagePicture]:
    yield from (strip.picture for strip in grid.opening)
    yield from grid.sources
    for method in grid.made:
        yield from method.strips


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, lambda file: file.write(content))


def _data_uri(picture: PagePicture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.png).decode()


def _name(picture: PagePicture) -> str:
    return hashlib.sha256(picture.png).hexdigest()[:32] + ".png"


def _remove_others(folder: Path, kept: Iterable[str]) -> None:
    """Files named as `_name` does, and no others."""
    if folder.is_dir() and not folder.is_symlink():
        for path in folder.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in kept:
                path.unlink(missing_ok=True)


def render_page(sections: Sequence[PageSection], address: Callable[[PagePicture], str]) -> str:
    """The page as text; `address`: what stands in a picture's `src`."""
    style, script = _part("report.css"), _part("report.js")
    environment = Environment(
        loader=PackageLoader("bench.reporting.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, finalize=_plain,
    )  # fmt: skip
    environment.globals.update(address=address, table=_table, version=_version())
    policy = (
        f"default-src 'none'; img-src data: 'self'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("page.html").render(
        sections=sections, policy=policy, style=Markup(style), script=Markup(script)
    )


def _plain(value: Any) -> Any:
    """Text of a user on one line and printable; markup of ours as it is."""
    return table_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _table(table: Table) -> Markup:
    return Markup(html_table(table))


def _part(name: str) -> str:
    """A file of ours that goes into the page as it is."""
    text = files("bench.reporting.page").joinpath("templates", name).read_text(encoding="utf-8")
    assert "</" not in text, f"{name}: an end tag would end the element that it stands in"
    return text


def _digest(text: str) -> str:
    """Hash of a style or script as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _version() -> str:
    try:
        return version("udt-bench")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return ""
