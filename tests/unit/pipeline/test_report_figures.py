"""Figures of the report: scales, points, bars, the periodic table."""

from __future__ import annotations

import re
from base64 import b64decode
from xml.etree import ElementTree

import pytest

from redoxa.data.lab.recipe import FurnaceStep
from redoxa.data.records import Estimate
from redoxa.pipeline.pages import build_report
from redoxa.pipeline.pages.campaign.figures import (
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    PlotPoint,
    axis_of,
    pareto_plot,
    parity_plot,
)
from redoxa.pipeline.pages.campaign.periodic_table import ElementCount, heat, periodic_table, positions
from redoxa.pipeline.pages.campaign.picture import pareto_url
from redoxa.pipeline.pages.card.strips import furnace_plot, range_strip, target_text
from redoxa.pipeline.pages.kit.model import CalibrationRow, Objective
from redoxa.pipeline.pages.kit.svg import Scale, polyline, span, tag, tick_text
from redoxa.pipeline.pages.kit.text import shown
from tests.web import sample


def test_tag_escapes_attributes_and_texts() -> None:
    made = tag("text", '<script>"', data_tip='"><img>', x=1.0, y=None, class_="a")
    assert made == '<text data-tip="&#34;&gt;&lt;img&gt;" x="1" class="a">&lt;script&gt;&#34;</text>'


def test_scale_maps_linearly_and_ticks_are_round() -> None:
    scale = Scale(2.0, 4.0, 100.0, 500.0)
    assert [scale(v) for v in (2.0, 3.0, 4.0)] == [100.0, 300.0, 500.0]
    assert scale.ticks(4) == [2.0, 2.5, 3.0, 3.5, 4.0]
    assert Scale(-0.013, 0.11, 0, 1).ticks(6) == [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]
    assert Scale(0, 273, 0, 1).ticks(6) == [0, 50, 100, 150, 200, 250]
    assert [tick_text(v, 0.02) for v in (-0.02, 0.1)] == ["\u22120.02", "0.10"]
    assert tick_text(150, 50) == "150"


def test_span_is_never_empty() -> None:
    assert span([]) == (0.0, 1.0)
    assert span([3.0, 3.0]) == pytest.approx((2.85, 3.15))
    assert span([0.0]) == (-0.5, 0.5)
    low, high = span([1.0, 2.0, float("nan"), float("inf")], 0.1)
    assert (low, high) == pytest.approx((0.9, 2.1))


def test_polyline() -> None:
    assert polyline([(0, 1), (2.5, 3.125)], close=True) == "M0 1L2.5 3.12Z"


def point(x: float, y: float, kind: str = "front", number: int | None = 1) -> PlotPoint:
    return PlotPoint(x, y, 0.1, 1.0, kind, number, "LiO", f"tip {x}", f"#card-{number}")  # type: ignore[arg-type]


def circles(svg: str, kind: str) -> list[tuple[float, float]]:
    found = re.findall(rf'<circle class="pt {kind}" cx="([\d.]+)" cy="([\d.]+)"', svg)
    return [(float(x), float(y)) for x, y in found]


def test_pareto_points_lie_where_their_values_say() -> None:
    x, y = Axis("Voltage (V)", "inside the range", 2.0, 4.0), Axis("Capacity", "higher is better", 100.0, None)
    plot = pareto_plot([point(2.5, 150.0), point(3.5, 250.0, number=2), point(3.0, 200.0, "passed", None)], x, y)
    (x1, y1), (x2, y2) = sorted(circles(plot.svg, "front"))
    ((x3, y3),) = circles(plot.svg, "passed")
    assert (x3, y3) == pytest.approx(((x1 + x2) / 2, (y1 + y2) / 2), abs=0.02)
    assert x2 > x1
    assert y2 < y1  # up is more
    # 2.0 and 4.0 with 8 % of air: 2.5 lies at (0.5 + 0.16) / 2.32 of the frame
    assert x1 == pytest.approx(LEFT + (WIDTH - RIGHT - LEFT) * 0.66 / 2.32, abs=0.02)
    assert plot.outside == 0


def test_outliers_that_failed_are_counted_not_drawn() -> None:
    x, y = Axis("V", "higher is better", None, None), Axis("C", "lower is better", None, 0.1)
    plot = pareto_plot([point(3.0, 0.05), point(3.2, 0.02, number=2), point(-20.0, 0.05, "other", None)], x, y)
    assert plot.outside == 1
    assert circles(plot.svg, "other") == []
    only = pareto_plot([point(-20.0, 0.05, "other", None), point(3.0, 0.05, "other", None)], x, y)
    assert only.outside == 0  # with nothing that passed, the frame fits what there is


def test_target_range_spans_the_frame_where_it_is_open() -> None:
    x, y = Axis("V", "inside the range", 2.0, 4.0), Axis("C", "higher is better", 100.0, None)
    plot = pareto_plot([point(1.0, 50.0), point(5.0, 300.0)], x, y)
    found = re.search(r'class="target" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', plot.svg)
    assert found is not None
    left, top, width, _ = (float(v) for v in found.groups())
    assert top == TOP
    scale = Scale(1.0 - 0.08 * 4, 5.0 + 0.08 * 4, LEFT, WIDTH - RIGHT)
    assert (left, left + width) == pytest.approx((scale(2.0), scale(4.0)), abs=0.02)


def test_of_many_points_those_that_are_seen_are_drawn() -> None:
    x, y = Axis("Voltage (V)", "higher is better", 2.0, 4.0), Axis("Capacity", "higher is better", 100.0, None)
    crowd = [point(2 + (i % 100) / 50, 100 + i % 7, "passed", None) for i in range(3000)]
    front = [point(4.1 + i / 1000, 200.0, number=None) for i in range(20)]
    plot = pareto_plot([*front, *crowd, point(3.0, 100.0, "passed", 7)], x, y)
    drawn = plot.svg.count('class="pt passed"')
    assert plot.svg.count('class="pt front"') == 20
    assert ">7<" in plot.svg
    assert 100 < drawn < 700
    assert plot.covered == 3001 - drawn


def test_axis_is_in_shown_units() -> None:
    axis = axis_of(Objective(name="max_delta_volume", max=0.1), "1")
    assert (axis.title, axis.direction, axis.low, axis.high) == ("Volume change (%)", "lower is better", None, 10.0)


def row(predicted: float, measured: float, simulated: bool) -> CalibrationRow:
    a = Estimate(value=predicted, sigma=0.2, unit="V", method="", model="")
    b = Estimate(value=measured, sigma=0.1, unit="V", method="", model="")
    return CalibrationRow(
        candidate_id="x", formula="Li2O", name="average_voltage", predicted=a, measured=b, simulated=simulated
    )


def test_parity_marks_simulated_cells_and_keeps_one_scale() -> None:
    svg = parity_plot([row(3.0, 3.0, True), row(4.0, 3.5, False)])
    assert svg.count("pt measured simulated") == 1
    assert svg.count("pt measured real") == 1
    assert svg.count("simulated cell") == 1
    # The first point is on the diagonal: as far from the left edge as from the bottom edge.
    diagonal = re.search(r'class="diagonal" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', svg)
    diamond = re.search(r'class="pt measured simulated" d="M([\d.]+) ([\d.]+)L', svg)
    assert diagonal is not None
    assert diamond is not None
    x1, y1, x2, y2 = (float(v) for v in diagonal.groups())
    x, y = float(diamond.group(1)), float(diamond.group(2)) + 7
    assert (x - x1) / (x2 - x1) == pytest.approx((y - y1) / (y2 - y1), abs=1e-3)


def test_strip_and_target_words() -> None:
    seen = shown("capacity_grav", Estimate(value=170, sigma=17, unit="mAh/g", method="", model=""))
    assert "target at least 100 mAh/g" in range_strip(seen, 100, None)
    assert "measured" not in range_strip(seen, 100, None)
    assert 'class="measured"' in range_strip(seen, 100, None, seen)
    assert target_text(2.5, 4.3, "V") == "2.5 to 4.3 V"
    assert target_text(None, 0.1, "eV/atom") == "at most 0.1 eV/atom"


def test_furnace_programme_takes_ramp_and_dwell() -> None:
    steps = (
        FurnaceStep(temperature_C=325, ramp_C_per_min=5, dwell_h=4),
        FurnaceStep(temperature_C=725, ramp_C_per_min=2, dwell_h=10),
    )
    svg = furnace_plot(steps)
    assert ">18 h<" in svg  # 300/5 min + 4 h + 400/2 min + 10 h = 18.33 h
    assert "325 °C for 4 h 00 min at 5 °C/min" in svg
    assert 'class="cooling"' in svg
    cooled = furnace_plot((*steps, FurnaceStep(temperature_C=25, ramp_C_per_min=5, dwell_h=0)))
    assert 'class="cooling"' not in cooled


def test_elements_stand_where_they_belong() -> None:
    places = positions()
    assert len(places) == 118
    assert len(set(places.values())) == 118
    assert places[1] == (0, 0)
    assert places[2] == (17, 0)
    assert places[8] == (15, 1)
    assert places[26] == (7, 3)
    assert places[57] == (2, 8)  # La opens the lanthanides, Lu stands in group 3
    assert places[71] == (2, 5)
    assert places[118] == (17, 6)


def test_heat_is_logarithmic() -> None:
    assert [heat(n, 100) for n in (0, 1, 3, 10, 50, 100)] == [0, 1, 2, 3, 5, 5]
    assert heat(1, 1) == 5


def test_periodic_table_tells_seen_from_allowed() -> None:
    svg = periodic_table(
        [ElementCount("Li", "Lithium", 4, 1), ElementCount("O", "Oxygen", 4, 1)], ["Li", "O", "Fe"], "Li"
    )
    assert svg.count('class="el permitted"') == 1
    assert svg.count("el h") == 2
    assert 'class="el h5 ion"' in svg
    assert "in 4 candidates\n1 of them passed" in svg
    assert 'aria-label="Candidates by element: Li 4, O 4"' in svg


def test_the_pareto_plot_is_a_picture_of_its_own() -> None:
    page = build_report(sample.full())
    url = pareto_url(page) or ""
    head, _, packed = url.partition(",")
    assert head == "data:image/svg+xml;base64"
    picture = b64decode(packed).decode()
    root = ElementTree.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert circles(picture, "front")
    first_plot = page[: page.index("</svg>", page.index('class="plot pareto"'))]
    assert circles(picture, "front") == circles(first_plot, "front")
    assert pareto_url("<html></html>") is None
