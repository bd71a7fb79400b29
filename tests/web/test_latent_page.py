"""The pages of `redoxa latent` in a real Chromium with the network blocked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from redoxa.data.tables.prototypes import prototype
from redoxa.pipeline.pages.kit.latent_model import (
    Anomalies,
    Ground,
    Interpolation,
    Judged,
    Neighbour,
    Neighbours,
    Step,
)
from redoxa.pipeline.pages.latent_page import anomalies_page, interpolation_page, neighbours_page
from tests.web.conftest import Opener
from tests.web.test_report import CONTRAST, HOSTILE

pytestmark = pytest.mark.browser

LAYERED, SPINEL = prototype("O3 LiCoO2").crystal, prototype("spinel LiMn2O4").crystal
GROUND = Ground(tuple((0.1 * i % 3, 0.07 * i % 2) for i in range(60)), 0.25, 3.0)
A, B = Judged(HOSTILE, LAYERED, (0.5, 0.5), 0.2, 1.0, 0.2), Judged("b.cif", SPINEL, (2.5, 1.5), 7.0, 1.0, 7.0)
UNREAD = Judged("c.cif", None, why="c.cif: no such file")
STEPS = tuple(
    Step(t, (0.5 + 2 * t, 0.5 + t), *((SPINEL, (0.6 + 2 * t, 0.9), 0.3, 4.0 * t) if t != 0.5 else ()))
    for t in (0.0, 0.25, 0.5, 0.75, 1.0)
)
NEAR = tuple(Neighbour(LAYERED, 0.1 * i, (0.5 + 0.02 * i, 0.5), (("Li", 3.9),) if i else ()) for i in range(4))

PAGES: dict[str, Callable[[], str]] = {
    "way": lambda: interpolation_page(Interpolation(A, B, STEPS, GROUND, 0, (HOSTILE,))),
    "neighbours": lambda: neighbours_page(Neighbours(A, NEAR, 100, GROUND, (HOSTILE,))),
    "anomalies": lambda: anomalies_page(Anomalies((B, A, UNREAD), GROUND, (HOSTILE,))),
}
TEXTS = ["h1", ".lead", ".note", ".legend li", ".walk-table th", ".walk-table td", "figcaption", ".told-notes"]

OVERLAPS = """() => {
  const named = [...document.querySelectorAll(".stop-name")].map((e) => e.getBoundingClientRect());
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  return named.flatMap((a, i) => named.slice(i + 1).filter((b) => meet(a, b))).length;
}"""


@pytest.mark.parametrize("name", PAGES)
def test_pages_fit_and_can_be_read(open_page: Opener, tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.html"
    file.write_text(PAGES[name](), encoding="utf-8")
    page = open_page(file)
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OVERLAPS) == 0
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert [(s, round(c, 2)) for s, c in page.evaluate(CONTRAST, TEXTS) if c < 4.5] == []
    assert page.evaluate("typeof window.hacked") == "undefined"
    assert HOSTILE in page.locator(".told-notes").inner_text()


def test_marks_tell_what_they_are(open_page: Opener, tmp_path: Path) -> None:
    file = tmp_path / "way.html"
    file.write_text(PAGES["way"](), encoding="utf-8")
    page = open_page(file)
    assert page.locator("svg.walk .mark").count() == 5
    page.locator("svg.walk .mark").nth(1).hover(force=True)
    assert page.locator("#tip").inner_text().splitlines() == ["t = 0.5", "nothing came"]
    assert page.locator("svg.walk .halo").count() == 1  # the end that is outside; the steps are within
    assert page.locator("#crystals figure").count() == 4
