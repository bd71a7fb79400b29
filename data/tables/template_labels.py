"""Tables of labels of the shipped templates, which `screening.tables` computes and generators learn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redoxa.data.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

RANGE_V = (-1.0, 6.0)
"""Voltages beyond are no electrode's: mostly hosts that fall apart."""


@dataclass(frozen=True)
class ElectrodeLabel:
    """What taking the ions out of a template gives.

    Attributes:
        template: place in the table of templates.
        ion: atomic number.
        voltage_V: against the metal of the ion, average over the removal of all ions.
        volume_change: relative, on charge; with its sign.
    """

    template: int
    ion: int
    voltage_V: float
    volume_change: float


@dataclass(frozen=True)
class StabilityLabel:
    """A template with elements on its orbits, and its distance from the hull of all other formulas.

    Attributes:
        template: place in the table of templates.
        numbers: atomic number on each of its orbits; its own, or others.
        above_hull_eV_per_atom: negative below the hull.
        phases: reference phases in its chemical system, those of its own formula left out.
        full_phases: those of them that hold all its elements; with none the distance is a weak bound.
    """

    template: int
    numbers: tuple[int, ...]
    above_hull_eV_per_atom: float
    phases: int
    full_phases: int


def write_electrode_labels(path: Path, labels: Iterable[ElectrodeLabel], table_sha256: str) -> None:
    """Write a table (parquet) for the templates with this digest."""
    import pyarrow as pa

    rows = sorted(labels, key=lambda label: (label.ion, label.template))
    types = {"template": pa.int32(), "ion": pa.int8(), "voltage_V": pa.float32(), "volume_change": pa.float32()}
    _write(path, map(asdict, rows), types, table_sha256)


def read_electrode_labels(path: Path, table_sha256: str) -> list[ElectrodeLabel]:
    """Read the labels of the templates with this digest.

    Raises:
        InputError: the table cannot be read, or is of other templates.
    """
    rows = _read(path, [field.name for field in fields(ElectrodeLabel)], table_sha256, "electrodes")
    return [ElectrodeLabel(**row) for row in rows]


def write_stability_labels(path: Path, labels: Iterable[StabilityLabel], table_sha256: str) -> None:
    """Write a table (parquet) for the templates with this digest."""
    import pyarrow as pa

    rows = sorted(labels, key=lambda label: (label.template, label.numbers))
    types = {
        "template": pa.int32(),
        "numbers": pa.list_(pa.uint8()),
        "above_hull_eV_per_atom": pa.float32(),
        "phases": pa.int16(),
        "full_phases": pa.int16(),
    }
    _write(path, map(asdict, rows), types, table_sha256)


def read_stability_labels(path: Path, table_sha256: str) -> list[StabilityLabel]:
    """Read the labels of the templates with this digest.

    Raises:
        InputError: the table cannot be read, or is of other templates.
    """
    rows = _read(path, [field.name for field in fields(StabilityLabel)], table_sha256, "stabilities")
    return [StabilityLabel(**row | {"numbers": tuple(row["numbers"])}) for row in rows]


def _write(path: Path, rows: Iterable[dict[str, Any]], types: Mapping[str, pa.DataType], table_sha256: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(list(types.items()), metadata={"templates_sha256": table_sha256})
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path, compression="zstd", compression_level=19)


def _read(path: Path, columns: list[str], table_sha256: str, command: str) -> list[dict[str, Any]]:
    """Rows of a table; `command` of `redoxa reference` computes it again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
        rows: list[dict[str, Any]] = table.select(columns).to_pylist()
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: cannot be read as a table of labels ({error})") from error
    if (table.schema.metadata or {}).get(b"templates_sha256", b"").decode() != table_sha256:
        raise InputError(f"{path}: labels of other templates; compute them with `redoxa reference {command}`")
    return rows
