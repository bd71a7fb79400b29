"""Crystals from noise: `flow` and `diffusion`, both `from_noise` over `generators.backbone`.

Contents come first (`compositions` over `statistics`, `slots`), then geometry (`samplers`, `diffusion_samplers`,
`repulsion`), then `symmetry`. `paths`, `wrapped_normal` and `objective` are what is learned (`training`); `labels` and
`guidance` aim at properties; `likelihood` judges given crystals.
"""
