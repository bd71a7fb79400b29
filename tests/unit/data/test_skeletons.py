"""The table of templates: what is written is what is read, and equal crystals count once."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import InputError
from data.fingerprint import distance, fingerprint
from data.normaliser import canonical
from data.prototypes import load_prototypes, prototype
from data.skeletons import load_templates, template_of, write_templates
from data.symmetric import symmetric


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


def test_another_file_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_text("nothing")
    with pytest.raises(InputError, match="table of templates"):
        load_templates(path)
