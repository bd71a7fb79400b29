"""The free numbers of a symmetric crystal as one vector: free coordinates, logarithms of lengths, angles in radians.

Every vector is a crystal of the same space group and orbits, so what moves along it cannot break the symmetry. Sites
and cell depend on it smoothly; forces and stress turn into a gradient by the chain rule.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from redoxa.data.errors import StructureError
from redoxa.data.records import Crystal
from redoxa.data.symmetry.symmetric import Orbit, SymmetricCrystal, primitive_vectors, site_map
from redoxa.data.symmetry.wyckoff import Floats, first_distinct, space_group

_STEP = 1e-5
"""For derivatives of the cell by central differences: exact to about 1e-10."""


class FreeNumbers:
    """The map from free numbers to the crystal in a primitive cell.

    Attributes:
        numbers: atomic number of each site [N], orbit after orbit.
        orbits: orbit of each site [N].
        start: the free numbers of the form it was made from [D].

    Raises:
        StructureError: two sites in one place.
    """

    def __init__(self, form: SymmetricCrystal) -> None:
        group = space_group(form.group)
        self._form = form
        self._primitive = primitive_vectors(group)
        self._dofs = [len(o.free) for o in form.orbits]
        self._coordinates = sum(self._dofs)
        shifts, slopes, orbits = [], [], []
        first = 0
        for index, (orbit, dofs) in enumerate(zip(form.orbits, self._dofs, strict=True)):
            shift, slope = site_map(form.group, orbit.letter)
            shifts.append(shift)
            slopes.append(np.zeros((len(shift), 3, self._coordinates)))
            slopes[-1][:, :, first : first + dofs] = slope
            orbits += [index] * len(shift)
            first += dofs
        self._shifts, self._slopes = np.concatenate(shifts), np.concatenate(slopes)
        self.orbits = np.array(orbits)
        self.numbers = tuple(form.orbits[i].number for i in orbits)
        self.start = np.concatenate(
            [*(np.array(o.free) for o in form.orbits), np.log(form.lengths_A), np.radians(form.angles_deg)]
        )
        coords = self.coords(self.start)
        if not first_distinct(coords, 1e-4).all():
            raise StructureError(f"space group {form.group}: two sites lie in one place")

    def form(self, x: Floats) -> SymmetricCrystal:
        """The symmetric crystal at free numbers [D]."""
        coords, cell = np.split(x, [self._coordinates])
        lengths, angles = np.split(cell, [len(self._form.lengths_A)])
        parts = np.split(coords % 1.0, np.cumsum(self._dofs)[:-1])
        return replace(
            self._form,
            orbits=tuple(
                Orbit(o.letter, o.number, tuple(u.tolist())) for o, u in zip(self._form.orbits, parts, strict=True)
            ),
            lengths_A=tuple(np.exp(lengths).tolist()),
            angles_deg=tuple(np.degrees(angles).tolist()),
        )

    def coords(self, x: Floats) -> Floats:
        """Fractional coordinates [N,3] in the primitive cell."""
        return np.asarray(self._shifts + self._slopes @ x[: self._coordinates])

    def lattice_A(self, x: Floats) -> Floats:
        """Row vectors [3,3] of the primitive cell."""
        lengths, angles = np.split(x[self._coordinates :], [len(self._form.lengths_A)])
        form = replace(
            self._form, lengths_A=tuple(np.exp(lengths).tolist()), angles_deg=tuple(np.degrees(angles).tolist())
        )
        return np.asarray(self._primitive @ form.conventional_lattice_A)

    def crystal(self, x: Floats) -> Crystal:
        """The crystal in a primitive cell."""
        return Crystal(numbers=self.numbers, frac_coords=self.coords(x).tolist(), lattice_A=self.lattice_A(x).tolist())

    def strains(self, x: Floats) -> Floats:
        """Symmetric strain [C,3,3] by unit of each free number of the cell."""
        inverse = np.linalg.inv(self.lattice_A(x))
        found = []
        for k in range(self._coordinates, len(x)):
            step = np.zeros(len(x))
            step[k] = _STEP
            rate = inverse @ (self.lattice_A(x + step) - self.lattice_A(x - step)) / (2 * _STEP)
            found.append((rate + rate.T) / 2)
        return np.array(found)

    def gradient(self, x: Floats, forces_eV_A: Floats, stress_eV_A3: Floats) -> Floats:
        """Derivative of the energy [D], eV by unit of each free number.

        Args:
            x: where [D].
            forces_eV_A: on the sites [N,3].
            stress_eV_A3: (dE/dstrain)/V [3,3].
        """
        lattice = self.lattice_A(x)
        coordinates = -np.einsum("nj,nik,ij->k", forces_eV_A, self._slopes, lattice)
        cell = np.linalg.det(lattice) * np.einsum("cij,ij->c", self.strains(x), stress_eV_A3)
        return np.concatenate([coordinates, cell])

    def squares(self, x: Floats) -> tuple[Floats, Floats]:
        """Squared displacements summed over the sites (A^2), and squared strains, by unit of each free number."""
        moves = np.einsum("nik,ij->nkj", self._slopes, self.lattice_A(x))
        return np.asarray((moves**2).sum((0, 2))), np.asarray((self.strains(x) ** 2).sum((1, 2)))

    def largest_move(self, x: Floats, step: Floats) -> tuple[float, float]:
        """How far a step moves the site that moves farthest (A), and its largest change of a cell number."""
        moves = (self._slopes @ step[: self._coordinates]) @ self.lattice_A(x)
        cell = np.abs(step[self._coordinates :])
        return float(np.linalg.norm(moves, axis=1).max(initial=0.0)), float(cell.max(initial=0.0))
