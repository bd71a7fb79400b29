"""Electrode arithmetic through pymatgen's battery classes, with structures, past their known faults.

`InsertionElectrode` normalises volumes by the formula unit only when entries carry structures: stripped entries give
volumetric capacities wrong by the number of formula units in the cell. Entries here always carry them. States between
which there is no voltage, where pymatgen fails with an IndexError, are refused in words; the largest voltage step is
taken as absolute, as documented there but not done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from redoxa.data.errors import RedoxaError
from redoxa.data.records import Crystal, VoltageStep
from redoxa.data.structures import to_structure
from redoxa.data.units import ION_VALENCE

if TYPE_CHECKING:
    from pymatgen.apps.battery.battery_abc import AbstractVoltagePair
    from pymatgen.apps.battery.insertion_battery import InsertionElectrode
    from pymatgen.entries.computed_entries import ComputedStructureEntry


class ElectrodeError(RedoxaError):
    """The states given do not make an insertion electrode; the message says why."""


@dataclass(frozen=True)
class State:
    """One state of charge: a crystal and its energy in eV per cell, all states of an electrode on one scale."""

    crystal: Crystal
    energy_eV: float


@dataclass(frozen=True)
class Performance:
    """What the states of an electrode amount to; gravimetric values per discharged mass, as the Materials Project does.

    Attributes:
        average_voltage_V: capacity-weighted mean over the steps.
        steps: plateaus of the profile, from the charged end.
        capacity_grav_mAh_g: per gram of the discharged phase.
        capacity_vol_mAh_cm3: per cubic centimetre of the discharged phase.
        energy_grav_Wh_kg: capacity times average voltage.
        energy_vol_Wh_l: likewise by volume.
        max_delta_volume: largest over smallest volume of a stable state, less 1.
        x_charge: working ions per formula unit of the host, charged.
        x_discharge: likewise, discharged.
    """

    average_voltage_V: float
    steps: tuple[VoltageStep, ...]
    capacity_grav_mAh_g: float
    capacity_vol_mAh_cm3: float
    energy_grav_Wh_kg: float
    energy_vol_Wh_l: float
    max_delta_volume: float
    x_charge: float
    x_discharge: float

    @property
    def max_voltage_step_V(self) -> float:
        """Largest absolute difference of neighbouring steps; 0 for a single plateau."""
        return max((abs(a.voltage_V - b.voltage_V) for a, b in pairwise(self.steps)), default=0.0)


def performance(states: Sequence[State], ion: str, ion_metal_eV: float) -> Performance:
    """Voltage, capacity, energy and volume change of an electrode.

    V = -(E_discharged - E_charged - n E_ion) / (n z) for each step between neighbouring stable states (Aydinol et al.,
    Phys. Rev. B 56, 1354, 1997, doi:10.1103/PhysRevB.56.1354).

    Args:
        states: two or more states of one host.
        ion: symbol of the working ion.
        ion_metal_eV: energy of its metal in eV/atom, on the scale of the states.

    Raises:
        ElectrodeError: fewer than two states, hosts of different formula, or states of equal ion content only.
    """
    electrode = insertion_electrode(states, ion, ion_metal_eV)
    return Performance(
        average_voltage_V=float(electrode.get_average_voltage()),
        steps=tuple(_step(pair) for pair in electrode.voltage_pairs),
        capacity_grav_mAh_g=float(electrode.get_capacity_grav()),
        capacity_vol_mAh_cm3=float(electrode.get_capacity_vol()),
        energy_grav_Wh_kg=float(electrode.get_specific_energy()),
        energy_vol_Wh_l=float(electrode.get_energy_density()),
        max_delta_volume=float(electrode.max_delta_volume),
        x_charge=float(electrode.x_charge),
        x_discharge=float(electrode.x_discharge),
    )


def insertion_electrode(states: Sequence[State], ion: str, ion_metal_eV: float) -> InsertionElectrode:
    """An electrode of pymatgen from these states, every entry with its structure.

    Energies are shifted by a constant for every host atom, which no voltage sees: pymatgen makes up the energies of the
    elements as 10 eV above the highest state, which would lie below the metal where a scale has large energies by atom.

    Raises:
        ElectrodeError: see `performance`.
    """
    from pymatgen.analysis.phase_diagram import PDEntry
    from pymatgen.apps.battery.insertion_battery import InsertionElectrode
    from pymatgen.core import Composition, Element

    if ion not in ION_VALENCE or max(Element(ion).oxidation_states) != ION_VALENCE[ion]:
        raise ElectrodeError(f"'{ion}' is not a working ion. Known: {', '.join(ION_VALENCE)}")
    _check_states(states, ion)
    offset_eV = min(state.energy_eV / _host_atoms(state, ion) for state in states)
    entries = [_entry(state, state.energy_eV - offset_eV * _host_atoms(state, ion)) for state in states]
    return InsertionElectrode.from_entries(entries, PDEntry(Composition(ion), ion_metal_eV), strip_structures=False)


def _step(pair: AbstractVoltagePair) -> VoltageStep:
    host_atoms = pair.framework.num_atoms
    charge, discharge = (x / (1 - x) * host_atoms for x in (pair.frac_charge, pair.frac_discharge))
    return VoltageStep(x_charge=charge, x_discharge=discharge, voltage_V=float(pair.voltage))


def _host_atoms(state: State, ion: str) -> int:
    return state.crystal.n_atoms - state.crystal.composition.get(ion, 0)


def _entry(state: State, energy_eV: float) -> ComputedStructureEntry:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    return ComputedStructureEntry(to_structure(state.crystal), energy_eV)


def _check_states(states: Sequence[State], ion: str) -> None:
    from pymatgen.core import Composition

    hosts = []
    contents = set()
    for state in states:
        host = {e: n for e, n in state.crystal.composition.items() if e != ion}
        if not host:
            raise ElectrodeError(f"a state of pure {ion} has no host")
        hosts.append(Composition(host).reduced_formula)
        contents.add(round(state.crystal.composition.get(ion, 0) / sum(host.values()), 6))
    if len(set(hosts)) > 1:
        raise ElectrodeError(f"the states have different hosts: {', '.join(sorted(set(hosts)))}")
    if len(contents) < 2:
        raise ElectrodeError(f"no voltage: {len(states)} states of the same {ion} content (two contents are needed)")
