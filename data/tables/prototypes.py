"""The prototype library: published crystal structures, typed as space group, cell and asymmetric unit.

`data/library/electrodes.yaml` holds insertion electrodes in their discharged form, `data/library/reference.yaml` the
simple phases they compete with. No torch, no pymatgen.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError, model_validator

from redoxa.data.errors import InputError, UnknownKindError
from redoxa.data.records import Crystal, Record, WorkingIon

LIBRARIES = ("electrodes",)
Floats = NDArray[np.float64]

# Rows: primitive vectors in units of the conventional ones (International Tables A; R: obverse, hexagonal axes).
_CENTRING: dict[str, tuple[tuple[float, float, float], ...]] = {
    "P": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "A": ((1, 0, 0), (0, 0.5, -0.5), (0, 0.5, 0.5)),
    "C": ((0.5, 0.5, 0), (-0.5, 0.5, 0), (0, 0, 1)),
    "I": ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5)),
    "F": ((0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
}


class Site(Record):
    """One site of the asymmetric unit: element (or a placeholder that a substitution fills) and coordinates."""

    label: str
    coords: tuple[float, float, float]

    @model_validator(mode="before")
    @classmethod
    def _from_row(cls, value: object) -> object:
        """Accept the library's rows ``[Li, 1/3, 2/3, 0.25]``."""
        if isinstance(value, list) and len(value) == 4:
            return {"label": value[0], "coords": tuple(float(Fraction(str(x))) for x in value[1:])}
        return value


class Entry(Record):
    """One entry of a library file, as typed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    formula: str
    family: str
    ion: WorkingIon
    space_group: str
    cell: tuple[float, float, float, float, float, float]
    sites: tuple[Site, ...] = Field(min_length=1)
    source: str
    coordinates: Literal["published", "refined"] = "published"
    approximant: str = ""
    anchor: str | None = None
    cycled: str = ""
    leaving: tuple[int, ...] = ()
    topology: str = ""


class Prototype(Record):
    """A published electrode in its discharged (ion-filled) form.

    Attributes:
        name: unique, topology and compound: ``olivine LiFePO4``.
        family: layered oxide, spinel, olivine, NASICON ...
        formula: reduced formula.
        working_ion: the ion that leaves on charge.
        space_group: Hermann-Mauguin symbol in the setting that was typed (``:H`` hexagonal axes, ``:2`` origin 2).
        crystal: primitive cell.
        source: who determined the structure.
        coordinates: "published", or "refined" where cell and sites are published and the free coordinates were relaxed
            with CHGNet 0.3.0 within the space group.
        approximant: how a disordered structure was ordered; "" where nothing had to be.
        anchor: discharged formula of the measured voltage that belongs to it, as the literature writes it.
        cycled: a publication of its cycling; "" where there is no `anchor`.
        leaving: indices of the atoms of `crystal` that leave on charge; empty where all working ions do.
        topology: equal for entries with the same arrangement of sites; the name without the compound, or as typed.
    """

    name: str
    family: str
    formula: str
    working_ion: WorkingIon
    space_group: str
    crystal: Crystal
    source: str
    coordinates: Literal["published", "refined"] = "published"
    approximant: str = ""
    anchor: str | None = None
    cycled: str = ""
    leaving: tuple[int, ...] = ()
    topology: str = ""


@cache
def load_prototypes(library: str = "electrodes") -> tuple[Prototype, ...]:
    """Read a library and build the primitive cells; the result is cached.

    Raises:
        UnknownKindError: no such library.
        InputError: an entry cannot be read; the message names it.
    """
    if library not in LIBRARIES:
        raise UnknownKindError("prototype library", library, LIBRARIES)
    return tuple(_build(Entry.model_validate(raw)) for raw in read_library(library))


def prototype(name: str) -> Prototype:
    """The electrode prototype of that name.

    Raises:
        UnknownKindError: no such prototype; the message suggests the nearest one.
    """
    by_name = {p.name: p for p in load_prototypes()}
    if name not in by_name:
        raise UnknownKindError("prototype", name, by_name)
    return by_name[name]


def read_library(library: str) -> list[object]:
    """The raw entries of ``data/library/<library>.yaml``."""
    text = (files("redoxa.data") / "library" / f"{library}.yaml").read_text(encoding="utf-8")
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader  # the same grammar, ten times faster
    entries = yaml.load(text, Loader=loader)  # noqa: S506
    if not isinstance(entries, list):
        raise InputError(f"data/library/{library}.yaml: a list of entries is expected")
    return entries


def build_crystal(
    space_group: str, cell: Sequence[float], labels: Sequence[str], coords: Sequence[Sequence[float]]
) -> tuple[Crystal, list[int]]:
    """Primitive cell from a space group, a conventional cell and the sites of the asymmetric unit.

    Args:
        space_group: Hermann-Mauguin symbol in any setting, if need be with the origin choice or the axes
            (``P2_1/n``, ``Pmnb``, ``Fd-3m:2``, ``R-3m:H``; origin 2 and hexagonal axes where nothing is said).
        cell: a, b, c in Angstrom, alpha, beta, gamma in degrees.
        labels: element symbols, one a site.
        coords: fractional coordinates in the conventional cell, one row a site.

    Returns:
        The crystal, and the site index that each of its atoms came from.

    Raises:
        InputError: unknown space group, a cell that it forbids, or two sites in one place.
    """
    from ase.data import atomic_numbers

    rotations, translations = _operations(space_group)
    lattice_A = primitive_lattice(space_group, cell)
    primitive = _primitive_vectors(space_group)
    numbers: list[int] = []
    origins: list[int] = []
    placed: Floats = np.empty((0, 3))
    for index, (label, xyz) in enumerate(zip(labels, coords, strict=True)):
        images = rotations @ np.asarray(xyz, dtype=float) + translations
        orbit = _distinct(images @ np.linalg.inv(primitive))
        if len(placed) and _distinct(np.vstack([placed, orbit])).shape[0] < len(placed) + len(orbit):
            raise InputError(f"site {index} ({label}) falls on another one")
        placed = np.vstack([placed, orbit])
        numbers += [atomic_numbers[label]] * len(orbit)
        origins += [index] * len(orbit)
    crystal = Crystal(numbers=tuple(numbers), frac_coords=placed.tolist(), lattice_A=lattice_A.tolist())
    return crystal, origins


def primitive_lattice(space_group: str, cell: Sequence[float]) -> Floats:
    """Row vectors [3,3] in Angstrom of the primitive cell that belongs to a conventional one.

    Raises:
        InputError: unknown space group, or a cell that it forbids.
    """
    from ase.geometry import cellpar_to_cell

    rotations, _ = _operations(space_group)
    lattice: Floats = np.asarray(cellpar_to_cell(cell))
    metric = lattice @ lattice.T
    if np.abs(np.einsum("nji,jk,nkl->nil", rotations, metric, rotations) - metric).max() > 1e-2:
        raise InputError(f"a cell of {tuple(cell)} is not compatible with {space_group}")
    return np.asarray(_primitive_vectors(space_group) @ lattice)


def _primitive_vectors(space_group: str) -> Floats:
    return np.array(_CENTRING["P" if space_group.endswith(":R") else space_group[0]])


@cache
def _hall_numbers() -> dict[str, int]:
    """Number of each setting in spglib's table, by symbol and by ``symbol:choice``."""
    import spglib

    table: dict[str, int] = {}
    for hall in range(1, 531):
        kind = spglib.get_spacegroup_type(hall)
        symbol = kind.international_short
        if 3 <= kind.number <= 15:  # monoclinic: the short symbol does not tell P2_1/n from P2_1/c
            symbol = "".join(part for part in kind.international_full.split() if part != "1")
        choice = kind.choice if kind.choice[:1] in ("1", "2", "H", "R") else ""
        table.setdefault(f"{symbol}:{choice}" if choice else symbol, hall)
        if choice in ("2", "H"):
            table.setdefault(symbol, hall)
    return table


@cache
def _operations(space_group: str) -> tuple[NDArray[np.int64], Floats]:
    """Rotations [n,3,3] and translations [n,3] of a space group in the given setting, centring included."""
    import spglib

    numbers = _hall_numbers()
    if space_group not in numbers:
        raise InputError(f"'{space_group}' is not a space group")
    found = spglib.get_symmetry_from_database(numbers[space_group])
    return np.asarray(found["rotations"], dtype=np.int64), np.asarray(found["translations"], dtype=np.float64)


def _distinct(fracs: Floats, tolerance: float = 1e-4) -> Floats:
    """Rows that differ by more than a lattice vector, in an order that does not depend on that of the operations."""
    wrapped = fracs - np.floor(fracs + tolerance)
    wrapped = wrapped[np.lexsort(np.round(wrapped / tolerance).T[::-1])]
    delta = wrapped[:, None] - wrapped[None]
    same = np.abs(delta - np.round(delta)).max(-1) <= tolerance
    return np.asarray(wrapped[~np.tril(same, -1).any(1)])


def _build(entry: Entry) -> Prototype:
    labels = [site.label for site in entry.sites]
    try:
        crystal, origins = build_crystal(entry.space_group, entry.cell, labels, [s.coords for s in entry.sites])
    except (InputError, ValidationError, KeyError) as error:
        raise InputError(f"prototype {entry.name}: {error}") from error
    return Prototype(
        name=entry.name,
        family=entry.family,
        formula=entry.formula,
        working_ion=entry.ion,
        space_group=entry.space_group,
        crystal=crystal,
        source=entry.source,
        coordinates=entry.coordinates,
        approximant=entry.approximant,
        anchor=entry.anchor,
        cycled=entry.cycled,
        topology=entry.topology or entry.name.rsplit(" ", 1)[0],
        leaving=tuple(i for i, origin in enumerate(origins) if origin in entry.leaving),
    )
