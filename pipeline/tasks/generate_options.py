"""What a generator is asked for, read from what a person writes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ase.data import atomic_numbers, chemical_symbols

from redoxa.data.errors import InputError
from redoxa.data.io import read_crystals
from redoxa.data.records import Crystal
from redoxa.data.symmetry.skeletons import HEAVIEST
from redoxa.data.symmetry.symmetric import LAST_GROUP, crystal_system
from redoxa.generators.base import (
    TARGETS,
    CellContent,
    Condition,
    Target,
    cells_of,
)
from redoxa.generators.electrode import IONS

MAX_ATOMS, DRAWN_ATOMS = 60, 20
"""Largest cell that can be asked for, and the largest that is drawn where nothing is said."""

LONGEST_FORMULA = 200
"""Characters of a formula; far more than `MAX_ATOMS` atoms need."""


@dataclass(frozen=True)
class GenerateOptions:
    """What `redoxa generate` was asked for.

    Attributes:
        n: how many crystals.
        condition: what they must satisfy, and what they should aim at.
        formula: what the likeliest structures are asked of, in cells of every size that `condition` allows.
        notes: what the reader of a file had to assume.
    """

    n: int
    condition: Condition
    formula: CellContent | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def read(  # noqa: C901  (which options contradict one another, each with its own message)
        cls,
        *,
        n: int,
        elements: str | None,
        require: str | None,
        formula: str | None,
        compositions: Path | None,
        max_atoms: int | None,
        charge_neutral: bool,
        space_groups: str | None = None,
        like: Path | None = None,
        keep: str | None = None,
        drop: str | None = None,
        targets: Sequence[str] = (),
        another_polymorph: bool = False,
    ) -> GenerateOptions:
        """Read the options of the command.

        Raises:
            InputError: which option cannot be used, and why.
        """
        if formula is not None and compositions is not None:
            raise InputError("--formula and --compositions exclude one another; give one of them")
        contents: tuple[CellContent, ...] = ()
        unit: CellContent | None = None
        most = max_atoms or (DRAWN_ATOMS if formula is None else MAX_ATOMS)
        if compositions is not None:
            contents = read_compositions(compositions)
            n = len(contents)
        elif formula is not None:
            unit = parse_formula(formula, "--formula")
            if not cells_of(unit, most):
                raise InputError(f"--formula {formula}: one unit has more atoms than --max-atoms {most}")
        allowed = parse_elements(elements, "--elements")
        required = parse_elements(require, "--require")
        for i, content in enumerate(contents if unit is None else (unit,)):
            if allowed and not set(content) <= allowed:
                raise InputError(f"composition {i + 1} holds elements outside --elements {elements}")
        if allowed and not required <= allowed:
            raise InputError(f"--require {require} is not within --elements {elements}")
        host, notes = (None, ()) if like is None else read_like(like, parse_elements(drop, "--drop"))
        condition = Condition(
            allowed=allowed,
            required=required,
            contents=contents,
            n_atoms=(min(2, most), most),
            charge_neutral=charge_neutral and not contents and unit is None,
            groups=parse_groups(space_groups),
            unlike_known=another_polymorph,
            like=host,
            keep=parse_elements(keep, "--keep"),
            targets=tuple(parse_target(text) for text in targets),
        )
        if condition.of_electrode:
            condition = _of_electrode(condition)
        if another_polymorph and not contents and unit is None:
            raise InputError("--another-polymorph is of a known formula: name one with --formula or --compositions")
        if like is None and (keep or drop):
            raise InputError("--keep and --drop speak of a crystal: name its file with --like")
        if like is not None and (contents or unit):
            raise InputError("--like and given compositions exclude one another; give one of them")
        return cls(n, condition, unit, notes)


def _of_electrode(condition: Condition) -> Condition:
    """A condition that aims at a property of an electrode: working ions that nobody named are left out.

    Raises:
        InputError: not one working ion is required.
    """
    if len(ions := condition.required & IONS) != 1:
        found = ", ".join(chemical_symbols[z] for z in sorted(ions)) or "none"
        raise InputError(
            f"--target: is of an electrode; name its one working ion with --require, e.g. --require Li (found: {found})"
        )
    if condition.allowed:
        return condition
    named = condition.required | condition.keep
    return replace(condition, allowed=frozenset(range(1, HEAVIEST + 1)) - (IONS - named))


def parse_elements(text: str | None, where: str) -> frozenset[int]:
    """``Li,Fe,P,O`` as atomic numbers; empty where nothing is given."""
    symbols = [x.strip() for x in (text or "").split(",") if x.strip()]
    for symbol in symbols:
        if not _can_be_generated(symbol):
            raise InputError(f"{where}: '{symbol}' is not an element symbol up to Lr; write for example Li,Fe,P,O")
    return frozenset(atomic_numbers[x] for x in symbols)


def _can_be_generated(symbol: str) -> bool:
    return bool(1 <= atomic_numbers.get(symbol, 0) <= HEAVIEST)


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
    if not all(math.isfinite(end) for end in (low, high) if end is not None):
        raise InputError(f"--target: '{text}' must have finite ends; leave one out where none is, e.g. {name}=2..")
    if low is None and high is None:
        raise InputError(f"--target: '{text}' names neither end; write for example {name}=1.5..3 or {name}=2..")
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


def read_like(path: Path, drop: frozenset[int]) -> tuple[Crystal, tuple[str, ...]]:
    """The crystal of a file, without some of its elements, and what its reader had to assume."""
    found = read_crystals(path)
    if len(found) != 1:
        raise InputError(f"{path}: holds {len(found)} structures; --like takes a file with one")
    crystal = found[0].crystal
    sites = [i for i, z in enumerate(crystal.numbers) if z not in drop]
    if not sites:
        raise InputError(f"{path}: nothing is left of {crystal.formula} without --drop")
    left = Crystal(
        numbers=tuple(crystal.numbers[i] for i in sites),
        frac_coords=[crystal.frac_coords[i] for i in sites],
        lattice_A=crystal.lattice_A,
    )
    return left, tuple(f"{path}: {remark}" for remark in found[0].remarks)


def parse_formula(text: str, where: str) -> CellContent:
    """Cell content of a formula of whole numbers, e.g. ``Li4Fe4P4O16`` or ``Na3V2(PO4)3``."""
    from pymatgen.core import Composition

    text = text.strip()
    if len(text) > LONGEST_FORMULA:
        raise InputError(
            f"{where}: '{text[:20]}...' has {len(text)} characters; a formula has at most {LONGEST_FORMULA}"
        )
    if not re.fullmatch(r"[A-Za-z0-9()\[\]]+", text):
        raise InputError(f"{where}: '{text}' is not a formula; write for example LiFePO4")
    try:
        amounts = Composition(text).get_el_amt_dict()
    except (ValueError, KeyError) as error:
        raise InputError(f"{where}: '{text}' is not a formula: {error}") from None
    if unknown := [symbol for symbol in amounts if not _can_be_generated(symbol)]:
        raise InputError(f"{where}: '{text}': {unknown[0]} is not an element up to Lr")
    if not amounts or any(not math.isfinite(x) or x != int(x) or x < 1 for x in amounts.values()):
        raise InputError(f"{where}: '{text}' must hold whole numbers of atoms")
    if (atoms := sum(amounts.values())) > MAX_ATOMS:
        raise InputError(f"{where}: '{text}' has {atoms:.6g} atoms; at most {MAX_ATOMS} can be generated")
    return {atomic_numbers[symbol]: int(count) for symbol, count in amounts.items()}


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
