"""`redoxa generate`: a generator without a campaign."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from data.errors import GenerationError, InputError
from data.fingerprint import spacegroup
from data.io import cif_text, read_crystals, write_extxyz
from data.records import Crystal
from data.registry import load
from data.structures import density_g_cm3
from data.symmetric import LAST_GROUP, crystal_system
from generators import GENERATORS
from generators.base import TARGETS, CellContent, Condition, OnStep, Target
from pipeline.relaxer import SymmetricRelaxer, lend

MAX_ATOMS = 60
TABLE = "samples.csv"

CHUNK = 500
"""Samples that are generated and written together; bounds the memory of a large request."""


@dataclass(frozen=True)
class Request:
    """What `redoxa generate` was asked for."""

    n: int
    condition: Condition

    @classmethod
    def read(
        cls,
        *,
        n: int,
        elements: str | None,
        require: str | None,
        formula: str | None,
        compositions: Path | None,
        max_atoms: int,
        charge_neutral: bool,
        space_groups: str | None = None,
        like: Path | None = None,
        keep: str | None = None,
        drop: str | None = None,
        targets: Sequence[str] = (),
    ) -> Request:
        """Read the options of the command.

        Raises:
            InputError: which option cannot be used, and why.
        """
        if formula is not None and compositions is not None:
            raise InputError("--formula and --compositions exclude one another; give one of them")
        contents: tuple[CellContent, ...] = ()
        if compositions is not None:
            contents = read_compositions(compositions)
            n = len(contents)
        elif formula is not None:
            contents = _multiples(parse_formula(formula, "--formula"), n, max_atoms)
        allowed = parse_elements(elements, "--elements")
        required = parse_elements(require, "--require")
        for i, content in enumerate(contents):
            if allowed and not set(content) <= allowed:
                raise InputError(f"composition {i + 1} holds elements outside --elements {elements}")
        if allowed and not required <= allowed:
            raise InputError(f"--require {require} is not within --elements {elements}")
        condition = Condition(
            allowed=allowed,
            required=required,
            contents=contents,
            n_atoms=(min(2, max_atoms), max_atoms),
            charge_neutral=charge_neutral,
            groups=parse_groups(space_groups),
            like=None if like is None else read_like(like, parse_elements(drop, "--drop")),
            keep=parse_elements(keep, "--keep"),
            targets=tuple(parse_target(text) for text in targets),
        )
        if like is None and (keep or drop):
            raise InputError("--keep and --drop speak of a crystal: name its file with --like")
        if like is not None and contents:
            raise InputError("--like and given compositions exclude one another; give one of them")
        return cls(n, condition)


def parse_elements(text: str | None, where: str) -> frozenset[int]:
    """``Li,Fe,P,O`` as atomic numbers; empty where nothing is given."""
    symbols = [x.strip() for x in (text or "").split(",") if x.strip()]
    for symbol in symbols:
        if atomic_numbers.get(symbol, 0) < 1:
            raise InputError(f"{where}: '{symbol}' is not an element symbol; write for example Li,Fe,P,O")
    return frozenset(atomic_numbers[x] for x in symbols)


def parse_target(text: str) -> Target:
    """``average_voltage=3..4.5``; either end may be left out."""
    name, _, span = text.partition("=")
    ends = span.split("..") if ".." in span else ["?"]
    if name not in TARGETS:
        raise InputError(f"--target: '{name}' is none of {', '.join(TARGETS)}")
    try:
        low, high = (float(end) if end.strip() else None for end in ends)
    except ValueError:
        raise InputError(f"--target: '{text}' names no range; write for example {name}=1.5..3 or {name}=2..") from None
    if low is not None and high is not None and low > high:
        raise InputError(f"--target: '{text}' ends before it begins")
    return Target(name, low, high)


def parse_groups(text: str | None) -> frozenset[int]:
    """``62,166``, or a crystal system, ``cubic``, as numbers of space groups; empty where nothing is given."""
    found: set[int] = set()
    for word in (x.strip() for x in (text or "").split(",") if x.strip()):
        if word.isdecimal() and 1 <= int(word) <= 230:
            found.add(int(word))
        elif word in LAST_GROUP.values():
            found |= {group for group in range(1, 231) if crystal_system(group) == word}
        else:
            raise InputError(
                f"--space-groups: '{word}' is no number from 1 to 230 and none of {', '.join(LAST_GROUP.values())}"
            )
    return frozenset(found)


def read_like(path: Path, drop: frozenset[int]) -> Crystal:
    """The crystal of a file, without some of its elements."""
    crystals = read_crystals(path)
    if len(crystals) != 1:
        raise InputError(f"{path}: holds {len(crystals)} structures; --like takes a file with one")
    crystal = crystals[0].crystal
    sites = [i for i, z in enumerate(crystal.numbers) if z not in drop]
    if not sites:
        raise InputError(f"{path}: nothing is left of {crystal.formula} without --drop")
    return Crystal(
        numbers=tuple(crystal.numbers[i] for i in sites),
        frac_coords=[crystal.frac_coords[i] for i in sites],
        lattice_A=crystal.lattice_A,
    )


def parse_formula(text: str, where: str) -> CellContent:
    """Cell content of a formula of whole numbers, e.g. ``Li4Fe4P4O16`` or ``Na3V2(PO4)3``."""
    from pymatgen.core import Composition

    text = text.strip()
    if not re.fullmatch(r"[A-Za-z0-9()\[\]]+", text):
        raise InputError(f"{where}: '{text}' is not a formula; write for example LiFePO4")
    try:
        amounts = Composition(text).get_el_amt_dict()
    except (ValueError, KeyError) as error:
        raise InputError(f"{where}: '{text}' is not a formula: {error}") from None
    if unknown := [symbol for symbol in amounts if atomic_numbers.get(symbol, 0) < 1]:
        raise InputError(f"{where}: '{text}': {unknown[0]} is not an element")
    if not amounts or any(x != int(x) or x < 1 for x in amounts.values()):
        raise InputError(f"{where}: '{text}' must hold whole numbers of atoms")
    content = {atomic_numbers[symbol]: int(count) for symbol, count in amounts.items()}
    if sum(content.values()) > MAX_ATOMS:
        raise InputError(f"{where}: '{text}' has {sum(content.values())} atoms; at most {MAX_ATOMS} can be generated")
    return content


def read_compositions(path: Path) -> tuple[CellContent, ...]:
    """One exact cell content a line; empty lines and lines that begin with # are passed over."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    contents = tuple(
        parse_formula(line, f"{path}:{i}")
        for i, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    )
    if not contents:
        raise InputError(f"{path}: holds no compositions; write one a line, e.g. Li4Fe4P4O16")
    return contents


def _multiples(formula: CellContent, n: int, max_atoms: int) -> tuple[CellContent, ...]:
    """N cells of a formula: one, two, ... formula units in turn, as long as the cell stays small enough."""
    divisor = reduce(gcd, formula.values())
    unit = {z: count // divisor for z, count in formula.items()}
    most = max(1, max_atoms // sum(unit.values()))
    cells = [{z: count * k for z, count in unit.items()} for k in range(1, most + 1)]
    return tuple(cells[i % len(cells)] for i in range(n))


def sample_to_folder(
    name: str,
    request: Request,
    seed: int,
    out: Path,
    checkpoint: Path | None,
    energies: bool,
    on_step: Callable[[str, int, int], None],
) -> int:
    """Sample and write CIF files, samples.extxyz and samples.csv in one order; returns how many.

    Earlier samples in the folder stay until the new ones are complete. Files that are not ours stay for good.

    Raises:
        GenerationError: the generator cannot do what was asked.
        InputError: the folder holds other files already, and no samples.
    """
    _samples_of(out)
    generator = load(GENERATORS, "generator", name)(checkpoint)
    if energies:
        lend(generator, SymmetricRelaxer())
    # Given contents are asked for at once: the second request of one content gets the second answer.
    chunk = request.n if request.condition.contents else CHUNK
    crystals: list[Crystal] = []
    labels: list[str] = []
    for start in range(0, request.n, chunk):
        size = min(chunk, request.n - start)
        condition = _slice(request.condition, start, size)
        rng = np.random.default_rng([seed, start])
        step = _scaled(on_step, f"generate {name}", start, size, request.n)
        batch, words = generator.sample(size, condition, rng, step)
        crystals += batch.to_crystals()
        labels += words
    if len(crystals) != request.n:
        raise GenerationError(f"{name} gave {len(crystals)} of {request.n} samples")
    origin = {"generator": name, "seed": seed, "checkpoint_sha256": generator.checkpoint_sha256}
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        _write(Path(folder), crystals, labels, origin)
        _swap(Path(folder), out)
    return len(crystals)


def _samples_of(out: Path) -> list[Path]:
    """The CIF files that an earlier `samples.csv` in this folder names.

    Raises:
        InputError: the folder holds files, but no samples.
    """
    try:
        if not any(out.iterdir()):
            return []
        with (out / TABLE).open(encoding="utf-8", newline="") as table:
            names = [row["file"] for row in csv.DictReader(table)]
    except NotADirectoryError:
        raise InputError(f"{out}: is a file; give a folder") from None
    except FileNotFoundError:
        if not out.exists():
            return []
        raise InputError(f"{out}: is not empty and holds no samples of ours; give another folder") from None
    except (KeyError, UnicodeDecodeError, csv.Error):
        raise InputError(f"{out / TABLE}: is no table of samples of ours; give another folder") from None
    # A name with a folder in it is none that we wrote.
    return [out / name for name in names if name and Path(name).name == name]


def _swap(made: Path, out: Path) -> None:
    """Put new samples in the place of those in a folder; the table comes last, since it says what is ours."""
    old = _samples_of(out)
    out.mkdir(exist_ok=True)
    new = sorted(made.iterdir(), key=lambda path: path.name == TABLE)
    for file in new:
        file.replace(out / file.name)
    for file in set(old) - {out / path.name for path in new}:
        file.unlink(missing_ok=True)


def _scaled(on_step: Callable[[str, int, int], None], what: str, start: int, size: int, total: int) -> OnStep:
    """Progress within one chunk as progress of the whole."""

    def step(done: int, of: int) -> None:
        on_step(what, start + done * size // max(of, 1), total)

    return step


def _slice(condition: Condition, start: int, size: int) -> Condition:
    from dataclasses import replace

    return replace(condition, contents=condition.contents[start : start + size]) if condition.contents else condition


def _write(out: Path, crystals: list[Crystal], labels: list[str], origin: dict[str, object]) -> None:
    width = max(4, len(str(len(crystals))))
    rows = []
    for i, (crystal, label) in enumerate(zip(crystals, labels, strict=True)):
        file = f"{i:0{width}d}_{crystal.formula}.cif"
        (out / file).write_text(cif_text(crystal), encoding="utf-8")
        rows.append(
            {
                "index": i,
                "file": file,
                "formula": crystal.formula,
                "n_atoms": crystal.n_atoms,
                "space_group": spacegroup(crystal, 0.01) or 1,
                "density_g_cm3": round(density_g_cm3(crystal), 3),
                "label": label,
                **origin,
            }
        )
    write_extxyz(out / "samples.extxyz", crystals, [str(row["file"]) for row in rows])
    with (out / TABLE).open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
