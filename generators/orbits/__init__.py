"""`orbits`, the flagship: elements on the Wyckoff orbits of known and new skeletons, by masked diffusion.

`generator` -> `de_novo` (new crystals: `blanks` of the memory or around a crystal, with `insertion`; `new_skeletons` of
`generators.wyckoff`; `refusal`; ranges by `foresight`; a learned `preference`) and `prediction` (given contents:
`judge` over `generators.exchange.proposals`; `beyond` them, the sequence model and `flow`); both ask the network of
`decoration`.
New crystals get their free coordinates and cells from `generators.geometry`. `training` trains all networks but that,
and `self_training` goes on with what was drawn and found good.
"""
