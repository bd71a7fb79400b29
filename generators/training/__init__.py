"""One training loop for every network: `loop`, its `workers`, its `log`, and `batches` of crystals of equal size."""
