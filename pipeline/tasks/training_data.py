"""What `redoxa train` learns from, out of what a person has: structure files and folders, or a table of crystals."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from redoxa.data.errors import InputError, StructureError
from redoxa.data.io import read_each
from redoxa.data.progress import Watcher
from redoxa.data.provenance import sha256_of
from redoxa.data.records import Crystal
from redoxa.data.structures import primitive
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.skeletons import Template, template_of, write_templates
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.tables.crystals import TABLES, read_crystal_table
from redoxa.pipeline.tasks.screen import structure_files
from redoxa.screening.tables.skeleton_library import SYMPREC_A, add_template

LEAST_CRYSTALS = 8
"""Fewer are no distribution to learn."""

LEAST_FORMULAS = 2
"""Likewise of formulas, of which a dozen crystals may have three."""

CELLS, CRYSTALS, SEQUENCES, FORMULAS, MATERIALS = PREPARED = (
    "cells-data.safetensors",
    "data.safetensors",
    "sequences.safetensors",
    "formulas.safetensors",
    "materials.safetensors",
)
"""What is made of tables in the folder of a training, and used again."""

SHOWN = 10
"""Files that cannot be read which are named; of more, their number is said."""


def training_tables(
    paths: Sequence[Path], beside: Sequence[Path], out: Path, watcher: Watcher, several: bool = False
) -> list[Path]:
    """The tables of crystals or of templates, or the prepared file, to learn from; one, unless there may be several.

    Structure files become a table in the folder.

    Args:
        paths: that name the crystals.
        beside: other files that the training hangs on.
        out: its folder.
        watcher: is told which files are left out, and why.
        several: whether several tables may be named.

    Raises:
        InputError: nothing usable is named, or the folder holds a training on something else.
    """
    files = _source_files(paths, several)
    if missing := [path for path in beside if not path.exists()]:
        raise InputError(f"{missing[0]}: no such file")
    if len(files) != 1 or files[0] not in [out / name for name in PREPARED]:
        _remember_source([*files, *beside], out)
    return files if _is_table(files[0]) else [_table_of_files(files, out, watcher)]


def _remember_source(files: Sequence[Path], out: Path) -> None:
    """Keep in the folder what it learns from: a training never goes on from other data, nor from what they gave."""
    digest = hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()
    kept = out / "source.sha256"
    if kept.exists() and kept.read_text(encoding="utf-8") != digest:
        if (out / "train.safetensors").exists():
            raise InputError(f"{out}: holds a training on other data or begun with other weights; name another --out")
        for name in PREPARED:
            (out / name).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    kept.write_text(digest, encoding="utf-8")


def _source_files(paths: Sequence[Path], several: bool) -> list[Path]:
    """The files behind what was named: tables, a prepared file, or structure files and those in folders.

    Raises:
        InputError: a path is missing, a folder holds no structures, or a table is named beside something else.
    """
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    tables = [path for path in paths if _is_table(path)]
    apart = [path for path in tables if not several or path.suffix.lower() not in TABLES]
    if len(paths) > 1 and tables and (apart or len(tables) < len(paths)):
        first = (apart or tables)[0]
        raise InputError(f"{first}: is a table; name it alone, or structure files and folders without it")
    return tables or structure_files(paths)


def _is_table(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in (*TABLES, ".safetensors")


def _table_of_files(files: Sequence[Path], out: Path, watcher: Watcher) -> Path:
    """Write the primitive cells of structure files as ``crystals.parquet``; bad ones are named and left out.

    Raises:
        InputError: none can be read.
    """
    import pandas as pd

    rows, problems, remarks = [], [], Counter[str]()
    for done, file in enumerate(files, 1):
        for name, outcome in read_each(file):
            if isinstance(outcome, StructureError):
                problems.append(str(outcome))
                continue
            remarks.update(outcome.remarks)
            rows.append(_row(name, primitive(outcome.crystal)))
        watcher.on_progress("read", done, len(files))
    for problem in problems[:SHOWN]:
        watcher.note(f"left out {problem}")
    if len(problems) > SHOWN:
        watcher.note(f"left out {len(problems) - SHOWN} more that cannot be read")
    for remark, count in remarks.most_common(SHOWN):
        watcher.note(f"in {count} of {len(rows)} crystals: {remark}")
    if not rows:
        raise InputError(f"none of the {len(files)} files holds a crystal that can be used")
    watcher.note(f"{len(rows)} crystals read from {len(files)} files")
    out.mkdir(parents=True, exist_ok=True)
    path = out / "crystals.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def _row(name: str, crystal: Crystal) -> dict[str, object]:
    return {
        "material_id": name,
        "formula": crystal.formula,
        "atomic_numbers": list(crystal.numbers),
        "frac_coords": [x for row in crystal.frac_coords for x in row],
        "cell": [x for row in crystal.lattice_A for x in row],
    }


def template_table(table: Path, out: Path, watcher: Watcher) -> Path:
    """The table itself where it is one of templates; else that of its crystals.

    Raises:
        InputError: the table cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if table.suffix == ".safetensors":
        raise InputError(f"{table}: orbits and geometry learn from the crystals themselves, not from a prepared file")
    if table.suffix.lower() == ".parquet":
        try:
            if "letters" in pq.read_schema(table).names:
                return table
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(f"{table}: cannot be read as a table ({error})") from error
    return _table_of_templates(table, out, watcher)


def _table_of_templates(table: Path, out: Path, watcher: Watcher) -> Path:
    """Write the symmetric forms of a table's crystals as ``templates.parquet``; equal ones become one, counted.

    Raises:
        InputError: the table cannot be read, or has too few crystals.
    """
    found: dict[object, list[Template]] = defaultdict(list)
    crystals = read_crystal_table(table)
    for text in crystals.notes:
        watcher.note(f"{table}: {text}")
    failed = Counter[str]()
    for done, (_, row) in enumerate(crystals.frame.iterrows(), 1):
        crystal = Crystal(numbers=row["atomic_numbers"], frac_coords=row["frac_coords"], lattice_A=row["cell"])
        try:
            form = canonical(symmetric(crystal, SYMPREC_A))
        except StructureError as error:
            failed[str(error)] += 1
            continue
        add_template(found[form.group, tuple((o.letter, o.number) for o in form.orbits)], template_of(form))
        watcher.on_progress("symmetry", done, len(crystals.frame))
    for why, count in failed.most_common(SHOWN):
        watcher.note(f"{table}: left out {count} crystals, {why}")
    templates = [template for same in found.values() for template in same]
    enough(len(templates), table, "different crystals")
    watcher.note(f"{len(templates)} different crystals with a symmetric form, of {crystals.rows} in {table}")
    path = out / "templates.parquet"
    write_templates(path, templates)
    return path


def enough(count: int, where: Path, what: str = "crystals", least: int = LEAST_CRYSTALS) -> None:
    """Refuse to learn from almost nothing.

    Raises:
        InputError: there are fewer than `least`.
    """
    if count < least:
        raise InputError(f"{where}: {count} {what} are too few to learn from; {least} are needed at least")
