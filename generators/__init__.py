"""Generators propose crystals. Adding one is a file here and a line in `GENERATORS`."""

from __future__ import annotations

from typing import Final

GENERATORS: Final = {
    "diffusion": "generators.noise.diffusion:DiffusionGenerator",
    "flow": "generators.noise.flow:FlowGenerator",
    "orbits": "generators.orbits.generator:OrbitsGenerator",
    "substitution": "generators.exchange.substitution:SubstitutionGenerator",
    "template": "generators.exchange.template:TemplateGenerator",
    "vae": "generators.vae.generator:VaeGenerator",
}

DEFAULT_GENERATOR: Final = "orbits"
"""The best one, taken where none is named."""
