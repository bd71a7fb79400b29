"""Which gas a reaction is fired in, from what its powders and its product do in hot air."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Final

from redoxa.data.chemistry import REDOX_WINDOW
from redoxa.data.lab.recipe import Atmosphere, AtmosphereReason
from redoxa.data.synthesis.formula import Amounts
from redoxa.data.synthesis.reaction import Reaction

FIXED_STATES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("Li", "Na", "K", "Rb", "Cs"), 1),
    **dict.fromkeys(("Mg", "Ca", "Sr", "Ba", "Zn"), 2),
    **dict.fromkeys(("B", "Al", "Ga", "In", "Sc", "Y", "La", "Nd", "Sm"), 3),
    **dict.fromkeys(("Si", "Ge", "Zr", "Hf"), 4),
    "P": 5, "S": 6,
    "O": -2, "F": -1, "Cl": -1, "Br": -1, "I": -1,
}  # fmt: skip

AIR_STATES: Final[Mapping[str, float]] = {
    "Ti": 4, "V": 5, "Cr": 3, "Mn": 3, "Fe": 3, "Co": 8 / 3, "Ni": 2, "Cu": 2, "Nb": 5, "Mo": 6, "Ru": 4, "Ag": 1,
    "Sn": 4, "Sb": 3, "Ce": 4, "Ta": 5, "W": 6, "Re": 7, "Ir": 4, "Bi": 3,
}  # fmt: skip
"""State in an oxide below which hot air (600 to 900 C) oxidises a metal further: that of its oxide in air."""

WITH_ALKALI: Final[Mapping[str, tuple[tuple[float, float], ...]]] = {
    "Li": ((0.0, 3.0), (0.5, 3.5), (2.0, 4.0)),
    "Na": ((0.0, 3.0), (1.0, 3.0), (2.0, 4.0)),
    "K": ((0.0, 3.0), (1.0, 3.0), (2.0, 4.0)),
}
"""Of manganese, whose state in air follows the alkali beside it: (alkali atoms by redox atom, state).

With lithium these are Mn2O3, LiMn2O4 and Li2MnO3 (J. M. Paulsen, J. R. Dahn, Chem. Mater. 11, 3065, 1999), so that
LiMnO2 goes over into them in air, while NaMnO2 is made in it.
"""

CHROMATE: Final = 6.0
"""Chromium with an alkali oxide goes to chromate(VI) in air."""

OXOANIONS: Final = frozenset({"P", "S", "Si", "B"})
IN_OXOANIONS: Final[Mapping[str, float]] = {"Mn": 2, "Co": 2}
"""States that a phosphate, sulfate, silicate or borate keeps in hot air."""

TOLERANCE: Final = 0.02


def would_oxidise(product: Amounts) -> bool:
    """Whether hot air would oxidise an oxide further, by the charge that its anions leave to its redox metals.

    False where a state is not known, or there is nothing to oxidise.
    """
    redox = {e: n for e, n in product.items() if e in AIR_STATES}
    others = product.keys() - redox.keys()
    if "O" not in product or not redox or not others <= FIXED_STATES.keys():
        return False
    charge = -float(sum(n * FIXED_STATES[e] for e, n in product.items() if e in others))
    in_air = sum(float(n) * _air_state(e, product) for e, n in redox.items())
    return charge < in_air - TOLERANCE * float(sum(redox.values()))


def _air_state(metal: str, product: Amounts) -> float:
    if product.keys() & OXOANIONS and metal in IN_OXOANIONS:
        return IN_OXOANIONS[metal]
    alkali = next((e for e in WITH_ALKALI if e in product), None)
    if alkali is None or product.keys() & OXOANIONS:
        return AIR_STATES[metal]
    if metal == "Cr":
        return CHROMATE
    if metal != "Mn":
        return AIR_STATES[metal]
    redox = sum(n for e, n in product.items() if e in AIR_STATES)
    points = WITH_ALKALI[alkali]
    share = float(product[alkali] / redox)
    for (x0, y0), (x1, y1) in pairwise(points):
        if share <= x1:
            return y0 + (y1 - y0) * (share - x0) / (x1 - x0)
    return points[-1][1]


def needs_reduction(reaction: Reaction) -> bool:
    """Whether more O2 must leave than the precursors lose in hot air by themselves."""
    return reaction.oxygen_uptake < min(Fraction(0), reaction.air_uptake)


def is_controllable(reaction: Reaction) -> bool:
    """False where O2 would have to be metered.

    That is a partial oxidation (air would carry the precursors or the product past the target's oxidation state), any
    exchange of O2 beside a sulfide, a nitride or another powder that air spoils, and a reduction of nitrates.
    """
    powders = [p for p, _ in reaction.terms]
    uptake = reaction.oxygen_uptake
    if uptake and any(p.is_oxygen_free_anion or "air" in p.sensitive for p in powders):
        return False
    if needs_reduction(reaction) and any("oxidiser" in p.hazards for p in powders):
        return False
    if uptake > 0 and would_oxidise(reaction.product):
        return False
    return not 0 < uptake < reaction.air_uptake


def choose_atmosphere(reaction: Reaction) -> tuple[Atmosphere, AtmosphereReason]:
    """Furnace gas from the oxygen balance, and the reason in a sentence."""
    product, uptake = reaction.product, reaction.oxygen_uptake
    if "O" not in product:
        if "N" in product:
            return "nitrogen", "a nitride is made: nitrogen takes part, and air or moisture would burn it"
        return "argon", "the compound holds no oxygen: air or moisture would oxidise or hydrolyse it"
    if needs_reduction(reaction):
        return "argon/hydrogen 95/5", "oxygen has to be reduced away"
    if uptake > 0 and "Ni" in product:
        return "oxygen", "oxygen is taken up, and nickel above 2+ loses it in hot air"
    if uptake > 0 and product.keys() & {"F", "Cl"}:
        return "oxygen", "oxygen is taken up, and moist air would hydrolyse the halide"
    if uptake > 0:
        return "air", "oxygen is taken up"
    if would_oxidise(product):
        return "argon", "no oxygen is exchanged, and air would oxidise the product further"
    if uptake < reaction.air_uptake or any("air" in p.sensitive for p, _ in reaction.terms):
        return "argon", "no oxygen is exchanged, and air would oxidise the precursors further"
    if uptake < 0:
        return "air", "oxygen leaves by itself from a precursor in hot air"
    return "air", "no oxygen is exchanged, and nothing oxidises further in air"


def redox_atoms(product: Amounts) -> float:
    """Atoms that can change their state, by formula unit; at least 1."""
    return max(1.0, float(sum(n for e, n in product.items() if e in REDOX_WINDOW)))
