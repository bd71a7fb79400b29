"""The ion sublattice as a periodic graph: hops between sites, which of them symmetry makes equal, where they lead.

Sites are nodes, hops are edges that carry the cell they end in. A set of hops connects the sublattice in as many
dimensions as the translations of its cycles span. Pure geometry: no potential.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from redoxa.data.errors import StructureError
from redoxa.data.structures import to_atoms
from redoxa.screening.ions.primitive_cell import PrimitiveCell

if TYPE_CHECKING:
    from ase import Atoms

    from redoxa.data.records import Crystal

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
IntVector = tuple[int, int, int]

MAX_HOP_A = 5.0
"""Longer jumps between ion sites are not known as single steps in electrodes."""

MIN_CLEARANCE_A = 1.0
"""A straight hop that passes another atom more closely leads through it. The gap between two touching oxygen ions,
which is passed in layered oxides, is 1.3 A wide on either side."""

SYMPREC_A = 0.05
"""Relaxed crystals keep their symmetry within this."""


ROUNDING_A = 1e-4
"""Lengths that differ by less are equal: so exactly do files give coordinates."""


class Edge(NamedTuple):
    """A hop from the site of atom `start` in the home cell to that of atom `end` in the cell `image`."""

    start: int
    end: int
    image: IntVector

    @property
    def reverse(self) -> Edge:
        """The way back, from the home cell again."""
        a, b, c = self.image
        return Edge(self.end, self.start, (-a, -b, -c))


@dataclass(frozen=True)
class HopKind:
    """Hops that the space group makes equal.

    Attributes:
        distance_A: straight length.
        edges: each hop of the cell once, all in the same sense (starts are equivalent sites, ends as well).
        symmetric: whether the space group also exchanges the two ends, so that the way back costs the same.
    """

    distance_A: float
    edges: tuple[Edge, ...]
    symmetric: bool


@dataclass(frozen=True)
class Network:
    """What hops connect.

    Attributes:
        dimension: 0 to 3.
        axes: in one dimension the direction [uvw] of the channels in the cell's axes, in two the plane (hkl), one for
            each distinct direction or plane; else empty.
    """

    dimension: int
    axes: tuple[IntVector, ...] = ()


@dataclass(frozen=True)
class Level:
    """The lowest barrier at which ions move in `network.dimension` dimensions or more.

    Attributes:
        barrier_eV: from the most stable site of the network to its highest saddle point.
        network: what is connected there.
        kinds: indices of the hop kinds that are passed.
    """

    barrier_eV: float
    network: Network
    kinds: tuple[int, ...]


def hop_kinds(
    crystal: Crystal, ion: str, max_distance_A: float = MAX_HOP_A, symprec_A: float = SYMPREC_A
) -> tuple[HopKind, ...]:
    """Symmetry-distinct hops between sites of the ion, shortest first.

    Hops that run straight through another atom (closer than `MIN_CLEARANCE_A`) are left out. The space group (spglib)
    decides what is equal, not the distance: two hops of one length may pass different atoms.

    Raises:
        StructureError: no such ion in the crystal, or atoms so close that no symmetry can be found.
    """
    whole = PrimitiveCell.of(crystal, symprec_A)
    edges = _open_edges(to_atoms(whole.crystal), ion, max_distance_A)
    rotations, site, shift = _site_symmetry(whole.crystal, ion, symprec_A)
    seen: set[Edge] = set()
    found = []
    for edge, distance_A, gap_A in edges:
        if edge in seen:
            continue
        images = np.array(edge.image) @ rotations.transpose(0, 2, 1) + shift[:, edge.end] - shift[:, edge.start]
        orbit = dict.fromkeys(
            Edge(int(i), int(j), (int(t[0]), int(t[1]), int(t[2])))
            for i, j, t in zip(site[:, edge.start], site[:, edge.end], images, strict=True)
        )
        once: dict[Edge, None] = {}
        for hop in orbit:
            if hop.reverse not in once:
                once[hop] = None
        seen.update(orbit, (hop.reverse for hop in orbit))
        order = (round(distance_A, 3), round(gap_A, 2), len(once), edge.reverse in orbit)
        found.append((order, HopKind(distance_A, _spread(whole, once), edge.reverse in orbit)))
    return tuple(kind for _, kind in sorted(found, key=lambda item: item[0]))


def _spread(whole: PrimitiveCell, hops: Iterable[Edge]) -> tuple[Edge, ...]:
    """Hops of the primitive cell as they come in the whole one."""
    at = {(int(p), whole.key(cell)): i for i, (p, cell) in enumerate(zip(whole.atoms, whole.homes, strict=True))}
    copies = [np.flatnonzero(whole.atoms == p).tolist() for p in range(whole.crystal.n_atoms)]
    found = []
    for hop in hops:
        for start in copies[hop.start]:
            there = whole.homes[start] + hop.image
            end = at[hop.end, whole.key(there)]
            found.append(Edge(start, end, whole.periods(there - whole.homes[end])))
    return tuple(found)


def _open_edges(atoms: Atoms, ion: str, max_distance_A: float) -> list[tuple[Edge, float, float]]:
    """All hops of the ion that pass no atom too closely, shortest first: with length and distance of the next atom."""
    from ase.neighborlist import neighbor_list

    moves = np.array(atoms.get_chemical_symbols()) == ion
    if not moves.any():
        raise StructureError(f"{atoms.get_chemical_formula()} holds no {ion} that could move")
    start, end, image, vector = neighbor_list("ijSD", atoms, max_distance_A + MIN_CLEARANCE_A)
    length = np.linalg.norm(vector, axis=1)
    found = []
    for i in np.flatnonzero(moves):
        around = np.flatnonzero(start == i)
        hops = around[moves[end[around]] & (length[around] <= max_distance_A + ROUNDING_A)]
        for hop in hops:
            others = vector[around[around != hop]]
            along = np.clip(others @ vector[hop] / length[hop] ** 2, 0.0, 1.0)
            gap = np.linalg.norm(others - along[:, None] * vector[hop], axis=1)
            if gap.min(initial=np.inf) >= MIN_CLEARANCE_A - ROUNDING_A:
                a, b, c = (int(n) for n in image[hop])
                edge = Edge(int(i), int(end[hop]), (a, b, c))
                found.append((edge, float(length[hop]), float(gap.min(initial=max_distance_A))))
    return sorted(found, key=lambda item: (round(item[1], 3), item[0]))


def _site_symmetry(crystal: Crystal, ion: str, symprec_A: float) -> tuple[IntArray, IntArray, IntArray]:
    """Rotations [G,3,3], where each atom of the ion goes [G,N] and into which cell [G,N,3]; other atoms stay 0."""
    import spglib
    from ase.data import atomic_numbers

    frac, lattice = np.array(crystal.frac_coords), np.array(crystal.lattice_A)
    data = spglib.get_symmetry_dataset((lattice, frac, crystal.numbers), symprec=symprec_A)
    if data is None:
        raise StructureError(f"{crystal.formula}: no symmetry can be found; are two atoms in one place?")
    ions = np.flatnonzero(np.array(crystal.numbers) == atomic_numbers[ion])
    moved = frac[ions] @ data.rotations.transpose(0, 2, 1) + data.translations[:, None]
    gap = moved[:, :, None] - frac[ions]
    nearest = np.linalg.norm((gap - np.rint(gap)) @ lattice, axis=-1).argmin(axis=-1)
    site = np.zeros((len(moved), crystal.n_atoms), dtype=np.int64)
    shift = np.zeros((*site.shape, 3), dtype=np.int64)
    site[:, ions] = ions[nearest]
    shift[:, ions] = np.rint(moved - frac[ions[nearest]])
    return data.rotations.astype(np.int64), site, shift


def network(edges: Iterable[Edge]) -> Network:
    """In how many dimensions hops connect the sublattice, and along what."""
    cycles = [found for _, found in _components(list(edges))]
    ranks = [int(np.linalg.matrix_rank(found)) if len(found) else 0 for found in cycles]
    dimension = max(ranks, default=0)
    if dimension not in (1, 2):
        return Network(dimension)
    axes = {_axis(found, dimension) for found, rank in zip(cycles, ranks, strict=True) if rank == dimension}
    return Network(dimension, tuple(sorted(axes, reverse=True)))


def _components(edges: Sequence[Edge]) -> list[tuple[set[int], IntArray]]:
    """Connected parts: their sites, and the lattice translations [n,3] of the cycles through them."""
    ways: dict[int, list[Edge]] = {}
    for edge in edges:
        ways.setdefault(edge.start, []).append(edge)
        ways.setdefault(edge.end, []).append(edge.reverse)
    cell: dict[int, IntArray] = {}
    parts = []
    for root in ways:
        if root in cell:
            continue
        cell[root] = np.zeros(3, dtype=np.int64)
        waiting, sites, cycles = [root], {root}, []
        while waiting:
            for edge in ways[waiting.pop()]:
                there = cell[edge.start] + edge.image
                if edge.end not in cell:
                    cell[edge.end] = there
                    sites.add(edge.end)
                    waiting.append(edge.end)
                elif np.any(cycle := there - cell[edge.end]):
                    cycles.append(cycle)
        parts.append((sites, np.array(cycles, dtype=np.int64).reshape(-1, 3)))
    return parts


def _axis(cycles: IntArray, dimension: int) -> IntVector:
    """Direction of collinear translations, or the plane that coplanar ones span; the first non-zero index positive."""
    first = cycles[0]
    if dimension == 2:
        first = next(normal for other in cycles if np.any(normal := np.cross(first, other)))
    a, b, c = (int(n) // gcd(*(int(m) for m in first)) for n in first)
    return (a, b, c) if next(n for n in (a, b, c) if n) > 0 else (-a, -b, -c)


def connecting_sets(kinds: Sequence[HopKind], dimension: int, largest: int = 3) -> list[tuple[int, ...]]:
    """The smallest sets of hop kinds (indices) that connect in that many dimensions or more; none holds another."""
    found: list[tuple[int, ...]] = []
    for size in range(1, largest + 1):
        for chosen in combinations(range(len(kinds)), size):
            if any(set(smaller) <= set(chosen) for smaller in found):
                continue
            if network(edge for k in chosen for edge in kinds[k].edges).dimension >= dimension:
                found.append(chosen)
    return found


def percolation_levels(kinds: Sequence[HopKind], barriers_eV: Mapping[int, tuple[float, float]]) -> dict[int, Level]:
    """Lowest barrier of motion in one, two and three dimensions.

    Where forward and reverse barriers differ the two sites differ in energy. The energies of all sites follow from
    these differences, and a path costs its highest saddle point less its most stable site.

    Args:
        kinds: as `hop_kinds` gives them.
        barriers_eV: forward and reverse barrier of the first edge of a kind, by index of the kind; those left out
            are closed.

    Returns:
        Levels by dimension; a dimension that no open hops reach is left out.
    """
    edges = [(k, edge) for k in barriers_eV for edge in kinds[k].edges]
    site_eV = _site_energies([(edge, barriers_eV[k]) for k, edge in edges])
    saddle_eV = {(k, edge): site_eV[edge.start] + barriers_eV[k][0] for k, edge in edges}
    levels: dict[int, Level] = {}
    for limit_eV in sorted(set(saddle_eV.values())):
        passed = [item for item in edges if saddle_eV[item] <= limit_eV + 1e-6]
        for sites, cycles in _components([edge for _, edge in passed]):
            rank = int(np.linalg.matrix_rank(cycles)) if len(cycles) else 0
            if not rank:
                continue
            inside = [item for item in passed if item[1].start in sites]
            barrier_eV = max(saddle_eV[item] for item in inside) - min(site_eV[s] for s in sites)
            level = Level(barrier_eV, network(e for _, e in inside), tuple(sorted({k for k, _ in inside})))
            for dimension in range(1, rank + 1):
                if dimension not in levels or barrier_eV < levels[dimension].barrier_eV - 1e-6:
                    levels[dimension] = level
    return levels


def _site_energies(hops: Sequence[tuple[Edge, tuple[float, float]]]) -> dict[int, float]:
    """Relative energies of the sites that agree best with the differences of forward and reverse barriers."""
    sites = sorted({site for edge, _ in hops for site in (edge.start, edge.end)})
    column = {site: i for i, site in enumerate(sites)}
    matrix, rise_eV = np.zeros((len(hops), len(sites))), np.zeros(len(hops))
    for row, (edge, (forward_eV, reverse_eV)) in enumerate(hops):
        matrix[row, column[edge.start]] -= 1
        matrix[row, column[edge.end]] += 1
        rise_eV[row] = forward_eV - reverse_eV
    energies = np.linalg.lstsq(matrix, rise_eV, rcond=None)[0]
    return dict(zip(sites, energies.tolist(), strict=True))
