"""Taking working ions out of a crystal, and joining cells so that whole ions can leave."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from ase.data import atomic_numbers

from redoxa.data.records import Crystal
from redoxa.screening.ions.orderings import lowest_orderings


def remove_ions(crystal: Crystal, sites: Sequence[int], count: int, most: int = 1) -> tuple[Crystal, ...]:
    """Take `count` of the ions on these sites out, in up to `most` symmetry-distinct ways, lowest Ewald energy first.

    Raises:
        ValueError: there are fewer, or nothing would be left.
    """
    if not 0 < count <= len(sites) or count == crystal.n_atoms:
        raise ValueError(f"{count} ions cannot leave {len(sites)} sites of a cell with {crystal.n_atoms} atoms")
    found = lowest_orderings(crystal, sites, len(sites) - count, most)
    return tuple(without(crystal, set(sites) - set(stay)) for stay in found.choices)


def ion_sites(crystal: Crystal, ion: str) -> list[int]:
    """Indices of the atoms of an element."""
    return [i for i, z in enumerate(crystal.numbers) if z == atomic_numbers[ion]]


def without(crystal: Crystal, sites: Iterable[int]) -> Crystal:
    """The crystal without the atoms of these indices."""
    gone = set(sites)
    stay = [i for i in range(crystal.n_atoms) if i not in gone]
    return Crystal(
        numbers=tuple(crystal.numbers[i] for i in stay),
        frac_coords=tuple(crystal.frac_coords[i] for i in stay),
        lattice_A=crystal.lattice_A,
    )


def supercell(crystal: Crystal, cells: int) -> Crystal:
    """Join `cells` copies, each time along the axis that is shortest by then."""
    factors = [1, 1, 1]
    lengths = np.linalg.norm(np.array(crystal.lattice_A), axis=1)
    left = cells
    while left > 1:
        step = next(p for p in (2, 3, 5, 7, left) if left % p == 0)
        axis = int(np.argmin(np.round(lengths * factors, 3)))
        factors[axis] *= step
        left //= step
    shifts = np.stack(np.meshgrid(*[np.arange(f) for f in factors], indexing="ij"), axis=-1).reshape(-1, 3)
    frac = (np.array(crystal.frac_coords)[:, None] + shifts[None]) / np.array(factors)
    return Crystal(
        numbers=tuple(z for z in crystal.numbers for _ in shifts),
        frac_coords=frac.reshape(-1, 3).tolist(),
        lattice_A=(np.array(crystal.lattice_A) * np.array(factors)[:, None]).tolist(),
    )
