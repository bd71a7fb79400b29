"""Furnace programme: temperature, atmosphere, vessel, ramps, and how much of a volatile ion to add.

The firing temperature follows an extended Tamman rule: it grows with the stability of the precursors (their melting or
decomposition points), as H. Huo et al. found over thousands of published syntheses (Chem. Mater. 2022,
arXiv:2204.08151), while the thermodynamics of the reaction says little. Our coefficients are a least-squares fit to the
usual temperatures of 40 oxide and polyanion electrodes, made from the precursors that `data.synthesis.route` picks (in
``tests/unit/robotics/test_firing.py``); left out one at a time, they are met within 92 C root mean square. Hence the
stated +-100 C. (The 40 temperatures were typed from memory of the literature.) Dwell times reflect habit more than
chemistry (same source): they are conventions.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.lab import Atmosphere, FurnaceStep, Vessel
from data.synthesis.reaction import Reaction
from data.synthesis.route import needs_reduction

FURNACE_MAX_C = 1100.0
"""Usual limit of a box furnace with an alumina tube (A-Lab's, doi:10.1039/D4DD00129J)."""

MARGIN_C = 50.0
TEMPERATURE_SIGMA_C = 100.0

TAMMAN_OFFSET_C = 625.0
TAMMAN_SLOPE = 0.16
FLUORIDE_SHIFT_C = -100.0
"""T = 625 C + 0.16 * mean(stable_C) of the precursors, less 100 C where a fluoride acts as flux."""

OXYGEN_FREE_C = {"S": 700.0, "N": 700.0, "F": 600.0, "Cl": 500.0}
"""Conventions for compounds without oxygen: sulfides and nitrides, fluorides, chlorides."""

DECOMPOSITION_C = 350.0
DECOMPOSITION_H = 6.0
FIRING_H = 12.0
SLOW_RAMP_C_PER_MIN = 2.0
RAMP_C_PER_MIN = 5.0
SULFUR_STEP_C = 450.0
"""Near the boiling point of sulfur (445 C): it has to react away before the ampoule goes on heating."""


@dataclass(frozen=True)
class Firing:
    """What the furnace does, and why.

    Attributes:
        reaction: the reaction with the furnace gas in it.
        excess: extra fraction of the volatile ion's own precursors (Li, Na, K).
    """

    reaction: Reaction
    temperature_C: float
    atmosphere: Atmosphere
    atmosphere_reason: str
    vessel: Vessel
    furnace: tuple[FurnaceStep, ...]
    excess: float


def plan_firing(reaction: Reaction, max_temperature_C: float = FURNACE_MAX_C - MARGIN_C) -> Firing:
    """Furnace programme of a reaction, capped at `max_temperature_C`."""
    temperature_C = firing_temperature_C(reaction, max_temperature_C)
    atmosphere, reason = choose_atmosphere(reaction)
    if atmosphere == "argon/hydrogen 95/5":
        reaction = reaction.reduced_by_hydrogen()
    vessel = choose_vessel(reaction)
    furnace = furnace_steps(reaction, temperature_C, vessel)
    excess = 0.0 if vessel == "sealed silica ampoule" else volatile_excess(temperature_C)
    return Firing(reaction, temperature_C, atmosphere, reason, vessel, furnace, excess)


def firing_temperature_C(reaction: Reaction, max_temperature_C: float = FURNACE_MAX_C - MARGIN_C) -> float:
    """Firing temperature by the extended Tamman rule, rounded to 10 C; good to +-100 C.

    Capped by the furnace and, 50 C below, by the decomposition of an anion that the target has to keep (sulfates).
    """
    precursors = [p for p, _ in reaction.terms]
    if "O" in reaction.product:
        mean_C = sum(p.stable_C for p in precursors) / len(precursors)
        wanted_C = TAMMAN_OFFSET_C + TAMMAN_SLOPE * mean_C + FLUORIDE_SHIFT_C * ("F" in reaction.product)
    else:
        wanted_C = min(T for anion, T in OXYGEN_FREE_C.items() if anion in reaction.product)
    limits = [p.keep_below_C - MARGIN_C for p in precursors if p.keep_below_C is not None]
    return float(10 * round(min([wanted_C, max_temperature_C, *limits]) / 10))


def choose_atmosphere(reaction: Reaction) -> tuple[Atmosphere, str]:
    """Furnace gas from the oxygen balance, and the reason in a sentence."""
    uptake = reaction.oxygen_uptake
    if "O" not in reaction.product:
        if "N" in reaction.product:
            return "nitrogen", "a nitride is made: nitrogen takes part, and air or moisture would burn it"
        return "argon", "the compound holds no oxygen: air or moisture would oxidise or hydrolyse it"
    if needs_reduction(reaction):
        return "argon/hydrogen 95/5", f"{float(-uptake):.4g} mol O2 per mole have to be reduced away"
    if uptake > 0 and ("Ni" in reaction.product or reaction.product.keys() & {"F", "Cl"}):
        nickel = "Ni" in reaction.product
        why = "Ni above 2+ loses oxygen in hot air" if nickel else "moist air would hydrolyse the halide"
        return "oxygen", f"{float(uptake):.4g} mol O2 per mole are taken up, and {why}"
    if uptake > 0:
        return "air", f"{float(uptake):.4g} mol O2 per mole are taken up"
    if uptake >= reaction.air_uptake and not any("air" in p.sensitive for p, _ in reaction.terms):
        if uptake < 0:
            return "air", f"{float(-uptake):.4g} mol O2 per mole leave by themselves from a precursor in hot air"
        return "air", "no O2 is exchanged, and no precursor oxidises further in air"
    return "argon", "no O2 is exchanged, and air would oxidise the precursors further"


def choose_vessel(reaction: Reaction) -> Vessel:
    """What the powder is fired in: sulfur must not escape, molten fluorides dissolve alumina."""
    if "O" in reaction.product or "N" in reaction.product:
        return "alumina crucible"
    return "sealed silica ampoule" if "S" in reaction.product else "nickel crucible"


def volatile_excess(temperature_C: float) -> float:
    """Extra fraction of Li, Na or K against evaporation: 0 below 500 C, 2 % to 700 C, 5 % to 900 C, 10 % above.

    A convention within the usual 2 to 10 %.
    """
    for limit_C, excess in ((500.0, 0.0), (700.0, 0.02), (900.0, 0.05)):
        if temperature_C < limit_C:
            return excess
    return 0.10


def furnace_steps(reaction: Reaction, temperature_C: float, vessel: Vessel) -> tuple[FurnaceStep, ...]:
    """Slow ramp and dwell where gases leave (or sulfur reacts), then firing, then cooling in the furnace."""
    cooling = FurnaceStep(temperature_C=25, ramp_C_per_min=RAMP_C_PER_MIN, dwell_h=0, note="cool in the furnace gas")
    if vessel == "sealed silica ampoule":
        return (
            FurnaceStep(
                temperature_C=SULFUR_STEP_C, ramp_C_per_min=1.0, dwell_h=FIRING_H, note="sulfur reacts; do not hurry"
            ),
            FurnaceStep(temperature_C=temperature_C, ramp_C_per_min=1.0, dwell_h=2 * FIRING_H, note="firing"),
            cooling,
        )
    firing = FurnaceStep(
        temperature_C=temperature_C, ramp_C_per_min=RAMP_C_PER_MIN, dwell_h=FIRING_H, note="firing, pressed to a pellet"
    )
    given_off = sorted({gas for precursor, _ in reaction.terms for gas in precursor.gas})
    if not given_off:
        return (firing, cooling)
    first = FurnaceStep(
        temperature_C=min(DECOMPOSITION_C, temperature_C - MARGIN_C),
        ramp_C_per_min=SLOW_RAMP_C_PER_MIN,
        dwell_h=DECOMPOSITION_H,
        note=f"{', '.join(given_off)} leave; regrind afterwards",
    )
    return (first, firing, cooling)
