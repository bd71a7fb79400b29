"""What a request needs and a laboratory has not got: furnace, gas, glove box, powders, cyclers.

The safety rules ask what is dangerous; this asks what is possible here. Drivers answer `check` with it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

from data.lab import ConstantCurrent, ConstantVoltage, ExperimentRequest, Recipe, Synthesis
from data.station import Cycler, Station
from robotics.cycling import all_steps

ROUNDING = 1 + 1e-9


def lacking(request: ExperimentRequest, station: Station) -> list[str]:
    """What stands in the way of a request in this laboratory, one sentence each; empty when nothing does."""
    synthesis = request.recipe.synthesis
    return [*_furnace(synthesis, station), *_stock(synthesis, station), *_cyclers(request.recipe, station)]


def cell_current_mA(recipe: Recipe, rate_C: float) -> float:
    """Current of one cell at a rate, in mA, with the whole loading as active mass."""
    area_cm2 = math.pi * (recipe.electrode.diameter_mm / 20) ** 2
    mass_g = recipe.electrode.loading_mg_cm2 * area_cm2 / 1000
    return abs(rate_C) * recipe.cycling.nominal_capacity_mAh_g * mass_g


def _furnace(synthesis: Synthesis, station: Station) -> Iterator[str]:
    furnace = station.by_name.get(synthesis.furnace_name or station.furnaces[0].name)
    if furnace is None:
        yield f"there is no furnace '{synthesis.furnace_name}', but {', '.join(sorted(station.by_name))}"
    else:
        hottest_C = synthesis.hottest_C
        if hottest_C > furnace.max_temperature_C:
            yield f"{furnace.name} reaches {furnace.max_temperature_C:g} C, {hottest_C:g} C are wanted"
        if synthesis.atmosphere not in furnace.atmospheres:
            yield f"{furnace.name} has no {synthesis.atmosphere}"
        if synthesis.vessel not in furnace.vessels:
            yield f"{furnace.name} takes no {synthesis.vessel}"
    if synthesis.handling == "glovebox" and not station.glovebox:
        yield "a glovebox is needed"


def _stock(synthesis: Synthesis, station: Station) -> Iterator[str]:
    """Powders that are not there, or not enough of them; an impure one takes more grams for the same compound."""
    if station.stock is None:
        return
    stock = {powder.formula: powder for powder in station.stock}
    pure_g: dict[str, float] = defaultdict(float)
    for precursor in synthesis.precursors:
        pure_g[precursor.formula] += precursor.mass_g * precursor.purity
    for formula, mass_g in pure_g.items():
        if formula not in stock:
            yield f"{formula} is not in stock"
            continue
        powder = stock[formula]
        needed_g = mass_g / powder.purity
        if needed_g > powder.amount_g * ROUNDING:
            quality = f" of {powder.purity:.4g} purity" if powder.purity < 1 else ""
            yield f"{needed_g:.4g} g of {formula}{quality} are needed, {powder.amount_g:g} g are in stock"


def _cyclers(recipe: Recipe, station: Station) -> Iterator[str]:
    """Nothing where one cycler can do it all, else what keeps each from it."""
    reasons = [list(_cycler(recipe, cycler)) for cycler in station.cyclers]
    if all(reasons):
        for found in reasons:
            yield from found


def _cycler(recipe: Recipe, cycler: Cycler) -> Iterator[str]:
    cycling = recipe.cycling
    if cycling.min_voltage_V < cycler.min_V or cycling.max_voltage_V > cycler.max_V:
        window = f"{cycling.min_voltage_V:g} to {cycling.max_voltage_V:g} V"
        yield f"{cycler.name} goes from {cycler.min_V:g} to {cycler.max_V:g} V, {window} are wanted"
    rates = [
        step.rate_C if isinstance(step, ConstantCurrent) else step.until_rate_C
        for _, step in all_steps(cycling)
        if isinstance(step, ConstantCurrent | ConstantVoltage)
    ]
    currents_mA = sorted(cell_current_mA(recipe, rate) for rate in rates)
    if not currents_mA:
        return
    if currents_mA[-1] > max(cycler.ranges_mA) * ROUNDING:
        yield f"{cycler.name} gives {max(cycler.ranges_mA):g} mA a channel, {currents_mA[-1]:.3g} mA are wanted"
    finest_mA = min(cycler.ranges_mA) * cycler.resolution
    if currents_mA[0] < finest_mA:
        yield f"{cycler.name} resolves {finest_mA:.2g} mA, {currents_mA[0]:.2g} mA are wanted"
