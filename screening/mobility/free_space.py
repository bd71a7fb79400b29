"""Room in a host for its working ion: hard spheres of Shannon radii, and the largest ball that fits between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from redoxa.data.chemistry import NONMETALS, OXIDATION_STATES, ionic_radius_A, oxidation_states
from redoxa.data.errors import InputError
from redoxa.screening.ions.removal import ion_sites, without
from redoxa.screening.mobility.grid import Grid, positions_A
from redoxa.screening.mobility.percolation import Threshold, percolation

if TYPE_CHECKING:
    from redoxa.data.records import Crystal

SPACING_A, STEP_A = 0.15, 0.005
"""Of the grid and of the levels: bottlenecks come out 0.03 A too narrow, give or take 0.02 A by where points fall."""

REACH_A = 4.0
"""Places further than this from any atom hardly occur in dense solids; a larger void counts as one of this size."""


@dataclass(frozen=True)
class Room:
    """The room in an empty host.

    Attributes:
        bottlenecks: by dimension, what percolates in it; `level` is minus the radius in Angstrom of the largest ball
            that passes.
        largest_A: radius of the largest ball that fits anywhere.
        assumed: elements whose charge is not known but taken to be the most common one.
    """

    bottlenecks: Mapping[int, Threshold]
    largest_A: float
    assumed: tuple[str, ...]

    def radius_A(self, dimension: int) -> float:
        """Radius of the largest ball that crosses the host in so many dimensions; negative where spheres overlap."""
        return -self.bottlenecks[dimension].level


@lru_cache(maxsize=16)
def room(crystal: Crystal, ion: str) -> Room:
    """The room that is left for an ion when all of them are gone and the host stands still.

    Raises:
        InputError: the crystal holds no such ion or nothing else.
    """
    sites = ion_sites(crystal, ion)
    if not 0 < len(sites) < crystal.n_atoms:
        raise InputError(f"{crystal.formula} is no host that holds {ion}")
    host = without(crystal, sites)
    radii_A, assumed = host_radii_A(crystal.composition, ion)
    grid = Grid.of(host, SPACING_A)
    numbers, places_A = np.array(host.numbers), positions_A(host)
    field_A = np.full(grid.shape, np.inf)
    for element, radius_A in radii_A.items():
        field_A = np.minimum(field_A, grid.nearest(places_A[numbers == _number(element)], REACH_A) - radius_A)
    return Room(MappingProxyType(percolation(-field_A, grid.axes, STEP_A)), float(field_A.max()), assumed)


def host_radii_A(composition: Mapping[str, int], ion: str) -> tuple[dict[str, float], tuple[str, ...]]:
    """Radii of the host's elements, and those of them whose charge had to be assumed.

    Shannon's radii for charged atoms; van der Waals radii (S. Alvarez, Dalton Trans. 42, 8617 (2013),
    doi:10.1039/C3DT50599E) for nonmetals that are neutral or nearly so (graphite), covalent ones for such metals.
    """
    from ase.data import covalent_radii
    from ase.data.vdw_alvarez import vdw_radii

    states = oxidation_states(composition)
    radii_A = {}
    for element in composition.keys() - {ion}:
        state = round(_usual_state(element) if states is None else states[element])
        if state:
            radii_A[element] = ionic_radius_A(element, state)
        else:
            radii_A[element] = float((vdw_radii if element in NONMETALS else covalent_radii)[_number(element)])
    return radii_A, tuple(sorted(radii_A)) if states is None else ()


def _usual_state(element: str) -> int:
    """The most common state: of nonmetals the most common negative one."""
    states = OXIDATION_STATES.get(element, (0,))
    return next((s for s in states if s < 0), states[0]) if element in NONMETALS else states[0]


def _number(element: str) -> int:
    from ase.data import atomic_numbers

    return int(atomic_numbers[element])
