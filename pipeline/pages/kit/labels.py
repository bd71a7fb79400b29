"""What properties and notes of the screening are called, and which part of a card they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Group = Literal["Electrochemistry", "Decomposition", "Mobility", "Host", "Practicalities", "Further results"]

GROUPS: Final[tuple[Group, ...]] = (
    "Electrochemistry", "Decomposition", "Mobility", "Host", "Practicalities", "Further results",
)  # fmt: skip
"""Parts of a card, in order; what is not named below comes under the last."""


@dataclass(frozen=True)
class PropertyLabel:
    """How a property is called: in a card, and where there is little room.

    Attributes:
        long: name in a card.
        short: name on axes and in heads of tables.
        group: part of the card.
        absent: why a screening that went to its end may lack it.
    """

    long: str
    short: str
    group: Group
    absent: str = ""


_NO_REFERENCE: Final = "the reference lacks energies for this chemical system"
_NO_PRICE: Final = "the table lacks one of its elements"
_NO_BARRIER: Final = "no barrier of a hop was found, or none was asked for"

LABELS: Final[dict[str, PropertyLabel]] = {
    "average_voltage": PropertyLabel("Average voltage", "Voltage", "Electrochemistry"),
    "average_voltage_raw": PropertyLabel(
        "Average voltage, not calibrated", "Voltage (not calibrated)", "Electrochemistry"
    ),
    "max_voltage_step": PropertyLabel(
        "Largest voltage step", "Voltage step", "Electrochemistry",
        "no states of partial charge were computed; `screen: {profile_states: 3}` or `redoxa screen --profile 3` do",
    ),
    "capacity_grav": PropertyLabel("Theoretical capacity", "Capacity", "Electrochemistry"),
    "capacity_vol": PropertyLabel("Volumetric capacity", "Capacity (vol.)", "Electrochemistry"),
    "usable_capacity": PropertyLabel("Usable capacity", "Usable capacity", "Electrochemistry"),
    "energy_grav": PropertyLabel("Specific energy", "Energy", "Electrochemistry"),
    "energy_vol": PropertyLabel("Energy density", "Energy (vol.)", "Electrochemistry"),
    "cation_redox_share": PropertyLabel(
        "Charge given by the cations", "Cation redox", "Electrochemistry",
        "neither charge balance nor magnetic moments tell the states of all redox elements",
    ),
    "conversion_voltage": PropertyLabel("Voltage of conversion", "Conversion", "Electrochemistry", _NO_REFERENCE),
    "electrolyte_margin": PropertyLabel(
        "Margin to the limit of the liquid electrolyte", "Electrolyte margin", "Electrochemistry",
        "no common liquid electrolyte is listed for the ion",
    ),
    # Never "stability": the hull is one of known phases, and a distance to it is a lower bound.
    "stability_discharge": PropertyLabel("Above the hull, discharged", "Above hull", "Decomposition", _NO_REFERENCE),
    "stability_charge": PropertyLabel("Above the hull, charged", "Charged, above hull", "Decomposition", _NO_REFERENCE),
    "p_near_hull": PropertyLabel("Probability of lying near the hull", "Near hull", "Decomposition", _NO_REFERENCE),
    "max_instability": PropertyLabel(
        "Above the hull, highest state of charge", "Highest above hull", "Decomposition",
        "no states of partial charge were computed",
    ),
    "interface_reaction_energy": PropertyLabel(
        "Reaction with the mildest solid electrolyte", "Interface reaction", "Decomposition",
        "the reference lacks energies for it, or no solid electrolyte is listed for the ion",
    ),
    "oxygen_release_temperature": PropertyLabel(
        "Oxygen release from", "Oxygen release", "Decomposition", "it holds no oxygen, or gives none off"
    ),
    "migration_barrier": PropertyLabel("Migration barrier", "Barrier", "Mobility", _NO_BARRIER),
    "percolation_barrier_bv": PropertyLabel(
        "Migration barrier, bond valence", "Barrier (bond valence)", "Mobility",
        "its charges or bond valences are unknown",
    ),
    "bottleneck_radius": PropertyLabel("Radius of the bottleneck", "Bottleneck", "Mobility"),
    "mobility_dimension": PropertyLabel("Dimensions of the ion's ways", "Dimensions", "Mobility"),
    "max_delta_volume": PropertyLabel("Volume change", "Volume change", "Host"),
    "max_lattice_strain": PropertyLabel("Largest lattice strain", "Strain", "Host"),
    "max_cation_shift": PropertyLabel("Largest shift of a cation", "Cation shift", "Host"),
    "jahn_teller_distortion": PropertyLabel(
        "Jahn-Teller elongation", "Jahn-Teller", "Host", "no octahedron holds a Jahn-Teller ion"
    ),
    "density": PropertyLabel("Crystal density, discharged", "Density", "Host"),
    "raw_material_cost": PropertyLabel("Cost of the elements", "Element cost", "Practicalities", _NO_PRICE),
    "min_abundance": PropertyLabel("Abundance of the scarcest element", "Abundance", "Practicalities", _NO_PRICE),
    "hhi_production": PropertyLabel(
        "Supply risk of production (HHI)", "HHI production", "Practicalities", _NO_PRICE
    ),
    "hhi_reserve": PropertyLabel("Supply risk of reserves (HHI)", "HHI reserves", "Practicalities", _NO_PRICE),
    "synthesis_energy": PropertyLabel(
        "Energy of the best synthesis", "Synthesis energy", "Practicalities",
        "no reaction of common precursors balances",
    ),
}  # fmt: skip

FRACTIONS: Final = frozenset({
    "max_delta_volume", "max_lattice_strain", "phase_purity", "cation_redox_share", "jahn_teller_distortion",
    "p_near_hull",
})  # fmt: skip
"""Shown in percent."""


@dataclass(frozen=True)
class NoteLabel:
    """How a note is told: a sentence with a gap for its text, and its part of the card."""

    sentence: str
    group: Group
    formulas: bool = False
    """Whether the text holds chemical formulas, whose counts become subscripts."""


NOTES: Final[dict[str, NoteLabel]] = {
    "oxidation_states": NoteLabel("Oxidation states by charge balance: {}.", "Electrochemistry"),
    "redox": NoteLabel("Redox on charge: {}.", "Electrochemistry"),
    "usable_capacity": NoteLabel("In practice to be expected: {}.", "Electrochemistry"),
    "nearest_voltage": NoteLabel("Nearest measured electrode: {}.", "Electrochemistry"),
    "nearest_capacity": NoteLabel("Nearest published capacity: {}.", "Electrochemistry"),
    "moving_ions": NoteLabel("Ions that move: {}.", "Electrochemistry"),
    "voltage_range": NoteLabel("From discharged to charged: {}.", "Electrochemistry"),
    "conversion_reaction": NoteLabel("Conversion: {}.", "Electrochemistry", formulas=True),
    "conversion_curve": NoteLabel("Plateaus between known phases: {}.", "Electrochemistry", formulas=True),
    "direction": NoteLabel("Direction: {}.", "Electrochemistry", formulas=True),
    "room": NoteLabel("The other direction: room for {}.", "Electrochemistry", formulas=True),
    "other_ions": NoteLabel("Other ions: {}.", "Electrochemistry"),
    "conversion_full": NoteLabel("Converted to the end: {}.", "Electrochemistry", formulas=True),
    "conversion_first_step": NoteLabel("The first step of conversion lies at {}.", "Electrochemistry"),
    "insertion_above_conversion": NoteLabel("Insertion lies above conversion by {}.", "Electrochemistry"),
    "decomposition_discharge": NoteLabel("Decomposition, discharged: {}.", "Decomposition", formulas=True),
    "decomposition_charge": NoteLabel("Decomposition, charged: {}.", "Decomposition", formulas=True),
    "stability_of_states": NoteLabel("Above the hull, state by state: {}.", "Decomposition", formulas=True),
    "oxygen_release_discharge": NoteLabel("Oxygen, discharged: {}.", "Decomposition", formulas=True),
    "oxygen_release_charge": NoteLabel("Oxygen, charged: {}.", "Decomposition", formulas=True),
    "stability_window_discharge": NoteLabel("Window of the discharged phase: {}.", "Decomposition", formulas=True),
    "stability_window_charge": NoteLabel("Window of the charged phase: {}.", "Decomposition", formulas=True),
    "solid_electrolytes": NoteLabel("With solid electrolytes: {}.", "Decomposition", formulas=True),
    "bottlenecks": NoteLabel("Largest balls that cross the host: {}.", "Mobility"),
    "assumed_charges": NoteLabel("Charges assumed for the radii: {}.", "Mobility"),
    "bond_valence_barriers": NoteLabel("Bond valence barriers: {}.", "Mobility"),
    "bond_valence_site": NoteLabel("In the bond valence landscape {}.", "Mobility"),
    "migration": NoteLabel("Ways through the crystal: {}.", "Mobility"),
    "volume_on_charge": NoteLabel("On charge the volume changes by {}.", "Host"),
    "jahn_teller": NoteLabel("Jahn-Teller ions: {}.", "Host"),
    "synthesis_reaction": NoteLabel("Best reaction from common precursors: {}.", "Practicalities", formulas=True),
    "synthesis_rivals": NoteLabel("The compound lies {}, its deepest rivals.", "Practicalities", formulas=True),
    "synthesis_alternatives": NoteLabel("Other reactions: {}.", "Practicalities", formulas=True),
    "cost_shares": NoteLabel("Share of the elements in that cost: {}.", "Practicalities"),
    "scarcest_element": NoteLabel("Scarcest element: {}.", "Practicalities"),
    "supply_production": NoteLabel("Production by country: {}.", "Practicalities"),
    "supply_reserve": NoteLabel("Reserves by country: {}.", "Practicalities"),
}

WARNING_NOTES: Final = {
    "voltage_outside_calibration": "Outside the calibration",
    "carcinogenic": "Carcinogenic",
}
"""Notes that are warnings, and their titles."""

EXPLAINED_BY: Final = {
    "stability_discharge": "hull",
    "stability_charge": "hull_charged",
    "synthesis_energy": "synthesis",
    "migration_barrier": "migration",
}
"""Stage whose reason, with a code that begins with ``no_``, says why a property is missing."""

TOLD_ELSEWHERE: Final = ("hull_coverage_", "competing_phases_", "decomposes_to_", "novelty", "duplicate_of")
"""Beginnings of the notes that other parts of a card tell."""
