"""The file of a network from noise: the network, and the statistics of its training data."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from redoxa.generators.backbone import Backbone, BackboneConfig
from redoxa.generators.checkpoint import Tensors, load_network, save_network
from redoxa.generators.noise.statistics import DataStatistics

PREFIX = "statistics."


def save_noise_network(path: Path, generator: str, network: Backbone, statistics: DataStatistics) -> None:
    """Write a network for sampling, and the statistics of its training data."""
    extra = {PREFIX + name: t for name, t in statistics.tensors().items()}
    save_network(path, generator, network, asdict(network.config), extra)


def load_noise_network(path: Path, generator: str) -> tuple[Backbone, DataStatistics]:
    """Read a network for sampling, and the statistics of its training data.

    Raises:
        InputError: not a checkpoint of this generator.
    """
    found: list[DataStatistics] = []

    def build(settings: dict[str, Any], tensors: Tensors) -> Backbone:
        names = [name for name in tensors if name.startswith(PREFIX)]
        found.append(DataStatistics(**{name.removeprefix(PREFIX): tensors.pop(name) for name in names}))
        return Backbone(BackboneConfig(**settings))

    return load_network(path, generator, build), found[0]
