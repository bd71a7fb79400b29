"""Choice of precursors: every sensible set of the catalogue that balances, with its furnace gas, the best first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import inf, prod

from redoxa.data.chemistry import REDOX_WINDOW
from redoxa.data.errors import CanBeBoughtError, NoPrecursorError, RecipeError
from redoxa.data.lab.recipe import Atmosphere, AtmosphereReason
from redoxa.data.synthesis.atmosphere import choose_atmosphere, is_controllable, needs_reduction, redox_atoms
from redoxa.data.synthesis.catalogue import Catalogue, CataloguePrecursor
from redoxa.data.synthesis.formula import parse_formula, shares
from redoxa.data.synthesis.reaction import Reaction, balance

MAX_SETS = 2000
"""Precursor sets that are listed; beyond it the least usual source of the element with most of them is left out."""

RANK_COST = 0.3
SIZE_COST = 0.15
MOISTURE_COST = 0.1
REDUCTION_COST = 0.7
PAIR_COST = 0.6
ACID_COST = 1.5
VOLATILE_COST = 0.3
VOLATILE_C = 800.0
"""In electrons per redox atom: how much mismatch of oxidation state an awkward precursor, one more powder to weigh, a
powder that needs dry gas, a reducing gas, two sources of one metal, a halide with hydrogen (which gives HF or HCl), or
a powder that boils below 800 C are worth avoiding."""

UPHILL_COST = 10.0
DEPTH_COST = 5.0
"""The same for each eV/atom by which a reaction goes uphill, and by which the target lies above its rivals."""

MAX_ELECTRONS = 2.0
"""Electrons per redox atom that a furnace gas may add or take away (V5+ to V3+); beyond it other phases form."""

ALTERNATIVES = 0.5
"""Routes that cost more than the best one by this are not looked for, unless all of them are asked for."""

HYDROGEN: Atmosphere = "argon/hydrogen 95/5"


@dataclass(frozen=True)
class RouteEnergy:
    """What a reaction is worth on a hull, at firing temperature and in its furnace gas.

    Attributes:
        driving_force_eV_per_atom: free energy of the reaction by atom of the target; negative is downhill.
        inverse_hull_eV_per_atom: of the target against its rivals; negative where it lies below them.
        rivals: what the mixture would become if there were no target.
    """

    driving_force_eV_per_atom: float
    inverse_hull_eV_per_atom: float
    rivals: tuple[str, ...]


Energies = Callable[[Reaction, Atmosphere], RouteEnergy | None]
"""Gives the energy of a reaction, or None where the hull does not hold its phases."""


@dataclass(frozen=True)
class Route:
    """One way to make a compound.

    Attributes:
        reaction: balanced, with the furnace gas where that takes part.
        atmosphere: the furnace gas.
        reason: why that gas.
        cost: what ranks it, in electrons per redox atom; see the constants of this module.
        energy: on a hull, where one was given.
    """

    reaction: Reaction
    atmosphere: Atmosphere
    reason: AtmosphereReason
    cost: float
    energy: RouteEnergy | None = None

    @property
    def text(self) -> str:
        """Reaction and gas, with the energy where it is known, for people."""
        known = f", {self.energy.driving_force_eV_per_atom:+.3f} eV/atom" if self.energy else ""
        return f"{self.reaction.text} ({self.atmosphere}{known})"


@dataclass(frozen=True)
class _Set:
    """Precursors that together hold every element; a pair has two sources of one redox metal."""

    precursors: tuple[CataloguePrecursor, ...]
    is_pair: bool

    @property
    def static_cost(self) -> float:
        """What it costs before anything is known of the reaction."""
        ranks = sum(p.rank for p in self.precursors)
        moist = sum(bool(p.sensitive) for p in self.precursors)
        volatile = sum(p.boils_C is not None and p.boils_C < VOLATILE_C for p in self.precursors)
        elements = {e for p in self.precursors for e in p.amounts}
        acid = "H" in elements and bool(elements & {"F", "Cl", "Br", "I"})
        odd = PAIR_COST * self.is_pair + ACID_COST * acid + VOLATILE_COST * volatile
        return RANK_COST * ranks + SIZE_COST * len(self.precursors) + MOISTURE_COST * moist + odd


def find_routes(
    target: str, catalogue: Catalogue, energies: Energies | None = None, alternatives: float = ALTERNATIVES
) -> list[Route]:
    """Ways to make the target, best first.

    The residues of the precursors must hold nothing but the target's elements (and oxygen, where the target has some),
    so that gases are the only by-products. Preferred are sets whose metals have the target's oxidation states, which is
    the same as little O2 taken up or set free: |4 n(O2)| electrons change hands. With energies, reactions that go
    uphill or leave the target above its rivals are put back.

    Args:
        target: formula of the compound as made.
        catalogue: what the laboratory has.
        energies: of reactions, on a hull.
        alternatives: how much dearer than the best a route may be to be listed.

    Raises:
        CanBeBoughtError: the target is itself in the catalogue.
        NoPrecursorError: some element has no source.
        RecipeError: every element has one, but no set of them balances.
    """
    elements = parse_formula(target)
    for powder in catalogue.precursors:
        if shares(powder.amounts) == shares(elements):
            raise CanBeBoughtError(target, powder.name, powder.cas)
    gas = "O2" if "O" in elements else "N2" if "N" in elements else None
    found: list[Route] = []
    best = inf
    for chosen in sorted(_sets(_sources(target, catalogue), pairs=gas == "O2"), key=lambda s: s.static_cost):
        if chosen.static_cost > best + alternatives:
            break
        # A pair is balanced without O2: the two oxidation states are to meet in the middle.
        reaction = balance(target, chosen.precursors, None if chosen.is_pair else gas)
        if reaction is not None and is_controllable(reaction) and _electrons(reaction) <= MAX_ELECTRONS:
            found.append(_route(reaction, chosen.static_cost))
            best = min(best, found[-1].cost)
    if not found:
        raise RecipeError(
            f"{target}: every element has a precursor, but no set of them reacts to it without a by-product that stays "
            "in the crucible, or without an exchange of O2 that no furnace gas controls."
        )
    near = [route for route in found if route.cost <= best + alternatives]
    if energies is not None:
        near = [_with_energy(route, energies) for route in near]
    return sorted(near, key=lambda route: (round(route.cost, 6), route.reaction.text))


def _route(reaction: Reaction, static_cost: float) -> Route:
    atmosphere, reason = choose_atmosphere(reaction)
    cost = static_cost + _redox_cost(reaction)
    if atmosphere == HYDROGEN:
        reaction = reaction.reduced_by_hydrogen()
    return Route(reaction, atmosphere, reason, cost)


def _with_energy(route: Route, energies: Energies) -> Route:
    energy = energies(route.reaction, route.atmosphere)
    if energy is None:
        return route
    uphill, above = max(0.0, energy.driving_force_eV_per_atom), max(0.0, energy.inverse_hull_eV_per_atom)
    return replace(route, energy=energy, cost=route.cost + UPHILL_COST * uphill + DEPTH_COST * above)


def compatible(precursors: tuple[CataloguePrecursor, ...]) -> bool:
    """Whether the powders may be heated together.

    False for an oxidiser with a fuel or an ammonium salt, for sulfur with metal powder, and for a sulfide or nitride
    beside anything that gives off gas: it would be hydrolysed or burnt, and such mixtures are fired in a closed
    ampoule. The safety rules, which know the laboratory, have the last word.
    """
    hazards = {h for p in precursors for h in p.hazards}
    if "oxidiser" in hazards and (hazards & {"fuel", "metal_fuel", "flammable", "H2S"} or _has_ammonium(precursors)):
        return False
    if {"metal_oxidiser", "metal_fuel"} <= hazards:
        return False
    return not (any(p.is_oxygen_free_anion for p in precursors) and any(p.gas for p in precursors))


def _has_ammonium(precursors: tuple[CataloguePrecursor, ...]) -> bool:
    return any("NH4" in p.formula for p in precursors)


def _electrons(reaction: Reaction) -> float:
    return 4 * abs(float(reaction.oxygen_uptake)) / redox_atoms(reaction.product)


def _redox_cost(reaction: Reaction) -> float:
    cost = _electrons(reaction)
    if needs_reduction(reaction):
        return cost + REDUCTION_COST
    # Of two routes with the same mismatch the one that burns to its state in air beats the one that gives O2 off.
    return cost - 1e-3 * (reaction.oxygen_uptake > Fraction(0))


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
