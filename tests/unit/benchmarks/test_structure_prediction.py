"""The numbers of structure prediction: what each is a share of, and that nothing is relaxed twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.structure_prediction import HeldOut, KeptRelaxer, formula_key, numbers_of
from redoxa.data.records import Crystal
from redoxa.data.symmetry.skeletons import load_templates, template_of, write_templates
from redoxa.data.symmetry.symmetric import SymmetricCrystal, symmetric
from redoxa.generators.evaluate.matching import compare


def cubic(numbers: tuple[int, int], at: float, length_A: float) -> Crystal:
    """Two atoms, the second at (at, at, at)."""
    lattice = (np.eye(3) * length_A).tolist()
    return Crystal(numbers=numbers, frac_coords=[(0.0, 0.0, 0.0), (at, at, at)], lattice_A=lattice)


def rock_salt(numbers: tuple[int, int], length_A: float) -> Crystal:
    lattice = (length_A / 2 * (1 - np.eye(3))).tolist()
    return Crystal(numbers=numbers, frac_coords=[(0.0, 0.0, 0.0), (0.5, 0.5, 0.5)], lattice_A=lattice)


TRUTHS = [
    cubic((55, 17), 0.5, 4.12),
    rock_salt((55, 17), 7.0),
    rock_salt((55, 17), 7.05),  # the same once more
    rock_salt((11, 17), 5.6),
]


@pytest.fixture
def held(tmp_path: Path) -> HeldOut:
    """The memory holds caesium chloride, and no other."""
    path = tmp_path / "memory.parquet"
    write_templates(path, [template_of(symmetric(TRUTHS[0]))])
    return HeldOut.of(TRUTHS, load_templates(path))


def test_what_each_number_is_a_share_of(held: HeldOut) -> None:
    assert held.unknown == [False, False, False, True]
    assert held.polymorphs == [[0, 1]]
    wrong, right = cubic((11, 17), 0.5, 3.5), TRUTHS[3]
    answers = [[TRUTHS[1], TRUTHS[0]]] * 3 + [[wrong, right]]
    values = list(numbers_of(compare(TRUTHS, answers), held).values())
    assert [(value.value, value.of) for value in values] == [(0.5, 4), (0.0, 1), (1.0, 2)]
    assert all(value.low is not None and value.high is not None for value in values)


def test_the_formula_of_a_content_is_reduced() -> None:
    assert formula_key({8: 4, 3: 2, 27: 2}) == ((3, 1), (8, 2), (27, 1))


def test_what_was_relaxed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forms = [symmetric(TRUTHS[0]), symmetric(TRUTHS[3])]
    file = tmp_path / "relaxed.jsonl"
    first = KeptRelaxer(file)
    found = first(forms[:1])
    assert found[0] is not None
    assert first.spared_s == 0.0
    with file.open("a") as sink:
        sink.write('{"form": "cut sho')  # killed while writing
    asked: list[SymmetricCrystal] = []
    monkeypatch.setattr("benchmarks.structure_prediction.relax_many", lambda forms: asked.extend(forms) or ())
    again = KeptRelaxer(file)
    assert again(forms[:1]) == found
    assert again.spared_s > 0
    assert not asked
    with pytest.raises(KeyError):
        again(forms)
    assert asked == forms[1:]
