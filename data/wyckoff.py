"""Wyckoff positions of the 230 space groups, worked out from spglib's operations (standard settings of the ITA).

A Wyckoff position is a class of points with conjugate site-symmetry groups. The points that an operation leaves where
they are form a point, a line or a plane; those of all operations, and the points where axes cross, are all the special
positions there are. Nothing is typed in: the tables are computed once a process, some tens of milliseconds a group.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from data.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

GRID = 24
"""Special positions lie at multiples of 1/24 in the standard settings, and so do all translations of operations."""

GENERIC = np.array([0.12345, 0.27183, 0.31416])
"""Free coordinates that are special in no group."""

_SHIFTS = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
_STEPS = sorted(itertools.product((-1, 0, 1, 2), repeat=3), key=lambda v: (sum(map(abs, v)), sum(x < 0 for x in v), v))


@dataclass(frozen=True)
class Subspace:
    """A point, line, plane or all of space: `point + u @ directions` for free u.

    `pivots` are the coordinates that equal u itself; `point` is zero there and lies in [0, 1) elsewhere.
    """

    point: tuple[float, float, float]
    directions: tuple[tuple[int, int, int], ...]
    pivots: tuple[int, ...]

    @property
    def dimension(self) -> int:
        """Free coordinates, 0 to 3."""
        return len(self.directions)

    def at(self, free: Floats) -> Floats:
        """Point [3] for free coordinates [dimension]."""
        return np.asarray(self.point) + np.asarray(free) @ self._rows()

    def free(self, point: Floats) -> tuple[Floats, Floats]:
        """Free coordinates of points [..., 3], and what is left of them [..., 3]: zero on the subspace."""
        pivots = list(self.pivots)
        free = point[..., pivots]
        rest = point - np.asarray(self.point) - free @ self._rows()
        return free, rest - np.round(rest)

    def _rows(self) -> Floats:
        return np.array(self.directions, dtype=float).reshape(-1, 3)


@dataclass(frozen=True)
class WyckoffPosition:
    """One position of a space group.

    Attributes:
        letter: as in the ITA, up to the choice of origin that the group leaves open.
        multiplicity: points in the conventional cell.
        space: representative points.
    """

    letter: str
    multiplicity: int
    space: Subspace

    @property
    def free(self) -> int:
        """Free coordinates of a site, 0 to 3."""
        return self.space.dimension


@dataclass(frozen=True)
class SpaceGroup:
    """Operations and positions of a space group in its standard setting, conventional cell.

    Attributes:
        number: 1 to 230.
        rotations: int [n,3,3], centring included; a point x [3] goes to rotations @ x + translations.
        translations: float [n,3].
        positions: from the most special to the general one.
    """

    number: int
    rotations: Integers
    translations: Floats
    positions: tuple[WyckoffPosition, ...]

    def position(self, letter: str) -> WyckoffPosition:
        """The position of a letter."""
        return self.positions[(string.ascii_lowercase + "A").index(letter)]

    def images(self, point: Floats) -> Floats:
        """All images [n,3] of a point, repeated where it is special."""
        return self.rotations @ np.asarray(point) + self.translations

    def orbit(self, point: Floats, tolerance: float = 1e-5) -> Floats:
        """Distinct images [m,3] in [0, 1), the point itself first."""
        return distinct(self.images(point), tolerance)


def distinct(points: Floats, tolerance: float) -> Floats:
    """Points [n,3] that differ by more than a lattice vector, wrapped into [0, 1), in order of appearance."""
    wrapped = points - np.floor(points + tolerance)
    delta = wrapped[:, None] - wrapped[None]
    same = np.abs(delta - np.round(delta)).max(-1) <= tolerance
    return np.asarray(wrapped[~np.tril(same, -1).any(1)])


@cache
def space_group(number: int) -> SpaceGroup:
    """A space group by its number.

    Raises:
        InputError: no number from 1 to 230.
    """
    import spglib

    if not 1 <= number <= 230:
        raise InputError(f"{number} is not the number of a space group (1 to 230)")
    found = spglib.get_symmetry_from_database(_hall_number(number))
    rotations = np.asarray(found["rotations"], dtype=np.int64)
    translations = np.round(np.asarray(found["translations"]) * GRID) / GRID % 1.0
    classes = _classes(rotations, translations)
    letters = [*string.ascii_lowercase, "A"]
    positions = tuple(
        WyckoffPosition(letter, multiplicity, space)
        for letter, (multiplicity, space) in zip(letters, sorted(classes, key=_rank), strict=False)
    )
    return SpaceGroup(number, rotations, translations, positions)


@cache
def centring(number: int) -> int:
    """Lattice points in the conventional cell of a space group's standard setting."""
    import spglib

    return {"P": 1, "A": 2, "C": 2, "I": 2, "R": 3, "F": 4}[
        spglib.get_spacegroup_type(_hall_number(number)).international_short[0]
    ]


def _rank(entry: tuple[int, Subspace]) -> tuple[object, ...]:
    multiplicity, space = entry
    return multiplicity, space.dimension, space.point, space.directions


@cache
def _hall_number(number: int) -> int:
    """First setting of a group in spglib's table, which is the one it standardises to."""
    import spglib

    return next(hall for hall in range(1, 531) if spglib.get_spacegroup_type(hall).number == number)


def _classes(rotations: Integers, translations: Floats) -> list[tuple[int, Subspace]]:
    """(multiplicity, representative) of every Wyckoff position."""
    fixed = {space for r, t in zip(rotations, translations, strict=True) for space in _fixed_spaces(r, t)}
    found: list[tuple[int, Subspace]] = []
    lines: list[Subspace] = []
    for dimension in (3, 2, 1):
        part = _by_class({s for s in fixed if s.dimension == dimension}, rotations, translations)
        lines = [space for _, space in part]
        found += part
    points = {s for s in fixed if not s.dimension}
    all_lines = [s for s in fixed if s.dimension == 1]
    for line in lines:
        points |= set(_crossings(line, all_lines))
    return found + _by_class(points, rotations, translations)


def _fixed_spaces(rotation: Integers, translation: Floats) -> Iterator[Subspace]:
    """What an operation, followed by any lattice translation, leaves in place."""
    matrix = rotation - np.eye(3)
    inverse = np.linalg.pinv(matrix)
    right = -(translation + _SHIFTS)
    points = right @ inverse.T
    solved = np.abs(points @ matrix.T - right).max(1) < 1e-8
    directions = _fixed_directions(rotation)
    for point in points[solved]:
        yield _subspace(point, directions)


def _fixed_directions(rotation: Integers) -> Integers:
    """Integer basis [d,3] of the vectors that a rotation keeps."""
    steps = np.array(_STEPS[1:])
    kept = steps[(steps @ rotation.T == steps).all(1)]
    basis: list[Integers] = []
    for step in kept:
        if np.linalg.matrix_rank(np.array([*basis, step])) > len(basis):
            basis.append(step)
    return np.array(basis, dtype=np.int64).reshape(-1, 3)


def _subspace(point: Floats, directions: Integers) -> Subspace:
    """Canonical form of a subspace."""
    d = len(directions)
    for pivots in itertools.combinations(range(3), d):
        minor = directions[:, list(pivots)]
        if d == 0 or abs(round(float(np.linalg.det(minor)))) == 1:
            break
    else:
        raise InputError(f"no whole coordinates along {directions.tolist()}")
    rows = np.round(np.linalg.inv(minor) @ directions).astype(int) if d else directions
    start = point - point[list(pivots)] @ rows
    start = np.round(start * GRID).astype(int) % GRID / GRID
    return Subspace(
        (float(start[0]), float(start[1]), float(start[2])),
        tuple((int(a), int(b), int(c)) for a, b, c in rows),
        pivots,
    )


def _by_class(spaces: set[Subspace], rotations: Integers, translations: Floats) -> list[tuple[int, Subspace]]:
    """(multiplicity, representative) of each class of subspaces that operations carry into one another."""
    left = set(spaces)
    classes = []
    while left:
        first = min(left, key=_plainness)
        rows = np.array(first.directions, dtype=np.int64).reshape(-1, 3)
        images = {
            _subspace(r @ np.asarray(first.point) + t, rows @ r.T) for r, t in zip(rotations, translations, strict=True)
        }
        generic = first.at(GENERIC[: first.dimension])
        count = len(distinct(rotations @ generic + translations, 1e-6))
        classes.append((count, first))
        left -= images
    return classes


def _plainness(space: Subspace) -> tuple[object, ...]:
    """Sort key: few and small numbers first."""
    return (
        sum(abs(x) for row in space.directions for x in row),
        sum(x < 0 for row in space.directions for x in row),
        space.point,
        space.pivots,
        space.directions,
    )


def _crossings(line: Subspace, others: list[Subspace]) -> Iterator[Subspace]:
    """Points where a line meets others, lattice translations included."""
    a = np.array(line.directions[0], dtype=float)
    for other in others:
        b = np.array(other.directions[0], dtype=float)
        matrix = np.stack([a, -b], axis=1)
        if np.linalg.matrix_rank(matrix) < 2:
            continue
        right = np.asarray(other.point) + _SHIFTS - np.asarray(line.point)
        steps = right @ np.linalg.pinv(matrix).T
        met = np.abs(steps @ matrix.T - right).max(1) < 1e-8
        for step in steps[met]:
            yield _subspace(np.asarray(line.point) + step[0] * a, np.empty((0, 3), dtype=np.int64))
