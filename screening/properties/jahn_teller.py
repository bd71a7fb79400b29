"""Octahedra stretched by the Jahn-Teller effect, which wear a host out when the ions come and go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from ase.data import chemical_symbols

from redoxa.data.chemistry import NONMETALS, REDOX_WINDOW, oxidation_states
from redoxa.data.records import Crystal, Estimate
from redoxa.screening.base import Findings, Needs, Subject, Surroundings
from redoxa.screening.compute.relax import Relaxation
from redoxa.screening.labels import Label, Note
from redoxa.screening.properties.oxidation import state_of

ACTIVE: Mapping[str, int] = {"Cr": 2, "Mn": 3, "Fe": 4, "Ni": 3, "Cu": 2}
"""Octahedral ions with one electron, or one hole, in the e_g orbitals: d4 high spin, d7 low spin, d9 (I. B. Bersuker,
Chem. Rev. 121, 1463 (2021), doi:10.1021/acs.chemrev.0c00718)."""

STATE_TOLERANCE = 0.35
REACH_A = 3.2
DISTORTION_SIGMA = 0.03


class JahnTellerDistortion:
    """How much longer the two long bonds of Jahn-Teller ions are than the four short ones, in the worse state."""

    name: ClassVar[str] = "jahn_teller_distortion"
    summary: ClassVar[str] = "mean elongation of octahedra with a Jahn-Teller ion, in the more distorted state"
    unit: ClassVar[str] = "1"
    stage: ClassVar[str] = "volume"
    needs: ClassVar[Needs] = Needs.CHARGED
    cost: ClassVar[float] = 0.17
    label: ClassVar[Label] = Label(
        "Jahn-Teller elongation", "Jahn-Teller", "Host", absent="no octahedron holds a Jahn-Teller ion", percent=True
    )
    notes: ClassVar[Mapping[str, Note]] = {
        "jahn_teller": Note("Jahn-Teller ions: {}.", "Host"),
    }

    def evaluate(self, subject: Subject, around: Surroundings) -> Findings:
        """Look at both states; no number where no site holds such an ion."""
        found = {name: elongations(state) for name, state in zip(("discharged", "charged"), subject.both, strict=True)}
        found = {name: values for name, values in found.items() if values}
        if not found:
            return Findings()
        worse = max(found, key=lambda name: float(np.mean(found[name])))
        words = [f"{len(v)} sites {name}, elongated {100 * float(np.mean(v)):.0f} %" for name, v in found.items()]
        return Findings(
            Estimate(
                value=float(np.mean(found[worse])),
                sigma=DISTORTION_SIGMA,
                unit=self.unit,
                method=f"two longest over four shortest of six bonds less 1, {worse} state; ions by charge and moment",
                model=around.model.id,
            ),
            notes={"jahn_teller": "; ".join(words)},
        )


def elongations(state: Relaxation) -> list[float]:
    """Mean of the two longest over the mean of the four shortest bonds, less 1, of each Jahn-Teller ion."""
    crystal = state.crystal
    states = oxidation_states(crystal.composition) or {}
    values = []
    for element in sorted(ACTIVE.keys() & crystal.composition.keys() & REDOX_WINDOW.keys()):
        for site in [i for i, z in enumerate(crystal.numbers) if chemical_symbols[z] == element]:
            told = None
            if state.magmoms_muB:
                moment = np.array([state.magmoms_muB[site]])
                told = state_of(element, crystal.composition, moment, states.get(element))
            if abs((states.get(element, 0.0) if told is None else told) - ACTIVE[element]) <= STATE_TOLERANCE:
                values += _elongation(crystal, site)
    return values


def _elongation(crystal: Crystal, site: int) -> list[float]:
    """Of one octahedron; nothing where there are not just six anions in reach of a bond."""
    from pymatgen.core import Lattice

    lattice = Lattice(crystal.lattice_A)
    frac = np.array(crystal.frac_coords)
    anions = [i for i, z in enumerate(crystal.numbers) if chemical_symbols[z] in NONMETALS]
    _, distances, _, _ = lattice.get_points_in_sphere(
        frac[anions], lattice.get_cartesian_coords(frac[site]), REACH_A, zip_results=False
    )
    bonds = np.sort(np.asarray(distances, dtype=float))
    if len(bonds) < 6 or (len(bonds) > 6 and bonds[6] < 1.1 * bonds[5]) or bonds[5] > 1.6 * bonds[0]:
        return []
    return [float(bonds[4:6].mean() / bonds[:4].mean() - 1)]
