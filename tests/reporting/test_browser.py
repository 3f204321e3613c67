"""The page in a real browser without a network: it loads in silence, its filters work, and it tells its values."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from support.browser import CHROMIUM, start_browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.browser import Browser
    from tests.reporting.conftest import MakeStudy, Study

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is installed here")

SHOWN_LINES = (
    """[...document.querySelectorAll("#fig-6 .plot .line:not([hidden])")].map((line) => line.dataset.network)"""
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with start_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(analyzed: Study) -> Path:
    path = analyzed.root / "index.html"
    path.write_text(analyzed.page())
    return path


def test_the_page_loads_without_a_complaint(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.evaluate("document.documentElement.dataset.script") == "ready"
    assert (
        browser.evaluate("performance.getEntriesByType('resource').filter((each) => !each.name.startsWith('data:'))")
        == []
    )
    assert browser.complaints == []


def test_a_complaint_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    """That the test above can fail: a script that the policy forbids, one that throws, and a picture from elsewhere."""
    path = tmp_path / "bad.html"
    policy = """<meta http-equiv="Content-Security-Policy" content="img-src data:">"""
    path.write_text(f"<!doctype html>{policy}<img src='http://host.example/a.png'><script>undefined.x</script>")
    browser.open(path)
    assert len(browser.complaints) >= 2


def test_on_a_telephone_nothing_is_wider_than_the_screen(browser: Browser, page: Path) -> None:
    browser.open(page, width=390)
    assert browser.evaluate("document.documentElement.scrollWidth") == 390
    assert browser.complaints == []


def test_links_inside_the_page_lead_to_their_places(browser: Browser, page: Path) -> None:
    browser.open(page)
    links = """[...document.querySelectorAll("a[href^='#']")].map((link) => link.getAttribute("href").slice(1))"""
    assert browser.evaluate(f"{links}.filter((id) => !document.getElementById(id))") == []
    top = browser.evaluate(
        """(async () => {
          document.querySelector("a[href='#fig-7']").click();
          await new Promise((done) => setTimeout(done, 100));
          return document.getElementById("fig-7").getBoundingClientRect().top;
        })()"""
    )
    assert 0 <= top < 150


def test_a_choice_in_the_address_filters_networks_and_seeds(browser: Browser, analyzed: Study, page: Path) -> None:
    browser.open(page, "fig-6?networks=plain20&seeds=1")
    assert browser.evaluate(SHOWN_LINES) == ["plain20", "plain20"]  # training and validation
    assert browser.evaluate("document.getElementById('filter-summary').textContent") == "1 of 4 networks and seed 1"
    hidden = browser.evaluate(
        """[...document.querySelectorAll("#fig-6 .band, #responses .legend li")].map((each) => each.hidden ??
           each.hasAttribute("hidden"))"""
    )
    assert hidden.count(False) == 1  # plain20's place in the legend; bands are of all seeds
    # The line is that of seed 1 in the file, in the scales of the chart.
    drawn = browser.evaluate(
        """(() => {
          const line = document.querySelector("#fig-6 .plot .line.bold[data-network='plain20']");
          return {d: line.getAttribute("d"), ...line.closest(".plot").dataset};
        })()"""
    )
    curve = analyzed.results().cells[3].curve
    top = float(drawn["y"].split()[1])
    ends = re.findall(r"[ML]([\d.-]+) ([\d.-]+)", drawn["d"])
    assert len(ends) == len(curve)
    for (left, height), step, error in zip(ends, curve["step"], curve["val/error"], strict=True):
        assert math.isclose(float(left), 336 * step / 560, abs_tol=0.06)
        assert math.isclose(float(height), 202 * (1 - error / top), abs_tol=0.1)


def test_the_filter_works_with_the_keyboard_and_is_kept_in_the_address(browser: Browser, page: Path) -> None:
    browser.open(page, "fig-6")
    browser.evaluate("document.querySelector('#filter details').open = true")
    browser.evaluate("document.querySelector('#filter input[value=plain8]').focus()")
    press(browser, "Space", " ")
    assert set(browser.evaluate(SHOWN_LINES)) == {"plain20", "resnet8-A", "resnet20-A"}
    assert browser.evaluate("location.hash") == "#fig-6?networks=plain20,resnet8-A,resnet20-A"
    assert browser.evaluate("document.querySelector('.whole-kind').indeterminate") is True
    browser.evaluate("document.querySelector('#filter input[name=each]').click()")
    parts = browser.evaluate(
        "document.querySelector(\"#fig-6 .plot [data-network='plain20']:is(.line)\").getAttribute('d')"
    )
    assert parts.count("M") == 2  # one line for each seed
    browser.evaluate(
        "new Promise((done) => { document.querySelector('#filter button').click(); setTimeout(done, 50); })"
    )
    assert len(browser.evaluate(SHOWN_LINES)) == 8
    assert browser.evaluate("location.hash") == "#fig-6"
    assert browser.complaints == []


def test_the_pointer_tells_the_values_of_the_files(browser: Browser, analyzed: Study, page: Path) -> None:
    browser.open(page, "fig-6?networks=plain20")
    place = browser.evaluate(
        """(() => {
          const axis = document.querySelector("#fig-6 .axis").getBoundingClientRect();
          return {x: axis.left + axis.width / 2, y: axis.top - 80};
        })()"""
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
    told = tip(browser)
    rows = [cell.curve.set_index("step").loc[280] for cell in analyzed.results().cells[2:4]]
    train, val = ((rows[0][column] + rows[1][column]) / 2 for column in ("train/error", "val/error"))
    assert told.startswith("step 280")
    assert [float(text) for text in re.findall(r"plain20: training ([\d.]+)", told)] == [
        pytest.approx(train, abs=0.011)
    ]
    assert [float(text) for text in re.findall(r"validation ([\d.]+)", told)] == [pytest.approx(val, abs=0.011)]
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    assert browser.evaluate("document.getElementById('tip').hidden") is True


def test_the_arrow_keys_tell_the_values_of_a_chart(browser: Browser, analyzed: Study, page: Path) -> None:
    browser.open(page, "fig-7?networks=resnet8-A")
    browser.evaluate("document.querySelector('#responses .chart').focus()")
    press(browser, "ArrowRight", "ArrowRight")
    press(browser, "ArrowRight", "ArrowRight")
    found = analyzed.results().networks[2].analysis("responses")
    assert found is not None
    assert tip(browser) == f"layer 2resnet8-A: {found.table['std'][1]:.2f}"
    press(browser, "Escape", "Escape")
    assert browser.evaluate("document.getElementById('tip').hidden") is True


def test_a_number_says_where_it_comes_from(browser: Browser, page: Path) -> None:
    browser.open(page)
    said = browser.evaluate(
        """(() => {
          const number = document.querySelector("#results data");
          number.dispatchEvent(new PointerEvent("pointerover", {bubbles: true}));
          return number.title;
        })()"""
    )
    assert said == "1.25 = mean of\nruns/plain8-{0,1}/evaluation.json#test_error"


def test_without_scripts_everything_is_there(browser: Browser, page: Path) -> None:
    browser.open(page, scripts=False)
    root = browser.call("DOM.getDocument")["root"]["nodeId"]

    def count(selector: str) -> int:
        return len(browser.call("DOM.querySelectorAll", nodeId=root, selector=selector)["nodeIds"])

    assert count("html[data-script]") == 0
    assert count("#filter[hidden]") == 1
    assert count(".plot .line[d^=M]") == 4 * (2 + 2) + 4 * 2 + 4 * 6 + 2 + 4
    assert count("[hidden]") == 2  # the filter, and the place for values
    assert browser.complaints == []


@pytest.mark.slow
def test_three_hundred_cells_are_quick(browser: Browser, make_study: MakeStudy) -> None:
    kinds = ("plain{}", "resnet{}-A", "resnet{}-B", "resnet{}-C")
    depths = (8, 14, 20, 26, 32, 38, 44, 50, 56, 62, 68, 74, 80, 92, 110)
    seeds = [(1.0 + seed, 8 + seed) for seed in range(5)]
    outcomes: dict[str, Any] = {kind.format(depth): seeds for depth in depths for kind in kinds}
    study = make_study(outcomes, analyses=True)
    path = study.root / "index.html"
    path.write_text(study.page())
    assert path.stat().st_size < 3_000_000
    browser.open(path)
    assert browser.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") < 5000
    took = browser.evaluate(
        """(() => {
          const start = performance.now();
          document.querySelector("#filter input[name=each]").click();
          document.body.getBoundingClientRect();
          return performance.now() - start;
        })()"""
    )
    assert took < 3000
    assert browser.complaints == []


def press(browser: Browser, code: str, key: str) -> None:
    text = {"text": key} if len(key) == 1 else {}
    virtual = {"Space": 32, "ArrowRight": 39, "Escape": 27}[code]
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, code=code, key=key, windowsVirtualKeyCode=virtual, **text
        )  # fmt: skip


def tip(browser: Browser) -> str:
    return browser.evaluate("document.getElementById('tip').textContent")
