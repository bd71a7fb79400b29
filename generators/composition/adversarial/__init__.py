"""A generator of formulas that learns from a critic (WGAN): `network` -> `training`, and `family`, which samples."""
