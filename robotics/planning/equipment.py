"""What a request needs and a laboratory has not got: furnace, gas, glove box, powders, cyclers.

The safety rules ask what is dangerous; this asks what is possible here. Drivers answer `check` with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.lab.recipe import Synthesis
from redoxa.data.lab.request import ExperimentRequest
from redoxa.robotics.cycling.currents import current_problems

ROUNDING = 1 + 1e-9


def lacking(request: ExperimentRequest, laboratory: Laboratory) -> list[str]:
    """What stands in the way of a request in this laboratory, one sentence each; empty when nothing does."""
    recipe = request.recipe
    currents = current_problems(recipe.electrode, recipe.cycling, laboratory.cyclers)
    return [*_furnace(recipe.synthesis, laboratory), *_stock(recipe.synthesis, laboratory), *currents]


def _furnace(synthesis: Synthesis, laboratory: Laboratory) -> Iterator[str]:
    furnace = laboratory.by_name.get(synthesis.furnace_name or laboratory.furnaces[0].name)
    if furnace is None:
        yield f"there is no furnace '{synthesis.furnace_name}', but {', '.join(sorted(laboratory.by_name))}"
    else:
        hottest_C = synthesis.hottest_C
        if hottest_C > furnace.max_temperature_C:
            yield f"{furnace.name} reaches {furnace.max_temperature_C:g} C, {hottest_C:g} C are wanted"
        if synthesis.atmosphere not in furnace.atmospheres:
            yield f"{furnace.name} has no {synthesis.atmosphere}"
        if synthesis.vessel not in furnace.vessels:
            yield f"{furnace.name} takes no {synthesis.vessel}"
    if synthesis.handling == "glovebox" and not laboratory.glovebox:
        yield "a glovebox is needed"


def _stock(synthesis: Synthesis, laboratory: Laboratory) -> Iterator[str]:
    """Powders that are not there, or not enough of them; an impure one takes more grams for the same compound."""
    if laboratory.stock is None:
        return
    stock = {powder.formula: powder for powder in laboratory.stock}
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
