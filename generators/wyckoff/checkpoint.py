"""The file of a sequence network: weights in half precision, buffers (the table of positions among them) in full."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

import torch

from data.errors import InputError
from data.positions import PositionTable
from generators.checkpoint import read_tensors, write_tensors
from generators.wyckoff.network import SequenceConfig, SequenceNetwork

FORMAT = "redoxa-wyckoff-1"


def save_sequence_network(path: Path, network: SequenceNetwork) -> None:
    """Write a network for sampling."""
    header = {"format": FORMAT, "network": json.dumps(asdict(network.config), sort_keys=True)}
    write_tensors(path, halved(network), header)


def load_sequence_network(path: Path) -> SequenceNetwork:
    """Read a network for sampling.

    Raises:
        InputError: not a checkpoint of this program.
    """
    tensors, header = read_tensors(path)
    if header.get("format") != FORMAT:
        raise InputError(f"{path}: format {header.get('format')!r} is not {FORMAT!r}")
    try:
        with torch.random.fork_rng(devices=[]):  # reading a file must not move the caller's randomness
            network = SequenceNetwork(SequenceConfig(**json.loads(header["network"])), table_in(tensors))
        network.load_state_dict({n: t.float() if t.dtype == torch.half else t for n, t in tensors.items()})
    except (RuntimeError, TypeError, KeyError) as error:
        raise InputError(f"{path}: weights do not fit the network: {error}") from error
    return network.eval()


def begin_with(network: SequenceNetwork, path: Path) -> None:
    """Copy weights from a checkpoint; what it lacks (the way in for a latent vector, say) begins anew.

    Raises:
        InputError: not a checkpoint of this program, or of another size.
    """
    given = load_sequence_network(path).state_dict()
    try:
        network.load_state_dict(given, strict=False)
    except RuntimeError as error:
        raise InputError(f"{path}: a network of another size: {error}") from error


def halved(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights in half precision, buffers as they are."""
    weights = {name for name, _ in module.named_parameters()}
    return {name: t.half() if name in weights else t for name, t in module.state_dict().items()}


def table_in(tensors: dict[str, torch.Tensor], prefix: str = "") -> PositionTable:
    """The table of positions among the tensors of a file."""
    return PositionTable(**{f.name: tensors[prefix + f.name].numpy() for f in fields(PositionTable)})


def table_of(network: SequenceNetwork) -> PositionTable:
    """The table of positions that a network carries."""
    return table_in(dict(network.named_buffers()))
