"""What is foreseen of elements on a skeleton before anything is relaxed.

`energy_model` foresees distances from the hull, `surrogate` voltages and volumes; `targets` keeps draws within ranges.
"""
