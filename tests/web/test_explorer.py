"""The table of all results in a real Chromium: filters, sorting, pages, the panel of a row, and the address."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from redoxa.pipeline.pages import ReportData, build_report
from redoxa.pipeline.pages.kit.model import ResultRow
from tests.web import sample
from tests.web.conftest import Opened, Opener, open_guarded

pytestmark = pytest.mark.browser

MANY = 20_000


@pytest.fixture(scope="module")
def data() -> ReportData:
    return sample.full()


@pytest.fixture(scope="module")
def report(data: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "report.html"
    path.write_text(build_report(data), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def opened(browser: Any, report: Path) -> Iterator[Opened]:
    found = open_guarded(browser, report, accept_downloads=True)
    yield found
    found.page.context.close()


@pytest.fixture
def page(opened: Opened) -> Iterator[Any]:
    """The sample report without filters; no test may provoke a request or a complaint."""
    opened.page.evaluate("history.replaceState(null, '', '#all'); dispatchEvent(new Event('hashchange'))")
    yield opened.page
    opened.guard.check()


def formulas(page: Any) -> list[str]:
    """Formulas of all rows shown, page after page, without the numbers of cards."""
    found: list[str] = []
    while True:
        found += page.eval_on_selector_all(
            "#results tbody tr",
            "rows => rows.map((r) => r.querySelector('a').textContent.slice((r.querySelector('.badge')?.textContent ?? '').length))",
        )
        following = page.locator("#pager button", has_text="Next")
        if not following.is_visible() or following.is_disabled():
            return found
        following.click()


def expected(data: ReportData, keep: Callable[[ResultRow, set[str]], bool]) -> list[str]:
    return sorted(r.result.formula for r in data.results if keep(r, set(r.candidate.crystal.composition)))


def chip(page: Any, symbol: str) -> Any:
    return page.locator(f'[data-element="{symbol}"]')


def test_element_chips_ask_for_elements_and_leave_them_out(page: Any, data: ReportData) -> None:
    chip(page, "S").click()
    assert sorted(formulas(page)) == expected(data, lambda _, e: "S" in e)
    assert chip(page, "S").inner_text().startswith("S")
    assert "wanted" in chip(page, "S").text_content()
    chip(page, "Fe").click()
    assert sorted(formulas(page)) == expected(data, lambda _, e: {"S", "Fe"} <= e)
    chip(page, "S").click()
    assert "left out" in chip(page, "S").text_content()
    assert sorted(formulas(page)) == expected(data, lambda _, e: "Fe" in e and "S" not in e)
    chip(page, "S").click()
    chip(page, "Fe").click()
    chip(page, "Fe").click()
    assert len(formulas(page)) == len(data.results)


def test_any_and_only(page: Any, data: ReportData) -> None:
    for symbol in ("Li", "Fe", "O"):
        chip(page, symbol).click()
    page.locator("[name=mode]").select_option("only")
    assert sorted(formulas(page)) == expected(data, lambda _, e: e <= {"Li", "Fe", "O"})
    page.locator("[name=mode]").select_option("any")
    chip(page, "Li").click()
    assert sorted(formulas(page)) == expected(data, lambda _, e: bool(e & {"Fe", "O"}) and "Li" not in e)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("S", lambda _, e: "S" in e),
        ("Fe-O", lambda _, e: {"Fe", "O"} <= e),
        ("Fe O", lambda _, e: {"Fe", "O"} <= e),
        ("lifepo4", lambda r, _: r.result.formula == "LiFePO4"),
        ("LiFePO₄", lambda r, _: r.result.formula == "LiFePO4"),
        ("framework changed", lambda r, _: any("framework changed" in x.text for x in r.result.reasons)),
        ("no such thing", lambda *_: False),
    ],
)
def test_search_tells_elements_from_letters(page: Any, data: ReportData, typed: str, wanted: Any) -> None:
    page.locator("#find").fill(typed)
    assert sorted(formulas(page)) == expected(data, wanted)


def test_system_is_all_elements_and_no_more(page: Any, data: ReportData) -> None:
    system = page.locator("[name=system]")
    system.fill("Li-Fe-P-O")
    assert formulas(page) == ["LiFePO4"]
    assert page.locator("#shown-count").inner_text() == "1 of 128 candidates"
    system.fill("li-*-o")
    assert sorted(formulas(page)) == expected(data, lambda _, e: {"Li", "O"} <= e and len(e) == 3)
    page.keyboard.press("Enter")  # must not submit anything anywhere
    assert page.url.endswith("#all?system=li-*-o")


def test_verdict_choice_and_space_group(page: Any, data: ReportData) -> None:
    page.locator("[name=verdict]").select_option("pass")
    assert len(formulas(page)) == 6
    page.locator("[name=group]").select_option("Pnma")
    assert sorted(formulas(page)) == ["LiFePO4", "LiMnPO4"]
    page.locator("#clear").click()
    page.locator("[name=chosen]").check()
    assert len(formulas(page)) == 5
    assert "Space group" in page.locator("#results thead").inner_text()


def test_range_keeps_what_is_known_to_lie_inside(page: Any, data: ReportData) -> None:
    page.locator(".ranges summary").click()
    page.locator('[name="min.average_voltage"]').fill("3.4")
    page.locator('[name="max.average_voltage"]').fill("3.7")
    kept = expected(
        data,
        lambda r, _: (
            "average_voltage" in r.result.estimates
            and 3.4 <= round(r.result.estimates["average_voltage"].value, 2) <= 3.7
        ),
    )
    assert sorted(formulas(page)) == kept
    assert len(kept) < 20
    assert "min.average_voltage=3.4&max.average_voltage=3.7" in page.url


def test_address_makes_the_same_table_again(page: Any, open_page: Opener, report: Path) -> None:
    chip(page, "O").click()
    chip(page, "P").click()
    chip(page, "P").click()
    page.locator("[name=verdict]").select_option("fail")
    page.locator("#results thead button", has_text="Voltage").first.click()
    fragment = page.url.partition("#")[2]
    assert fragment == "all?verdict=fail&with=O&without=P&sort=average_voltage"
    shown = formulas(page)
    other = open_page(report, anchor=f"#{fragment}")
    assert formulas(other) == shown
    assert "wanted" in chip(other, "O").text_content()
    assert other.locator("[name=verdict]").input_value() == "fail"


def test_back_and_forward(page: Any) -> None:
    count = page.locator("#shown-count")
    chip(page, "Ti").click()
    first = count.inner_text()
    page.locator("#find").press_sequentially("Ti-S")
    second = count.inner_text()
    assert first != second
    page.go_back()
    assert page.locator("#find").input_value() == ""  # the four letters are one step
    assert count.inner_text() == first
    page.go_back()
    assert count.inner_text() == "128 candidates"
    page.go_forward()
    page.go_forward()
    assert count.inner_text() == second


@pytest.mark.parametrize("heading", ["Voltage", "Capacity", "Above hull"])
def test_numbers_sort_both_ways_and_gaps_stay_last(page: Any, heading: str) -> None:
    button = page.locator("#results thead button", has_text=heading).first
    at = page.eval_on_selector_all(
        "#results thead th", "(all, h) => all.findIndex((c) => c.textContent.startsWith(h))", heading
    )
    for direction, reverse in (("ascending", False), ("descending", True)):
        button.click()
        texts = page.eval_on_selector_all(
            "#results tbody tr", "(rows, k) => rows.map((r) => r.cells[k].textContent)", at
        )
        known = [float(t.split()[0].replace("−", "-").replace("\u202f", "")) for t in texts if t != "–"]
        assert known == sorted(known, reverse=reverse)
        assert texts[len(known) :] == ["–"] * (len(texts) - len(known))
        assert page.locator(f'#results th[aria-sort="{direction}"]').count() == 1
    assert "descending" in page.locator("#said").inner_text()


def test_formulas_sort_as_people_count(page: Any) -> None:
    page.locator("#results thead button", has_text="Formula").click()
    found = formulas(page)
    assert found == sorted(found, key=lambda f: [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", f)])


def test_any_row_opens_its_structure_reasons_numbers_and_cif(page: Any, data: ReportData, tmp_path: Path) -> None:
    from pymatgen.core import Structure

    row = next(r for r in data.results if r.result.estimates and r.result.verdict.value == "fail")
    page.evaluate(f"location.hash = '#all?find={row.candidate.id}'")
    page.wait_for_function("document.querySelectorAll('#results tbody tr').length === 1")
    page.locator("#results tbody td.reason").click()
    panel = page.locator("#detail")
    panel.locator(".viewer figure svg circle").first.wait_for()
    assert panel.get_attribute("open") is not None
    assert page.url.endswith(f"&open={row.candidate.id}")
    words = panel.inner_text()
    assert row.result.reasons[0].text.split(",")[0] in words
    assert "Average voltage" in words
    with page.expect_download() as waiting:
        panel.locator("a[download]").click()
    waiting.value.save_as(tmp_path / "row.cif")
    first = (tmp_path / "row.cif").read_text().splitlines()[0]
    assert first == "# A crystal as it came to Redoxa: neither relaxed nor measured."
    read = Structure.from_file(tmp_path / "row.cif")
    assert read.volume == pytest.approx(row.candidate.crystal.volume_A3, rel=1e-4)
    assert sorted(int(s.specie.Z) for s in read) == sorted(row.candidate.crystal.numbers)
    page.keyboard.press("Escape")
    assert panel.is_hidden()
    assert page.url.endswith(f"#all?find={row.candidate.id}")
    page.go_back()
    panel.locator(".viewer").wait_for()


def test_panel_shows_the_profile_and_both_states(open_page: Opener, report: Path, data: ReportData) -> None:
    best = next(r for r in data.results if r.rank == 1)
    page = open_page(report, anchor=f"#all?open={best.candidate.id}")
    panel = page.locator("#detail")
    panel.locator("svg.profile").wait_for()
    assert panel.locator(".switch button").all_inner_texts() == ["Discharged", "Charged"]
    panel.get_by_role("button", name="Charged", exact=True).click()
    assert panel.locator('figure[data-state="Charged"]').is_visible()
    assert panel.locator('figure[data-state="Discharged"]').is_hidden()
    panel.get_by_role("button", name="Next").click()
    page.wait_for_function("document.getElementById('detail-title').textContent === 'LiCoO2'")


def test_row_of_the_map_opens_though_it_is_on_another_page(page: Any) -> None:
    page.evaluate("location.hash = '#row-120'")
    page.locator("#detail .viewer").wait_for()
    assert re.search(r"#all\?open=[0-9a-f]{16}$", page.url)


def test_row_with_a_card_opens_the_card(page: Any) -> None:
    page.locator("#results tbody a").nth(2).click()
    assert page.locator("#card-3").get_attribute("open") is not None
    page.go_back()
    assert page.url.endswith("#all")


def test_without_javascript_the_first_rows_are_there(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("#results tbody tr").count() == 100
    assert page.locator("#filters").is_hidden()
    assert "128 candidates; the first 100 are listed" in page.locator("#all").inner_text()
    context.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample over and over: 20 000 rows. The map is left out; it has a mark for each row that is on it."""
    data = sample.full(494)
    results = (data.results * (MANY // len(data.results)))[:MANY]
    path = tmp_path_factory.mktemp("many") / "many.html"
    path.write_text(
        build_report(data.model_copy(update={"results": results, "latent": sample.empty().latent})), encoding="utf-8"
    )
    return path


TIMED = """(steps) => steps.map(([name, value]) => {
    const field = document.querySelector(name);
    const start = performance.now();
    if (value === null) field.click();
    else { field.value = value; field.dispatchEvent(new Event("input", { bubbles: true })); }
    document.body.offsetHeight;
    return [`${name} ${value ?? ""}`, Math.round(performance.now() - start)];
})"""


def test_twenty_thousand_rows_are_a_hundred_elements(open_page: Opener, many: Path) -> None:
    page = open_page(many)
    rows = page.locator("#results tbody tr")
    assert rows.count() == 100
    assert page.locator("#shown-count").inner_text() == "20\u202f000 candidates"
    steps = [
        ["#find", "Fe-O"], ["#find", "framework"], ["#find", ""], ["[name=system]", "Li-Fe-O"], ["[name=system]", ""],
        ['[data-element="S"]', None], ['[data-element="S"]', None], ["#clear", None], ['[name="min.average_voltage"]', "3"],
        ["#clear", None], ['[data-key="average_voltage"] button', None], ['[data-key="formula"] button', None],
        ['[data-key="reason"] button', None], ['#pager [data-step="1"]', None],
    ]  # fmt: skip
    print(f"\n{many.stat().st_size / 1e6:.1f} MB, ms:", json.dumps(page.evaluate(TIMED, steps)))  # noqa: T201
    assert rows.count() == 100
    assert page.locator("#pager span").inner_text() == "101 to 200 of 20\u202f000"
    chip(page, "S").click()
    sulfides = 40 * sum("S" in r.candidate.crystal.composition for r in sample.full(494).results)
    assert page.locator("#shown-count").inner_text().replace("\u202f", "") == f"{sulfides} of 20000 candidates"
    assert rows.count() == min(100, sulfides)
    rows.last.locator("td.reason").click()
    page.locator("#detail .viewer").wait_for()
