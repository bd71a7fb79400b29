"""Free coordinates and cells of symmetric crystals, by a flow that keeps the symmetry: `orbits` and `vae` use it.

`flow` moves the tensors of `free_space`, and learns (`training`) from `pairs` of a lent and a relaxed geometry.
"""
