"""Which element may take another's place in a structure, and how far-fetched that is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from redoxa.data.chemistry import OXIDATION_STATES, REDOX_WINDOW, ionic_radius_A, oxidation_states
from redoxa.data.tables.prototypes import Prototype
from redoxa.data.units import ION_VALENCE

Role = Literal["ion", "metal", "former", "anion", "frame"]
"""What an element does in its prototype: working ion, metal, centre of a polyanion, anion, or part of a rigid frame."""

FORMERS: Final[Mapping[str, tuple[str, ...]]] = {
    "P": ("Si", "S", "As", "Ge", "V"),
    "Si": ("P", "Ge", "S"),
    "S": ("P", "Se", "Mo", "W", "Cr"),
    "B": (),
    "C": (),
}
"""Centres of polyanions by what may replace them at the same coordination number."""

ANIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "O": ("S", "Se", "F"),
    "S": ("Se", "O", "Te"),
    "F": ("O", "Cl"),
    "Cl": ("Br", "F"),
}

INERT_METALS: Final = ("Mg", "Al", "Zn", "Ca", "Ga", "Zr", "Sc", "Y", "In", "Ge", "Hf")
"""Metals that dilute the redox-active ones; proposed alone only where nothing else is allowed."""

RADIUS_TOLERANCE: Final = 0.25
"""Largest relative change of the ionic radius of a metal."""

_RARE: Final = frozenset(["Tc", "Re", "Ir", "Ru", "Ce", "Ta"])
_INERT_COST, _RARE_COST, _CHANGE_COST = 4.0, 2.0, 1.0


@dataclass(frozen=True)
class Species:
    """One element of a prototype and what it does there."""

    element: str
    role: Role
    state: float
    count: int


@dataclass(frozen=True)
class Replacement:
    """An element that may stand in for a species; `cost` is 0 for the species itself and grows with unlikeness."""

    element: str
    cost: float


def species_of(prototype: Prototype) -> tuple[Species, ...]:
    """The elements of a prototype with their roles, the working ion first."""
    composition = prototype.crystal.composition
    states = oxidation_states(composition) or dict.fromkeys(composition, 0.0)
    rigid = "C" in composition and states.get("C", 0.0) <= 2  # graphite and cyanides keep their frame
    found = [
        Species(e, _role(e, states[e], prototype.working_ion, rigid), states[e], n) for e, n in composition.items()
    ]
    return tuple(sorted(found, key=lambda s: (s.role != "ion", s.role, s.element)))


def _role(element: str, state: float, ion: str, rigid: bool) -> Role:
    if element == ion:
        return "ion"
    if rigid and element in ("C", "N"):
        return "frame"
    if state < 0:
        return "anion"
    return "former" if element in FORMERS else "metal"


def replacements(species: Species, polyanionic: bool, allowed: frozenset[str]) -> tuple[Replacement, ...]:
    """Elements that may take the place of `species`, the likest first; itself included.

    Ions replace ions; metals those of nearly the same size in a state at most one unit away (the rest of the compound
    must make up for it); centres of polyanions and anions only their chemical kin. Oxygen of a polyanion stays.

    Args:
        species: what is to be replaced.
        polyanionic: whether the prototype holds polyanions.
        allowed: elements that may occur; empty means all.
    """
    options: Iterable[str]
    match species.role:
        case "ion":
            options = ION_VALENCE
        case "metal":
            options = (*REDOX_WINDOW, *INERT_METALS)
        case "former":
            options = FORMERS[species.element]
        case "anion":
            options = () if polyanionic and species.element == "O" else ANIONS.get(species.element, ())
        case "frame":
            options = ()
    found = [
        Replacement(e, 0.0 if e == species.element else _cost(species, e))
        for e in {species.element: None, **dict.fromkeys(options)}
        if (not allowed or e in allowed) and (e == species.element or _fits(species, e))
    ]
    return tuple(sorted(found, key=lambda r: (r.cost, r.element)))


def _fits(species: Species, element: str) -> bool:
    if species.role != "metal":
        return True
    near = [q for q in OXIDATION_STATES[element] if abs(q - species.state) <= 1.01]
    before = _radius(species, species.element, round(species.state))
    return any(abs(_radius(species, element, q) / before - 1) <= RADIUS_TOLERANCE for q in near)


def _cost(species: Species, element: str) -> float:
    state = min(OXIDATION_STATES[element], key=lambda q: abs(q - species.state))
    before = _radius(species, species.element, round(species.state) or 1)
    cost = _CHANGE_COST + abs(_radius(species, element, state) - before) / 0.1
    cost += abs(mendeleev_number(element) - mendeleev_number(species.element)) / 10
    if species.role == "metal" and element not in REDOX_WINDOW:
        cost += _INERT_COST
    return cost + (_RARE_COST if element in _RARE else 0.0)


def _radius(species: Species, element: str, state: int) -> float:
    return ionic_radius_A(element, state, 4 if species.role == "former" else 6)


@cache
def mendeleev_number(element: str) -> int:
    """Pettifor's number, which sorts the elements by chemical likeness (Solid State Commun. 51, 31 (1984))."""
    from pymatgen.core import Element

    return int(Element(element).mendeleev_no)
