"""Relaxation with the dispersion that PBE lacks, for the geometry of hosts in layers alone: energies stay as they were.

DFT-D3(BJ) (S. Grimme, S. Ehrlich, L. Goerigk, J. Comput. Chem. 32, 1456, 2011, doi:10.1002/jcc.21759) by the library
s-dftd3, with the parameters of the functional that the potential was trained on. It costs a tenth of a call of CHGNet.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ase.units import Bohr, Hartree

from redoxa.data.errors import PotentialError
from redoxa.data.records import Crystal, Record, content_hash
from redoxa.data.structures import to_atoms
from redoxa.screening.compute.relax import Relaxation, RelaxSettings, relax
from redoxa.screening.ions.layers import Loose, loose_parts
from redoxa.screening.potentials.base import PointResult, Potential, check_finite

if TYPE_CHECKING:
    from ase import Atoms

METHOD = "D3(BJ), parts closed in steps; 1"
"""Enters every cache key: to be changed with the algorithm."""

PAIRS_BOHR, TRIPLES_BOHR, NEIGHBOURS_BOHR = 40.0, 10.0, 30.0
"""Reach of pair energies, of triple ones (unused) and of coordination numbers; wider ones change 1 meV/atom."""

CLOSING = np.arange(-0.05, -0.71, -0.05)
"""Growths of the volume at which a host is tried before it relaxes, as far as its energy falls."""


class DispersionSettings(Record):
    """Relax with dispersion."""

    relax: RelaxSettings


class WithDispersion:
    """A potential and D3(BJ)."""

    name: ClassVar[str] = "d3"
    model_id: ClassVar[str] = "D3(BJ)"
    energy_scale: ClassVar[str] = "dispersion added: no scale of the hull"
    energy_mae_eV_per_atom: ClassVar[float] = 0.03

    def __init__(self, potential: Potential) -> None:
        check_installed()
        from dftd3.interface import RationalDampingParam

        functional = "r2scan" if "r2SCAN" in potential.energy_scale else "pbe"
        self._potential = potential
        self._damping = RationalDampingParam(method=functional, atm=False)

    def compute(self, crystal: Crystal | Atoms, forces: bool = True) -> PointResult:
        """Energy, forces and stress of both together.

        Raises:
            PotentialError: the potential or D3 cannot compute this geometry.
        """
        from dftd3.interface import DispersionModel

        point = self._potential.compute(crystal, forces)
        atoms = to_atoms(crystal) if isinstance(crystal, Crystal) else crystal
        try:
            model = DispersionModel(
                atoms.numbers, atoms.positions / Bohr, np.asarray(atoms.cell) / Bohr, np.full(3, True)
            )
            model.set_realspace_cutoff(PAIRS_BOHR, TRIPLES_BOHR, NEIGHBOURS_BOHR)
            found = model.get_dispersion(self._damping, grad=forces)
        except RuntimeError as error:
            raise PotentialError(f"{atoms.get_chemical_formula()}: D3: {error}") from error
        energy_eV = point.energy_eV + float(found["energy"]) * Hartree
        if point.forces_eV_A is None or point.stress_eV_A3 is None:
            return check_finite(PointResult(energy_eV), "D3")
        forces_eV_A = point.forces_eV_A - found["gradient"] * (Hartree / Bohr)
        stress_eV_A3 = point.stress_eV_A3 + found["virial"] * (Hartree / atoms.get_volume())
        return check_finite(PointResult(energy_eV, forces_eV_A, stress_eV_A3, point.magmoms_muB), "D3")


def check_installed() -> None:
    """Say what to install where s-dftd3 is missing.

    Raises:
        PotentialError: it is.
    """
    if find_spec("dftd3") is None:
        raise PotentialError("dispersion needs s-dftd3; run `pip install 'redoxa[dispersion]'`")


def dispersion_key(crystal: Crystal, model_id: str, settings: DispersionSettings) -> str:
    """Content hash of all that decides the outcome: method, input crystal, weights and settings."""
    return content_hash([METHOD, crystal.content_hash, model_id, settings.content_hash])


def relax_dispersed(crystal: Crystal, potential: Potential, settings: DispersionSettings) -> Relaxation:
    """Relax with dispersion; layers that have drifted apart without it are first moved back. Its energy is of no scale.

    Raises:
        PotentialError: the library is missing, or the first geometry cannot be computed.
    """
    corrected = WithDispersion(potential)
    loose = loose_parts(crystal)
    start = crystal if loose is None else _closed(loose, corrected)
    done = relax(start, corrected, settings.relax)
    return done.model_copy(update={"model": f"{potential.model_id} with D3(BJ)"})


def _closed(loose: Loose, potential: Potential) -> Crystal:
    """Move the parts together as long as the energy falls."""
    best, lowest_eV = loose.crystal, potential.compute(loose.crystal, forces=False).energy_eV
    for growth in CLOSING:
        closer = loose.opened(float(growth))
        energy_eV = potential.compute(closer, forces=False).energy_eV
        if energy_eV >= lowest_eV:
            break
        best, lowest_eV = closer, energy_eV
    return best
