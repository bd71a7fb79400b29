"""Relax positions and cell with a potential; say whether it converged, and stop early where it runs away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.filters import UnitCellFilter
from ase.optimize import FIRE, LBFGS
from pydantic import Field

from redoxa.data.errors import PotentialError, StructureError
from redoxa.data.records import Crystal, Record, content_hash
from redoxa.data.structures import from_atoms, to_atoms
from redoxa.data.symmetry.site_symmetry import found_symmetry
from redoxa.screening.compute.measures import max_norm, min_distance_A
from redoxa.screening.compute.symmetric_walk import GAVE_UP, SymmetricRelaxSettings, SymmetricWalk
from redoxa.screening.potentials.base import PointResult, Potential

if TYPE_CHECKING:
    from ase import Atoms
    from ase.optimize.optimize import Optimizer

METHOD = "within the symmetry, then deformation gradient, FIRE, L-BFGS; 5"
"""Enters every cache key: to be changed with the algorithm."""

FIRE_ABOVE_eV_A = 10.0
"""From forces beyond this FIRE takes the first steps: L-BFGS learns a useless curvature there."""

FIRE_STEPS = 20
SWOLLEN = 1.3
"""Volume over the first at which L-BFGS is given up: published hosts grow by less, layers that drift apart by more."""

SWOLLEN_AFTER = 1.1
"""The same after the walk within the symmetry, which was at a minimum: what goes far from it tears layers apart."""

CLIMBED_eV_PER_ATOM = 0.05
"""Rise over the lowest place at which L-BFGS goes back there and forgets its curvature: on from above it is led by
chance, and the last bits decide where it ends."""

RAN_AWAY = ("exploded", "collapsed")
"""How complaints about where a relaxation went begin."""

SYMPREC_A = 0.01
"""How far atoms may lie from their symmetric places to be put there before the first step."""

FREE_AFTER = 60
"""Steps with all atoms free after those within the symmetry: one or a few do, or it is begun anew from the start."""

FIRST_STEPS = 5
"""Steps during which a strange start may still be in wild motion before its forces count as an explosion."""


class RelaxSettings(Record):
    """When a relaxation is done, and when it is given up."""

    fmax_eV_A: float = Field(default=0.05, gt=0, le=1)
    """Largest force on an atom, and on the cell per atom (virial by number of atoms), at convergence."""
    max_steps: int = Field(default=300, ge=1, le=5000)
    max_step_A: float = Field(default=0.2, gt=0, le=1)
    max_force_eV_A: float = Field(default=100.0, gt=0)
    volume_ratio: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest volume over the starting one."""
    max_energy_rise_eV_per_atom: float = Field(default=2.0, gt=0)
    min_distance_A: float = Field(default=0.5, gt=0)
    min_energy_eV_per_atom: float = -20.0
    """Below any real material: the potential has fallen into a hole."""
    symmetry_first: bool = True
    """Whether what the symmetry leaves free is relaxed before all else."""


class Relaxation(Record):
    """How a relaxation ended (`energy_eV` of the whole cell). Unconverged ones say their `reason` and are no result."""

    crystal: Crystal
    energy_eV: float
    converged: bool
    steps: int
    force_calls: int
    max_force_eV_A: float
    max_stress_eV_A3: float
    seconds: float
    """Processor time of the process that computed it, all threads; its start, waiting and a GPU are no part of it.

    Relaxations that an earlier version kept hold time by the clock on the wall.
    """
    reason: str = ""
    model: str = ""
    start_energy_eV: float | None = None
    """Of the whole cell as it came; None in relaxations that were kept before it was recorded."""
    magmoms_muB: tuple[float, ...] = ()
    """Absolute magnetic moments [N] at the end; none where the potential knows none."""

    @property
    def energy_eV_per_atom(self) -> float:
        """Energy by atom."""
        return self.energy_eV / self.crystal.n_atoms


def relaxation_key(crystal: Crystal, model_id: str, settings: RelaxSettings) -> str:
    """Content hash of all that decides a relaxation's outcome: method, input crystal, weights and settings."""
    return content_hash([METHOD, crystal.content_hash, model_id, settings.content_hash])


class PotentialCalculator(Calculator):  # type: ignore[misc]  # ASE is untyped
    """A `Potential` as an ASE calculator that counts its force calls."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "magmoms"]

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self.potential = potential
        self.calls = 0
        self.last: PointResult | None = None

    def calculate(
        self,
        atoms: Any = None,
        properties: Any = None,  # noqa: ARG002
        system_changes: Any = all_changes,  # noqa: ARG002
    ) -> None:
        """Fill `results` with energy (eV), forces (eV/A), Voigt stress (eV/A^3) and moments (mu_B)."""
        self.atoms = atoms.copy()
        self.calls += 1
        point = self.potential.compute(atoms)
        self.last = point
        self.results = {"energy": point.energy_eV, "free_energy": point.energy_eV, "forces": point.forces_eV_A}
        if point.stress_eV_A3 is not None:
            self.results["stress"] = point.stress_eV_A3[(0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)]
        if point.magmoms_muB is not None:
            self.results["magmoms"] = point.magmoms_muB


class _Watch:
    """Says when a relaxation runs away: forces, volume, energy, or atoms on one another."""

    def __init__(self, atoms: Atoms, settings: RelaxSettings) -> None:
        self.settings = settings
        self.volume_A3 = atoms.get_volume()
        self.lowest_eV = np.inf
        self.lowest = atoms.copy()
        self.rose = False
        self.steps = 0

    def complaint(self, atoms: Atoms, point: PointResult) -> str:
        """Return why to stop at this geometry, or an empty string."""
        limits = self.settings
        self.steps += 1
        per_atom = point.energy_eV / len(atoms)
        if per_atom < self.lowest_eV:
            self.lowest_eV, self.lowest = per_atom, atoms.copy()
        self.rose = per_atom - self.lowest_eV > limits.max_energy_rise_eV_per_atom
        ratio = atoms.get_volume() / self.volume_A3
        force = max_norm(point.forces_eV_A)
        near = min_distance_A(atoms.get_scaled_positions(), np.asarray(atoms.cell))
        if force > limits.max_force_eV_A and self.steps > FIRST_STEPS:
            return f"exploded: a force of {force:.0f} eV/A"
        if not limits.volume_ratio[0] <= ratio <= limits.volume_ratio[1]:
            return f"exploded: the volume went to {ratio:.2f} times the first"
        if self.rose:
            return f"exploded: the energy rose by {per_atom - self.lowest_eV:.1f} eV/atom"
        if per_atom < limits.min_energy_eV_per_atom:
            return f"collapsed: {per_atom:.1f} eV/atom is no material"
        if near < limits.min_distance_A:
            return f"collapsed: two atoms came within {near:.2f} A"
        return ""


def relax(crystal: Crystal, potential: Potential, settings: RelaxSettings | None = None) -> Relaxation:
    """Relax positions and cell to `fmax`, cell forces included.

    First within the symmetry of the crystal (`symmetric_walk`), where few numbers move and each call costs less; then
    with all atoms free, from there, which mostly is one call. Both can end on a saddle that the symmetry holds up.

    Free relaxation is L-BFGS on positions and deformation gradient (Tadmor et al., PRB 59, 235, 1999,
    doi:10.1103/PhysRevB.59.235): as many steps to the same minima as its logarithm (ASE's Frechet filter), whose matrix
    functions would cost a third of the time. Where its steps lead uphill it begins anew from the lowest place. Where it
    runs away, over the edge of a shallow minimum such as that of layers without their ions, FIRE with small steps
    begins anew from the start, and finds the minimum next to it if there is one.

    Never raises for a structure the potential cannot follow: that ends unconverged, with its reason.

    Raises:
        data.errors.PotentialError: the potential cannot compute even the first geometry.
    """
    settings = settings or RelaxSettings()
    started = time.process_time()
    within = _within_symmetry(crystal, potential, settings) if settings.symmetry_first else None
    start_eV, calls, steps = None, 0, 0
    if within is not None:
        start_eV, calls, steps = within.first_eV, within.calls, within.calls - 1
        walk = Walk(within.crystal, potential, _with_steps(settings, min(settings.max_steps - steps, FREE_AFTER)))
        walk.quick(SWOLLEN_AFTER)
        calls, steps = calls + walk.calls, steps + walk.steps
    if within is None or (not walk.converged and steps < settings.max_steps):
        walk = Walk(crystal, potential, _with_steps(settings, settings.max_steps - steps))
        start_eV = walk.point.energy_eV if start_eV is None else start_eV
        walk.quick()
        calls, steps = calls + walk.calls, steps + walk.steps
    if walk.ran_away:
        walk = Walk(crystal, potential, settings)
        walk.careful()
        calls, steps = calls + walk.calls, steps + walk.steps
    reason = walk.reason
    if not walk.converged and not reason:
        reason = f"not converged to {settings.fmax_eV_A:g} eV/A in {settings.max_steps} steps"
    point = walk.point
    return Relaxation(
        crystal=from_atoms(walk.atoms.calc.atoms),
        energy_eV=point.energy_eV,
        converged=walk.converged,
        steps=steps,
        force_calls=calls,
        max_force_eV_A=max_norm(point.forces_eV_A),
        max_stress_eV_A3=float(np.abs(point.stress_eV_A3).max()) if point.stress_eV_A3 is not None else 0.0,
        seconds=time.process_time() - started,
        reason=reason,
        model=potential.model_id,
        start_energy_eV=start_eV,
        magmoms_muB=() if point.magmoms_muB is None else np.round(point.magmoms_muB, 3).tolist(),
    )


def _with_steps(settings: RelaxSettings, steps: int) -> RelaxSettings:
    return settings.model_copy(update={"max_steps": steps})


def _within_symmetry(crystal: Crystal, potential: Potential, settings: RelaxSettings) -> SymmetricWalk | None:
    """A walk within the symmetry, if it is only the identity; None where none is found, or where the walk got lost."""
    try:
        even, symmetry = found_symmetry(crystal, SYMPREC_A)
    except StructureError:
        return None
    walk = SymmetricWalk(even, symmetry, potential, SymmetricRelaxSettings(
        fmax_eV_A=settings.fmax_eV_A, max_calls=-(-settings.max_steps // 2), volume_ratio=settings.volume_ratio,
        swollen=SWOLLEN, min_distance_A=settings.min_distance_A, min_energy_eV_per_atom=settings.min_energy_eV_per_atom,
    ))  # fmt: skip
    return None if walk.run().startswith((*RAN_AWAY, GAVE_UP)) else walk


class Walk:
    """One way downhill from a crystal."""

    def __init__(self, crystal: Crystal, potential: Potential, settings: RelaxSettings) -> None:
        self.settings = settings
        self.atoms = to_atoms(crystal)
        self.atoms.calc = PotentialCalculator(potential)
        self.first_force_eV_A = max_norm(self.atoms.get_forces())
        if self.point.forces_eV_A is None or self.point.stress_eV_A3 is None:
            raise PotentialError(f"{crystal.formula}: {potential.name} gives no forces or no stress")
        self.steps, self.reason, self.converged = 0, "", False

    @property
    def point(self) -> PointResult:
        """What the potential said last."""
        point: PointResult = self.atoms.calc.last
        return point

    @property
    def calls(self) -> int:
        """Times the potential was asked."""
        return int(self.atoms.calc.calls)

    @property
    def ran_away(self) -> bool:
        """Whether it ended because of where it went."""
        return self.reason.startswith(RAN_AWAY)

    def quick(self, swollen: float = SWOLLEN) -> None:
        """L-BFGS, after some steps of FIRE where the forces are large; neither up a slope nor far into a swelling cell.

        After a climb it begins anew from the lowest place, until that is no lower than the last time.
        """
        low, high = self.settings.volume_ratio
        rise_eV = min(self.settings.max_energy_rise_eV_per_atom, CLIMBED_eV_PER_ATOM)
        watch = _Watch(self.atoms, self.settings.model_copy(
            update={"volume_ratio": (low, min(high, swollen)), "max_energy_rise_eV_per_atom": rise_eV}
        ))  # fmt: skip
        if self.first_force_eV_A > FIRE_ABOVE_eV_A:
            self._run(FIRE, watch, self.settings.max_step_A, min(FIRE_STEPS, self.settings.max_steps))
        before_eV = np.inf
        while not self.converged and self.steps < self.settings.max_steps:
            if self.reason and not (watch.rose and watch.lowest_eV < before_eV):
                break
            if watch.rose:
                self.atoms.set_cell(watch.lowest.cell)
                self.atoms.set_positions(watch.lowest.positions)
            before_eV = watch.lowest_eV
            self._run(LBFGS, watch, self.settings.max_step_A, self.settings.max_steps - self.steps)

    def careful(self) -> None:
        """FIRE with small steps."""
        self._run(FIRE, _Watch(self.atoms, self.settings), self.settings.max_step_A / 2, self.settings.max_steps)

    def _run(self, kind: type[Optimizer], watch: _Watch, max_step_A: float, steps: int) -> None:
        """Step until converged, out of steps or running away."""
        optimizer = kind(UnitCellFilter(self.atoms), logfile=None, maxstep=max_step_A)
        try:
            for converged in optimizer.irun(fmax=self.settings.fmax_eV_A, steps=steps):
                self.converged = bool(converged)
                self.reason = "" if converged else watch.complaint(self.atoms, self.point)
                if self.reason:
                    break
        except PotentialError as error:
            self.reason = f"{GAVE_UP}: {error}"
        self.steps += optimizer.nsteps
