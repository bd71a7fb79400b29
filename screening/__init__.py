"""The in-silico screening. Adding a property is a file here and a line in `PROPERTIES`."""

from __future__ import annotations

from typing import Final

from redoxa.data.registry import registered

GATES: Final = {
    "validity": "redoxa.screening.gates.validity:Validity",
    "redox": "redoxa.screening.gates.redox:Redox",
    "hazard": "redoxa.screening.gates.hazard_cost:Hazard",
    "moisture": "redoxa.screening.gates.moisture:MoistureSensitivity",
    "duplicates": "redoxa.screening.gates.novelty:Duplicates",
    "novelty": "redoxa.screening.gates.novelty:Novelty",
    "ordered_child": "redoxa.screening.gates.ordering:OrderedChild",
    "latent_anomaly": "redoxa.screening.gates.likeness:LatentAnomaly",
    "novelty_relaxed": "redoxa.screening.gates.novelty:NoveltyRelaxed",
    "topotactic": "redoxa.screening.gates.topotaxy:Topotactic",
}
"""What is checked without giving a number."""

PROPERTIES: Final = registered(
    "properties",
    {
        "average_voltage": "redoxa.screening.properties.voltage:AverageVoltage",
        "average_voltage_raw": "redoxa.screening.properties.voltage:AverageVoltageRaw",
        "max_voltage_step": "redoxa.screening.properties.voltage:MaxVoltageStep",
        "capacity_grav": "redoxa.screening.properties.capacity:CapacityGrav",
        "capacity_vol": "redoxa.screening.properties.capacity:CapacityVol",
        "usable_capacity": "redoxa.screening.properties.capacity:UsableCapacity",
        "energy_grav": "redoxa.screening.properties.energy:EnergyGrav",
        "energy_vol": "redoxa.screening.properties.energy:EnergyVol",
        "cation_redox_share": "redoxa.screening.properties.oxidation:CationRedoxShare",
        "conversion_voltage": "redoxa.screening.properties.conversion:ConversionVoltage",
        "stability_discharge": "redoxa.screening.properties.stability:StabilityDischarge",
        "stability_charge": "redoxa.screening.properties.stability:StabilityCharge",
        "p_near_hull": "redoxa.screening.properties.stability:ProbabilityNearHull",
        "max_instability": "redoxa.screening.properties.stability:MaxInstability",
        "electrolyte_margin": "redoxa.screening.properties.electrolyte:ElectrolyteMargin",
        "interface_reaction_energy": "redoxa.screening.properties.electrolyte:InterfaceReactionEnergy",
        "oxygen_release_temperature": "redoxa.screening.properties.oxygen:OxygenReleaseTemperature",
        "migration_barrier": "redoxa.screening.properties.migration:MigrationBarrier",
        "percolation_barrier_bv": "redoxa.screening.properties.pathways:PercolationBarrierBv",
        "bottleneck_radius": "redoxa.screening.properties.pathways:BottleneckRadius",
        "mobility_dimension": "redoxa.screening.properties.pathways:MobilityDimension",
        "max_delta_volume": "redoxa.screening.properties.volume:MaxDeltaVolume",
        "max_lattice_strain": "redoxa.screening.properties.volume:MaxLatticeStrain",
        "max_cation_shift": "redoxa.screening.gates.topotaxy:MaxCationShift",
        "jahn_teller_distortion": "redoxa.screening.properties.jahn_teller:JahnTellerDistortion",
        "density": "redoxa.screening.properties.density:Density",
        "raw_material_cost": "redoxa.screening.gates.hazard_cost:RawMaterialCost",
        "min_abundance": "redoxa.screening.gates.hazard_cost:MinAbundance",
        "hhi_production": "redoxa.screening.properties.supply:HhiProduction",
        "hhi_reserve": "redoxa.screening.properties.supply:HhiReserve",
        "synthesis_energy": "redoxa.screening.properties.synthesis:SynthesisEnergy",
    },
)
"""Name -> class of every number the screening gives, in the order of cards; limits and objectives use these names."""
