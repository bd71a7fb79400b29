"""Downhill within the symmetry of a crystal: only its free numbers move.

Most crystals of few atoms have a handful of them. With a quasi-Newton step that starts from the stiffness of a typical
solid, two to six calls of the potential bring a good guess to within a few meV per atom of its minimum. By the
principle of symmetric criticality no force is left there in any direction, but it may be a saddle outside the symmetry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from redoxa.data.errors import PotentialError
from redoxa.data.records import Crystal, Record
from redoxa.data.symmetry.free_numbers import FreeNumbers
from redoxa.data.symmetry.site_symmetry import SiteSymmetry
from redoxa.screening.compute.measures import max_norm, min_distance_A
from redoxa.screening.potentials.base import FloatArray, PointResult, Potential, SymmetricPotential

SPRING_eV_A2 = 6.0
"""Typical second derivative of the energy by the displacement of one atom."""

MODULUS_eV_A3 = 1.8
"""Typical second derivative of the energy density by a strain: an elastic constant of 190 GPa."""

MOVE_A = 0.25
"""Largest step of a site."""

STRAIN, SOFT_eV_A3 = (0.01, 0.08), 3.0
"""Largest step of the cell along any axis: what the stress would do to a typical solid, within these bounds.

Long steps reach the minimum of too dense a start soon, but with little stress they leap over the edge of a shallow one,
such as that of layers that hardly anything holds together."""

STRESSED_eV_A3 = 0.03
"""A cell that grows under more stress (5 GPa) was too dense."""

NOTHING_eV_PER_ATOM = 2e-4
"""A gain below it ends a walk whatever the forces: on a shelf as flat as that the next steps lead to another basin."""

GAVE_UP = "the potential gave up"
"""How the complaint begins where a potential refuses a geometry on the way."""


class SymmetricRelaxSettings(Record):
    """When a relaxation in the symmetric subspace ends."""

    gain_eV_per_atom: float = Field(default=0.003, gt=0)
    """Converged when the quadratic model promises less."""
    fmax_eV_A: float | None = Field(default=None, gt=0)
    """Wanted as well, as `RelaxSettings` means it; None where the gain alone decides."""
    max_calls: int = Field(default=12, ge=1)
    volume_ratio: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest volume over that of the crystal."""
    swollen: float = Field(default=2.0, gt=1)
    """Largest volume over the last one under stress (`STRESSED_eV_A3`): what grows on without it drifts apart."""
    min_distance_A: float = Field(default=0.5, gt=0)
    min_energy_eV_per_atom: float = -20.0


@dataclass(frozen=True)
class Place:
    """Free numbers [D], what the potential says there, and the slope in scaled coordinates [D]."""

    x: FloatArray
    point: PointResult
    slope: FloatArray


class SymmetricWalk:
    """BFGS in coordinates scaled by the typical stiffness, so that the unit matrix is a good first Hessian.

    Args:
        crystal: its sites in their symmetric places.
        symmetry: operations on them.
        potential: what computes; spared what is equivalent where it can use that.
        settings: when it ends.

    Attributes:
        best: the lowest place that was met, and where it converged the last one; None before the first call.
        first_eV: energy of the crystal.
        calls: of the potential.
    """

    def __init__(
        self, crystal: Crystal, symmetry: SiteSymmetry, potential: Potential, settings: SymmetricRelaxSettings
    ) -> None:
        self.free = FreeNumbers(crystal, symmetry)
        self._symmetry, self._potential, self._settings = symmetry, potential, settings
        self.best: Place | None = None
        self.first_eV, self.calls = 0.0, 0
        self._volume_A3, self._atoms = crystal.volume_A3, crystal.n_atoms
        self._stressed_A3 = self._volume_A3
        stiffness = np.repeat(
            [SPRING_eV_A2, MODULUS_eV_A3 * self._volume_A3], [len(self.free.moves), len(self.free.strains)]
        )
        self._scale = np.sqrt(stiffness)

    def run(self) -> str:
        """Walk to the minimum; why it was not reached, or an empty string.

        Raises:
            PotentialError: the potential cannot compute the first geometry.
        """
        x, inverse = np.zeros(len(self.free)), np.eye(len(self.free))
        before: Place | None = None
        while True:
            try:
                here = self._compute(x)
            except PotentialError as error:
                if before is None:
                    raise
                return f"{GAVE_UP}: {error}"
            if reason := self._complaint(here):
                return reason
            if self.best is None or here.point.energy_eV < self.best.point.energy_eV:
                self.best = here
            if before is not None:
                inverse = _updated(inverse, (x - before.x) * self._scale, here.slope - before.slope)
            step = -inverse @ here.slope
            gain = -float(here.slope @ step) / 2 / self._atoms
            enough = NOTHING_eV_PER_ATOM if not self._forces_small(here) else self._settings.gain_eV_per_atom
            if gain < enough:
                self.best = here
                return ""
            if self.calls >= self._settings.max_calls:
                return f"a gain of {1000 * gain:.0f} meV/atom is left after {self.calls} calls"
            if before is not None and here.point.energy_eV > before.point.energy_eV:
                move = 0.6 * (before.x - x)  # most of the way back; the curvature has been learned
            else:
                move = self._limited(step / self._scale, _largest(here.point.stress_eV_A3))
            before = here
            x = x + move

    @property
    def crystal(self) -> Crystal:
        """The crystal at the best place; where it began before the first call."""
        return self.free.crystal(np.zeros(len(self.free)) if self.best is None else self.best.x)

    def _compute(self, x: FloatArray) -> Place:
        crystal = self.free.crystal(x)
        if isinstance(self._potential, SymmetricPotential):
            point = self._potential.compute_symmetric(crystal, self._symmetry)
        else:
            point = self._potential.compute(crystal)
        if point.forces_eV_A is None or point.stress_eV_A3 is None:
            raise PotentialError(f"{crystal.formula}: {self._potential.name} gives no forces or no stress")
        if not self.calls:
            self.first_eV = point.energy_eV
        self.calls += 1
        return Place(x, point, self.free.gradient(x, point.forces_eV_A, point.stress_eV_A3) / self._scale)

    def _forces_small(self, here: Place) -> bool:
        """Whether no force on an atom, and none on the cell per atom, is larger than asked for."""
        limit, point = self._settings.fmax_eV_A, here.point
        if limit is None or point.stress_eV_A3 is None:
            return True
        volume_A3 = abs(float(np.linalg.det(self.free.lattice_A(here.x))))
        return max(max_norm(point.forces_eV_A), max_norm(point.stress_eV_A3 * volume_A3 / self._atoms)) < limit

    def _limited(self, step: FloatArray, stress_eV_A3: float) -> FloatArray:
        move_A, strain = self.free.largest_move(step)
        longest = min(max(stress_eV_A3 / SOFT_eV_A3, STRAIN[0]), STRAIN[1])
        return step / max(1.0, move_A / MOVE_A, strain / longest)

    def _complaint(self, here: Place) -> str:
        """Why to stop, or an empty string."""
        lattice, limits, energy_eV = self.free.lattice_A(here.x), self._settings, here.point.energy_eV / self._atoms
        volume_A3 = abs(float(np.linalg.det(lattice)))
        ratio = volume_A3 / self._volume_A3
        if _largest(here.point.stress_eV_A3) > STRESSED_eV_A3:
            self._stressed_A3 = volume_A3
        swollen = volume_A3 > limits.swollen * self._stressed_A3
        if swollen or not limits.volume_ratio[0] <= ratio <= limits.volume_ratio[1]:
            return f"exploded: the volume went to {ratio:.2f} times the first"
        if energy_eV < limits.min_energy_eV_per_atom:
            return f"collapsed: {energy_eV:.1f} eV/atom is no material"
        if (near := min_distance_A(self.free.coords(here.x), lattice)) < limits.min_distance_A:
            return f"collapsed: two atoms came within {near:.2f} A"
        return ""


def _largest(stress_eV_A3: FloatArray | None) -> float:
    """Largest component of a stress in eV/A^3; 0 for none."""
    return 0.0 if stress_eV_A3 is None else float(np.abs(stress_eV_A3).max())


def _updated(inverse: FloatArray, move: FloatArray, change: FloatArray) -> FloatArray:
    """The BFGS update of an inverse Hessian; unchanged where the curvature is not positive."""
    curvature = float(move @ change)
    if curvature <= 1e-10:
        return inverse
    left = np.eye(len(move)) - np.outer(move, change) / curvature
    return np.asarray(left @ inverse @ left.T + np.outer(move, move) / curvature)
