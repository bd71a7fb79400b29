"""One hop as two end points in a supercell, for a potential to join: the limits of a full and of an empty host."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from redoxa.data.errors import StructureError
from redoxa.data.records import Crystal, Record, Vector
from redoxa.screening.mobility.hops import Edge, FloatArray, IntArray

if TYPE_CHECKING:
    import numpy.typing as npt

SEPARATION_A = 8.5
"""Between a moving ion and its own images: nearer, vacancies feel one another (a few hundredths of an eV at 8-9 A)."""

MAX_ATOMS = 130

Limit = Literal["vacancy", "dilute"]


class Hop(Record):
    """Two configurations of equal atoms in equal order and cell, between which one ion moves.

    Attributes:
        start, end: the ion before and after, all else on its sites.
        mover: index of the moving ion.
        vector_A: from its start to its end; longer than the nearest image where the cell is small.
        limit: `vacancy`: the ion jumps into the only empty site of a full host; `dilute`: it is the only ion there.
        separation_A: between the ion and its nearest periodic image.
    """

    start: Crystal
    end: Crystal
    mover: int
    vector_A: Vector
    limit: Limit
    separation_A: float


def make_hop(
    crystal: Crystal,
    ion: str,
    edge: Edge,
    limit: Limit = "vacancy",
    separation_A: float = SEPARATION_A,
    max_atoms: int = MAX_ATOMS,
) -> Hop:
    """The hop along an edge, in the smallest supercell that keeps the ion's images apart.

    Args:
        crystal: the host, relaxed, with all its ion sites filled. For the dilute limit the sites of the ion may be
            filled in the geometry of the empty host.
        ion: symbol of the ion that moves.
        edge: from `hops.hop_kinds` of the same crystal.
        limit: which of the other ions stay.
        separation_A: wanted between images of the moving ion.
        max_atoms: of the supercell. Where it does not suffice, the images are as far apart as it allows.
    """
    from ase.data import atomic_numbers

    lattice = np.array(crystal.lattice_A)
    matrix, reached_A = supercell_matrix(lattice, separation_A, max(1, max_atoms // crystal.n_atoms))
    numbers, frac = _repeat(crystal, matrix)
    inverse = np.linalg.inv(matrix)
    origin, vector = np.array(crystal.frac_coords[edge.start]), _vector(crystal, edge)
    mover, vacancy = (_index(frac, place @ inverse) for place in (origin, origin + vector))
    if mover == vacancy:
        raise StructureError(f"{crystal.formula}: the hop ends on its own image; allow more than {max_atoms} atoms")
    stays = np.ones(len(frac), dtype=bool)
    if limit == "dilute":
        stays = numbers != atomic_numbers[ion]
    stays[mover], stays[vacancy] = True, False
    after = frac.copy()
    after[mover] += vector @ inverse
    cell = {"numbers": numbers[stays].tolist(), "lattice_A": (matrix @ lattice).tolist()}
    return Hop(
        start=Crystal(frac_coords=frac[stays].tolist(), **cell),
        end=Crystal(frac_coords=after[stays].tolist(), **cell),
        mover=int(stays[:mover].sum()),
        vector_A=tuple((vector @ lattice).tolist()),
        limit=limit,
        separation_A=reached_A,
    )


def supercell_matrix(lattice_A: FloatArray, separation_A: float, max_cells: int) -> tuple[IntArray, float]:
    """The smallest superlattice whose shortest vector is long enough; of equals the one with the longest.

    All superlattices of a size are tried (Hermite normal forms), so that skew cells, which are often smaller than any
    block of cells, are found.

    Args:
        lattice_A: row vectors [3,3].
        separation_A: least length of the shortest vector.
        max_cells: largest multiple of the cell.

    Returns:
        Integer matrix [3,3] whose rows, reduced to the shortest ones, are the new vectors in terms of the old; and
        the length of the shortest in Angstrom. Where no allowed size suffices, the best of the sizes tried.
    """
    from ase.geometry.minkowski_reduction import minkowski_reduce

    vectors, lengths = _lattice_vectors(lattice_A, 2 * separation_A)
    densest = separation_A**3 / np.sqrt(2)  # no lattice packs points more densely than fcc
    first = min(max_cells, max(1, int(np.ceil(densest / abs(np.linalg.det(lattice_A)) - 1e-9))))
    best, best_A = np.eye(3, dtype=np.int64), 0.0
    for cells in range(first, max_cells + 1):
        forms = _hermite_forms(cells)
        coords = vectors @ np.linalg.inv(forms)
        inside = np.all(np.abs(coords - np.rint(coords)) < 1e-6, axis=-1)
        shortest = np.where(inside.any(axis=1), lengths[inside.argmax(axis=1)], lengths[-1])
        if shortest.max() > best_A + 1e-6:
            best, best_A = _roundest(forms[shortest > shortest.max() - 1e-6], lattice_A), float(shortest.max())
        if best_A >= separation_A - 1e-6:
            break
    _, reduction = minkowski_reduce(best @ lattice_A)
    return reduction @ best, best_A


def _roundest(forms: npt.NDArray[np.int64], lattice_A: FloatArray) -> npt.NDArray[np.int64]:
    """Of superlattices with equally long shortest vectors the one whose other vectors are longest as well."""
    from ase.geometry.minkowski_reduction import minkowski_reduce

    lengths = [sorted(np.linalg.norm(minkowski_reduce(form @ lattice_A)[0], axis=1).round(3)) for form in forms]
    best: npt.NDArray[np.int64] = forms[max(range(len(forms)), key=lambda i: lengths[i])]
    return best


def _lattice_vectors(lattice_A: FloatArray, radius_A: float) -> tuple[IntArray, FloatArray]:
    """Lattice vectors but zero up to a length (at least the basis), shortest first: integers [n,3], lengths [n]."""
    reach = np.ceil(radius_A * np.linalg.norm(np.linalg.inv(lattice_A), axis=0)).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[grid.any(axis=1)]
    lengths = np.linalg.norm(grid @ lattice_A, axis=1)
    order = np.argsort(lengths, kind="stable")
    near = order[: max(6, int((lengths <= radius_A).sum()))]
    return grid[near], lengths[near]


@cache
def _hermite_forms(cells: int) -> npt.NDArray[np.int64]:
    """All Hermite normal forms [m,3,3] of a determinant: every superlattice of that size once."""
    return np.array(
        [
            [[a, x, y], [0, b, z], [0, 0, cells // (a * b)]]
            for a in range(1, cells + 1)
            if cells % a == 0
            for b in range(1, cells // a + 1)
            if cells // a % b == 0
            for x in range(b)
            for y in range(cells // (a * b))
            for z in range(cells // (a * b))
        ]
    )


def _repeat(crystal: Crystal, matrix: IntArray) -> tuple[IntArray, FloatArray]:
    """Atomic numbers [N] and fractional coordinates [N,3] of a supercell, cell by cell."""
    from ase.build.supercells import lattice_points_in_supercell

    points = lattice_points_in_supercell(matrix)
    frac = points[:, None] + np.array(crystal.frac_coords) @ np.linalg.inv(matrix)
    return np.tile(crystal.numbers, len(points)), frac.reshape(-1, 3)


def _vector(crystal: Crystal, edge: Edge) -> FloatArray:
    """The hop in fractional coordinates."""
    frac = np.array(crystal.frac_coords)
    hop: FloatArray = frac[edge.end] + edge.image - frac[edge.start]
    return hop


def _index(frac: FloatArray, place: FloatArray) -> int:
    """The atom at a place, modulo the cell."""
    gap = frac - place
    return int(np.abs(gap - np.rint(gap)).max(axis=1).argmin())
