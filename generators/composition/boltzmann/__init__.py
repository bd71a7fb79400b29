"""Boltzmann machines on formulas: `network` -> `chain` -> `ais` -> `training`, and `family`; two of them: `deep`.

With other modalities beside the formula: `multimodal` -> `multimodal_sampling` -> `multimodal_training` and its family.
"""
