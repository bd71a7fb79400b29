"""Checkpoints: weights in safetensors, settings beside them as JSON in the same file's header. Never pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from data.errors import InputError
from generators.backbone import Backbone, BackboneConfig
from generators.noise.statistics import DataStatistics


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file so that at every moment the path holds a whole file, the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, partial, metadata=metadata)
    partial.replace(path)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a safetensors file and its header.

    Raises:
        InputError: missing or unreadable.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as a checkpoint ({error})") from error


def save_network(path: Path, generator: str, network: Backbone, statistics: DataStatistics) -> None:
    """Write a network for sampling: weights in half precision, buffers in full.

    Args:
        path: file to write.
        generator: whose network it is.
        network: with the weights that sample.
        statistics: of the training data.
    """
    tensors = {name: p.half() for name, p in network.named_parameters()}
    tensors |= {name: b for name, b in network.named_buffers() if name in network.state_dict()}
    tensors |= {f"statistics.{name}": t for name, t in statistics.tensors().items()}
    header = {"format": checkpoint_format(generator), "backbone": json.dumps(asdict(network.config), sort_keys=True)}
    write_tensors(path, tensors, header)


def load_network(path: Path, generator: str) -> tuple[Backbone, DataStatistics]:
    """Read a network for sampling, and the statistics of its training data.

    Raises:
        InputError: not a checkpoint of this generator.
    """
    tensors, header = read_tensors(path)
    if header.get("format") != checkpoint_format(generator):
        raise InputError(f"{path}: format {header.get('format')!r} is not {checkpoint_format(generator)!r}")
    settings = json.loads(header["backbone"])
    if unknown := set(settings) - {field.name for field in fields(BackboneConfig)}:
        raise InputError(f"{path}: settings {sorted(unknown)} do not fit this program")
    statistics = {name.removeprefix("statistics."): t for name, t in tensors.items() if name.startswith("statistics.")}
    weights = {name: t.float() for name, t in tensors.items() if not name.startswith("statistics.")}
    with torch.random.fork_rng(devices=[]):  # reading a file must not move the caller's randomness
        network = Backbone(BackboneConfig(**settings))
    try:
        network.load_state_dict(weights)
        return network.eval(), DataStatistics(**statistics)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"{path}: weights do not fit the network: {error}") from error


def checkpoint_format(generator: str) -> str:
    """The `format` in the header of a generator's checkpoint."""
    return f"redoxa-{generator}-1"
