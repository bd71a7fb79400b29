"""Choice of precursors: every sensible set of the catalogue that balances, the best first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import inf, prod

from data.chemistry import REDOX_WINDOW
from data.errors import NoPrecursorError, RecipeError
from data.synthesis.catalogue import Catalogue, CataloguePrecursor
from data.synthesis.formula import parse_formula
from data.synthesis.reaction import Reaction, balance

MAX_SETS = 2000
"""Precursor sets that are listed; beyond it the least usual source of the element with most of them is left out."""

RANK_COST = 0.3
SIZE_COST = 0.15
REDUCTION_COST = 0.7
PAIR_COST = 0.6
"""In electrons per redox atom: how much mismatch of oxidation state an awkward precursor, one more powder to weigh, a
reducing gas, or two sources of one metal are worth avoiding."""

MAX_ELECTRONS = 2.0
"""Electrons per redox atom that a furnace gas may add or take away (V5+ to V3+); beyond it other phases form."""

ALTERNATIVES = 0.5
"""Routes that cost more than the best one by this are not looked for."""


@dataclass(frozen=True)
class _Set:
    """Precursors that together hold every element; a pair has two sources of one redox metal."""

    precursors: tuple[CataloguePrecursor, ...]
    is_pair: bool

    @property
    def static_cost(self) -> float:
        """What it costs before anything is known of the reaction."""
        ranks = sum(p.rank for p in self.precursors)
        return RANK_COST * ranks + SIZE_COST * len(self.precursors) + PAIR_COST * self.is_pair


def find_routes(target: str, catalogue: Catalogue) -> list[Reaction]:
    """Reactions that make the target, best first; alternatives up to `ALTERNATIVES` above the best.

    The residues of the precursors must hold nothing but the target's elements (and oxygen, where the target has some),
    so that gases are the only by-products. Preferred are sets whose metals have the target's oxidation states, which is
    the same as little O2 taken up or set free: |4 n(O2)| electrons change hands.

    Args:
        target: formula of the compound as made.
        catalogue: what the laboratory has.

    Raises:
        NoPrecursorError: some element has no source.
        RecipeError: every element has one, but no set of them balances.
    """
    elements = parse_formula(target)
    sources = _sources(target, catalogue)
    gas = "O2" if "O" in elements else "N2" if "N" in elements else None
    found: list[tuple[float, str, Reaction]] = []
    best = inf
    for chosen in sorted(_sets(sources, pairs=gas == "O2"), key=lambda s: s.static_cost):
        if chosen.static_cost > best + ALTERNATIVES:
            break
        # A pair is balanced without O2: the two oxidation states are to meet in the middle.
        route = balance(target, chosen.precursors, None if chosen.is_pair else gas)
        if route is not None and is_controllable(route) and _electrons(route) <= MAX_ELECTRONS:
            total = chosen.static_cost + _redox_cost(route)
            found.append((round(total, 6), route.text, route))
            best = min(best, total)
    if not found:
        raise RecipeError(
            f"{target}: every element has a precursor, but no set of them reacts to it without a by-product that stays "
            "in the crucible, or without an exchange of O2 that no furnace gas controls."
        )
    return [route for total, _, route in sorted(found, key=lambda x: x[:2]) if total <= best + ALTERNATIVES]


def needs_reduction(route: Reaction) -> bool:
    """Whether more O2 must leave than the precursors lose in hot air by themselves."""
    return route.oxygen_uptake < min(Fraction(0), route.air_uptake)


def is_controllable(route: Reaction) -> bool:
    """False where O2 would have to be metered.

    That is a partial oxidation (air would carry the precursors past the target's oxidation state), any exchange of O2
    in the presence of a sulfide, a nitride or another powder that air spoils, and a reduction of nitrates.
    """
    powders = [p for p, _ in route.terms]
    if route.oxygen_uptake and any(_is_oxygen_free(p) or "air" in p.sensitive for p in powders):
        return False
    if needs_reduction(route) and any("oxidiser" in p.hazards for p in powders):
        return False
    return not 0 < route.oxygen_uptake < route.air_uptake


def compatible(precursors: tuple[CataloguePrecursor, ...]) -> bool:
    """Whether the powders may be heated together.

    False for an oxidiser with a fuel, for sulfur with metal powder, and for a sulfide or nitride beside anything that
    gives off gas: it would be hydrolysed or burnt, and such mixtures are fired in a closed ampoule.
    """
    hazards = {h for p in precursors for h in p.hazards}
    if "oxidiser" in hazards and hazards & {"fuel", "metal_fuel", "flammable", "H2S"}:
        return False
    if {"metal_oxidiser", "metal_fuel"} <= hazards:
        return False
    return not (any(_is_oxygen_free(p) for p in precursors) and any(p.gas for p in precursors))


def _is_oxygen_free(precursor: CataloguePrecursor) -> bool:
    """A sulfide, a nitride, or sulfur."""
    return bool(precursor.solid.keys() & {"S", "N"}) and "O" not in precursor.solid


def _electrons(route: Reaction) -> float:
    redox_atoms = max(1.0, float(sum(n for e, n in route.product.items() if e in REDOX_WINDOW)))
    return 4 * abs(float(route.oxygen_uptake)) / redox_atoms


def _redox_cost(route: Reaction) -> float:
    cost = _electrons(route)
    if needs_reduction(route):
        return cost + REDUCTION_COST
    # Of two routes with the same mismatch the one that burns to its state in air beats the one that gives O2 off.
    return cost - 1e-3 * (route.oxygen_uptake > 0)


def _sources(target: str, catalogue: Catalogue) -> dict[str, list[CataloguePrecursor]]:
    """Precursors that can bring each element other than oxygen (or the nitrogen of a nitride), the usual ones first."""
    elements = parse_formula(target)
    usable = [p for p in catalogue.precursors if not p.reductant and p.solid.keys() <= elements.keys()]
    if "O" in elements:
        # A metal powder beside the oxides it is to reduce is a thermite; oxides of the right state exist.
        usable = [p for p in usable if len(p.solid) > 1 or "S" in p.solid]
    sources = {e: sorted((p for p in usable if e in p.solid), key=lambda p: p.rank) for e in elements if e != "O"}
    if "O" not in elements:
        sources.pop("N", None)
    missing = [e for e, options in sources.items() if not options]
    if missing or not sources:
        raise NoPrecursorError(target, missing or elements)
    while prod(len(options) for options in sources.values()) > MAX_SETS:
        max(sources.values(), key=len).pop()
    return sources


def _sets(sources: dict[str, list[CataloguePrecursor]], pairs: bool) -> Iterator[_Set]:
    """Distinct compatible sets with a source of every element; one precursor may serve several elements.

    With `pairs` also those with a second simple source of one redox metal (V2O3 with V2O5 for V4+).
    """
    seen: set[frozenset[str]] = set()
    for combination in product(*sources.values()):
        unique = {p.formula: p for p in combination}
        chosen = tuple(unique.values())
        for extended, is_pair in ((chosen, False), *_with_second(chosen, sources, pairs)):
            key = frozenset(p.formula for p in extended)
            if key not in seen and compatible(extended):
                seen.add(key)
                yield _Set(extended, is_pair)


def _with_second(
    chosen: tuple[CataloguePrecursor, ...], sources: dict[str, list[CataloguePrecursor]], wanted: bool
) -> Iterator[tuple[tuple[CataloguePrecursor, ...], bool]]:
    if not wanted:
        return
    for metal in (e for e in sources if e in REDOX_WINDOW):
        simple = [p for p in sources[metal] if p.solid.keys() <= {metal, "O"} and p.rank < 2]
        if any(p in chosen for p in simple):
            yield from (((*chosen, p), True) for p in simple if p not in chosen)
