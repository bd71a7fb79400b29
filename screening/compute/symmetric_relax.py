"""Relaxation in the symmetric subspace: only the free numbers of a symmetric crystal move.

Most crystals of few atoms have a handful of free numbers. With a quasi-Newton step that starts from the stiffness of a
typical solid, two to six calls of the potential bring a good guess to within a few meV per atom of its minimum, a
fifth of what a relaxation of all atoms and the cell takes. It is a filter and a geometry, no substitute for
`screening.compute.relax`: a minimum within the symmetry may be a saddle outside of it.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import numpy as np
from pydantic import Field

from redoxa.data.errors import PotentialError, StructureError
from redoxa.data.records import Record, content_hash
from redoxa.data.symmetry.free_numbers import FreeNumbers
from redoxa.data.symmetry.site_symmetry import site_symmetry
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.screening.compute.relax import Relaxation, max_norm, min_distance_A
from redoxa.screening.potentials.base import FloatArray, PointResult, Potential, SymmetricPotential

METHOD = "symmetric subspace, BFGS; 1"
"""Enters every cache key: to be changed with the algorithm."""

SPRING_eV_A2 = 6.0
"""Typical second derivative of the energy by the displacement of one atom."""

MODULUS_eV_A3 = 1.2
"""Typical second derivative of the energy density by a strain: an elastic constant of 190 GPa."""

MOVE_A, STRAIN = 0.25, 0.08
"""Largest step of a site, and of the logarithm of a length or of an angle in radians."""


class SymmetricRelaxSettings(Record):
    """When a relaxation in the symmetric subspace ends."""

    gain_eV_per_atom: float = Field(default=0.003, gt=0)
    """Converged when the quadratic model promises less."""
    max_calls: int = Field(default=12, ge=1)
    volume_ratio: tuple[float, float] = (0.5, 2.0)
    min_distance_A: float = Field(default=0.5, gt=0)
    min_energy_eV_per_atom: float = -20.0


def symmetric_relaxation_key(form: SymmetricCrystal, model_id: str, settings: SymmetricRelaxSettings) -> str:
    """Content hash of all that decides the outcome: method, crystal, weights and settings."""
    return content_hash([METHOD, asdict(form), model_id, settings.content_hash])


def relax_symmetric(
    form: SymmetricCrystal, potential: Potential, settings: SymmetricRelaxSettings | None = None
) -> Relaxation:
    """Relax the free coordinates and the free cell parameters by BFGS; the crystal is the lowest point that was met.

    Raises:
        data.errors.PotentialError: the potential cannot compute the first geometry, or two sites lie in one place.
    """
    settings = settings or SymmetricRelaxSettings()
    started = time.process_time()
    try:
        free = FreeNumbers(form)
    except StructureError as error:
        raise PotentialError(str(error)) from error
    walk = _Walk(free, potential, settings)
    reason = walk.run()
    best = walk.best
    if best is None:
        raise PotentialError(f"{free.crystal(free.start).formula}: {reason}")
    return Relaxation(
        crystal=free.crystal(best.x),
        energy_eV=best.point.energy_eV,
        converged=not reason,
        steps=walk.calls - 1,
        force_calls=walk.calls,
        max_force_eV_A=max_norm(best.point.forces_eV_A),
        max_stress_eV_A3=float(np.abs(best.point.stress_eV_A3).max()) if best.point.stress_eV_A3 is not None else 0.0,
        seconds=time.process_time() - started,
        reason=reason,
        model=potential.model_id,
        start_energy_eV=walk.first_eV,
    )


@dataclass(frozen=True)
class _Place:
    """Free numbers [D], what the potential says there, and the slope in scaled coordinates [D]."""

    x: FloatArray
    point: PointResult
    slope: FloatArray


class _Walk:
    """BFGS in coordinates scaled by the typical stiffness, so that the unit matrix is a good first Hessian."""

    def __init__(self, free: FreeNumbers, potential: Potential, settings: SymmetricRelaxSettings) -> None:
        self.free, self.potential, self.settings = free, potential, settings
        self.best: _Place | None = None
        self.first_eV, self.calls = 0.0, 0
        self._symmetry = site_symmetry(free.form(free.start))
        self._volume_A3 = float(np.linalg.det(free.lattice_A(free.start)))
        moves, strains = free.squares(free.start)
        stiffness = np.concatenate([SPRING_eV_A2 * moves, MODULUS_eV_A3 * self._volume_A3 * strains])
        self._scale = np.sqrt(np.maximum(stiffness, 1e-3))

    def run(self) -> str:
        """Walk to the minimum; why it was not reached, or an empty string."""
        x, inverse = self.free.start, np.eye(len(self.free.start))
        before: _Place | None = None
        while True:
            try:
                here = self._compute(x)
            except PotentialError as error:
                if before is None:
                    raise
                return f"the potential gave up: {error}"
            if reason := self._complaint(here):
                return reason
            if self.best is None or here.point.energy_eV < self.best.point.energy_eV:
                self.best = here
            if before is not None:
                inverse = _updated(inverse, (x - before.x) * self._scale, here.slope - before.slope)
            step = -inverse @ here.slope
            gain = -float(here.slope @ step) / 2 / len(self.free.numbers)
            if gain < self.settings.gain_eV_per_atom:
                return ""
            if self.calls >= self.settings.max_calls:
                return f"a gain of {1000 * gain:.0f} meV/atom is left after {self.calls} calls"
            if before is not None and here.point.energy_eV > before.point.energy_eV:
                move = 0.6 * (before.x - x)  # most of the way back; the curvature has been learned
            else:
                move = self._limited(x, step / self._scale)
            before = here
            x = x + move

    def _compute(self, x: FloatArray) -> _Place:
        crystal = self.free.crystal(x)
        if isinstance(self.potential, SymmetricPotential):
            point = self.potential.compute_symmetric(crystal, self._symmetry)
        else:
            point = self.potential.compute(crystal)
        if point.forces_eV_A is None or point.stress_eV_A3 is None:
            raise PotentialError(f"{crystal.formula}: {self.potential.name} gives no forces or no stress")
        if not self.calls:
            self.first_eV = point.energy_eV
        self.calls += 1
        return _Place(x, point, self.free.gradient(x, point.forces_eV_A, point.stress_eV_A3) / self._scale)

    def _limited(self, x: FloatArray, step: FloatArray) -> FloatArray:
        move_A, strain = self.free.largest_move(x, step)
        return step / max(1.0, move_A / MOVE_A, strain / STRAIN)

    def _complaint(self, here: _Place) -> str:
        """Why to stop, or an empty string."""
        lattice, limits, energy_eV = self.free.lattice_A(here.x), self.settings, here.point.energy_eV
        ratio = float(np.linalg.det(lattice)) / self._volume_A3
        if not limits.volume_ratio[0] <= ratio <= limits.volume_ratio[1]:
            return f"exploded: the volume went to {ratio:.2f} times the first"
        if energy_eV / len(self.free.numbers) < limits.min_energy_eV_per_atom:
            return f"collapsed: {energy_eV / len(self.free.numbers):.1f} eV/atom is no material"
        if (near := min_distance_A(self.free.coords(here.x), lattice)) < limits.min_distance_A:
            return f"collapsed: two atoms came within {near:.2f} A"
        return ""


def _updated(inverse: FloatArray, move: FloatArray, change: FloatArray) -> FloatArray:
    """The BFGS update of an inverse Hessian; unchanged where the curvature is not positive."""
    curvature = float(move @ change)
    if curvature <= 1e-10:
        return inverse
    left = np.eye(len(move)) - np.outer(move, change) / curvature
    return np.asarray(left @ inverse @ left.T + np.outer(move, move) / curvature)
