"""Labels of electrodes: what the screening's own arithmetic gives for the same states, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.skeletons import load_templates, template_of, write_templates
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.tables.prototypes import prototype
from redoxa.data.tables.reference import load_reference
from redoxa.screening.tables.electrode_labels import electrode_tasks, label_electrodes


def test_two_electrodes_are_labelled_once(tmp_path: Path) -> None:
    names = ("layered LiTiS2", "O3 LiCoO2")
    path = tmp_path / "templates.parquet"
    write_templates(path, [template_of(canonical(symmetric(prototype(name).crystal))) for name in names])
    table = load_templates(path)
    assert sorted(electrode_tasks(table)) == [(0, 3), (1, 3)]
    work = tmp_path / "work.jsonl"
    labels = label_electrodes(table, load_reference(), work, 1, lambda *_: None)
    voltages = {table[label.template].form.group: label.voltage_V for label in labels}
    assert voltages[164] == pytest.approx(1.85, abs=0.15)  # LiTiS2: what `redoxa screen` gives, no partial states
    assert voltages[166] == pytest.approx(3.49, abs=0.15)  # LiCoO2
    lines = work.read_text()
    assert lines.count("\n") == 2
    work.write_text(lines + '{"cut sho')
    assert label_electrodes(table, load_reference(), work, 1, lambda *_: None) == labels
