"""Generators propose crystals. Adding one is a file here and a line in `GENERATORS`."""

from __future__ import annotations

from typing import Final

from redoxa.data.registry import registered

GENERATORS: Final = registered(
    "generators",
    {
        "diffusion": "redoxa.generators.noise.diffusion:DiffusionGenerator",
        "flow": "redoxa.generators.noise.flow:FlowGenerator",
        "orbits": "redoxa.generators.orbits.generator:OrbitsGenerator",
        "substitution": "redoxa.generators.exchange.substitution:SubstitutionGenerator",
        "template": "redoxa.generators.exchange.template:TemplateGenerator",
        "vae": "redoxa.generators.vae.generator:VaeGenerator",
    },
)

DEFAULT_GENERATOR: Final = "orbits"
"""The best one, taken where none is named."""
