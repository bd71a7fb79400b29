"""`build_report`: a pure function from records to one HTML file."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from redoxa.pipeline.pages.campaign import summary
from redoxa.pipeline.pages.campaign.figures import by_property, parity_plot
from redoxa.pipeline.pages.campaign.latent_map import map_panel
from redoxa.pipeline.pages.campaign.panels import pareto_panels, targets
from redoxa.pipeline.pages.campaign.periodic_table import count_elements, periodic_table
from redoxa.pipeline.pages.card.card_page import STYLES, VIEWER, card_environment
from redoxa.pipeline.pages.card.cards import build_cards
from redoxa.pipeline.pages.card.explorer import PAGE_ROWS, explorer
from redoxa.pipeline.pages.card.table import columns, table_rows
from redoxa.pipeline.pages.kit.downloads import csv_text, file_stem, json_text, packed
from redoxa.pipeline.pages.kit.model import CalibrationRow, ReportData
from redoxa.pipeline.pages.kit.page import asset, policy
from redoxa.pipeline.pages.kit.projection import gradients
from redoxa.pipeline.pages.kit.text import display_scale

SCRIPTS: Final = ("ui.js", "viewer.js", "downloads.js", "dom.js", "crystal.js", "detail.js", "table.js")


def build_report(data: ReportData) -> str:
    """The report as one HTML text, at most 2 MB for a few hundred candidates; the same records give the same text."""
    cards = build_cards(data)
    rows = table_rows(data, cards)
    shown_columns = columns(data.results)
    style = "\n".join(asset("templates", name) for name in STYLES)
    script = "\n".join(asset("templates", name) for name in SCRIPTS)
    viewer = asset("static", VIEWER) if rows else ""
    elements = count_elements(data.results)
    page = card_environment().get_template("report.html.j2")
    return page.render(
        data=data,
        created=data.provenance.created_at,
        cards=cards,
        first_rows=rows[:PAGE_ROWS],
        columns=shown_columns,
        explorer=explorer(rows, shown_columns),
        panels=pareto_panels(data, rows),
        targets=targets(data),
        facts=summary.facts(data),
        headline=summary.headline(data),
        summary=summary,
        latent_map=map_panel(data.latent, rows),
        elements=elements,
        element_table=periodic_table(elements, data.allowed_elements, data.working_ion),
        parity=[Parity(name, group) for name, group in by_property(data.calibration).items()],
        corrections={c.name: c for c in data.corrections},
        widest=max((s.entered for s in data.funnel), default=1) or 1,
        gradients=gradients({s for c in cards for scene in c.scenes.values() for s in scene.symbols}),
        csv_packed=packed(csv_text(data)),
        json_packed=packed(json_text(data, {c.row.candidate.id for c in cards})),
        stem=file_stem(data.name),
        policy=policy([style], [viewer, script] if viewer else [script]),
        style=Markup(style),
        viewer=Markup(viewer),
        script=Markup(script),
        licence=asset("static", "3Dmol-LICENSE.txt"),
        simulated=any(m.simulated for m in data.measurements) or any(r.simulated for r in data.calibration),
    )


class Parity:
    """One property of the calibration section: its plot, its rows, and how the residuals fall."""

    def __init__(self, name: str, rows: list[CalibrationRow]) -> None:
        self.name = name
        self.rows = rows
        self.svg = parity_plot(rows)
        self.factor, self.unit = display_scale(name, rows[0].measured.unit)
        size = max(abs(self.factor * r.measured.value) for r in rows)
        self.decimals = 1 if size >= 10 else 3

    def residual(self, row: CalibrationRow) -> float:
        """Measured less predicted, in shown units."""
        return self.factor * (row.measured.value - row.predicted.value)

    def sigmas(self, row: CalibrationRow) -> float | None:
        """The residual in units of the two sigmas together; None where both are zero."""
        spread = (row.predicted.sigma**2 + row.measured.sigma**2) ** 0.5
        return (row.measured.value - row.predicted.value) / spread if spread > 0 else None

    @property
    def bias(self) -> float:
        """Mean residual in shown units."""
        return sum(self.residual(r) for r in self.rows) / len(self.rows)

    @property
    def within(self) -> int:
        """How many residuals lie within one joint sigma."""
        return sum((z := self.sigmas(r)) is not None and abs(z) <= 1 for r in self.rows)
