"""The builder of the reference: hulls, resume after a kill, what enters the table, what a user may add.

The potential here is effective-medium theory (ASE's EMT), a real one that is fast: Al, Ni, Cu, Pd, Ag, Pt and Au.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from redoxa.data.errors import InputError, PotentialError
from redoxa.data.fingerprint import fingerprint
from redoxa.data.records import Crystal
from redoxa.data.structures import from_atoms, to_atoms, to_structure
from redoxa.data.tables.known_materials import load_known_materials
from redoxa.data.tables.reference import Reference, ReferenceEntry, load_reference, read_table
from redoxa.screening.physics.hull_energy import agreement, hull_distances, hull_energy
from redoxa.screening.potentials.base import PointResult, load_potential
from redoxa.screening.tables.add import add_phases
from redoxa.screening.tables.check import implied_elements, relaxation_drops
from redoxa.screening.tables.energies import (
    DATASET_SETTINGS,
    LARGEST_DROP_eV_PER_ATOM,
    Parts,
    Row,
    build_reference,
    near_hull,
    reference_entries,
    run,
    scale_of,
)
from redoxa.screening.tables.known_materials import build_known_materials
from redoxa.screening.tables.tasks import EnergyTask, dataset_tasks, relevance


class EmtPotential:
    """Effective-medium theory as a `Potential`; counts its calls."""

    name: ClassVar[str] = "emt"
    model_id: ClassVar[str] = "emt-ase"
    energy_scale: ClassVar[str] = "EMT"
    energy_mae_eV_per_atom: ClassVar[float] = 0.1

    def __init__(self) -> None:
        self.calls = 0

    def compute(self, crystal: Crystal | Atoms, forces: bool = True) -> PointResult:
        """Energy, forces and stress."""
        atoms = to_atoms(crystal) if isinstance(crystal, Crystal) else crystal.copy()
        atoms.calc = EMT()
        self.calls += 1
        try:
            energy = float(atoms.get_potential_energy())
        except NotImplementedError as error:
            raise PotentialError(str(error)) from error
        if not forces:
            return PointResult(energy)
        return PointResult(energy, atoms.get_forces(), atoms.get_stress(voigt=False))


def write_dataset(path: Path) -> None:
    """Cu, Au, Ni and ordered alloys, somewhat off their lattice constants; and iron, which EMT lacks."""
    crystals = [bulk(symbol, "fcc", a=a) for symbol, a in (("Cu", 3.62), ("Au", 4.08), ("Ni", 3.50), ("Fe", 3.6))]
    crystals.append(bulk("Cu", "hcp", a=2.57))
    for a, symbols in ((3.95, "CuAu3"), (3.75, "Cu3Au"), (3.55, "Cu2Ni2")):
        cell = bulk("Cu", "fcc", a=a, cubic=True)
        cell.symbols = symbols
        crystals.append(cell)
    records = [from_atoms(atoms) for atoms in crystals]
    frame = pd.DataFrame(
        {
            "material_id": [f"toy-{i}" for i in range(len(records))],
            "atomic_numbers": [list(c.numbers) for c in records],
            "frac_coords": [np.ravel(c.frac_coords).tolist() for c in records],
            "cell": [np.ravel(c.lattice_A).tolist() for c in records],
        }
    )
    frame.to_parquet(path)


def build(folder: Path, dataset: Path, potential: EmtPotential, budget_s: float = float("inf")) -> list[ReferenceEntry]:
    """Build without the library and return the table's entries."""
    out = folder / "reference.parquet"
    build_reference(out, [dataset], potential, folder / "parts.jsonl", budget_s, library=False)
    return read_table(out)[0]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "toy.parquet"
    write_dataset(path)
    return path


def test_linear_programme_agrees_with_the_phase_diagram() -> None:
    """Random phases of a quaternary system: distances equal those of pymatgen's convex hull."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    rng = np.random.default_rng(1)
    formulas = ["Li", "Fe", "P", "O", *{f"Li{a}Fe{b}P{c}O{d}" for a, b, c, d in rng.integers(1, 6, (40, 4))}]
    energies = {f: 0.0 if len(f) <= 2 else float(rng.normal(-1, 0.3)) for f in formulas}
    entries = [ReferenceEntry(f, e, f, "test", "relaxed") for f, e in energies.items()]
    reference = Reference(entries, "toy")
    diagram = PhaseDiagram([PDEntry(Composition(f), e * Composition(f).num_atoms) for f, e in energies.items()])
    for formula, ours in zip(formulas, hull_distances(reference, energies.items()), strict=True):
        composition = Composition(formula)
        expected = diagram.get_e_above_hull(PDEntry(composition, energies[formula] * composition.num_atoms))
        assert ours == pytest.approx(expected, abs=1e-7)


def test_no_hull_without_an_element() -> None:
    entries = [
        ReferenceEntry("Li", -1.9, "Li", "test", "relaxed"),
        ReferenceEntry("Li2O", -4.0, "x", "test", "relaxed"),
    ]
    assert hull_energy({"Li": 0.9, "O": 0.1}, entries) == pytest.approx(0.7 * -1.9 + 0.3 * -4.0)
    assert hull_energy({"Li": 0.5, "O": 0.5}, entries) is None
    assert hull_energy({"Li": 1.0}, []) is None


def test_build_keeps_the_lowest_and_says_how_it_was_computed(tmp_path: Path, dataset: Path) -> None:
    found = {e.formula: e for e in build(tmp_path, dataset, EmtPotential())}
    assert set(found) == {"Cu", "Au", "Ni", "CuAu3", "Cu3Au", "CuNi"}
    assert found["Cu"].kind == "relaxed"
    assert found["Cu"].polymorphs == 2
    assert found["Cu"].energy_eV_per_atom == pytest.approx(-0.0070, abs=2e-3)  # EMT's own zero is fcc copper
    assert "Fe" not in found
    rows = Parts(tmp_path / "parts.jsonl").rows.values()
    assert {r.formula for r in rows if r.energy_eV_per_atom is None} == {"Fe"}


def test_nothing_is_computed_twice(tmp_path: Path, dataset: Path) -> None:
    potential = EmtPotential()
    first = build(tmp_path, dataset, potential)
    calls = potential.calls
    assert calls > 15
    assert build(tmp_path, dataset, potential) == first
    assert potential.calls == calls


def test_a_spent_budget_stops_and_a_rerun_goes_on(tmp_path: Path, dataset: Path) -> None:
    out, work = tmp_path / "reference.parquet", tmp_path / "parts.jsonl"
    stopped = build_reference(out, [dataset], EmtPotential(), work, budget_s=0.0, library=False)
    assert (stopped.entries, len(stopped.rows)) == (0, 0)
    assert stopped.open_tasks > 0
    done = build_reference(out, [dataset], EmtPotential(), work, library=False)
    assert done.open_tasks == 0
    assert done.entries == len(load_reference(out)) == 6


def test_a_torn_work_file_gives_the_same_table(tmp_path: Path, dataset: Path) -> None:
    """Cut at arbitrary bytes, as a kill in the middle of a write leaves it."""
    whole = build(tmp_path, dataset, EmtPotential())
    content = (tmp_path / "parts.jsonl").read_bytes()
    rng = np.random.default_rng(2)
    for i, cut in enumerate(rng.integers(1, len(content), 3)):
        folder = tmp_path / f"torn{i}"
        folder.mkdir()
        (folder / "parts.jsonl").write_bytes(content[: int(cut)])
        assert build(folder, dataset, EmtPotential()) == whole
        assert sorted((folder / "parts.jsonl").read_bytes().splitlines()) == sorted(content.splitlines())


def test_a_killed_build_goes_on(tmp_path: Path, dataset: Path) -> None:
    """`kill -9` of a real process, then a rerun: the same table as undisturbed, and no line twice."""
    killed = tmp_path / "killed"
    code = (
        "import time; from pathlib import Path; import test_reference_build as t; p = t.EmtPotential(); "
        "slow = p.compute; p.compute = lambda *a, **k: (time.sleep(0.02), slow(*a, **k))[1]; "
        f"t.build(Path({str(killed)!r}), Path({str(dataset)!r}), p)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    work = killed / "parts.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (work.exists() and work.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    started = work.read_bytes().count(b"\n")
    assert build(killed, dataset, EmtPotential()) == build(tmp_path, dataset, EmtPotential())
    keys = [json.loads(line)["key"] for line in work.read_bytes().splitlines()]
    assert len(keys) == len(set(keys)) > started


def test_two_processes_compute_what_one_does(tmp_path: Path) -> None:
    """With CHGNet; an atom without neighbours is set aside in both."""
    metals = [bulk("Li", "bcc", a=3.4), bulk("Ni", "fcc", a=3.6), bulk("Cu", "fcc", a=3.5), bulk("Na", "bcc", a=30.0)]
    tasks = [EnergyTask(from_atoms(a), f"toy-{i}", "toy", "relaxed") for i, a in enumerate(metals)]
    found = []
    for workers in (1, 2):
        parts = Parts(tmp_path / f"{workers}.jsonl")
        assert run(tasks, parts, load_potential(), DATASET_SETTINGS, workers=workers) == 0
        found.append({r.name: (r.formula, r.energy_eV_per_atom, r.converged, r.steps) for r in parts.rows.values()})
    assert found[0] == found[1]
    assert found[0]["toy-3"][1] is None


def row(kind: str, energy_eV_per_atom: float | None, **more: object) -> Row:
    fields = {"key": kind, "crystal_hash": "c", "formula": "LiCoO2", "n_atoms": 4, "name": "x", "source": "s", **more}
    return Row(kind=kind, energy_eV_per_atom=energy_eV_per_atom, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("relaxed", "expected"),
    [
        (row("relaxed", -6.05), (-6.05, "relaxed")),
        (row("relaxed", -6.04, converged=False, steps=DATASET_SETTINGS.max_steps), (-6.04, "partly_relaxed")),
        (row("relaxed", -6.04, converged=False, steps=7, error="exploded"), (-6.0, "single_point")),
        (row("relaxed", -6.01 - LARGEST_DROP_eV_PER_ATOM), (-6.0, "single_point")),
        (row("relaxed", -5.9), (-6.0, "single_point")),
        (row("relaxed", None, error="no neighbour"), (-6.0, "single_point")),
    ],
    ids=["relaxed", "out of steps", "exploded", "fell too far", "rose", "failed"],
)
def test_which_energy_stands(relaxed: Row, expected: tuple[float, str]) -> None:
    (found,) = reference_entries([row("single_point", -6.0), relaxed])
    assert (found.energy_eV_per_atom, found.kind) == expected


def test_molecular_elements_stand_with_their_ground_state() -> None:
    """CHGNet overbinds F2 on relaxation, and a wrong polymorph lies lower; the single point of mp-561203 stands."""
    fluorine = {"formula": "F2", "source": "mp_structures"}
    rows = [
        row("single_point", -1.909, crystal_hash="a", **(fluorine | {"name": "mp-561203"})),
        row("relaxed", -1.919, crystal_hash="a", **(fluorine | {"name": "mp-561203"})),
        row("single_point", -1.949, crystal_hash="b", **(fluorine | {"name": "mp-760482"})),
    ]
    assert [(e.name, e.energy_eV_per_atom) for e in reference_entries(rows)] == [("mp-561203", -1.909)]
    assert [e.name for e in reference_entries(rows[2:])] == ["mp-760482"]  # without it, what there is


def test_only_what_lies_near_the_hull_is_relaxed(tmp_path: Path, dataset: Path) -> None:
    potential = EmtPotential()
    build(tmp_path, dataset, potential)
    rows = Parts(tmp_path / "parts.jsonl").rows
    tasks = list(dataset_tasks(dataset))
    energies = {r.crystal_hash: r.energy_eV_per_atom for r in rows.values() if r.kind == "single_point"}
    hull = Reference(reference_entries(r for r in rows.values() if r.kind == "single_point"), scale_of(potential))
    for limit in (0.0, 0.03, 10.0):
        chosen = {t.crystal_hash for t in near_hull(tasks, rows, potential, limit)}
        for task in tasks:
            energy = energies[task.crystal_hash]
            if energy is None or relevance(task.crystal.numbers) < 2:
                assert task.crystal_hash not in chosen
                continue
            (distance,) = hull_distances(hull, [(task.crystal.formula, energy)])
            assert (task.crystal_hash in chosen) == (distance is not None and distance <= limit)


def test_relevance() -> None:
    assert [relevance(z) for z in ([3, 26, 15, 8], [3, 47, 8], [56, 26, 8], [56, 8], [3, 92, 8], [54])] == [
        4,
        3,
        2,
        1,
        0,
        0,
    ]


def test_figures() -> None:
    drops = relaxation_drops([row("single_point", -6.0), row("relaxed", -6.01)])
    assert drops == {"s": {"n": 1, "median": 10.0, "mean": 10.0, "90 % below": 10.0}}
    found = agreement([0.00, 0.15], [0.02, 0.05])
    assert (found.mean_abs_difference, found.bias, found.same_side_of_0_1) == pytest.approx((0.06, 0.04, 0.5))
    levels = {"Li": -1.9, "O": -4.93}
    formulas = [("Li", 1.0, 0.0), ("O2", 0.0, 1.0), ("Li2O", 2 / 3, 1 / 3), ("Li2O2", 0.5, 0.5)]
    chosen = [(f, a * levels["Li"] + b * levels["O"] - 1.0, -1.0, 0.0) for f, a, b in formulas]
    assert implied_elements(chosen) == pytest.approx(levels)


def test_user_structures_are_computed_and_kept(tmp_path: Path) -> None:
    table, potential = tmp_path / "user.parquet", EmtPotential()
    file = tmp_path / "CuAu.cif"
    atoms = bulk("Cu", "fcc", a=3.85, cubic=True)
    atoms.symbols = "CuAuCuAu"
    to_structure(from_atoms(atoms)).to(str(file))
    snapshot = tmp_path / "snapshot.json"
    structure = to_structure(from_atoms(bulk("Ni", "fcc", a=3.5)))
    snapshot.write_text(json.dumps([{"material_id": "mp-23", "structure": structure.as_dict(), "energy": -99.0}]))
    added, set_aside = add_phases([file, snapshot], table, potential)
    assert not set_aside
    assert {(e.formula, e.kind) for e in added} == {("CuAu", "relaxed"), ("Ni", "relaxed")}
    assert added.elements["Ni"].name == "mp-23"
    assert added.elements["Ni"].energy_eV_per_atom > -1  # computed: the energy that the file states is not taken over
    calls = potential.calls
    add_phases([file], table, potential)
    assert potential.calls == calls
    assert len(load_reference(table)) == 2


def test_user_energies_must_be_on_the_same_scale(tmp_path: Path) -> None:
    table, potential = tmp_path / "user.parquet", EmtPotential()
    good, bad, broken = tmp_path / "good.csv", tmp_path / "bad.csv", tmp_path / "broken.csv"
    good.write_text(f"formula,energy_eV_per_atom,energy_scale\nAu3Cu,-0.01,{scale_of(potential)}\n")
    bad.write_text("formula,energy_eV_per_atom,energy_scale\nAuCu,-3.9,MP2020-corrected PBE/PBE+U by VASP\n")
    broken.write_text(f"formula,energy_eV_per_atom,energy_scale\nAuCu,minus one,{scale_of(potential)}\n")
    add_phases([good], table, potential)
    before = table.read_bytes()
    with pytest.raises(InputError, match=r"bad\.csv, row 1: .*never mixed"):
        add_phases([good, bad], table, potential)
    with pytest.raises(InputError, match=r"broken\.csv, row 1: formula or energy"):
        add_phases([broken], table, potential)
    assert table.read_bytes() == before
    assert [(e.formula, e.energy_eV_per_atom, e.source) for e in load_reference(table)] == [("CuAu3", -0.01, "user")]


def test_a_table_of_another_scale_is_not_added_to(tmp_path: Path, dataset: Path) -> None:
    class OtherEmt(EmtPotential):
        model_id: ClassVar[str] = "emt-other"

    build(tmp_path, dataset, EmtPotential())
    file = tmp_path / "Ni.json"
    file.write_text(json.dumps(to_structure(from_atoms(bulk("Ni"))).as_dict()))
    with pytest.raises(InputError, match="never mixed"):
        add_phases([file], tmp_path / "reference.parquet", OtherEmt())


def test_known_materials_table(tmp_path: Path, dataset: Path) -> None:
    compositions = tmp_path / "formulas.parquet"
    pd.DataFrame({"material_id": ["mp-1", "mp-2"], "atomic_numbers": [[29, 29], [11, 11, 14, 8, 8, 8]]}).to_parquet(
        compositions
    )
    out = tmp_path / "known.parquet"
    rows = build_known_materials(out, [dataset], [compositions], library=False)
    known = load_known_materials(out)
    assert rows == len(known) == 9  # eight crystals and Na2SiO3; the copper of `compositions` has a structure here
    copper = known.nearest(fingerprint(from_atoms(bulk("Cu", cubic=True))))
    assert copper is not None
    assert (copper.level, copper.distance) == ("structure", pytest.approx(0, abs=0.01))
    silicate = next(m for m in known if m.formula == "Na2SiO3")
    assert (silicate.name, silicate.fingerprint) == ("mp-2", None)
