"""Which symmetry operations a CIF means: by its list of them, by its Hall symbol, or by name and number of the group.

A name alone may leave the setting open (origin choice, axes of a rhombohedral cell). Every setting that it can mean is
a candidate then, and the content of the cell has to decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import gemmi
import numpy as np
import numpy.typing as npt

from redoxa.data.errors import StructureError
from redoxa.data.formats.cif_block import Block

FloatArray = npt.NDArray[np.float64]

METRIC_TOLERANCE = 0.01
"""Relative, of the metric tensor, by which a cell may miss the symmetry."""

MOST_OPERATIONS = 768
LARGEST_DENOMINATOR = 12

NAMES = (
    "_symmetry_space_group_name_h-m", "_space_group_name_h-m_alt", "_space_group_name_h-m_full",
    "_space_group_name_h-m_ref", "_space_group_name_h-m",
)  # fmt: skip
HALL = ("_symmetry_space_group_name_hall", "_space_group_name_hall")
NUMBERS = ("_symmetry_int_tables_number", "_space_group_it_number")
OPERATIONS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")

_TERM = re.compile(r"([+-]?)(?:(\d+(?:\.\d*)?|\.\d+)(?:/(\d+))?)?\*?([xyz]?)")


@dataclass(frozen=True)
class Setting:
    """A space group in one setting.

    Attributes:
        name: for people.
        number: of the group; 0 where it is not known.
        rotations: [m,3,3], acting on fractional columns.
        translations: [m,3].
    """

    name: str
    number: int
    rotations: FloatArray
    translations: FloatArray

    def fits(self, lattice_A: Sequence[Sequence[float]]) -> bool:
        """Whether a cell has this symmetry."""
        metric = np.array(lattice_A) @ np.array(lattice_A).T
        turned = np.swapaxes(self.rotations, 1, 2) @ metric @ self.rotations
        lengths = np.sqrt(np.diag(metric))
        return bool((np.abs(turned - metric) <= METRIC_TOLERANCE * np.outer(lengths, lengths)).all())


@dataclass(frozen=True)
class Meant:
    """Settings that a block can mean.

    Attributes:
        settings: one at least.
        doubt: why the content of the cell has to decide between them, or to confirm the only one; empty where the
            block is clear.
        number: of the group that is named; 0 where none is.
        needs_count: whether the number of atoms has to be confirmed, not their ratio alone.
        one_group: whether they differ in origin or axes only, so that the cell may decide.
    """

    settings: tuple[Setting, ...]
    doubt: str = ""
    number: int = 0
    needs_count: bool = False
    one_group: bool = False


P1 = Setting("P 1", 1, np.eye(3)[None], np.zeros((1, 3)))


def meant_symmetry(block: Block, lattice_A: Sequence[Sequence[float]]) -> Meant:
    """The settings a block can mean, those left out that its cell does not have.

    Raises:
        StructureError: no symmetry that can be read and that the cell has.
    """
    found = _stated(block)
    fitting = tuple(s for s in found.settings if s.fits(lattice_A))
    if not fitting:
        names = " or ".join(dict.fromkeys(s.name for s in found.settings))
        raise StructureError(f"its cell does not have the symmetry {names}; lengths, angles or the symbol are wrong")
    decided = found.one_group and len(fitting) == 1
    return replace(found, settings=fitting, doubt="" if decided else found.doubt)


def _stated(block: Block) -> Meant:
    name, hall, number = block.value(*NAMES), block.value(*HALL), _number(block.value(*NUMBERS))
    named = _by_name(name, block.value("_space_group_it_coordinate_system_code")) if name else ()
    numbered = _by_number(number)
    listed = [op for op in block.column(*OPERATIONS) if op is not None]
    numbers = {s.number for s in (*named, *numbered)}
    if listed:
        return _by_operations(listed, (*named, *numbered), numbers)
    if hall is not None and (setting := _by_hall(hall)) is not None:
        if numbers - {setting.number}:
            doubt = f"its Hall symbol {hall} and its space group {name or number} contradict one another"
            return Meant((setting, *named, *numbered), doubt)
        return Meant((setting,))
    if name and not named:
        doubt = f"its space group '{name[:40]}' is none that is known, and it lists no operations"
        if not numbered:
            raise StructureError(f"{doubt}: its symmetry is not known")
        return Meant(numbered, doubt)
    if len(numbers) > 1:
        return Meant((*named, *numbered), f"its space group {name} and its number {number} contradict one another")
    settings = named or numbered
    if not settings:
        return Meant(
            (P1,),
            "it does not say its symmetry; if it lists every atom of the cell, "
            "add the line _symmetry_space_group_name_H-M 'P 1'",
            needs_count=True,
        )
    if len(settings) == 1:
        return Meant(settings)
    choices = " or ".join(f"'{s.name}'" for s in settings)
    doubt = f"its space group {name or number} can mean {choices}; write which, or list the operations"
    return Meant(settings, doubt, one_group=True)


def _number(text: str | None) -> int:
    """Number of a space group; 0 where none is given."""
    return int(text) if text is not None and text.isdigit() and len(text) < 4 and 1 <= int(text) <= 230 else 0


def _by_name(name: str, code: str | None) -> tuple[Setting, ...]:
    """Settings that a symbol can mean; ``:1 :2 :H :R`` say which, as do ``1 2 S Z H R`` behind a space."""
    text = name.replace("_", "").strip()
    old = re.sub(r"[\s:]+[sS1]$", ":1", re.sub(r"[\s:]+[zZ2]$", ":2", text))
    group = gemmi.find_spacegroup_by_name(text) or gemmi.find_spacegroup_by_name(old)
    if group is None:
        return ()
    if group.ext and not old.upper().endswith(group.ext):
        both = [g for g in gemmi.spacegroup_table() if g.hm == group.hm and g.ext]
        coded = [g for g in both if code is not None and g.ext == code.strip().upper()]
        return tuple(_setting(g) for g in coded or both)
    return (_setting(group),)


def _by_number(number: int) -> tuple[Setting, ...]:
    """Settings that the number alone can mean: the standard one, with either origin or axes."""
    if not number:
        return ()
    group = gemmi.find_spacegroup_by_number(number)
    return tuple(_setting(g) for g in gemmi.spacegroup_table() if g.hm == group.hm)


def _by_hall(symbol: str) -> Setting | None:
    try:
        operations = gemmi.symops_from_hall(symbol)
    except (RuntimeError, ValueError):
        return None
    group = gemmi.find_spacegroup_by_ops(operations)
    return _from_gemmi(symbol, group.number if group else 0, operations)


def _setting(group: gemmi.SpaceGroup) -> Setting:
    return _from_gemmi(group.xhm(), group.number, group.operations())


def _from_gemmi(name: str, number: int, operations: gemmi.GroupOps) -> Setting:
    pairs = [(op.rot, op.tran) for op in operations]
    rotations, translations = (np.array(x, dtype=float) / gemmi.Op.DEN for x in zip(*pairs, strict=True))
    return Setting(name, number, rotations, translations)


def _by_operations(listed: Sequence[str], named: tuple[Setting, ...], numbers: set[int]) -> Meant:
    """The listed operations, where they do not contradict the name; else both are candidates."""
    if len(listed) > MOST_OPERATIONS:
        raise StructureError(f"lists {len(listed)} operations; at most {MOST_OPERATIONS} make a space group of a cell")
    unique = dict.fromkeys(_operation(text) for text in listed)
    rotations = np.array([rotation for rotation, _ in unique], dtype=float)
    translations = np.array([[float(t) for t in shift] for _, shift in unique])
    own = Setting("of its operations", _group_number(rotations, translations), rotations, translations)
    if not numbers or own.number in numbers or not own.number:
        return Meant((own,))
    names = " or ".join(dict.fromkeys(s.name for s in named))
    doubt = f"its operations make space group {own.number}, its symbol says {names}"
    return Meant((own, *named), doubt, number=min(numbers) if len(numbers) == 1 else 0)


def _operation(text: str) -> tuple[tuple[tuple[int, ...], ...], tuple[Fraction, ...]]:
    """``-y+1/3, x-y, z+0.5`` as rows of a rotation and a translation.

    Raises:
        StructureError: it is none.
    """
    parts = text.lower().replace(" ", "").strip("'\"").split(",")
    if len(parts) != 3:
        raise StructureError(f"the operation '{text[:60]}' has not three parts")
    rotation, shift = [], []
    for part in parts:
        row, constant, at = [0, 0, 0], Fraction(0), 0
        while at < len(part):
            term = _TERM.match(part, at)
            if term is None or term.end() == at or not (term[2] or term[4]):
                raise StructureError(f"the operation '{text[:60]}' cannot be read")
            size = Fraction(term[2][:12] or "0") if term[2] else Fraction(1)
            if term[3]:
                size /= int(term[3][:6]) or 1
            size = -size if term[1] == "-" else size
            if term[4]:
                if size.denominator != 1 or abs(size) > 2:
                    raise StructureError(f"the operation '{text[:60]}' is no operation of a space group")
                row["xyz".index(term[4])] += int(size)
            else:
                constant += size
            at = term.end()
        rotation.append(tuple(row))
        shift.append(constant.limit_denominator(LARGEST_DENOMINATOR) % 1)
    if abs(round(float(np.linalg.det(np.array(rotation, dtype=float))))) != 1:
        raise StructureError(f"the operation '{text[:60]}' is no operation of a space group")
    return tuple(rotation), tuple(shift)


def _group_number(rotations: FloatArray, translations: FloatArray) -> int:
    """Number of the space group that operations make; 0 where it is not found.

    Raises:
        StructureError: they make no group.
    """
    import spglib

    have = _keys(rotations, translations)
    for rotation, translation in zip(rotations, translations, strict=True):
        if not _keys(rotation @ rotations, translations @ rotation.T + translation) <= have:
            raise StructureError("its operations make no group: one is missing or mistyped")
    try:
        found = spglib.get_spacegroup_type_from_symmetry(rotations.astype("intc"), translations)
    except spglib.SpglibError:
        return 0
    return 0 if found is None else int(found.number)


def _keys(rotations: FloatArray, translations: FloatArray) -> set[bytes]:
    """Operations as comparable keys, translations within one cell and to 1/840."""
    shifts = np.rint(translations * 840).astype(np.int64) % 840
    rows: Iterable[npt.NDArray[np.int64]] = np.concatenate(
        [np.rint(rotations).astype(np.int64).reshape(len(rotations), 9), shifts], axis=1
    )
    return {row.tobytes() for row in rows}
