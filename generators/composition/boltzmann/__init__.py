"""Boltzmann machines on formulas: `network` -> `chain` -> `ais` -> `training`, and `family`; two of them: `deep`."""
