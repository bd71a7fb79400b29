"""Networks learn from rewards.

`objective` is what is followed, `guards` say when to stop, `policy` what draws and learns: `orbit_policy` elements on
known skeletons, `formula_policy` formulas.
"""
