"""The page of `redoxa screen` in a real Chromium with the network blocked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from redoxa.pipeline.pages.screening_page import build_screening_page
from tests.web.conftest import Opened, Opener, open_guarded
from tests.web.screening_sample import assessed, screening
from tests.web.test_report import CONTRAST, HOSTILE

pytestmark = pytest.mark.browser

TEXTS = [
    "h1", ".lead", ".chip.v-pass", ".chip.v-fail", ".chip.v-undetermined", ".chip.v-error", ".key.file", ".callout.warn",
    ".told li", "figcaption", ".fold > summary", ".methods dt", ".methods dd", ".hull small", ".tiny dt", ".warnings li",
]  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("screening") / "page.html"
    file.write_text(build_screening_page(screening()), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def opened(browser: Any, path: Path) -> Iterator[Opened]:
    found = open_guarded(browser, path)
    yield found
    found.page.context.close()


@pytest.fixture
def page(opened: Opened) -> Iterator[Any]:
    """The page, loaded once; no test may provoke a request or a complaint."""
    yield opened.page
    opened.page.emulate_media(media="screen", color_scheme="light")
    opened.page.set_viewport_size({"width": 1280, "height": 900})
    opened.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = d.id === 'card-1'))")
    opened.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    opened.guard.check()


def test_table_leads_to_the_cards(page: Any) -> None:
    assert page.locator("h1").inner_text().startswith("6 structures screened for Li")
    page.locator('.files-table a[href="#card-3"]').click()
    assert page.locator("#card-3").get_attribute("open") is not None
    assert page.evaluate("document.activeElement === document.querySelector('#card-3 > summary')")
    assert "the empty host, TiS₂" in page.locator("#card-3 .callout").inner_text()


def test_disclosure_opens_by_key_and_tells_the_method(page: Any) -> None:
    fold = page.locator("#card-1 .fold").first
    method = fold.locator("dd").first
    assert method.is_hidden()
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    assert method.is_visible()
    assert "relaxed end members" in method.inner_text()
    assert "model chgnet-0.3.0" in method.inner_text()


def test_figures_have_words_and_tooltips(page: Any) -> None:
    label = page.locator("#card-1 svg.profile").get_attribute("aria-label")
    assert label == "Voltage profile: 3.53 V from 0.00 to 0.50 Li per FePO₄; 3.33 V from 0.50 to 1.00 Li per FePO₄"
    page.locator("#card-1 .hit-line").first.hover(force=True)
    assert page.locator("#tip").inner_text().splitlines() == ["3.53 V", "0.00 to 0.50 Li per FePO₄", "0 to 85 mAh/g"]
    page.locator("#card-1 .image").nth(2).hover()
    assert page.locator("#tip").inner_text().splitlines() == ["0.30 eV", "after 1.6 Å"]
    page.mouse.move(2, 2)


def test_pictures_of_both_states_and_the_hop(page: Any) -> None:
    figure = page.locator('#card-1 figure[data-state="discharged"]')
    assert figure.locator(".way circle").count() == 5
    page.locator("#card-1 .switch").get_by_role("button", name="Charged", exact=True).click()
    assert figure.is_hidden()
    assert page.locator('#card-1 figure[data-state="charged"]').is_visible()
    page.locator("#card-1 .switch").get_by_role("button", name="Discharged", exact=True).click()


def test_viewer_is_made_when_looked_at(open_page: Opener, webgl_browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "one.html"
    file.write_text(build_screening_page(screening(assessed(1))), encoding="utf-8")
    page = open_page(file, with_browser=webgl_browser, viewport={"width": 500, "height": 420})
    if page.evaluate("document.documentElement.dataset.webgl") != "true":
        pytest.skip("this Chromium gives no WebGL, not even in software")
    page.locator("#card-1 .stage").scroll_into_view_if_needed()
    page.wait_for_selector("#card-1 .canvas canvas")
    assert len(page.locator("#card-1 .canvas").screenshot()) > 10_000  # an empty canvas takes a few hundred bytes


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_have_readable_contrast(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    weak = [(s, round(c, 2)) for s, c in page.evaluate(CONTRAST, TEXTS) if c < 4.5]
    assert weak == []


@pytest.mark.parametrize("width", [360, 390, 820, 1280])
def test_nothing_sticks_out_sideways(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_headings_go_down_step_by_step_and_everything_has_a_name(page: Any) -> None:
    levels = page.eval_on_selector_all("h1, h2, h3, h4, h5", "all => all.map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("svg[role], button, a, summary, [role=region], [role=application]")]
            .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim()))
            .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    repeated = page.evaluate(
        "() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);"
        " return ids.filter((id, i) => ids.indexOf(id) !== i); }"
    )
    assert repeated == []


def test_print_shows_figures_and_no_controls(page: Any) -> None:
    page.emulate_media(media="print")
    assert page.locator(".bar").is_hidden()
    assert page.locator("#card-1 .stage figure").first.is_visible()
    assert page.locator("#card-1 svg.profile").is_visible()
    assert page.locator("#card-1 svg.path").is_visible()


def test_hostile_texts_stay_texts(open_page: Opener, tmp_path: Path) -> None:
    row = assessed()
    assert row.result is not None
    notes = {HOSTILE: HOSTILE, "synthesis_reaction": HOSTILE, "voltage_outside_calibration": HOSTILE}
    paths = tuple(p.model_copy(update={"label": HOSTILE}) for p in row.result.paths)
    result = row.result.model_copy(update={"formula": HOSTILE, "notes": notes, "paths": paths})
    hostile = row.model_copy(update={"name": HOSTILE, "result": result})
    broken = row.model_copy(update={"name": HOSTILE, "candidate": None, "result": None, "problem": HOSTILE})
    file = tmp_path / "hostile.html"
    file.write_text(build_screening_page(screening(hostile, broken)), encoding="utf-8")
    page = open_page(file)
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert page.evaluate("typeof window.hacked") == "undefined"
    assert page.locator("img").count() == 0
    assert page.locator("#card-2 .callout").inner_text() == HOSTILE
