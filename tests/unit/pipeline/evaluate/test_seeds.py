"""Scatter of a scorecard's values over seeds."""

from __future__ import annotations

import math

import pytest

from redoxa.generators.evaluate.values import Value
from redoxa.pipeline.evaluate.scorecard import SourceCard, deviation_text
from redoxa.pipeline.evaluate.seeds import over_seeds


def cards(*values: dict[str, Value]) -> list[SourceCard]:
    return [SourceCard("one", "", [], values=each) for each in values]


def test_values_are_those_of_the_first_seed_with_the_deviation_over_all() -> None:
    made = cards(*({"unique": Value(x, 10, x - 0.1, x + 0.1)} for x in (0.9, 0.7, 0.8)))
    found = over_seeds(made).values["unique"]
    assert (found.value, found.low, found.of) == (0.9, 0.8, 10)
    assert found.deviation == pytest.approx(0.1)
    back = over_seeds([made[0], made[2], made[1]]).values["unique"]
    assert back.deviation == pytest.approx(0.1)
    assert deviation_text(found, "share") == "±0.100"


def test_no_deviation_where_it_would_say_nothing() -> None:
    assert over_seeds(cards({"unique": Value(0.9, 10)})).values["unique"].deviation is None
    group = {"commonest_group": Value(225.0, 10), "frechet_floor": Value(1.5, 10), "vendi_real": Value(60.0, 10)}
    found = over_seeds(cards(group, group | {"commonest_group": Value(62.0, 10)})).values
    assert {value.deviation for value in found.values()} == {None}
    missing = over_seeds(cards({"cpu_s_per_msun": Value(3.0, 1)}, {"cpu_s_per_msun": Value(None, 0)})).values
    assert missing["cpu_s_per_msun"].deviation is None
    assert deviation_text(missing["cpu_s_per_msun"], "s") == ""
    two = over_seeds(cards({"frechet": Value(1.0, 9)}, {"frechet": Value(2.0, 9)})).values["frechet"]
    assert two.deviation == pytest.approx(math.sqrt(0.5))
