"""Networks learn from rewards.

`objective` is what is followed, `guards` say when to stop, `policy` what draws and learns: `orbit_policy` skeletons and
the elements on them (`orbit_choices`), `formula_policy` formulas.
"""
