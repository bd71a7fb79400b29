"""Optional potentials: what holds without their packages, and with them (SevenNet and MACE in environments of their own)."""

from __future__ import annotations

import hashlib
import importlib
import os
import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from redoxa.data.errors import PotentialError
from redoxa.data.records import Crystal
from redoxa.data.tables.prototypes import prototype
from redoxa.data.tables.reference import energy_scale
from redoxa.screening.compute.relax import RelaxSettings, relax
from redoxa.screening.contract import check_potential
from redoxa.screening.funnel import Context
from redoxa.screening.physics.electrode import State, performance
from redoxa.screening.potentials import from_ase, mace, sevennet
from redoxa.screening.potentials.base import load_potential, potential_class
from redoxa.screening.potentials.from_ase import point_result, published_bytes, tensors_only
from redoxa.screening.potentials.names import POTENTIALS
from redoxa.screening.settings import ScreenSettings
from tests.unit.screening.conftest import METALS, cubic, distorted, reference_of

DISTORTED = distorted(prototype("O3 LiCoO2").crystal, 1)

needs_sevennet = pytest.mark.skipif(find_spec("sevenn") is None, reason="SevenNet is not installed (redoxa[sevennet])")
needs_mace = pytest.mark.skipif(find_spec("mace") is None, reason="MACE is not installed (redoxa[mace])")


# -- scales ------------------------------------------------------------------------------------------------------------


def test_every_potential_has_a_scale_of_its_own():
    kinds = [potential_class(name) for name in POTENTIALS]
    assert [kind.name for kind in kinds] == list(POTENTIALS)
    assert len({energy_scale(kind.energy_scale, kind.model_id) for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("name", ["mace", "sevennet"])
def test_energies_of_another_potential_are_refused_against_the_shipped_scale(name):
    with pytest.raises(PotentialError, match="never mixed"):
        Context(reference_of(METALS)).surroundings(ScreenSettings(potential=name))
    own = energy_scale("uncorrected PBE/PBE+U", potential_class(name).model_id)
    around = Context(reference_of(METALS, own)).surroundings(ScreenSettings(potential=name))
    assert around.model.scale == own


# -- what is missing, and what must not be opened ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name", "words"), [(sevennet, "sevennet", r"redoxa\[sevennet\]"), (mace, "mace", r"redoxa\[mace\]")]
)
def test_a_missing_package_is_named_with_the_command_that_brings_it(monkeypatch, module, name, words):
    monkeypatch.setattr(module, "find_spec", lambda package: None)
    with pytest.raises(PotentialError, match=words):
        load_potential(name)


def test_missing_weights_are_named_with_sha256_source_and_place(monkeypatch, tmp_path):
    monkeypatch.setattr(mace, "find_spec", lambda package: package)
    monkeypatch.delenv(mace.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(PotentialError) as caught:
        load_potential("mace")
    for part in (mace.FILE, mace.Mace.sha256, mace.RELEASE, str(tmp_path / "mace"), mace.VARIABLE):
        assert part in str(caught.value)
    monkeypatch.setenv(mace.VARIABLE, str(tmp_path / "nowhere.model"))
    with pytest.raises(PotentialError, match="cannot be read"):
        load_potential("mace")


def test_another_file_than_the_published_one_is_never_opened(monkeypatch, tmp_path):
    (tmp_path / "weights").write_bytes(b"published")
    sha256 = hashlib.sha256(b"published").hexdigest()
    assert published_bytes(tmp_path / "weights", sha256) == b"published"
    (tmp_path / "weights").write_bytes(b"changed")
    with pytest.raises(PotentialError, match="not the published file"):
        published_bytes(tmp_path / "weights", sha256)
    monkeypatch.setattr(mace, "find_spec", lambda package: package)
    monkeypatch.setenv(mace.VARIABLE, str(tmp_path / "weights"))
    with pytest.raises(PotentialError, match="not the published file"):
        load_potential("mace")


class _Trap:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_a_checkpoint_runs_nothing_though_its_loader_unpickles(monkeypatch, tmp_path):
    monkeypatch.setenv(from_ase.FORCE_UNSAFE, "1")
    mark, file = tmp_path / "ran", tmp_path / "checkpoint.pth"
    torch.save({"weights": torch.ones(2), "more": _Trap(mark)}, file)
    with tensors_only([]), pytest.raises(pickle.UnpicklingError, match="Weights only"):
        torch.load(file, weights_only=False)
    assert not mark.exists()
    assert os.environ[from_ase.FORCE_UNSAFE] == "1"
    assert from_ase.FORCE_SAFE not in os.environ
    torch.load(file, weights_only=False)  # the trap works: without the switch it springs
    assert mark.exists()


# -- a calculator of ASE behind the protocol ---------------------------------------------------------------------------


class _Emt:
    """ASE's effective medium theory, as any calculator would come in."""

    name = "emt"

    def __init__(self) -> None:
        from ase.calculators.emt import EMT

        self._calculator = EMT()

    def compute(self, crystal, forces=True):
        return point_result(self._calculator, frozenset({13, 29}), self.name, crystal, forces)


ALLOY = distorted(cubic([29, 29, 29, 13], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], 3.7), 3, 0.1, 0.05)


def test_forces_and_stress_of_a_wrapped_calculator_are_slopes_of_its_energy():
    potential = _Emt()
    point = check_potential(potential, ALLOY)
    step = 1e-4
    for i in range(3):
        for j in range(3):
            energies = []
            for sign in (1, -1):
                strain = np.zeros((3, 3))
                strain[i, j] += sign * step / 2
                strain[j, i] += sign * step / 2
                cell = np.array(ALLOY.lattice_A) @ (np.eye(3) + strain)
                moved = Crystal(numbers=ALLOY.numbers, frac_coords=ALLOY.frac_coords, lattice_A=cell.tolist())
                energies.append(potential.compute(moved, forces=False).energy_eV)
            slope = (energies[0] - energies[1]) / (2 * step) / ALLOY.volume_A3
            assert slope == pytest.approx(point.stress_eV_A3[i, j], abs=2e-3)


@pytest.mark.parametrize(
    ("crystal", "words"),
    [
        (cubic([3], [[0, 0, 0]], 3.0), r"does not know the elements with Z in \[3\]"),
        (cubic([13, 13], [[0, 0, 0], [0.5, 0.5, 0.5]], 1.0), "no crystal"),
    ],
)
def test_what_a_wrapped_model_cannot_know_is_refused(crystal, words):
    with pytest.raises(PotentialError, match=words):
        _Emt().compute(crystal)


# -- SevenNet ----------------------------------------------------------------------------------------------------------


def voltage_V(potential, name: str, metal: Crystal) -> float:
    """Average voltage of a full removal, both states and the metal by one potential."""
    entry = prototype(name)
    ion_metal = relax(metal, potential, RelaxSettings(fmax_eV_A=0.01))
    full = relax(entry.crystal, potential)
    kept = [i for i, z in enumerate(full.crystal.numbers) if z != metal.numbers[0]]
    emptied = Crystal(
        numbers=[full.crystal.numbers[i] for i in kept],
        frac_coords=[full.crystal.frac_coords[i] for i in kept],
        lattice_A=full.crystal.lattice_A,
    )
    empty = relax(emptied, potential)
    assert all(r.converged for r in (ion_metal, full, empty))
    states = [State(r.crystal, r.energy_eV) for r in (full, empty)]
    return performance(states, entry.working_ion, ion_metal.energy_eV_per_atom).average_voltage_V


LI_BCC = cubic([3, 3], [[0, 0, 0], [0.5, 0.5, 0.5]], 3.44)


@pytest.fixture(scope="module")
def seven():
    return load_potential("sevennet")


@needs_sevennet
def test_sevennet_keeps_the_contract_and_leaves_torch_as_it_was(seven):
    check_potential(seven, DISTORTED)
    assert not {from_ase.FORCE_SAFE, from_ase.FORCE_UNSAFE} & set(os.environ)
    assert torch.get_default_dtype() == torch.float32


@needs_sevennet
def test_sevennet_equals_its_own_calculator(seven):
    from sevenn.calculator import SevenNetCalculator

    from redoxa.data.structures import to_atoms

    atoms = to_atoms(DISTORTED)
    atoms.calc = SevenNetCalculator(model="7net-0", device="cpu")
    point = seven.compute(DISTORTED)
    assert point.energy_eV == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    np.testing.assert_allclose(point.forces_eV_A, atoms.get_forces(), atol=1e-4)
    np.testing.assert_allclose(point.stress_eV_A3, atoms.get_stress(voigt=False), atol=1e-5)


@needs_sevennet
@pytest.mark.parametrize(
    ("name", "correction_eV"),  # MP2020: -0.687 an O, -1.638 a Co, -2.256 an Fe (doi:10.1038/s41598-021-94550-5)
    [("O3 LiCoO2", 2 * -0.687 - 1.638), ("olivine LiFePO4", 4 * (4 * -0.687 - 2.256))],
)
def test_sevennet_lies_above_chgnet_by_the_corrections_that_it_lacks(seven, chgnet, name, correction_eV):
    crystal = prototype(name).crystal
    gap_eV = chgnet.compute(crystal, forces=False).energy_eV - seven.compute(crystal, forces=False).energy_eV
    assert gap_eV / crystal.n_atoms == pytest.approx(correction_eV / crystal.n_atoms, abs=0.03)


@needs_sevennet
def test_sevennet_refuses_what_it_cannot_know(seven):
    with pytest.raises(PotentialError, match=r"does not know the elements with Z in \[100\]"):
        seven.compute(cubic([100], [[0, 0, 0]], 3.0))


@needs_sevennet
@pytest.mark.slow
@pytest.mark.parametrize(("name", "measured_V"), [("O3 LiCoO2", 3.9), ("olivine LiFePO4", 3.45)])
def test_sevennet_voltages_lie_near_the_measured_ones(seven, name, measured_V):
    assert voltage_V(seven, name, LI_BCC) == pytest.approx(measured_V, abs=0.7)


# -- MACE --------------------------------------------------------------------------------------------------------------


def small_network():
    """An untrained network of MACE-MPA-0's architecture, for three elements."""
    from mace import modules  # before e3nn, whose tables it lets torch read

    o3 = importlib.import_module("e3nn.o3")

    torch.manual_seed(0)
    blocks = modules.interaction_classes
    return modules.ScaleShiftMACE(
        r_max=6.0, num_bessel=10, num_polynomial_cutoff=5, max_ell=3,
        interaction_cls=blocks["RealAgnosticDensityResidualInteractionBlock"],
        interaction_cls_first=blocks["RealAgnosticDensityInteractionBlock"],
        num_interactions=2, num_elements=3, hidden_irreps=o3.Irreps("8x0e + 8x1o"), MLP_irreps=o3.Irreps("16x0e"),
        gate=torch.nn.functional.silu, atomic_energies=np.zeros(3), avg_num_neighbors=30.0, atomic_numbers=[3, 8, 27],
        correlation=3, radial_type="bessel", distance_transform="Agnesi", pair_repulsion=True,
        atomic_inter_scale=5.0, atomic_inter_shift=0.0, radial_MLP=[16, 16, 16],
    )  # fmt: skip


@needs_mace
def test_a_network_of_maces_architecture_loads_and_keeps_the_contract(monkeypatch, tmp_path):
    file = tmp_path / "small.model"
    torch.save(small_network(), file)
    monkeypatch.setenv(mace.VARIABLE, str(file))
    monkeypatch.setattr(mace.Mace, "sha256", hashlib.sha256(file.read_bytes()).hexdigest())
    potential = load_potential("mace")
    check_potential(potential, DISTORTED)
    assert torch.get_default_dtype() == torch.float32
    with pytest.raises(PotentialError, match="does not know"):
        potential.compute(LI_BCC.model_copy(update={"numbers": (11, 11)}))


@needs_mace
def test_even_the_right_sha256_lets_no_other_class_through(monkeypatch, tmp_path):
    mark, file = tmp_path / "ran", tmp_path / "trap.model"
    torch.save(_Trap(mark), file)
    monkeypatch.setenv(mace.VARIABLE, str(file))
    monkeypatch.setattr(mace.Mace, "sha256", hashlib.sha256(file.read_bytes()).hexdigest())
    with pytest.raises(PotentialError, match="cannot be loaded"):
        load_potential("mace")
    assert not mark.exists()


@needs_mace
@pytest.mark.slow
@pytest.mark.parametrize(("name", "measured_V"), [("O3 LiCoO2", 3.9), ("olivine LiFePO4", 3.45)])
def test_mace_voltages_lie_near_the_measured_ones(name, measured_V):
    try:
        mace.weights_path(mace.Mace.sha256)
    except PotentialError as error:
        pytest.skip(str(error))
    potential = load_potential("mace")
    check_potential(potential, DISTORTED)
    assert voltage_V(potential, name, LI_BCC) == pytest.approx(measured_V, abs=0.7)
