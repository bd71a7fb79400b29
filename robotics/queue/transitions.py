"""The one table of what may happen to a request in the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from redoxa.data.errors import TransitionError
from redoxa.data.lab.request import QueueEvent
from redoxa.data.lab.request import RequestState as State


@dataclass(frozen=True)
class Transition:
    """An action: from which states, to which state."""

    sources: frozenset[State]
    target: State


TRANSITIONS: Final[Mapping[str, Transition]] = {
    "approve": Transition(frozenset({State.PROPOSED}), State.APPROVED),
    "refuse": Transition(frozenset({State.PROPOSED}), State.CANCELLED),
    "override": Transition(frozenset({State.PROPOSED, State.CANCELLED}), State.PROPOSED),
    "hold": Transition(frozenset({State.PROPOSED, State.APPROVED, State.CLAIMED}), State.HELD),
    "release": Transition(frozenset({State.HELD}), State.PROPOSED),
    "cancel": Transition(frozenset({State.PROPOSED, State.APPROVED, State.HELD}), State.CANCELLED),
    "lapse": Transition(frozenset({State.APPROVED}), State.PROPOSED),
    "claim": Transition(frozenset({State.APPROVED}), State.CLAIMED),
    "give_back": Transition(frozenset({State.CLAIMED}), State.APPROVED),
    "expire": Transition(frozenset({State.CLAIMED}), State.APPROVED),
    "start": Transition(frozenset({State.CLAIMED}), State.RUNNING),
    "adopt": Transition(frozenset({State.RUNNING}), State.RUNNING),
    "finish": Transition(frozenset({State.RUNNING}), State.DONE),
    "shelve": Transition(frozenset({State.RUNNING}), State.HELD),
    "withdraw": Transition(frozenset({State.RUNNING}), State.HELD),
    "settle": Transition(frozenset({State.HELD}), State.CANCELLED),
    "fail": Transition(frozenset({State.CLAIMED, State.RUNNING}), State.FAILED),
}
"""Actions by name. `running` means that something may have been sent to the laboratory: it never goes back to
`approved`, so that nothing is sent twice. A released request has to be approved again, and so has one whose approval
lapsed: the safety rules have changed since it was given. `override` takes up what the safety rules refused, and only
that (`safety.overrides`); it has to be approved all the same. `shelve` is for what could not be handed over: should
it have arrived after all, it goes on under the same key, and the laboratory is asked before anything is sent.
`withdraw` calls back what is with the laboratory: only `settle`, by a person who knows where the sample is, leads on
from there."""

FINAL: Final = frozenset({State.DONE, State.FAILED, State.CANCELLED})
"""States that nothing leaves but an override, which takes a refused request up again."""


WITHDRAWN: Final = "withdrawn; where is the sample?"

LATE: Final = "late, after it was called back; kept as evidence, and nothing is learned from it"


def ensure_sample_is_known(action: str, events: Sequence[QueueEvent]) -> None:
    """Raise where a held request was withdrawn and is to go elsewhere than to `settle`, or the other way round.

    Raises:
        TransitionError: it says what to do.
    """
    moved = [event for event in events if event.from_state is not event.to_state]
    withdrawn = bool(moved) and moved[-1].action == "withdraw"
    if withdrawn and action != "settle":
        request_id = moved[-1].request_id
        raise TransitionError(
            f"request {request_id} was {WITHDRAWN} Say it first: redoxa queue settle {request_id} --sample WHERE "
            "--by NAME"
        )
    if not withdrawn and action == "settle":
        raise TransitionError("only a request that was withdrawn is settled; `redoxa queue cancel` closes others")


def target_of(action: str, state: State, request_id: str) -> State:
    """State after an action.

    Raises:
        TransitionError: the table does not hold it.
    """
    transition = TRANSITIONS[action]
    if state not in transition.sources:
        allowed = ", ".join(sorted(s.value for s in transition.sources))
        raise TransitionError(f"request {request_id} is {state.value}; '{action}' needs one that is {allowed}")
    return transition.target
