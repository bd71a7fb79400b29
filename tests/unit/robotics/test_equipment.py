"""What a laboratory lacks for a request."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from redoxa.data.lab.laboratory import Bench, Cycler, Furnace, Laboratory, Powder
from redoxa.data.lab.request import ExperimentRequest
from redoxa.robotics.planning.equipment import able, lacking
from redoxa.robotics.planning.steps import plan_steps
from tests.unit.robotics.samples import VOLTAGE_V, make_request, with_furnace

LCO, LTS = make_request("LiCoO2"), make_request("LiTiS2")


def changed(request: ExperimentRequest, part: str, **fields: Any) -> ExperimentRequest:
    recipe = request.recipe
    inner = getattr(recipe, part).model_copy(update=fields)
    return request.model_copy(update={"recipe": recipe.model_copy(update={part: inner})})


def powders(request: ExperimentRequest, factor: float = 1.0, purity: float = 1.0) -> tuple[Powder, ...]:
    """What a request weighs, times a factor, in stock."""
    weighed = request.recipe.synthesis.precursors
    return tuple(Powder(formula=p.formula, amount_g=p.mass_g * factor, purity=purity) for p in weighed)


@pytest.mark.parametrize("formula", sorted(VOLTAGE_V))
def test_the_assumed_laboratory_can_make_what_is_planned(formula: str) -> None:
    assert lacking(make_request(formula), Laboratory()) == []


def test_furnace_gas_vessel_and_glovebox() -> None:
    assert lacking(LTS, Laboratory(glovebox=False)) == ["a glovebox is needed"]
    assert lacking(LCO, with_furnace(max_temperature_C=700)) == ["furnace reaches 700 C, 750 C are wanted"]
    gas = LCO.recipe.synthesis.atmosphere
    without = frozenset({"nitrogen"})
    assert lacking(LCO, with_furnace(name="tube", atmospheres=without)) == [f"tube has no {gas}"]
    assert lacking(LCO, with_furnace(vessels=frozenset({"nickel crucible"}))) == ["furnace takes no alumina crucible"]


def test_the_furnace_that_the_recipe_names_counts() -> None:
    laboratory = Laboratory(furnaces=(Furnace(name="cold", max_temperature_C=600), Furnace(name="hot")))
    assert lacking(LCO, laboratory) == ["cold reaches 600 C, 750 C are wanted"]
    assert lacking(changed(LCO, "synthesis", furnace_name="hot"), laboratory) == []
    (problem,) = lacking(changed(LCO, "synthesis", furnace_name="hit"), laboratory)
    assert problem == "there is no furnace 'hit', but cold, hot"


def test_powders_have_to_be_in_stock_and_enough() -> None:
    first = LCO.recipe.synthesis.precursors[0]
    assert lacking(LCO, Laboratory(stock=powders(LCO))) == []
    assert lacking(LCO, Laboratory(stock=powders(LCO)[1:])) == [f"{first.formula} is not in stock"]
    short = lacking(LCO, Laboratory(stock=powders(LCO, 0.5)))
    assert short[0] == f"{first.mass_g:.4g} g of {first.formula} are needed, {first.mass_g / 2:g} g are in stock"
    assert len(short) == len(LCO.recipe.synthesis.precursors)
    assert len(lacking(LCO, Laboratory(stock=()))) == len(short)


def test_an_impure_powder_takes_more_grams() -> None:
    assert "of 0.9 purity are needed" in lacking(LCO, Laboratory(stock=powders(LCO, purity=0.9)))[0]
    assert lacking(LCO, Laboratory(stock=powders(LCO, 1.12, purity=0.9))) == []
    counted = [p.model_copy(update={"purity": 0.9}) for p in LCO.recipe.synthesis.precursors]
    assert (
        lacking(changed(LCO, "synthesis", precursors=tuple(counted)), Laboratory(stock=powders(LCO, purity=0.9))) == []
    )


def test_a_powder_weighed_twice_counts_twice() -> None:
    twice = changed(LCO, "synthesis", precursors=LCO.recipe.synthesis.precursors * 2)
    assert lacking(twice, Laboratory(stock=powders(LCO, 1.9)))
    assert lacking(twice, Laboratory(stock=powders(LCO, 2.0))) == []


def test_every_step_needs_somebody_who_does_it() -> None:
    benches = Laboratory().benches
    for gone, said in (
        ("weigh", "there is no bench to weigh at"),
        ("xray", "nothing here takes X-ray patterns"),
        ("coat", "nothing here coats electrodes"),
        ("assemble", "there is no bench to build cells at"),
    ):
        left = tuple(bench for bench in benches if gone not in bench.does)
        assert lacking(LCO, Laboratory(benches=left)) == [said]
    hands = Bench(name="bench", does=frozenset({"weigh", "xray", "coat", "assemble"}), places=3)
    assert lacking(LCO, Laboratory(benches=(hands,))) == []


def test_who_can_do_a_step() -> None:
    cyclers = (Cycler(name="small", ranges_mA=(0.01,)), Cycler(name="low", max_V=3.0), Cycler(name="a"), Cycler())
    cold, hot = Furnace(name="cold"), Furnace(name="hot", places=2)
    laboratory = Laboratory(furnaces=(cold, hot), cyclers=cyclers)

    def names(request: ExperimentRequest) -> dict[str, list[str]]:
        steps = plan_steps("key", request.recipe)
        return {step.capability: [station.name for station in able(step, laboratory)] for step in steps}

    free = changed(LCO, "cycling", cycler="")
    assert names(free) == {
        "weigh": ["balance"], "fire": ["cold"], "xray": ["diffractometer"], "coat": ["coater"],
        "assemble": ["cell press"], "cycle": ["a", "cycler"],
    }  # fmt: skip
    assert names(changed(free, "synthesis", furnace_name="hot"))["fire"] == ["hot"]  # the rules were asked about it
    assert names(LCO)["cycle"] == ["cycler"]  # the recipe names it
    places = {station.name: station.places for station in laboratory.stations}
    assert (places["hot"], places["a"], places["balance"]) == (2, 8, 1)


def test_stations_have_names_of_their_own() -> None:
    with pytest.raises(ValidationError, match="'box' is the name of two things"):
        Laboratory(furnaces=(Furnace(name="box"),), cyclers=(Cycler(name="box"),))


def test_currents_and_window_fit_a_cycler() -> None:
    small = Cycler(name="small", ranges_mA=(0.01,))
    assert lacking(LCO, Laboratory(cyclers=(small,))) == ["there is no cycler 'cycler' with a range of 1 mA here"]
    assert lacking(LCO, Laboratory(cyclers=(small, Cycler()))) == []
    assert "is more than the cycler reaches" in lacking(LCO, Laboratory(cyclers=(Cycler(max_V=3.0),)))[0]
