"""Voltages corrected by known electrodes: what is learned, what stays unknown, and that the sigma holds."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.stats import spearmanr

from redoxa.data.tables.prototypes import load_prototypes, prototype
from redoxa.screening.ions.removal import ion_sites, without
from redoxa.screening.physics.calibration import (
    Anchor,
    VoltageCalibration,
    electrode_kind,
    leave_families_out,
    oxidised_elements,
    read_anchors,
    second_metals_eV,
    shipped_calibration,
    write_anchors,
)
from redoxa.screening.properties.voltage import _known_text
from redoxa.screening.tables.known_electrodes import anchor, compute_known, emptied
from tests.unit.screening.conftest import METALS

SHIPPED = shipped_calibration("chgnet")


def made(
    n: int, error_V, seed: int = 0, kinds: tuple[str, ...] = ("oxide", "polyanion", "chalcogenide")
) -> list[Anchor]:
    """Electrodes whose error is `error_V(kind, difference)` and normal noise of 0.2 V."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        kind, first, difference = kinds[i % len(kinds)], rng.uniform(1, 5), rng.normal(0, 0.3)
        measured = first + error_V(kind, difference) + rng.normal(0, 0.2)
        found.append(Anchor(str(i), f"family {i // 2}", kind, "Mn", measured, first, first + difference))
    return found


def test_an_offset_of_a_kind_is_learned_and_few_electrodes_move_it_little():
    def error_V(kind: str, _difference: float) -> float:
        return 0.6 if kind == "polyanion" else 0.0

    many = VoltageCalibration(made(300, error_V), 0.2)
    assert many(3.0, 3.0, "polyanion", ["Mn"]).value_V == pytest.approx(3.6, abs=0.05)
    assert many(3.0, 3.0, "oxide", ["Mn"]).value_V == pytest.approx(3.0, abs=0.05)
    few = VoltageCalibration(made(2, error_V), 0.2)
    assert 3.0 < few(3.0, 3.0, "polyanion", ["Mn"]).value_V < 3.6


def test_the_second_model_counts_as_far_as_it_was_right():
    learned = VoltageCalibration(made(300, lambda _kind, difference: 0.5 * difference), 0.2)
    assert learned(3.0, 3.4, "oxide", ["Mn"]).value_V == pytest.approx(3.2, abs=0.05)


def test_one_sigma_covers_two_thirds_of_families_that_were_left_out():
    anchors = made(120, lambda kind, d: 0.3 * (kind == "oxide") + 0.4 * d, seed=4)
    found = leave_families_out(anchors)
    inside = [abs(f.value_V - a.measured_V) <= f.sigma_V for f, a in zip(found, anchors, strict=True)]
    assert np.mean(inside) == pytest.approx(0.683, abs=0.05)
    assert np.mean([f.sigma_V for f in found]) == pytest.approx(0.2, abs=0.04)


def test_what_lies_outside_is_said_and_less_sure():
    inside = SHIPPED(3.5, 3.4, "oxide", ["Co"])
    assert inside.remarks == ()
    element, kind, apart = SHIPPED(3.5, 3.4, "oxide", ["Ru"]), SHIPPED(3.5, 3.4, "fluoride", ["Co"]), None
    apart = SHIPPED(3.5, 5.5, "oxide", ["Co"])
    assert "Ru" in element.remarks[0]
    assert "fluoride" in kind.remarks[0]
    assert "differ by +2.00 V" in apart.remarks[0]
    assert all(x.sigma_V > inside.sigma_V for x in (element, kind, apart))


def test_the_shipped_electrodes_meet_the_accuracy_that_is_claimed():
    anchors = SHIPPED.anchors
    assert len(anchors) >= 20
    found = leave_families_out(anchors)
    errors = np.array([f.value_V - a.measured_V for f, a in zip(found, anchors, strict=True)])
    assert np.abs(errors).mean() <= 0.30
    assert 0.60 <= np.mean(np.abs(errors) <= [f.sigma_V for f in found]) <= 0.75
    measured = [a.measured_V for a in anchors]
    assert spearmanr([a.first_V for a in anchors], measured).statistic >= 0.93
    assert spearmanr([f.value_V for f in found], measured).statistic >= 0.93


def test_only_the_default_potential_has_a_calibration():
    assert shipped_calibration("chgnet-r2scan") is None
    assert second_metals_eV().keys() == {"Li", "Na", "K", "Mg", "Ca", "Zn", "Al"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("O3 LiCoO2", "oxide"),
        ("olivine LiFePO4", "polyanion"),
        ("silicate Li2FeSiO4", "polyanion"),
        ("tavorite LiFeSO4F", "polyanion"),
        ("Prussian white K2MnFe(CN)6", "polyanion"),
        ("layered LiTiS2", "chalcogenide"),
        ("perovskite NaFeF3", "fluoride"),
        ("graphite LiC6", "carbon"),
    ],
)
def test_kinds_of_electrodes(name, kind):
    assert electrode_kind(prototype(name).crystal.composition) == kind


def test_which_element_is_oxidised():
    spinel = prototype("P4_332 ordered spinel LiNi0.5Mn1.5O4").crystal
    assert oxidised_elements(spinel.composition, without(spinel, ion_sites(spinel, "Li")).composition) == ("Ni",)
    rich = prototype("Li-rich Li2MnO3").crystal  # charge balance does not say
    assert oxidised_elements(rich.composition, without(rich, ion_sites(rich, "Li")).composition) == ("Mn",)


def test_tables_survive_the_disk(tmp_path):
    write_anchors(tmp_path / "anchors.csv", SHIPPED.anchors)
    assert tuple(read_anchors(tmp_path / "anchors.csv")) == SHIPPED.anchors


def test_the_shipped_electrodes_are_what_the_program_computes(chgnet):
    names = ["layered LiTiS2", "thiospinel MgTi2S4"]
    metals = {"Li": METALS["Li"], "Mg": -1.59632}
    seconds = second_metals_eV()
    shipped = {a.name: a for a in SHIPPED.anchors}
    for known in compute_known([prototype(n) for n in names], workers=1):
        ion = known.prototype.working_ion
        again = anchor(known, shipped[known.prototype.name].measured_V, (metals[ion], seconds[ion]))
        assert again.first_V == pytest.approx(shipped[again.name].first_V, abs=0.01)
        assert again.second_V == pytest.approx(shipped[again.name].second_V, abs=0.02)
        assert (again.kind, again.redox) == (shipped[again.name].kind, shipped[again.name].redox)


def test_only_the_ions_that_leave_leave():
    nasicon = prototype("NASICON Na3V2(PO4)3")
    left = emptied(nasicon, nasicon.crystal).composition
    assert left["Na"] * 2 == left["V"]


def test_a_kind_that_no_known_electrode_has_is_covered_by_its_wider_sigma():
    anchors = SHIPPED.anchors
    noise_V = VoltageCalibration(anchors).noise_V
    inside = []
    for kind in {a.kind for a in anchors}:
        others = VoltageCalibration([a for a in anchors if a.kind != kind], noise_V)
        for a in (a for a in anchors if a.kind == kind):
            found = others(a.first_V, a.second_V, f"unheard-of {kind}", a.redox.split())
            inside.append(abs(found.value_V - a.measured_V) <= found.sigma_V)
    assert 0.6 <= np.mean(inside) <= 0.85


@pytest.mark.parametrize(
    ("composition", "kind"),
    [
        ({"Li": 3, "N": 1}, "nitride"), ({"Li": 1, "Fe": 1, "Cl": 3}, "halide"), ({"Li": 3, "P": 1}, "pnictide"),
        ({"Li": 15, "Si": 4}, "alloy"), ({"Li": 1, "Fe": 1, "F": 3}, "fluoride"), ({"Li": 1, "V": 1, "I": 3}, "halide"),
        ({"Li": 1, "Fe": 1, "O": 1, "F": 1}, "oxide"), ({"Na": 1, "Sn": 1}, "alloy"), ({"Li": 2, "Mn": 1, "P": 1}, "pnictide"),
    ],
)  # fmt: skip
def test_kinds_beyond_the_known_electrodes(composition, kind):
    assert electrode_kind(composition) == kind


def test_anions_that_pay_make_a_voltage_less_sure():
    calibration = SHIPPED
    plain, flagged = (calibration(4.5, 4.5, "oxide", ["Mn"], anion_redox=x) for x in (False, True))
    assert flagged.sigma_V**2 == pytest.approx(plain.sigma_V**2 + 0.3**2)
    assert "anions" in flagged.remarks[0]


def test_the_nearest_known_electrode_is_of_the_same_kind_and_element():
    found = SHIPPED.nearest(3.5, "polyanion", ["Mn"])
    assert (found.kind, found.redox) == ("polyanion", "Mn")
    assert (
        found.name
        == min(
            (a for a in SHIPPED.anchors if (a.kind, a.redox) == ("polyanion", "Mn")), key=lambda a: abs(a.first_V - 3.5)
        ).name
    )
    assert SHIPPED.nearest(3.5, "oxide", ["W"]).kind == "oxide"
    assert SHIPPED.nearest(3.5, "nitride", ["W"]) is None


def test_every_anchor_names_a_publication_of_its_cycling():
    cycled = {p.name: p.cycled for p in load_prototypes() if p.anchor}
    assert {a.name for a in SHIPPED.anchors} <= set(cycled)
    assert all(re.search(r", \w+ \(\d{4}\)", text) for text in cycled.values())


@pytest.mark.parametrize(
    ("name", "redox", "says"),
    [
        ("O3 LiCoO2", ("Co",), "O3 LiCoO2 (layered oxide), 4.00 V; see J. N. Reimers"),
        ("O3 LiCoO2", ("W",), "4.00 V, none of its kind is oxidised at W; see"),
        ("graphite LiC6", (), "graphite LiC6 (graphite), 0.10 V; see T. Ohzuku"),
    ],
)
def test_a_known_electrode_is_told_with_what_sets_it_apart(name, redox, says):
    assert says in _known_text(next(a for a in SHIPPED.anchors if a.name == name), redox)
