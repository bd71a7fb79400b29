"""Relaxation of a symmetric crystal within its symmetry: a filter and a geometry, no substitute for `relax`."""

from __future__ import annotations

import time
from dataclasses import asdict

import numpy as np

from redoxa.data.errors import PotentialError, StructureError
from redoxa.data.records import content_hash
from redoxa.data.symmetry.site_symmetry import site_symmetry
from redoxa.data.symmetry.symmetric import SymmetricCrystal
from redoxa.screening.compute.measures import max_norm
from redoxa.screening.compute.relax import Relaxation
from redoxa.screening.compute.symmetric_walk import SymmetricRelaxSettings, SymmetricWalk
from redoxa.screening.potentials.base import Potential

METHOD = "symmetric subspace, BFGS; 3"
"""Enters every cache key: to be changed with the algorithm."""


def symmetric_relaxation_key(form: SymmetricCrystal, model_id: str, settings: SymmetricRelaxSettings) -> str:
    """Content hash of all that decides the outcome: method, crystal, weights and settings."""
    return content_hash([METHOD, asdict(form), model_id, settings.content_hash])


def relax_symmetric(
    form: SymmetricCrystal, potential: Potential, settings: SymmetricRelaxSettings | None = None
) -> Relaxation:
    """Relax what the symmetry leaves free; the crystal is the lowest point that was met.

    Raises:
        data.errors.PotentialError: the potential cannot compute the first geometry, or two sites lie in one place.
    """
    started = time.process_time()
    try:
        walk = SymmetricWalk(form.to_crystal(), site_symmetry(form), potential, settings or SymmetricRelaxSettings())
    except StructureError as error:
        raise PotentialError(str(error)) from error
    reason = walk.run()
    best = walk.best
    if best is None:
        raise PotentialError(f"{walk.crystal.formula}: {reason}")
    return Relaxation(
        crystal=walk.crystal,
        energy_eV=best.point.energy_eV,
        converged=not reason,
        steps=walk.calls - 1,
        force_calls=walk.calls,
        max_force_eV_A=max_norm(best.point.forces_eV_A),
        max_stress_eV_A3=float(np.abs(best.point.stress_eV_A3).max()) if best.point.stress_eV_A3 is not None else 0.0,
        seconds=time.process_time() - started,
        reason=reason,
        model=potential.model_id,
        start_energy_eV=walk.first_eV,
    )
