"""What a scorecard of models of formulas tells of each: one list for the page and the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from redoxa.generators.composition.scores import FormulaScore, Likelihood
from redoxa.generators.evaluate.values import Value
from redoxa.pipeline.evaluate.scorecard import interval_text, value_text
from redoxa.pipeline.pages.kit.text import number

DASH = "–"


@dataclass(frozen=True)
class Shown:
    """A number and, below it, what qualifies it: an interval, a kind, how many."""

    text: str
    below: str = ""


@dataclass(frozen=True)
class Column:
    """One number of every row.

    Attributes:
        head: short.
        meaning: a sentence.
        better: which way is better; empty where neither is.
        show: of a score.
    """

    head: str
    meaning: str
    better: Literal["high", "low", ""]
    show: Callable[[FormulaScore], Shown]


def nats(found: Likelihood | None) -> Shown:
    """``18.41 ±0.12``, below it the kind; ``infinite`` with what is reached, where some formulas never come."""
    if found is None:
        return Shown(DASH)
    if found.nats is None:
        of = "" if found.nats_of_reached is None else f", {number(found.nats_of_reached, 2)} on these"
        return Shown("infinite", f"{_percent(found.reached.value)} reached{of}")
    error = "" if found.error_nats is None else f" ±{number(found.error_nats, 2)}"
    sign = "≤ " if found.kind == "bound" else ""
    return Shown(f"{sign}{number(found.nats, 2)}{error}", found.kind)


def _percent(part: float | None) -> str:
    return DASH if part is None else f"{number(100 * part, 1)} %"


def _share(of: Callable[[FormulaScore], Value | None]) -> Callable[[FormulaScore], Shown]:
    """A share in percent with its interval."""

    def show(score: FormulaScore) -> Shown:
        value = of(score)
        if value is None or value.value is None or value.low is None or value.high is None:
            return Shown(DASH)
        digits = 2 if value.value < 0.1 else 1
        low, high = (number(100 * x, digits) for x in (value.low, value.high))
        return Shown(f"{number(100 * value.value, digits)} %", f"{low}–{high}")

    return show


def _plain(of: Callable[[FormulaScore], Value | None]) -> Callable[[FormulaScore], Shown]:
    def show(score: FormulaScore) -> Shown:
        value = of(score)
        return Shown(DASH) if value is None else Shown(value_text(value, ""), interval_text(value, ""))

    return show


def _seconds(seconds: float | None) -> str:
    return DASH if seconds is None else number(seconds, 2 if seconds < 10 else 0)


COLUMNS: Final = (
    Column(
        "Nats",
        "mean of -ln p of a held-out formula, given the grammar, with its standard error. Infinite: some of them the "
        "model never writes",
        "low",
        lambda score: nats(score.likelihood),
    ),
    Column(
        "Found",
        "held-out formulas among the samples; below, their share of the different novel ones",
        "high",
        lambda score: Shown(number(score.found, 0), _below(_share(lambda s: s.hits)(score))),
    ),
    Column(
        "Distinct",
        "different formulas among the samples",
        "high",
        lambda score: Shown(number(score.distinct, 0), f"of {number(score.samples, 0)}"),
    ),
    Column("Novel", "samples that are no learned formulas", "", _share(lambda score: score.novel)),
    Column(
        "New family",
        "samples of which no learned formula differs in its transition metals alone",
        "",
        _share(lambda score: score.novel_family),
    ),
    Column(
        "Neutral",
        "samples that common oxidation states balance; alloys are not, so that of the data is to be met",
        "",
        _share(lambda score: score.neutral),
    ),
    Column(
        "Fréchet",
        "distance to the held-out formulas in ten numbers, taken as Gaussians, in squared spreads",
        "low",
        lambda score: Shown(number(score.frechet, 3)),
    ),
    Column(
        "Precision",
        "samples that lie among held-out formulas",
        "high",
        _share(lambda score: score.cover.get("precision")),
    ),
    Column(
        "Recall", "held-out formulas that lie among samples", "high", _share(lambda score: score.cover.get("recall"))
    ),
    Column(
        "Density",
        "how many neighbourhoods of held-out formulas a sample lies in, by five; 1 for equal distributions",
        "",
        _plain(lambda score: score.cover.get("density")),
    ),
    Column(
        "Coverage",
        "held-out formulas with a sample among their five nearest",
        "high",
        _share(lambda score: score.cover.get("coverage")),
    ),
    Column(
        "CPU s",
        "processor seconds for 1,000 samples; below, for the likelihoods of all held-out formulas",
        "low",
        lambda score: Shown(
            _seconds(score.sample_cpu_s_per_1000),
            f"{_seconds(score.likelihood.cpu_s)} nats" if score.likelihood else "",
        ),
    ),
)

COLLAPSE: Final = (
    Column("Memorised", "samples that are learned formulas", "", _share(lambda score: score.memorised)),
    Column(
        "Vendi score",
        "how many different formulas the samples amount to; grows with how many are compared",
        "high",
        _plain(lambda score: score.vendi),
    ),
    Column("Of data", "that over the score of held-out formulas", "", _plain(lambda score: score.vendi_ratio)),
    Column(
        "Entropy (bits)",
        "of how often elements occur, each once by formula",
        "",
        lambda score: Shown(number(score.entropy_bits, 2)),
    ),
    Column(
        "Elements",
        "different elements that occur",
        "high",
        lambda score: Shown(number(score.elements, 0), _missing(score)),
    ),
    Column("Commonest", "samples that are the commonest formula", "low", _share(lambda score: score.commonest)),
)


def _below(shown: Shown) -> str:
    return f"{shown.text} ({shown.below})" if shown.below else ""


def _missing(score: FormulaScore) -> str:
    names = ", ".join(score.missing[:6])
    return "" if not names else f"no {names}{' …' if len(score.missing) > 6 else ''}"
