"""Is the symmetry of a sample the one that was meant."""

from __future__ import annotations

import re
from functools import cache

from redoxa.data.records import Crystal

TIGHT_A = 0.01
"""What was built in a space group has it to rounding."""

LOOSE_A = 0.1
"""Samples are half-relaxed at best: at this tolerance they show the symmetry that they are about to reach."""

_NAMED = re.compile(r"space group (\d{1,3})\b")


def group_and_primitive(crystal: Crystal, symprec_A: float) -> tuple[int, int]:
    """Number of the space group (0 where spglib finds none) and atoms in the primitive cell, from one search."""
    import spglib

    try:
        found = spglib.get_symmetry_dataset(
            (crystal.lattice_A, crystal.frac_coords, crystal.numbers), symprec=symprec_A
        )
    except spglib.SpglibError:
        found = None
    if found is None:
        return 0, crystal.n_atoms
    return int(found.number), len(set(found.mapping_to_primitive))


def meant_group(label: str) -> int | None:
    """Number of the space group that a label names (``space group 166: Na->Li``), or None."""
    found = _NAMED.search(label)
    number = int(found.group(1)) if found else 0
    return number if 1 <= number <= 230 else None


@cache
def keeps_symmetry(meant: int, found: int) -> bool:
    """Whether the space group that was found is the meant one or a supergroup of its type."""
    if meant == found or meant == 1:
        return True
    if found <= 1:
        return False
    from pymatgen.symmetry.groups import SpaceGroup

    return bool(SpaceGroup.from_int_number(meant).is_subgroup(SpaceGroup.from_int_number(found)))
