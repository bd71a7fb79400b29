"""Crystals written as sequences of Wyckoff orbits.

`generator` (over `wishes`) -> `sequence` -> `sampler` -> `grammar` and `network` (over `mixtures`). `objective` and
`training` are what is learned.
"""
