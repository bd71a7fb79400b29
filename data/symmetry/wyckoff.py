"""Wyckoff positions of the 230 space groups, worked out from spglib's operations (standard settings of the ITA).

A Wyckoff position is a class of points with conjugate site-symmetry groups. The points that an operation leaves where
they are form a point, a line or a plane; those of all operations, and the points where axes cross, are all the special
positions there are. Nothing is typed in: the tables are computed once a process, some milliseconds a group.
"""

from __future__ import annotations

import itertools
import string
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from redoxa.data.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

GRID = 24
"""Special positions lie at multiples of 1/24 in the standard settings, and so do all translations of operations."""

_FINE = 1000
_GENERIC = np.array([2963, 6524, 7541])
GENERIC = _GENERIC / (_FINE * GRID)
"""Free coordinates that are special in no group."""

_SHIFTS = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
_STEPS = sorted(itertools.product((-1, 0, 1, 2), repeat=3), key=lambda v: (sum(map(abs, v)), sum(x < 0 for x in v), v))
_DIGITS = np.array([GRID * GRID, GRID, 1])
"""Turns a point in steps of the grid into one number that sorts alike."""

Directions = tuple[tuple[int, int, int], ...]
Flat = tuple[Directions, int]
"""A subspace while tables are computed: directions, and the number of its point."""


@dataclass(frozen=True)
class Subspace:
    """A point, line, plane or all of space: `point + u @ directions` for free u.

    `pivots` are the coordinates that equal u itself; `point` is zero there and lies in [0, 1) elsewhere.
    """

    point: tuple[float, float, float]
    directions: Directions
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
    return np.asarray(wrapped[first_distinct(points, tolerance)])


def first_distinct(points: Floats, tolerance: float) -> NDArray[np.bool_]:
    """Which of the points [n,3] equal none before them, up to lattice vectors [n]."""
    delta = points[:, None] - points[None]
    same = np.abs(delta - np.round(delta)).max(-1) <= tolerance
    return np.asarray(~np.tril(same, -1).any(1))


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
    shifts = np.round(np.asarray(found["translations"]) * GRID).astype(np.int64) % GRID
    letters = [*string.ascii_lowercase, "A"]
    positions = tuple(
        WyckoffPosition(letter, multiplicity, space)
        for letter, (multiplicity, space) in zip(letters, sorted(_classes(rotations, shifts), key=_rank), strict=False)
    )
    return SpaceGroup(number, rotations, shifts / GRID, positions)


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
    """First setting of a group in spglib's table (sorted by group), which is the one it standardises to."""
    import spglib

    return 1 + bisect_left(range(1, 531), number, key=lambda hall: int(spglib.get_spacegroup_type(hall).number))


def _classes(rotations: Integers, shifts: Integers) -> Iterator[tuple[int, Subspace]]:
    """(multiplicity, representative) of every Wyckoff position."""
    fixed = {flat for r in np.unique(rotations, axis=0) for flat in _fixed(r, shifts[(rotations == r).all((1, 2))])}
    points = {flat for flat in fixed if not flat[0]}
    for dimension in (3, 2, 1):
        same = {flat for flat in fixed if len(flat[0]) == dimension}
        chosen = _one_of_each_class(same, rotations, shifts)
        if dimension == 1:
            points |= {crossing for line in chosen for crossing in _crossings(line, same)}
        yield from ((_multiplicity(flat, rotations, shifts), _subspace(flat)) for flat in chosen)
    chosen = _one_of_each_class(points, rotations, shifts)
    yield from ((_multiplicity(flat, rotations, shifts), _subspace(flat)) for flat in chosen)


@dataclass(frozen=True)
class _Frame:
    """The canonical basis of a lattice of directions.

    Attributes:
        rows: the basis; a unit matrix in the columns of the pivots.
        pivots: those columns.
        slide: int [3,3]; `point @ slide` is the point of the same subspace that is zero at the pivots.
    """

    rows: Directions
    pivots: tuple[int, ...]
    slide: Integers


@cache
def _frame(directions: Directions) -> _Frame:
    basis = np.array(directions, dtype=np.int64).reshape(-1, 3)
    d = len(basis)
    for pivots in itertools.combinations(range(3), d):
        minor = basis[:, list(pivots)]
        if abs(round(float(np.linalg.det(minor)))) == 1:  # of no rows at all it is 1 too
            break
    else:
        raise InputError(f"no whole coordinates along {directions}")
    rows = np.round(np.linalg.inv(minor) @ basis).astype(np.int64)
    slide = np.eye(3, dtype=np.int64)
    slide[list(pivots)] -= rows
    return _Frame(_as_directions(rows), pivots, slide)


def _as_directions(rows: Integers) -> Directions:
    return tuple((int(a), int(b), int(c)) for a, b, c in rows)


def _flats(frame: _Frame, points: Integers) -> Iterator[Flat]:
    """The subspaces of a frame through points [n,3]."""
    for code in np.unique(points @ frame.slide % GRID @ _DIGITS).tolist():
        yield frame.rows, code


def _point(flat: Flat) -> Integers:
    """Point [3] of a subspace in steps of the grid."""
    return np.asarray(flat[1] // _DIGITS % GRID)


def _subspace(flat: Flat) -> Subspace:
    x, y, z = (_point(flat) / GRID).tolist()
    return Subspace((x, y, z), flat[0], _frame(flat[0]).pivots)


@cache
def _solver(rotation: bytes) -> tuple[_Frame, Floats]:
    """Frame of the vectors that a rotation keeps, and the pseudoinverse of what it does to the others."""
    matrix = np.frombuffer(rotation, dtype=np.int64).reshape(3, 3)
    steps = np.array(_STEPS[1:])
    basis: list[Integers] = []
    for step in steps[(steps @ matrix.T == steps).all(1)]:
        if np.linalg.matrix_rank(np.array([*basis, step])) > len(basis):
            basis.append(step)
    kept = _as_directions(np.array(basis, dtype=np.int64).reshape(-1, 3))
    return _frame(kept), np.asarray(np.linalg.pinv(matrix - np.eye(3)), dtype=np.float64)


def _fixed(rotation: Integers, shifts: Integers) -> Iterator[Flat]:
    """What a rotation, followed by one of the shifts [n,3] and any lattice translation, leaves in place."""
    frame, inverse = _solver(rotation.tobytes())
    right = -(shifts[:, None] + GRID * _SHIFTS).reshape(-1, 3)
    points = np.round(right @ inverse.T @ frame.slide).astype(np.int64)
    solved = (points @ (rotation - np.eye(3, dtype=np.int64)).T == right).all(1)
    return _flats(frame, points[solved])


def _one_of_each_class(spaces: set[Flat], rotations: Integers, shifts: Integers) -> list[Flat]:
    """The plainest of each class of subspaces that operations carry into one another."""
    left = set(spaces)
    chosen = []
    for flat in sorted(spaces, key=_plainness):
        if flat in left:
            chosen.append(flat)
            turned = np.array(flat[0], dtype=np.int64).reshape(-1, 3) @ rotations.transpose(0, 2, 1)
            frames = [_frame(_as_directions(rows)) for rows in turned]
            points = np.einsum("ni,nij->nj", rotations @ _point(flat) + shifts, np.array([f.slide for f in frames]))
            left -= set(zip((f.rows for f in frames), (points % GRID @ _DIGITS).tolist(), strict=True))
    return chosen


def _plainness(flat: Flat) -> tuple[object, ...]:
    """Sort key: few and small numbers first."""
    numbers = [x for row in flat[0] for x in row]
    return sum(map(abs, numbers)), sum(x < 0 for x in numbers), flat[1], _frame(flat[0]).pivots, flat[0]


def _multiplicity(flat: Flat, rotations: Integers, shifts: Integers) -> int:
    """Images of a generic point in the conventional cell."""
    generic = _FINE * _point(flat) + _GENERIC[: len(flat[0])] @ np.array(flat[0], dtype=np.int64).reshape(-1, 3)
    return len(np.unique((rotations @ generic + _FINE * shifts) % (_FINE * GRID), axis=0))


def _crossings(line: Flat, others: set[Flat]) -> Iterator[Flat]:
    """Points where a line meets others, lattice translations included."""
    start, along = _point(line), np.array(line[0][0])
    parallel: dict[Directions, list[Integers]] = defaultdict(list)
    for other in others:
        parallel[other[0]].append(_point(other))
    for directions, points in parallel.items():
        if directions == line[0]:
            continue
        matrix = np.stack([along, -np.array(directions[0])], axis=1)
        right = (np.array(points)[:, None] + GRID * _SHIFTS - start).reshape(-1, 3)
        steps = right @ np.linalg.pinv(matrix).T
        met = np.abs(steps @ matrix.T - right).max(1) < 1e-6
        yield from _flats(_frame(()), np.round(start + steps[met, :1] * along).astype(np.int64))
