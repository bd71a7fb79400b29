"""The file of a graph VAE: weights in half precision, buffers in full."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch

from data.errors import InputError
from generators.checkpoint import read_tensors, write_tensors
from generators.vae.network import Vae, VaeConfig
from generators.wyckoff.checkpoint import begin_with, halved, table_in
from generators.wyckoff.network import SequenceConfig

FORMAT = "redoxa-vae-1"


def save_vae(path: Path, network: Vae) -> None:
    """Write a network for sampling."""
    header = {"format": FORMAT, "network": json.dumps(asdict(network.config), sort_keys=True)}
    write_tensors(path, halved(network), header)


def load_vae(path: Path) -> Vae:
    """Read a network for sampling.

    Raises:
        InputError: not a checkpoint of this program.
    """
    tensors, header = read_tensors(path)
    if header.get("format") != FORMAT:
        raise InputError(f"{path}: format {header.get('format')!r} is not {FORMAT!r}")
    settings = json.loads(header["network"])
    try:
        config = VaeConfig(**settings | {"decoder": SequenceConfig(**settings["decoder"])})
        with torch.random.fork_rng(devices=[]):  # reading a file must not move the caller's randomness
            network = Vae(config, table_in(tensors, "decoder."))
        network.load_state_dict({n: t.float() if t.dtype == torch.half else t for n, t in tensors.items()})
    except (RuntimeError, TypeError, KeyError) as error:
        raise InputError(f"{path}: weights do not fit the network: {error}") from error
    return network.eval()


def is_vae(path: Path) -> bool:
    """Whether a file holds a VAE, not another network.

    Raises:
        InputError: the file cannot be read.
    """
    return read_tensors(path)[1].get("format") == FORMAT


def begin_vae_with(network: Vae, path: Path) -> None:
    """Copy weights from a VAE, or those of the decoder from a sequence network.

    Raises:
        InputError: neither of them, or of another size.
    """
    if not is_vae(path):
        return begin_with(network.decoder, path)
    try:
        network.load_state_dict(load_vae(path).state_dict())
    except RuntimeError as error:
        raise InputError(f"{path}: a network of another size: {error}") from error
