"""CHGNet with one each of equivalent atoms, bonds and angles is CHGNet with all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from ase import Atoms

from redoxa.data.errors import PotentialError, StructureError
from redoxa.data.symmetry.free_numbers import FreeNumbers
from redoxa.data.symmetry.site_symmetry import SiteSymmetry, site_symmetry
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.symmetry.symmetric import LAST_GROUP, Orbit, SymmetricCrystal, crystal_system
from redoxa.screening.potentials import chgnet as chgnet_module
from redoxa.screening.potentials.base import SymmetricPotential
from redoxa.screening.potentials.chgnet import edge_index, load_network, neighbor_list
from redoxa.screening.potentials.chgnet_network import ChgnetNetwork, EdgeIndex
from redoxa.screening.potentials.symmetric_edges import symmetric_edges


def templates(of_each: int) -> Iterator[SymmetricCrystal]:
    """Shipped templates at random, as many of each crystal system, without elements that CHGNet does not know."""
    table, left = load_templates(), dict.fromkeys(LAST_GROUP.values(), of_each)
    for i in np.random.default_rng(0).permutation(len(table)):
        system = crystal_system(int(table.groups[i]))
        if left[system] and max(table[i].composition) <= chgnet_module.MAX_ATOMIC_NUMBER:
            left[system] -= 1
            yield table[i].form


FORMS = {f"{i}: group {form.group}": form for i, form in enumerate(templates(3))}
MOVES = (0.0, 0.02)
"""Largest random change of the free numbers."""

SQUARE = SymmetricCrystal(221, (Orbit("a", 11, ()), Orbit("b", 17, ())), (3.0,))
"""Caesium chloride with pairs exactly at both cutoffs."""


def free_of(form: SymmetricCrystal) -> FreeNumbers:
    return FreeNumbers(form.to_crystal(), site_symmetry(form))


def moved(form: SymmetricCrystal, size: float) -> tuple[FreeNumbers, np.ndarray]:
    free = free_of(form)
    return free, np.random.default_rng(1).uniform(-size, size, len(free))


def atoms(free: FreeNumbers, x: np.ndarray) -> Atoms:
    """Not rounded to six digits, as a `Crystal` is."""
    return Atoms(numbers=free.numbers, scaled_positions=free.coords(x), cell=free.lattice_A(x), pbc=True)


@pytest.fixture(scope="module")
def exact() -> ChgnetNetwork:
    """CHGNet in double precision."""
    load, patch = torch.load, pytest.MonkeyPatch()

    def doubled(*args, **kwargs):
        model = load(*args, **kwargs)
        weights = model["model"]["state_dict"]
        model["model"]["state_dict"] = {k: w.double() if w.is_floating_point() else w for k, w in weights.items()}
        return model

    with patch.context() as inside:
        inside.setattr(torch, "load", doubled)
        return load_network("0.3.0")


def in_double(edges: EdgeIndex) -> EdgeIndex:
    counts = edges.counts and replace(
        edges.counts, **{f.name: getattr(edges.counts, f.name).double() for f in fields(edges.counts)}
    )
    return replace(edges, bond_image=edges.bond_image.double(), leg_image=edges.leg_image.double(), counts=counts)


def energy_and_slope(network, numbers, free: FreeNumbers, x, edges) -> tuple[float, np.ndarray]:
    """Energy (eV) and its derivative by the free numbers, by the chain rule from what the network is written with."""
    coords, cell = (torch.tensor(v, requires_grad=True) for v in (free.coords(x), free.lattice_A(x)))
    energy, _, composition_eV = network(torch.as_tensor(numbers), coords, cell, in_double(edges))
    d_frac, d_cell = (g.numpy() for g in torch.autograd.grad(energy, (coords, cell)))
    lattice = free.lattice_A(x)
    virial = lattice.T @ d_cell
    slope = free.gradient(x, -np.linalg.solve(lattice, d_frac.T).T, (virial + virial.T) / 2 / np.linalg.det(lattice))
    return energy.item() + composition_eV, slope


@pytest.mark.parametrize("size", MOVES)
@pytest.mark.parametrize("name", FORMS)
def test_the_same_function_of_the_free_numbers(name, size, exact):
    (free, x), symmetry = moved(FORMS[name], size), site_symmetry(FORMS[name])
    numbers, frac, lattice = np.array(free.numbers), free.coords(x), free.lattice_A(x)
    starts = symmetry.representatives
    all_edges = edge_index(numbers, frac, lattice, exact.atom_cutoff_A, exact.bond_cutoff_A)
    edges = symmetric_edges(
        symmetry, frac, neighbor_list(frac, lattice, exact.atom_cutoff_A, starts), exact.bond_cutoff_A
    )
    assert len(edges.center) <= len(all_edges.center) * len(starts) / len(numbers)
    energy_eV, slope = energy_and_slope(exact, numbers[starts], free, x, edges)
    whole_eV, whole = energy_and_slope(exact, numbers, free, x, all_edges)
    assert energy_eV == pytest.approx(whole_eV, abs=1e-9)
    np.testing.assert_allclose(slope, whole, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("size", MOVES)
@pytest.mark.parametrize("name", list(FORMS)[::2])
def test_the_same_forces_stress_and_moments(name, size, chgnet):
    """Up to single precision, in which nearly straight bonds cost digits."""
    free, x = moved(FORMS[name], size)
    crystal = atoms(free, x)
    whole, here = chgnet.compute(crystal), chgnet.compute_symmetric(crystal, site_symmetry(FORMS[name]))
    assert here.energy_eV == pytest.approx(whole.energy_eV, abs=1e-5 * len(crystal))
    largest = max(1.0, float(np.abs(whole.forces_eV_A).max()))
    np.testing.assert_allclose(here.forces_eV_A, whole.forces_eV_A, atol=5e-4 * largest)
    np.testing.assert_allclose(here.stress_eV_A3, whole.stress_eV_A3, atol=2e-5 * largest)
    np.testing.assert_allclose(here.magmoms_muB, whole.magmoms_muB, atol=1e-4)
    slope, other = (free.gradient(x, p.forces_eV_A, p.stress_eV_A3) for p in (here, whole))
    np.testing.assert_allclose(slope, other, rtol=1e-4, atol=1e-4 * max(20.0, np.linalg.norm(other)))


def test_pairs_at_both_cutoffs(chgnet):
    crystal = SQUARE.to_crystal()
    whole, here = chgnet.compute(crystal), chgnet.compute_symmetric(crystal, site_symmetry(SQUARE))
    assert here.energy_eV == pytest.approx(whole.energy_eV, abs=1e-5)
    np.testing.assert_allclose(here.stress_eV_A3, whole.stress_eV_A3, atol=1e-5)


def test_sites_without_the_symmetry_are_computed_in_full(chgnet):
    form = next(form for form in FORMS.values() if form.to_crystal().n_atoms > 2 and form.group > 15)
    crystal = atoms(*moved(form, 0.0))
    crystal.positions[0] += 0.1
    symmetry = site_symmetry(form)
    with pytest.raises(StructureError, match="do not have the symmetry"):
        symmetry.images(crystal.get_scaled_positions())
    assert chgnet.compute_symmetric(crystal, symmetry).energy_eV == chgnet.compute(crystal).energy_eV


def test_what_is_refused_of_all_atoms_is_refused_of_some(chgnet):
    assert isinstance(chgnet, SymmetricPotential)
    for lengths, numbers, what in [((0.9,), (11, 17), "no crystal"), ((30.0,), (11, 17), "no neighbour"),
                                   ((5.6,), (11, 100), "up to Pu")]:  # fmt: skip
        form = SymmetricCrystal(225, tuple(Orbit(w, z, ()) for w, z in zip("ab", numbers, strict=True)), lengths)
        with pytest.raises(PotentialError, match=what):
            chgnet.compute_symmetric(form.to_crystal(), site_symmetry(form))


@pytest.mark.parametrize("name", list(FORMS)[::4])
def test_averages_keep_what_is_symmetric(name, chgnet):
    """Forces and a stress of any kind become symmetric ones, and those stay."""
    free, x = moved(FORMS[name], MOVES[1])
    symmetry: SiteSymmetry = site_symmetry(FORMS[name])
    rng, lattice = np.random.default_rng(2), free.lattice_A(x)
    random = rng.normal(size=(3, 3))
    forces, stress = symmetry.averaged(rng.normal(size=(len(free.numbers), 3)), random + random.T, lattice)
    again, still = symmetry.averaged(forces, stress, lattice)
    np.testing.assert_allclose(again, forces, atol=1e-9)
    np.testing.assert_allclose(still, stress, atol=1e-9)
