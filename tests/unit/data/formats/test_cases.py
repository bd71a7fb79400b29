"""Files that failed once, with what is right; they lie in the shared folder beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from redoxa.data.errors import StructureError
from redoxa.data.io import read_each
from redoxa.data.tables.datasets import shared_dir

RIGHT = {
    "vasp4/POSCAR": ["names no elements"],
    "vasp4_LFP4kinds.vasp": ["names no elements"],
    "missing_H.cif": ["formula says Co H O2, its sites make CoO2"],
    "label_OH.cif": ["site OH1 names no element"],
    "two_blocks.cif": ["LiCoO2 12", "NaCoO2 12"],
    "unknown_sg.cif": ["symmetry is not known"],
    "no_symmetry_at_all.cif": ["does not say its symmetry"],
    "rhombo_axes_R.cif": ["LiCoO2 4"],
    "cell_neg.cif": ["must be positive"],
    "nan_coord.vasp": ["'NaN', not a finite number"],
    "inf_scale.vasp": ["not a finite number"],
    "x_twoframes_bad2nd.extxyz": ["LiCoO2 12", "periodic in 0 of 3", "LiCoO2 12"],
    "bom.cif": ["LiCoO2 12"],
    "latin1.cif": ["LiCoO2 12"],
    "occ1001.cif": ["LiCoO2 12 read as 1"],
    "dup_site.cif": ["sites Co1 and Co2 lie in one place"],
    "thirds3.cif": ["MoS2 6 special position"],
    "j_cse.json": ["LiCoO2 12"],
    "x_D.extxyz": ["Li3Co3HO5 12 deuterium"],
    "x_chargelabel.extxyz": ["LiCoO2 12"],
    "lefthanded.vasp": ["LiCoO2 12"],
    "lco_ref.cif": ["LiCoO2 12"],
    "bomb_fm3m.cif": ["at most 200"],
    "membomb.vasp": ["2000000000 atoms; at most 200"],
}


@pytest.mark.shared
@pytest.mark.parametrize("name", RIGHT)
def test_case(name: str) -> None:
    shared = shared_dir()
    path = Path() if shared is None else shared / "cases" / "structures" / name
    if shared is None or not path.exists():
        pytest.skip("the shared cases are not beside the checkout")
    found = [outcome for _, outcome in read_each(path)]
    assert len(found) == len(RIGHT[name])
    for outcome, right in zip(found, RIGHT[name], strict=True):
        if isinstance(outcome, StructureError):
            assert right in str(outcome)
        else:
            formula, atoms, *remark = right.split(" ", 2)
            assert (outcome.crystal.formula, outcome.crystal.n_atoms) == (formula, int(atoms))
            assert bool(remark) == bool(outcome.remarks)
            assert all(any(text in r for r in outcome.remarks) for text in remark)
