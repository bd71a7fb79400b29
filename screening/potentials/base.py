"""Interatomic potentials behind one Protocol. Each declares its energy scale, so that scales are never mixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from redoxa.data.errors import PotentialError
from redoxa.data.registry import load
from redoxa.screening.potentials.names import POTENTIALS

if TYPE_CHECKING:
    from ase import Atoms

    from redoxa.data.records import Crystal
    from redoxa.data.symmetry.site_symmetry import SiteSymmetry

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PointResult:
    """What a potential says of one geometry.

    Attributes:
        energy_eV: energy of the whole cell.
        forces_eV_A: forces [N,3], or None where only the energy was asked for.
        stress_eV_A3: symmetric stress (dE/dstrain)/V [3,3], positive under tension as in ASE, or None likewise.
        magmoms_muB: absolute magnetic moments [N], or None where the potential knows none.
    """

    energy_eV: float
    forces_eV_A: FloatArray | None = None
    stress_eV_A3: FloatArray | None = None
    magmoms_muB: FloatArray | None = None


class Potential(Protocol):
    """An interatomic potential, loaded once a process.

    `model_id` names the weights and enters every cache key; `energy_scale` names the level of theory and its
    corrections: energies of two scales are never subtracted from one another.
    """

    name: ClassVar[str]
    model_id: ClassVar[str]
    energy_scale: ClassVar[str]
    energy_mae_eV_per_atom: ClassVar[float]

    def compute(self, crystal: Crystal | Atoms, forces: bool = True) -> PointResult:
        """Energy (and forces, stress, moments) at this geometry.

        Raises:
            data.errors.PotentialError: an element or a geometry outside the model, or a result that is not finite.
        """
        ...


@runtime_checkable
class SymmetricPotential(Protocol):
    """A potential that can spare itself what the symmetry of a crystal makes equal.

    A class that overrides `compute` of such a potential overrides this as well.
    """

    def compute_symmetric(self, crystal: Crystal | Atoms, symmetry: SiteSymmetry) -> PointResult:
        """What `Potential.compute` gives for a crystal of that symmetry, with forces, to rounding.

        Args:
            crystal: its sites in the order of `symmetry`, each in its symmetric place.
            symmetry: operations on the sites.

        Raises:
            data.errors.PotentialError: as `Potential.compute` does.
        """
        ...


def potential_class(name: str) -> type[Potential]:
    """The class of a registered potential, with its model and scale, without loading weights.

    Raises:
        data.errors.UnknownKindError: no such potential.
    """
    kind: type[Potential] = load(POTENTIALS, "potential", name)
    return kind


def load_potential(name: str = "chgnet") -> Potential:
    """Load a registered potential.

    Raises:
        data.errors.UnknownKindError: no such potential.
        data.errors.PotentialError: its package or its weights are missing.
    """
    return potential_class(name)()


def check_finite(result: PointResult, what: str) -> PointResult:
    """Return `result`, or raise where a number in it is not finite.

    Raises:
        data.errors.PotentialError: naming the quantity and `what` it was computed for.
    """
    for name in ("energy_eV", "forces_eV_A", "stress_eV_A3"):
        value = getattr(result, name)
        if value is not None and not np.all(np.isfinite(value)):
            raise PotentialError(f"{what}: the potential gave a {name} that is not finite")
    return result
