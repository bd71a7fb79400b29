"""Putting the working ion into a host, or in the place of another ion: starting crystals of the discharged state."""

from __future__ import annotations

from ase.data import atomic_numbers

from redoxa.data.chemistry import radius_scale
from redoxa.data.errors import InputError
from redoxa.data.records import Crystal
from redoxa.data.units import ION_VALENCE
from redoxa.screening.ions.empty_sites import empty_sites, filled
from redoxa.screening.ions.orderings import charges, lowest_orderings
from redoxa.screening.ions.removal import ion_sites, supercell, without

APART_A = 2.2
"""Least distance between two inserted ions before they relax; 2.5 to 3 in electrodes."""


def fillings(host: Crystal, ion: str, count: int, most: int) -> list[tuple[Crystal, tuple[int, ...]]]:
    """Hosts with `count` ions in their empty places, or as many as fit, by ascending electrostatic energy.

    Args:
        host: relaxed crystal.
        ion: symbol of the working ion.
        count: ions to put in.
        most: symmetry-distinct fillings to return at most.

    Returns:
        Crystals and, of each, the indices of the ions that were put in; none where the ion fits nowhere.
    """
    places = empty_sites(host, ion)
    crowded, sites = filled(host, ion, places)
    for fitting in range(min(count, len(places)), 0, -1):
        content = dict(host.composition)
        content[ion] = content.get(ion, 0) + fitting
        found = lowest_orderings(crowded, sites, fitting, most, APART_A, charges(content, ion))
        if found.choices:
            moving = tuple(range(host.n_atoms, host.n_atoms + fitting))
            return [(without(crowded, set(sites) - set(choice)), moving) for choice in found.choices]
    return []


def exchanged(crystal: Crystal, old: str, new: str) -> Crystal:
    """A crystal with its ions replaced by others at the same charge, the lattice scaled by ionic radii.

    Where the new ion carries more charge, fewer of them take the sites of lowest electrostatic energy; where whole ions
    do not balance in one cell, two or three cells are joined.

    Raises:
        InputError: the crystal holds no `old`, or already holds `new`, or the charges do not balance in three cells.
    """
    present = crystal.composition
    if old not in present or new in present:
        problem = f"holds no {old}" if old not in present else f"holds {new} already"
        raise InputError(f"{crystal.formula} {problem}: nothing to exchange")
    for cells in (1, 2, 3):
        charge = cells * present[old] * ION_VALENCE[old]
        if charge % ION_VALENCE[new]:
            continue
        joined = supercell(crystal, cells)
        sites, kept = ion_sites(joined, old), charge // ION_VALENCE[new]
        if kept > len(sites):
            break
        numbers = tuple(atomic_numbers[new] if z == atomic_numbers[old] else z for z in joined.numbers)
        swapped = joined.model_copy(update={"numbers": numbers})
        content = {**swapped.composition, new: kept}
        (stay,) = lowest_orderings(swapped, sites, kept, states=charges(content, new)).choices
        made = without(swapped, set(sites) - set(stay))
        factor = radius_scale(joined.composition, made.composition)
        return made.model_copy(update={"lattice_A": tuple(tuple(factor * x for x in row) for row in made.lattice_A)})
    raise InputError(
        f"{crystal.formula}: its {old} sites cannot be filled with {new} of the same charge; "
        "screen the emptied host instead, which takes the ions up"
    )
