"""The scorecard as data: what the page, the JSON and the terminal show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING

from redoxa.generators.evaluate.catalogue import metrics
from redoxa.generators.evaluate.elements import ElementBias, ElementRatio
from redoxa.generators.evaluate.matching import Prediction
from redoxa.generators.evaluate.reference_set import ReferenceSet
from redoxa.generators.evaluate.table import SampleRow
from redoxa.generators.evaluate.values import Value
from redoxa.pipeline.evaluate.stability import RelaxedRow
from redoxa.pipeline.evaluate.truths import Truths
from redoxa.pipeline.pages.kit.text import number

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "redoxa.scorecard/1"
"""Raised when a field of scorecard.json changes its name or meaning."""

_INTERNAL = {"portrait", "mark", "gaps", "reasons"}


@dataclass(frozen=True)
class SourceCard:
    """All about one source.

    Attributes:
        name: as given on the command line.
        text: what it is, in a few words.
        rows: one a sample.
        relaxed: one for each of the first samples; empty without relaxation.
        predictions: one a truth; empty in de novo mode.
        values: metric name -> value.
        elements: those that are drawn surely too often and too seldom.
        failed: why it could not be judged, or not to the end; empty where it was.
    """

    name: str
    text: str
    rows: Sequence[SampleRow]
    relaxed: Sequence[RelaxedRow] = ()
    predictions: Sequence[Prediction] = ()
    values: dict[str, Value] = field(default_factory=dict)
    elements: ElementBias = field(default_factory=ElementBias)
    failed: str = ""

    @classmethod
    def of_failed(cls, name: str, why: str) -> SourceCard:
        """A source of which nothing could be judged."""
        return cls(name, "failed", (), failed=why)

    def reasons(self) -> list[tuple[str, int]]:
        """Kinds of complaint, the commonest first; numbers and names in them are cut so that they add up."""
        kinds: Counter[str] = Counter()
        for row in self.rows:
            kinds.update(_kind(reason) for reason in row.reasons)
        for relaxed in self.relaxed:
            if relaxed.relax_reason:
                kinds[f"relaxation: {relaxed.relax_reason.partition(':')[0]}"] += 1
        return kinds.most_common(8)


_KINDS = {
    "known material": "known material",
    "the same crystal": "the same crystal as an earlier sample",
    "two atoms": "two atoms nearer than 0.5 Å",
    "a contact": "contacts shorter than in real crystals",
    "a volume": "packing as in no real crystal",
    "space group": "space group not the one meant",
}


def _kind(reason: str) -> str:
    return next((kind for start, kind in _KINDS.items() if reason.startswith(start)), reason)


@dataclass(frozen=True)
class Scorecard:
    """Several sources side by side.

    Attributes:
        mode: "de novo" or "structure prediction".
        sources: in the order of the command line.
        reference: real crystals that distributions are held against.
        truths: what is to be found again, in structure prediction.
        truths_known: share of them among the known materials that ship.
        k: answers a truth.
        settings: what was asked, as text.
        versions: of the packages that numbers depend on.
        created: when it was made.
        seconds: wall clock of the whole evaluation.
    """

    mode: str
    sources: Sequence[SourceCard]
    reference: ReferenceSet
    truths: Truths | None
    truths_known: float | None
    k: int
    settings: dict[str, str]
    versions: dict[str, str]
    created: datetime
    seconds: float

    def to_json(self) -> dict[str, object]:
        """Stable field names; shares between 0 and 1, intervals at 95 %."""
        return {
            "schema": SCHEMA,
            "created": self.created.isoformat(timespec="seconds"),
            "mode": self.mode,
            "settings": self.settings,
            "reference": {"text": self.reference.text, "values": _as_json(self.reference.values)},
            "truths": self.truths.text if self.truths else None,
            "truths_known": self.truths_known,
            "versions": self.versions,
            "seconds": round(self.seconds, 1),
            "metrics": {
                m.name: {"group": group, "title": m.title, "unit": m.unit, "better": m.better, "meaning": m.meaning}
                for group, m in metrics(self.k)
            },
            "sources": [
                {
                    "name": s.name,
                    "what": s.text,
                    "samples": len(s.rows),
                    "values": _as_json(s.values),
                    "elements": asdict(s.elements),
                    "reasons": dict(s.reasons()),
                    "failed": s.failed or None,
                }
                for s in self.sources
            ],
        }

    def sample_table(self) -> pd.DataFrame:
        """Every sample with all its values and reasons, sources below one another."""
        import pandas as pd

        rows: list[dict[str, object]] = []
        for card in self.sources:
            for i, row in enumerate(card.rows):
                line: dict[str, object] = {"source": card.name, "index": i} | _flat(row)
                if card.relaxed:
                    line["relaxed"] = i < len(card.relaxed)
                    line |= _flat(card.relaxed[i]) if i < len(card.relaxed) else {}
                rows.append(line | {"reasons": "; ".join(row.reasons)})
        return pd.DataFrame(rows).convert_dtypes()

    def prediction_table(self) -> pd.DataFrame:
        """Every truth with what matched it, sources below one another."""
        import pandas as pd

        names = self.truths.names if self.truths else ()
        rows: list[dict[str, object]] = [
            {
                "source": card.name,
                "truth": name,
                "formula": p.truth.formula,
                "n_atoms": p.truth.n_atoms,
                **{f"rms_{j + 1}": r for j, r in enumerate(p.rms)},
                **{f"counts_filtered_{j + 1}": c for j, c in enumerate(p.counts)},
                "rms_of_any_sample": p.best,
            }
            for card in self.sources
            if card.predictions
            for name, p in zip(names, card.predictions, strict=True)
        ]
        return pd.DataFrame(rows).convert_dtypes()


def _as_json(values: dict[str, Value]) -> dict[str, dict[str, float | None]]:
    """Values by name; a deviation only where there is one."""
    return {
        name: {key: x for key, x in asdict(value).items() if key != "deviation" or x is not None}
        for name, value in values.items()
    }


def _flat(row: SampleRow | RelaxedRow) -> dict[str, object]:
    return {f.name: getattr(row, f.name) for f in fields(row) if f.name not in _INTERNAL}


def value_text(value: Value, unit: str) -> str:
    """``0.912`` for a share, ``0.0361`` or ``58.1`` for others; a dash where there is none."""
    if value.value is None:
        return "–"
    if unit == "share":
        return number(value.value, 3)
    if unit == "no.":
        return f"{value.value:.0f}"
    size = abs(value.value)
    return number(value.value, next((d for limit, d in ((0.01, 5), (1, 3), (10, 2)) if size < limit), 1))


def deviation_text(value: Value, unit: str) -> str:
    """``±0.012``, the standard deviation over seeds, or "" where there is none."""
    return "" if value.deviation is None else f"±{value_text(Value(value.deviation, value.of), unit)}"


def ratio_text(ratio: ElementRatio) -> str:
    """``Fe 1.8 (1.3–2.4)``: how much more often it is drawn than it should be."""
    ends = (ratio.ratio, ratio.low, ratio.high)
    middle, low, high = (number(x, 2) for x in ends)
    return f"{ratio.symbol} {middle} ({low}–{high})"


def interval_text(value: Value, unit: str) -> str:
    """``0.89–0.93``, or "" where there is no interval."""
    if value.low is None or value.high is None or value.value is None:
        return ""
    ends = [value_text(Value(x, value.of), unit) for x in (value.low, value.high)]
    return (" to " if value.low < 0 else "–").join(ends)
