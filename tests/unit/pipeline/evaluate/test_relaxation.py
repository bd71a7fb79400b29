"""Relaxation that goes on, and what is made of its outcomes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from redoxa.data.records import Crystal
from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.data.tables.reference import Reference, ReferenceEntry
from redoxa.generators.evaluate.table import Sample
from redoxa.pipeline.evaluate import relaxation
from redoxa.pipeline.evaluate.relaxation import FILE, Outcome, relax_all, rmsd_A
from redoxa.pipeline.evaluate.stability import relaxed_rows, stability_values
from redoxa.screening.compute.relax import Relaxation
from redoxa.screening.physics.hulls import Hulls
from redoxa.screening.workers.pool import InlinePool
from tests.unit.generators.evaluate.crystals import caesium_chloride, rocksalt, shaken

LI, F, NA, CL, AC = 3, 9, 11, 17, 89


class Counting(InlinePool):
    """The pool of one process, which counts what is handed in."""

    handed_in: list[str] = []

    def submit(self, job_id, crystal, settings, urgency=0) -> None:
        self.handed_in.append(job_id)
        super().submit(job_id, crystal, settings, urgency)


def test_what_was_relaxed_is_not_relaxed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaxation, "open_pool", lambda potential, _workers: Counting(potential))
    monkeypatch.setattr(Counting, "handed_in", [])
    salts = [caesium_chloride(NA, CL, 3.3), caesium_chloride(LI, F, 2.5)]
    steps: list[tuple[int, int]] = []
    first = relax_all([*salts, salts[0]], tmp_path, 1, lambda done, total: steps.append((done, total)))
    assert len(Counting.handed_in) == 2  # the third is the first again
    assert steps[-1] == (3, 3)
    assert first[0].relaxation is not None
    assert first[0].relaxation.converged
    assert first[0].relaxation.start_energy_eV > first[0].relaxation.energy_eV
    assert first[2] == first[0]

    lines = (tmp_path / FILE).read_text()
    torn = [line for line in lines.splitlines() if line]
    (tmp_path / FILE).write_text(f"{torn[0]}\n\n{torn[1][:200]}")  # killed while it wrote the second
    again = relax_all(salts, tmp_path, 1, lambda _done, _total: None)
    assert len(Counting.handed_in) == 3
    assert [o.relaxation.energy_eV for o in again] == [o.relaxation.energy_eV for o in first[:2]]
    relax_all(salts, tmp_path, 1, lambda _done, _total: None)
    assert len(Counting.handed_in) == 3
    assert all(
        json.loads(line)["key"]
        for line in (tmp_path / FILE).read_text().splitlines()
        if line.startswith('{"key"') and line.endswith("}")
    )


def test_rmsd_leaves_out_drift_and_wraps() -> None:
    cell = (np.eye(3) * 10).tolist()
    before = Crystal(numbers=[LI, F], frac_coords=[[0.99, 0, 0], [0.5, 0.5, 0.5]], lattice_A=cell)
    after = Crystal(numbers=[LI, F], frac_coords=[[0.03, 0, 0], [0.52, 0.5, 0.5]], lattice_A=cell)
    assert rmsd_A(before, after) == pytest.approx(0.1)  # 0.4 and 0.2 A, less their mean: 0.1 each


def outcome(crystal: Crystal, per_atom: float, start: float, converged: bool = True) -> Outcome:
    n = crystal.n_atoms
    return Outcome(
        Relaxation(
            crystal=crystal, energy_eV=per_atom * n, converged=converged, steps=5, force_calls=6, max_force_eV_A=0.01,
            max_stress_eV_A3=0.0, seconds=2.0, start_energy_eV=start * n, reason="" if converged else "exploded: gone",
        )
    )  # fmt: skip


def test_sun_and_msun_by_hand() -> None:
    """Hull of NaCl from Na, Cl2 and a known NaCl at -3.5 eV/atom."""
    energies = {"Na": -1.3, "Cl2": -1.8, "NaCl": -3.5, "Li": -1.9, "F2": -1.9}
    hulls = Hulls(Reference([ReferenceEntry(f, e, f, "test", "relaxed") for f, e in energies.items()], "test"))
    known = KnownMaterials()
    known.add(rocksalt(NA, CL, 5.6), "salt", "test")
    cscl = caesium_chloride(NA, CL, 3.4)
    cases = [
        (rocksalt(NA, CL, 5.64), outcome(rocksalt(NA, CL, 5.6), -3.50, -3.4)),  # known
        (cscl, outcome(cscl, -3.45, -3.40)),  # new, 0.05 above
        (shaken(cscl, 1, 0.05), outcome(shaken(cscl, 1, 0.01), -3.45, -3.25)),  # the same again
        (rocksalt(LI, F, 4.0), outcome(rocksalt(LI, F, 4.05), -4.9, -4.8)),  # new, below the hull
        (rocksalt(AC, CL, 6.0), outcome(rocksalt(AC, CL, 6.0), -4.0, -4.0)),  # no reference energy for Ac
        (rocksalt(NA, F, 4.6), outcome(rocksalt(NA, F, 9.0), -1.0, -1.0, converged=False)),
        (rocksalt(NA, F, 4.7), Outcome(None, "the worker died")),
    ]
    samples = [*(Sample(str(i), c) for i, (c, _) in enumerate(cases)), Sample("7", None, "", "unreadable")]
    rows = relaxed_rows(samples, [*(o for _, o in cases), None], hulls, known)
    assert [row.msun for row in rows] == [False, True, False, True, False, False, False, False]
    assert [row.sun for row in rows] == [False, False, False, True, False, False, False, False]
    assert rows[1].above_hull_eV_per_atom == pytest.approx(0.05)
    assert rows[1].decomposes_to == "1.00 NaCl"
    assert rows[3].above_hull_eV_per_atom == pytest.approx(-3.0)
    assert rows[2].energy_drop_eV_per_atom == pytest.approx(0.2)
    assert rows[6].relax_reason == "the worker died"

    values = stability_values(rows, cpu_s_per_sample=0.5)
    assert (values["converged"].value, values["converged"].of) == (5 / 8, 8)
    assert (values["hull_covered"].value, values["hull_covered"].of) == (4 / 5, 5)
    assert (values["stable"].value, values["stable"].of) == (2 / 4, 4)  # salt itself lies on the hull
    assert values["metastable"].value == 1.0
    assert (values["sun"].value, values["msun"].value) == (1 / 8, 2 / 8)
    assert values["msun"].of == 8
    assert values["msun_full"].value == 1 / 8  # no known phase of Li and F
    assert values["cpu_s_per_msun"].value == pytest.approx((6 * 2.0 + 8 * 0.5) / 2)
    assert values["hull_full"].value == 3 / 4
    assert stability_values(rows, None).keys() == values.keys() - {"cpu_s_per_msun"}
