"""A request as steps."""

from __future__ import annotations

import pytest

from redoxa.data.lab.recipe import Recipe
from redoxa.data.lab.steps import Coat, Cycle, Fire, SampleKind, Step, Weigh
from redoxa.robotics.cycling.protocol import longest_time_s
from redoxa.robotics.planning.steps import plan_steps
from tests.unit.robotics.samples import VOLTAGE_V, make_request


def planned(formula: str = "LiCoO2", cells: int = 3) -> tuple[Recipe, tuple[Step, ...]]:
    recipe = make_request(formula).recipe
    cell = recipe.cell.model_copy(update={"replicates": cells})
    recipe = recipe.model_copy(update={"cell": cell})
    return recipe, plan_steps("key", recipe)


def test_a_request_step_by_step() -> None:
    recipe, steps = planned()
    assert [step.step_id for step in steps] == [
        "key.weigh", "key.fire-1", "key.fire-2", "key.xray", "key.coat", "key.assemble",
        "key.cycle-1", "key.cycle-2", "key.cycle-3",
    ]  # fmt: skip
    assert [step.after for step in steps[:6]] == [(), *((step.step_id,) for step in steps[:5])]
    assert all(step.after == ("key.assemble",) for step in steps[6:])  # side by side
    assert [step.is_repeatable for step in steps] == [step.capability == "xray" for step in steps]
    powder, sheet, *cells = [sample for step in steps for sample in step.gives]
    assert (powder.kind, powder.parents, powder.active_mg) == (SampleKind.POWDER, (), 2000.0)
    assert (sheet.kind, sheet.parents) == (SampleKind.ELECTRODE, (powder.sample_id,))
    assert [(one.kind, one.parents) for one in cells] == [(SampleKind.CELL, (sheet.sample_id,))] * 3
    assert cells[0].active_mg == pytest.approx(recipe.electrode.active_mass_mg)
    assert sheet.active_mg < powder.active_mg
    assert [step.takes for step in steps[6:]] == [(cell.sample_id,) for cell in cells]


def test_nothing_is_lost_between_recipe_and_steps() -> None:
    for formula in VOLTAGE_V:
        recipe, steps = planned(formula)
        fires = [step.task for step in steps if isinstance(step.task, Fire)]
        assert tuple(fire.firing for fire in fires) == recipe.synthesis.firings
        weighed = [step.task for step in steps if isinstance(step.task, Weigh)]
        assert {*weighed[0].precursors, *fires[-1].precursors} == {*recipe.synthesis.precursors}
        assert not any(fire.precursors for fire in fires[:-1])
        (coat,) = [step.task for step in steps if isinstance(step.task, Coat)]
        assert coat.discs >= recipe.cell.replicates
        assert coat.active_mg >= coat.discs * recipe.electrode.active_mass_mg * 0.9
        cycles = [step for step in steps if isinstance(step.task, Cycle)]
        assert all(step.longest_s > longest_time_s(recipe.cycling) for step in cycles)


def test_a_carbon_source_comes_with_the_last_firing() -> None:
    _, steps = planned("LiFePO4")
    *before, last = [step.task for step in steps if isinstance(step.task, Fire)]
    assert [powder.role for powder in last.precursors] == ["carbon source"]
    assert before
    assert all(powder.role == "reactant" for powder in steps[0].task.precursors)  # type: ignore[union-attr]


def test_what_may_share_a_furnace() -> None:
    """The same programme in the same gas, whatever stands in it."""
    cobalt, more, iron = (planned(f)[1] for f in ("LiCoO2", "LiCoO2", "LiFePO4"))
    first, again, other = ([s.task.programme for s in x if isinstance(s.task, Fire)] for x in (cobalt, more, iron))
    assert first == again
    assert len({*first}) == 2  # gases leave, then it is fired
    assert not {*first} & {*other}  # argon


def test_how_long_a_furnace_takes() -> None:
    """350 C at 2 C/min and back at 5: 163 and 65 min; 6 h in between."""
    recipe, _ = planned("LiCoO2")
    first = recipe.synthesis.firings[0]
    assert [(s.temperature_C, s.ramp_C_per_min, s.dwell_h) for s in first.steps] == [(350, 2, 6), (25, 5, 0)]
    assert first.programme_h == pytest.approx(325 / 2 / 60 + 6 + 325 / 5 / 60)


@pytest.mark.parametrize("formula", sorted(VOLTAGE_V))
@pytest.mark.parametrize("cells", [1, 3, 16])
def test_every_step_has_what_it_takes(formula: str, cells: int) -> None:
    """Samples come out of earlier steps, which it comes after; no id comes twice."""
    _, steps = planned(formula, cells)
    made: dict[str, str] = {}
    reached: dict[str, set[str]] = {}
    for number, step in enumerate(steps, start=1):
        assert step.number == number
        reached[step.step_id] = {*step.after}.union(*(reached[before] for before in step.after))
        assert all(made[sample] in reached[step.step_id] for sample in step.takes)
        for sample in step.gives:
            assert sample.sample_id not in made
            assert {*sample.parents} <= {*step.takes}
            made[sample.sample_id] = step.step_id
    assert len(reached) == len(steps) == len({step.step_id for step in steps})
    assert sum(isinstance(step.task, Cycle) for step in steps) == cells
    assert Step.model_validate_json(steps[-1].model_dump_json()) == steps[-1]
