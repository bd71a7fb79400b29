"""The file of a sequence network, with the table of positions among its buffers."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

from redoxa.data.errors import InputError
from redoxa.data.symmetry.positions import PositionTable
from redoxa.generators.checkpoint import Tensors, load_network, save_network
from redoxa.generators.wyckoff.network import SequenceConfig, SequenceNetwork


def save_sequence_network(path: Path, network: SequenceNetwork) -> None:
    """Write a network for sampling."""
    save_network(path, "wyckoff", network, asdict(network.config))


def load_sequence_network(path: Path) -> SequenceNetwork:
    """Read a network for sampling.

    Raises:
        InputError: not a checkpoint of this program.
    """
    return load_network(
        path, "wyckoff", lambda settings, tensors: SequenceNetwork(SequenceConfig(**settings), table_in(tensors))
    )


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


def table_in(tensors: Tensors, prefix: str = "") -> PositionTable:
    """The table of positions among the tensors of a file."""
    return PositionTable(**{f.name: tensors[prefix + f.name].numpy() for f in fields(PositionTable)})


def table_of(network: SequenceNetwork) -> PositionTable:
    """The table of positions that a network carries."""
    return table_in(dict(network.named_buffers()))
