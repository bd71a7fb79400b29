"""Crystals written as sequences of Wyckoff orbits.

`sequence` -> `sampler` -> `grammar` and `network` (over `mixtures`). `objective` and `training` are what is learned.
"""
