"""What a request needs and a laboratory has not got: furnace, gas, glove box, powders, cyclers.

The safety rules ask what is dangerous; this asks what is possible here. Drivers answer `check` with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from redoxa.data.lab.laboratory import Laboratory, Station
from redoxa.data.lab.recipe import Synthesis
from redoxa.data.lab.request import ExperimentRequest
from redoxa.data.lab.steps import Capability, Cycle, Fire, Step
from redoxa.robotics.cycling.currents import current_problems, suits
from redoxa.robotics.planning.steps import plan_steps

ROUNDING = 1 + 1e-9

NOBODY: Final[Mapping[Capability, str]] = {
    "weigh": "there is no bench to weigh at",
    "xray": "nothing here takes X-ray patterns",
    "coat": "nothing here coats electrodes",
    "assemble": "there is no bench to build cells at",
}


def lacking(request: ExperimentRequest, laboratory: Laboratory) -> list[str]:
    """What stands in the way of a request in this laboratory, one sentence each; empty when nothing does."""
    recipe = request.recipe
    currents = current_problems(recipe.electrode, recipe.cycling, laboratory.cyclers)
    wanted = dict.fromkeys(step.capability for step in plan_steps("request", recipe))
    there = frozenset[Capability]().union(*(station.does for station in laboratory.stations))
    missing = [NOBODY[work] for work in wanted if work not in there]
    return [*_furnace(recipe.synthesis, laboratory), *_stock(recipe.synthesis, laboratory), *currents, *missing]


def able(step: Step, laboratory: Laboratory) -> tuple[Station, ...]:
    """Stations that can do a step, the preferred first.

    A sample is fired in the furnace with which it was planned, since the safety rules were asked about that one; it is
    cycled on any cycler that has the range and reaches the voltages, unless the recipe names one.
    """
    named, names = only_at(step, laboratory), None
    if named is not None:
        names = {named}
    if isinstance(step.task, Cycle):
        names = {cycler.name for cycler in laboratory.cyclers if suits(step.task.cycling, cycler)}
    return tuple(
        station
        for station in laboratory.stations
        if step.capability in station.does and (names is None or station.name in names)
    )


def only_at(step: Step, laboratory: Laboratory) -> str | None:
    """The one station that may do a step; None where any that can may do it."""
    if isinstance(step.task, Fire):
        return step.task.furnace_name or laboratory.furnaces[0].name
    return step.task.cycling.cycler or None if isinstance(step.task, Cycle) else None


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
