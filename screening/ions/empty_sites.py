"""Where a working ion fits into a host: the corners of its Voronoi cells, judged by distance and bond valence.

A corner of the Voronoi diagram is as far as possible from the atoms around it, so every hole of a structure has one.
Corners that the symmetry brings together are drawn onto the more symmetric place between them, and a place stands if
no atom is too near and the anions around it could bind the ion. Which of the places are filled is for electrostatics
to say (`screening.ions.orderings`), and the relaxation has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from redoxa.data.chemistry import NONMETALS, ionic_radius_A, oxidation_states
from redoxa.data.records import Crystal
from redoxa.data.structures import to_structure
from redoxa.data.units import ION_VALENCE
from redoxa.screening.ions.primitive_cell import PrimitiveCell
from redoxa.screening.potentials.base import FloatArray

CONTACT = 0.8
"""Of the sum of Shannon radii, how near an atom may be before the host has relaxed around the ion."""

BOND_VALENCE = (0.2, 2.5)
"""Bond valence sum of the ion in a place that stands, over its valence: the empty host is often narrower, or, in a van
der Waals gap, wider than the filled one will be. Ions in good places of relaxed crystals have 0.8 to 1.2."""

SNAP_A = 0.6
"""Corners this near to one another are one place."""

SAME_A = 0.01
"""Corners that rounding set apart are judged once."""

SYMPREC_A = 0.05
NEIGHBOURS_A = 4.0
MOST_PLACES = 48
"""Of one primitive cell; beyond it the places of least bond valence mismatch stand."""


@dataclass(frozen=True)
class EmptySite:
    """A place for an ion.

    Attributes:
        frac: fractional coordinates.
        orbit: number of the set of equivalent places it belongs to.
        clearance_A: distance of the nearest atom.
        bond_valence: bond valence sum an ion would have there; nan where the anions have no parameters.
    """

    frac: tuple[float, float, float]
    orbit: int
    clearance_A: float
    bond_valence: float


def empty_sites(host: Crystal, ion: str) -> list[EmptySite]:
    """All places of a host where the ion fits, orbit by orbit, those of best bond valence first.

    Args:
        host: a crystal; ions of the same element in it count as atoms like all others.
        ion: symbol of a working ion.
    """
    whole = PrimitiveCell.of(host, SYMPREC_A)
    cell = _Cell.of(whole.crystal)
    sites: list[EmptySite] = []
    for orbit, place in enumerate(_apart(cell, _places(whole.crystal, cell, ion))):
        if sites and len(sites) + len(place.points) * whole.cells > MOST_PLACES * whole.cells:
            break
        for x, y, z in whole.spread(place.points).tolist():
            sites.append(EmptySite((x, y, z), orbit, place.clearance_A, place.bond_valence))
    return sites


@dataclass(frozen=True)
class _Cell:
    """A host as arrays: lattice [3,3], atoms [N,3], and its symmetry operations [m,3,3], [m,3]."""

    lattice_A: FloatArray
    frac: FloatArray
    rotations: FloatArray
    translations: FloatArray

    @classmethod
    def of(cls, host: Crystal) -> _Cell:
        import spglib

        rotations, translations = np.eye(3)[None], np.zeros((1, 3))
        try:
            found = spglib.get_symmetry((host.lattice_A, host.frac_coords, host.numbers), symprec=SYMPREC_A)
        except spglib.SpglibError:
            found = None
        if found is not None:
            rotations, translations = found["rotations"].astype(float), found["translations"]
        return cls(np.array(host.lattice_A), np.array(host.frac_coords), rotations, translations)

    def distances_A(self, a: FloatArray, b: FloatArray) -> FloatArray:
        """Shortest distances [n,m] between fractional points, periodic images included."""
        from pymatgen.core import Lattice

        return np.asarray(Lattice(self.lattice_A).get_all_distances(a, b), dtype=float).reshape(len(a), len(b))

    def images(self, point: FloatArray) -> FloatArray:
        """What the operations make of a point [m,3]."""
        return np.asarray(self.rotations @ point + self.translations)


def _voronoi_corners(cell: _Cell) -> FloatArray:
    """Fractional coordinates [n,3] of the corners of the Voronoi cells of all atoms, each once."""
    from scipy.spatial import Voronoi

    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    around = (cell.frac[None] + shifts[:, None]).reshape(-1, 3)
    corners = Voronoi(around @ cell.lattice_A).vertices @ np.linalg.inv(cell.lattice_A)
    return np.asarray(corners[np.all((corners > -1e-6) & (corners < 1 - 1e-6), axis=1)] % 1.0)


class _Place(NamedTuple):
    """Equivalent places [n,3], what they offer an ion, and their rank, which is the same in every cell."""

    points: FloatArray
    clearance_A: float
    bond_valence: float
    rank: tuple[float, ...]


def _places(host: Crystal, cell: _Cell, ion: str) -> list[_Place]:
    """Places where the ion fits near the corners, of best bond valence first."""
    found: list[_Place] = []
    met: FloatArray = np.empty((0, 3))
    for corner in _voronoi_corners(cell):
        point = _snapped(cell, corner)
        if len(met) and cell.distances_A(point[None], met).min() < SAME_A:
            continue
        orbit = [point]
        for image in cell.images(point) % 1.0:
            if cell.distances_A(image[None], np.array(orbit)).min() > SNAP_A:
                orbit.append(image)
        met = np.vstack([met, cell.images(point)])
        if (site := _judged(host, cell, point, ion)) is not None:
            valence = ION_VALENCE[ion]
            mismatch = abs(np.nan_to_num(site[1], nan=valence) - valence)
            far_A = cell.distances_A(point[None], cell.frac)[0]
            around = sorted(zip(np.round(-far_A, 3).tolist(), host.numbers, strict=True), reverse=True)
            found.append(_Place(np.array(orbit), *site, (round(mismatch, 3), *(x for pair in around for x in pair))))
    return sorted(found, key=lambda place: place.rank)


def _apart(cell: _Cell, places: list[_Place]) -> Iterator[_Place]:
    """Those of the places that are not within `SNAP_A` of an earlier one."""
    kept: FloatArray = np.empty((0, 3))
    for place in places:
        if not len(kept) or cell.distances_A(place.points, kept).min() > SNAP_A:
            kept = np.vstack([kept, place.points])
            yield place


def _snapped(cell: _Cell, point: FloatArray) -> FloatArray:
    """Mean of a point and those of its images that lie within `SNAP_A`: the symmetric place between them."""
    for _ in range(3):
        shifts = cell.images(point) - point
        shifts -= np.rint(shifts)
        near = shifts[np.linalg.norm(shifts @ cell.lattice_A, axis=1) <= SNAP_A]
        moved = point + near.mean(0)
        if np.allclose(moved, point, atol=1e-6):
            break
        point = moved
    return np.asarray(point % 1.0)


def _judged(host: Crystal, cell: _Cell, point: FloatArray, ion: str) -> tuple[float, float] | None:
    """Clearance in Angstrom and bond valence sum of a place, or None where the ion does not fit."""
    from pymatgen.analysis.bond_valence import BV_PARAMS, calculate_bv_sum
    from pymatgen.core import Element, PeriodicSite

    clearance_A = float(cell.distances_A(point[None], cell.frac).min())
    states = oxidation_states(host.composition) or {}
    own_A = ionic_radius_A(ion, ION_VALENCE[ion])
    distances_A = cell.distances_A(point[None], cell.frac)[0]
    for number, distance_A in zip(host.numbers, distances_A, strict=True):
        symbol = chemical_symbols[number]
        state = round(states.get(symbol, 0)) or (-2 if symbol in NONMETALS else 2)
        if distance_A < CONTACT * (own_A + ionic_radius_A(symbol, state)):
            return None
    structure = to_structure(host)
    site = PeriodicSite(ion, point, structure.lattice)
    near = structure.get_sites_in_sphere(site.coords, NEIGHBOURS_A)
    anions = [x for x in near if x.specie.symbol in NONMETALS and states.get(x.specie.symbol, -1) < 0]
    if not anions or any(Element(x.specie.symbol) not in BV_PARAMS for x in anions) or Element(ion) not in BV_PARAMS:
        return clearance_A, float("nan")
    total = float(calculate_bv_sum(site, anions))
    low, high = BOND_VALENCE
    return (clearance_A, total) if low <= total / ION_VALENCE[ion] <= high else None


def filled(host: Crystal, ion: str, sites: list[EmptySite]) -> tuple[Crystal, list[int]]:
    """The host with an ion in every one of the places, and the indices of these ions."""
    n = host.n_atoms
    crystal = Crystal(
        numbers=(*host.numbers, *[atomic_numbers[ion]] * len(sites)),
        frac_coords=(*host.frac_coords, *(s.frac for s in sites)),
        lattice_A=host.lattice_A,
    )
    return crystal, list(range(n, n + len(sites)))
