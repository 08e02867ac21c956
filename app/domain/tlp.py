"""Labels of the Traffic Light Protocol 2.0 (FIRST, 2022).

A label is stored as its level, 0 (`clear`) to 4 (`red`); a clearance is the highest level that a caller may see.
"""

from enum import StrEnum


class Label(StrEnum):
    """A TLP 2.0 label; also the clearance of a key."""

    CLEAR = "clear"
    GREEN = "green"
    AMBER = "amber"
    AMBER_STRICT = "amber_strict"
    RED = "red"

    @property
    def level(self) -> int:
        """The level, 0 to 4."""
        return LEVELS[self]


LABELS: tuple[Label, ...] = tuple(Label)
LEVELS: dict[Label, int] = {label: level for level, label in enumerate(LABELS)}
MAX_LEVEL = len(LABELS) - 1


def strictest(*labels: Label) -> Label:
    """Return the strictest of some labels."""
    return max(labels, key=LEVELS.__getitem__)
