"""Which of the sites of an ion are taken: symmetry-distinct orderings, those of lowest electrostatic energy first.

The energy of point charges (Ewald) ranks orderings of one content well where ions repel one another in a host that
gives up its charge evenly, which is what partial charge states and freshly filled hosts are before they relax. It is a
guide to which orderings deserve a relaxation, never a number that is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols

from redoxa.data.chemistry import oxidation_states
from redoxa.data.records import Crystal
from redoxa.data.structures import to_structure
from redoxa.data.units import ION_VALENCE
from redoxa.screening.potentials.base import FloatArray

IntArray = npt.NDArray[np.int64]

MAX_ENUMERATED = 20_000
"""Beyond this many orderings they are sampled."""

SWEEPS, STARTS = 200, 4
"""Swaps by ion of a simulated annealing, and how often it begins anew: a few tenths of a second for 100 sites."""

SAME_eV = 1e-5
SYMPREC_A = 0.05
"""Relaxed cells are symmetric to about the last steps of their relaxation."""


@dataclass(frozen=True)
class Orderings:
    """Choices of sites, the lowest electrostatic energy first, no two of them equivalent by symmetry.

    Attributes:
        choices: the sites that are taken, as indices into the atoms of the crystal, ascending.
        considered: orderings whose energy was compared.
        exhaustive: whether these were all there are.
    """

    choices: tuple[tuple[int, ...], ...]
    considered: int
    exhaustive: bool


def lowest_orderings(
    crystal: Crystal,
    sites: Sequence[int],
    taken: int,
    most: int = 1,
    apart_A: float = 0.0,
    states: Mapping[str, float] | None = None,
) -> Orderings:
    """The orderings of lowest electrostatic energy with `taken` of the `sites` occupied and the others empty.

    All orderings where there are at most `MAX_ENUMERATED`, else simulated annealing with a fixed seed; either way the
    same crystal gives the same answer, in whatever order its atoms come.

    Args:
        crystal: the cell with every one of the sites occupied.
        sites: indices of atoms of one element.
        taken: how many stay.
        most: distinct orderings to return at most.
        apart_A: least distance between two occupied sites; closer pairs are never taken.
        states: charges by element; by default the common oxidation states of the crystal.

    Returns:
        No choices where no ordering keeps the distance.

    Raises:
        ValueError: more are to be taken than there are sites.
    """
    if not 0 <= taken <= len(sites):
        raise ValueError(f"{taken} of {len(sites)} sites cannot be taken")
    if states is None:
        states = charges(crystal.composition, chemical_symbols[crystal.numbers[sites[0]]] if sites else "")
    at = np.round(np.array(crystal.frac_coords)[list(sites)], 3) % 1.0
    sites = [sites[i] for i in np.lexsort(at.T)] if sites else sites
    alone_eV, pair_eV = _energies_eV(crystal, sites, apart_A, states)
    exhaustive = comb(len(sites), taken) <= MAX_ENUMERATED
    if exhaustive:
        places: IntArray = np.array(list(combinations(range(len(sites)), taken)), dtype=np.int64)
        energies_eV = alone_eV[places].sum(1) + pair_eV[places[:, :, None], places[:, None, :]].sum((1, 2))
    else:
        places, energies_eV = _annealed(alone_eV, pair_eV, taken)
    allowed = np.isfinite(energies_eV)
    places, energies_eV, considered = places[allowed], energies_eV[allowed], len(places)
    order = _by_energy(energies_eV, pair_eV, places)
    images = _permutations(crystal, sites)
    choices = []
    for chosen in _distinct(places[order], images):
        choices.append(tuple(sorted(sites[i] for i in chosen)))
        if len(choices) == most:
            break
    return Orderings(tuple(choices), considered, exhaustive)


def _by_energy(energies_eV: FloatArray, pair_eV: FloatArray, places: IntArray) -> IntArray:
    """Order by energy; equal energies (to rounding) by the triangles that the ions form, last by their sites.

    Orderings that no symmetry joins may have the same distances between ions and so the same energy. The trace of the
    cube of their pair energies tells them apart, in whatever cell they are written.
    """
    triangles = np.empty(len(places))
    for first in range(0, len(places), 1000):  # to spare memory
        part = places[first : first + 1000]
        pairs_eV = pair_eV[part[:, :, None], part[:, None, :]]
        triangles[first : first + 1000] = np.einsum("nij,nji->n", pairs_eV @ pairs_eV, pairs_eV)
    return np.asarray(np.lexsort([*places.T[::-1], np.round(triangles, 1), np.round(energies_eV / SAME_eV)]))


def _distinct(places: IntArray, images: IntArray) -> Iterator[tuple[int, ...]]:
    """Those of the choices [n,k] that no symmetry operation brings onto an earlier one."""
    seen: set[bytes] = set()
    for chosen in places:
        if np.sort(chosen).astype(np.int16).tobytes() in seen:
            continue
        seen |= {row.tobytes() for row in np.sort(images[:, chosen], axis=1).astype(np.int16)}
        yield tuple(chosen.tolist())


def _permutations(crystal: Crystal, sites: Sequence[int]) -> IntArray:
    """Where each symmetry operation of the crystal sends each of the sites [operations, sites]."""
    import spglib

    identity = np.arange(len(sites))[None]
    try:
        found = spglib.get_symmetry((crystal.lattice_A, crystal.frac_coords, crystal.numbers), symprec=SYMPREC_A)
    except spglib.SpglibError:
        return identity
    if found is None:
        return identity
    frac = np.array(crystal.frac_coords)[list(sites)]
    lattice = np.array(crystal.lattice_A)
    rows = [identity[0]]
    for rotation, translation in zip(found["rotations"], found["translations"], strict=True):
        delta = (frac @ rotation.T + translation)[:, None] - frac[None]
        delta -= np.rint(delta)
        distances_A = np.linalg.norm(delta @ lattice, axis=-1)
        row = distances_A.argmin(1)
        if len(set(row.tolist())) == len(sites) and distances_A.min(1).max() < 4 * SYMPREC_A:
            rows.append(row)
    return np.unique(np.array(rows), axis=0)


def _energies_eV(
    crystal: Crystal, sites: Sequence[int], apart_A: float, states: Mapping[str, float]
) -> tuple[FloatArray, FloatArray]:
    """Energy of each site with the host [n], and half of each pair's [n,n] (own images on the diagonal).

    The charge that the host gives up is spread evenly, so it is the same for all orderings of one content.
    """
    chosen = np.asarray(sites, dtype=np.int64)
    matrix_eV = ewald_matrix_eV(crystal, states)
    host = np.setdiff1d(np.arange(crystal.n_atoms), chosen)
    alone_eV = 2 * matrix_eV[np.ix_(chosen, host)].sum(1)
    pair_eV = matrix_eV[np.ix_(chosen, chosen)]
    if apart_A > 0:
        near = _distances_A(crystal, sites) < apart_A
        pair_eV = np.where(near, np.inf, pair_eV)
    return alone_eV, pair_eV


def ewald_matrix_eV(crystal: Crystal, states: Mapping[str, float]) -> FloatArray:
    """Ewald energies between atoms with these charges in eV [N,N], halved so that their sum is the total."""
    from pymatgen.analysis.ewald import EwaldSummation

    structure = to_structure(crystal)
    structure.add_oxidation_state_by_element(dict(states))
    return np.asarray(EwaldSummation(structure).total_energy_matrix, dtype=float)


def charges(composition: Mapping[str, int], ion: str) -> dict[str, float]:
    """Oxidation states by element; where the composition has no common ones, the ions alone are charged and repel."""
    states = oxidation_states(composition) or {}
    if not states.get(ion):
        states = {ion: float(ION_VALENCE.get(ion, 1))}
    return {e: states.get(e, 0.0) for e in composition}


def _distances_A(crystal: Crystal, sites: Sequence[int]) -> FloatArray:
    """Shortest distances between the sites [n,n]; those of a site from its own images on the diagonal."""
    from pymatgen.core import Lattice

    lattice = Lattice(crystal.lattice_A)
    frac = np.array(crystal.frac_coords)[list(sites)]
    distances = np.asarray(lattice.get_all_distances(frac, frac), dtype=float)
    np.fill_diagonal(distances, min(lattice.get_niggli_reduced_lattice().abc))
    return distances


def _annealed(alone_eV: FloatArray, pair_eV: FloatArray, taken: int) -> tuple[IntArray, FloatArray]:
    """Orderings [m,k] that simulated annealing by swaps of an ion and a vacancy met, each once, and their energies."""
    rng = np.random.default_rng(0)
    n = len(alone_eV)
    finite = np.where(np.isfinite(pair_eV), pair_eV, 1e3)
    spread_eV = float(np.std(alone_eV) + 2 * np.std(finite[~np.eye(n, dtype=bool)])) or 1.0
    met: dict[bytes, float] = {}
    for _ in range(STARTS):
        occupied = np.zeros(n, dtype=bool)
        occupied[rng.permutation(n)[:taken]] = True
        field = alone_eV + 2 * finite @ occupied
        energy = float(alone_eV[occupied].sum() + finite[np.ix_(occupied, occupied)].sum())
        steps = SWEEPS * taken
        for step in range(steps):
            leaves = int(rng.choice(np.flatnonzero(occupied)))
            enters = int(rng.choice(np.flatnonzero(~occupied)))
            change = float(field[enters] - field[leaves] - 2 * finite[enters, leaves])
            change += float(finite[enters, enters] + finite[leaves, leaves])
            temperature_eV = spread_eV * 10 ** (-3 * step / steps)
            if change <= SAME_eV or rng.random() < np.exp(-change / temperature_eV):
                occupied[leaves], occupied[enters] = False, True
                field += 2 * (finite[:, enters] - finite[:, leaves])
                energy += change
                met[np.packbits(occupied).tobytes()] = energy
    rows = [np.flatnonzero(np.unpackbits(np.frombuffer(key, np.uint8), count=n)) for key in met]
    places: IntArray = np.array(rows, dtype=np.int64).reshape(-1, taken)
    energies = np.array(list(met.values()))
    energies[np.array([np.isinf(pair_eV[np.ix_(r, r)]).any() for r in rows])] = np.inf
    return places, energies
