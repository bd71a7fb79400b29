"""Who decides about requests: named persons, those of the laboratory file where it lists any."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Literal

from redoxa.data.errors import InputError, SafetyError
from redoxa.data.lab.laboratory import Laboratory
from redoxa.data.lab.request import QueueEvent

Right = Literal["may_approve", "may_override"]

MAX_NAME = 120
"""Characters that the audit trail holds of a name."""


def plain_name(actor: str) -> str:
    """``person:Ada `` as ``ada``, so that spelling makes no other person."""
    return " ".join(unicodedata.normalize("NFKC", actor).casefold().split()).removeprefix("person:").strip()


def ensure_person(by: str, what: str = "approve") -> None:
    """Raise unless a name can be a person's.

    Raises:
        InputError: it names nobody, or a policy, or is longer than the audit trail holds.
    """
    name = plain_name(by)
    if not name or name.startswith("policy:"):
        raise InputError(f"'{by}' is no person who could {what} a request; give a name, with --by for example")
    if len(by) > MAX_NAME:
        raise InputError(f"'{by[:20]}...' has {len(by)} characters; a name has at most {MAX_NAME}")


def ensure_may(by: str, right: Right, laboratory: Laboratory) -> None:
    """Raise where the laboratory lists its people and this one may not.

    Raises:
        InputError: it says who may.
    """
    if not laboratory.people:
        return
    allowed = [person.name for person in laboratory.people if getattr(person, right)]
    if plain_name(by) not in {plain_name(name) for name in allowed}:
        verb = right.removeprefix("may_")
        who = f"Who may: {', '.join(allowed)}" if allowed else "Nobody may"
        raise InputError(f"'{by}' may not {verb} requests here. {who}; `people` in the laboratory file says so")


def ensure_not_proposer(request_id: str, by: str, events: Iterable[QueueEvent], what: str = "approve") -> None:
    """Raise where a person proposed the request.

    Raises:
        SafetyError: somebody else has to decide.
    """
    name = plain_name(by)
    if any(plain_name(event.actor) == name for event in events if event.action == "propose"):
        raise SafetyError(f"request {request_id} was proposed by {by}: somebody else has to {what} it")
