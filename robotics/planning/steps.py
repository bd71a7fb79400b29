"""A request as steps: weigh - fire (grind again, fire) - X-ray - coat - assemble - form and cycle, cell by cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil

from redoxa.data.lab.recipe import Recipe, Synthesis
from redoxa.data.lab.steps import Assemble, Coat, Cycle, Fire, Sample, SampleKind, Step, Task, Weigh, Xray
from redoxa.robotics.cycling.protocol import longest_time_s
from redoxa.robotics.planning.slurry import SPARE, plan_slurry

WEIGHING_H = 4.0
XRAY_H = 12.0
COATING_H = 24.0
ASSEMBLY_H = 24.0
FURNACE_SLACK_H = 12.0
"""A furnace cools more slowly than its programme says, and stands closed over night."""
CYCLER_SLACK_H = 1.0


@dataclass
class _Plan:
    """Steps so far, each after the one before unless it says otherwise."""

    request_id: str
    steps: list[Step] = field(default_factory=list)

    def add(
        self, name: str, task: Task, hours: float, takes: tuple[Sample, ...] = (), gives: tuple[Sample, ...] = (),
        after: Step | None = None,
    ) -> Step:  # fmt: skip
        before = after or (self.steps[-1] if self.steps else None)
        step = Step(
            step_id=f"{self.request_id}.{name}",
            request_id=self.request_id,
            number=len(self.steps) + 1,
            task=task,
            takes=tuple(sample.sample_id for sample in takes),
            gives=gives,
            after=() if before is None else (before.step_id,),
            longest_s=3600 * hours,
        )
        self.steps.append(step)
        return step

    def sample(self, name: str, kind: SampleKind, active_mg: float, parents: tuple[Sample, ...] = ()) -> Sample:
        return Sample(
            sample_id=f"{self.request_id}.{name}",
            request_id=self.request_id,
            kind=kind,
            parents=tuple(parent.sample_id for parent in parents),
            active_mg=active_mg,
        )


def plan_steps(request_id: str, recipe: Recipe) -> tuple[Step, ...]:
    """The steps of a request, each after those that it needs; the same recipe gives the same steps.

    Cells are cycled side by side, each as a step of its own: each stands on a channel of its own, and one that fails
    says nothing of the others.

    Args:
        request_id: key of the request; ids of steps and samples begin with it.
        recipe: what is made and measured.
    """
    plan = _Plan(request_id)
    synthesis, cells = recipe.synthesis, recipe.cell.replicates
    powder = plan.sample("powder", SampleKind.POWDER, 1000 * synthesis.target_mass_g)
    at_first = tuple(p for p in synthesis.precursors if p.role == "reactant")
    plan.add("weigh", Weigh(precursors=at_first, handling=synthesis.handling), WEIGHING_H, gives=(powder,))
    for number, task in enumerate(_firings(synthesis), start=1):
        hours = task.firing.grinding_min / 60 + task.firing.programme_h + FURNACE_SLACK_H
        plan.add(f"fire-{number}", task, hours, takes=(powder,))
    plan.add("xray", Xray(target_formula=synthesis.target_formula), XRAY_H, takes=(powder,))
    coat = _coating(recipe)
    sheet = plan.sample("electrode", SampleKind.ELECTRODE, coat.active_mg, (powder,))
    plan.add("coat", coat, COATING_H + recipe.electrode.drying_h, takes=(powder,), gives=(sheet,))
    active_mg = recipe.electrode.active_mass_mg
    built = tuple(plan.sample(f"cell-{i}", SampleKind.CELL, active_mg, (sheet,)) for i in range(1, cells + 1))
    assembly = plan.add("assemble", Assemble(cell=recipe.cell), ASSEMBLY_H, takes=(sheet,), gives=built)
    hours = longest_time_s(recipe.cycling) / 3600 + CYCLER_SLACK_H
    for i, cell in enumerate(built, start=1):
        plan.add(f"cycle-{i}", Cycle(cycling=recipe.cycling), hours, takes=(cell,), after=assembly)
    return tuple(plan.steps)


def _firings(synthesis: Synthesis) -> Iterator[Fire]:
    late = tuple(p for p in synthesis.precursors if p.role != "reactant")
    for firing in synthesis.firings:
        yield Fire(
            firing=firing,
            atmosphere=synthesis.atmosphere,
            vessel=synthesis.vessel,
            furnace_name=synthesis.furnace_name,
            precursors=late if firing is synthesis.firings[-1] else (),
        )


def _coating(recipe: Recipe) -> Coat:
    cells = recipe.cell.replicates
    slurry = plan_slurry(recipe.electrode, cells, recipe.synthesis.target_mass_g)
    return Coat(
        electrode=recipe.electrode,
        discs=ceil(cells * (1 + SPARE)),
        active_mg=slurry.active_mg,
        carbon_mg=slurry.carbon_mg,
        binder_mg=slurry.binder_mg,
        solvent_mL=slurry.solvent_mL,
    )
