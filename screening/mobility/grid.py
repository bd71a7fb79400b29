"""Points of a cell on which scalar fields are sampled, and fields that atoms spread around themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from redoxa.data.records import Crystal

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Radial = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Grid:
    """The points (i/a, j/b, k/c) of the most compact cell of a lattice.

    Attributes:
        shape: a, b and c.
        lattice_A: row vectors [3,3] of the most compact cell; in a flat one neighbours would be far apart.
        axes: these vectors [3,3] in units of those of the crystal's own cell.
    """

    shape: tuple[int, int, int]
    lattice_A: FloatArray
    axes: IntArray

    @classmethod
    def of(cls, crystal: Crystal, spacing_A: float) -> Grid:
        """The coarsest grid of even counts (so that centres are met) of points no further apart along an axis."""
        from ase.geometry import minkowski_reduce

        lattice_A, axes = minkowski_reduce(np.array(crystal.lattice_A))
        a, b, c = (2 * int(np.ceil(length / spacing_A / 2)) for length in np.linalg.norm(lattice_A, axis=1))
        return cls((a, b, c), np.asarray(lattice_A), np.asarray(axes, dtype=np.int64))

    def summed(self, places_A: FloatArray, reach_A: float, value: Radial) -> FloatArray:
        """Field [a,b,c] of the sums over places and their images of `value(distance_A)`, cut off at `reach_A`.

        Args:
            places_A: Cartesian [n,3].
            reach_A: radius of the cut-off.
            value: of arrays of distances.
        """
        return self._spread(places_A, reach_A, value, np.add, 0.0)

    def nearest(self, places_A: FloatArray, reach_A: float) -> FloatArray:
        """Field [a,b,c] of the distances in Angstrom to the nearest place; `reach_A` where it is further away."""
        return self._spread(places_A, reach_A, lambda distance_A: distance_A, np.minimum, reach_A)

    def _spread(
        self, places_A: FloatArray, reach_A: float, value: Radial, combine: np.ufunc, start: float
    ) -> FloatArray:
        # Each atom fills its sphere in an array of several cells, which are laid over one another in the end: no index
        # has to be wrapped, and none occurs twice for one atom.
        size: IntArray = np.array(self.shape)
        step_A = self.lattice_A / size[:, None]
        steps = _steps_within(step_A, reach_A)
        copies = -(-(np.abs(steps).max(0) + 1) // size)
        cells = np.full(size * (2 * copies + 1), start)
        flat = cells.reshape(-1)
        strides = np.array(cells.strides) // cells.itemsize
        offsets, points_A = steps @ strides, steps @ step_A
        squares_A2 = np.einsum("ij,ij->i", points_A, points_A)
        for place in (places_A @ np.linalg.inv(self.lattice_A) % 1.0) * size:
            corner = np.floor(place)
            rest_A = (place - corner) @ step_A
            square_A2 = squares_A2 - 2 * (points_A @ rest_A) + rest_A @ rest_A
            near = square_A2 <= reach_A**2
            index = offsets[near] + (corner.astype(np.int64) + copies * size) @ strides
            flat[index] = combine(flat[index], value(np.sqrt(np.maximum(square_A2[near], 0.0))))
        laid = cells.reshape([n for pair in zip(2 * copies + 1, size, strict=True) for n in pair])
        return np.asarray(combine.reduce(laid, axis=(0, 2, 4)))


def _steps_within(step_A: FloatArray, reach_A: float) -> IntArray:
    """Steps [n,3] from a point that lead to every point within a sphere around any place beside it."""
    margin_A = reach_A + np.linalg.norm(np.abs(step_A).sum(0))
    heights_A = 1 / np.linalg.norm(np.linalg.inv(step_A), axis=0)
    spans = [np.arange(-n, n + 1) for n in np.ceil(margin_A / heights_A).astype(int)]
    steps = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(steps[np.linalg.norm(steps @ step_A, axis=1) <= margin_A])


def positions_A(crystal: Crystal) -> FloatArray:
    """Cartesian positions [N,3] of the atoms."""
    return np.asarray(np.array(crystal.frac_coords) @ np.array(crystal.lattice_A))


def refined(field: FloatArray) -> FloatArray:
    """A field that is 0 or more, on twice as many points along each axis [2a,2b,2c], by cubic splines.

    The splines are of log(1 + field), which tames repulsive walls; the points lie around the old ones, none on them.
    """
    from scipy.ndimage import zoom

    return np.asarray(np.expm1(zoom(np.log1p(field), 2, order=3, mode="grid-wrap", grid_mode=True)))
