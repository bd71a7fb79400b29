"""Structure files, one module a format. What each promises: read whole and as meant, or refused with a reason.

`found.py` has what all share: elements, numbers, limits, and `Reading`, the crystal with what had to be assumed. A
format gets a text and gives, for each structure in it, a `Reading` or the `StructureError` in its place. CIF is read in
three steps: `cif.py` (blocks, cell, sites), `cif_symmetry.py` (which operations are meant), `cif_cell.py` (all atoms).
"""
