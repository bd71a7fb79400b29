"""Intervals and distances against closed forms and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from redoxa.generators.evaluate.distances import frechet, jensen_shannon, wasserstein
from redoxa.generators.evaluate.values import Value, mean, median, share, wilson


def test_wilson_against_the_published_example() -> None:
    # Newcombe, Stat. Med. 17, 857 (1998), table I: 81/263, 15/148, 0/20, 1/29 (method 3, score interval).
    for (hits, of), (low, high) in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert wilson(hits, of) == pytest.approx((low, high), abs=5e-5)


def test_wilson_ends() -> None:
    assert wilson(20, 20) == pytest.approx((1 - 0.1611, 1.0), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_share_leaves_out_what_is_not_known() -> None:
    found = share([True, None, False, True, True])
    assert (found.value, found.of) == (0.75, 4)
    assert (found.low, found.high) == wilson(3, 4)
    assert share([None]) == Value(None, 0)


def test_mean_and_median_intervals() -> None:
    found = mean([1.0, 2.0, 3.0, 4.0])
    half = 1.959964 * math.sqrt(5 / 3) / 2
    assert (found.value, found.low, found.high) == pytest.approx((2.5, 2.5 - half, 2.5 + half), abs=1e-5)
    # n = 10: the 2nd and 9th order statistics hold the median with 97.9 % (tables of the sign test).
    ten = median([float(x) for x in range(10, 0, -1)])
    assert (ten.value, ten.low, ten.high) == (5.5, 2.0, 9.0)
    five = median([1.0, 2.0, 3.0, 4.0, 5.0])  # 1 to 5 holds it with 93.75 % only: no interval
    assert (five.value, five.low) == (3.0, None)
    assert median([]) == Value(None, 0)


def test_wasserstein_by_hand() -> None:
    assert wasserstein([0.0, 1.0, 3.0], [5.0, 6.0, 8.0]) == pytest.approx(5.0)
    assert wasserstein([2, 2, 2, 3], [3, 3, 3, 3]) == pytest.approx(0.75)


def test_frechet_of_gaussians_with_known_distance() -> None:
    # Corners of a square have a diagonal covariance; Gaussians with diagonal ones lie |dm|^2 + sum (s1 - s2)^2 apart.
    corners = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    a = corners * [1.0, 2.0]
    b = corners * [3.0, 2.5] + [4.0, 0.0]
    spread = math.sqrt(4 / 3)
    assert frechet(a, b) == pytest.approx(16 + spread**2 * (2.0**2 + 0.5**2))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert frechet(a @ turn, b @ turn) == pytest.approx(frechet(a, b))
    assert frechet(a, a) == pytest.approx(0.0, abs=1e-9)


def test_frechet_of_covariances_that_do_not_commute() -> None:
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(60, 4)) + 1.0
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(c + d - 2 * np.real(sqrtm(c @ d)))
    assert frechet(a, b) == pytest.approx(expected, rel=1e-6)


def test_jensen_shannon_in_bits() -> None:
    assert jensen_shannon(["a", "a"], ["a"]) == 0.0
    assert jensen_shannon(["a"], ["b"]) == 1.0
    # p = (1/2, 1/2), q = (1, 0): H(3/4, 1/4) - H(p)/2 - H(q)/2 = 0.811278 - 0.5
    assert jensen_shannon([1, 2], [1, 1]) == pytest.approx(0.311278, abs=1e-6)
