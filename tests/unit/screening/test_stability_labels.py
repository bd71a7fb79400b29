"""Labels of stability: arithmetic by hand, the own formula left out, nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from redoxa.data.symmetry.skeletons import template_of
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal
from redoxa.screening.tables.stability_labels import StabilityTask, label_stabilities
from tests.unit.screening.conftest import reference_of

LI, O, NA, CL, AC = 3, 8, 11, 17, 89


def salt(cation: int, anion: int, a_A: float) -> SymmetricCrystal:
    return template_of(SymmetricCrystal(225, (Orbit("a", cation, ()), Orbit("b", anion, ())), (a_A,))).form


def test_against_all_other_formulas(tmp_path: Path, chgnet) -> None:
    tasks = [
        StabilityTask(0, (NA, CL), salt(NA, CL, 5.6), relaxed=True),
        StabilityTask(0, (LI, CL), salt(LI, CL, 5.3), relaxed=False),
        StabilityTask(0, (AC, CL), salt(AC, CL, 6.0), relaxed=True),  # nothing is known of actinium
    ]
    reference = reference_of({"Na": -1.3, "Li": -1.9, "Cl2": -1.8, "NaCl": -3.3, "LiCl3": -2.5})
    work = tmp_path / "work.jsonl"
    salt_label, other = label_stabilities(tasks, reference, work, "abc", 1, lambda *_: None)
    energy = chgnet.compute(tasks[0].form.to_crystal()).energy_eV / 2
    assert salt_label.above_hull_eV_per_atom == pytest.approx(energy + (1.3 + 1.8) / 2, abs=2e-4)  # not against NaCl
    assert (salt_label.phases, salt_label.full_phases) == (2, 0)
    # Li + LiCl3: two thirds of the atoms of LiCl are in LiCl3, one third is left over as lithium.
    start = chgnet.compute(tasks[1].form.to_crystal()).energy_eV / 2
    assert other.numbers == (LI, CL)
    assert other.above_hull_eV_per_atom == pytest.approx(start + (2 * 2.5 + 1.9) / 3, abs=0.05)
    assert other.above_hull_eV_per_atom < start + (2 * 2.5 + 1.9) / 3  # it was relaxed
    assert (other.phases, other.full_phases) == (3, 1)

    lines = work.read_text()
    assert lines.count("\n") == 3
    work.write_text(lines + '{"cut sho')
    assert label_stabilities(tasks, reference, work, "abc", 1, lambda *_: None) == [salt_label, other]
    assert work.read_text() == lines + '{"cut sho'
