"""True structures that a prediction is held against, and which samples answer which of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from redoxa.data.errors import InputError
from redoxa.data.fingerprint import SAME_UNRELAXED, fingerprint
from redoxa.data.progress import OnStep
from redoxa.data.records import Crystal
from redoxa.data.tables.known_materials import KnownMaterials
from redoxa.generators.base import CellContent
from redoxa.generators.evaluate.novelty import novelty
from redoxa.generators.evaluate.table import Sample
from redoxa.pipeline.evaluate.sources import Drawer, Drawn, Source, read_files

_SUFFIX = re.compile(r"[._#-]\d+$")


@dataclass(frozen=True)
class Truths:
    """True structures.

    Attributes:
        names: of each, unique.
        crystals: of each.
        places: of each in the file or folder it came from.
        total: how many that file or folder holds.
        text: where they come from, in words.
    """

    names: tuple[str, ...]
    crystals: tuple[Crystal, ...]
    places: tuple[int, ...]
    total: int
    text: str


def read_truths(path: Path, n: int, seed: int) -> Truths:
    """At most n true structures, drawn at random where there are more.

    Args:
        path: parquet with atomic_numbers, frac_coords and cell (row vectors, Angstrom); a prepared .safetensors file,
            of which only the held-out crystals count; or a file or folder of structures.
        n: how many.
        seed: of the draw.

    Raises:
        InputError: nothing usable is there.
    """
    if not path.exists():
        raise InputError(f"--truth {path}: no such file or folder")
    if path.suffix == ".parquet":
        named = _from_parquet(path)
        what = "crystals"
    elif path.suffix == ".safetensors":
        named = _held_out(path)
        what = "held-out crystals"
    else:
        named = [(s.name, s.crystal) for s in read_files(path).samples if s.crystal is not None]
        what = "readable structures"
    if not named:
        raise InputError(f"--truth {path}: holds no usable structure")
    places = list(range(len(named)))
    if len(named) > n:
        places = sorted(np.random.default_rng(seed).choice(len(named), n, replace=False).tolist())
    text = f"{len(places)} of the {len(named)} {what} in {path.name}"
    names, crystals = zip(*(named[i] for i in places), strict=True)
    return Truths(names, crystals, tuple(places), len(named), text)


def _from_parquet(path: Path) -> list[tuple[str, Crystal]]:
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
        rows = zip(frame["atomic_numbers"], frame["frac_coords"], frame["cell"], strict=True)
        names = frame["material_id"].astype(str) if "material_id" in frame else frame.index.astype(str)
        return [(name, _crystal(*row)) for name, row in zip(names, rows, strict=True)]
    except (OSError, ValueError) as error:
        raise InputError(f"--truth {path}: cannot be read as a table of crystals ({error})") from None
    except KeyError as error:
        raise InputError(
            f"--truth {path}: lacks the column {error}; wanted are atomic_numbers (N), frac_coords (3N) and cell (9)"
        ) from None


def _crystal(numbers: Sequence[int], frac: Sequence[float], cell: Sequence[float]) -> Crystal:
    coords = np.asarray(frac, dtype=float).reshape(-1, 3)
    lattice = np.asarray(cell, dtype=float).reshape(3, 3)
    return Crystal(numbers=numbers, frac_coords=coords.tolist(), lattice_A=lattice.tolist())


def _held_out(path: Path) -> list[tuple[str, Crystal]]:
    from redoxa.data.tables.datasets import load

    data = load(path)
    places = np.flatnonzero(data.held_out)
    kept = data.subset(data.held_out)
    return [
        (str(i), _crystal(z.tolist(), f.ravel().tolist(), c.ravel().tolist()))
        for i, (z, f, c) in zip(places, kept, strict=True)
    ]


def known_share(truths: Truths, known: KnownMaterials) -> float:
    """Share of the truths that the shipped table of known materials holds: what a generator may have seen."""
    marks = [fingerprint(crystal) for crystal in truths.crystals]
    return sum(novelty(mark, known, SAME_UNRELAXED).structure == "known" for mark in marks) / len(marks)


@dataclass(frozen=True)
class Answered:
    """Samples and which of them answer each truth.

    Attributes:
        drawn: all samples.
        answers: for each truth the places of its answers among them, the likeliest first; None for a missing one.
    """

    drawn: Drawn
    answers: tuple[tuple[int | None, ...], ...]

    def crystals(self) -> list[list[Crystal | None]]:
        """The answers themselves."""
        samples = self.drawn.samples
        return [[None if i is None else samples[i].crystal for i in row] for row in self.answers]


def ask_generator(drawer: Drawer, source: Source, truths: Truths, k: int, on_step: OnStep) -> Answered:
    """Ask a generator for each truth's exact content.

    Truths of one content (polymorphs) share its first k answers, as if each had been asked for alone; the generator
    still gives k answers a truth, so that METRe sees as many samples as there are truths times k.
    """
    keys = [tuple(sorted(_content(c).items())) for c in truths.crystals]
    order = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    counts = np.bincount([order[key] for key in keys]) * k
    drawn = drawer.answer(source, [(dict(key), int(counts[i])) for key, i in order.items()], on_step)
    starts = np.concatenate([[0], np.cumsum(counts)])
    answers = tuple(tuple(int(starts[order[key]]) + j for j in range(k)) for key in keys)
    return Answered(drawn, answers)


def _content(crystal: Crystal) -> CellContent:
    return {int(z): int(n) for z, n in zip(*np.unique(crystal.numbers, return_counts=True), strict=True)}


def pair_files(source: Source, drawn: Drawn, truths: Truths, k: int) -> Answered:
    """Pair the structures of files with the truths: by name where names agree, else in order, k after k.

    Raises:
        InputError: neither fits.
    """
    by_name = _by_name(drawn.samples, truths.names, k)
    if by_name is not None:
        return Answered(drawn, by_name)
    for count, places in ((len(truths.names), range(len(truths.names))), (truths.total, truths.places)):
        if len(drawn.samples) == k * count:
            return Answered(drawn, tuple(tuple(k * i + j for j in range(k)) for i in places))
    raise InputError(
        f"{source.name}: {len(drawn.samples)} structures are no {k} answers to each of {truths.total} truths in order, "
        "and their names are none of the truths'. Name the files as the truths (mp-1.cif, or mp-1_0.cif, mp-1_1.cif), "
        "or set --samples-per-composition"
    )


def _by_name(samples: Sequence[Sample], names: Sequence[str], k: int) -> tuple[tuple[int | None, ...], ...] | None:
    """Places of the answers by file name without ending, with or without a number behind it; None where none agrees."""
    found: dict[str, list[int]] = {}
    wanted = {_stem(name) for name in names}
    for i, sample in enumerate(samples):
        stem = _stem(sample.name)
        key = stem if stem in wanted else _SUFFIX.sub("", stem)
        found.setdefault(key, []).append(i)
    if not any(_stem(name) in found for name in names):
        return None
    rows = [found.get(_stem(name), [])[:k] for name in names]
    return tuple((*row, *[None] * (k - len(row))) for row in rows)


def _stem(name: str) -> str:
    """File name without folder and ending: ``sub/mp-1.cif#3`` as ``mp-1#3``."""
    file, hash_, number = Path(name).name.partition("#")
    return re.sub(r"\.(cif|extxyz|xyz|vasp|poscar|json)$", "", file, flags=re.IGNORECASE) + hash_ + number
