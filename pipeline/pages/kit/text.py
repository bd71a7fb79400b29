"""Numbers, units, names and formulas as people read them. Everything that returns `Markup` has escaped its input."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Final

from markupsafe import Markup, escape

from redoxa.data.records import Estimate, ScreeningResult, plain_formula, plain_formulas
from redoxa.pipeline.pages.kit.labels import MEASURED_IN_PERCENT, label_for, labels

MINUS: Final = "\u2212"
THIN: Final = "\u202f"
"""Narrow no-break space between groups of digits."""

DASH: Final = "\u2013"

_UNITS: Final[dict[str, str]] = {
    "mAh/cm3": "mAh/cm³",
    "g/cm3": "g/cm³",
    "A": "Å",
    "A^3": "Å³",
    "1": "",
    "fraction": "",
    "dimensionless": "",
}
_LOW: Final = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SIGNS: Final = (
    (re.compile(r"(?<=\d )A\^3(?!\w)"), "Å³"),
    (re.compile(r"(?<=\d )A\b|(?<=\beV/)A\b"), "Å"),
    (re.compile(r"\bmuB\b"), "µB"),
    (re.compile(r"->"), "→"),
    (re.compile(r"(?<![\w)])-(?=\d)"), MINUS),
)
"""What the screening writes in plain letters, and what a page shows."""
_PAGES: Final = (
    (re.compile(r"\b()(mp-\d+)\b"), "https://next-gen.materialsproject.org/materials/"),
    (re.compile(r"\b(doi:)(10\.[^\s;,]+?)(?=[.,;)]*(?:\s|$))"), "https://doi.org/"),
)
_SUBSCRIPT: Final = re.compile(r"(?<=[A-Za-z)\]])(\d+(?:\.\d+)?)")


def label(name: str) -> str:
    """Full name of a property, e.g. ``Average voltage``."""
    return label_for(name).long


def short_label(name: str) -> str:
    """Short name of a property for axes and table heads."""
    return label_for(name).short


def display_scale(name: str, unit: str) -> tuple[float, str]:
    """Factor and unit in which a property is shown: fractions in percent, cubes with a superscript."""
    bare = unit in ("", "1", "fraction", "dimensionless")
    if bare and (name in MEASURED_IN_PERCENT or label_for(name).percent):
        return 100.0, "%"
    return 1.0, _UNITS.get(unit, unit)


@lru_cache(maxsize=4096)  # methods are the same in every row
def prose(text: str) -> str:
    """A sentence of the screening with properties in words, and formulas, units and signs as they are printed."""
    text = plain_formulas(text)
    for plain, sign in _SIGNS:
        text = plain.sub(sign, text)
    return _names().sub(lambda m: label_for(m.group()).in_prose or label(m.group()).lower(), text)


@cache
def _names() -> re.Pattern[str]:
    """Names of properties that are no words of their own."""
    return re.compile(rf"\b({'|'.join(re.escape(name) for name in labels() if '_' in name)})\b")


def number(value: float, decimals: int | None = None) -> str:
    """A number with a true minus and thin spaces between thousands.

    Unless told the decimals: at most four significant digits, no zeros at the end.
    """
    if decimals is None:
        text = f"{value:,.{_significant_decimals(value, 4)}f}"
        text = (text.rstrip("0").rstrip(".") if "." in text else text).replace(",", THIN)
    else:
        text = f"{value:,.{decimals}f}".replace(",", THIN)
    if float(text.replace(THIN, "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def _significant_decimals(value: float, digits: int) -> int:
    if value == 0 or not math.isfinite(value):
        return 0
    return min(6, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


@dataclass(frozen=True)
class Shown:
    """An estimate ready to print. `sigma` is empty where the value is exact."""

    value: str
    sigma: str
    unit: str
    method: str
    model: str
    number: float
    spread: float

    @property
    def text(self) -> str:
        """``3.43 ± 0.25 V`` on one line."""
        spread = f" ± {self.sigma}" if self.sigma else ""
        return f"{self.value}{spread} {self.unit}".strip()


def shown(name: str, estimate: Estimate) -> Shown:
    """Round an estimate to two significant digits of its sigma."""
    factor, unit = display_scale(name, estimate.unit)
    value, sigma = factor * estimate.value, factor * estimate.sigma
    if sigma > 0:
        decimals = min(4, max(0, 1 - math.floor(math.log10(sigma))))
        texts = number(value, decimals), number(sigma, decimals)
        if float(f"{sigma:.{decimals}f}") == 0:
            texts = texts[0], f"<{number(10.0**-decimals, decimals)}"
    else:
        texts = number(value, 0 if unit == "%" else None), ""
    return Shown(*texts, unit, prose(estimate.method), estimate.model, value, sigma)


def duration(seconds: float) -> str:
    """``48 s``, ``3 min 12 s``, ``2 h 05 min``; below ten seconds with a decimal."""
    if 0 < seconds < 0.005:
        return "<0.01 s"
    if seconds < 0.95:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def timestamp(moment: datetime) -> str:
    """``2026-11-21 09:05:33 UTC``; a time without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def formula_html(formula: str) -> Markup:
    """Formula with its counts as subscripts; whatever else it holds is escaped."""
    return Markup(_SUBSCRIPT.sub(r"<sub>\1</sub>", str(escape(plain_formula(formula)))))


def formula_text(formula: str) -> str:
    """Formula with Unicode subscripts, for places that take no markup: figures and tooltips."""
    return _SUBSCRIPT.sub(lambda m: m.group(1).translate(_LOW), plain_formula(formula))


def count(n: int, singular: str, plural: str = "") -> str:
    """``1 candidate``, ``12 candidates``, ``no candidates``."""
    many = plural or f"{singular}s"
    if n == 0:
        return f"no {many}"
    return f"{number(n, 0)} {singular if n == 1 else many}"


@dataclass(frozen=True)
class HullText:
    """The distance to the hull in words, and what is known of the hull."""

    sentence: str
    coverage: str
    products: str
    """Formulas on the hull at this composition, with their shares of the atoms."""


def hull_text(result: ScreeningResult, role: str) -> HullText | None:
    """``0.03 ± 0.06 eV/atom above a hull of 17 known phases`` for `role` discharge or charge; None where not computed.

    The screening leaves the number of phases in the note ``competing_phases_<role>``, a sentence on them in
    ``hull_coverage_<role>``, and what lies on the hull in ``decomposes_to_<role>``.
    """
    estimate = result.estimates.get(f"stability_{role}")
    if estimate is None:
        return None
    seen = shown(f"stability_{role}", estimate)
    size = f"{seen.value.lstrip(MINUS)} ± {seen.sigma}" if seen.sigma else seen.value.lstrip(MINUS)
    place = "below" if seen.value.startswith(MINUS) else "above"
    phases = result.notes.get(f"competing_phases_{role}", "")
    hull = f"a hull of {count(int(phases), 'known phase')}" if phases.isdigit() else "the hull of the known phases"
    coverage = result.notes.get(f"hull_coverage_{role}", "how many are known was not recorded")
    products = result.notes.get(f"decomposes_to_{role}", "").removeprefix("1.00 ")
    return HullText(f"{size} {seen.unit} {place} {hull}", coverage, products)


def linked(text: str) -> Markup:
    """A text with the ids of the Materials Project and the DOIs of publications as links to their pages."""
    shown_text = str(escape(plain_formulas(text)))
    for pattern, page in _PAGES:
        shown_text = pattern.sub(rf'<a href="{page}\2" rel="noreferrer">\1\2</a>', shown_text)
    return Markup(shown_text)
