"""Safety rules about substances: elements, precursors, gases, vessel."""

from __future__ import annotations

from redoxa.data.lab.recipe import Precursor
from redoxa.data.synthesis.catalogue import CataloguePrecursor
from redoxa.data.synthesis.formula import molar_mass_g_mol, same_compound
from redoxa.robotics.safety.reactions import SAFE_HEAT_J_G, burning_heat_J_g, gases_mol
from redoxa.robotics.safety.subject import BURNING, Subject

RADIOACTIVE = frozenset({43, 61, *range(84, 119)})
TOXIC = frozenset({"Be", "As", "Cd", "Hg", "Tl", "Pb", "Os"})

HARMLESS_GASES = frozenset({"CO2", "H2O", "O2", "N2"})
TOXIC_GASES = frozenset({"CO", "NH3", "NO2", "RuO4"})
"""Allowed into an exhaust."""
ACID_GASES = frozenset({"HF", "HCl", "HBr", "HI", "BF3", "SiF4", "POF3", "SO2", "SO3", "H2S"})
"""Allowed into an exhaust with a scrubber. Any gas on none of the lists is refused."""

FURNACE_GASES = {"O2": BURNING, "N2": frozenset({"nitrogen"}), "H2": frozenset({"argon/hydrogen 95/5"})}
"""Gases that a reaction may take up, and the furnace gases that bring them."""

BURNING_PAIRS = {"oxidiser": {"fuel", "metal_fuel", "flammable", "H2S"}, "metal_oxidiser": {"metal_fuel"}}
"""What must not be mixed with what, by hazard and in any amount; weaker pairs are judged by their heat."""

VESSEL_LIMIT_C = {"alumina crucible": 1600.0, "nickel crucible": 1000.0, "sealed silica ampoule": 1050.0}
"""Nickel melts at 1455 C and creeps long before; silica softens and crystallises above 1100 C, alumina above 1700 C."""

ALKALI = frozenset({"Li", "Na", "K", "Rb", "Cs"})
ANIONS = frozenset({"O", "S", "Se", "F", "Cl", "Br", "I", "N"})
MOST_ALKALI = 0.75
"""Share of the cations above which an alkali compound is taken to eat alumina (Li5FeO4, Li6CoO4); Li3PO4 is not."""

MASS_TOLERANCE = 0.005
STOICHIOMETRY_TOLERANCE = 0.02
MAX_EXCESS = 0.2
LEAST_PURITY = 0.9
MAX_CARBON = 0.1
"""Of the target's mass."""
CARBON_G_MOL = 12.011


def radioactive(subject: Subject) -> list[str]:
    """S001."""
    from ase.data import atomic_numbers

    return [
        f"radioactive {e} in {place}"
        for place, elements in subject.elements_by_place.items()
        for e in sorted(elements)
        if atomic_numbers[e] in RADIOACTIVE
    ]


def toxic(subject: Subject) -> list[str]:
    """S002."""
    return [
        f"highly toxic {e} in {place}"
        for place, elements in subject.elements_by_place.items()
        for e in sorted(elements & TOXIC)
    ]


def oxidiser_with_fuel(subject: Subject) -> list[str]:
    """S003."""
    problems = _cannot_judge(subject)
    for oxidiser, burnt in BURNING_PAIRS.items():
        giving = [p.formula for p, _ in subject.powders if oxidiser in p.hazards]
        burning = [p.formula for p, _ in subject.powders if burnt & set(p.hazards) and p.formula not in giving]
        if giving and burning:
            problems.append(f"{', '.join(giving)} with {', '.join(burning)} may deflagrate")
    oxides = [p.formula for p, _ in subject.powders if "O" in p.amounts]
    metals = [p.formula for p, _ in subject.powders if "metal_fuel" in p.hazards]
    if metals and oxides:
        problems.append(f"{', '.join(metals)} with {', '.join(oxides)}: a thermite")
    heat_J_g, givers, fuels = burning_heat_J_g(subject.powders)
    if heat_J_g > SAFE_HEAT_J_G:
        problems.append(
            f"{', '.join(givers)} with {', '.join(fuels)} may set {heat_J_g:.0f} J/g free, limit {SAFE_HEAT_J_G:g} J/g"
        )
    limit_g = subject.laboratory.max_metal_powder_g
    metal_g = sum(n * p.molar_mass_g_mol for p, n in subject.powders if "metal_fuel" in p.hazards)
    if metal_g > limit_g:
        problems.append(f"{metal_g:.2f} g of metal powder, limit {limit_g:g} g")
    return problems


def gas_amount(subject: Subject) -> list[str]:
    """S004."""
    problems = _cannot_judge(subject)
    total = sum(gases_mol(subject).values())
    if total > subject.furnace.max_gas_mol:
        problems.append(f"{total:.3f} mol of gas from one vessel, limit {subject.furnace.max_gas_mol:g} mol")
    return problems


def air_sensitive(subject: Subject) -> list[str]:
    """S005."""
    problems = _cannot_judge(subject)
    synthesis = subject.synthesis
    sensitive = [p.formula for p, _ in subject.powders if p.sensitive]
    if subject.target is not None and "O" not in subject.target:
        sensitive.append(synthesis.target_formula)
    if not sensitive:
        return problems
    names = ", ".join(sensitive)
    if synthesis.handling != "glovebox":
        problems.append(f"{names} handled in air")
    elif not subject.laboratory.glovebox:
        problems.append(f"{names} needs a glovebox, and there is none")
    burns = [p.formula for p, _ in subject.powders if "air" in p.sensitive]
    if burns and synthesis.atmosphere in BURNING:
        problems.append(f"{', '.join(burns)} fired in {synthesis.atmosphere}")
    return problems


def known_precursors(subject: Subject) -> list[str]:
    """S010."""
    problems = [f"{formula} is not in the catalogue" for formula in subject.unknown]
    if not subject.synthesis.precursors:
        problems.append("no precursors are listed")
    names = {p.formula: p.name for p, _ in subject.powders}
    problems += [
        f"{p.formula} is called '{p.name}', and is {names[p.formula]}"
        for p in subject.synthesis.precursors
        if p.name != names.get(p.formula, p.name)
    ]
    problems += [
        f"{p.formula} of {p.purity:.0%} purity: the rest is unknown, at least {LEAST_PURITY:.0%} are wanted"
        for p in subject.synthesis.precursors
        if p.purity < LEAST_PURITY
    ]
    own = [p.formula for p, _ in subject.powders if subject.target and same_compound(p.amounts, subject.target)]
    problems += [f"{formula} is the target itself: it can be bought" for formula in own]
    return problems


def toxic_gas(subject: Subject) -> list[str]:
    """S011."""
    problems = _cannot_judge(subject)
    declared = {gas for gas, n in subject.synthesis.byproducts.items() if n > 0}
    moles = gases_mol(subject)
    gases = declared | moles.keys()
    problems += [f"{gas} is not an assessed gas" for gas in sorted(gases - HARMLESS_GASES - TOXIC_GASES - ACID_GASES)]
    furnace = subject.furnace
    for kinds, needed, is_there, limit_mol in (
        (TOXIC_GASES, "an exhaust", furnace.exhaust, furnace.max_toxic_gas_mol),
        (ACID_GASES, "a scrubber", furnace.exhaust and furnace.scrubber, furnace.max_acid_gas_mol),
    ):
        found = sorted(gases & kinds)
        amount = sum(moles.get(gas, 0.0) for gas in found)
        if found and not is_there:
            problems.append(f"{', '.join(found)} may be set free, without {needed}")
        if amount > limit_mol:
            problems.append(f"{amount:.3f} mol of {', '.join(found)}, limit {limit_mol:g} mol")
    return problems


def furnace_gas(subject: Subject) -> list[str]:
    """S012."""
    problems = _cannot_judge(subject)
    synthesis = subject.synthesis
    if synthesis.atmosphere not in subject.furnace.atmospheres:
        problems.append(f"{synthesis.atmosphere} is not available")
    fuels = {"metal_fuel", "flammable", "H2S"}
    burning = [p.formula for p, _ in subject.powders if fuels & set(p.hazards) or p.reductant]
    if burning and synthesis.atmosphere in BURNING:
        problems.append(f"{', '.join(burning)} would burn in {synthesis.atmosphere}")
    oxidising = [p.formula for p, _ in subject.powders if "oxidiser" in p.hazards]
    if oxidising and "hydrogen" in synthesis.atmosphere:
        problems.append(f"{', '.join(oxidising)} in hydrogen")
    for gas in (gas for gas, n in synthesis.byproducts.items() if n < 0):
        if synthesis.atmosphere not in FURNACE_GASES.get(gas, frozenset()):
            problems.append(f"{gas} is to be taken up, which {synthesis.atmosphere} does not bring")
    return problems


def vessel(subject: Subject) -> list[str]:  # noqa: C901  (one rule read as one: each branch is a vessel and what eats it)
    """S013."""
    problems = _cannot_judge(subject)
    synthesis, target = subject.synthesis, subject.target or {}
    if synthesis.vessel not in subject.furnace.vessels:
        problems.append(f"{synthesis.vessel} is not available")
    hottest_C = synthesis.hottest_C
    if hottest_C > VESSEL_LIMIT_C[synthesis.vessel]:
        problems.append(f"{hottest_C:g} C in a {synthesis.vessel}, which stands {VESSEL_LIMIT_C[synthesis.vessel]:g} C")
    if synthesis.vessel == "alumina crucible":
        problems += [f"{formula} eats alumina" for formula in _eating_alumina(subject)]
    gases = {gas: n for gas, n in gases_mol(subject).items() if n > 1e-6}
    sulfide = "S" in target and "O" not in target
    if synthesis.vessel == "sealed silica ampoule":
        if gases:
            problems.append(f"{', '.join(sorted(gases))} set free in a sealed ampoule")
        if "hydrogen" in synthesis.atmosphere:
            problems.append("hydrogen in a sealed ampoule")
        if fluorides := [p.formula for p, _ in subject.powders if "F" in p.amounts]:
            problems.append(f"{', '.join(fluorides)} in silica, which fluorides eat")
        sulfur = sum(n for p, n in subject.powders if p.formula == "S")
        if sulfur > subject.laboratory.max_sulfur_mol:
            problems.append(f"{sulfur:.3f} mol of free sulfur, limit {subject.laboratory.max_sulfur_mol:g} mol")
    elif sulfide:
        problems.append(f"a sulfide in a {synthesis.vessel}: sulfur escapes")
    if synthesis.vessel == "alumina crucible" and target.keys() & {"F", "Cl"} and not target.keys() & {"O", "N"}:
        problems.append("a molten halide in alumina")
    if synthesis.vessel == "nickel crucible":
        eating = [p.formula for p, _ in subject.powders if "S" in p.amounts and "O" not in p.amounts]
        problems += [f"{formula} in nickel, which sulfur eats" for formula in eating]
    if synthesis.vessel == "nickel crucible" and synthesis.atmosphere in BURNING:
        problems.append(f"nickel burns through in {synthesis.atmosphere}")
    return problems


def _eating_alumina(subject: Subject) -> list[str]:
    """Nitrides, and compounds of much more alkali than other cations, which melt or creep into it."""
    target, name = subject.target or {}, subject.synthesis.target_formula
    named = {name: target, **{p.formula: p.solid for p, _ in subject.powders}}
    found = [formula for formula, atoms in named.items() if "N" in atoms and "O" not in atoms]
    cations = sum(n for e, n in target.items() if e not in ANIONS)
    alkali = sum(n for e, n in target.items() if e in ALKALI)
    if name not in found and alkali > MOST_ALKALI * cations:
        found.append(name)
    return found


def bookkeeping(subject: Subject) -> list[str]:
    """S014: moles against masses, and powders against the target, element by element."""
    problems = _cannot_judge(subject)
    synthesis = subject.synthesis
    if subject.target is None:
        return [*problems, f"'{synthesis.target_formula}' is not a formula"]
    total: dict[str, float] = {}
    catalogue = {p.formula: p for p, _ in subject.powders}
    for weighed in synthesis.precursors:
        known = catalogue.get(weighed.formula)
        if known is None:
            continue
        expected_g = weighed.moles * molar_mass_g_mol(known.amounts) / weighed.purity
        if abs(expected_g - weighed.mass_g) > MASS_TOLERANCE * expected_g:
            problems.append(f"{weighed.formula}: {weighed.mass_g:g} g; {weighed.moles:g} mol are {expected_g:.4g} g")
        if weighed.excess_fraction > MAX_EXCESS:
            problems.append(f"{weighed.formula}: {weighed.excess_fraction:.0%} excess, limit {MAX_EXCESS:.0%}")
        if weighed.role == "carbon source":
            problems += _carbon_problems(subject, weighed, known)
            continue
        for element, n in known.solid.items():
            total[element] = total.get(element, 0.0) + float(n) * weighed.moles / (1 + weighed.excess_fraction)
    gas_phase = "O" if "O" in subject.target else "N"
    for element in sorted((total.keys() | subject.target.keys()) - {gas_phase}):
        wanted = float(subject.target.get(element, 0)) * subject.moles_target
        brought = total.get(element, 0.0)
        if abs(brought - wanted) > STOICHIOMETRY_TOLERANCE * max(wanted, 1e-9):
            problems.append(f"{brought * 1e3:.4g} mmol {element} are weighed in, the target holds {wanted * 1e3:.4g}")
    return problems


def _carbon_problems(subject: Subject, weighed: Precursor, known: CataloguePrecursor) -> list[str]:
    """A carbon source leaves carbon, a little of it, in a gas that does not burn it."""
    problems = [] if known.reductant else [f"{weighed.formula} is no carbon source"]
    carbon_g = float(known.solid.get("C", 0)) * weighed.moles * CARBON_G_MOL
    limit_g = MAX_CARBON * subject.synthesis.target_mass_g
    if carbon_g > limit_g:
        problems.append(f"{carbon_g:.3g} g of carbon from {weighed.formula}, limit {limit_g:.3g} g")
    return problems


def _cannot_judge(subject: Subject) -> list[str]:
    """Unknown powders make every rule about powders refuse: what cannot be judged is not allowed."""
    return [f"cannot be judged: {formula} is not in the catalogue" for formula in subject.unknown]
