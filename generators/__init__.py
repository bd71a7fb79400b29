"""Generators propose crystals. Adding one is a file here and a line in `GENERATORS`; one in `TRAININGS` trains it."""

from __future__ import annotations

from typing import Final

from redoxa.data.registry import registered

GENERATORS: Final = registered(
    "generators",
    {
        "composition": "redoxa.generators.composition.generator:CompositionGenerator",
        "diffusion": "redoxa.generators.noise.diffusion:DiffusionGenerator",
        "flow": "redoxa.generators.noise.flow:FlowGenerator",
        "orbits": "redoxa.generators.orbits.generator:OrbitsGenerator",
        "substitution": "redoxa.generators.exchange.substitution:SubstitutionGenerator",
        "template": "redoxa.generators.exchange.template:TemplateGenerator",
        "vae": "redoxa.generators.vae.generator:VaeGenerator",
        "wyckoff": "redoxa.generators.wyckoff.generator:WyckoffGenerator",
    },
)

DEFAULT_GENERATOR: Final = "orbits"
"""The best one, taken where none is named."""

CHOOSE_BEST: Final = frozenset({"orbits"})
"""Those that may draw several crystals for each that they keep (`generators.base.ChoosesBest`)."""

TRAININGS: Final = {
    "cells": "redoxa.generators.geometry.cells_training:CELLS",
    "composition-dbm": "redoxa.generators.composition.boltzmann.multimodal_training:DBM",
    "composition-dbn": "redoxa.generators.composition.boltzmann.deep_training:DBN",
    "composition-exchange": "redoxa.generators.composition.floors:EXCHANGE",
    "composition-hmm": "redoxa.generators.composition.floors:HMM",
    "composition-independent": "redoxa.generators.composition.floors:INDEPENDENT",
    "composition-lstm": "redoxa.generators.composition.training:LSTM",
    "composition-mixture": "redoxa.generators.composition.floors:MIXTURE",
    "composition-rbm": "redoxa.generators.composition.boltzmann.training:RBM",
    "composition-softmax": "redoxa.generators.composition.boltzmann.training:SOFTMAX",
    "composition-transformer": "redoxa.generators.composition.training:TRANSFORMER",
    "composition-wgan": "redoxa.generators.composition.adversarial.training:WGAN",
    "flow": "redoxa.generators.noise.training:FLOW",
    "diffusion": "redoxa.generators.noise.training:DIFFUSION",
    "geometry": "redoxa.generators.geometry.training:GEOMETRY",
    "orbits": "redoxa.generators.orbits.training:ORBITS",
    "vae": "redoxa.generators.vae.training:VAE",
    "wyckoff": "redoxa.generators.wyckoff.training:WYCKOFF",
}
"""Name -> how a network is trained (`generators.training.kinds.Training`), for `redoxa train`."""
