"""What a reader has seen already: no answer to him may come from an older state, wherever it is read."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class ConsistencyRequirement:
    """How new the state has to be that one request is answered from.

    `revision` is the head of the reader's ledger that he has seen, `level` his clearance, once it is known. `needed` says that the
    state must also be the newest that this process has heard of. `newest` tells afterwards whether it was.
    """

    min_revision: int = 0
    level: int = 0
    latest_required: bool = False
    is_latest: bool = True


_current: ContextVar[ConsistencyRequirement | None] = ContextVar("freshness", default=None)


def current_requirement() -> ConsistencyRequirement:
    """That of the request under way; where there is none, the newest state."""
    return _current.get() or ConsistencyRequirement(latest_required=True)


def set_current(asked: ConsistencyRequirement) -> None:
    """Set it for the request under way, and for the tasks that it starts."""
    _current.set(asked)
