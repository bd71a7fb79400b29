"""From noise to geometry: samplers, guidance, likelihood, and what becomes of a sample in the end."""
