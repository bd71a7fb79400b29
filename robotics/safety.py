"""Safety rules that deny by default: a request is allowed only when every rule was asked and every rule said yes.

The rules judge the request as it is, from the catalogue and from their own arithmetic; they trust nothing that the
planner wrote beside the masses (no by-product list, no warning, no reaction text).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict

from data.errors import SafetyError
from data.lab import ExperimentRequest, SafetyFinding
from data.records import content_hash
from robotics import safety_chemistry as chemistry
from robotics import safety_process as process
from robotics.safety_base import Limits, Rule
from robotics.safety_base import Subject as _Subject
from robotics.safety_energetic import energetic

__all__ = [
    "RULES",
    "Limits",
    "RuleText",
    "check",
    "ensure_allowed",
    "is_allowed",
    "refusals",
    "rule_texts",
    "rules_version",
]

RULES: Final[dict[str, Rule]] = {
    "S001": chemistry.radioactive,
    "S002": chemistry.toxic,
    "S003": chemistry.oxidiser_with_fuel,
    "S004": chemistry.gas_amount,
    "S005": chemistry.air_sensitive,
    "S006": process.furnace,
    "S007": process.amounts,
    "S008": process.voltage_window,
    "S009": process.cycling_steps,
    "S010": chemistry.known_precursors,
    "S011": chemistry.toxic_gas,
    "S012": chemistry.furnace_gas,
    "S013": chemistry.vessel,
    "S014": chemistry.bookkeeping,
    "S015": process.cell_materials,
    "S016": process.identity,
    "S017": energetic,
}


DECIDING: Final = ("safety*.py", "formula.py", "precursors.py", "precursors.yaml", "cells.py", "cycling.py")
"""Files that decide beside the rule file itself."""


class RuleText(BaseModel):
    """What a rule is called, why it is there, and where the reason comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    reason: str
    source: str


def check(request: ExperimentRequest, limits: Limits | None = None) -> tuple[SafetyFinding, ...]:
    """Ask every rule about a request; each answers ok or says what it refuses."""
    titles = rule_texts()
    subject = _Subject(request, limits or Limits())
    findings = []
    for rule, ask in RULES.items():
        problems = ask(subject)
        findings.append(SafetyFinding(rule=rule, ok=not problems, text="; ".join(problems) or titles[rule].title))
    return tuple(findings)


def is_allowed(findings: Sequence[SafetyFinding]) -> bool:
    """Whether every rule answered exactly once and allowed it. No findings means no."""
    return sorted(f.rule for f in findings) == sorted(RULES) and all(f.ok for f in findings)


def ensure_allowed(request: ExperimentRequest, findings: Sequence[SafetyFinding]) -> None:
    """Raise unless the request is allowed.

    Raises:
        SafetyError: with the id and the reason of every rule that refuses.
    """
    if is_allowed(findings):
        return
    raise SafetyError(f"{request.formula}: refused by the safety rules: {refusals(findings)}")


def refusals(findings: Sequence[SafetyFinding]) -> str:
    """What the rules refuse, each with its id."""
    texts = [f"{f.rule} {f.text}" for f in findings if not f.ok]
    return "; ".join(texts) or "not every safety rule was asked"


class RuleBook(BaseModel):
    """The rule file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    rules: tuple[RuleText, ...]


@lru_cache(maxsize=1)
def rule_book() -> RuleBook:
    """The rules that ship with Redoxa, read once."""
    text = Path(__file__).with_name("safety_rules.yaml").read_text(encoding="utf-8")
    return RuleBook.model_validate(yaml.safe_load(text))


def rule_texts() -> dict[str, RuleText]:
    """Titles, reasons and sources of the rules by id."""
    return {rule.id: rule for rule in rule_book().rules}


def rules_version(limits: Limits | None = None) -> str:
    """Version of rules, limits, tables and deciding code together, e.g. ``2-4f2a90c1``; a change of any changes it."""
    values = (limits or Limits()).model_dump(mode="json")
    # Sets have no order of their own: sort them, so that every process gives the same version.
    values = {name: sorted(v) if isinstance(v, list) else v for name, v in values.items()}
    book = rule_book()
    return f"{book.version}-{content_hash([book.model_dump(mode='json'), values, _decided_by()])[:8]}"


@lru_cache(maxsize=1)
def _decided_by() -> dict[str, str]:
    """sha256 of every file whose change may change a verdict, line ends apart."""
    files = [path for pattern in DECIDING for path in Path(__file__).parent.glob(pattern)]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    return {name: hashlib.sha256(texts[name].encode()).hexdigest() for name in sorted(texts)}
