"""Doors between `Crystal` records, pymatgen `Structure`s and ASE `Atoms` (no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from redoxa.data.errors import StructureError
from redoxa.data.records import Crystal
from redoxa.data.units import G_PER_CM3_PER_AMU_PER_A3

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure


def to_structure(crystal: Crystal) -> Structure:
    """Pymatgen `Structure` without oxidation states."""
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice(crystal.lattice_A), [chemical_symbols[z] for z in crystal.numbers], crystal.frac_coords)


def from_structure(structure: Structure) -> Crystal:
    """Record of an ordered pymatgen `Structure`.

    Raises:
        StructureError: partial occupancies, or a symbol that is no element.
    """
    from pymatgen.core import DummySpecies

    for species in structure.composition:
        if isinstance(species, DummySpecies):
            raise StructureError(f"'{species.symbol}' is not an element")
    if not structure.is_ordered:
        raise StructureError(
            f"{structure.composition.reduced_formula}: partial occupancies (disorder) cannot be screened; "
            "give an ordered approximant"
        )
    return Crystal(
        numbers=[site.specie.Z for site in structure],
        frac_coords=structure.frac_coords.tolist(),
        lattice_A=structure.lattice.matrix.tolist(),
    )


def to_atoms(crystal: Crystal) -> Atoms:
    """ASE `Atoms`, periodic in all directions."""
    from ase import Atoms

    return Atoms(numbers=crystal.numbers, scaled_positions=crystal.frac_coords, cell=crystal.lattice_A, pbc=True)


def from_atoms(atoms: Atoms) -> Crystal:
    """Record of ASE `Atoms`."""
    return Crystal(
        numbers=atoms.numbers.tolist(),
        frac_coords=atoms.get_scaled_positions(wrap=True).tolist(),
        lattice_A=np.asarray(atoms.cell).tolist(),
    )


@runtime_checkable
class HasCrystal(Protocol):
    """A sample, a candidate: something that holds a crystal."""

    @property
    def crystal(self) -> Crystal:
        """The crystal."""
        ...


def is_structure(given: object) -> bool:
    """Whether it is one structure, in any of the forms that `crystal_of` takes."""
    from ase import Atoms
    from pymatgen.core import Structure

    return isinstance(given, Crystal | Structure | Atoms | HasCrystal)


def crystal_of(given: Structure | Atoms | Crystal | HasCrystal) -> Crystal:
    """Record of a structure, whichever of these it is.

    Raises:
        StructureError: partial occupancies, a molecule or slab without three periods, or something else altogether.
    """
    if isinstance(given, Crystal):
        return given
    if isinstance(given, HasCrystal):
        return given.crystal
    from ase import Atoms
    from pymatgen.core import Structure

    if isinstance(given, Structure):
        return from_structure(given)
    if not isinstance(given, Atoms):
        raise StructureError(f"a {type(given).__name__} is no pymatgen Structure, ASE Atoms, or path of a file")
    if not all(given.pbc):
        raise StructureError(f"{given.symbols}: not periodic in all three directions")
    return from_atoms(given)


def primitive(crystal: Crystal, symprec_A: float = 0.01) -> Crystal:
    """The primitive cell in the same orientation; the crystal itself where it is primitive already."""
    import spglib

    try:
        cell = spglib.standardize_cell(
            (crystal.lattice_A, crystal.frac_coords, crystal.numbers),
            to_primitive=True,
            no_idealize=True,
            symprec=symprec_A,
        )
    except spglib.SpglibError:  # overlapping atoms and the like
        return crystal
    if cell is None or len(cell[2]) == crystal.n_atoms:
        return crystal
    lattice, frac_coords, numbers = cell
    return Crystal(numbers=numbers.tolist(), frac_coords=(frac_coords % 1.0).tolist(), lattice_A=lattice.tolist())


def equivalent_sites(crystal: Crystal, symprec_A: float) -> list[int]:
    """Of each atom the first one that the symmetry makes equal to it.

    Raises:
        StructureError: the symmetry cannot be found.
    """
    import spglib

    cell = (np.array(crystal.lattice_A), np.array(crystal.frac_coords), crystal.numbers)
    try:
        found = spglib.get_symmetry_dataset(cell, symprec=symprec_A)
    except spglib.SpglibError as error:
        raise StructureError(f"no symmetry can be found ({error})") from error
    if found is None:
        raise StructureError("no symmetry can be found")
    return [int(i) for i in found.crystallographic_orbits]


def mass_amu(crystal: Crystal) -> float:
    """Mass of the cell."""
    return composition_mass_amu(crystal.composition)


def composition_mass_amu(composition: Mapping[str, int]) -> float:
    """Mass of atoms given by element symbol."""
    return float(sum(n * atomic_masses[atomic_numbers[e]] for e, n in composition.items()))


def density_g_cm3(crystal: Crystal) -> float:
    """Density from cell mass and volume."""
    return mass_amu(crystal) / crystal.volume_A3 * G_PER_CM3_PER_AMU_PER_A3
