"""Models of formulas that are tables of numbers, in one file: safetensors, with the grammar in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from redoxa.data.errors import InputError
from redoxa.generators.checkpoint import checkpoint_format, read_tensors, write_tensors
from redoxa.generators.composition.grammar import Grammar

Array = NDArray[Any]


def save_arrays(path: Path, family: str, grammar: Grammar, arrays: Mapping[str, Array]) -> None:
    """Write what a model has learned.

    Args:
        path: file to write.
        family: name of the model in `families.FAMILIES`.
        grammar: of its formulas.
        arrays: what `load_arrays` gives back, by name.
    """
    header = {
        "format": checkpoint_format(f"composition-{family}"),
        "network": json.dumps({"grammar": asdict(grammar)}, sort_keys=True),
    }
    write_tensors(path, {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in arrays.items()}, header)


def load_arrays(path: Path, family: str, names: tuple[str, ...]) -> tuple[Grammar, list[Array]]:
    """The grammar of a file, and its arrays in the order of their names.

    Raises:
        InputError: not a file of this model.
    """
    tensors, header = read_tensors(path)
    wanted = checkpoint_format(f"composition-{family}")
    if header.get("format") != wanted:
        raise InputError(f"{path}: format {header.get('format')!r} is not {wanted!r}")
    try:
        grammar = json.loads(header["network"])["grammar"]
        whole = Grammar(tuple(grammar["elements"]), grammar["max_atoms"], grammar["slots"])
        return whole, [tensors[name].numpy() for name in names]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a whole file of {family} ({error})") from error
