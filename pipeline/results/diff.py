"""Two campaigns side by side: where their files differ, and what each found that the other did not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

from redoxa.data.records import Candidate, Origin, ScreeningResult
from redoxa.pipeline.campaign.session import Session, opened

REL_TOL = 1e-6
"""Values closer than this are equal: last bits differ between processors."""

NOT_COUNTED = ("name", "schedule", "stop")


@dataclass(frozen=True)
class Difference:
    """One thing in which two campaigns differ; what one lacks is an empty text."""

    kind: str
    what: str
    a: str
    b: str


def differences(where: str, a: str, b: str) -> list[Difference]:
    """What differs between two campaigns of a store: file, candidates, results, choices.

    Args:
        where: the store.
        a: id of a campaign.
        b: id of another.
    """
    with opened(where, a) as first, opened(where, b) as second:
        return _differences((first, second))


def _differences(sessions: tuple[Session, Session]) -> list[Difference]:
    found = list(_specs(*(s.spec.model_dump(mode="json") for s in sessions)))
    candidates = [{c.id: c for c in s.store.candidates(s.campaign_id)} for s in sessions]
    for i in candidates[0].keys() ^ candidates[1].keys():
        origins = [_origin(own[i].origin) if i in own else "" for own in candidates]
        found.append(Difference("candidate", f"{_formula(candidates, i)} {i}", *origins))
    results = [
        {r.candidate_id: r for r in s.store.results(s.campaign_id, s.spec.screening.settings_hash)} for s in sessions
    ]
    for i in results[0].keys() & results[1].keys():
        found += _results(results[0][i], results[1][i])
    for i in (results[0].keys() ^ results[1].keys()) & candidates[0].keys() & candidates[1].keys():
        verdicts = [own[i].verdict.value if i in own else "not screened" for own in results]
        found.append(Difference("result", f"{_formula(candidates, i)} {i}", *verdicts))
    chosen = [{x.candidate_id: x for x in s.store.selections(s.campaign_id)} for s in sessions]
    for i in chosen[0].keys() ^ chosen[1].keys():
        places = [f"place {own[i].rank}" if i in own else "" for own in chosen]
        found.append(Difference("choice", f"{_formula(candidates, i)} {i}", *places))
    return sorted(found, key=lambda d: (ORDER.index(d.kind), d.what, d.a))


ORDER = ("file", "candidate", "result", "choice")


def why(found: list[Difference]) -> str:
    """What explains the differences, as far as the campaigns say."""
    files = [d.what for d in found if d.kind == "file"]
    others = [d for d in found if d.kind != "file"]
    if not others:
        return "they found the same" + (f", though their files differ in {', '.join(files)}" if files else "")
    if files:
        return f"their files differ in {', '.join(files)}"
    return (
        "their files are the same: another version of Redoxa or of the potential, user's reference phases, "
        "measurements that came back otherwise, or work that is not finished"
    )


def _specs(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    one, other = dict(_flat(a)), dict(_flat(b))
    for key in sorted(one.keys() | other.keys()):
        if key.split(".")[0] not in NOT_COUNTED and one.get(key) != other.get(key):
            yield Difference("file", key, _text(one.get(key)), _text(other.get(key)))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(x, Mapping) for x in value):
        for i, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{i}]")
    else:
        yield path, value


def _results(a: ScreeningResult, b: ScreeningResult) -> Iterator[Difference]:
    """Verdicts that differ with their reasons, else the values that do."""
    what = f"{a.formula} {a.candidate_id}"
    if a.verdict is not b.verdict:
        yield Difference("result", what, *(f"{r.verdict.value}: {_reasons(r)}".rstrip(": ") for r in (a, b)))
        return
    for name in sorted(a.estimates.keys() | b.estimates.keys()):
        values = [r.estimates[name].value if name in r.estimates else None for r in (a, b)]
        if None in values or not isclose(*values, rel_tol=REL_TOL, abs_tol=REL_TOL):  # type: ignore[arg-type]
            yield Difference("result", f"{what} {name}", *(_text(v) for v in values))


def _reasons(result: ScreeningResult) -> str:
    return "; ".join(reason.text for reason in result.reasons)


def _origin(origin: Origin) -> str:
    return f"{origin.generator}, round {origin.round + 1}"


def _formula(candidates: Sequence[Mapping[str, Candidate]], i: str) -> str:
    return next(own[i].formula for own in candidates if i in own)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
