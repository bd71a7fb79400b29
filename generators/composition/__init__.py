"""Formulas without structures: which elements, and how many of each.

`grammar` (what a formula is) -> `masks` (what may come next) -> `family` (what a model of formulas can be asked) with
`contract`. The models: `baselines` and `autoregressive` (HMM), `sequence` (LSTM and transformer) with its `training`.
"""
