"""Currents in mA: what a cycler resolves, and what loading and cut-offs follow from it.

A current is set and read to a fraction of the full scale of its range, so a small current on a large range is noise:
8 uA on a range of 10 mA that resolves 10 uA is nothing at all. The whole protocol of a cell runs on one range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from redoxa.data.errors import RecipeError
from redoxa.data.lab.laboratory import Cycler
from redoxa.data.lab.recipe import ConstantCurrent, Cycling, CyclingStep, Electrode, Rest

LEAST_STEPS = 10
"""A current is at least this many times what its range resolves: known to a tenth."""

STATED_WITHIN = 0.01
"""Roundings of currents, relative."""

LOADING_STEP_MG_CM2 = 0.1
"""Loadings are rounded up to this."""


@dataclass(frozen=True)
class Rates:
    """What a protocol asks of a cycler, in multiples of C.

    Attributes:
        largest_C: of all currents.
        smallest_C: of all currents but the ends of holds.
        most_cut_off_C: to which the ends of holds may be raised at most.
    """

    largest_C: float
    smallest_C: float
    most_cut_off_C: float


@dataclass(frozen=True)
class Currents:
    """A range of a cycler, with the loading at which it serves a protocol.

    Attributes:
        cycler: its name.
        range_mA: full scale.
        least_mA: smallest current that this range gives well enough.
        active_loading_mg_cm2: of the electrode.
        one_C_mA: current of one cell at 1 C.
        note: what had to be changed for the cycler's sake; empty where nothing was.
    """

    cycler: str
    range_mA: float
    least_mA: float
    active_loading_mg_cm2: float
    one_C_mA: float
    note: str = ""

    def cut_off_C(self, wanted_C: float) -> float:
        """The rate at which a hold ends: as wanted, or the smallest that the cycler resolves."""
        least_C = self.least_mA / self.one_C_mA
        return wanted_C if wanted_C >= least_C else math.ceil(1e4 * least_C - 1e-6) / 1e4


def one_C_mA(electrode: Electrode, capacity_mAh_g: float) -> float:
    """Current that moves the nominal capacity of one cell in an hour."""
    return electrode.active_mass_mg / 1000 * capacity_mAh_g


def plan_currents(
    electrode: Electrode, capacity_mAh_g: float, rates: Rates, cyclers: Sequence[Cycler], max_loading_mg_cm2: float
) -> Currents:
    """The smallest range that holds the largest current and resolves the smallest; a heavier electrode where none does.

    Args:
        electrode: with the loading that is wanted.
        capacity_mAh_g: nominal, by active mass.
        rates: of the protocol.
        cyclers: that can be used, the preferred first.
        max_loading_mg_cm2: that the laboratory casts.

    Raises:
        RecipeError: no range of any cycler does.
    """
    by_loading_mA = electrode.disc_area_cm2 / 1000 * capacity_mAh_g
    wanted = electrode.active_loading_mg_cm2
    for cycler in cyclers:
        for range_mA in sorted(cycler.ranges_mA):
            least_mA = LEAST_STEPS * cycler.resolution * range_mA
            needed = least_mA / by_loading_mA / min(rates.smallest_C, rates.most_cut_off_C)
            loading = wanted if needed <= wanted else _rounded_up(needed)
            if loading > max_loading_mg_cm2 or rates.largest_C * loading * by_loading_mA > range_mA:
                continue
            note = "" if loading == wanted else _heavier(loading, wanted, least_mA, range_mA)
            return Currents(cycler.name, range_mA, least_mA, loading, loading * by_loading_mA, note)
    raise RecipeError(_no_range(wanted * by_loading_mA, rates, cyclers, max_loading_mg_cm2))


def currents_mA(steps: Sequence[CyclingStep], one_C_mA: float) -> list[float]:
    """Current of each step, or the one at which it ends, without sign; nothing of rests."""
    moving = [step for step in steps if not isinstance(step, Rest)]
    return [abs(s.rate_C if isinstance(s, ConstantCurrent) else s.until_rate_C) * one_C_mA for s in moving]


def current_problems(electrode: Electrode, cycling: Cycling, cyclers: Sequence[Cycler]) -> list[str]:
    """What the cyclers of a laboratory cannot do of a protocol; empty when one can do it all.

    Args:
        electrode: of the cells.
        cycling: with its range and the cycler it is meant for, where one is named.
        cyclers: that the laboratory has.
    """
    own_mA = one_C_mA(electrode, cycling.nominal_capacity_mAh_g)
    problems = []
    if abs(cycling.one_C_mA - own_mA) > STATED_WITHIN * own_mA:
        problems.append(f"1 C is stated as {cycling.one_C_mA:.4g} mA and is {own_mA:.4g} mA by mass and capacity")
    able = [c for c in cyclers if _has_range(cycling, c)]
    if not able:
        named = f"cycler '{cycling.cycler}'" if cycling.cycler else "cycler"
        return [*problems, f"there is no {named} with a range of {cycling.range_mA:g} mA here"]
    if not any(suits(cycling, c) for c in able):
        problems.append(f"{cycling.min_voltage_V:g} to {cycling.max_voltage_V:g} V is more than the cycler reaches")
    currents = currents_mA((*cycling.formation, *cycling.steps), own_mA) or [cycling.range_mA]
    least_mA = LEAST_STEPS * cycling.range_mA * min(c.resolution for c in able)
    if max(currents) > cycling.range_mA:
        problems.append(f"{max(currents):.4g} mA on a range of {cycling.range_mA:g} mA")
    if min(currents) < least_mA * (1 - STATED_WITHIN):
        problems.append(f"{min(currents):.4g} mA where {least_mA:.4g} mA is the least that the range gives well enough")
    return problems


def suits(cycling: Cycling, cycler: Cycler) -> bool:
    """Whether a cycler is the one that is named, or none is, and has the range and the voltages of a protocol."""
    reaches = cycler.min_V <= cycling.min_voltage_V and cycling.max_voltage_V <= cycler.max_V
    return reaches and _has_range(cycling, cycler)


def _has_range(cycling: Cycling, cycler: Cycler) -> bool:
    return cycling.cycler in ("", cycler.name) and cycling.range_mA in cycler.ranges_mA


def _rounded_up(loading_mg_cm2: float) -> float:
    return round(math.ceil(loading_mg_cm2 / LOADING_STEP_MG_CM2 - 1e-9) * LOADING_STEP_MG_CM2, 6)


def _heavier(loading: float, wanted: float, least_mA: float, range_mA: float) -> str:
    return (
        f"loading raised from {wanted:g} to {loading:g} mg/cm2, so that no current lies below "
        f"{1000 * least_mA:.3g} uA, the least on the range of {range_mA:g} mA"
    )


def _no_range(one_C_mA: float, rates: Rates, cyclers: Sequence[Cycler], max_loading_mg_cm2: float) -> str:
    ranges = "; ".join(
        f"{c.name}: {', '.join(f'{r:g}' for r in sorted(c.ranges_mA))} mA to {100 * c.resolution:g} %" for c in cyclers
    )
    return (
        f"currents of {1000 * rates.smallest_C * one_C_mA:.3g} to {1000 * rates.largest_C * one_C_mA:.3g} uA per cell "
        f"fit no range of the cyclers ({ranges}), also with up to {max_loading_mg_cm2:g} mg/cm2: a finer range, or "
        f"another disc, is needed"
    )
