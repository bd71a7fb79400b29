"""Our CHGNet against the stock one, and against its own gradient."""

from __future__ import annotations

import contextlib
import gc
import io
import warnings

import numpy as np
import pytest

from redoxa.data.errors import ContractError, PotentialError, UnknownKindError
from redoxa.data.records import Crystal
from redoxa.data.structures import to_atoms, to_structure
from redoxa.data.tables.prototypes import prototype
from redoxa.data.units import GPA_PER_EV_PER_A3
from redoxa.screening.contract import check_potential
from redoxa.screening.potentials.base import PointResult, check_finite, load_potential
from tests.unit.screening.conftest import cubic, distorted

GEOMETRIES = {
    "layered oxide": distorted(prototype("O3 LiCoO2").crystal, 1),
    "olivine": distorted(prototype("olivine LiFePO4").crystal, 2, amplitude_A=0.15),
    "sulfide": distorted(prototype("layered LiTiS2").crystal, 3),
    "two atoms, images only": distorted(cubic([3, 9], [[0, 0, 0], [0.5, 0.5, 0.5]], 2.6), 4, amplitude_A=0.02),
    "no bond shorter than 3 A": cubic([55, 55], [[0, 0, 0], [0.5, 0.5, 0.5]], 6.14),
    "pairs exactly at both cutoffs": cubic([11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]], 3.0),
    "skewed cell": Crystal(
        numbers=[3, 3, 8], frac_coords=[[0.26, 0.25, 0.25], [0.75, 0.75, 0.74], [0, 0, 0]],
        lattice_A=[[3.2, 0.1, 0], [1.5, 2.9, 0.2], [1.7, 0.8, 2.7]],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def stock():
    with contextlib.redirect_stdout(io.StringIO()):
        from chgnet.model import CHGNet

        return CHGNet.load(use_device="cpu", verbose=False)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_equals_stock_chgnet(chgnet, stock, name):
    crystal = GEOMETRIES[name]
    ours = chgnet.compute(crystal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = stock.predict_structure(to_structure(crystal))
    assert ours.energy_eV / crystal.n_atoms == pytest.approx(float(theirs["e"]), abs=1e-5)
    np.testing.assert_allclose(ours.forces_eV_A, theirs["f"], atol=1e-4)
    np.testing.assert_allclose(ours.stress_eV_A3, theirs["s"] / GPA_PER_EV_PER_A3, atol=1e-5)
    np.testing.assert_allclose(ours.magmoms_muB, theirs["m"], atol=1e-4)


@pytest.mark.parametrize("name", ["layered oxide", "skewed cell"])
def test_forces_are_the_gradient_of_the_energy(chgnet, name):
    check_potential(chgnet, GEOMETRIES[name])


def test_stress_is_the_slope_of_the_energy_under_strain(chgnet):
    crystal = GEOMETRIES["layered oxide"]
    stress = chgnet.compute(crystal).stress_eV_A3
    step = 2e-3
    for i, j in [(0, 0), (2, 2), (0, 1)]:
        energies = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            cell = np.array(crystal.lattice_A) @ (np.eye(3) + strain)
            moved = Crystal(numbers=crystal.numbers, frac_coords=crystal.frac_coords, lattice_A=cell.tolist())
            energies.append(chgnet.compute(moved, forces=False).energy_eV)
        slope = (energies[0] - energies[1]) / (2 * step) / crystal.volume_A3
        assert slope == pytest.approx(stress[i, j], abs=2e-4)


def test_energy_only_has_no_gradient(chgnet):
    crystal = GEOMETRIES["sulfide"]
    point = chgnet.compute(crystal, forces=False)
    assert point.forces_eV_A is None
    assert point.stress_eV_A3 is None
    assert point.energy_eV == pytest.approx(chgnet.compute(crystal).energy_eV, abs=1e-5)


def test_atoms_and_records_give_the_same(chgnet):
    crystal = GEOMETRIES["olivine"]
    a, b = chgnet.compute(crystal), chgnet.compute(to_atoms(crystal))
    assert a.energy_eV == pytest.approx(b.energy_eV, abs=1e-5)
    np.testing.assert_allclose(a.forces_eV_A, b.forces_eV_A, atol=1e-5)


def test_energy_is_extensive_and_blind_to_the_choice_of_cell(chgnet):
    from redoxa.screening.ions.removal import supercell

    crystal = GEOMETRIES["layered oxide"]
    double = supercell(crystal, 2)
    assert chgnet.compute(double).energy_eV == pytest.approx(2 * chgnet.compute(crystal).energy_eV, abs=1e-4)


@pytest.mark.parametrize(
    ("crystal", "words"),
    [
        (cubic([2], [[0, 0, 0]], 9.0), "no neighbour"),
        (cubic([95], [[0, 0, 0]], 3.0), "up to Pu"),
        (cubic([3, 3], [[0, 0, 0], [0.5, 0.5, 0.5]], 1.0), "no crystal"),
    ],
)
def test_what_the_model_cannot_know_is_refused(chgnet, crystal, words):
    with pytest.raises(PotentialError, match=words):
        chgnet.compute(crystal)


def test_garbage_collection_stays_as_it_was(chgnet):
    before = gc.get_threshold()
    chgnet.compute(GEOMETRIES["skewed cell"])
    with pytest.raises(PotentialError):
        chgnet.compute(cubic([2], [[0, 0, 0]], 9.0))
    assert gc.get_threshold() == before
    assert gc.isenabled()


def test_r2scan_is_another_scale_and_loads_silently(chgnet, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r2scan = load_potential("chgnet-r2scan")
        point = r2scan.compute(GEOMETRIES["skewed cell"])
    assert capfd.readouterr() == ("", "")
    assert r2scan.energy_scale != chgnet.energy_scale
    assert abs(point.energy_eV - chgnet.compute(GEOMETRIES["skewed cell"]).energy_eV) > 0.5


def test_unknown_potential_is_named_with_a_suggestion():
    with pytest.raises(UnknownKindError, match="Did you mean 'chgnet'"):
        load_potential("chgnett")


def test_not_a_number_is_refused():
    with pytest.raises(PotentialError, match="forces_eV_A that is not finite"):
        check_finite(PointResult(1.0, np.array([[np.nan, 0, 0]]), np.zeros((3, 3))), "Li")


def test_the_contract_notices_wrong_forces(chgnet):
    class Wrong:
        name = model_id = energy_scale = "wrong"

        def compute(self, crystal, forces=True):
            right = chgnet.compute(crystal, forces)
            if right.forces_eV_A is None:
                return right
            return PointResult(right.energy_eV, 2 * right.forces_eV_A, right.stress_eV_A3)

    with pytest.raises(ContractError, match="slope"):
        check_potential(Wrong(), GEOMETRIES["layered oxide"])
