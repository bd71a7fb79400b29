"""What properties and notes of the screening are called on pages, collected from the kinds that declare it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache

from redoxa.data.errors import BrokenKindError
from redoxa.screening import GATES, PROPERTIES
from redoxa.screening.base import Property, gate_class, property_class
from redoxa.screening.labels import Label, Note, default_label, label_of, notes_of

MEASURED_IN_PERCENT = ("phase_purity",)
"""What only laboratories give, and is shown in percent."""


@cache
def labels() -> Mapping[str, Label]:
    """Labels of all properties by their names, in the order of cards; imports the properties when first asked."""
    return {name: label_of(kind) for name, kind in _properties().items()}


def label_for(name: str) -> Label:
    """The label of a property; made of the name where no package that is installed has it."""
    return labels().get(name) or default_label(name)


@cache
def notes() -> Mapping[str, Note]:
    """All notes that gates and properties declare, by their keys, in the order in which a card tells them."""
    kinds = [*map(gate_class, GATES), *_properties().values()]
    return {key: note for kind in kinds for key, note in notes_of(kind).items()}


@cache
def stages() -> Mapping[str, str]:
    """Stages whose reasons, with a code that begins with ``no_``, say why a property is missing, by its name."""
    return {name: kind.stage for name, kind in _properties().items() if label_of(kind).reasoned}


@cache
def _properties() -> Mapping[str, type[Property]]:
    """All that can be imported: a page of old results is shown, too, where a package of somebody else is broken."""
    found = {}
    for name in PROPERTIES:
        with suppress(BrokenKindError):
            found[name] = property_class(name)
    return found
