"""The page of `redoxa digest` in a real Chromium with the network blocked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from redoxa.pipeline.pages.kit.digest_model import CampaignDigest
from redoxa.pipeline.results.digest_file import write_page
from tests.web.conftest import Opener
from tests.web.test_report import CONTRAST, HOSTILE

pytestmark = pytest.mark.browser

NOW = datetime(2026, 11, 29, 7, tzinfo=UTC)
KEY = "463de110a0b1c2d3"
TEXTS = ["h1", ".eyebrow", ".warnings li", ".pairs dt", ".pairs dd", ".pairs a", "code", ".lead", ".foot", "nav a"]
NIGHT = CampaignDigest(
    campaign="sodium-night",
    campaign_id="1",
    runs=("2026-11-29 02:00 UTC, 41 min: round 1 of 3 is complete",),
    screening_minutes=38.5,
    rounds=(1, 3),
    completed=(1,),
    screened=(128, 12),
    chosen=("NaMnO2", "Na3V2(PO4)3"),
    measured=("NaMnO2: success (simulated): capacity 150 mAh/g",),
    waiting=(f"NaFePO4 {KEY}",),
    held=(f"NaCoO2 {KEY}: the hood is broken",),
    with_laboratory=2,
    last_progress=NOW - timedelta(hours=4),
    ended="",
    trouble=(),
    simulated=True,
    report="",
)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page with two campaigns, beside the report of one of them."""
    report = tmp_path / "runs" / "sodium night" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<!doctype html><title>the report</title>")
    real = replace(NIGHT, campaign=HOSTILE, campaign_id="2", simulated=False, held=(), measured=(), trouble=(HOSTILE,))
    ended = replace(real, campaign_id="3", campaign="a" * 60, trouble=(), ended="all 3 rounds are complete")
    file = tmp_path / "pages" / "today.html"
    found = [replace(NIGHT, report=str(report)), real, ended]
    write_page(file, "runs/redoxa.db", found, NOW - timedelta(days=1), NOW)
    return file


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_morning_at_two_widths_in_both_schemes(page: Path, open_page: Opener, width: int, scheme: str) -> None:
    seen = open_page(page, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert seen.evaluate("document.documentElement.scrollWidth") <= width
    assert [(s, round(c, 2)) for s, c in seen.evaluate(CONTRAST, TEXTS) if c < 4.5] == []
    troubles = seen.locator(".warnings li").all_inner_texts()
    assert (troubles[0], len(troubles)) == (f"sodium-night: held: NaCoO2 {KEY}: the hood is broken", 2)
    assert seen.evaluate("typeof window.hacked") == "undefined"
    simulated, real, _ = seen.locator(".pairs").all_inner_texts()
    assert "1 simulated result" in simulated
    assert "With the simulated laboratory" in simulated
    assert "simulated" not in real


def test_the_links_lead_somewhere(page: Path, open_page: Opener) -> None:
    seen = open_page(page)
    for link in seen.locator("a").all():
        target = link.get_attribute("href")
        if target.startswith("#"):
            assert seen.locator(target).count() == 1
        else:
            assert target == "../runs/sodium%20night/report.html"
            assert (
                seen.evaluate("(a) => new URL(a, location).href", target)
                == (page.parents[1] / "runs" / "sodium night" / "report.html").as_uri()
            )
