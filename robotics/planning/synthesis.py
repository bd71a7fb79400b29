"""From a target and a mass to a weighing list and furnace programmes that every safety rule allows."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from redoxa.data.errors import RecipeError
from redoxa.data.lab.laboratory import Furnace, Laboratory
from redoxa.data.lab.recipe import Precursor, RouteChoice, RouteOption, Synthesis
from redoxa.data.records import Crystal
from redoxa.data.synthesis.catalogue import Catalogue, CataloguePrecursor, default_catalogue
from redoxa.data.synthesis.formula import molar_mass_g_mol, parse_formula
from redoxa.data.synthesis.reaction import Reaction
from redoxa.data.synthesis.route import ALTERNATIVES, Energies, Route, find_routes
from redoxa.robotics.planning.firing import (
    MARGIN_C,
    TEMPERATURE_SIGMA_C,
    VOLATILE,
    choose_vessel,
    firing_temperature_C,
    plan_firings,
    volatile_excess,
)
from redoxa.robotics.safety.check import check_synthesis

OXOANIONS = frozenset({"P", "Si", "B"})
INERT = frozenset({"argon", "argon/hydrogen 95/5"})
SUCROSE = "C12H22O11"
CARBON_SHARE = 0.03
"""Of the target's mass: the usual few percent of a carbon coat (N. Ravet et al., J. Power Sources 97, 503, 2001)."""

MAX_TOLD = 3


def plan_synthesis(
    target: str,
    target_mass_g: float,
    laboratory: Laboratory | None = None,
    energies: Energies | None = None,
    crystal: Crystal | None = None,
) -> Synthesis:
    """Solid-state synthesis of a compound: the best route of the catalogue that the safety rules allow here.

    Args:
        target: formula of the compound as made.
        target_mass_g: mass of it that is wanted.
        laboratory: where; what is assumed of one by default.
        energies: of reactions, on a hull.
        crystal: the compound, whose bonds are judged too.

    Raises:
        CanBeBoughtError: the compound is a powder of the catalogue.
        NoPrecursorError: an element has no source.
        RecipeError: no set of precursors balances, the rules refuse every route, or the target holds hydrogen.
    """
    laboratory = laboratory or Laboratory()
    if "H" in parse_formula(target):
        raise RecipeError(f"{target}: holds hydrogen, which leaves as water on firing; no solid-state route")
    refused: list[tuple[Route, list[str]]] = []
    for alternatives in (ALTERNATIVES, inf):
        allowed: list[tuple[Route, Synthesis]] = []
        refused = []
        for route in find_routes(target, stocked(laboratory), energies, alternatives):
            synthesis, problems = _safest(route, target_mass_g, laboratory, crystal)
            if problems:
                refused.append((route, problems))
            else:
                allowed.append((route, synthesis))
            if len(allowed) > MAX_TOLD:
                break
        if allowed:
            return allowed[0][1].model_copy(update={"choice": _choice([r for r, _ in allowed], refused)})
    told = "; ".join(list(dict.fromkeys(text for _, problems in refused for text in problems))[:MAX_TOLD])
    raise RecipeError(f"{target}: the safety rules refuse each of {len(refused)} routes here: {told}")


def _choice(allowed: list[Route], refused: list[tuple[Route, list[str]]]) -> RouteChoice:
    """Why the first of the allowed routes was taken: what it costs, and what else there was."""
    best = allowed[0]
    return RouteChoice(
        taken=_option(best),
        rivals=best.energy.rivals if best.energy else (),
        inverse_hull_eV_per_atom=best.energy.inverse_hull_eV_per_atom if best.energy else None,
        runners_up=tuple(_option(route) for route in allowed[1:]),
        refused=tuple(
            _option(route, tuple(sorted({p.split()[0] for p in problems})))
            for route, problems in refused
            if route.cost < best.cost
        )[:MAX_TOLD],
    )


def _option(route: Route, rules: tuple[str, ...] = ()) -> RouteOption:
    force = route.energy.driving_force_eV_per_atom if route.energy else None
    return RouteOption(
        precursors=tuple(p.formula for p, _ in route.reaction.terms),
        atmosphere=route.atmosphere,
        cost_electrons=round(route.cost, 3),
        driving_force_eV_per_atom=None if force is None else round(force, 4),
        refused_by=rules,
    )


def stocked(laboratory: Laboratory) -> Catalogue:
    """The catalogue, less what a laboratory that lists its stock has not got."""
    catalogue = default_catalogue()
    if laboratory.stock is None:
        return catalogue
    return catalogue.without(frozenset(catalogue.by_formula) - {powder.formula for powder in laboratory.stock})


def _safest(
    route: Route, target_mass_g: float, laboratory: Laboratory, crystal: Crystal | None
) -> tuple[Synthesis, list[str]]:
    """The first variant of a route that no rule refuses; else the one of which least is refused, and that."""
    tried = []
    for synthesis in _variants(route, target_mass_g, laboratory):
        problems = check_synthesis(synthesis, laboratory, crystal)
        if not problems:
            return synthesis, []
        tried.append((synthesis, problems))
    return min(tried, key=lambda x: len(x[1]))


def _variants(route: Route, target_mass_g: float, laboratory: Laboratory) -> Iterator[Synthesis]:
    """In each furnace, with a carbon source where the compound conducts badly, and without."""
    sugar = stocked(laboratory).get(SUCROSE)
    for furnace in laboratory.furnaces:
        plain = _in_furnace(route, target_mass_g, laboratory, furnace)
        if sugar is not None and wants_carbon(route):
            moles = CARBON_SHARE * target_mass_g / molar_mass_g_mol(sugar.solid)
            source = weigh(sugar, moles, 0.0, laboratory).model_copy(update={"role": "carbon source"})
            yield plain.model_copy(update={"precursors": (*plain.precursors, source)})
        yield plain


def _in_furnace(route: Route, target_mass_g: float, laboratory: Laboratory, furnace: Furnace) -> Synthesis:
    reaction = route.reaction
    vessel = choose_vessel(reaction)
    temperature_C = firing_temperature_C(reaction, furnace.max_temperature_C)
    is_closed = vessel == "sealed silica ampoule"
    boiling_C = [p.boils_C for p, _ in reaction.terms if p.boils_C is not None]
    if boiling_C and not is_closed:
        temperature_C = min(temperature_C, 10 * ((min(boiling_C) - MARGIN_C) // 10))
    excess = 0.0 if is_closed else volatile_excess(temperature_C)
    moles = target_mass_g / molar_mass_g_mol(reaction.product)
    return Synthesis(
        target_formula=reaction.target,
        target_mass_g=target_mass_g,
        precursors=tuple(weigh(p, float(n) * moles, excess, laboratory) for p, n in reaction.terms),
        byproducts={gas: round(float(n), 6) for gas, n in sorted(reaction.gases.items())},
        atmosphere=route.atmosphere,
        atmosphere_reason=route.reason,
        firings=plan_firings(reaction, temperature_C, vessel),
        furnace_name="" if furnace == laboratory.furnaces[0] else furnace.name,
        temperature_sigma_C=TEMPERATURE_SIGMA_C,
        vessel=vessel,
        handling="glovebox" if _needs_glovebox(reaction) else "bench",
    )


def wants_carbon(route: Route) -> bool:
    """Whether the compound is a phosphate, silicate or borate, which conduct badly, fired where carbon survives.

    Fluorides get none: the water of the sugar would make HF of them.
    """
    elements = route.reaction.product.keys()
    return bool(elements & OXOANIONS) and "O" in elements and "F" not in elements and route.atmosphere in INERT


def weigh(precursor: CataloguePrecursor, moles: float, excess: float, laboratory: Laboratory) -> Precursor:
    """Mass of one precursor by the purity in stock; the excess goes to what leaves only a volatile ion and oxygen."""
    extra = excess if precursor.solid.keys() - {"O"} <= VOLATILE else 0.0
    purity = next((p.purity for p in laboratory.stock or () if p.formula == precursor.formula), 1.0)
    moles *= 1 + extra
    return Precursor(
        formula=precursor.formula,
        name=precursor.name,
        mass_g=round(moles * precursor.molar_mass_g_mol / purity, 5),
        moles=round(moles, 9),
        excess_fraction=extra,
        purity=purity,
    )


def _needs_glovebox(reaction: Reaction) -> bool:
    return "O" not in reaction.product or any(p.sensitive for p, _ in reaction.terms)
