"""The table of stability labels: how far decorated templates lie above the hull, by `screening.tables`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from redoxa.data.errors import InputError


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


def write_stabilities(path: Path, labels: Iterable[StabilityLabel], table_sha256: str) -> None:
    """Write a table (parquet) for the templates with this digest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [asdict(label) for label in sorted(labels, key=lambda label: (label.template, label.numbers))]
    schema = pa.schema(
        [
            ("template", pa.int32()),
            ("numbers", pa.list_(pa.uint8())),
            ("above_hull_eV_per_atom", pa.float32()),
            ("phases", pa.int16()),
            ("full_phases", pa.int16()),
        ],
        metadata={"templates_sha256": table_sha256},
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd", compression_level=19)


def read_stabilities(path: Path, table_sha256: str) -> list[StabilityLabel]:
    """Read the labels of the templates with this digest.

    Raises:
        InputError: the table cannot be read, or is of other templates.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
        rows = table.select([field.name for field in fields(StabilityLabel)]).to_pylist()
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: cannot be read as a table of stability labels ({error})") from error
    if (table.schema.metadata or {}).get(b"templates_sha256", b"").decode() != table_sha256:
        raise InputError(f"{path}: labels of other templates; compute them with `redoxa reference stabilities`")
    return [StabilityLabel(**row | {"numbers": tuple(row["numbers"])}) for row in rows]
