"""Checkpoints: weights in safetensors, settings beside them as JSON in the same file's header. Never pickle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from redoxa.data.errors import InputError

N = TypeVar("N", bound=nn.Module)

Tensors = dict[str, torch.Tensor]


def write_tensors(path: Path, tensors: Tensors, metadata: dict[str, str]) -> None:
    """Write a safetensors file so that at every moment the path holds a whole file, the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, partial, metadata=metadata)
    partial.replace(path)


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Read a safetensors file and its header.

    Raises:
        InputError: missing or unreadable.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as a checkpoint ({error})") from error


def read_header(path: Path) -> dict[str, str]:
    """The header of a safetensors file, without its numbers.

    Raises:
        InputError: missing or unreadable.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as a checkpoint ({error})") from error


def made_from(data: Path, table_sha256: str) -> bool:
    """Whether a prepared file is there and was made from this table."""
    if not data.exists():
        return False
    with safe_open(data, framework="pt") as file:
        return bool((file.metadata() or {}).get("table_sha256") == table_sha256)


def checkpoint_format(name: str) -> str:
    """The `format` in the header of a checkpoint of a generator or network."""
    return f"redoxa-{name}-1"


def save_network(
    path: Path, name: str, network: nn.Module, settings: dict[str, Any], extra: Tensors | None = None
) -> None:
    """Write a network for sampling: weights in half precision, buffers in full.

    Args:
        path: file to write.
        name: of the generator or network.
        network: with the weights that sample.
        settings: what its constructor needs, as JSON.
        extra: further tensors.
    """
    weights = {name for name, _ in network.named_parameters()}
    tensors = {name: t.half() if name in weights else t for name, t in network.state_dict().items()}
    header = {"format": checkpoint_format(name), "network": json.dumps(settings, sort_keys=True)}
    write_tensors(path, tensors | (extra or {}), header)


def load_network(path: Path, name: str, build: Callable[[dict[str, Any], Tensors], N]) -> N:
    """Read a network for sampling.

    Args:
        path: checkpoint.
        name: of the generator or network.
        build: makes the network from its settings, and takes out of the tensors what is none of its state.

    Raises:
        InputError: not a checkpoint of this name, or one that does not fit.
    """
    tensors, header = read_tensors(path)
    if header.get("format") != checkpoint_format(name):
        raise InputError(f"{path}: format {header.get('format')!r} is not {checkpoint_format(name)!r}")
    settings = header.get("network") or header.get("backbone", "")  # the second as flow and diffusion had it at first
    try:
        with torch.random.fork_rng(devices=[]):  # reading a file must not move the caller's randomness
            network = build(json.loads(settings), tensors)
        network.load_state_dict({n: t.float() if t.dtype == torch.half else t for n, t in tensors.items()})
    except (RuntimeError, TypeError, KeyError, ValueError) as error:
        raise InputError(f"{path}: weights do not fit the network: {error}") from error
    return network.eval()
