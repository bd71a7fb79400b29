"""Overrides: two persons may let a request through a limit of the laboratory, never through what can hurt somebody.

Which rules may be overridden stands in ``safety_rules.yaml``. An override rests in the finding of its rule, with both
names. It holds for what the rule refused then, under the rules of then: when they change it lapses, as approvals do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redoxa.data.errors import InputError, SafetyError, suggest
from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.lab.request import QueueEvent, RequestState, SafetyFinding
from redoxa.robotics.people import ensure_may, ensure_not_proposer, ensure_person, plain_name
from redoxa.robotics.safety.check import is_allowed, refusals, rule_texts


@dataclass(frozen=True)
class Override:
    """What two persons decide; made by `decide`."""

    rules: tuple[str, ...]
    by: str
    second: str
    why: str

    @property
    def text(self) -> str:
        """The line of the audit trail."""
        return f"{', '.join(self.rules)} overridden by {self.by} and {self.second}: {self.why}"


def decide(rules: Sequence[str], by: str, second: str, why: str, laboratory: Laboratory) -> Override:
    """An override as two persons may give it.

    Raises:
        InputError: no rule, an unknown one, no reason, one person twice, or somebody who may not.
        SafetyError: a rule that nobody overrides.
    """
    for name in (by, second):
        ensure_person(name, "override")
        ensure_may(name, "may_override", laboratory)
    if plain_name(by) == plain_name(second):
        raise InputError(f"an override takes two persons; '{by}' and '{second}' are one")
    if not why.strip():
        raise InputError("an override needs a reason; give it with --why")
    known = rule_texts()
    if not rules:
        raise InputError("name the rule that is overridden, with --rule S006 for example")
    if unknown := [rule for rule in rules if rule not in known]:
        raise InputError(f"'{unknown[0]}' is not a safety rule. {suggest(unknown[0], known)}")
    if fixed := [rule for rule in rules if not known[rule].override]:
        may = ", ".join(rule for rule, text in known.items() if text.override)
        raise SafetyError(f"{fixed[0]} ({known[fixed[0]].title}) cannot be overridden by anybody; only {may} can")
    return Override(tuple(dict.fromkeys(rules)), by.strip(), second.strip(), why.strip())


def ensure_may_be_overridden(request_id: str, override: Override, events: Sequence[QueueEvent]) -> None:
    """Raise where the history of a request speaks against the override.

    Raises:
        SafetyError: one of the two proposed it.
        InputError: a person cancelled it; the safety rules did not.
    """
    for name in (override.by, override.second):
        ensure_not_proposer(request_id, name, events, "override")
    moves = [event for event in events if event.action != "note"]
    if moves and moves[-1].to_state is RequestState.CANCELLED and moves[-1].action != "refuse":
        raise InputError(
            f"request {request_id} was cancelled by {moves[-1].actor} ({moves[-1].why}), not refused by a safety rule: "
            "propose it anew"
        )


def overridden(request_id: str, findings: Sequence[SafetyFinding], override: Override) -> tuple[SafetyFinding, ...]:
    """The findings with both names in those of the rules that are overridden.

    Raises:
        InputError: a rule does not refuse the request.
        SafetyError: another rule still refuses it.
    """
    refused = {finding.rule for finding in findings if not finding.ok}
    if needless := [rule for rule in override.rules if rule not in refused]:
        told = f"refused is it by {', '.join(sorted(refused))}" if refused else "no rule refuses it"
        raise InputError(f"{needless[0]} does not refuse request {request_id}; {told}")
    names = {"overridden_by": (override.by, override.second)}
    found = tuple(f.model_copy(update=names) if f.rule in override.rules else f for f in findings)
    if not is_allowed(found):
        raise SafetyError(f"request {request_id} stays refused by other rules: {refusals(found)}")
    return found


def carried(
    findings: Sequence[SafetyFinding], stored: Sequence[SafetyFinding], *, same_rules: bool
) -> tuple[SafetyFinding, ...]:
    """New findings with the overrides of stored ones, where the same rule refuses the same under the same rules."""
    kept = {(f.rule, f.text): f.overridden_by for f in stored if f.overridden_by and same_rules}
    return tuple(
        f if f.ok else f.model_copy(update={"overridden_by": kept.get((f.rule, f.text), ())}) for f in findings
    )
