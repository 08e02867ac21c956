"""Results of applying the entries of another Lifeline."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from app.access.principal import Principal
from app.domain.kinds import KINDS
from app.exchange.replication.entry_schema import KNOWN_TYPES, Entry
from app.http.problems import FieldProblem, pointer
from app.reports.references import FieldErrors

# Returns as whom the entries of an organisation are recorded.
AuthorFor = Callable[[str], Principal]


@dataclass(slots=True)
class ApplyResult:
    """Counts of entries added, existing, of unknown types or kinds, and in conflict; and the errors of those refused, by position."""

    added: Counter[str] = field(default_factory=Counter)
    existing: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    conflicts: int = 0
    refused: list[tuple[int, FieldErrors]] = field(default_factory=list)

    def add(self, other: "ApplyResult") -> None:
        """Add the counts of later entries."""
        self.added += other.added
        self.existing += other.existing
        self.unknown += other.unknown
        self.conflicts += other.conflicts

    def expects(self, entry: Entry) -> bool:
        """Tell whether an entry can be applied, and count it otherwise."""
        if entry.is_withheld:
            self.existing += 1
        elif entry.type not in KNOWN_TYPES:
            self.unknown[entry.type] += 1
        elif entry.report is not None and entry.report.kind not in KINDS:
            self.unknown[entry.report.kind] += 1
        elif (kind := entry.detail.judgement and entry.detail.judgement.kind) and kind not in KINDS:
            self.unknown[kind] += 1
        else:
            return True
        return False


def within_report(errors: FieldErrors) -> FieldErrors:
    """Return errors of a report as those of the entry that carries it."""
    return [FieldProblem(pointer=pointer(["report"]) + each.pointer, detail=each.detail) for each in errors]
