"""Taking working ions out of a crystal: all of them, or the part that electrostatics would let go first."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from math import comb

import numpy as np
from ase.data import atomic_numbers

from data.chemistry import oxidation_states
from data.records import Crystal
from data.structures import to_structure
from data.units import ION_VALENCE
from screening.potential import FloatArray

MAX_ORDERINGS = 20_000
"""Beyond this many the ions leave one by one, each time the one whose leaving costs least."""


def remove_ions(crystal: Crystal, ion: str, count: int) -> Crystal:
    """Take `count` working ions out; the ones whose leaving gives the lowest Ewald energy of point charges.

    Raises:
        ValueError: the crystal holds fewer, or nothing would be left.
    """
    sites = [i for i, z in enumerate(crystal.numbers) if z == atomic_numbers[ion]]
    if not 0 < count <= len(sites) or count == crystal.n_atoms:
        raise ValueError(f"{count} {ion} cannot leave a cell with {len(sites)} {ion} and {crystal.n_atoms} atoms")
    if count == len(sites):
        return without(crystal, sites)
    return without(crystal, best_vacancies(crystal, ion, sites, count))


def without(crystal: Crystal, sites: Iterable[int]) -> Crystal:
    """The crystal without the atoms of these indices."""
    gone = set(sites)
    stay = [i for i in range(crystal.n_atoms) if i not in gone]
    return Crystal(
        numbers=tuple(crystal.numbers[i] for i in stay),
        frac_coords=tuple(crystal.frac_coords[i] for i in stay),
        lattice_A=crystal.lattice_A,
    )


def best_vacancies(crystal: Crystal, ion: str, sites: list[int], count: int) -> list[int]:
    """Which of `sites` to empty for the lowest electrostatic energy; ties go to the first sites, so it is reproducible.

    Charges are the common oxidation states of the full crystal; the charge that the host gives up is spread evenly, so
    it is the same for every ordering and drops out.
    """
    pair = pair_energies(crystal, ion)
    stays_with = pair[np.ix_(sites, sites)]
    alone = 2 * pair[sites].sum(axis=1) - np.diag(stays_with)
    # Energy released by emptying S: sum of each site's terms with the whole crystal, less pairs counted twice.
    if comb(len(sites), count) <= MAX_ORDERINGS:
        choices = np.array(list(combinations(range(len(sites)), count)))
        doubled = stays_with[choices[:, :, None], choices[:, None, :]].sum(axis=(1, 2))
        doubled -= np.diag(stays_with)[choices].sum(axis=1)
        left = -alone[choices].sum(axis=1) + doubled
        best = choices[int(np.flatnonzero(left <= left.min() + 1e-6)[0])]
        return [sites[i] for i in best]
    chosen: list[int] = []
    for _ in range(count):
        rest = [i for i in range(len(sites)) if i not in chosen]
        gains = [-alone[i] + 2 * stays_with[i, chosen].sum() for i in rest]
        chosen.append(rest[int(np.argmin(np.round(gains, 6)))])
    return [sites[i] for i in chosen]


def pair_energies(crystal: Crystal, ion: str) -> FloatArray:
    """Ewald energies between sites in eV [N,N], halved so that their sum is the total.

    Where no common oxidation states are known, the working ions repel one another in an even background.
    """
    from pymatgen.analysis.ewald import EwaldSummation

    states = oxidation_states(crystal.composition) or {}
    if not states.get(ion):
        states = {ion: float(ION_VALENCE[ion])}
    structure = to_structure(crystal)
    structure.add_oxidation_state_by_element({e: states.get(e, 0.0) for e in crystal.composition})
    return np.asarray(EwaldSummation(structure).total_energy_matrix, dtype=float)


def supercell(crystal: Crystal, cells: int) -> Crystal:
    """Join `cells` copies, each time along the axis that is shortest by then."""
    factors = [1, 1, 1]
    lengths = np.linalg.norm(np.array(crystal.lattice_A), axis=1)
    left = cells
    while left > 1:
        step = next(p for p in (2, 3, 5, 7, left) if left % p == 0)
        axis = int(np.argmin(lengths * factors))
        factors[axis] *= step
        left //= step
    shifts = np.stack(np.meshgrid(*[np.arange(f) for f in factors], indexing="ij"), axis=-1).reshape(-1, 3)
    frac = (np.array(crystal.frac_coords)[:, None] + shifts[None]) / np.array(factors)
    return Crystal(
        numbers=tuple(z for z in crystal.numbers for _ in shifts),
        frac_coords=frac.reshape(-1, 3).tolist(),
        lattice_A=(np.array(crystal.lattice_A) * np.array(factors)[:, None]).tolist(),
    )
