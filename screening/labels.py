"""What properties and notes are called on pages; each property and gate declares its own beside itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from redoxa.screening.base import Gate

Group = Literal["Electrochemistry", "Decomposition", "Mobility", "Host", "Practicalities", "Further results"]

GROUPS: Final[tuple[Group, ...]] = (
    "Electrochemistry", "Decomposition", "Mobility", "Host", "Practicalities", "Further results",
)  # fmt: skip
"""Parts of a card, in order; what declares none comes under the last."""

NO_REFERENCE: Final = "the reference lacks energies for this chemical system"
NO_PRICE: Final = "the table lacks one of its elements"


@dataclass(frozen=True)
class Label:
    """How a property is called and shown, as its class variable `label`.

    Attributes:
        long: name in a card.
        short: name on axes and in heads of tables.
        group: part of the card.
        absent: why a screening that went to its end may lack it.
        percent: whether a number without a unit is shown in percent.
        reasoned: whether the reason of its stage with a code that begins with ``no_`` says why it is missing.
        in_prose: name within a sentence; by default `long` without capitals.
    """

    long: str
    short: str
    group: Group = GROUPS[-1]
    absent: str = "no value was found"
    percent: bool = False
    reasoned: bool = False
    in_prose: str = ""


@dataclass(frozen=True)
class Note:
    """How a note is told, as a value of the class variable `notes` of the property or gate that writes it.

    Attributes:
        sentence: with a gap ``{}`` for the note's text; the title alone of what is told as a warning.
        group: part of the card.
        formulas: whether the text holds chemical formulas, whose counts become subscripts.
        told: in a sentence of its part, among the warnings, or elsewhere on the page, in words that the page has.
    """

    sentence: str
    group: Group = GROUPS[-1]
    formulas: bool = False
    told: Literal["sentence", "warning", "elsewhere"] = "sentence"


def humanise(name: str) -> str:
    """``target_not_formed`` as ``Target not formed``."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def default_label(name: str) -> Label:
    """What a property is called of which nothing but the name is known: ``acme_bulk`` is ``Acme bulk``."""
    return Label(humanise(name), humanise(name))


def label_of(kind: Gate | type[Gate]) -> Label:
    """The label that a property declares, or else one made of its name."""
    declared: Label | None = getattr(kind, "label", None)
    return declared or default_label(kind.name)


def notes_of(kind: Gate | type[Gate]) -> Mapping[str, Note]:
    """The notes that a property or gate declares."""
    declared: Mapping[str, Note] = getattr(kind, "notes", {})
    return declared
