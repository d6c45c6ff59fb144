"""The page in a real browser, from disk: sorting, classes, keyboard, narrow and dark windows; nothing is fetched."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_results import add, folder_data, records, spec, translations, usual

from bench.reporting.page.collect import collect_for_page
from bench.reporting.page.page import page_section, write_page

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no browser: chromium and chromedriver are not installed"
)
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
EMPTY_START = {"session.restore_on_startup": 4, "session.startup_urls": ["about:blank"]}
"""Preferences: not the browser's own first page, which asks for things."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.add_experimental_option("prefs", EMPTY_START)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(tmp_path: Path, shapes: Path, browser: Any) -> Iterator[Path]:
    """The usual results, opened; afterwards: nothing was said on the console, and nothing was asked for but files."""
    usual(tmp_path / "r", folder_data(shapes).version)
    path = write_page(tmp_path / "out", [page_section(setting) for setting in collect_for_page(tmp_path / "r")])
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    emulate(browser)
    opened(browser, path)
    yield path
    check_silence(browser)


def opened(browser: Any, path: Path) -> None:
    """Load the page and open its sections, but for those inside the tables of classes."""
    browser.get(path.as_uri())
    browser.execute_script("document.querySelectorAll('details:not(.panel *)').forEach(node => { node.open = true; })")


def check_silence(browser: Any) -> None:
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert any(url.endswith("index.html") for url in asked)
    assert all(url.startswith(("file:///", "data:image/png;base64,", "data:,")) for url in asked), asked


def emulate(browser: Any, width: int = 1280, scheme: str = "light") -> None:
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},  # or else a click may meet a page that still scrolls
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


FIRST = "document.querySelector('.panel:not([hidden]) table')"


def shown(browser: Any) -> list[str]:
    """Names of the rows of the first table that is to be seen."""
    return browser.execute_script(f"return Array.from({FIRST}.querySelectorAll('tbody th'), th => th.innerText.trim())")


def sort_state(browser: Any) -> list[str | None]:
    return browser.execute_script(f"return Array.from({FIRST}.tHead.rows[0].cells, c => c.getAttribute('aria-sort'))")


REAL = ["(real test images)", "(floor: real images against others)"]


def test_a_column_is_sorted_by_its_values_and_real_images_stay_below(page: Path, browser: Any) -> None:
    assert shown(browser) == ["cyclegan", "egsc_it*", "munit", *REAL]
    buttons = browser.find_elements("css selector", ".panel:not([hidden]) th button")
    assert buttons[3].text.startswith("accuracy-judge-v1")
    buttons[3].click()  # higher is better: the best first, and what failed last
    assert shown(browser) == ["egsc_it*", "cyclegan", "munit", *REAL]
    assert sort_state(browser)[3] == "descending"
    buttons[3].click()
    assert shown(browser) == ["cyclegan", "egsc_it*", "munit", *REAL]
    assert sort_state(browser)[3] == "ascending"
    buttons[0].click()
    buttons[0].click()
    assert shown(browser) == ["munit", "egsc_it*", "cyclegan", *REAL]
    assert [state for state in sort_state(browser) if state] == ["descending"]
    assert browser.find_element("id", "status").get_attribute("textContent") == "sorted by method, descending"


def test_lower_is_better_puts_the_smallest_first(tmp_path: Path, page: Path, browser: Any) -> None:
    for method, base in (("a", 9.0), ("b", 100.0), ("c", 20.0)):  # as text 100 would come first
        add(tmp_path / "r2", spec(method=method), records(base))
    opened(
        browser, write_page(tmp_path / "out2", [page_section(setting) for setting in collect_for_page(tmp_path / "r2")])
    )
    button = browser.find_elements("css selector", ".panel:not([hidden]) th button")[4]
    assert button.text.startswith("fid-judge-v1")
    button.click()
    assert shown(browser)[:3] == ["a", "c", "b"]
    assert sort_state(browser)[4] == "ascending"


def test_a_class_is_chosen_and_only_its_tables_are_seen(page: Path, browser: Any) -> None:
    from selenium.webdriver.support.ui import Select

    def captions() -> list[str]:
        nodes = browser.find_elements("css selector", ".board caption")
        return [node.text for node in nodes if node.is_displayed()]

    assert [text.partition("; ")[2] for text in captions()] == ["ink->paint", "ink->paint: further measures"]
    Select(browser.find_element("css selector", ".switch select")).select_by_visible_text("disc")
    assert [text.partition("; ")[2] for text in captions()] == ["ink->paint: class disc alone"]
    assert shown(browser) == ["cyclegan", "egsc_it*", "munit", *REAL]
    Select(browser.find_element("css selector", ".switch select")).select_by_index(4)
    assert [text.partition("; ")[2].partition(" (")[0] for text in captions()] == [
        "ink->paint: fid-judge-v1 ↓ per class"
    ]
    browser.execute_script(f"{FIRST}.querySelectorAll('th button')[2].click()")
    assert shown(browser)[:2] == ["cyclegan", "egsc_it*"], "the caption says that lower is better"
    assert sort_state(browser)[2] == "ascending"


def test_everything_works_without_a_mouse(page: Path, browser: Any) -> None:
    from selenium.webdriver import ActionChains, Keys

    def press(*keys: str) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    def focused() -> Any:
        return browser.switch_to.active_element

    press(Keys.TAB)
    assert focused().text == "Skip to the results"
    assert focused().is_displayed()
    press(Keys.ENTER)
    assert browser.execute_script("return location.hash") == "#main"
    for _ in range(20):
        press(Keys.TAB)
        if focused().tag_name == "select":
            break
    assert browser.execute_script("return document.activeElement.labels[0].innerText") == "Classes of ink->paint"
    press(Keys.DOWN)
    assert "class cross alone" in browser.execute_script(f"return {FIRST}.caption.innerText")
    press(Keys.TAB)  # the box that scrolls
    assert focused().get_attribute("role") == "region"
    for _ in range(3):
        press(Keys.TAB)
    assert focused().tag_name == "button"
    assert focused().text.startswith("accuracy-judge-v1")
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    press(Keys.ENTER)
    assert sort_state(browser)[2] == "descending"
    assert shown(browser)[0] == "egsc_it*"
    press(Keys.SPACE)
    assert sort_state(browser)[2] == "ascending"


def test_the_first_window_has_pictures_chart_and_table_and_the_rest_opens(page: Path, browser: Any) -> None:
    from selenium.webdriver import Keys

    browser.get(page.as_uri())  # as it is, with its sections shut
    places = browser.execute_script(
        "return ['.strips img', '.metrics svg', '.opening + .bench-table tbody tr'].map("
        "name => document.querySelector(name).getBoundingClientRect()).map(box => [box.left, box.top, box.bottom])"
    )
    assert all(top > 0 and bottom < 844 for _, top, bottom in places), places
    assert abs(places[0][1] - places[1][1]) < 120, "pictures beside the chart"
    assert places[1][0] > places[0][0] + 300
    assert not [node for node in browser.find_elements("css selector", "details table") if node.is_displayed()]
    summary = browser.find_element("css selector", "details.all summary")
    summary.send_keys(Keys.ENTER)
    assert browser.find_element("css selector", ".panel table").is_displayed()
    summary.send_keys(Keys.ENTER)
    assert not browser.find_element("css selector", ".panel table").is_displayed()


def test_on_a_phone_there_is_one_column(page: Path, browser: Any) -> None:
    emulate(browser, width=390)
    browser.get(page.as_uri())
    boxes = browser.execute_script(
        "return Array.from(document.querySelectorAll('.strips, .metrics figure, .opening + .bench-table'), "
        "node => node.getBoundingClientRect()).map(box => [box.left, box.right, box.top, box.bottom])"
    )
    assert len(boxes) == 1 + 3 + 1
    assert all(left < 40 and right <= 390 for left, right, _, _ in boxes)
    assert all(after[2] >= before[3] - 1 for before, after in itertools.pairwise(boxes)), "one below the other"
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    pictures = browser.execute_script("return Array.from(document.querySelectorAll('.strips img'), i => i.clientWidth)")
    assert all(40 < width < 390 for width in pictures)


def test_a_narrow_window_scrolls_tables_and_not_the_page(page: Path, browser: Any) -> None:
    emulate(browser, width=390)
    browser.execute_script("document.querySelectorAll('details').forEach(node => { node.open = true; })")
    wide, inside = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert inside == 390
    assert wide <= inside
    box = browser.execute_script(
        f"const box = {FIRST}.closest('.scroll'); box.scrollLeft = 150;"
        "const name = box.querySelector('tbody th').getBoundingClientRect();"
        "return [box.scrollWidth, box.clientWidth, box.scrollLeft, name.left]"
    )
    assert box[0] > box[1]
    assert box[2] == 150
    assert 0 <= box[3] < 40, "the names of the rows stay in sight"


def test_dark_is_dark_and_light_is_light(page: Path, browser: Any) -> None:
    colours = (
        "return [getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(document.body).color]"
    )
    emulate(browser, scheme="dark")
    assert browser.execute_script(colours) == ["rgb(20, 23, 26)", "rgb(232, 234, 237)"]
    line = "return getComputedStyle(document.querySelector('.l0')).stroke"
    assert browser.execute_script(line) == "rgb(147, 193, 255)"
    emulate(browser, scheme="light")
    assert browser.execute_script(colours) == ["rgb(255, 255, 255)", "rgb(27, 31, 36)"]
    assert browser.execute_script(line) == "rgb(10, 79, 158)"


def test_pictures_are_seen_in_the_page_and_beside_it(tmp_path: Path, page: Path, browser: Any) -> None:
    script = """
        const done = arguments[arguments.length - 1];
        Promise.all(Array.from(document.images, image => image.decode())).then(
            () => done(Array.from(document.images, image => image.naturalWidth)), error => done(String(error)));
    """
    widths = [2 * 34 - 2] * 3 + [32, 32, 5 * 34 - 2] * 4
    assert browser.execute_async_script(script) == widths
    path = write_page(
        tmp_path / "beside", [page_section(setting) for setting in collect_for_page(tmp_path / "r")], inline_limit=0
    )
    opened(browser, path)
    assert browser.execute_async_script(script) == widths


def test_a_hostile_name_runs_nothing(tmp_path: Path, page: Path, browser: Any) -> None:
    names = ("<script>document.title='x'</script>", "<img src=y onerror=\"document.title='x'\">", "<b>bold</b>")
    for name in names:
        add(
            tmp_path / "r3", spec(method=name, config={name: name}), records(1.0, classes=(name,)), remarks=names,
            images={"ink->paint": translations(0)},
        )  # fmt: skip
    opened(
        browser, write_page(tmp_path / "out3", [page_section(setting) for setting in collect_for_page(tmp_path / "r3")])
    )
    browser.find_elements("css selector", "th button")[0].click()
    assert browser.title == "udt-bench report: folder"
    assert sorted(shown(browser)[:3]) == sorted(names)
