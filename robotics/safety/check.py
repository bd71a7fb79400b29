"""Safety rules that deny by default: a request is allowed only when every rule was asked and every rule said yes.

The rules judge the request as it is, from the catalogue and from their own arithmetic; they trust nothing that the
planner wrote beside the masses (no by-product list, no warning, no reaction text).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict

from redoxa.data.errors import SafetyError
from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.lab.recipe import Synthesis
from redoxa.data.lab.request import ExperimentRequest, SafetyFinding
from redoxa.data.records import Crystal, content_hash
from redoxa.robotics.safety import chemistry, process
from redoxa.robotics.safety.energetic import energetic
from redoxa.robotics.safety.reactions import harmful_powders, reactions
from redoxa.robotics.safety.subject import RequestRule, RequestSubject, Subject, SynthesisRule

__all__ = [
    "RULES",
    "SYNTHESIS_RULES",
    "RuleText",
    "check",
    "check_synthesis",
    "ensure_allowed",
    "is_allowed",
    "is_settled",
    "refusals",
    "rule_texts",
    "rules_version",
]

SYNTHESIS_RULES: Final[dict[str, SynthesisRule]] = {
    "S001": chemistry.radioactive,
    "S002": chemistry.toxic,
    "S003": chemistry.oxidiser_with_fuel,
    "S004": chemistry.gas_amount,
    "S005": chemistry.air_sensitive,
    "S006": process.furnace,
    "S010": chemistry.known_precursors,
    "S011": chemistry.toxic_gas,
    "S012": chemistry.furnace_gas,
    "S013": chemistry.vessel,
    "S014": chemistry.bookkeeping,
    "S017": energetic,
    "S018": reactions,
    "S019": harmful_powders,
}
"""Rules about making the powder: the planner asks them too, and never proposes what they refuse."""

REQUEST_RULES: Final[dict[str, RequestRule]] = {
    "S007": process.amounts,
    "S008": process.voltage_window,
    "S009": process.cycling_steps,
    "S015": process.cell_materials,
    "S016": process.identity,
}
"""Rules about a whole request, with its cells and cycling."""

RULES: Final = tuple(sorted({*SYNTHESIS_RULES, *REQUEST_RULES}))
"""Ids of all rules."""

ROOT: Final = Path(__file__).parents[2]
DECIDING: Final = (
    "robotics/safety/*.py",
    "robotics/cycling/cells.py",
    "robotics/cycling/currents.py",
    "robotics/cycling/protocol.py",
    "data/synthesis/formula.py",
    "data/synthesis/catalogue.py",
    "data/synthesis/precursors.yaml",
    "data/chemistry.py",
    "data/lab/laboratory.py",
    "data/units.py",
)
"""Files that decide beside the rule file itself."""


class RuleText(BaseModel):
    """What a rule is called, whether two persons may override it, why it is there, and where the reason comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    override: bool
    reason: str
    source: str


def check(request: ExperimentRequest, laboratory: Laboratory | None = None) -> tuple[SafetyFinding, ...]:
    """Ask every rule about a request; each answers ok or says what it refuses."""
    subject = RequestSubject.of(request, laboratory or Laboratory())
    answers = {rule: ask(subject) for rule, ask in SYNTHESIS_RULES.items()}
    answers |= {rule: ask(subject) for rule, ask in REQUEST_RULES.items()}
    titles = rule_texts()
    return tuple(
        SafetyFinding(rule=rule, ok=not answers[rule], text="; ".join(answers[rule]) or titles[rule].title)
        for rule in RULES
    )


def check_synthesis(synthesis: Synthesis, laboratory: Laboratory, crystal: Crystal | None = None) -> list[str]:
    """What the rules about making a powder refuse, each with its id; empty when they refuse nothing."""
    subject = Subject(synthesis, laboratory, crystal)
    return [f"{rule} {text}" for rule, ask in SYNTHESIS_RULES.items() for text in ask(subject)]


def is_allowed(findings: Sequence[SafetyFinding]) -> bool:
    """Whether every rule answered exactly once, and allowed it or was overridden. No findings means no."""
    return sorted(f.rule for f in findings) == sorted(RULES) and all(is_settled(f) for f in findings)


def is_settled(finding: SafetyFinding) -> bool:
    """Whether a rule allowed the request, or may be overridden and was, by two persons."""
    text = rule_texts().get(finding.rule)
    return finding.ok or (finding.is_settled and text is not None and text.override)


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
    texts = [f"{f.rule} {f.text}" for f in findings if not is_settled(f)]
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


def rules_version(laboratory: Laboratory | None = None) -> str:
    """Version of rules, laboratory, tables and deciding code together, e.g. ``2-4f2a90c1``; any change changes it."""
    values = _in_order((laboratory or Laboratory()).model_dump(exclude={"name", "people", "stock"}))
    book = rule_book()
    return f"{book.version}-{content_hash([book.model_dump(mode='json'), values, _decided_by()])[:8]}"


def _in_order(value: Any) -> Any:
    """Sets as sorted lists: they have no order of their own, and every process has to give the same version."""
    if isinstance(value, dict):
        return {name: _in_order(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_in_order(inner) for inner in value]
    return sorted(value) if isinstance(value, frozenset) else value


@lru_cache(maxsize=1)
def _decided_by() -> dict[str, str]:
    """sha256 of every file whose change may change a verdict, line ends apart."""
    files = [path for pattern in DECIDING for path in ROOT.glob(pattern)]
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}
    return {name: hashlib.sha256(texts[name].encode()).hexdigest() for name in sorted(texts)}
