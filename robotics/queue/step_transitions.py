"""The one table of what may happen to a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from redoxa.data.errors import TransitionError
from redoxa.data.lab.steps import StepState as State

STEP_TRANSITIONS: Final[Mapping[str, tuple[frozenset[State], State]]] = {
    "ready": (frozenset({State.WAITING}), State.READY),
    "claim": (frozenset({State.READY}), State.CLAIMED),
    "give_back": (frozenset({State.CLAIMED}), State.READY),
    "expire": (frozenset({State.CLAIMED}), State.READY),
    "start": (frozenset({State.CLAIMED}), State.RUNNING),
    "finish": (frozenset({State.RUNNING}), State.DONE),
    "fail": (frozenset({State.CLAIMED, State.RUNNING}), State.FAILED),
    "lose": (frozenset({State.RUNNING}), State.UNKNOWN),
    "hear": (frozenset({State.UNKNOWN}), State.RUNNING),
    "settle": (frozenset({State.UNKNOWN}), State.FAILED),
    "conclude": (frozenset({State.UNKNOWN}), State.DONE),
    "again": (frozenset({State.RUNNING}), State.READY),
    "retry": (frozenset({State.FAILED}), State.READY),
    "hold": (frozenset({State.WAITING, State.READY, State.CLAIMED}), State.HELD),
    "release": (frozenset({State.HELD}), State.WAITING),
    "cancel": (frozenset({State.WAITING, State.READY, State.HELD, State.FAILED}), State.CANCELLED),
}
"""Actions, and from which states to which.

`lose`: the station fell silent after it had begun. Nobody does anything with the sample then but a person (`settle`,
or `conclude` where it turns out to be done), or the station itself, heard of again (`hear`) with the token that it
holds. `again`: it went wrong in a way that harms nothing, and is repeated by itself. `release` leads to `waiting`; what
waits for nothing is then ready.
"""

AT_STATION: Final = frozenset({State.CLAIMED, State.RUNNING, State.UNKNOWN})
"""States in which a step takes a place at its station."""

OVER: Final = frozenset({State.DONE, State.CANCELLED})
"""States that nothing leaves."""


def step_target(action: str, state: State, step_id: str) -> State:
    """State after an action.

    Raises:
        TransitionError: the table does not hold it.
    """
    sources, target = STEP_TRANSITIONS[action]
    if state not in sources:
        allowed = ", ".join(sorted(s.value for s in sources))
        raise TransitionError(f"step {step_id} is {state.value}; '{action}' needs one that is {allowed}")
    return target
