"""The map of the latent space in the report: marks, shades, tooltips, and what stands in its place."""

from __future__ import annotations

import re

import pytest

from redoxa.data.records import Verdict
from redoxa.pipeline.pages import build_report
from redoxa.pipeline.pages.campaign.latent_map import map_panel, shade, symbol
from redoxa.pipeline.pages.card.cards import build_cards
from redoxa.pipeline.pages.card.table import TableRow, table_rows
from redoxa.pipeline.pages.kit.model import LatentPoint, LatentView, ReportData
from redoxa.pipeline.results import latent_view as module
from redoxa.pipeline.results.latent_view import latent_view
from tests.web import sample


@pytest.fixture(scope="module")
def data() -> ReportData:
    return sample.full()


@pytest.fixture(scope="module")
def rows(data: ReportData) -> list[TableRow]:
    return table_rows(data, build_cards(data))


def test_every_placed_candidate_is_a_link_that_says_voltage_score_and_verdict(
    data: ReportData, rows: list[TableRow]
) -> None:
    panel = map_panel(data.latent, rows)
    assert panel is not None
    assert panel.placed == len(data.results) - 1 == panel.svg.count("<a ")
    assert (
        panel.svg.count('class="halo"')
        == panel.outside
        == sum(p.anomaly is None or p.anomaly > 3.0 for p in data.latent.points)
    )
    first = next(p for p in panel.oddest if p.at.anomaly is None)
    assert "anomaly score no symmetric form, outside what the model knows" in first.tip
    scores = [p.at.anomaly for p in panel.oddest if p.at.anomaly is not None]
    assert scores == sorted(scores, reverse=True)
    card = re.search(r'<a href="#card-1"[^>]*data-tip="([^"]*)"', panel.svg)
    assert card is not None
    assert card[1].splitlines()[0] == "LiFePO₄"
    assert card[1].splitlines()[1].startswith("voltage 3.43 ± 0.50 V")
    assert card[1].splitlines()[3] == "screening: passed"


def test_marks_lie_where_the_points_do_and_the_known_ones_are_behind_them(rows: list[TableRow]) -> None:
    ids = [row.row.candidate.id for row in rows[:3]]
    points = tuple(LatentPoint(candidate_id=c, x=float(i), y=0.0, anomaly=0.0) for i, c in enumerate(ids))
    panel = map_panel(LatentView(points=points, known=((-1.0, -1.0), (3.0, 1.0))), rows)
    assert panel is not None
    hits = [float(x) for x in re.findall(r'class="hit" cx="([\d.]+)"', panel.svg)]
    assert sorted(hits)[1] - sorted(hits)[0] == pytest.approx(sorted(hits)[2] - sorted(hits)[1], abs=0.02)
    known = re.search(r'class="known" d="M(\d+) (\d+)h0M(\d+) (\d+)h0"', panel.svg)
    assert known is not None
    assert int(known[1]) < min(hits) < max(hits) < int(known[3])
    assert int(known[2]) > int(known[4])  # y grows upward
    assert panel.svg.index("known") < panel.svg.index("hit")


def test_verdicts_differ_by_shape_and_voltages_by_shade() -> None:
    shapes = {symbol(verdict, 0.0, 0.0, "pt") for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.UNDETERMINED)}
    assert len(shapes) == 3
    assert [shade(v) for v in (None, -20.0, 0.99, 1.0, 2.5, 3.99, 4.0, 7.0)] == [
        "h0", "h1", "h1", "h2", "h3", "h4", "h5", "h5",
    ]  # fmt: skip


def test_a_page_without_a_map_says_why(data: ReportData) -> None:
    why = "The map could not be made: <no weights>."
    page = build_report(data.model_copy(update={"latent": LatentView(why_not=why)}))
    assert "The map could not be made: &lt;no weights&gt;." in page
    assert 'class="plot latent"' not in page


def test_candidates_are_placed_by_the_shipped_weights_and_the_best_of_too_many(
    data: ReportData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PLACED", 8)
    view = latent_view(data.results)
    assert view.why_not == ""
    assert len(view.points) == 8
    assert view.left_out == len(data.results) - 8
    passed = {row.candidate.id for row in data.results if row.result.verdict is Verdict.PASS}
    assert passed <= {p.candidate_id for p in view.points}
    assert 0.0 < view.share < 1.0
    assert len(view.known) > 300
    assert view == latent_view(data.results)


def test_nothing_to_place_and_a_map_of_other_weights_are_said(
    data: ReportData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no candidate" in latent_view(()).why_not
    monkeypatch.setattr("redoxa.pipeline.results.latent_view.sha256_of", lambda path: "0" * 64)
    assert "redoxa reference latent-map" in latent_view(data.results[:1]).why_not
