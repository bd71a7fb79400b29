"""What powders do to one another: heat of an oxidiser with a fuel, gases of acid with salt, what boils."""

from __future__ import annotations

from math import exp
from typing import Final

from redoxa.data.synthesis.catalogue import CataloguePrecursor
from redoxa.robotics.safety.subject import BURNING, Powders, Subject

HALOGENS: Final = ("F", "Cl", "Br", "I")

SAFE_HEAT_J_G: Final = 50.0
"""Heat by gram of powder mixture, about 50 K of its own heating (1 J/g/K), below which a runaway has no severity
(F. Stoessel, Thermal Safety of Chemical Processes, 2008)."""

OXIDE_HEAT: Final = {"S": (3.0, 170.0), "N": (1.5, 450.0)}
"""Mol O taken by each atom of a sulfide or nitride, and kJ per mol O, where the catalogue has no value of it."""

TROUTON: Final = 10.6
"""Entropy of evaporation over the gas constant (Trouton's rule, 88 J/mol/K): ln(p/bar) = 10.6 (1 - T_boil/T)."""

R_BAR_ML: Final = 83.145
"""Gas constant in bar mL/mol/K."""

KELVIN: Final = 273.15
TRACE_MOL: Final = 1e-6
WARM_UP_H: Final = 6.0
"""How long a sulfur ampoule has to stay warm, without much pressure, so that the sulfur is bound."""


def burning_heat_J_g(powders: Powders) -> tuple[float, list[str], list[str]]:
    """Heat by gram of the whole mixture when fuels take what oxygen the oxidisers give, the worst pair first.

    Returns:
        J/g (0 where no pair gives heat), and the formulas of the oxidisers and fuels behind it.
    """
    givers = sorted(
        ((n * p.gives_O[0], p.gives_O[1], p.formula) for p, n in powders if p.gives_O is not None), key=lambda x: x[1]
    )
    takers = sorted(((n * o[0], o[1], p.formula) for p, n in powders if (o := _burns(p))), key=lambda x: -x[1])
    left = [oxygen for oxygen, _, _ in givers]
    heat_kJ, oxidisers, fuels = 0.0, set(), set()
    for wanted, gain_kJ, fuel in takers:
        for i, (_, cost_kJ, oxidiser) in enumerate(givers):
            moved = min(wanted, left[i])
            if oxidiser != fuel and gain_kJ > cost_kJ and moved > TRACE_MOL:
                heat_kJ += moved * (gain_kJ - cost_kJ)
                left[i] -= moved
                wanted -= moved
                oxidisers.add(oxidiser)
                fuels.add(fuel)
    mass_g = sum(n * p.molar_mass_g_mol for p, n in powders)
    return (1e3 * heat_kJ / mass_g if mass_g else 0.0), sorted(oxidisers), sorted(fuels)


def _burns(powder: CataloguePrecursor) -> tuple[float, float] | None:
    """Mol O that a formula unit takes, and kJ per mol O; None for what does not burn."""
    if powder.takes_O is not None or "O" in powder.amounts:
        return powder.takes_O
    for element, (oxygen, heat_kJ) in OXIDE_HEAT.items():
        if element in powder.amounts:
            return oxygen * float(powder.amounts[element]), heat_kJ
    return None


def gases_mol(subject: Subject) -> dict[str, float]:
    """Moles of each gas that the weighed powders may set free, by themselves and by acting on one another.

    O2 comes from the oxygen balance, if any leaves.
    """
    gases = gases_between_mol(subject)
    for powder, moles in subject.powders:
        for gas, n in powder.gas.items():
            gases[gas] = gases.get(gas, 0.0) + float(n) * moles
    oxygen = sum(float(p.solid.get("O", 0)) * moles for p, moles in subject.powders)
    wanted = float((subject.target or {}).get("O", 0)) * subject.moles_target
    if oxygen - wanted > 1e-9:
        gases["O2"] = gases.get("O2", 0.0) + (oxygen - wanted) / 2
    return gases


def gases_between_mol(subject: Subject) -> dict[str, float]:
    """Moles of each gas that powders may set free by acting on one another or by heat: as much as their atoms allow.

    Halides with anything that holds hydrogen (hydrates, acid salts, ammonium salts, hydroxides) give hydrogen halides;
    fluorides with boron, silicon or P2O5 their volatile fluorides; sulfides and nitrides with hydrogen H2S and NH3;
    carbon with an oxygen compound CO; sulfates too hot, or with a fuel, and sulfur with oxygen, SO2.
    """
    powders = subject.powders
    atoms = {e: _moles_of(powders, e) for e in (*HALOGENS, "H", "B", "Si")}
    found = {f"H{x}": min(atoms[x], atoms["H"]) for x in HALOGENS}
    found["BF3"] = min(atoms["F"] / 3, atoms["B"])
    found["SiF4"] = min(atoms["F"] / 4, atoms["Si"])
    found["POF3"] = min(atoms["F"] / 3, sum(2 * n for p, n in powders if p.formula == "P2O5"))
    bare = tuple((p, n) for p, n in powders if "O" not in p.amounts and "H" not in p.amounts)
    found["H2S"] = min(_moles_of(bare, "S"), atoms["H"] / 2)
    found["NH3"] = min(_moles_of(bare, "N"), atoms["H"] / 3)
    found["CO"] = _carbon_monoxide_mol(powders)
    found["SO2"] = _sulfur_dioxide_mol(subject)
    if subject.synthesis.atmosphere in BURNING:
        found["RuO4"] = _moles_of(powders, "Ru")
    return {gas: n for gas, n in found.items() if n > TRACE_MOL}


def _carbon_monoxide_mol(powders: Powders) -> float:
    """Of carbon and what chars, beside a powder that holds oxygen; what oxalates give off is in the catalogue."""
    carbon = sum(n * float(p.amounts["C"]) for p, n in powders if p.reductant)
    oxygen = any("O" in p.amounts and not p.reductant for p, _ in powders)
    return carbon if oxygen else 0.0


def _sulfur_dioxide_mol(subject: Subject) -> float:
    powders, hottest_C = subject.powders, subject.synthesis.hottest_C
    sulfates = [(p, n) for p, n in powders if {"S", "O"} <= p.amounts.keys()]
    fuel = any(p.reductant or _burns(p) for p, _ in powders)
    lost = sum(
        n * float(p.amounts["S"])
        for p, n in sulfates
        if fuel or (p.keep_below_C is not None and hottest_C > p.keep_below_C)
    )
    free = sum(n for p, n in powders if p.formula == "S")
    other_oxygen = any("O" in p.amounts for p, _ in powders) or subject.synthesis.atmosphere in BURNING
    return lost + (free if other_oxygen else 0.0)


def _moles_of(powders: Powders, element: str) -> float:
    return sum(n * float(p.amounts[element]) for p, n in powders if element in p.amounts)


def reactions(subject: Subject) -> list[str]:
    """S018."""
    problems = []
    powders, gases = subject.powders, gases_mol(subject)
    oxidisers = [p.formula for p, _ in powders if "oxidiser" in p.hazards]
    ammonium = [p.formula for p, _ in powders if "NH4" in p.formula]
    if oxidisers and ammonium:
        problems.append(f"{', '.join(ammonium)} with {', '.join(oxidisers)} may form ammonium nitrate")
    nickel = [p.formula for p, _ in powders if "Ni" in p.amounts]
    if subject.synthesis.vessel == "nickel crucible":
        nickel.append("the nickel crucible")
    if nickel and gases.get("CO", 0.0) > TRACE_MOL:
        problems.append(f"{', '.join(nickel)} with carbon monoxide may form nickel carbonyl")
    if "RuO4" in gases and subject.synthesis.atmosphere == "oxygen":
        problems.append("ruthenium in oxygen gives volatile RuO4")
    if subject.synthesis.vessel == "sealed silica ampoule":
        return [*problems, *_ampoule_pressure(subject)]
    hottest_C = subject.synthesis.hottest_C
    boiling = [p for p, _ in powders if p.boils_C is not None and p.boils_C < hottest_C and p.formula != "S"]
    problems += [f"{p.formula} boils at {p.boils_C:g} C, in an open vessel at {hottest_C:g} C" for p in boiling]
    return problems


def _ampoule_pressure(subject: Subject) -> list[str]:
    """Vapour of all that boils, at the hottest step, within what there is of it.

    Free sulfur counts in full unless a first step of at least 6 h binds it at a temperature where its own vapour stays
    below the limit.
    """
    steps = subject.synthesis.steps
    limit_bar = subject.furnace.max_ampoule_bar
    volatile = [(p.formula, p.boils_C, n) for p, n in subject.powders if p.boils_C is not None]
    first_C = steps[0].temperature_C if steps else 0.0
    bound = bool(steps) and steps[0].dwell_h >= WARM_UP_H
    pressure_bar = 0.0
    for formula, boils_C, moles in volatile:
        is_bound = bound and formula in ("S", "Se", "P") and _vapour_bar(boils_C, first_C) <= limit_bar
        hottest_C = first_C if is_bound else subject.synthesis.hottest_C
        all_bar = moles * R_BAR_ML * (hottest_C + KELVIN) / subject.furnace.ampoule_mL
        pressure_bar += min(_vapour_bar(boils_C, hottest_C), all_bar)
    if pressure_bar <= limit_bar:
        return []
    names = ", ".join(formula for formula, _, _ in volatile)
    return [f"vapour of {names} may reach {pressure_bar:.3g} bar in the ampoule, limit {limit_bar:g} bar"]


def _vapour_bar(boils_C: float, temperature_C: float) -> float:
    return exp(TROUTON * (1 - (boils_C + KELVIN) / (temperature_C + KELVIN)))


def named_hazards(powders: Powders) -> list[str]:
    """``nickel(II) oxide (carcinogen)`` of each powder that causes cancer, harms the unborn or poisons."""
    grave = {p.name: [h for h in ("carcinogen", "reprotoxic", "toxic") if h in p.hazards] for p, _ in powders}
    return [f"{name} ({', '.join(hazards)})" for name, hazards in grave.items() if hazards]


def harmful_powders(subject: Subject) -> list[str]:
    """S019."""
    named = named_hazards(subject.powders)
    if named and not (subject.laboratory.fume_hood or subject.laboratory.glovebox):
        return [f"{', '.join(named)} weighed without a fume hood"]
    return []
