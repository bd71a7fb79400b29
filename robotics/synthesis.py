"""From a target and a mass to a weighing list and a furnace programme."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import lcm

from data.chemistry import is_charge_balanced
from data.errors import RecipeError
from data.lab import Precursor, Synthesis
from data.synthesis.catalogue import Catalogue, CataloguePrecursor, default_catalogue
from data.synthesis.formula import molar_mass_g_mol, parse_formula
from data.synthesis.reaction import Reaction
from data.synthesis.route import find_routes
from robotics.firing import TEMPERATURE_SIGMA_C, Firing, plan_firing

VOLATILE = frozenset({"Li", "Na", "K"})
TOXIC_GASES = {"CO": "carbon monoxide", "NH3": "ammonia", "NO2": "nitrogen dioxide", "SO2": "sulfur dioxide"}


def plan_synthesis(
    target: str, target_mass_g: float, catalogue: Catalogue | None = None, max_temperature_C: float = 1050.0
) -> Synthesis:
    """Solid-state synthesis of a compound by the best route of the catalogue.

    Args:
        target: formula of the compound as made.
        target_mass_g: mass of it that is wanted.
        catalogue: what the laboratory has; the shipped catalogue by default.
        max_temperature_C: what its furnace may reach.

    Raises:
        NoPrecursorError: an element has no source.
        RecipeError: no set of precursors balances, or the target holds water or hydroxide.
    """
    if "H" in parse_formula(target):
        raise RecipeError(f"{target}: holds hydrogen, which leaves as water on firing; no solid-state route")
    route = find_routes(target, catalogue or default_catalogue())[0]
    firing = plan_firing(route, max_temperature_C)
    moles = target_mass_g / molar_mass_g_mol(route.product)
    return Synthesis(
        target_formula=target,
        target_mass_g=target_mass_g,
        precursors=tuple(weigh(p, n, moles, firing.excess) for p, n in route.terms),
        reaction=firing.reaction.text,
        byproducts={gas: round(float(n), 6) for gas, n in sorted(firing.reaction.gases.items())},
        atmosphere=firing.atmosphere,
        atmosphere_reason=firing.atmosphere_reason,
        furnace=firing.furnace,
        temperature_sigma_C=TEMPERATURE_SIGMA_C,
        vessel=firing.vessel,
        handling="glovebox" if _needs_glovebox(route) else "bench",
        warnings=_warnings(firing, max_temperature_C),
    )


def weigh(precursor: CataloguePrecursor, coefficient: Fraction, moles_target: float, excess: float) -> Precursor:
    """Mass of one precursor; the excess goes to those that bring nothing but a volatile ion (and oxygen)."""
    cations = precursor.solid.keys() - {"O"}
    extra = excess if cations <= VOLATILE else 0.0
    moles = float(coefficient) * moles_target * (1 + extra)
    return Precursor(
        formula=precursor.formula,
        name=precursor.name,
        mass_g=round(moles * precursor.molar_mass_g_mol, 5),
        moles=round(moles, 9),
        excess_fraction=extra,
    )


def _needs_glovebox(route: Reaction) -> bool:
    return "O" not in route.product or any(p.sensitive for p, _ in route.terms)


def _warnings(firing: Firing, max_temperature_C: float) -> tuple[str, ...]:
    """What a chemist should know before starting."""
    route = firing.reaction
    within = f"give or take {TEMPERATURE_SIGMA_C:.0f} °C"
    notes = [f"The firing temperature is a rule of thumb, {within}: check the phase by X-rays."]
    if not is_charge_balanced(_integer(route.product)):
        notes.append("Common oxidation states do not balance the target: other phases are likely.")
    if firing.temperature_C >= 10 * round(max_temperature_C / 10):
        notes.append("The furnace limits the temperature: the reaction may stay incomplete.")
    volatile = sorted(VOLATILE & route.product.keys())
    if volatile and firing.excess and not any(p.solid.keys() - {"O"} <= VOLATILE for p, _ in route.terms):
        notes.append(f"No excess of {', '.join(volatile)} can be added with these precursors; watch the losses.")
    toxic = [name for gas, name in TOXIC_GASES.items() if route.gases.get(gas, 0) > 0]
    if toxic:
        notes.append(f"Sets free {' and '.join(toxic)}: exhaust on.")
    hazardous = [p.name for p, _ in route.terms if {"toxic", "carcinogen", "reprotoxic"} & set(p.hazards)]
    if hazardous:
        notes.append(f"Toxic powder: {', '.join(hazardous)}; weigh in a ventilated enclosure.")
    layered = route.product.keys() & {"Na", "K"} and not route.product.keys() & {"P", "S", "Si", "B", "F"}
    if layered and "O" in route.product:
        notes.append("Sodium and potassium oxides take up water: move the product to a glovebox while warm.")
    return tuple(notes)


def _integer(amounts: Mapping[str, Fraction]) -> dict[str, int]:
    common = lcm(*(n.denominator for n in amounts.values()))
    return {e: int(n * common) for e, n in amounts.items()}
