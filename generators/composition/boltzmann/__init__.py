"""A restricted Boltzmann machine on formulas: `network` -> `chain` -> `ais` -> `training`, and `family`."""
