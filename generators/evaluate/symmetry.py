"""Is the symmetry of a sample the one that was meant."""

from __future__ import annotations

import re
from functools import cache

SYMPREC_A = 0.01
"""Tight on purpose: what was built in a space group has it to rounding."""

_NAMED = re.compile(r"space group (\d{1,3})\b")


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
