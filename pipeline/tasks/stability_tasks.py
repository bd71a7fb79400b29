"""Which crystals get a label of stability: all templates, and new crystals that `orbits` draws on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from redoxa.data.errors import StructureError
from redoxa.data.symmetry.skeletons import TemplateTable
from redoxa.data.symmetry.symmetric import SymmetricCrystal, symmetric
from redoxa.generators.base import Condition
from redoxa.generators.orbits.de_novo import DeNovo
from redoxa.generators.orbits.generator import OrbitsGenerator
from redoxa.pipeline.tasks.generate_options import parse_elements
from redoxa.screening.tables.stability_labels import StabilityTask

DRAWN: tuple[tuple[int, str, str], ...] = (
    (4000, "", ""),
    (2400, "Li", "Li,Fe,Mn,Co,Ni,V,Ti,P,O,F,S"),
    (800, "Na", "Na,Fe,Mn,Co,Ni,V,Ti,Cr,P,O,F,S"),
    (1200, "Li", ""),
    (800, "Na", ""),
)
"""New crystals: how many, the element that they must hold, and those that they may; electrodes are charge-neutral."""


def stability_tasks(table: TemplateTable, on_step: Callable[[int, int], None]) -> list[StabilityTask]:
    """Every crystal once, in an order that depends on the table and the shipped weights alone."""
    tasks = {}
    for index, template in enumerate(table):
        if len(template.composition) > 1:
            numbers = tuple(orbit.number for orbit in template.form.orbits)
            tasks[index, numbers] = StabilityTask(index, numbers, template.form, True)
    places = {task.form: task.template for task in tasks.values()}
    de_novo = OrbitsGenerator().de_novo
    total = sum(count for count, _, _ in DRAWN)
    done = 0
    for seed, (count, required, allowed) in enumerate(DRAWN):
        condition = Condition(
            parse_elements(allowed, "allowed"), parse_elements(required, "required"), charge_neutral=bool(required)
        )
        for task in _drawn(de_novo, places, condition, count, seed):
            tasks.setdefault((task.template, task.numbers), task)
            done += 1
            on_step(done, total)
    return list(tasks.values())


def _drawn(
    de_novo: DeNovo, places: dict[SymmetricCrystal, int], condition: Condition, count: int, seed: int
) -> Iterator[StabilityTask]:
    for found in de_novo.draw(condition, count, np.random.default_rng([7, seed])):
        place = places.get(found.template.form)  # a skeleton beyond the table has no name in it
        try:
            form = symmetric(found.crystal)
        except StructureError:
            continue
        if place is not None:
            yield StabilityTask(place, tuple(found.numbers), form, False)
