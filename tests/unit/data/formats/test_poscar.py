"""POSCAR: symbols, scale factors, kinds of coordinates."""

from __future__ import annotations

import pytest

from redoxa.data.errors import StructureError
from redoxa.data.formats.found import Reading
from redoxa.data.formats.poscar import read_poscar

LATTICE = "2.8155 0 0\n-1.40775 2.438294 0\n0 0 14.0542"
PLACES = """0 0 0.5
0.666667 0.333333 0.833333
0.333333 0.666667 0.166667
0 0 0
0.666667 0.333333 0.333333
0.333333 0.666667 0.666667
0 0 0.2605
0.666667 0.333333 0.593833
0.333333 0.666667 0.927167
0 0 0.7395
0.666667 0.333333 0.072833
0.333333 0.666667 0.406167"""


def poscar(
    comment="LiCoO2", scale="1.0", symbols="Li Co O\n", counts="3 3 6", mode="Direct", places=PLACES, lattice=LATTICE
):
    return f"{comment}\n{scale}\n{lattice}\n{symbols}{counts}\n{mode}\n{places}\n"


def read(text: str) -> Reading:
    (found,) = read_poscar(text)
    assert isinstance(found, Reading)
    return found


LABELS = ["Li"] * 3 + ["Co"] * 3 + ["O"] * 6
WITH_LABELS = "\n".join(f"{line} {label}" for line, label in zip(PLACES.splitlines(), LABELS, strict=True))
FLAGGED = "\n".join(f"{line} T T F" for line in PLACES.splitlines())
SCALED = "1.40775 0 0\n-0.703875 1.219147 0\n0 0 7.0271"
CARTESIAN = "0 0 7.0271\n1.4077514 0.8127639 11.7118286\n0 1.6255301 2.3423714\n0 0 0\n1.4077514 .8127639 4.6847286\n0 1.6255301 9.3694714"
GOOD = {
    "plain": (poscar(), 0),
    "labels": (poscar(places=WITH_LABELS), 0),
    "flags": (poscar(mode="Selective dynamics\nDirect", places=FLAGGED), 0),
    "suffixes": (poscar(symbols="Li_sv Co_pv O/a1b2c3\n"), 0),
    "one factor": (poscar(scale="2", lattice=SCALED), 0),
    "volume": (poscar(scale="-96.4823", lattice=SCALED), 0),
    "three factors": (poscar(scale="2.0 2.0 1.0", lattice=SCALED.replace("7.0271", "14.0542")), 0),
    "velocities": (poscar(places=PLACES + "\n\n" + PLACES), 0),
    "left-handed": (poscar(lattice=LATTICE.replace("14.0542", "-14.0542")), 0),
    "capitals": (poscar(symbols="LI CO O\n"), 2),
    "elements in the comment": (poscar(comment="Li Co O", symbols=""), 1),
    "elements behind the coordinates": (poscar(symbols="", places=WITH_LABELS), 1),
}


@pytest.mark.parametrize("case", GOOD)
def test_layered_oxide_however_it_is_written(case: str) -> None:
    text, remarks = GOOD[case]
    found = read(text)
    assert found.crystal.composition == {"Li": 3, "Co": 3, "O": 6}
    assert found.crystal.volume_A3 == pytest.approx(96.4823, abs=0.001)
    assert found.crystal.frac_coords[1] == pytest.approx((0.666667, 0.333333, 0.833333))
    assert len(found.remarks) == remarks


@pytest.mark.parametrize("scale", ["1.0", "0.5", "2 2 2"])
def test_cartesian_positions_are_scaled_as_the_cell_is(scale: str) -> None:
    counts = {"symbols": "Li Co\n", "counts": "3 3"}
    factor = float(scale.split()[0])
    shrunk = [
        " ".join(str(float(x) / factor) for x in line.split()) for line in (LATTICE + "\n" + CARTESIAN).splitlines()
    ]
    found = read(
        poscar(scale=scale, mode="Cartesian", lattice="\n".join(shrunk[:3]), places="\n".join(shrunk[3:]), **counts)
    )
    assert found.crystal.frac_coords[1] == pytest.approx((0.666667, 0.333333, 0.833333), abs=1e-5)
    assert found.crystal.frac_coords[5] == pytest.approx((0.333333, 0.666667, 0.666667), abs=1e-5)


BAD = {
    "no symbols": (poscar(symbols=""), "names no elements .VASP 4 style."),
    "four kinds without symbols": (poscar(symbols="", counts="3 3 3 3"), "names no elements"),
    "comment with other counts": (poscar(comment="Li Co", symbols=""), "names no elements"),
    "unknown symbol": (poscar(symbols="Li Xq O\n"), "'Xq' is not an element"),
    "two symbols, three counts": (poscar(symbols="Li Co\n"), "names 2 elements, but 3 numbers"),
    "labels against symbols": (poscar(places=WITH_LABELS.replace("0.406167 O", "0.406167 N")), "atom 12 is called N"),
    "endless": (poscar(counts="2000000000 3 6"), "2000000009 atoms; at most 200"),
    "too few positions": (poscar(counts="3 3 8"), "positions for 14 atoms|must hold three"),
    "not a number": (poscar(places=PLACES.replace("0.593833", "NaN")), "line 16 is 'NaN'"),
    "infinite scale": (poscar(scale="1.1e999"), "scale factor is '1.1e999'"),
    "no scale": (poscar(scale="0"), "scale factor"),
    "two factors": (poscar(scale="1 1"), "one scale factor or three"),
    "flat": (poscar(lattice="1 0 0\n2 0 0\n0 0 1"), "no volume"),
    "mode": (poscar(mode="fractional"), "neither Direct nor Cartesian"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_clear_is_refused(case: str) -> None:
    text, pattern = BAD[case]
    with pytest.raises(StructureError, match=pattern):
        read_poscar(text)
