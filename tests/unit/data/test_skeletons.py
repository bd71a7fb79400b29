"""The table of templates: what is written is what is read, and equal crystals count once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from redoxa.data.errors import InputError
from redoxa.data.fingerprint import distance, fingerprint
from redoxa.data.symmetry.normaliser import canonical
from redoxa.data.symmetry.skeletons import load_templates, template_of, write_templates
from redoxa.data.symmetry.symmetric import symmetric
from redoxa.data.tables.prototypes import load_prototypes, prototype


def test_templates_survive_the_file(tmp_path: Path) -> None:
    crystals = [entry.crystal for entry in load_prototypes()[:20]]
    path = tmp_path / "templates.parquet"
    assert write_templates(path, [template_of(canonical(symmetric(c)), i + 1) for i, c in enumerate(crystals)]) == 20
    read = {t.count: t for t in load_templates(path)}
    for i, crystal in enumerate(crystals):
        template = read[i + 1]
        assert distance(fingerprint(template.form.to_crystal()), fingerprint(crystal)) < 0.01
        assert sum(template.atoms) == sum(template.composition.values()) == template.form.to_crystal().n_atoms
        assert template.volume_A3 == pytest.approx(template.form.to_crystal().volume_A3, rel=1e-4)


def test_a_skeleton_forgets_the_elements_and_nothing_else() -> None:
    cobalt, chromium = (template_of(canonical(symmetric(prototype(n).crystal))) for n in ("O3 NaCoO2", "O3 NaCrO2"))
    spinel = template_of(canonical(symmetric(prototype("lithiated spinel Li7Ti5O12").crystal)))
    assert cobalt.skeleton == chromium.skeleton != spinel.skeleton
    assert cobalt.composition != chromium.composition


def test_the_columns_say_what_the_templates_say() -> None:
    table = load_templates()
    assert len(table) > 10_000
    groups = set()
    for i in range(0, len(table), 97):
        template = table[i]
        groups.add(template.form.group)
        row = table.compositions[i]
        assert {int(z): int(row[z]) for z in np.flatnonzero(row)} == template.composition
        assert table.volumes_A3[i] == pytest.approx(template.volume_A3, rel=1e-6)
        assert table.counts[i] == template.count
    assert len(groups) > 30


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "templates.parquet"
    write_templates(path, [template_of(canonical(symmetric(prototype("O3 NaCoO2").crystal)))])
    assert load_templates(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("column", "value"),
    [("letters", "ab"), ("atoms", [1]), ("cell", [3.0, 3.0, 90.0]), ("group", 231), ("numbers", [11, 27, 104])],
)
def test_a_row_that_does_not_fit_is_refused(tmp_path: Path, column: str, value: object) -> None:
    path = tmp_path / "templates.parquet"
    write_templates(path, [template_of(canonical(symmetric(prototype("O3 NaCoO2").crystal)))])
    table = pq.ParquetFile(path).read()
    index = table.schema.get_field_index(column)
    bad = pa.array([value], type=table.schema.field(column).type)
    pq.write_table(table.set_column(index, table.schema.field(column), bad), path)
    with pytest.raises(InputError, match="template"):
        load_templates(path)


def test_another_file_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_text("nothing")
    with pytest.raises(InputError, match="table of templates"):
        load_templates(path)
