"""Boltzmann machines on formulas: `network` -> `chain` -> `ais` -> `training`, and `family`.

Two of them are `deep`; `multimodal` knows more than formulas.
"""
