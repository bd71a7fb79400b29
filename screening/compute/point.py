"""The energy of one geometry, by the screening's own potential or by another one to see how far two models agree."""

from __future__ import annotations

import time
from functools import cache

from redoxa.data.records import Crystal, Record
from redoxa.screening.potentials.base import Potential, load_potential, potential_class


class PointSettings(Record):
    """Which potential to ask."""

    potential: str


class SinglePoint(Record):
    """Energy of the whole cell as it is, nothing relaxed; `seconds` are processor time, as of a `Relaxation`."""

    energy_eV: float
    model: str
    seconds: float


def single_point(crystal: Crystal, settings: PointSettings, at_hand: Potential) -> SinglePoint:
    """Compute the energy by the potential at hand where it is the one asked for; another is loaded once a process.

    Raises:
        data.errors.PotentialError: an element or a geometry outside the model, or weights that are missing.
    """
    started = time.process_time()
    potential = at_hand if at_hand.name == settings.potential else _loaded(settings.potential)
    energy_eV = potential.compute(crystal, forces=False).energy_eV
    model = potential_class(settings.potential).model_id
    return SinglePoint(energy_eV=energy_eV, model=model, seconds=time.process_time() - started)


@cache
def _loaded(name: str) -> Potential:
    return load_potential(name)
