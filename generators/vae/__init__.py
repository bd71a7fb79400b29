"""`vae`: `generator` -> `latent` -> `network` -> `graph_encoder` (over `crystal_graph`) and `prior`.

Its decoder is the sequence model of `generators.wyckoff`.
"""
