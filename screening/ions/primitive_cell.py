"""The primitive cell of a crystal, so that what is found does not depend on the cell the crystal is written in.

A cell of several primitive ones lacks the operations that do not carry its own lattice onto itself: a layer with a
threefold axis loses it in a doubled cell. Symmetry is therefore looked for here, and the answer spread over the cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

from redoxa.data.records import Crystal
from redoxa.data.structures import primitive
from redoxa.screening.potentials.base import FloatArray

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PrimitiveCell:
    """A primitive cell with the shortest vectors, and how the cell of the crystal is made of it.

    Attributes:
        crystal: atoms of the primitive cell, where they are in the crystal.
        multiple: vectors of the crystal's cell in those of the primitive one [3,3], a row each.
        atoms: which atom of the primitive cell each atom of the crystal repeats [N].
        homes: in which primitive cell it does [N,3].
    """

    crystal: Crystal
    multiple: IntArray
    atoms: IntArray
    homes: IntArray

    @classmethod
    def of(cls, crystal: Crystal, symprec_A: float) -> PrimitiveCell:
        """The primitive cell of a crystal that keeps its translations within `symprec_A`."""
        from ase.geometry import minkowski_reduce

        small = primitive(crystal, symprec_A)
        lattice_A, turn = minkowski_reduce(np.array(small.lattice_A))
        frac = np.array(small.frac_coords) @ np.linalg.inv(turn) % 1.0
        multiple = np.rint(np.array(crystal.lattice_A) @ np.linalg.inv(lattice_A)).astype(np.int64)
        gap = (np.array(crystal.frac_coords) @ multiple)[:, None] - frac
        away_A = np.linalg.norm((gap - np.rint(gap)) @ lattice_A, axis=-1)
        away_A[np.array(crystal.numbers)[:, None] != np.array(small.numbers)] = np.inf
        atoms = away_A.argmin(axis=1)
        homes = np.rint(gap[np.arange(len(atoms)), atoms]).astype(np.int64)
        small = Crystal(numbers=small.numbers, frac_coords=frac.tolist(), lattice_A=lattice_A.tolist())
        return cls(small, multiple, atoms, homes)

    @cached_property
    def cells(self) -> int:
        """Primitive cells in the crystal's cell."""
        return round(abs(float(np.linalg.det(self.multiple))))

    def translations(self) -> IntArray:
        """Primitive cells [n,3] that make up the crystal's cell, each once."""
        low, high = self.multiple.clip(max=0).sum(0), self.multiple.clip(min=0).sum(0)
        found: dict[tuple[int, ...], tuple[int, ...]] = {}
        for cell in product(*(range(a, b + 1) for a, b in zip(low, high, strict=True))):
            found.setdefault(self.key(cell), cell)
        return np.array(list(found.values()))

    def key(self, cell: npt.ArrayLike) -> tuple[int, ...]:
        """The same for cells that are one cell of the crystal's periodic repetition."""
        return tuple((np.asarray(cell) @ self._adjugate % self.cells).tolist())

    def periods(self, cell: IntArray) -> tuple[int, int, int]:
        """How many vectors of the crystal's cell a translation of the lattice is that is a whole number of them."""
        a, b, c = (cell @ self._adjugate // self.cells).tolist()
        return a, b, c

    @cached_property
    def _adjugate(self) -> IntArray:
        """The inverse of `multiple` times the number of cells."""
        return np.rint(np.linalg.inv(self.multiple) * self.cells).astype(np.int64)

    def spread(self, frac: FloatArray) -> FloatArray:
        """Points of the primitive cell [n,3] in all its copies in the crystal's cell, in the axes of that cell."""
        every = (frac[:, None] + self.translations()[None]).reshape(-1, 3)
        return np.asarray(every @ np.linalg.inv(self.multiple) % 1.0)
