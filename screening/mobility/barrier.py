"""Migration barrier of one hop: climbing-image nudged elastic band with an interatomic potential.

Both end points are relaxed in the fixed cell of the host, the path between them starts from the image-dependent pair
potential (S. Smidstrup et al., J. Chem. Phys. 140, 214106, 2014, doi:10.1063/1.4878664) and is brought down by the band
with improved tangents (G. Henkelman, H. Jonsson, J. Chem. Phys. 113, 9978, 2000, doi:10.1063/1.1323224), its highest
image climbing to the saddle (G. Henkelman, B. P. Uberuaga, H. Jonsson, ibid. 113, 9901, doi:10.1063/1.1329672).
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from ase.mep import NEB
from ase.mep.neb import idpp_interpolate
from ase.optimize import FIRE, LBFGS
from pydantic import Field

from redoxa.data.errors import PotentialError
from redoxa.data.records import Crystal, Record, Vector, content_hash
from redoxa.data.structures import from_atoms, to_atoms
from redoxa.screening.compute.measures import min_distance_A
from redoxa.screening.compute.relax import PotentialCalculator
from redoxa.screening.mobility.hop_cell import Hop

if TYPE_CHECKING:
    from ase import Atoms

    from redoxa.screening.mobility.hops import FloatArray
    from redoxa.screening.potentials.base import Potential

METHOD = "IDPP, improved tangent, climbing image; 1"
"""Enters every cache key: to be changed with the algorithm."""

NUDGE_A = 0.4
"""How far the first path bends, in its middle, to the side with most room: a straight one can run along a ridge, where
symmetry would hold the band, as between the two tetrahedral sites beside a hop in a layered host."""

SIDES = 12
"""Directions around a hop that are looked at."""

BLOCKED = "the path is"
"""How the reason of a hop that is too high begins."""


class BarrierSettings(Record):
    """How finely a path is searched, and when the search is given up."""

    images: int = Field(default=5, ge=1, le=15)
    """Between the end points."""
    fmax_eV_A: float = Field(default=0.05, gt=0, le=1)
    """Largest force on the band, and on an atom of an end point, at convergence."""
    climb_below_eV_A: float = Field(default=0.5, gt=0)
    """The highest image climbs from here on."""
    max_steps: int = Field(default=300, ge=1, le=2000)
    """Of the band, and of each end point."""
    max_barrier_eV: float = Field(default=3.0, gt=0)
    """A band that is still higher after `patience` steps is given up."""
    patience: int = Field(default=20, ge=1)
    max_shift_A: float = Field(default=1.2, gt=0)
    """An atom that moves further while an end point relaxes has left its site."""
    spring_eV_A2: float = Field(default=0.5, gt=0)
    max_step_A: float = Field(default=0.1, gt=0, le=1)


class Barrier(Record):
    """How the search for a saddle ended. Energies are relative to the relaxed start.

    Attributes:
        barrier_eV, reverse_eV: saddle above the start and above the end; None unless converged.
        energies_eV: of the images, end points included; empty where no path could be made.
        path_A: length of the path to each image: the distance of all atoms in Angstrom, not the ion's alone.
        ion_frac: fractional coordinates of the ion in each image, not wrapped into the cell.
        saddle: the highest image.
        max_force_eV_A: largest force on the band.
        reason: why there is no number.
        seconds: processor time, as of a `Relaxation`.
    """

    barrier_eV: float | None = None
    reverse_eV: float | None = None
    energies_eV: tuple[float, ...] = ()
    path_A: tuple[float, ...] = ()
    ion_frac: tuple[Vector, ...] = ()
    saddle: Crystal | None = None
    converged: bool = False
    reason: str = ""
    steps: int = 0
    force_calls: int = 0
    seconds: float = 0.0
    model: str = ""
    max_force_eV_A: float | None = None

    @property
    def blocked(self) -> bool:
        """Whether there is no number since the path is too high to matter, not since the search failed."""
        return self.reason.startswith(BLOCKED)


@dataclass
class _Search:
    """The state of one search."""

    hop: Hop
    potential: Potential
    settings: BarrierSettings
    images: list[Atoms] = field(default_factory=list)
    steps: int = 0
    force_eV_A: float | None = None

    def atoms(self, crystal: Crystal) -> Atoms:
        """Atoms with a calculator of their own, so that each image keeps its last result."""
        atoms = to_atoms(crystal)
        atoms.calc = PotentialCalculator(self.potential)
        return atoms


def barrier_key(hop: Hop, model_id: str, settings: BarrierSettings) -> str:
    """Content hash of all that decides a barrier: method, end points, weights and settings."""
    return content_hash([METHOD, hop.content_hash, model_id, settings.content_hash])


def find_barrier(hop: Hop, potential: Potential, settings: BarrierSettings | None = None) -> Barrier:
    """Relax both end points, then the band between them.

    Never raises for a structure that the potential cannot follow: that ends unconverged, with its reason.
    """
    started = time.process_time()
    search = _Search(hop, potential, settings or BarrierSettings())
    try:
        reason = _relax_ends(search) or _relax_band(search)
    except PotentialError as error:
        reason = f"the potential gave up: {error}"
    return _summary(search, reason, time.process_time() - started)


def _relax_ends(search: _Search) -> str:
    """Make both relaxed end points, the second unwrapped against the first; return why that failed."""
    hop, limits = search.hop, search.settings
    start, end = search.atoms(hop.start), search.atoms(hop.end)
    search.images = [start, end]
    for name, atoms in (("start", start), ("end", end)):
        before = atoms.positions.copy()
        optimizer = LBFGS(atoms, logfile=None, maxstep=limits.max_step_A)
        if not optimizer.run(fmax=limits.fmax_eV_A, steps=limits.max_steps):
            return f"the {name} point did not relax to {limits.fmax_eV_A:g} eV/A in {limits.max_steps} steps"
        shift = np.linalg.norm(atoms.positions - before, axis=1)
        if shift.max() > limits.max_shift_A:
            return f"the {name} point fell into another minimum: atom {shift.argmax()} moved by {shift.max():.1f} A"
    steps = end.get_scaled_positions(wrap=False) - start.get_scaled_positions(wrap=False)
    whole = np.rint(steps)
    expected = np.linalg.solve(np.asarray(start.cell).T, hop.vector_A)
    whole[hop.mover] = np.rint(steps[hop.mover] - expected)
    end.positions -= whole @ np.asarray(start.cell)
    moved = float(np.linalg.norm(end.positions[hop.mover] - start.positions[hop.mover]))
    if moved < 0.5 * float(np.linalg.norm(hop.vector_A)):
        return f"both end points fell into one minimum: the ion moves by {moved:.1f} A only"
    return ""


def _relax_band(search: _Search) -> str:
    """Bring the path down; return why there is no saddle."""
    limits = search.settings
    search.images = _first_path(search)
    band = NEB(search.images, k=limits.spring_eV_A2, climb=False, method="improvedtangent")
    optimizer = FIRE(band, logfile=None, maxstep=limits.max_step_A)
    for _ in optimizer.irun(fmax=0.0, steps=limits.max_steps):
        search.steps = optimizer.nsteps
        search.force_eV_A = float(band.get_residual())
        top_eV = max(a.get_potential_energy() for a in search.images) - search.images[0].get_potential_energy()
        nearest_A = min(min_distance_A(a.get_scaled_positions(), np.asarray(a.cell)) for a in search.images)
        if nearest_A < 0.5:
            return f"exploded: two atoms came within {nearest_A:.2f} A"
        if search.steps >= limits.patience and top_eV > limits.max_barrier_eV:
            return f"{BLOCKED} {top_eV:.1f} eV high after {search.steps} steps, above {limits.max_barrier_eV:g} eV"
        if band.climb and search.force_eV_A < limits.fmax_eV_A:
            return ""
        band.climb = band.climb or search.force_eV_A < limits.climb_below_eV_A
    return (
        f"not converged to {limits.fmax_eV_A:g} eV/A in {limits.max_steps} steps: {search.force_eV_A:.2f} eV/A are left"
    )


def _first_path(search: _Search) -> list[Atoms]:
    """Images between the relaxed end points; the ion nudged off the straight line, then distances interpolated."""
    start, end = search.images
    count, mover = search.settings.images + 1, search.hop.mover
    side = _roomy_side(start, mover, end.positions[mover] - start.positions[mover])
    images = [start]
    for i in range(1, count):
        image = search.atoms(from_atoms(start))
        image.positions = start.positions + (end.positions - start.positions) * i / count
        image.positions[mover] += NUDGE_A * np.sin(np.pi * i / count) * side
        images.append(image)
    images.append(end)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it makes a band of its own without saying of which kind
        idpp_interpolate(images, traj=None, log=None, mic=True)
    return images


def _roomy_side(start: Atoms, mover: int, vector: FloatArray) -> FloatArray:
    """The unit vector across a hop toward the side where a point beside its middle is farthest from other atoms."""
    from pymatgen.core import Lattice

    along = vector / np.linalg.norm(vector)
    first = np.cross(along, np.eye(3)[np.abs(along).round(6).argmin()])
    first /= np.linalg.norm(first)
    angles = 2 * np.pi * np.arange(SIDES) / SIDES
    sides: FloatArray = np.outer(np.cos(angles), first) + np.outer(np.sin(angles), np.cross(along, first))
    points = start.positions[mover] + vector / 2 + NUDGE_A * sides
    lattice, others = Lattice(np.asarray(start.cell)), np.delete(start.get_scaled_positions(), mover, axis=0)
    room_A = np.asarray(lattice.get_all_distances(lattice.get_fractional_coords(points), others)).min(axis=1)
    best: FloatArray = sides[int(np.round(room_A, 3).argmax())]
    return best


def _summary(search: _Search, reason: str, seconds: float) -> Barrier:
    """The record of a search."""
    common = {"reason": reason, "seconds": seconds, "model": search.potential.model_id, "steps": search.steps}
    calls = sum(atoms.calc.calls for atoms in search.images)
    points = [atoms.calc.last for atoms in search.images]
    if len(points) < 3 or any(point is None for point in points):
        return Barrier(force_calls=calls, **common)
    energies = np.array([point.energy_eV for point in points])
    energies -= energies[0]
    top = int(energies.argmax())
    gaps = [np.linalg.norm(b.positions - a.positions) for a, b in zip(search.images, search.images[1:], strict=False)]
    frac = [a.get_scaled_positions(wrap=False)[search.hop.mover] for a in search.images]
    return Barrier(
        barrier_eV=None if reason else float(energies[top]),
        reverse_eV=None if reason else float(energies[top] - energies[-1]),
        energies_eV=energies.tolist(),
        path_A=np.concatenate([[0.0], np.cumsum(gaps)]).tolist(),
        ion_frac=[tuple(row) for row in frac],
        saddle=from_atoms(search.images[top]),
        converged=not reason,
        force_calls=calls,
        max_force_eV_A=search.force_eV_A,
        **common,
    )
