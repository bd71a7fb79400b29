"""The table of electrode labels: what `screening.tables` finds when it takes the ions out of templates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from redoxa.data.errors import InputError

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


def write_labels(path: Path, labels: Iterable[ElectrodeLabel], table_sha256: str) -> None:
    """Write a table (parquet) for the templates with this digest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [asdict(label) for label in sorted(labels, key=lambda label: (label.ion, label.template))]
    schema = pa.schema(
        [("template", pa.int32()), ("ion", pa.int8()), ("voltage_V", pa.float32()), ("volume_change", pa.float32())],
        metadata={"templates_sha256": table_sha256},
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")


def read_labels(path: Path, table_sha256: str) -> list[ElectrodeLabel]:
    """Read the labels of the templates with this digest.

    Raises:
        InputError: the table cannot be read, or is of other templates.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
        rows = table.select([field.name for field in fields(ElectrodeLabel)]).to_pylist()
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: cannot be read as a table of electrode labels ({error})") from error
    if (table.schema.metadata or {}).get(b"templates_sha256", b"").decode() != table_sha256:
        raise InputError(f"{path}: labels of other templates; compute them with `redoxa reference electrodes`")
    return [ElectrodeLabel(**row) for row in rows]
