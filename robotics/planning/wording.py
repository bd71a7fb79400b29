"""What people read of a synthesis, written here from the numbers: a request brings no words of its own."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import lcm

from redoxa.data.chemistry import is_charge_balanced
from redoxa.data.lab.recipe import RouteOption, Synthesis
from redoxa.data.synthesis.catalogue import CataloguePrecursor, default_catalogue
from redoxa.data.synthesis.formula import Amounts, molar_mass_g_mol, number_text, parse_formula
from redoxa.robotics.planning.firing import VOLATILE, wanted_temperature_C
from redoxa.robotics.safety.reactions import named_hazards

TOXIC_GASES = {
    "CO": "carbon monoxide", "NH3": "ammonia", "NO2": "nitrogen dioxide", "SO2": "sulfur dioxide",
    "HF": "hydrogen fluoride", "HCl": "hydrogen chloride",
}  # fmt: skip
CARCINOGENIC_PRODUCT = {"Ni": "nickel", "Co": "cobalt"}


def reaction_text(synthesis: Synthesis) -> str:
    """The reaction per formula unit of the target, gases by name, e.g. ``Li2CO3 + 2 FePO4 -> ...``."""
    moles = synthesis.target_mass_g / molar_mass_g_mol(parse_formula(synthesis.target_formula))
    left = [
        f"{number_text(round(p.moles / (1 + p.excess_fraction) / moles, 4))}{p.formula}"
        for p in synthesis.precursors
        if p.role == "reactant"
    ]
    left += [f"{number_text(-n)}{gas}" for gas, n in sorted(synthesis.byproducts.items()) if n < 0]
    right = [f"{number_text(n)}{gas}" for gas, n in sorted(synthesis.byproducts.items()) if n > 0]
    return f"{' + '.join(left)} -> {' + '.join([synthesis.target_formula, *right])}"


def synthesis_lines(synthesis: Synthesis) -> Iterator[str]:
    """The whole synthesis, a line each, in the order of the work."""
    yield f"{synthesis.target_mass_g:g} g of {synthesis.target_formula}: {reaction_text(synthesis)}"
    for powder in synthesis.precursors:
        extra = f", {powder.excess_fraction:.0%} excess" if powder.excess_fraction else ""
        purity = f", {powder.purity:.1%} pure" if powder.purity < 1 else ""
        yield f"weigh {powder.mass_g:.4f} g of {powder.name} ({powder.formula}{extra}{purity})"
    yield f"{synthesis.handling}; {synthesis.vessel} in {synthesis.atmosphere}: {synthesis.atmosphere_reason}"
    for firing in synthesis.firings:
        press = firing.pressing
        pressed = f", press in a {press.die_mm:g} mm die with {press.load_kN:g} kN" if press else ""
        yield f"grind {firing.grinding_min:g} min{pressed}"
        for step in firing.steps:
            dwell = f" for {step.dwell_h:g} h" if step.dwell_h else ""
            yield f"  {step.ramp_C_per_min:g} C/min to {step.temperature_C:g} C{dwell}: {step.purpose}"
    yield from warnings(synthesis)
    yield from choice_texts(synthesis)


COSTS = (
    "Costs, in electrons per redox atom, count oxygen that is exchanged, unusual, moist and volatile powders, their "
    "number, and what goes uphill on the hull."
)
ENERGIES = "Powders that give off water, ammonia or CO enter the energy as what they leave."


def choice_texts(synthesis: Synthesis) -> tuple[str, ...]:
    """Why these powders, what else was possible, and what a safety rule refused, a sentence each."""
    choice = synthesis.choice
    if choice is None:
        return ()
    taken = choice.taken
    texts = [f"Taken: {_option_text(taken)}."]
    if choice.inverse_hull_eV_per_atom is not None and choice.rivals:
        side = "below" if choice.inverse_hull_eV_per_atom < 0 else "above"
        depth = abs(choice.inverse_hull_eV_per_atom)
        texts.append(f"At firing temperature the target lies {depth:.3f} eV/atom {side} {' + '.join(choice.rivals)}.")
    texts += [f"Also possible: {_option_text(option)}." for option in choice.runners_up]
    texts += [f"Refused by {', '.join(o.refused_by)}: {_option_text(o)}." for o in choice.refused]
    texts.append(COSTS if taken.driving_force_eV_per_atom is None else f"{COSTS} {ENERGIES}")
    return tuple(texts)


def _option_text(option: RouteOption) -> str:
    force = option.driving_force_eV_per_atom
    energy = "" if force is None else f", reaction {force:+.3f} eV/atom"
    return f"{' + '.join(option.precursors)} in {option.atmosphere}{energy}, cost {option.cost_electrons:.2f}"


def warnings(synthesis: Synthesis) -> tuple[str, ...]:
    """What a chemist should know before starting."""
    powders = [p for p in (default_catalogue().get(x.formula) for x in synthesis.precursors) if p is not None]
    product = parse_formula(synthesis.target_formula)
    notes = [
        f"The firing temperature is a rule of thumb, give or take {synthesis.temperature_sigma_C:.0f} °C: check the "
        "phase by X-rays.",
        *_about_temperature(synthesis, [p for p in powders if not p.reductant], product),
        *_about_losses(synthesis, powders, product),
    ]
    if not is_charge_balanced(_integer(product)):
        notes.append("Common oxidation states do not balance the target: other phases are likely.")
    gases = {gas for gas, n in synthesis.byproducts.items() if n > 0} | {g for p in powders for g in p.gas}
    if toxic := [name for gas, name in TOXIC_GASES.items() if gas in gases]:
        notes.append(f"Sets free {' and '.join(toxic)}: exhaust on.")
    if named := named_hazards(tuple((p, 1.0) for p in powders)):
        notes.append(f"Weigh in a fume hood, with gloves: {'; '.join(named)}.")
    if metals := [name for element, name in CARCINOGENIC_PRODUCT.items() if element in product]:
        notes.append(f"Treat the product as a carcinogen: it holds {' and '.join(metals)}.")
    if any(p.role == "carbon source" for p in synthesis.precursors):
        notes.append("The sugar chars to a coat of carbon; add it when grinding before the last firing.")
    if product.keys() & {"Na", "K"} and "O" in product and not product.keys() & {"P", "S", "Si", "B", "F"}:
        notes.append("Sodium and potassium oxides take up water: move the product to a glovebox while warm.")
    return tuple(notes)


def _about_temperature(synthesis: Synthesis, powders: list[CataloguePrecursor], product: Amounts) -> list[str]:
    if not powders:
        return []
    wanted_C = wanted_temperature_C(powders, product)
    if synthesis.hottest_C >= wanted_C - 10:
        return []
    return [
        f"The rule asks for {wanted_C:.0f} °C; the furnace, or a powder that would decompose or boil, allows "
        f"{synthesis.hottest_C:.0f} °C: the reaction may stay incomplete."
    ]


def _about_losses(synthesis: Synthesis, powders: list[CataloguePrecursor], product: Amounts) -> list[str]:
    ions = sorted(VOLATILE & product.keys())
    hot = synthesis.hottest_C >= 500 and synthesis.vessel != "sealed silica ampoule"
    if not ions or not hot or any(p.excess_fraction for p in synthesis.precursors):
        return []
    if any(p.solid.keys() - {"O"} <= VOLATILE for p in powders):
        return []
    return [f"No excess of {', '.join(ions)} can be added with these precursors; watch the losses."]


def _integer(amounts: Amounts) -> dict[str, int]:
    common = lcm(*(n.denominator for n in amounts.values()))
    return {e: int(Fraction(n) * common) for e, n in amounts.items()}
