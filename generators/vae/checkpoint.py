"""The file of a graph VAE."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from redoxa.data.errors import InputError
from redoxa.generators.checkpoint import Tensors, checkpoint_format, load_network, read_tensors, save_network
from redoxa.generators.vae.network import Vae, VaeConfig
from redoxa.generators.vae.prior import FlowPrior, PriorSize
from redoxa.generators.wyckoff.checkpoint import begin_with, table_in
from redoxa.generators.wyckoff.network import SequenceConfig


def save_vae(path: Path, network: Vae) -> None:
    """Write a network for sampling."""
    prior = {} if network.prior is None else {"prior": asdict(network.prior.size)}
    save_network(path, "vae", network, asdict(network.config) | prior)


def load_vae(path: Path) -> Vae:
    """Read a network for sampling.

    Raises:
        InputError: not a checkpoint of this program.
    """
    return load_network(path, "vae", _build)


def is_vae(path: Path) -> bool:
    """Whether a file holds a VAE, not another network.

    Raises:
        InputError: the file cannot be read.
    """
    return read_tensors(path)[1].get("format") == checkpoint_format("vae")


def begin_vae_with(network: Vae, path: Path) -> None:
    """Copy weights from a VAE, or those of the decoder from a sequence network.

    Raises:
        InputError: neither of them, or of another size.
    """
    if not is_vae(path):
        return begin_with(network.decoder, path)
    try:
        network.load_state_dict(load_vae(path).with_prior(None).state_dict())
    except RuntimeError as error:
        raise InputError(f"{path}: a network of another size: {error}") from error


def _build(settings: dict[str, Any], tensors: Tensors) -> Vae:
    size = settings.pop("prior", None)  # a file of before the flow has none
    config = VaeConfig(**settings | {"decoder": SequenceConfig(**settings["decoder"])})
    network = Vae(config, table_in(tensors, "decoder."))
    if size is not None:
        network.prior = FlowPrior(config.decoder.latent, PriorSize(**size))
    return network
