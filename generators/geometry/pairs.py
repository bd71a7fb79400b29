"""Pairs of geometries on one skeleton: where `orbits` would start from, and where the crystal really is.

The end is a template with its own elements. The start is another template on the same orbits, with the elements of the
end put on it and its volume scaled to theirs. The end is written in the setting of the start: of all equal choices of
origin, axes, representatives and order of orbits, the one that lies nearest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from redoxa.data.symmetry.normaliser import Motion, motions, polar_directions
from redoxa.data.symmetry.skeletons import Template, TemplateTable
from redoxa.data.symmetry.symmetric import SymmetricCrystal, cell_parameters, free_parameters
from redoxa.data.symmetry.wyckoff import Floats, Integers, SpaceGroup, space_group
from redoxa.generators.exchange.proposals import mendeleev_numbers
from redoxa.generators.geometry.free_space import cell_of, conventional_A, free_of, freedom

LARGEST_MOVE_A = 0.8
"""Root mean square displacement beyond which two templates are different structures on the same orbits."""

LARGEST_STRAIN = 0.25
"""Likewise, of the logarithm of a length at equal volume, or of an angle in radians."""

STRAIN_A = 2.0
"""What a strain of 1 counts beside displacements when settings are compared."""

REACH = 12.0
"""Mendeleev numbers by atom over which another template becomes e times rarer as a start."""

ALONE = -2
"""Rank of a crystal by itself, among pairs."""


@dataclass(frozen=True)
class Pair:
    """A start and its end, both on the orbits of the start.

    Attributes:
        group: space group.
        letters: of the orbits.
        numbers: the end's atomic number on each.
        start: free coordinates [O,3] of the start, zero beyond.
        end: of the end, so that the way from the start is the shortest.
        start_cell: logarithms of the lengths, and angles in radians, scaled to the volume of the end's elements [6].
        end_cell: of the end [6].
        move_A: root mean square displacement of the sites.
    """

    group: int
    letters: str
    numbers: tuple[int, ...]
    start: Floats
    end: Floats
    start_cell: Floats
    end_cell: Floats
    move_A: float


@dataclass(frozen=True)
class _Setting:
    """A crystal after a motion of the normaliser.

    Attributes:
        letters: of its orbits.
        numbers: on them.
        points: of each orbit, every image [k,3] that lies on the representative points of its position.
        cell: logarithms of the lengths, and angles in radians [6].
    """

    letters: tuple[str, ...]
    numbers: tuple[int, ...]
    points: tuple[Floats, ...]
    cell: Floats


def shared_orbits(table: TemplateTable) -> dict[tuple[int, str], list[int]]:
    """Templates by space group and letters, whatever the choice of origin and axes and which orbits are alike."""
    found: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, template in enumerate(table):
        found[template.form.group, min("".join(sorted(x)) for x in template.letters)].append(index)
    return found


def nearest_templates(table: TemplateTable, same: Sequence[int]) -> Floats:
    """Mean difference of Mendeleev numbers, atom by atom in ascending order, between templates of one size [t,t]."""
    places = mendeleev_numbers()
    rows = np.stack([np.sort(np.repeat(places, table.compositions[i])) for i in same]).astype(np.float32)
    return np.stack([np.abs(rows - row).mean(1) for row in rows]).astype(np.float64)


def aligned(start: Template, end: Template, volumes_A3: Floats) -> Pair | None:
    """The pair of two templates; None where they are different structures on the same orbits.

    Args:
        start: lends the geometry.
        end: where the crystal is.
        volumes_A3: of an atom, by atomic number.
    """
    return Aligner(end, volumes_A3).pair(start)


class Aligner:
    """Writes one template in the settings of others."""

    def __init__(self, end: Template, volumes_A3: Floats) -> None:
        self.end, self.volumes_A3 = end, volumes_A3
        self.group = space_group(end.form.group)
        self.atoms = dict(zip((o.letter for o in end.form.orbits), end.atoms, strict=True))
        self._settings: dict[str, list[_Setting]] = defaultdict(list)
        seen: set[bytes] = set()
        for motion in motions(end.form):
            setting = _setting(self.group, end.form, motion)
            mark = _mark(setting)
            if mark not in seen:
                seen.add(mark)
                self._settings["".join(sorted(setting.letters))].append(setting)

    def pair(self, start: Template) -> Pair | None:
        """See `aligned`."""
        letters = "".join(o.letter for o in start.form.orbits)
        own, cell = free_of(start.form), cell_of(start.form)
        start_A3, end_A3 = start.volume_A3, self.end.volume_A3
        scaled = cell + np.array([1, 1, 1, 0, 0, 0]) * np.log(end_A3 / start_A3) / 3
        lattice = conventional_A(scaled)
        weights = np.array(start.atoms, dtype=float) / sum(start.atoms)
        best: tuple[float, _Setting, Integers, Floats] | None = None
        for setting in self._settings.get("".join(sorted(letters)), []):
            strain = setting.cell - scaled
            if np.abs(strain).max() > LARGEST_STRAIN:
                continue
            penalty = STRAIN_A**2 * float((strain**2).sum())
            for moved in self._origins(setting, start.form):
                order, ends, cost = self._fitted(moved, letters, own, (lattice, weights))
                if best is None or cost + penalty < best[0] - 1e-9:
                    best = cost + penalty, moved, order, ends
        if best is None:
            return None
        _, setting, order, ends = best
        ends, move_A = self._centred(letters, own, ends, (lattice, weights))
        if move_A > LARGEST_MOVE_A:
            return None
        numbers = tuple(setting.numbers[i] for i in order)
        sizes = np.array(start.atoms, dtype=float)
        ratio = (self.volumes_A3[list(numbers)] @ sizes) / (
            self.volumes_A3[[o.number for o in start.form.orbits]] @ sizes
        )
        start_cell = cell + np.array([1, 1, 1, 0, 0, 0]) * np.log(ratio) / 3
        return Pair(start.form.group, letters, numbers, own, ends, start_cell, setting.cell, move_A)

    def _origins(self, setting: _Setting, start: SymmetricCrystal) -> Iterator[_Setting]:
        """The setting; in a polar group, with one of its sites at the height of the start's first orbit."""
        axes = np.array(polar_directions(self.group.number), dtype=float)
        if not len(axes):
            yield setting
            return
        letters = [o.letter for o in start.orbits]
        first = min(start.orbits, key=lambda o: letters.count(o.letter))
        here = self.group.position(first.letter).space.at(np.array(first.free))
        for letter, points in zip(setting.letters, setting.points, strict=True):
            if letter == first.letter:
                for point in points:
                    shift = axes.T @ (axes @ (here - point))
                    yield _Setting(
                        setting.letters, setting.numbers, tuple(p + shift for p in setting.points), setting.cell
                    )

    def _fitted(
        self, setting: _Setting, letters: str, own: Floats, metric: tuple[Floats, Floats]
    ) -> tuple[Integers, Floats, float]:
        """Which orbit of the setting goes on each of the start's, its free coordinates [O,3], mean square move."""
        lattice, weights = metric
        order, ends, total = np.zeros(len(letters), dtype=np.int64), own.copy(), 0.0
        for letter in dict.fromkeys(letters):
            rows = [i for i, x in enumerate(letters) if x == letter]
            columns = [i for i, x in enumerate(setting.letters) if x == letter]
            space = self.group.position(letter).space
            if not space.dimension:
                order[rows] = columns
                continue
            free = own[rows, : space.dimension]
            ways = _padded([setting.points[i][:, list(space.pivots)] for i in columns])[None] - free[:, None, None]
            ways -= np.round(ways)
            squares = ((ways @ (np.array(space.directions, dtype=float) @ lattice)) ** 2).sum(-1)
            costs = squares.min(-1)
            chosen = linear_sum_assignment(costs) if len(rows) > 1 else ([0], [0])
            for a, b in zip(*chosen, strict=True):
                order[rows[a]] = columns[b]
                ends[rows[a], : space.dimension] += ways[a, b, squares[a, b].argmin()]
                total += float(weights[rows[a]] * costs[a, b])
        return order, ends, total

    def _centred(self, letters: str, own: Floats, ends: Floats, metric: tuple[Floats, Floats]) -> tuple[Floats, float]:
        """Ends without a common drift along polar axes, and the root mean square displacement of the sites (A)."""
        lattice, weights = metric
        spaces = [self.group.position(letter).space for letter in letters]
        ways = np.zeros((len(letters), 3))
        for way, space, a, b in zip(ways, spaces, own, ends, strict=True):
            way += (b - a)[: space.dimension] @ np.array(space.directions, dtype=float).reshape(-1, 3)
        axes = np.array(polar_directions(self.group.number), dtype=float).reshape(-1, 3)
        drift = axes.T @ (axes @ (weights @ ways))
        ways -= drift
        found = ends.copy()
        for row, space in zip(found, spaces, strict=True):
            row[: space.dimension] -= drift[list(space.pivots)]
        return found, float(np.sqrt(weights @ ((ways @ lattice) ** 2).sum(1)))


def _setting(group: SpaceGroup, form: SymmetricCrystal, motion: Motion) -> _Setting:
    letters, points = [], []
    for orbit in form.orbits:
        there = group.position(motion.letters[orbit.letter])
        point = motion.rotation @ group.position(orbit.letter).space.at(np.array(orbit.free)) + motion.shift
        images = group.images(point)
        free, rest = there.space.free(images)
        free = free[np.abs(rest).max(-1) < 1e-4] % 1.0
        points.append(np.array([there.space.at(f) for f in np.unique(free.round(6), axis=0)]).reshape(-1, 3))
        letters.append(there.letter)
    lattice = np.linalg.inv(motion.rotation).T @ form.conventional_lattice_A
    lengths, angles = free_parameters(form.group, lattice)
    cell = cell_parameters(form.group, np.array([*lengths, *angles]))
    numbers = tuple(o.number for o in form.orbits)
    return _Setting(tuple(letters), numbers, tuple(points), np.concatenate([np.log(cell[:3]), np.radians(cell[3:])]))


def _padded(rows: Sequence[Floats]) -> Floats:
    """Arrays [k,d] of different k as one [n,k,d], the first row of each repeated."""
    most = max(map(len, rows))
    return np.stack([np.concatenate([row, np.repeat(row[:1], most - len(row), axis=0)]) for row in rows])


def _mark(setting: _Setting) -> bytes:
    """What tells two settings apart."""
    parts = [
        f"{x}{z}".encode() + p.round(4).tobytes()
        for x, z, p in zip(setting.letters, setting.numbers, setting.points, strict=True)
    ]
    return b"|".join(sorted(parts)) + setting.cell.round(3).tobytes()


def pairs(
    table: TemplateTable, held_out: NDArray[np.bool_], volumes_A3: Floats, starts: int, most_atoms: int, seed: int
) -> Iterator[tuple[int, int, Pair]]:
    """Pairs of all templates but those in P1.

    Starts are of other formulas and never held out: one half the nearest in their elements, the others the rarer the
    farther.

    Args:
        table: of templates.
        held_out: which are never a start [t].
        volumes_A3: of an atom, by atomic number.
        starts: of each template at most.
        most_atoms: larger templates are left out.
        seed: of the choice.

    Yields:
        The place of the end in the table, 0 for its nearest start and -1 for the others, and the pair.
    """
    rng = np.random.default_rng(seed)
    formulas = table.compositions // np.gcd.reduce(table.compositions, axis=1)[:, None]
    for same in shared_orbits(table).values():
        if len(same) < 2 or table.groups[same[0]] == 1 or table.compositions[same[0]].sum() > most_atoms:
            continue
        places, far = np.array(same), nearest_templates(table, same)
        templates = [table[i] for i in same]
        for a, index in enumerate(same):
            candidates = np.flatnonzero(~(formulas[places] == formulas[index]).all(1) & ~held_out[places])
            if not len(candidates):
                continue
            nearest = candidates[np.argsort(far[a, candidates], kind="stable")]
            noisy = np.argsort(far[a, nearest] / REACH - rng.gumbel(size=len(nearest)), kind="stable")
            order = dict.fromkeys([*nearest[: starts // 2].tolist(), *nearest[noisy].tolist()])
            aligner = Aligner(templates[a], volumes_A3)
            for b in list(order)[:starts]:
                pair = aligner.pair(templates[b])
                if pair is not None:
                    yield index, 0 if b == nearest[0] else -1, pair


def alone(table: TemplateTable, most_atoms: int) -> Iterator[tuple[int, int, Pair]]:
    """Templates that have free numbers beyond the volume, each as start and end of its own: rank -2."""
    for index, template in enumerate(table):
        form = template.form
        if form.group > 1 and sum(template.atoms) <= most_atoms and freedom(form):
            u, cell = free_of(form), cell_of(form)
            letters, numbers = "".join(o.letter for o in form.orbits), tuple(o.number for o in form.orbits)
            yield index, ALONE, Pair(form.group, letters, numbers, u, u, cell, cell, 0.0)
