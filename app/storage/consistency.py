"""The consistency requirement of one request: no response is older than what its client has already seen."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class ConsistencyRequirement:
    """The least recent state that may answer a request.

    `min_revision` is the newest head that the client has seen, in the ledger of the clearance `level`.
    `latest_required` demands the latest commit that this process knows of; `is_latest` tells after the reads whether all had the latest
    that this clearance sees.
    """

    min_revision: int = 0
    level: int = 0
    latest_required: bool = False
    is_latest: bool = True

    def require_latest(self) -> None:
        """Demand the latest commit that this process knows of from now on."""
        self.latest_required = True

    def require_revision(self, revision: int) -> None:
        """Demand at least this revision from now on."""
        self.min_revision = max(self.min_revision, revision)


_current: ContextVar[ConsistencyRequirement | None] = ContextVar("consistency_requirement", default=None)


def current_requirement() -> ConsistencyRequirement:
    """Return the requirement of the current request; outside a request, one for the latest commit."""
    return _current.get() or ConsistencyRequirement(latest_required=True)


def set_current(requirement: ConsistencyRequirement) -> None:
    """Set the requirement of the current request and of the tasks that it starts; called once, before the application runs."""
    _current.set(requirement)
