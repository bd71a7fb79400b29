"""What gets a label of stability: every template, and new crystals on templates, each once."""

from __future__ import annotations

import pytest

from redoxa.data.symmetry.skeletons import load_templates
from redoxa.pipeline.tasks import stability_tasks as tasks_module
from redoxa.pipeline.tasks.stability_tasks import stability_tasks


def test_templates_and_new_crystals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "DRAWN", ((5, "Li", "Li,Fe,Mn,P,O,F"), (3, "", "")))
    table = load_templates()
    tasks = stability_tasks(table, lambda *_: None)
    assert len({(task.template, task.numbers) for task in tasks}) == len(tasks)
    new = [task for task in tasks if not task.relaxed]
    assert len(new) == 8
    assert len(tasks) - len(new) == sum((table.compositions > 0).sum(1) > 1)
    for task in new:
        template = table[task.template]
        atoms = dict.fromkeys(task.numbers, 0)
        for number, count in zip(task.numbers, template.atoms, strict=True):
            atoms[number] += count
        drawn = task.form.to_crystal()
        assert {z: drawn.numbers.count(z) for z in set(drawn.numbers)} == atoms
    assert sum(3 in task.numbers for task in new) >= 5
