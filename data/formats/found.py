"""What every format shares: the crystal that was read with what had to be assumed, elements, numbers, and limits."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ase.data import atomic_numbers

from redoxa.data.errors import StructureError
from redoxa.data.records import Crystal

MAX_ATOMS: Final = 200
MIN_VOLUME_A3, MAX_LENGTH_A = 1.0, 1000.0

OCCUPANCY_ROUNDING: Final = 0.011
"""An occupancy this near to 1 is 1, rounded or refined within its error."""

_CHARGE = re.compile(r"(?<=[A-Za-z])(\d+(\.\d+)?[+-]|[+-]\d*(\.\d+)?|0)$")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\(\d*\))?$")
_FRACTION = re.compile(r"([+-]?\d+)/([1-9]\d*)$")


class Reading(NamedTuple):
    """A crystal of a file.

    Attributes:
        name: path, with ``#i`` (from 1) where the file holds several; empty before the file is known.
        crystal: as it was read, all atoms of the cell.
        remarks: what the reader had to assume, in sentences for people.
        label: what the file calls it, e.g. ``mp-30``; empty where it has no name.
    """

    name: str
    crystal: Crystal
    remarks: tuple[str, ...] = ()
    label: str = ""


Outcome = Reading | StructureError
"""A structure that was read, or why not."""


@dataclass
class Remarks:
    """Collects what was assumed, each sentence once."""

    said: dict[str, None] = field(default_factory=dict)

    def add(self, text: str) -> None:
        """Note an assumption."""
        self.said.setdefault(text)

    @property
    def all(self) -> tuple[str, ...]:
        """In order of appearance."""
        return tuple(self.said)


def element(token: str, where: str, remarks: Remarks) -> int:
    """Atomic number of a symbol that may carry a charge: ``Li``, ``Co3+``, ``O2-``, ``Fe+3``, ``LI``, ``D``.

    Raises:
        StructureError: it names no element; `where` says which site.
    """
    symbol = _CHARGE.sub("", token.strip())
    if symbol in {"D", "T"}:
        remarks.add(f"{'deuterium' if symbol == 'D' else 'tritium'} was read as hydrogen")
        return 1
    if symbol not in atomic_numbers and len(symbol) <= 2 and symbol.capitalize() in atomic_numbers:
        remarks.add(f"'{symbol}' was read as {symbol.capitalize()}")
        symbol = symbol.capitalize()
    number = int(atomic_numbers.get(symbol, 0))
    if not 1 <= number <= 118:
        raise StructureError(f"{where}: '{token}' is not an element")
    return number


def number(token: str | None, what: str) -> float:
    """A finite number as files write them: ``2.8155(3)``, ``1/3``, ``-.5``, ``1.2e1``.

    Raises:
        StructureError: it is missing or none; `what` says of what.
    """
    if token is None:
        raise StructureError(f"{what} is not given")
    if fraction := _FRACTION.match(token):
        return int(fraction[1][:12]) / int(fraction[2][:12])
    found = _NUMBER.match(token)
    value = float(found[1]) if found else math.nan
    if not math.isfinite(value):
        raise StructureError(f"{what} is '{token[:40]}', not a finite number")
    return value


def whole(occupancy: float, site: str, remarks: Remarks) -> bool:
    """Whether an occupancy is 1, maybe rounded; a rounded one is remarked.

    Raises:
        StructureError: it is no occupancy.
    """
    if not 0 <= occupancy <= 1 + OCCUPANCY_ROUNDING:
        raise StructureError(f"site {site} has the occupancy {occupancy:g}, which lies outside 0 to 1")
    if abs(occupancy - 1) > OCCUPANCY_ROUNDING:
        return False
    if abs(occupancy - 1) > 1e-6:
        remarks.add(f"the occupancy {occupancy:g} of site {site} was read as 1")
    return True


def disordered(formula: str) -> StructureError:
    """Why a crystal with partly occupied sites is refused."""
    return StructureError(f"{formula}: partial occupancies (disorder) cannot be screened; give an ordered approximant")


def periodic(directions: Sequence[object]) -> None:
    """Refuse slabs, wires and molecules.

    Raises:
        StructureError: a direction is not periodic.
    """
    count = sum(bool(x) for x in directions)
    if len(directions) != 3 or count != 3:
        kind = {2: "a slab", 1: "a wire", 0: "a molecule"}.get(count, "not a crystal")
        raise StructureError(f"is periodic in {count} of 3 directions: {kind}, of which no electrode can be screened")


def few_atoms(count: int) -> None:
    """Refuse what is too large before it is built.

    Raises:
        StructureError: more than `MAX_ATOMS`.
    """
    if count > MAX_ATOMS:
        raise StructureError(f"{count} atoms; at most {MAX_ATOMS} can be screened. Give the primitive cell.")


def crystal(
    numbers: Sequence[int], frac_coords: Sequence[Sequence[float]], lattice_A: Sequence[Sequence[float]]
) -> Crystal:
    """A crystal that can be one.

    Raises:
        StructureError: no atoms or too many, numbers that are not finite, or no cell.
    """
    if not numbers:
        raise StructureError("holds no atoms")
    few_atoms(len(numbers))
    if not all(math.isfinite(x) for row in (*lattice_A, *frac_coords) for x in row):
        raise StructureError("holds numbers that are not finite")
    if any(math.hypot(*row) > MAX_LENGTH_A for row in lattice_A):
        raise StructureError(f"the cell is longer than {MAX_LENGTH_A:g} A; are its lengths in Angstrom?")
    made = Crystal(numbers=numbers, frac_coords=frac_coords, lattice_A=lattice_A)
    if made.volume_A3 < MIN_VOLUME_A3:
        raise StructureError(f"the cell has no volume ({made.volume_A3:.3g} A^3)")
    return made


def lattice_of(lengths_A: Sequence[float], angles_deg: Sequence[float]) -> tuple[tuple[float, float, float], ...]:
    """Row vectors of a cell given by lengths and angles, the first along x, the second in the xy plane.

    Raises:
        StructureError: no such cell exists.
    """
    from ase.geometry import cellpar_to_cell

    for name, length in zip("abc", lengths_A, strict=True):
        if length <= 0:
            raise StructureError(f"the cell length {name} is {length:g} A; it must be positive")
    for name, angle in zip(("alpha", "beta", "gamma"), angles_deg, strict=True):
        if not 0 < angle < 180:
            raise StructureError(f"the cell angle {name} is {angle:g} degrees; it must lie between 0 and 180")
    cosines = [math.cos(math.radians(x)) for x in angles_deg]
    if 1 + 2 * math.prod(cosines) - sum(x * x for x in cosines) <= 1e-8:
        raise StructureError("no cell has the angles " + ", ".join(f"{x:g}" for x in angles_deg))
    rows = cellpar_to_cell([*lengths_A, *angles_deg])
    return tuple((float(a), float(b), float(c)) for a, b, c in rows)
