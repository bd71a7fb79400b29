"""What is weighed and pipetted for the electrodes of one request."""

from __future__ import annotations

from dataclasses import dataclass

from redoxa.data.lab.recipe import Electrode

SPARE = 0.5
"""Discs beyond those that go into cells: some tear, some are cast too thin."""

LEAST_ACTIVE_MG = 200.0
"""Less than this cannot be stirred and cast evenly."""

SOLVENT_G_ML = {"NMP": 1.03, "water": 1.0, "isopropanol": 0.785}
"""Density at room temperature."""


@dataclass(frozen=True)
class Slurry:
    """Masses of a slurry in mg, its solvent in mL; `needed_mg` is the active mass of the discs, spare ones included."""

    active_mg: float
    carbon_mg: float
    binder_mg: float
    solvent_mL: float
    needed_mg: float


def plan_slurry(electrode: Electrode, cells: int, powder_g: float) -> Slurry:
    """The slurry for so many cells and half as many spare discs.

    Args:
        electrode: with its mixture, loading and solids content.
        cells: that are to be built.
        powder_g: active powder there is; of it at most half is taken for the sake of stirring.
    """
    needed_mg = cells * (1 + SPARE) * electrode.active_mass_mg
    active_mg = max(needed_mg, min(LEAST_ACTIVE_MG, 500 * powder_g))
    solids_mg = active_mg / electrode.active_fraction
    solvent_mg = solids_mg * (1 - electrode.solids_fraction) / electrode.solids_fraction
    return Slurry(
        active_mg=active_mg,
        carbon_mg=solids_mg * electrode.carbon_fraction,
        binder_mg=solids_mg * electrode.binder_fraction,
        solvent_mL=solvent_mg / 1000 / SOLVENT_G_ML.get(electrode.solvent, 1.0),
        needed_mg=needed_mg,
    )
