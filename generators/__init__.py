"""Generators propose crystals. Adding one is a file here and a line in `GENERATORS`."""

from __future__ import annotations

from typing import Final

GENERATORS: Final = {
    "diffusion": "generators.diffusion:DiffusionGenerator",
    "flow": "generators.flow:FlowGenerator",
    "orbits": "generators.orbits:OrbitsGenerator",
    "substitution": "generators.substitution:SubstitutionGenerator",
    "template": "generators.template:TemplateGenerator",
    "vae": "generators.vae:VaeGenerator",
}
