"""Measures of likeness, variety and memory on cases whose answer is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from redoxa.data.fingerprint import SAME_UNRELAXED, fingerprint
from redoxa.data.tables.known_materials import KnownMaterial, KnownMaterials
from redoxa.generators.evaluate.commonest import commonest_group
from redoxa.generators.evaluate.elements import element_bias, element_divergence, presence
from redoxa.generators.evaluate.families import TRANSITION_METALS, Families, family, transition_metals
from redoxa.generators.evaluate.memorisation import memorisation_values
from redoxa.generators.evaluate.neighbours import NEAREST, cover
from redoxa.generators.evaluate.values import Value
from redoxa.generators.evaluate.vendi import vendi, vendi_values
from tests.unit.generators.evaluate.crystals import cubic, rocksalt, shaken, zincblende

MN, FE, CO, NI, O, NA, CL = 25, 26, 27, 28, 8, 11, 17
RNG = np.random.default_rng(7)
CLOUD = RNG.normal(size=(80, 5))


def test_a_family_forgets_which_transition_metals_there_are() -> None:
    assert family({"Li": 2, "Ni": 1, "Mn": 1, "O": 4}) == family({"Li": 3, "Co": 3, "O": 6}) == "Li1M1O2"
    assert family({"O": 4, "Li": 1, "P": 1, "Fe": 1}) == "Li1M1O4P1"
    assert family({"Li": 1, "Al": 1, "O": 2}) != family({"Li": 1, "Co": 1, "O": 2})  # aluminium is none
    assert {"Sc", "Zn", "Y", "Cd", "Lu", "Hg"} <= TRANSITION_METALS
    assert not {"Ca", "Ga", "La", "Yb", "Tl"} & TRANSITION_METALS
    assert transition_metals({"Li": 2, "Ni": 1, "Mn": 1, "O": 4}) == 2


def test_a_family_is_known_by_formulas_without_structure_too() -> None:
    families = Families([KnownMaterial("LiCoO2", "one", "table"), KnownMaterial("Na3V2(PO4)3", "two", "table")])
    assert families.knows({"Li": 2, "Ni": 2, "O": 4})
    assert families.knows({"Na": 3, "Ti": 1, "Fe": 1, "P": 3, "O": 12})
    assert not families.knows({"Na": 1, "Co": 1, "O": 2})
    assert not families.knows({"Li": 1, "Co": 1, "O": 2}, but="LiCoO2")


def _known(*crystals: object) -> Families:
    known = KnownMaterials()
    for i, crystal in enumerate(crystals):
        known.add(crystal, f"known {i}", "test")  # type: ignore[arg-type]
    return Families(known)


def test_exchanged_metals_are_no_distance() -> None:
    families = _known(rocksalt(MN, O, 4.4))
    copied, other = rocksalt(NI, O, 4.2), zincblende(NI, O, 4.6)
    found = families.gaps(fingerprint(copied), copied.composition)
    assert found.formula is None
    assert found.family == pytest.approx(0.0, abs=0.0125)  # packed in such steps
    far = families.gaps(fingerprint(other), other.composition).family
    assert far is not None
    assert far > SAME_UNRELAXED
    salt = rocksalt(NA, CL, 5.6)
    assert families.gaps(fingerprint(salt), salt.composition).family is None  # sodium stays sodium


def test_metals_of_one_count_may_change_places() -> None:
    """Fe on one site and Mn on the other, against Co on the first and Ni on the second: the order of numbers turns."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.2], [0.5, 0.5, 0.7], [0.1, 0.5, 0.5]]
    one = cubic([FE, MN, O, O], sites, 4.4)
    two = cubic([CO, NI, O, O], sites, 4.4)
    found = _known(one).gaps(fingerprint(two), two.composition)
    assert found.family == pytest.approx(0.0, abs=0.0125)


def test_an_alloy_of_many_metals_costs_no_time() -> None:
    """Twelve metals have 479 million orders."""
    places = [[i / 12, 0.5 * (i % 2), 0.0] for i in range(12)]
    alloy = cubic([*range(21, 31), 39, 40], places, 20.0)
    assert _known(alloy).gaps(fingerprint(alloy), alloy.composition).formula == pytest.approx(0.0, abs=0.0125)


def test_a_held_out_crystal_does_not_find_itself() -> None:
    mine, twin = rocksalt(NI, O, 4.2), shaken(rocksalt(NI, O, 4.2), 3, 0.02)
    alone, together = _known(mine), _known(mine, twin)
    mark, content = fingerprint(mine), mine.composition
    assert alone.gaps(mark, content).formula == pytest.approx(0.0, abs=0.0125)
    assert alone.gaps(mark, content, held_out=True).family is None
    left = together.gaps(mark, content, held_out=True).formula
    assert left is not None
    assert 0.0 < left <= SAME_UNRELAXED
    turned = _known(twin, mine).gaps(mark, content, held_out=True)
    assert turned == together.gaps(mark, content, held_out=True)
    gaps = [together.gaps(mark, content), alone.gaps(mark, content, held_out=True)]
    found = memorisation_values(gaps)
    assert (found["memorised"].value, found["memorised_family"].value, found["memorised"].of) == (0.5, 0.5, 2)
    assert found["nearest_known_median"].of == 1


def test_the_commonest_group_and_the_smaller_of_two() -> None:
    assert commonest_group([225, 62, 225, 1]) == commonest_group([1, 225, 62, 225])
    assert commonest_group([225, 62, 225, 1])["commonest_group"] == Value(225.0, 4)
    assert commonest_group([225, 62, 225, 1])["commonest_group_share"].value == 0.5
    assert commonest_group([225, 62])["commonest_group"].value == 62.0
    assert commonest_group([]) == {}


def test_equal_sets_cover_each_other() -> None:
    found = cover(CLOUD, CLOUD)
    assert [found[name].value for name in ("precision", "recall", "coverage")] == [1.0, 1.0, 1.0]
    # Each ball holds the point itself and its k neighbours.
    assert found["density"].value == pytest.approx((NEAREST + 1) / NEAREST)
    assert {name: v.value for name, v in cover(CLOUD, CLOUD + 100.0).items()} == dict.fromkeys(found, 0.0)


def test_cover_by_hand() -> None:
    """On a line, k = 1: real ones at 0, 1 and 10 reach 1, 1 and 9; samples at 0.5, 2.5 and 2.6."""
    real, samples = np.array([[0.0], [1.0], [10.0]]), np.array([[0.5], [2.5], [2.6]])
    found = cover(samples, real, k=1)
    assert found["precision"].value == 1.0  # 0.5 in two balls, 2.5 and 2.6 in that of 10
    assert found["density"].value == pytest.approx((2 + 1 + 1) / 3)
    assert found["coverage"].value == 1.0
    assert found["recall"].value == pytest.approx(2 / 3)  # 0.5 reaches 2, the others 0.1
    assert cover(samples, real, k=3) == {}


def test_cover_does_not_hang_on_order_turn_or_repeats() -> None:
    ours, order = CLOUD[:40] * 1.3, RNG.permutation(40)
    turn = np.linalg.qr(RNG.normal(size=(5, 5)))[0]
    found = cover(ours, CLOUD)
    for other in (cover(ours[order], CLOUD[::-1]), cover(ours @ turn, CLOUD @ turn)):
        for name, value in found.items():
            assert other[name].value == pytest.approx(value.value, abs=1e-12)
    same = np.repeat(CLOUD[:1], 20, axis=0)  # a generator that draws one crystal: radii of 0
    assert cover(same, CLOUD)["recall"].value == pytest.approx(1 / 80)
    assert cover(same, CLOUD)["precision"].value == 1.0


def test_vendi_of_equal_clusters_is_their_number() -> None:
    centres = np.eye(5) * 1000.0
    assert vendi(np.repeat(centres, 8, axis=0)) == pytest.approx(5.0)
    assert vendi(np.repeat(centres[:1], 8, axis=0)) == pytest.approx(1.0)
    assert vendi(centres) == pytest.approx(5.0)
    # Two clusters of 3 and 1: exp of the entropy of (3/4, 1/4).
    uneven = np.vstack([centres[:1], centres[:1], centres[:1], centres[1:2]])
    assert vendi(uneven) == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))


def test_vendi_ratio_compares_as_many() -> None:
    found = vendi_values(CLOUD, CLOUD, 0)
    assert found["vendi_ratio"].value == pytest.approx(1.0)
    fewer = vendi_values(CLOUD[:30], CLOUD, 0)
    assert {value.of for value in fewer.values()} == {30}
    turned = vendi_values(CLOUD[:30][::-1], CLOUD[RNG.permutation(80)], 0)
    for name, value in fewer.items():
        assert turned[name].value == pytest.approx(value.value)
        assert turned[name].low == pytest.approx(value.low)
        assert value.low < value.value < value.high  # type: ignore[operator]


def test_elements_that_are_drawn_too_often() -> None:
    real = presence([frozenset({8, 26})] * 50 + [frozenset({8, 25})] * 50)
    ours = presence([frozenset({8, 26})] * 90 + [frozenset({8, 25})] * 10)
    found = element_bias(ours, real)
    assert [r.symbol for r in found.over] == ["Fe"]
    assert [r.symbol for r in found.under] == ["Mn"]
    (iron,) = found.over
    assert iron.ratio == pytest.approx(90.5 / 50.5)
    half = 1.959964 * math.sqrt(1 / 90.5 + 1 / 50.5 - 2 / 100.5)
    assert (iron.low, iron.high) == pytest.approx((iron.ratio * math.exp(-half), iron.ratio * math.exp(half)), rel=1e-6)
    assert element_bias(ours[::-1], real[RNG.permutation(100)]) == found
    nothing = element_bias(real, real)
    assert (nothing.over, nothing.under) == ((), ())


def test_divergence_of_elements() -> None:
    iron, manganese = presence([frozenset({26})] * 40), presence([frozenset({25})] * 40)
    assert element_divergence(iron, manganese).value == pytest.approx(1.0)
    assert element_divergence(iron, iron).value == pytest.approx(0.0)
    mixed = np.vstack([iron[:20], manganese[:20]])
    found = element_divergence(mixed, iron)
    assert found.value == pytest.approx(0.311278, abs=1e-6)  # as of (1/2, 1/2) and (1, 0)
    again = element_divergence(mixed[::-1], iron)
    assert (again.value, again.low, again.high) == pytest.approx((found.value, found.low, found.high))


def test_the_interval_of_the_divergence_is_that_of_redrawing() -> None:
    rng = np.random.default_rng(0)
    pool = [frozenset({8, 26}), frozenset({8, 25}), frozenset({16, 26, 3}), frozenset({9})]
    ours = presence([pool[i] for i in rng.choice(4, 400, p=[0.6, 0.2, 0.1, 0.1])])
    real = presence([pool[i] for i in rng.choice(4, 500, p=[0.1, 0.3, 0.3, 0.3])])
    redrawn = []
    for _ in range(400):
        first, second = (x[rng.integers(0, len(x), len(x))] for x in (ours, real))
        redrawn.append(element_divergence(first, second).value)
    found = element_divergence(ours, real)
    assert found.high is not None
    assert found.low is not None
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * np.std(redrawn), rel=0.15)  # type: ignore[arg-type]


def test_values_are_plain_numbers() -> None:
    for value in (*cover(CLOUD, CLOUD).values(), *vendi_values(CLOUD, CLOUD, 0).values()):
        json.dumps([value.value, value.low, value.high])
