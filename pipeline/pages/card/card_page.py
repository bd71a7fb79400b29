"""What pages with candidate cards share: style sheets, the viewer's script, and filters of the templates."""

from __future__ import annotations

from functools import cache
from typing import Final

from jinja2 import Environment

from redoxa.pipeline.pages.card.cards import CardView
from redoxa.pipeline.pages.kit.elements import colour
from redoxa.pipeline.pages.kit.page import environment
from redoxa.pipeline.pages.kit.text import (
    count,
    duration,
    formula_html,
    label,
    linked,
    number,
    prose,
    short_label,
    shown,
    timestamp,
)
from redoxa.screening.labels import humanise

STYLES: Final = ("base.css", "figures.css", "cards.css", "explorer.css", "print.css")
VIEWER: Final = "3Dmol-min.js"


@cache
def card_environment() -> Environment:
    """The templates with the words and numbers of the report as filters."""
    templates = environment()
    filters = (
        count, duration, formula_html, humanise, label, linked, number, prose, short_label, timestamp, colour,
    )  # fmt: skip
    templates.filters.update({f.__name__: f for f in filters})
    templates.globals.update(shown=shown, scene_json=_scene_json)
    return templates


def _scene_json(card: CardView) -> dict[str, object]:
    return {name: scene.to_json() for name, scene in card.scenes.items()}
