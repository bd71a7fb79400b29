"""The page of `redoxa screen`: a card a structure, verdicts in words, nothing from outside."""

from __future__ import annotations

import re

import pytest

from redoxa.pipeline.pages import screening_page
from redoxa.pipeline.pages.kit.model import ScreeningData
from redoxa.pipeline.pages.screening_page import build_screening_page, headline, host_text, verdict_text
from tests.unit.pipeline.test_report_build import Page
from tests.web.screening_sample import assessed, empty_host, rejected, screening, undetermined, unusable


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(build_screening_page(screening()))


def test_every_structure_has_a_card_in_the_order_given(page: Page) -> None:
    cards = [a for tag, a in page.elements if tag == "details" and a.get("class") == "card"]
    assert [a["id"] for a in cards] == [f"card-{i}" for i in range(1, 7)]
    links = [a["href"] for tag, a in page.elements if tag == "a" and str(a.get("href")).startswith("#card-")]
    assert links == [f"#card-{i}" for i in range(1, 7)]


def test_headline_counts_the_verdicts() -> None:
    words = headline(screening()).replace("\u00a0", " ")
    assert words == "6 structures screened for Li: 3 assessed, 1 rejected, 1 undetermined, 1 unusable"
    assert headline(screening(assessed(), limited=True)).endswith(": 1\u00a0passed")


def test_verdict_says_whether_anything_was_judged() -> None:
    passed, failed, unknown = assessed().result, rejected().result, undetermined().result
    assert passed is not None
    assert failed is not None
    assert unknown is not None
    assert verdict_text(passed, limited=False) == "All stages ended. No limits were asked for, so nothing is judged."
    assert verdict_text(passed, limited=True) == "All stages ended. Within all limits of the campaign."
    assert verdict_text(failed, limited=False) == "LiCoO2 holds no K."
    assert "0.05 eV/Å in 300 steps. It could not be computed" in verdict_text(unknown, limited=False)


def test_empty_host_is_called_one() -> None:
    assert host_text(assessed()) == ""
    assert host_text(unusable()) == ""
    assert host_text(empty_host()).startswith(
        "The file holds the empty host, TiS₂, which is taken as the charged state."
    )
    assert host_text(empty_host()).endswith("Li was put into its holes; filled it is LiTiS₂.")


def test_same_records_give_the_same_bytes() -> None:
    data = screening(assessed(), unusable())
    assert build_screening_page(ScreeningData.model_validate_json(data.model_dump_json())) == build_screening_page(data)


def test_page_takes_nothing_from_outside_and_promises_nothing(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed", "img", "base")
        for name in ("src", "href", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:"))
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    notice = page.text.index("3Dmol.js incorporates")
    assert not re.search(r"\b(un|meta)?stab(le|ility)\b", page.text[:notice], re.IGNORECASE)
    assert "the file is empty" in page.text


def test_ten_files_stay_below_a_megabyte_and_a_half() -> None:
    rows = [assessed(i % 5) for i in range(10)]
    assert len(build_screening_page(screening(*rows)).encode()) < 1_500_000


def test_one_file_needs_no_table_and_unusable_ones_no_viewer() -> None:
    one = Page(build_screening_page(screening(assessed())))
    assert not any(tag == "table" and a.get("class") == "files-table" for tag, a in one.elements)
    assert len(build_screening_page(screening(unusable()))) < 100_000


def test_more_structures_than_cards_are_all_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening_page, "MOST_CARDS", 1)
    page = Page(build_screening_page(screening(assessed(0), assessed(1), unusable())))
    assert sum(a.get("class") == "card" for _, a in page.elements) == 1
    assert "The first 1 of 3" in page.text
    assert all(name in page.text for name in ("LiFePO4.cif", "LiCoO2.cif", "broken.cif"))


def test_columns_of_a_laboratory_stay_away(page: Page) -> None:
    heads = {a.get("class") for tag, a in page.elements if tag == "th"}
    assert "n predicted" in heads
    assert not heads & {"n measured", "target-col"}
