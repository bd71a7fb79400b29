"""The page of `redoxa formulas` in a real Chromium with the network blocked."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from redoxa.data.progress import Watcher
from redoxa.pipeline.evaluate.formulas import FormulaOptions, FormulaRow, score_formulas
from redoxa.pipeline.evaluate.formulas_page import formulas_page
from tests.unit.pipeline.evaluate.test_formulas import small_table
from tests.web.conftest import Opener
from tests.web.test_report import CONTRAST, HOSTILE

pytestmark = pytest.mark.browser

TEXTS = [
    "h1", ".lead", ".note", ".legend li", ".formula-table th", ".formula-table td", ".formula-table small", ".told li",
    ".told dt", ".told dd", ".pairs dt", ".tabs button",
]  # fmt: skip

ELEMENTS = """() => [...document.querySelectorAll('.pair:not([hidden]) .el rect')].map((rect) => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
  const light = (colour) => {
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((x) => x / 255);
    const [r, g, b] = parts.map((x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [a, b] = [light(getComputedStyle(rect).fill), light(getComputedStyle(rect.nextSibling).fill)];
  return rect.parentNode.classList.contains('absent') ? 99 : (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
})"""
"""Contrast of the symbol of every element with its cell."""


@cache
def page_text(folder: Path) -> str:
    """A page of a floor and a model, and of one that failed with hostile words."""
    options = FormulaOptions(("independent",), (small_table(folder / "table.parquet"),), 150, 0, "redoxa formulas")
    card = score_formulas(options, Watcher())
    return formulas_page(replace(card, rows=(*card.rows, FormulaRow(HOSTILE, "model", "trained", None, HOSTILE))))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formulas")
    path = folder / "formulas.html"
    path.write_text(page_text(folder), encoding="utf-8")
    return path


def test_it_fits_and_can_be_read(open_page: Opener, file: Path) -> None:
    page = open_page(file)
    page.click("#tab-4")
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert [(s, round(c, 2)) for s, c in page.evaluate(CONTRAST, TEXTS) if c < 4.5] == []
        assert min(page.evaluate(ELEMENTS)) >= 4.5
    assert page.evaluate("typeof window.hacked") == "undefined"
    assert HOSTILE in page.locator(".why").first.inner_text()


def test_a_row_is_chosen_and_elements_tell_their_shares(open_page: Opener, file: Path) -> None:
    page = open_page(file)
    assert page.locator(".formula-table").first.locator("tbody tr").count() == 5
    assert page.locator(".pair:visible").count() == 1
    page.click("#tab-4")
    assert page.locator("#pane-4").is_visible()
    assert not page.locator("#pane-1").is_visible()
    page.locator("#pane-4 .el:not(.absent)").first.hover()
    told = page.locator("#tip").inner_text().splitlines()
    assert told[0] == "H, Hydrogen"
    assert [words.split(" % ")[1] for words in told[1:3]] == ["of samples", "of the data"]
    assert page.locator("#pane-4 .formula-map path").count() == 2
