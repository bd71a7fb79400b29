"""Whatever is done to a structure file, it is read or refused in words, in little time."""

from __future__ import annotations

from pathlib import Path

import pytest

from redoxa.data.io import cif_text, write_extxyz
from redoxa.data.structures import to_structure
from redoxa.data.tables.datasets import shared_dir
from redoxa.data.tables.prototypes import prototype
from tests.unit.data.formats.mistakes import read_all
from tests.unit.data.formats.test_cif import LAYERED
from tests.unit.data.formats.test_poscar import GOOD


def seeds(folder: Path) -> dict[str, str]:
    """Files of all formats, and where they are at hand those that failed once."""
    crystal = prototype("O3 LiCoO2").crystal
    write_extxyz(folder / "x.extxyz", [crystal] * 3, ["a", "b", "c"])
    found = {f"cif{i}.cif": text for i, text in enumerate(LAYERED.values())}
    found |= {f"poscar{i}.vasp": text for i, (text, _) in enumerate(GOOD.values())}
    found |= {"own.cif": cif_text(crystal), "x.extxyz": (folder / "x.extxyz").read_text()}
    found["x.json"] = to_structure(crystal).to_json()
    shared = shared_dir()
    cases = (shared / "cases" / "structures").glob("*.*") if shared is not None else ()
    return found | {path.name: path.read_text(encoding="utf-8", errors="replace") for path in cases}


@pytest.mark.parametrize("count", [4_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_mistakes_end_in_crystals_or_refusals(count: int, tmp_path: Path) -> None:
    read, refused, slowest_s = read_all(seeds(tmp_path), count, count, tmp_path)
    assert read > count / 50
    assert refused > count / 3
    assert slowest_s < 5  # processor time; nothing takes minutes
