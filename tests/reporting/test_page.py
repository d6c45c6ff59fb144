"""The page: its numbers are those of the records, it is a sound document, and no name in it is ever markup."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import numpy as np
import pytest
from long_table import frame
from PIL import Image
from report_results import CLASSES, ENVIRONMENT, add, folder_data, records, spec, translations, usual, write
from table_checks import elements
from tinyhtml5.parser import HTMLParser

from bench.cli.commands import main
from bench.core.errors import BenchError
from bench.reporting.page.collect import collect_for_page
from bench.reporting.page.opening import OpeningChart, page_opening
from bench.reporting.page.page import page_section, write_page, write_report_page

HOSTILE = (
    "<script>alert(1)</script>",
    '"onmouseover="alert(2)" x="',
    "</style><b>3</b>",
    "javascript:alert(4)",
    "'><img src=x onerror=alert(5)>",
    "{{ 6 * 7 }} ${7} &lt;",
)


def parse(text: str) -> Element:
    """The document, by a parser that follows the standard; fails on any parse error."""
    parser = HTMLParser()
    root = parser.parse(text)
    assert [error[1] for error in parser.errors] == []
    return root


def words(node: Element) -> str:
    return " ".join("".join(node.itertext()).split())


def page_of(results: Path, out: Path, **options: Any) -> tuple[str, Element]:
    path = write_page(out, [page_section(setting) for setting in collect_for_page(results)], **options)
    text = path.read_text()
    return text, parse(text)


def table_called(root: Element, end: str) -> list[list[Element]]:
    """The rows, heading first, of the one table whose caption ends with `end`."""
    (found,) = [
        node for node in elements(root, "table") if any(words(c).endswith(end) for c in elements(node, "caption"))
    ]
    return [[cell for cell in row if cell.tag.split("}")[-1] in ("th", "td")] for row in elements(found, "tr")]


def values(root: Element, end: str) -> dict[str, dict[str, str]]:
    """Name of the row -> heading -> what the cell says."""
    head, *rows = table_called(root, end)
    return {words(row[0]): {words(h): words(c) for h, c in zip(head, row, strict=True)} for row in rows}


@pytest.fixture
def page(tmp_path: Path) -> Element:
    usual(tmp_path / "r")
    return page_of(tmp_path / "r", tmp_path / "out")[1]


# ----------------------------------------------------------------------------------------------------------- numbers


def test_the_leaderboard_has_the_means_deviations_and_counts_of_the_records(tmp_path: Path) -> None:
    usual(tmp_path / "r")
    root = page_of(tmp_path / "r", tmp_path / "out")[1]
    long = frame(tmp_path / "r", "folder")
    head, *rows = table_called(root, "; ink->paint")
    names = [words(cell) for cell in head]
    assert {words(row[0]) for row in rows} == {
        "cyclegan", "egsc_it*", "munit", "(real test images)", "(floor: real images against others)",
    }  # fmt: skip
    for method, shown in (("cyclegan", "cyclegan"), ("egsc_it", "egsc_it*")):
        (row,) = [row for row in rows if words(row[0]) == shown]
        for protocol in ("accuracy-judge-v1", "fid-judge-v1", "kid-judge-v1"):
            (column,) = [i for i, name in enumerate(names) if name.startswith(protocol)]
            own = long[(long.method == method) & (long.protocol == protocol) & (long.label == "all")].value
            assert float(row[column].attrib["data-value"]) == pytest.approx(own.mean(), rel=1e-12)
            wanted = f"{own.mean():.2f}" + (f" ± {own.std():.2g}" if len(own) > 1 else "")
            assert words(row[column]) == wanted
    accuracy = values(root, "; ink->paint")
    assert accuracy["cyclegan"]["seeds k/n"] == "2/2"
    assert accuracy["(real test images)"]["accuracy-judge-v1 % ↑ (n = 6)"] == "97.50"
    assert accuracy["(floor: real images against others)"]["fid-judge-v1 ↓ (n = 6/16)"] == "1.25 ± 0.12"
    assert accuracy["munit"]["seeds k/n"] == "0/1"
    assert accuracy["munit"]["accuracy-judge-v1 % ↑ (n = 6)"] == "failed"
    assert accuracy["cyclegan"]["train s"] == "100"  # the mean of 100 and 101, to even
    assert accuracy["cyclegan"]["stages s"] == "5"
    assert accuracy["cyclegan"]["parameters M"] == "1.23"
    assert accuracy["cyclegan"]["TFLOP"] == "2.5"


def test_classes_have_their_own_tables_and_stand_side_by_side(page: Element) -> None:
    # records(base): fid is base + 10, and each class one more than the one before; mean base of the two seeds: 22.
    alone = values(page, "ink->paint: class disc alone")
    assert alone["cyclegan"]["fid-judge-v1 ↓ (n = 3/16)"] == "34.00 ± 2.8"
    assert alone["(real test images)"]["accuracy-judge-v1 % ↑ (n = 3)"] == "97.70"
    beside = values(page, "ink->paint: fid-judge-v1 ↓ per class (encoder aaaaaaaaaaaa)")
    assert [beside["cyclegan"][f"{name} (n = 3/16)"] for name in CLASSES] == ["33.00 ± 2.8", "34.00 ± 2.8"]
    assert values(page, "ink->paint: further measures")["egsc_it*"]["precision-judge-v1 ↑ (n = 6/16)"] == "80.00"
    options = [words(node) for node in elements(page, "option")]
    beside = [
        f"{name} per class (encoder aaaaaaaaaaaa)"
        for name in ("accuracy-judge-v1 % ↑", "fid-judge-v1 ↓", "kid-judge-v1 ↓")
    ]
    assert options == ["all classes together", *CLASSES, *beside]
    panels = {node.attrib["id"] for node in elements(page, "div") if node.attrib.get("class") == "panel"}
    assert {node.attrib["value"] for node in elements(page, "option")} == panels


def test_intervals_over_images_and_seeds_are_inside_the_range(page: Element) -> None:
    over_images = values(page, "ink->paint: 95 % over images")["cyclegan"]
    assert over_images["accuracy-judge-v1 % ↑ (n = 6)"] == "22.00 (4.84 to 61.02)"  # Wilson, 6 images
    assert not any("precision" in name for name in over_images)
    over_seeds = values(page, "ink->paint: 95 % over seeds")
    assert (
        over_seeds["cyclegan"]["accuracy-judge-v1 % ↑ (n = 6)"] == "22.00 (3.23 to 61.02)"
    )  # arcsine, t(0.975, 1) = 12.7062
    assert set(over_seeds) == {"cyclegan"}


def test_a_value_of_some_seeds_says_of_how_many(tmp_path: Path) -> None:
    add(tmp_path / "r", spec(), records(20.0))
    add(tmp_path / "r", spec(seed=1), records(22.0))
    add(tmp_path / "r", spec(seed=2), status={"state": "failed", "reason": "no"})
    root = page_of(tmp_path / "r", tmp_path / "out")[1]
    row = values(root, "; ink->paint")["cyclegan"]
    assert row["accuracy-judge-v1 % ↑ (n = 6)"] == "21.00 ± 1.4 [2/3]"
    assert row["seeds k/n"] == "2/3"


def test_settings_never_share_a_table_and_other_settings_or_encoders_never_a_row_or_column(tmp_path: Path) -> None:
    add(tmp_path / "r", spec(), records(1.0))
    add(tmp_path / "r", spec(config={"width": 16}), records(2.0))
    add(tmp_path / "r", spec(method="drit"), records(3.0, encoder="bbbbbbbbbbbb"))
    add(tmp_path / "r", spec(data_version="v2"), records(5.0))
    first, second = collect_for_page(tmp_path / "r")
    assert (first.setting.data_version, second.setting.data_version) == ("v1", "v2")
    named = {"cyclegan [width=16]", "cyclegan [width=8]", "drit"}
    assert {row.name for row in first.rows.values()} == named
    root = page_of(tmp_path / "r", tmp_path / "out")[1]
    shown = values(elements(root, "section")[0], "; ink->paint")
    assert set(shown) - {"(real test images)", "(floor: real images against others)"} == named
    columns = [f"accuracy-judge-v1 [{encoder}] % ↑ (n = 6)" for encoder in ("aaaaaaaaaaaa", "bbbbbbbbbbbb")]
    assert [shown["drit"][name] for name in columns] == ["-", "3.00"]
    assert [shown["cyclegan [width=8]"][name] for name in columns] == ["1.00", "-"]


def test_what_cannot_be_compared_says_so_where_it_cannot_be_overlooked(tmp_path: Path) -> None:
    add(tmp_path / "r", spec(data_kind="embedded", method="egsc_it"), records(1.0), supervision="weak")
    add(tmp_path / "r", spec(preset="paper", budget=spec().budget), records(2.0))
    root = page_of(tmp_path / "r", tmp_path / "out")[1]
    paper, embedded = elements(root, "section")  # the paper's settings on real data first
    assert not [node for node in paper.iter() if node.attrib.get("class") == "banner"]
    (banner,) = [node for node in embedded.iter() if node.attrib.get("class") == "banner"]
    assert "Not comparable with the paper" in words(banner)
    assert "drawn by code, not real images" in words(banner)
    assert "small networks, short training" in words(banner)
    captions = [words(node) for node in elements(embedded, "caption") if words(node) != "Protocols"]
    assert len(captions) > 3
    assert all("embedded data at 32 px, preset quick" in text for text in captions)
    assert "not comparable with the paper" in words(elements(root, "nav")[0])
    said = words(embedded)
    assert "One training of each method" in said
    assert "Fréchet distances of 3 images" in said
    assert "egsc_it: weakly supervised (*)" in said


def test_failures_warnings_environment_and_the_doctor_are_shown(page: Element) -> None:
    text = words(page)
    assert "munit seed 0: loss 1:generator.adv is not finite (step 431)" in text
    assert "egsc_it seed 0: one cluster holds 93 % of paint" in text
    assert "doctor: 84 of 85 checks passed" in text
    assert "fid of a set: expected 0.0, got 1.5" in text
    assert "abc123 (with changes that are not committed)" in text
    facts = dict(zip(map(words, elements(page, "dt")), map(words, elements(page, "dd")), strict=True))
    assert facts["lpips"] == "not installed"
    assert facts["torch"] == "2.14.1"


def test_records_of_an_earlier_version_are_shown_without_intervals_or_floors(tmp_path: Path) -> None:
    fields = ("deviation", "floor", "floor_deviation", "floor_n", "floor_reference")
    old = [{key: value for key, value in record.items() if key not in fields} for record in records(20.0)]
    old.append({**old[0], "protocol": "fid-of-old-v0"})
    add(tmp_path / "r", spec(), old)
    root = page_of(tmp_path / "r", tmp_path / "out")[1]
    assert values(root, "; ink->paint")["cyclegan"]["accuracy-judge-v1 % ↑ (n = 6)"] == "20.00"
    assert "no floors or intervals" in words(root)
    assert "does not know these protocols: fid-of-old-v0" in words(root)


def test_a_damaged_cell_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    add(tmp_path / "r", spec(), records(20.0))
    broken = add(tmp_path / "r", spec(seed=1), records(22.0))
    (broken / "metrics-none.json").write_text('{"records": [')
    unknown = add(tmp_path / "r", spec(seed=2), records(24.0))
    (unknown / "environment.json").write_text("[1")
    (unknown / "log.jsonl").write_bytes(b"\xff\xfe{}\n[]\n")
    root = page_of(tmp_path / "r", tmp_path / "out")[1]
    assert values(root, "; ink->paint")["cyclegan"]["accuracy-judge-v1 % ↑ (n = 6)"] == "22.00 ± 2.8"
    assert f"left out: {broken / 'metrics-none.json'} is damaged" in words(root)


# ------------------------------------------------------------------------------------------------------------ samples


def of_class(root: Element, name: str) -> list[Element]:
    return [node for node in elements(root, "div") if name in node.attrib.get("class", "").split()]


def strips(root: Element) -> list[Element]:
    """The pictures of the large sheet of samples."""
    return [image for sheet in of_class(root, "samples") for image in elements(sheet, "img")]


def opening_strips(root: Element) -> list[Element]:
    """The pictures that the page opens with."""
    return [image for sheet in of_class(root, "strips") for image in elements(sheet, "img")]


def decoded(image: Element) -> np.ndarray:
    raw = base64.b64decode(image.attrib["src"].partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(raw)).convert("RGBA"))


def test_samples_show_the_same_sources_and_what_was_stored(tmp_path: Path, shapes: Path) -> None:
    data = folder_data(shapes)
    usual(tmp_path / "r", data.version)
    root = page_of(tmp_path / "r", tmp_path / "out")[1]
    images = strips(root)
    assert len(images) == 4 * 3  # two of each class; source, cyclegan, egsc_it
    split = data.splits[0, "test"]
    chosen = np.sort(np.concatenate([np.flatnonzero(split.labels == label)[:2] for label in (0, 1)]))
    by_class = sorted(range(4), key=lambda place: split.labels[chosen[place]])
    for row, place in enumerate(by_class):
        source, plain, styled = images[3 * row : 3 * row + 3]
        pixels = split.images[chosen[place]].transpose(1, 2, 0)
        assert (decoded(source)[..., :3] == pixels).all()
        label = CLASSES[split.labels[chosen[place]]]
        assert source.attrib["alt"] == f"ink test image of class {label}"
        assert (decoded(plain)[..., :3] == translations(0, styles=1)[place, 0].transpose(1, 2, 0)).all()
        assert styled.attrib["alt"] == (
            f"ink image of class {label} as paint by egsc_it seed 0, styles 1 to 5 from the left"
        )
        sheet, made = decoded(styled), translations(7)[place]
        assert sheet.shape == (32, 5 * 34 - 2, 4)
        for k in range(5):
            assert (sheet[:, 34 * k : 34 * k + 32, :3] == made[k].transpose(1, 2, 0)).all()
        assert (sheet[:, 32:34, 3] == 0).all()
        assert (styled.attrib["width"], styled.attrib["height"]) == (str(2 * 168), "64")


def test_the_page_opens_with_pictures_and_charts_then_a_small_table(tmp_path: Path, shapes: Path) -> None:
    usual(tmp_path / "r", folder_data(shapes).version)
    root = page_of(tmp_path / "r", tmp_path / "out")[1]
    body = [node for node in root.iter() if str(node.tag).split("}")[-1] in ("img", "svg", "table", "summary", "h3")]
    kinds = [str(node.tag).split("}")[-1] for node in body]
    assert kinds[:9] == ["h3", "table", "img", "img", "img", "svg", "svg", "svg", "table"]
    assert kinds[9] == "summary"
    assert all(not node.attrib.get("open") for node in elements(root, "details"))
    source, plain, styled = opening_strips(root)
    assert source.attrib["alt"] == "ink test images: cross, disc"
    assert styled.attrib["alt"] == "the same as paint by egsc_it seed 0: cross, disc"
    split = folder_data(shapes).splits[0, "test"]
    chosen = np.sort(np.concatenate([np.flatnonzero(split.labels == label)[:2] for label in (0, 1)]))
    first = [int(np.flatnonzero(split.labels[chosen] == label)[0]) for label in (0, 1)]
    assert decoded(plain).shape == (32, 2 * 34 - 2, 4)
    for column, place in enumerate(first):
        for picture, wanted in (
            (source, split.images[chosen[place]]),
            (plain, translations(0, styles=1)[place, 0]),
            (styled, translations(7)[place, 0]),
        ):
            tile = decoded(picture)[:, 34 * column : 34 * column + 32, :3]
            assert (tile == wanted.transpose(1, 2, 0)).all()
    (sheet,) = of_class(root, "strips")
    assert words(sheet).endswith("without pictures here: munit")
    heading = [words(cell) for cell in table_called(root, "the main metrics")[0]]
    assert heading == [
        "method", "accuracy % ↑ (n = 6)", "FID ↓ (n = 6/16)", "KID ↓ (n = 6/16)", "training + stages s",
    ]  # fmt: skip


def test_charts_have_the_values_the_intervals_and_the_floors(tmp_path: Path) -> None:
    usual(tmp_path / "r")
    (results,) = collect_for_page(tmp_path / "r")
    accuracy, fid, _ = page_opening(results, "ink->paint").charts
    assert accuracy.title == "accuracy % (higher is better)"
    assert fid.title == "FID (lower is better)"
    assert [point.name for point in accuracy.points] == ["cyclegan", "egsc_it", "munit"]
    assert [text for _, text in accuracy.lines] == ["real 97.50"]
    assert [text for _, text in fid.lines] == ["floor 1.25"]

    def value(chart: OpeningChart, x: float) -> float:
        """What stands at `x` by the chart's own ticks."""
        (a, first), *_, (b, last) = chart.ticks
        return float(first) + (x - a) / (b - a) * (float(last) - float(first))

    two_seeds, one_seed, failed = accuracy.points
    assert two_seeds.x is not None
    assert two_seeds.bar is not None
    assert one_seed.bar is not None
    assert value(accuracy, two_seeds.x) == pytest.approx(22.0)
    assert [value(accuracy, x) for x in two_seeds.bar] == pytest.approx([3.23, 61.02], abs=0.01)  # over two seeds
    assert [value(accuracy, x) for x in one_seed.bar] == pytest.approx([18.76, 81.24], abs=0.01)  # Wilson, 6 images
    assert (failed.x, failed.text) == (None, "failed")
    assert value(fid, fid.lines[0][0]) == pytest.approx(1.25)
    # 30 and 34: 32 ± 12.706 * 2 goes beyond 0, and no distance does.
    (cut, *_) = fid.points
    assert cut.bar is not None
    assert value(fid, cut.bar[0]) == pytest.approx(32.0 - 12.7062 * 2.0, abs=0.01)
    assert cut.ends == (True, True)
    assert "cyclegan: 22.00 (3.23 to 61.02)" in accuracy.text


def test_an_interval_beyond_all_values_is_cut_off_without_an_end(tmp_path: Path) -> None:
    for seed, base in ((0, 1.0), (1, 60.0)):
        add(tmp_path / "r", spec(seed=seed), records(base))
    (results,) = collect_for_page(tmp_path / "r")
    fid = page_opening(results, "ink->paint").charts[1]
    assert fid.points[0].bar == (0.0, 200.0)
    assert fid.points[0].ends == (True, False)


def test_a_metric_that_no_row_has_a_number_of_has_no_chart(tmp_path: Path) -> None:
    same = {**records(0.0)[0], "metric": "judge_diversity", "protocol": "diversity-judge-v1", "on_real": None}
    add(tmp_path / "r", spec(), [*records(20.0), same])
    (results,) = collect_for_page(tmp_path / "r")
    head = page_opening(results, "ink->paint")
    assert [chart.title.partition(" ")[0] for chart in head.charts] == ["accuracy", "FID", "KID"]
    assert [cell.text for cell in head.table.groups[0].rows[0]][-2] == "none"


def test_many_tasks_have_an_index_and_one_has_none(tmp_path: Path) -> None:
    usual(tmp_path / "r")
    assert elements(page_of(tmp_path / "r", tmp_path / "out")[1], "nav") == []
    add(tmp_path / "r", spec(task="pacs"), records(1.0))
    add(tmp_path / "r", spec(data_version="v2"), records(1.0))
    (index,) = elements(page_of(tmp_path / "r", tmp_path / "out")[1], "nav")
    entries = [words(node) for node in elements(index, "li")]
    assert len(entries) == 3
    assert sum("3 methods, ink->paint" in entry and "1 failed" in entry for entry in entries) == 1
    assert [node.attrib["href"] for node in elements(index, "a")] == ["#s1", "#s1-d1", "#s2", "#s2-d1", "#s3", "#s3-d1"]


def test_more_rows_than_fit_are_named(tmp_path: Path) -> None:
    for place in range(15):
        add(tmp_path / "r", spec(method=f"method_{place:02d}"), records(20.0 + place))
    (results,) = collect_for_page(tmp_path / "r")
    head = page_opening(results, "ink->paint")
    assert [len(chart.points) for chart in head.charts] == [12] * 3
    assert head.left_out == "not shown here, but in the table: method_12, method_13, method_14"
    assert len(list(head.table.groups[0].rows)) == 15


def test_translations_that_were_not_scored_are_not_shown(tmp_path: Path, shapes: Path) -> None:
    data = folder_data(shapes)
    images = {"ink->paint": translations(0)}
    changed = add(tmp_path / "r", spec(data_version=data.version), records(1.0), images=images)
    np.save(changed / "translations-ink2paint-none.npy", translations(1))
    absent = add(tmp_path / "r", spec(data_version=data.version, method="drit"), records(1.0), images=images)
    (absent / "translations-ink2paint-none.npy").write_bytes(b"\x93NUMPY cut off")
    root = page_of(tmp_path / "r", tmp_path / "out")[1]
    assert strips(root) == []
    assert "cyclegan seed 0: its translations are not those that were scored: not shown" in words(root)
    assert "drit seed 0: the file of its translations is absent or damaged: not shown" in words(root)


def test_other_sources_or_data_that_is_not_here_show_no_wrong_source(tmp_path: Path, shapes: Path) -> None:
    usual(tmp_path / "r", "a-version-of-elsewhere")
    root = page_of(tmp_path / "r", tmp_path / "out")[1]
    assert len(strips(root)) == 4 * 2
    assert "are not prepared on this machine" in words(root)
    version = folder_data(shapes).version
    made = add(tmp_path / "r2", spec(data_version=version), records(1.0), images={"ink->paint": translations(0)})
    write(made / "translations-ink2paint-none.json", {"sources": "of another split"})
    other = page_of(tmp_path / "r2", tmp_path / "out")[1]
    assert not [image for image in strips(other) if "test image of class" in image.attrib["alt"]]


def test_large_pictures_are_shrunk_and_many_lie_beside_the_page(tmp_path: Path) -> None:
    big = {"ink->paint": translations(3, sources=4, styles=2, size=128)}
    add(tmp_path / "r", spec(image_size=128), records(1.0), images=big)
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    stale, foreign = out / "images" / f"{'0' * 32}.png", out / "images" / "mine.png"
    for path in (stale, foreign):
        path.write_bytes(b"x")
    root = page_of(tmp_path / "r", out, inline_limit=100)[1]
    images = strips(root)
    assert len(images) == 4
    for image in images:
        path = out / image.attrib["src"]
        assert re.fullmatch(r"images/[0-9a-f]{32}\.png", image.attrib["src"])
        assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()[:32]
        with Image.open(path) as picture:
            assert picture.size == (2 * 96 + 2, 96)
    assert not stale.exists()
    assert foreign.exists()
    inline = page_of(tmp_path / "r", out)[1]
    assert all(image.attrib["src"].startswith("data:image/png;base64,") for image in strips(inline))
    assert [path.name for path in (out / "images").iterdir()] == ["mine.png"]


# ----------------------------------------------------------------------------------------------------------- document


def check_document(text: str, root: Element) -> None:
    """What holds for every page, whatever stands in it."""
    assert text.startswith("<!DOCTYPE html>")
    assert root.attrib["lang"] == "en"
    (script,), (style,) = elements(root, "script"), elements(root, "style")
    (policy,) = [
        node.attrib["content"]
        for node in elements(root, "meta")
        if node.attrib.get("http-equiv") == "Content-Security-Policy"
    ]
    for node, name in ((script, "script-src"), (style, "style-src")):
        digest = base64.b64encode(hashlib.sha256((node.text or "").encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}';" in policy
        assert set(node.attrib) == set()
    assert policy.startswith("default-src 'none'; img-src data: 'self'; ")
    assert "unsafe" not in policy
    ids = [node.attrib["id"] for node in root.iter() if "id" in node.attrib]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"main|status|s[0-9]+(-[a-z]+[0-9]*)*", name) for name in ids)
    known = {
        "html", "head", "meta", "title", "link", "style", "body", "a", "header", "h1", "h2", "h3", "h4", "p", "nav",
        "ol", "ul", "li", "strong", "main", "section", "div", "dl", "dt", "dd", "code", "pre", "details", "summary",
        "table", "caption", "thead", "tbody", "tr", "th", "td", "sup", "small", "span", "label", "select", "option",
        "optgroup", "figure", "figcaption", "svg", "path", "polyline", "circle", "text", "img", "footer", "script",
        "noscript",
    }  # fmt: skip
    for node in root.iter():
        tag = str(node.tag).split("}")[-1]
        assert tag in known or not isinstance(node.tag, str)
        for name, value in node.attrib.items():
            assert not name.lower().startswith("on"), (tag, name)
            assert name not in ("style", "srcdoc", "action", "formaction", "ping"), (tag, name)
            if name in ("href", "src"):
                assert value.startswith(("#", "data:", "images/")), value
                assert not value.startswith("#") or value[1:] in ids
            if name in ("for", "aria-labelledby"):
                assert value in ids
    levels = [int(node.tag[-1]) for node in root.iter() if re.search(r"h[1-6]$", str(node.tag))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(node.attrib.get("alt") for node in elements(root, "img"))
    assert all(elements(node, "caption") for node in elements(root, "table"))
    assert all(node.attrib.get("scope") in ("col", "row") for node in elements(root, "th"))
    svgs = elements(root, "svg")
    assert all(n.attrib.get("aria-hidden") == "true" or n.attrib.get("role") == "img" for n in svgs)


def test_the_page_is_a_sound_document(tmp_path: Path, shapes: Path) -> None:
    usual(tmp_path / "r", folder_data(shapes).version)
    text, root = page_of(tmp_path / "r", tmp_path / "out")
    check_document(text, root)
    assert len(elements(root, "polyline")) >= 2 * 2  # two losses of two seeds, and the front
    assert next(node.attrib["href"] for node in elements(root, "a")) == "#main"
    again = page_of(tmp_path / "r", tmp_path / "again")[0]
    assert again == text


def test_no_stored_name_is_ever_markup(tmp_path: Path) -> None:
    tag, attribute, style, address, image, template = HOSTILE
    classes = (attribute, style, tag)
    direction = f"{image}->{template}"
    environment = {
        **ENVIRONMENT, "processor": tag, "device": attribute, "packages": {style: image, address: template},
        "source": {"revision": tag},
        "doctor": {"passed": 0, "checks": 1, "failed": [{"name": image, "expected": tag, "got": style}]},
    }  # fmt: skip
    for place, name in enumerate(HOSTILE):
        losses = [{f"0:{name}.{other}": float(i) for other in HOSTILE} for i in range(3)]
        add(
            tmp_path / "r", spec(method=name, config={tag: style}, domains=(image, template)),
            records(float(place), classes=classes, direction=direction), supervision="weak", remarks=(name, *HOSTILE),
            losses=losses, environment=environment, style=("noise", "none")[place % 2],
            images={direction: translations(place)} if "/" not in direction else {},
        )  # fmt: skip
    add(
        tmp_path / "r",
        spec(method="drit", domains=(image, template)),
        status={"state": "failed", "reason": image, "step": style},
    )
    missing = {**records(1.0, direction=direction)[0], "value": None, "missing": tag, "encoder": ""}
    add(tmp_path / "r", spec(method="munit", config={"a": 1}, domains=(image, template)), [missing])
    add(tmp_path / "r", spec(method="munit", config={"a": attribute}, domains=(image, template)), [missing])
    text, root = page_of(tmp_path / "r", tmp_path / "out")
    check_document(text, root)
    body = words(root)
    for name in HOSTILE:
        assert name in body, name
    assert all(not urlsplit(node.attrib["href"]).scheme for node in elements(root, "a"))


def test_characters_that_turn_the_writing_are_replaced(tmp_path: Path) -> None:
    add(tmp_path / "r", spec(method="evil\u202egpj.exe\x07"), records(1.0), remarks=("a\nb\u2066c",))
    text, _ = page_of(tmp_path / "r", tmp_path / "out")
    assert not re.search("[\u202e\u2066\x07]", text)
    assert "evil\ufffdgpj.exe\ufffd" in text


def test_text_and_lines_have_enough_contrast_in_both_schemes() -> None:
    """WCAG 2.1: 4.5 for text, 3 for lines that mean something."""
    css = (Path(__file__).parents[2] / "bench/reporting/page/templates/report.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    schemes = [dict(re.findall(r"--(\w[\w-]*): (#[0-9a-f]{6})", block)) for block in blocks]
    assert len(schemes) == 3  # light, dark, print

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(a: str, b: str) -> float:
        high, low = sorted((luminance(a), luminance(b)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for scheme in ({**schemes[0], **changes} for changes in ({}, *schemes[1:])):
        for ground in ("page", "panel"):
            for ink in ("text", "muted", "link", "bad"):
                assert contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground)
            for line in ("edge", "mark", *(f"l{i}" for i in range(6))):
                assert contrast(scheme[line], scheme[ground]) >= 2.85, (line, ground)
        assert contrast(scheme["warn-text"], scheme["warn"]) >= 7
        assert contrast(scheme["warn-edge"], scheme["page"]) >= 3


# ------------------------------------------------------------------------------------------------------ command line


def test_the_command_prints_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual(tmp_path / "r")
    monkeypatch.setattr("sys.argv", ["bench", "report", "--results", str(tmp_path / "r")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    path = tmp_path / "r" / "report" / "index.html"
    assert capsys.readouterr().out.strip() == str(path)
    assert "udt-bench report" in path.read_text()


@pytest.mark.parametrize(("task", "remedy"), [("", "run --task sketch2real"), ("pacs", "run --task pacs")])
def test_without_results_the_error_says_what_to_type(tmp_path: Path, task: str, remedy: str) -> None:
    with pytest.raises(BenchError, match="no results") as raised:
        write_report_page(tmp_path, tmp_path / "out", task)
    assert remedy in raised.value.remedy
    assert not (tmp_path / "out").exists()
    if task:
        usual(tmp_path)
        with pytest.raises(BenchError, match="no results of pacs"):
            write_report_page(tmp_path, tmp_path / "out", task)
