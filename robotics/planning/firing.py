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

from collections.abc import Iterable

from redoxa.data.lab.recipe import Firing, FurnaceStep, Pressing, Vessel
from redoxa.data.synthesis.catalogue import CataloguePrecursor
from redoxa.data.synthesis.formula import Amounts
from redoxa.data.synthesis.reaction import Reaction

MARGIN_C = 50.0
TEMPERATURE_SIGMA_C = 100.0

VOLATILE = frozenset({"Li", "Na", "K"})
"""What evaporates from a hot crucible."""

TAMMAN_OFFSET_C = 625.0
TAMMAN_SLOPE = 0.16
FLUORIDE_SHIFT_C = -100.0
"""T = 625 C + 0.16 * mean(stable_C) of the precursors, less 100 C where a fluoride acts as flux."""

OXYGEN_FREE_C = {
    "S": 700.0, "Se": 600.0, "Te": 600.0, "N": 700.0, "P": 700.0, "F": 600.0, "Cl": 500.0, "Br": 450.0, "I": 400.0,
}  # fmt: skip
OTHER_C = 600.0
"""Conventions for compounds without oxygen."""

DECOMPOSITION_C = 350.0
DECOMPOSITION_H = 6.0
FIRING_H = 12.0
SLOW_RAMP_C_PER_MIN = 2.0
RAMP_C_PER_MIN = 5.0
PRESSING = Pressing(die_mm=13, load_kN=20)
"""150 MPa, what an ordinary hand press gives."""
SULFUR_STEP_C = 450.0
"""Near the boiling point of sulfur (445 C): it has to react away before the ampoule goes on heating."""


def firing_temperature_C(reaction: Reaction, max_temperature_C: float) -> float:
    """Firing temperature by the extended Tamman rule, rounded to 10 C; good to +-100 C.

    Capped by the furnace and, 50 C below, by the decomposition of an anion that the target has to keep (sulfates).
    """
    precursors = [p for p, _ in reaction.terms]
    wanted_C = wanted_temperature_C(precursors, reaction.product)
    limits = [p.keep_below_C - MARGIN_C for p in precursors if p.keep_below_C is not None]
    return float(10 * round(min([wanted_C, max_temperature_C, *limits]) / 10))


def wanted_temperature_C(precursors: Iterable[CataloguePrecursor], product: Amounts) -> float:
    """What the rule asks for, whatever furnace and anions stand."""
    if "O" in product:
        stable = [p.stable_C for p in precursors]
        return TAMMAN_OFFSET_C + TAMMAN_SLOPE * sum(stable) / len(stable) + FLUORIDE_SHIFT_C * ("F" in product)
    return min((T for anion, T in OXYGEN_FREE_C.items() if anion in product), default=OTHER_C)


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


def plan_firings(reaction: Reaction, temperature_C: float, vessel: Vessel) -> tuple[Firing, ...]:
    """Grinding, pressing and furnace programmes, each from cold to cold.

    Where gases leave, a first firing of the loose powder lets them go slowly; then the powder is ground again, pressed
    and fired. Ampoules wait at the boiling point of sulfur.
    """
    cooling = FurnaceStep(temperature_C=25, ramp_C_per_min=RAMP_C_PER_MIN, dwell_h=0, purpose="cool in the furnace gas")
    if vessel == "sealed silica ampoule":
        warm = FurnaceStep(
            temperature_C=SULFUR_STEP_C, ramp_C_per_min=1.0, dwell_h=FIRING_H, purpose="let sulfur react away"
        )
        fire = FurnaceStep(temperature_C=temperature_C, ramp_C_per_min=1.0, dwell_h=2 * FIRING_H)
        return (Firing(pressing=PRESSING, steps=(warm, fire, cooling)),)
    fire = FurnaceStep(temperature_C=temperature_C, ramp_C_per_min=RAMP_C_PER_MIN, dwell_h=FIRING_H)
    last = Firing(pressing=PRESSING, steps=(fire, cooling))
    if not any(precursor.gas for precursor, _ in reaction.terms):
        return (last,)
    first = FurnaceStep(
        temperature_C=min(DECOMPOSITION_C, temperature_C - MARGIN_C),
        ramp_C_per_min=SLOW_RAMP_C_PER_MIN,
        dwell_h=DECOMPOSITION_H,
        purpose="let gases leave",
    )
    return (Firing(steps=(first, cooling)), last)
