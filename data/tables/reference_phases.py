"""Competing phases of the hull: structure types of `data/library/reference.yaml` filled with elements (no torch)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import ConfigDict, Field

from redoxa.data.chemistry import radius_scale
from redoxa.data.errors import InputError
from redoxa.data.records import Crystal, Record
from redoxa.data.tables.prototypes import Site, build_crystal, primitive_lattice, read_library

PLACEHOLDERS = ("A", "M", "T", "X", "Z")
"""Site labels that stand for an element; none of them is one."""

SIMPLE_METALS: dict[str, tuple[str, ...]] = {
    "bcc": ("Li", "Na", "K", "Rb", "Cs", "Ba", "V", "Cr", "Fe", "Nb", "Mo", "Ta", "W", "Eu"),
    "fcc": ("Al", "Ca", "Ni", "Cu", "Sr", "Rh", "Pd", "Ag", "Ir", "Pt", "Au", "Pb", "Yb", "Ce"),
    "hcp": ("Be", "Mg", "Sc", "Ti", "Co", "Zn", "Y", "Zr", "Tc", "Ru", "Cd", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Lu",
            "Hf", "Re", "Os", "Tl"),
    "diamond": ("Si", "Ge", "C"),
}  # fmt: skip
"""Elements whose cells are those of `ase.data.reference_states`."""

_SIMPLE_STRUCTURES = {
    "bcc": ("Im-3m", (0.0, 0.0, 0.0)),
    "fcc": ("Fm-3m", (0.0, 0.0, 0.0)),
    "hcp": ("P6_3/mmc", (1 / 3, 2 / 3, 1 / 4)),
    "diamond": ("Fd-3m:1", (0.0, 0.0, 0.0)),
}


class Family(Record):
    """One structure type and the compounds that take it, as typed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    type: str
    source: str
    space_group: str
    cell: tuple[float, float, float, float, float, float]
    sites: tuple[Site, ...] = Field(min_length=1)
    of: tuple[tuple[str | float, ...], ...] = ()


@dataclass(frozen=True)
class _Filling:
    """What fills a family: an element for every placeholder, and lattice lengths where they are known."""

    elements: dict[str, str]
    lengths_A: tuple[float, ...]


def load_reference_structures(first_of_type: bool = False) -> Iterator[tuple[str, Crystal]]:
    """Yield every reference phase as (name, primitive cell), e.g. ``rock salt MgO``; names are unique.

    Args:
        first_of_type: only one compound of each structure type, that whose cell and coordinates were typed.

    Raises:
        InputError: an entry of the library cannot be read; the message names it.
    """
    yield from _simple_elements(first_of_type)
    for raw in read_library("reference"):
        family = Family.model_validate(raw)
        try:
            yield from itertools.islice(_compounds(family), 1 if first_of_type else None)
        except (InputError, KeyError, ValueError) as error:
            raise InputError(f"reference phase {family.type}: {error}") from error


def _simple_elements(first_of_type: bool) -> Iterator[tuple[str, Crystal]]:
    from ase.data import atomic_numbers, reference_states

    for structure, symbols in SIMPLE_METALS.items():
        space_group, site = _SIMPLE_STRUCTURES[structure]
        for symbol in symbols[:1] if first_of_type else symbols:
            state = reference_states[atomic_numbers[symbol]]
            a = 3.567 if symbol == "C" else float(state["a"])
            angle = 120.0 if structure == "hcp" else 90.0
            cell = (a, a, a * float(state["c/a"]) if structure == "hcp" else a, 90.0, 90.0, angle)
            yield f"{structure} {symbol}", build_crystal(space_group, cell, [symbol], [site])[0]


def _compounds(family: Family) -> Iterator[tuple[str, Crystal]]:
    from ase.data import atomic_numbers

    placeholders = list(dict.fromkeys(s.label for s in family.sites if s.label in PLACEHOLDERS))
    rows = [_read_row(row, placeholders) for row in family.of or ((),)]
    labels = [[filling.elements.get(s.label, s.label) for s in family.sites] for filling in rows]
    # Fractional coordinates do not depend on the filling: the symmetry is applied once a family.
    first, origins = build_crystal(family.space_group, family.cell, labels[0], [s.coords for s in family.sites])
    for filling, elements in zip(rows, labels, strict=True):
        crystal = first.model_copy(update={"numbers": tuple(atomic_numbers[elements[o]] for o in origins)})
        if filling.lengths_A:
            lattice = primitive_lattice(family.space_group, _cell(family.cell, filling.lengths_A))
        else:
            lattice = np.asarray(first.lattice_A) * radius_scale(first.composition, crystal.composition)
        crystal = Crystal(numbers=crystal.numbers, frac_coords=crystal.frac_coords, lattice_A=lattice.tolist())
        yield f"{family.type} {crystal.formula}", crystal


def _read_row(row: Sequence[str | float], placeholders: Sequence[str]) -> _Filling:
    symbols = [str(x) for x in row if isinstance(x, str)]
    lengths = tuple(float(x) for x in row if not isinstance(x, str))
    if len(symbols) != len(placeholders):
        raise InputError(f"{list(row)} names {len(symbols)} elements for the placeholders {list(placeholders)}")
    return _Filling(dict(zip(placeholders, symbols, strict=True)), lengths)


def _cell(typed: Sequence[float], lengths_A: tuple[float, ...]) -> tuple[float, ...]:
    """Cell with the given lengths (none, a, a and c, or a, b and c) and the typed angles."""
    a, b, c, *angles = typed
    match lengths_A:
        case ():
            return tuple(typed)
        case (x,):
            return (x, b * x / a, c * x / a, *angles)
        case (x, z):
            return (x, x, z, *angles)
        case (x, y, z):
            return (x, y, z, *angles)
        case _:
            raise InputError(f"one to three lattice lengths are expected, got {list(lengths_A)}")
