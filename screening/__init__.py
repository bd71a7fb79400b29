"""The in-silico screening. Adding a property is a file here and a line in `PROPERTIES`."""

from __future__ import annotations

from typing import Final

GATES: Final = {
    "validity": "screening.validity:Validity",
    "redox": "screening.redox:Redox",
    "hazard": "screening.hazard_cost:Hazard",
    "moisture": "screening.moisture:MoistureSensitivity",
    "duplicates": "screening.novelty:Duplicates",
    "novelty": "screening.novelty:Novelty",
    "novelty_relaxed": "screening.novelty:NoveltyRelaxed",
    "topotactic": "screening.topotaxy:Topotactic",
}
"""What is checked without giving a number."""

PROPERTIES: Final = {
    "average_voltage": "screening.voltage:AverageVoltage",
    "average_voltage_raw": "screening.voltage:AverageVoltageRaw",
    "capacity_grav": "screening.capacity:CapacityGrav",
    "capacity_vol": "screening.capacity:CapacityVol",
    "usable_capacity": "screening.capacity:UsableCapacity",
    "energy_grav": "screening.energy:EnergyGrav",
    "energy_vol": "screening.energy:EnergyVol",
    "max_delta_volume": "screening.volume:MaxDeltaVolume",
    "max_lattice_strain": "screening.volume:MaxLatticeStrain",
    "max_voltage_step": "screening.voltage:MaxVoltageStep",
    "max_cation_shift": "screening.topotaxy:MaxCationShift",
    "jahn_teller_distortion": "screening.jahn_teller:JahnTellerDistortion",
    "cation_redox_share": "screening.oxidation:CationRedoxShare",
    "conversion_voltage": "screening.conversion:ConversionVoltage",
    "electrolyte_margin": "screening.electrolyte:ElectrolyteMargin",
    "interface_reaction_energy": "screening.electrolyte:InterfaceReactionEnergy",
    "stability_discharge": "screening.stability:StabilityDischarge",
    "stability_charge": "screening.stability:StabilityCharge",
    "p_near_hull": "screening.stability:ProbabilityNearHull",
    "max_instability": "screening.stability:MaxInstability",
    "oxygen_release_temperature": "screening.oxygen:OxygenReleaseTemperature",
    "bottleneck_radius": "screening.pathways:BottleneckRadius",
    "percolation_barrier_bv": "screening.pathways:PercolationBarrierBv",
    "mobility_dimension": "screening.pathways:MobilityDimension",
    "migration_barrier": "screening.migration:MigrationBarrier",
    "raw_material_cost": "screening.hazard_cost:RawMaterialCost",
    "min_abundance": "screening.hazard_cost:MinAbundance",
    "hhi_production": "screening.supply:HhiProduction",
    "hhi_reserve": "screening.supply:HhiReserve",
    "density": "screening.density:Density",
    "synthesis_energy": "screening.synthesis:SynthesisEnergy",
}
"""Name -> class of every number the screening gives; limits and objectives use these names."""
