"""The in-silico screening. Adding a property is a file here and a line in `PROPERTIES`."""

from __future__ import annotations

from typing import Final

GATES: Final = {
    "validity": "redoxa.screening.validity:Validity",
    "redox": "redoxa.screening.redox:Redox",
    "hazard": "redoxa.screening.hazard_cost:Hazard",
    "moisture": "redoxa.screening.moisture:MoistureSensitivity",
    "duplicates": "redoxa.screening.novelty:Duplicates",
    "novelty": "redoxa.screening.novelty:Novelty",
    "novelty_relaxed": "redoxa.screening.novelty:NoveltyRelaxed",
    "topotactic": "redoxa.screening.topotaxy:Topotactic",
}
"""What is checked without giving a number."""

PROPERTIES: Final = {
    "average_voltage": "redoxa.screening.voltage:AverageVoltage",
    "average_voltage_raw": "redoxa.screening.voltage:AverageVoltageRaw",
    "capacity_grav": "redoxa.screening.capacity:CapacityGrav",
    "capacity_vol": "redoxa.screening.capacity:CapacityVol",
    "usable_capacity": "redoxa.screening.capacity:UsableCapacity",
    "energy_grav": "redoxa.screening.energy:EnergyGrav",
    "energy_vol": "redoxa.screening.energy:EnergyVol",
    "max_delta_volume": "redoxa.screening.volume:MaxDeltaVolume",
    "max_lattice_strain": "redoxa.screening.volume:MaxLatticeStrain",
    "max_voltage_step": "redoxa.screening.voltage:MaxVoltageStep",
    "max_cation_shift": "redoxa.screening.topotaxy:MaxCationShift",
    "jahn_teller_distortion": "redoxa.screening.jahn_teller:JahnTellerDistortion",
    "cation_redox_share": "redoxa.screening.oxidation:CationRedoxShare",
    "conversion_voltage": "redoxa.screening.conversion:ConversionVoltage",
    "electrolyte_margin": "redoxa.screening.electrolyte:ElectrolyteMargin",
    "interface_reaction_energy": "redoxa.screening.electrolyte:InterfaceReactionEnergy",
    "stability_discharge": "redoxa.screening.stability:StabilityDischarge",
    "stability_charge": "redoxa.screening.stability:StabilityCharge",
    "p_near_hull": "redoxa.screening.stability:ProbabilityNearHull",
    "max_instability": "redoxa.screening.stability:MaxInstability",
    "oxygen_release_temperature": "redoxa.screening.oxygen:OxygenReleaseTemperature",
    "bottleneck_radius": "redoxa.screening.pathways:BottleneckRadius",
    "percolation_barrier_bv": "redoxa.screening.pathways:PercolationBarrierBv",
    "mobility_dimension": "redoxa.screening.pathways:MobilityDimension",
    "migration_barrier": "redoxa.screening.migration:MigrationBarrier",
    "raw_material_cost": "redoxa.screening.hazard_cost:RawMaterialCost",
    "min_abundance": "redoxa.screening.hazard_cost:MinAbundance",
    "hhi_production": "redoxa.screening.supply:HhiProduction",
    "hhi_reserve": "redoxa.screening.supply:HhiReserve",
    "density": "redoxa.screening.density:Density",
    "synthesis_energy": "redoxa.screening.synthesis:SynthesisEnergy",
}
"""Name -> class of every number the screening gives; limits and objectives use these names."""
