"""Labels of stability come back as they were written, and only for their templates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from redoxa.data.errors import InputError
from redoxa.data.shipped import shipped
from redoxa.data.symmetry.skeletons import load_templates
from redoxa.data.tables.template_labels import StabilityLabel, read_stability_labels, write_stability_labels


def test_there_and_back(tmp_path: Path) -> None:
    labels = [StabilityLabel(5, (3, 8), 0.0213, 7, 2), StabilityLabel(2, (3, 27, 8), -0.4, 3, 0)]
    write_stability_labels(tmp_path / "labels.parquet", labels, "abc")
    first, second = read_stability_labels(tmp_path / "labels.parquet", "abc")
    assert (first.template, first.numbers, first.phases, first.full_phases) == (2, (3, 27, 8), 3, 0)
    assert second.above_hull_eV_per_atom == pytest.approx(0.0213)
    with pytest.raises(InputError, match="other templates"):
        read_stability_labels(tmp_path / "labels.parquet", "def")
    (tmp_path / "labels.parquet").write_text("nothing")
    with pytest.raises(InputError, match="cannot be read"):
        read_stability_labels(tmp_path / "labels.parquet", "abc")


def test_the_shipped_labels_fit_the_shipped_templates() -> None:
    table = load_templates()
    labels = read_stability_labels(shipped("stability_labels.parquet"), table.sha256)
    orbits = np.diff(table.first_orbit)
    assert all(len(label.numbers) == orbits[label.template] for label in labels)
    assert len({(label.template, label.numbers) for label in labels}) == len(labels)
    new = sum(
        tuple(table.orbit_numbers[table.first_orbit[x.template] :][: len(x.numbers)].tolist()) != x.numbers
        for x in labels
    )
    assert new > 1000
