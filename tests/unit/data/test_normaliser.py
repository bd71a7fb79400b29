"""One crystal, one form: however the cell is chosen, turned, shifted and ordered."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import Generator
from pymatgen.core import Lattice, Structure

from redoxa.data.records import Crystal
from redoxa.data.structures import from_structure, to_structure
from redoxa.data.symmetry.normaliser import canonical, motions, polar_directions
from redoxa.data.symmetry.symmetric import ANGLES, LENGTHS, Orbit, SymmetricCrystal, crystal_system, symmetric
from redoxa.data.symmetry.wyckoff import space_group
from redoxa.data.tables.datasets import shared_dir
from redoxa.data.tables.prototypes import load_prototypes


def disguised(crystal: Crystal, rng: Generator) -> Crystal:
    """The same crystal in another cell, turned, shifted, its atoms shuffled."""
    structure = to_structure(crystal)
    matrix = np.zeros((3, 3))
    while round(np.linalg.det(matrix)) != 1:
        matrix = rng.integers(-1, 2, (3, 3))
    structure.make_supercell(matrix)
    structure.translate_sites(range(len(structure)), rng.random(3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    order = rng.permutation(len(structure))
    species, coords = [structure.species[i] for i in order], structure.frac_coords[order]
    return from_structure(Structure(Lattice(structure.lattice.matrix @ turn), species, coords))


def labels(form: SymmetricCrystal) -> tuple[object, ...]:
    """Space group, and what lies on which orbit."""
    return form.group, [(o.letter, o.number) for o in form.orbits]


def differ(a: SymmetricCrystal, b: SymmetricCrystal) -> float:
    """Largest difference of the numbers of two forms with the same letters."""
    assert labels(a) == labels(b)
    free = [(x - y + 0.5) % 1.0 - 0.5 for o, p in zip(a.orbits, b.orbits, strict=True)
            for x, y in zip(o.free, p.free, strict=True)]  # fmt: skip
    cell = [x - y for x, y in zip((*a.lengths_A, *a.angles_deg), (*b.lengths_A, *b.angles_deg), strict=True)]
    return float(np.abs([0.0, *free, *cell]).max())


@pytest.mark.parametrize("entry", load_prototypes(), ids=lambda e: e.name)
def test_a_disguise_changes_nothing(entry) -> None:
    form = canonical(symmetric(entry.crystal))
    other = canonical(symmetric(disguised(entry.crystal, np.random.default_rng(len(entry.name)))))
    assert differ(form, other) < 2e-3


@pytest.mark.slow
@pytest.mark.skipif(shared_dir() is None, reason="needs ../shared/datasets")
def test_a_disguise_changes_real_crystals_only_on_the_edge_of_the_tolerance() -> None:
    """Every tenth of the shared structures. A few lie so near a higher symmetry that spglib's answer hangs on the cell."""
    from redoxa.screening.tables.tasks import dataset_tasks

    folder = shared_dir()
    assert folder is not None
    rng = np.random.default_rng(0)
    edge = 0
    for task in list(dataset_tasks(folder / "datasets" / "mp_structures.parquet"))[3::10]:
        form, other = (canonical(symmetric(c)) for c in (task.crystal, disguised(task.crystal, rng)))
        edge += labels(form) != labels(other) or differ(form, other) > 2e-3
    assert edge <= 4


@pytest.mark.parametrize("entry", load_prototypes()[::4], ids=lambda e: e.name)
def test_the_canonical_form_is_the_same_crystal_and_stays_itself(entry) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    form = canonical(symmetric(entry.crystal))
    assert differ(form, canonical(form)) < 1e-6
    matcher = StructureMatcher(scale=False)
    rms, _ = matcher.get_rms_dist(to_structure(form.to_crystal()), to_structure(entry.crystal))
    assert rms < 1e-3


def test_rocksalt_has_one_form_whichever_ion_sits_at_the_origin() -> None:
    one = SymmetricCrystal(225, (Orbit("a", 11, ()), Orbit("b", 17, ())), (5.64,))
    other = SymmetricCrystal(225, (Orbit("a", 17, ()), Orbit("b", 11, ())), (5.64,))
    assert canonical(one) == canonical(other)


def test_of_two_monoclinic_cells_of_one_shape_either_gives_the_same_form() -> None:
    """Where c cos(beta) = -a, c + 2a is as long as c; a hair decides which of them is the shorter."""
    rng = np.random.default_rng(3)
    a, c = 5.0, 9.0
    beta = float(np.degrees(np.arccos(-a / c)))
    orbits = tuple(Orbit("a", z, tuple(rng.random(3))) for z in (3, 8, 26, 57))
    less, more = (SymmetricCrystal(7, orbits, (a, 5.6, c), (beta + x,)) for x in (-0.02, 0.02))
    assert differ(canonical(symmetric(less.to_crystal())), canonical(symmetric(more.to_crystal()))) < 0.03


def cell_of(number: int) -> SymmetricCrystal:
    """A form with a general cell of a space group."""
    system = crystal_system(number)
    lengths = (4.1, 5.3, 6.7)[: len(set(LENGTHS[system]))]
    angles = (82.0, 97.0, 101.0)[: len(ANGLES.get(system, ()))]
    return SymmetricCrystal(number, (Orbit("a", 3, ()),), lengths, angles)


@pytest.mark.parametrize(
    ("number", "count"), [(2, 8), (47, 48), (62, 8), (194, 2), (216, 8), (221, 2), (225, 2), (227, 2)]
)
def test_sizes_of_normalisers(number: int, count: int) -> None:
    """Indices of the group in its Euclidean normaliser, International Tables A, chapter 15 (Pmmm: cubic metric)."""
    assert len(motions(cell_of(number))) == count


@pytest.mark.parametrize("number", [3, 14, 47, 62, 75, 148, 160, 166, 186, 216, 227])
def test_motions_map_the_group_onto_itself(number: int) -> None:
    group = space_group(number)
    point = np.array([0.137, 0.293, 0.411])
    for motion in motions(cell_of(number)):
        moved = motion.rotation @ group.images(point).T + motion.shift[:, None]
        start = motion.rotation @ point + motion.shift
        images = group.images(start)
        delta = moved.T[:, None] - images[None]
        assert (np.abs(delta - np.round(delta)).max(-1).min(1) < 1e-9).all()
        assert sorted(motion.letters.values()) == sorted(p.letter for p in group.positions)


def test_polar_groups() -> None:
    assert [len(polar_directions(n)) for n in (1, 2, 4, 8, 33, 62, 160, 186, 216)] == [3, 0, 1, 2, 1, 0, 1, 1, 0]
