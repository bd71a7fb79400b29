"""The report in a real Chromium with the network blocked."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redoxa.pipeline.pages import ReportData, build_report
from redoxa.pipeline.pages.kit.downloads import csv_text
from tests.web import sample
from tests.web.conftest import Opened, Opener, open_guarded

pytestmark = pytest.mark.browser

HOSTILE = '"><img src=x onerror="window.hacked=1"></script><script>window.hacked=1</script>{{7*7}}\'`'


def written(data: ReportData, path: Path) -> Path:
    path.write_text(build_report(data), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data() -> ReportData:
    return sample.full()


@pytest.fixture(scope="module")
def report(data: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(data, tmp_path_factory.mktemp("report") / "report.html")


RESET = """() => {
    document.querySelectorAll("details").forEach((d) => (d.open = d.id === "card-1"));
    document.getElementById("tab-1").click();
    document.querySelector("#card-1 .switch button").click();
    document.activeElement.blur();
    history.replaceState(null, "", location.pathname);
    dispatchEvent(new Event("hashchange"));
    scrollTo(0, 0);
}"""


@pytest.fixture(scope="module")
def opened(browser: Any, report: Path) -> Iterator[Opened]:
    found = open_guarded(browser, report, accept_downloads=True)
    yield found
    found.page.context.close()


@pytest.fixture
def page(opened: Opened) -> Iterator[Any]:
    """The sample report, loaded once, as it was when it was opened; no test may provoke a request or a complaint."""
    yield opened.page
    opened.page.mouse.move(2, 2)
    opened.page.emulate_media(media="screen", color_scheme="light")
    opened.page.set_viewport_size({"width": 1280, "height": 900})
    opened.page.evaluate(RESET)
    opened.guard.check()


def test_loads_without_any_request_or_complaint(page: Any) -> None:
    assert page.title() == "sample · Redoxa report"
    assert page.locator("h1").inner_text() == (
        "6 of 128 candidates passed every gate, 5 meet your objectives, 5 were chosen for the laboratory, and 3 of 4 "
        "simulated experiments gave a working cell."
    )
    sections = page.eval_on_selector_all("main > section", "all => all.map(s => s.id)")
    assert sections == [
        "verdict", "funnel", "tradeoff", "candidates", "all", "latent", "elements", "calibration", "queue", "provenance",
    ]  # fmt: skip
    assert page.locator("#provenance pre").first.inner_text() == sample.full().spec_yaml


def test_page_forbids_itself_the_network_and_foreign_scripts(browser: Any, tmp_path: Path) -> None:
    opened = open_guarded(browser, written(sample.empty(), tmp_path / "empty.html"))
    page, guard = opened.page, opened.guard
    outcome = page.evaluate(
        """async () => {
            const fetched = await fetch("https://example.org/").then(() => "reached", () => "refused");
            const image = await new Promise((done) => {
                const i = new Image();
                i.onload = () => done("reached");
                i.onerror = () => done("refused");
                i.src = "https://example.org/pixel.png";
            });
            const script = document.createElement("script");
            script.textContent = "window.hacked = 1";
            document.body.append(script);
            return [fetched, image, window.hacked ?? "refused"];
        }"""
    )
    assert outcome == ["refused", "refused", "refused"]
    page.context.close()
    assert guard.requests == []  # the policy stopped them before the guard had to
    assert sum("Content Security Policy" in c for c in guard.complaints) >= 3


def test_pareto_point_opens_its_card(page: Any) -> None:
    card = page.locator("#card-3")
    assert card.get_attribute("open") is None
    page.locator('#pane-1 a.point[href="#card-3"]').click()
    assert card.get_attribute("open") is not None
    assert page.evaluate("document.activeElement === document.querySelector('#card-3 > summary')")
    page.wait_for_function("Math.abs(document.getElementById('card-3').getBoundingClientRect().top - 64) < 40")
    assert page.url.endswith("#card-3")


def test_pareto_points_work_from_the_keyboard(page: Any) -> None:
    point = page.locator('#pane-1 a.point[href="#card-2"]')
    point.focus()
    assert page.locator("#tip").inner_text().splitlines()[0] == "LiCoO₂"
    assert "LiCoO₂, Voltage 3.49 ± 0.50 V" in (point.get_attribute("aria-label") or "")
    page.keyboard.press("Enter")
    assert page.locator("#card-2").get_attribute("open") is not None
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_tooltip_follows_the_pointer(page: Any) -> None:
    page.locator('#pane-1 a.point[href="#card-1"]').hover()
    assert page.locator("#tip").inner_text().splitlines() == [
        "LiFePO₄", "Voltage 3.43 ± 0.50 V", "Capacity 170 ± 17 mAh/g", "on the Pareto front",
    ]  # fmt: skip
    page.mouse.move(2, 2)
    page.wait_for_function("document.getElementById('tip').hidden")


def test_tabs_switch_the_pair_of_objectives(page: Any) -> None:
    assert page.locator("#pane-1").is_visible()
    assert page.locator("#pane-2").is_hidden()
    page.locator("#tab-1").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#pane-1").is_hidden()
    assert page.locator("#pane-2").is_visible()
    assert page.locator("#tab-2").get_attribute("aria-selected") == "true"


def test_link_to_a_card_opens_it(open_page: Opener, report: Path) -> None:
    page = open_page(report, anchor="#card-4")
    assert page.locator("#card-4").get_attribute("open") is not None


def switch(page: Any, state: str) -> Any:
    """Button that shows a state of the first card."""
    return page.locator("#card-1 .switch").get_by_role("button", name=state, exact=True)


def test_viewer_is_made_when_looked_at_turns_and_switches(
    open_page: Opener, webgl_browser: Any, tmp_path: Path
) -> None:
    one = sample.full(0)
    one = one.model_copy(update={"results": one.results[1:2]})
    path = written(one, tmp_path / "one.html")
    page = open_page(path, with_browser=webgl_browser, viewport={"width": 500, "height": 420})
    if page.evaluate("document.documentElement.dataset.webgl") != "true":
        pytest.skip("this Chromium gives no WebGL, not even in software")
    assert page.locator("canvas").count() == 0
    page.locator("#card-1 .stage").scroll_into_view_if_needed()
    page.wait_for_selector("#card-1 .canvas canvas")
    assert page.locator("#card-1 figure").first.is_hidden()
    canvas = page.locator("#card-1 .canvas")
    first = canvas.screenshot()
    assert len(first) > 10_000  # an empty canvas compresses to a few hundred bytes
    canvas.focus()
    page.keyboard.press("ArrowRight")
    turned = canvas.screenshot()
    assert turned != first
    switch(page, "Charged").click()
    assert switch(page, "Charged").get_attribute("aria-pressed") == "true"
    assert canvas.screenshot() != turned
    page.locator("#card-1 > summary").click()
    assert canvas.is_hidden()


def test_without_webgl_the_pictures_stay(page: Any) -> None:
    assert page.evaluate("document.documentElement.dataset.webgl") == "false"
    page.locator("#card-1 .stage").scroll_into_view_if_needed()
    assert page.locator('#card-1 figure[data-state="discharged"] svg circle').count() > 28
    switch(page, "Charged").click()
    assert page.locator('#card-1 figure[data-state="discharged"]').is_hidden()
    assert page.locator('#card-1 figure[data-state="charged"]').is_visible()
    assert page.locator("canvas").count() == 0


def test_downloads_hold_all_candidates(page: Any, data: ReportData, tmp_path: Path) -> None:
    with page.expect_download() as waiting:
        page.locator(".downloads button", has_text="CSV").click()
    assert waiting.value.suggested_filename == "sample.csv"
    waiting.value.save_as(tmp_path / "all.csv")
    assert (tmp_path / "all.csv").read_text(encoding="utf-8") == csv_text(data)
    with page.expect_download() as waiting:
        page.locator(".downloads button", has_text="JSON").click()
    waiting.value.save_as(tmp_path / "all.json")
    whole = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert [r["candidate_id"] for r in whole["results"]] == [r.candidate.id for r in data.results]


def test_cif_of_a_card_is_the_computed_crystal(page: Any, data: ReportData, tmp_path: Path) -> None:
    from pymatgen.core import Structure

    with page.expect_download() as waiting:
        page.locator("#card-1 .files a", has_text="discharged").click()
    assert re.fullmatch(r"LiFePO4_[0-9a-f]{16}_discharged\.cif", waiting.value.suggested_filename)
    waiting.value.save_as(tmp_path / "one.cif")
    structure = Structure.from_file(tmp_path / "one.cif")
    best = next(r for r in data.results if r.rank == 1)
    assert structure.composition.reduced_formula == "LiFePO4"
    assert structure.volume == pytest.approx(best.result.crystals["discharged"].volume_A3, rel=1e-4)


CONTRAST = """(selectors) => {
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => {
        const f = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
    };
    const behind = (node) => {
        for (let e = node; e; e = e.parentElement) {
            const colour = parse(getComputedStyle(e).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    return selectors.map((selector) => {
        const node = document.querySelector(selector);
        const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
        return [selector, (a + 0.05) / (b + 0.05)];
    });
}"""
TEXTS = [
    "h1", ".lead", ".hint", ".facts dt", ".targets span", ".key", ".pm", ".told li", ".fold > summary", "figcaption", ".sim", ".chip.front", ".chip.v-pass",
    ".chip.v-fail", ".chip.v-undetermined", ".chip.q-failed", ".badge", ".callout.outcome", ".banner", "th.predicted",
    "th.measured", ".meas .num", ".why p", ".why h4", ".reason", ".warnings li", ".timeline time", ".pairs dt", "nav a",
]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_have_readable_contrast(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(x) for x in re.findall(r"\d+", background)[:3])
    assert brightness < 150 if scheme == "dark" else brightness > 690
    weak = [(s, round(c, 2)) for s, c in page.evaluate(CONTRAST, TEXTS) if c < 4.5]
    assert weak == []


@pytest.mark.parametrize("width", [360, 420, 820, 1280])
def test_nothing_sticks_out_sideways(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_everything_has_a_name(page: Any) -> None:
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("svg[role], button, a, input:not([type=hidden]), select, [role=region], [role=application]")]
            .filter((e) => !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.textContent.trim()
                             || e.closest("label")))
            .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    repeated = page.evaluate(
        "() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);"
        " return ids.filter((id, i) => ids.indexOf(id) !== i); }"
    )
    assert repeated == []
    links = page.evaluate(
        "() => [...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.getAttribute('href').slice(1))"
        ".filter((id) => !document.getElementById(id))"
    )
    assert [link for link in links if not re.fullmatch("row-1[0-2][0-9]", link)] == []  # of rows beyond the first page


def test_names_hold_the_text_that_is_seen(page: Any) -> None:
    """WCAG 2.5.3, for those who speak to their computer."""
    unlike = page.evaluate(
        """() => [...document.querySelectorAll("a[aria-label], button[aria-label], summary[aria-label]")]
            .filter((e) => !e.getAttribute("aria-label").includes(e.textContent.trim()))
            .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert unlike == []


def test_every_simulated_value_says_so(page: Any) -> None:
    unmarked = page.evaluate(
        "() => [...document.querySelectorAll('.meas')].filter((m) => !m.parentElement.querySelector('.sim')).length"
    )
    assert page.locator(".meas").count() == 12  # three cells, two values each: in their cards and in the table
    assert unmarked == 0
    assert "No powder was weighed" in page.locator("#calibration .callout").inner_text()


def test_print_shows_pictures_and_no_controls(page: Any) -> None:
    page.emulate_media(media="print")
    assert page.locator(".bar").is_hidden()
    assert page.locator(".filters").is_hidden()
    assert page.locator("#card-1 figure").first.is_visible()


def test_print_opens_the_cards_of_what_was_chosen(page: Any) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened = page.eval_on_selector_all("details.card", "cards => cards.map((c) => c.open)")
    assert opened == [True] * 5 + [False]
    assert page.locator("#card-2 details.fold[open]").count() == 0
    assert page.locator("#results tbody tr").count() == 100
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.card[open]").count() == 1


def test_hostile_texts_stay_texts(open_page: Opener, data: ReportData, tmp_path: Path) -> None:
    rows = []
    for row in data.results:
        result = row.result.model_copy(
            update={
                "formula": HOSTILE,
                "notes": {HOSTILE: HOSTILE, "decomposes_to_discharge": HOSTILE, "hull_coverage_charge": HOSTILE},
                "reasons": tuple(r.model_copy(update={"text": HOSTILE, "stage": HOSTILE}) for r in row.result.reasons),
            }
        )
        origin = row.candidate.origin.model_copy(update={"generator": HOSTILE, "detail": HOSTILE})
        candidate = row.candidate.model_copy(update={"origin": origin})
        rows.append(
            row.model_copy(update={"candidate": candidate, "result": result, "why": HOSTILE, "novelty": HOSTILE})
        )
    requests = tuple(
        r.model_copy(
            update={
                "request": r.request.model_copy(update={"formula": HOSTILE, "why": HOSTILE}),
                "history": tuple(e.model_copy(update={"by": HOSTILE, "text": HOSTILE}) for e in r.history),
                "safety": tuple(f.model_copy(update={"rule": HOSTILE, "text": HOSTILE}) for f in r.safety),
            }
        )
        for r in data.requests
    )
    stages = tuple(
        s.model_copy(
            update={"name": HOSTILE, "reasons": tuple(c.model_copy(update={"text": HOSTILE}) for c in s.reasons)}
        )
        for s in data.funnel
    )
    update = {"name": HOSTILE, "stop_reason": HOSTILE, "spec_yaml": HOSTILE, "results": tuple(rows)}
    hostile = data.model_copy(update={**update, "requests": requests, "funnel": stages})
    page = open_page(written(hostile, tmp_path / "hostile.html"))
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    page.locator('#pane-1 a.point[href="#card-1"]').hover()
    assert page.evaluate("typeof window.hacked") == "undefined"
    assert page.locator("img").count() == 0
    assert page.locator(".stop").inner_text().endswith(HOSTILE)
    assert HOSTILE in page.locator("#provenance pre").first.inner_text()


def test_empty_campaign_says_why(open_page: Opener, tmp_path: Path) -> None:
    page = open_page(written(sample.empty(), tmp_path / "empty.html"))
    assert page.locator("h1").inner_text() == "Nothing has been screened yet."
    texts = page.locator(".empty").all_inner_texts()
    assert len(texts) == 9
    assert all(len(t) > 25 for t in texts)
    assert "interrupted before its first stage" in texts[0]


def test_five_hundred_candidates(open_page: Opener, tmp_path: Path) -> None:
    path = written(sample.full(494), tmp_path / "big.html")
    assert path.stat().st_size < 2_000_000
    page = open_page(path)
    assert page.locator("#results tbody tr").count() == 100
    assert page.locator("#shown-count").inner_text() == "500 candidates"
    assert page.locator("details.card").count() == 6


def test_packed_files_are_what_the_page_offers(report: Path, data: ReportData) -> None:
    text = report.read_text(encoding="utf-8")
    found = re.search(r'id="file-csv"[^>]*>([A-Za-z0-9+/=]+)<', text)
    assert found is not None
    assert gzip.decompress(base64.b64decode(found.group(1))).decode() == csv_text(data)
