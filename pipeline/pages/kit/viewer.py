"""Scenes for the structure viewer: plain Cartesian atoms, bonds and coordination polyhedra, already turned for viewing.

The viewer gets P1 atoms with their images on the boundary of the cell (3Dmol draws no boundary images, issue 759, no
bonds across replicas, issue 642, and mishandles supercells of symmetric CIFs, issue 770). The static picture of
`projection` is drawn from the same scene, so that both show the same view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from ase.build import make_supercell
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from redoxa.data.records import Crystal, Vector
from redoxa.data.structures import to_atoms
from redoxa.pipeline.pages.kit.elements import colour, mix
from redoxa.screening.ions.removal import supercell

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_ATOMS = 120
"""A cell is repeated or made conventional only up to this many atoms."""

SHORTEST_A = 5.2
"""Cells are repeated until every edge is this long: one octahedron alone does not show a layer."""

BOUNDARY_A = 0.12
"""Atoms this close to a face are drawn on the opposite face as well."""

BOND_FACTOR = 1.18
"""A bond is at most this times the sum of the covalent radii (the Jahn-Teller bonds of Mn(III)-O still count)."""

NONMETALS: Final = frozenset(["H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Ge", "As", "Se", "Br", "Te", "I"])


@dataclass(frozen=True)
class Scene:
    """What is drawn of one state of a crystal; coordinates in Angstrom, x to the right, y up, z toward the reader.

    Attributes:
        symbols: element of each drawn atom, images included [n].
        xyz: their positions [n,3].
        bonds: pairs of atoms [m,2].
        polyhedra: central element and outward triangles (indices of atoms) of each coordination polyhedron.
        corners: the eight corners of the drawn cell [8,3], in the order of `product((0, 1), repeat=3)`.
        vacancies: sites that the working ion has left [k,3].
        path: the ion on its way to a neighbouring site [p,3], p being 0 where no such way is drawn.
        ion: the working ion.
    """

    symbols: tuple[str, ...]
    xyz: Floats
    bonds: Ints
    polyhedra: tuple[tuple[str, Ints], ...]
    corners: Floats
    vacancies: Floats
    path: Floats
    ion: str

    def to_json(self) -> dict[str, object]:
        """What the viewer's script reads; lengths in Angstrom with two decimals."""
        kinds = sorted(set(self.symbols))
        return {
            "kinds": kinds,
            "colours": [colour(k) for k in kinds],
            "pale": [mix(colour(k), "#ffffff", 0.3) for k in kinds],
            "ionColour": colour(self.ion),
            "radii": [radius(k, self.ion) for k in kinds],
            "el": [kinds.index(s) for s in self.symbols],
            "xyz": _flat(self.xyz),
            "bonds": self.bonds.ravel().tolist(),
            "poly": [[i, self._triangles(k)] for i, k in enumerate(kinds) if any(k == s for s, _ in self.polyhedra)],
            "corners": _flat(self.corners),
            "gone": _flat(self.vacancies),
            "path": _flat(self.path),
        }

    def _triangles(self, symbol: str) -> list[int]:
        """Triangles of all polyhedra about one element, so that the viewer draws them as one mesh."""
        return [int(i) for s, faces in self.polyhedra if s == symbol for i in faces.ravel()]


def _flat(points: Floats) -> list[float]:
    return [round(float(x), 2) + 0.0 for x in points.ravel()]


def radius(symbol: str, ion: str) -> float:
    """Radius of a drawn sphere in Angstrom: the working ion largest, anions small, so that channels show."""
    if symbol == ion:
        return 0.62
    return 0.3 if symbol in NONMETALS else 0.42


def scenes(crystals: Mapping[str, Crystal], ion: str, path: Sequence[Vector] = ()) -> dict[str, Scene]:
    """Scenes of all states of a candidate, turned alike and on one supercell, that of `discharged` if it is there.

    `path` holds fractional positions of the ion in the cell of `discharged`, whose scene shows them.
    """
    if not crystals:
        return {}
    first = crystals.get("discharged") or next(iter(crystals.values()))
    way = np.array(path).reshape(-1, 3) @ np.array(first.lattice_A)
    alike = _on_one_cell(crystals, ion)
    first = alike.get("discharged") or next(iter(alike.values()))
    cell = display_cell(first)
    turn = _orientation(cell @ np.array(first.lattice_A))
    made = {name: _supercell(c, cell) for name, c in alike.items()}
    filled = made.get("discharged")
    return {name: _scene(c, turn, ion, filled, way if c is filled else way[:0]) for name, c in made.items()}


def _on_one_cell(crystals: Mapping[str, Crystal], ion: str) -> dict[str, Crystal]:
    """States joined to as many formula units as the largest holds; the screening takes ions out of such a cell."""
    hosts = {name: c.n_atoms - c.composition.get(ion, 0) for name, c in crystals.items()}
    most = max(hosts.values())
    return {
        name: supercell(c, most // hosts[name]) if hosts[name] and most % hosts[name] == 0 else c
        for name, c in crystals.items()
    }


@dataclass(frozen=True)
class _Cell:
    numbers: Ints
    fracs: Floats
    lattice: Floats


def display_cell(crystal: Crystal) -> Ints:
    """Integer matrix [3,3] that makes the drawn cell: the conventional cell, repeated while it is short and small."""
    conventional = _conventional(crystal)
    if round(abs(np.linalg.det(conventional))) * crystal.n_atoms > MOST_ATOMS:
        conventional = np.eye(3, dtype=np.int64)
    atoms = round(abs(np.linalg.det(conventional))) * crystal.n_atoms
    repeats = np.ones(3, dtype=np.int64)
    lengths = np.linalg.norm(conventional @ np.array(crystal.lattice_A), axis=1)
    while True:
        axis = int(np.argmin(np.round(lengths * repeats, 3)))
        grown = repeats + np.eye(3, dtype=np.int64)[axis]
        if lengths[axis] * repeats[axis] >= SHORTEST_A or atoms * int(grown.prod()) > MOST_ATOMS:
            return np.asarray(np.diag(repeats) @ conventional, dtype=np.int64)
        repeats = grown


def _conventional(crystal: Crystal) -> Ints:
    """Rows of the conventional cell in units of the given one, or the identity where they are not whole numbers."""
    import spglib

    unit = np.eye(3, dtype=np.int64)
    try:
        found = spglib.get_symmetry_dataset((crystal.lattice_A, crystal.frac_coords, crystal.numbers), symprec=0.1)
    except spglib.SpglibError:  # overlapping atoms and the like: draw what there is
        return unit
    if found is None:
        return unit
    rows = np.linalg.inv(np.asarray(found.transformation_matrix)).T
    whole = np.rint(rows)
    if np.abs(rows - whole).max() > 1e-3 or round(abs(np.linalg.det(whole))) < 1:
        return unit
    return whole.astype(np.int64)


def _supercell(crystal: Crystal, cell: Ints) -> _Cell:
    atoms = make_supercell(to_atoms(crystal), cell)
    return _Cell(atoms.numbers.astype(np.int64), atoms.get_scaled_positions(wrap=True), np.asarray(atoms.cell))


def _orientation(lattice: Floats) -> Floats:
    """Rotation [3,3] (rows are the axes of the picture): c upward, a to the right, turned a little aside."""
    up = lattice[2] / np.linalg.norm(lattice[2])
    right = lattice[0] - (lattice[0] @ up) * up
    right /= np.linalg.norm(right)
    frame = np.array([right, up, np.cross(right, up)])
    yaw, pitch = np.radians(-24.0), np.radians(13.0)
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return np.asarray(about_x @ about_y @ frame)


def _scene(cell: _Cell, turn: Floats, ion: str, filled: _Cell | None, path: Floats) -> Scene:
    shifts = np.array(list(product((-1, 0, 1), repeat=3)))
    fracs = (cell.fracs[None, :, :] + shifts[:, None, :]).reshape(-1, 3)
    numbers = np.tile(cell.numbers, len(shifts))
    inside = _in_cell(fracs, cell.lattice)
    centre = 0.5 * cell.lattice.sum(axis=0)
    xyz = (fracs @ cell.lattice - centre) @ turn.T
    bonds, polyhedra, kept = _connect(numbers, xyz, inside, ion)
    corners = (np.array(list(product((0, 1), repeat=3))) @ cell.lattice - centre) @ turn.T
    index = np.full(len(numbers), -1)
    index[kept] = np.arange(len(kept))
    return Scene(
        symbols=tuple(str(chemical_symbols[z]) for z in numbers[kept]),
        xyz=xyz[kept],
        bonds=index[bonds].reshape(-1, 2),
        polyhedra=tuple((s, index[faces]) for s, faces in polyhedra),
        corners=corners,
        vacancies=_vacancies(cell, filled, ion, centre, turn),
        path=(_moved_inside(path, cell.lattice) - centre) @ turn.T,
        ion=ion,
    )


def _in_cell(fracs: Floats, lattice: Floats) -> NDArray[np.bool_]:
    """Whether each point lies in the cell or within `BOUNDARY_A` of it."""
    heights = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    edge = BOUNDARY_A / heights
    return np.asarray(((fracs >= -edge) & (fracs <= 1 + edge)).all(axis=1))


def _moved_inside(path: Floats, lattice: Floats) -> Floats:
    """The points of a path, moved by the lattice vector that brings most of them into the cell."""
    if not len(path):
        return path
    fracs = path @ np.linalg.inv(lattice)
    shifts = np.array(list(product((0, -1, 1), repeat=3))) - np.floor(fracs[len(path) // 2])
    best = max(shifts, key=lambda shift: int(_in_cell(fracs + shift, lattice).sum()))
    return np.asarray((fracs + best) @ lattice)


def _connect(
    numbers: Ints, xyz: Floats, inside: NDArray[np.bool_], ion: str
) -> tuple[Ints, list[tuple[str, Ints]], Ints]:
    """Bonds and polyhedra of the atoms in the cell, and the atoms to draw (those, and the corners of polyhedra).

    The centre of a polyhedron is an atom whose four or more partners all attract electrons more strongly.
    """
    pull = _electronegativity(numbers)
    drawn = np.flatnonzero(inside)
    bonded = _bonded(numbers, xyz, drawn, pull, ion)
    keep = inside.copy()
    polyhedra: list[tuple[str, Ints]] = []
    pairs: set[tuple[int, int]] = set()
    for row, i in enumerate(drawn):
        partners = np.flatnonzero(bonded[row])
        faces = _polyhedron(xyz, partners) if len(partners) >= 4 and (pull[partners] > pull[i]).all() else None
        if faces is not None:
            keep[partners] = True
            polyhedra.append((str(chemical_symbols[numbers[i]]), faces))
        else:
            partners = partners[inside[partners]]
        pairs.update((min(int(i), int(j)), max(int(i), int(j))) for j in partners)
    ordered = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return ordered, polyhedra, np.flatnonzero(keep)


def _bonded(numbers: Ints, xyz: Floats, drawn: Ints, pull: Floats, ion: str) -> NDArray[np.bool_]:
    """Whether drawn atom i and atom j are bonded [drawn, all]: near, not both metals, the working ion left free."""
    reach = BOND_FACTOR * (covalent_radii[numbers[drawn]][:, None] + covalent_radii[numbers][None, :])
    distance = np.linalg.norm(xyz[drawn][:, None, :] - xyz[None, :, :], axis=2)
    nonmetal = np.array([str(chemical_symbols[z]) in NONMETALS for z in numbers])
    kind = nonmetal[drawn][:, None] | nonmetal[None, :]
    unlike = np.abs(pull[drawn][:, None] - pull[None, :]) > 0.2
    both = nonmetal[drawn][:, None] & nonmetal[None, :]
    free = numbers == atomic_numbers[ion]
    bonded = (distance > 0.4) & (distance < reach) & kind & (unlike | both) & ~free[drawn][:, None] & ~free[None, :]
    # The phosphorus of a phosphate is no anion: what two stronger nonmetals hold has no bonds to metals.
    stronger = bonded & both & (pull[None, :] > pull[drawn][:, None])
    cation = np.isin(numbers, np.unique(numbers[drawn][stronger.sum(axis=1) >= 2]))
    metal = ~nonmetal
    return np.asarray(bonded & ~(cation[drawn][:, None] & metal[None, :]) & ~(metal[drawn][:, None] & cation[None, :]))


def _electronegativity(numbers: Ints) -> Floats:
    from pymatgen.core import Element

    known = {int(z): float(Element.from_Z(int(z)).X) for z in set(numbers.tolist())}
    return np.array([known[int(z)] if np.isfinite(known[int(z)]) else 0.0 for z in numbers])


def _polyhedron(xyz: Floats, corners: Ints) -> Ints | None:
    """Outward triangles of the convex hull of some atoms [faces,3], or None where they lie in a plane."""
    points = xyz[corners]
    try:
        hull = ConvexHull(points)
    except QhullError:
        return None
    faces = hull.simplices.astype(np.int64)
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), hull.equations[:, :3]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return np.asarray(corners[faces])


def _vacancies(cell: _Cell, filled: _Cell | None, ion: str, centre: Floats, turn: Floats) -> Floats:
    """Where the working ion was in the discharged state and is no more, at this state's cell."""
    empty = np.zeros((0, 3))
    if filled is None or filled is cell:
        return empty
    z = atomic_numbers[ion]
    sites = filled.fracs[filled.numbers == z]
    rest = cell.fracs[cell.numbers == z]
    if len(rest):
        apart = sites[:, None, :] - rest[None, :, :]
        apart -= np.rint(apart)
        sites = sites[np.linalg.norm(apart @ cell.lattice, axis=2).min(axis=1) > 1.0]
    if not len(sites):
        return empty
    shifted = (sites[None, :, :] + np.array(list(product((-1, 0, 1), repeat=3)))[:, None, :]).reshape(-1, 3)
    shown = shifted[_in_cell(shifted, cell.lattice)]
    return np.asarray((shown @ cell.lattice - centre) @ turn.T)
