"""The page of `redoxa screen`: one self-contained HTML file with a card for each structure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from markupsafe import Markup

from redoxa.data.records import Crystal, ScreeningResult, Verdict
from redoxa.pipeline.pages.card.card_page import STYLES, VIEWER, card_environment
from redoxa.pipeline.pages.card.cards import CardView, build_card
from redoxa.pipeline.pages.card.table import cell_of, columns
from redoxa.pipeline.pages.kit.model import FileRow, ResultRow, ScreeningData
from redoxa.pipeline.pages.kit.page import asset, policy
from redoxa.pipeline.pages.kit.projection import gradients
from redoxa.pipeline.pages.kit.text import Shown, count, formula_html, formula_text, prose

SCRIPTS: Final = ("ui.js", "viewer.js")

MOST_CARDS = 50
"""Structures with a card; the table lists all. A card takes some 60 kB."""

VERDICTS: Final = {Verdict.FAIL: "rejected", Verdict.UNDETERMINED: "undetermined", Verdict.ERROR: "in error"}


@dataclass(frozen=True)
class FileView:
    """One structure: its line in the table, and its card."""

    number: int
    name: str
    path: str
    verdict: Verdict
    word: str
    """The verdict in a word."""
    reason: str
    host: str
    """Says that the candidate came without the ion; empty otherwise."""
    cells: tuple[Shown | None, ...]
    card: CardView | None
    remarks: tuple[str, ...] = ()
    """What the reader of the file had to assume."""

    @property
    def formula(self) -> Markup | str:
        """Formula with subscripts; the file's name where nothing could be read."""
        return formula_html(self.card.row.result.formula) if self.card else self.name


def build_screening_page(data: ScreeningData) -> str:
    """The page as one HTML text; the same records give the same text."""
    found = [ResultRow(candidate=r.candidate, result=r.result) for r in data.rows if r.candidate and r.result]
    heads = columns(found)
    views = [_view(i + 1, row, [h.name for h in heads], data.limited) for i, row in enumerate(data.rows)]
    cards = [v.card for v in views[:MOST_CARDS] if v.card is not None]
    style = "\n".join(asset("templates", name) for name in STYLES)
    script = "\n".join(asset("templates", name) for name in SCRIPTS)
    viewer = asset("static", VIEWER) if cards else ""
    return card_environment().get_template("screening.html.j2").render(
        data=data,
        created=data.created_at,
        headline=headline(data),
        columns=heads,
        views=views,
        shown_views=views[:MOST_CARDS],
        gradients=gradients({s for c in cards for scene in c.scenes.values() for s in scene.symbols}),
        policy=policy([style], [viewer, script] if viewer else [script]),
        style=Markup(style),
        viewer=Markup(viewer),
        script=Markup(script),
        licence=asset("static", "3Dmol-LICENSE.txt"),
    )  # fmt: skip


def headline(data: ScreeningData) -> str:
    """``4 structures screened for Li: 3 assessed, 1 rejected``."""
    words = Counter(_word(r, data.limited) for r in data.rows)
    parts = ", ".join(f"{n}\u00a0{word}" for word, n in words.most_common())
    return f"{count(len(data.rows), 'structure')} screened for {data.working_ion}: {parts}"


def _word(row: FileRow, limited: bool) -> str:
    if row.result is None:
        return "unusable"
    passed = "passed" if limited else "assessed"
    return VERDICTS.get(row.result.verdict, passed)


def verdict_text(result: ScreeningResult, limited: bool) -> str:
    """The verdict and its reasons in sentences."""
    if result.verdict is Verdict.PASS:
        judged = "Within all limits of the campaign." if limited else "No limits were asked for, so nothing is judged."
        return f"All stages ended. {judged}"
    why = "; ".join(dict.fromkeys(prose(r.text) for r in result.reasons if r.verdict is result.verdict))
    if result.verdict is Verdict.UNDETERMINED:
        return f"{why}. It could not be computed, so it is neither assessed nor rejected."
    return f"{why}."


def host_text(row: FileRow) -> str:
    """Says that the structure is the charged state and was filled; empty where it held the ion."""
    if row.candidate is None or row.result is None:
        return ""
    ion, filled = row.candidate.working_ion, row.result.crystals.get("discharged")
    if filled is None or _content(filled, ion) <= _content(row.candidate.crystal, ion) + 1e-6:
        return ""
    return (
        f"The file holds the empty host, {formula_text(row.candidate.formula)}, which is taken as the charged state. "
        f"{ion} was put into its holes; filled it is {formula_text(filled.formula)}."
    )


def _content(crystal: Crystal, ion: str) -> float:
    """Ions by host atom."""
    ions = crystal.composition.get(ion, 0)
    return ions / max(1, crystal.n_atoms - ions)


def _view(number: int, row: FileRow, names: list[str], limited: bool) -> FileView:
    path = PurePath(row.name)
    if row.candidate is None or row.result is None:
        reason = row.problem.removeprefix(f"{row.name}: ")
        return FileView(
            number, path.name, row.name, Verdict.ERROR, _word(row, limited), reason, "", (None,) * len(names), None
        )
    known = row.result.notes.get("novelty", "").removeprefix("known: ")
    card = build_card(number, ResultRow(candidate=row.candidate, result=row.result, novelty=known))
    return FileView(
        number=number,
        name=path.name,
        path=row.name,
        verdict=row.result.verdict,
        word=_word(row, limited),
        reason=verdict_text(row.result, limited),
        host=host_text(row),
        cells=tuple(cell_of(row.result, name) for name in names),
        card=card if number <= MOST_CARDS else None,
        remarks=row.remarks,
    )
