"""The file of a graph VAE."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from generators.checkpoint import Tensors, load_network, save_network
from generators.vae.network import Vae, VaeConfig
from generators.wyckoff.checkpoint import table_in
from generators.wyckoff.network import SequenceConfig


def save_vae(path: Path, network: Vae) -> None:
    """Write a network for sampling."""
    save_network(path, "vae", network, asdict(network.config))


def load_vae(path: Path) -> Vae:
    """Read a network for sampling.

    Raises:
        InputError: not a checkpoint of this program.
    """
    return load_network(path, "vae", _build)


def _build(settings: dict[str, Any], tensors: Tensors) -> Vae:
    config = VaeConfig(**settings | {"decoder": SequenceConfig(**settings["decoder"])})
    return Vae(config, table_in(tensors, "decoder."))
