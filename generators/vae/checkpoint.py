"""The file of a graph VAE: weights in half precision, buffers in full."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch

from data.errors import InputError
from generators.checkpoint import read_tensors, write_tensors
from generators.vae.network import Vae, VaeConfig
from generators.wyckoff.checkpoint import halved, table_in
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
