"""Equal crystals in equal form: the freedom of origin and axes that a space group leaves, used up.

The normaliser of a space group holds the motions that carry the group into itself. Two symmetric forms that differ by
one describe the same crystal: rocksalt with Na on `a` or on `b`, say. `canonical` takes the least of them.

The axes are moved as far as the lattice's own symmetry goes (orthorhombic axes may change places); oblique cells are
taken as spglib reduces them. Along the axes of a polar group the origin is free, and is put on an atom.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from redoxa.data.symmetry.symmetric import ANGLES, LENGTHS, Orbit, SymmetricCrystal, crystal_system, free_parameters
from redoxa.data.symmetry.wyckoff import GENERIC, GRID, Floats, Integers, SpaceGroup, WyckoffPosition, space_group

Metric = tuple[tuple[float, ...], ...]

_SQUARE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 2.3))
_CUBE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_HEXAGON = ((1.0, -0.5, 0.0), (-0.5, 1.0, 0.0), (0.0, 0.0, 2.3))
METRICS: dict[str, Metric] = {
    "orthorhombic": _CUBE,
    "tetragonal": _SQUARE,
    "trigonal": _HEXAGON,
    "hexagonal": _HEXAGON,
    "cubic": _CUBE,
}
"""Metric tensors whose symmetry the axes of a crystal system may use; orthorhombic axes may change places."""

METRIC_TOLERANCE = 0.01
"""Of an oblique cell, relative to the square of its mean edge."""

DIGITS = 4
"""Free coordinates are compared to this many digits."""


@dataclass(frozen=True)
class Motion:
    """Coordinates go from x to `rotation @ x + shift`.

    Attributes:
        rotation: int [3,3] in the conventional basis.
        shift: float [3].
        letters: where each Wyckoff letter goes.
    """

    rotation: Integers
    shift: Floats
    letters: dict[str, str]


def motions(form: SymmetricCrystal) -> tuple[Motion, ...]:
    """The normaliser of a form's space group, modulo the group itself and modulo shifts along polar axes."""
    system = crystal_system(form.group)
    if system not in ANGLES:
        return _motions(form.group, METRICS[system])
    lattice = form.conventional_lattice_A  # oblique axes may be changed only where their cell looks the same afterwards
    metric = np.round(lattice @ lattice.T / np.linalg.det(lattice) ** (2 / 3), 3)
    return _motions(form.group, tuple(map(tuple, metric.tolist())))


@lru_cache(maxsize=1024)
def _motions(number: int, metric: Metric) -> tuple[Motion, ...]:
    group = space_group(number)
    found: list[Motion] = []
    for rotation in _outer_rotations(group, _lattice_rotations(metric)):
        for shift in _shifts(group, rotation):
            letters = {p.letter: _target(group, p, rotation, shift).letter for p in group.positions}
            found.append(Motion(rotation, shift, letters))
    return tuple(found)


@cache
def relabellings(number: int) -> tuple[dict[str, str], ...]:
    """Where the normaliser of a group carries its Wyckoff letters, each way once, the identity first.

    Axes of oblique cells stay as they are, so that this depends on the group alone.
    """
    system = crystal_system(number)
    lengths = (1.0, 1.31, 1.73)[: len(set(LENGTHS[system]))]
    angles = (97.0, 101.0, 107.0)[: len(ANGLES.get(system, ()))]
    found = {tuple(motion.letters.items()) for motion in motions(SymmetricCrystal(number, (), lengths, angles))}
    return tuple(dict(items) for items in sorted(found))


@cache
def polar_directions(number: int) -> tuple[tuple[int, ...], ...]:
    """Directions along which the origin of a group is free, as unit vectors of the conventional basis."""
    rotations = space_group(number).rotations
    return tuple(tuple(int(x) for x in axis) for axis in np.eye(3, dtype=int) if (rotations @ axis == axis).all())


def canonical(form: SymmetricCrystal) -> SymmetricCrystal:
    """The least of all forms that describe the same crystal; orbits in order of letter and element."""
    group = space_group(form.group)
    relabelled = [sorted((m.letters[o.letter], o.number) for o in form.orbits) for m in motions(form)]
    least = min(relabelled)
    candidates = (
        shifted
        for motion, letters in zip(motions(form), relabelled, strict=True)
        if letters == least
        for shifted in _origins(group, _moved(group, form, motion))
    )
    return min(candidates, key=_order)


def equal_forms(form: SymmetricCrystal, most: int, rng: np.random.Generator) -> list[SymmetricCrystal]:
    """Up to `most` other forms of the same crystal, by motions drawn at random; along polar axes the origin stays."""
    group, choices = space_group(form.group), motions(form)
    found = {_content(form): form}
    for index in rng.permutation(len(choices))[: 3 * most].tolist():
        moved = _moved(group, form, choices[index])
        found.setdefault(_content(moved), moved)
    return list(found.values())[1 : most + 1]


def _content(form: SymmetricCrystal) -> tuple[object, ...]:
    """What tells two forms apart, to be looked up."""
    return repr([_orbit_order(orbit) for orbit in form.orbits]), tuple(round(x, 2) for x in form.lengths_A)


def _order(form: SymmetricCrystal) -> tuple[object, ...]:
    """Cell first, then the free coordinates, rounded."""
    return [round(x, 2) for x in form.lengths_A], [[round(x, DIGITS) for x in o.free] for o in form.orbits]


def _moved(group: SpaceGroup, form: SymmetricCrystal, motion: Motion) -> SymmetricCrystal:
    """A form after a motion of the normaliser."""
    orbits = []
    for orbit in form.orbits:
        point = motion.rotation @ group.position(orbit.letter).space.at(np.array(orbit.free)) + motion.shift
        orbits.append(_orbit(group, group.position(motion.letters[orbit.letter]), point, orbit.number))
    lattice = np.linalg.inv(motion.rotation).T @ form.conventional_lattice_A
    lengths, angles = free_parameters(form.group, lattice)
    return SymmetricCrystal(form.group, tuple(sorted(orbits, key=_orbit_order)), lengths, angles)


def _orbit_order(orbit: Orbit) -> tuple[object, ...]:
    return orbit.letter, orbit.number, [round(x, DIGITS) for x in orbit.free]


def _orbit(group: SpaceGroup, position: WyckoffPosition, point: Floats, number: int) -> Orbit:
    """The orbit through a point of a position, with the least free coordinates there are."""
    free, rest = position.space.free(group.images(point))
    wrapped = np.round(free[np.abs(rest).max(-1) < 1e-5] % 1.0, 8) % 1.0
    order = np.lexsort(np.round(wrapped.T[::-1], DIGITS) % 1.0) if wrapped.size else [0]
    return Orbit(position.letter, number, tuple(float(x) for x in wrapped[order[0]]))


def _origins(group: SpaceGroup, form: SymmetricCrystal) -> Iterator[SymmetricCrystal]:
    """The form itself; in a polar group, the forms with the origin at each site of its first orbits."""
    axes = polar_directions(form.group)
    if not axes:
        yield form
        return
    first = form.orbits[0]
    directions = np.array(axes)
    same = {p.letter: p.letter for p in group.positions}
    for orbit in form.orbits:
        if (orbit.letter, orbit.number) == (first.letter, first.number):
            for point in group.images(group.position(orbit.letter).space.at(np.array(orbit.free))):
                shift = -(directions.T @ (directions @ point))
                yield _moved(group, form, Motion(np.eye(3, dtype=np.int64), shift, same))


def _outer_rotations(group: SpaceGroup, candidates: Sequence[Integers]) -> Iterator[Integers]:
    """Rotations of the lattice that map the point group onto itself, one of each coset of it."""
    point_group = {r.tobytes() for r in np.unique(group.rotations, axis=0)}
    seen: set[bytes] = set()
    for rotation in candidates:
        if rotation.tobytes() in seen:
            continue
        inverse = np.round(np.linalg.inv(rotation)).astype(np.int64)
        members = np.unique(group.rotations, axis=0)
        seen |= {np.ascontiguousarray(r @ rotation).tobytes() for r in members}
        if all(np.ascontiguousarray(rotation @ r @ inverse).tobytes() in point_group for r in members):
            yield rotation


@lru_cache(maxsize=1024)
def _lattice_rotations(metric: Metric) -> tuple[Integers, ...]:
    """Integer matrices that keep a metric tensor, the identity first.

    Entries of 2 occur about the axis of monoclinic cells, where c + 2a may be as long as c.
    """
    small = np.array(list(itertools.product((0, 1, -1), repeat=9)), dtype=np.int64).reshape(-1, 3, 3)
    wide = np.zeros((2 * 5**4, 3, 3), dtype=np.int64)
    wide[:, [0, 0, 2, 2, 1], [0, 2, 0, 2, 1]] = list(itertools.product(*[(0, 1, -1, 2, -2)] * 4, (1, -1)))
    rotations = np.concatenate([small, wide[np.abs(wide).max((1, 2)) == 2]])
    images = rotations.transpose(0, 2, 1) @ np.array(metric) @ rotations
    kept = rotations[np.abs(images - np.array(metric)).max((1, 2)) < METRIC_TOLERANCE]
    return tuple(sorted(kept, key=lambda r: ((r != np.eye(3)).sum(), r.tolist())))


def _shifts(group: SpaceGroup, rotation: Integers) -> list[Floats]:
    """Shifts that, with this rotation, carry the group into itself; one of each class modulo the lattice."""
    inverse = np.round(np.linalg.inv(rotation)).astype(np.int64)
    grid = np.round(group.translations * GRID).astype(np.int64)
    centring = grid[(group.rotations == np.eye(3)).all((1, 2))]
    by_rotation = {r.tobytes(): t for r, t in zip(group.rotations, grid, strict=True)}
    axes = [i for i in range(3) if tuple(np.eye(3, dtype=int)[i]) in polar_directions(group.number)]
    steps = [range(1) if i in axes else range(GRID) for i in range(3)]
    shifts = np.array(list(itertools.product(*steps)), dtype=np.int64)
    for r, t in {r.tobytes(): (r, t) for r, t in zip(group.rotations, grid, strict=True)}.values():
        image = np.ascontiguousarray(rotation @ r @ inverse)
        gap = shifts + rotation @ t - shifts @ image.T - by_rotation[image.tobytes()]
        fits = ((gap[:, None] - centring[None]) % GRID == 0).all(-1).any(-1)
        shifts = shifts[fits]
    kept: dict[bytes, Floats] = {}
    for shift in shifts:
        least = min(((shift + c) % GRID).tolist() for c in centring)
        kept.setdefault(np.array(least).tobytes(), np.array(least) / GRID)
    return list(kept.values())


def _target(group: SpaceGroup, position: WyckoffPosition, rotation: Integers, shift: Floats) -> WyckoffPosition:
    """Where a motion carries a position."""
    images = group.images(rotation @ position.space.at(GENERIC[: position.free]) + shift)
    return next(p for p in group.positions if (np.abs(p.space.free(images)[1]).max(-1) < 1e-6).any())
