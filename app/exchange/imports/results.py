"""Results of imports: counts, and what is wrong in which row."""

from collections.abc import Callable
from dataclasses import dataclass, field

MAX_PROBLEMS = 1000

# Receives the number of rows of each batch.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A problem in one row; `column` is the header or the field, `cell` an A1 reference if the file has cells."""

    row: int
    column: str
    detail: str
    cell: str | None = None
    sheet: str | None = None

    @property
    def location(self) -> str:
        """Return the location as a spreadsheet writes it (`Sheet1!F17`), or the row and the field (`17/value/people`)."""
        location = self.cell or f"{self.row}{'' if self.column.startswith('/') else ' '}{self.column}".strip()
        return location if self.sheet is None else f"{self.sheet}!{location}"


@dataclass(slots=True)
class FileResult:
    """The result of an import or of its dry run; `problems` has the first MAX_PROBLEMS of `problem_count`."""

    written: bool = False
    rows: int = 0
    existing: int = 0
    problem_count: int = 0
    problems: list[RowProblem] = field(default_factory=list)

    def reject(self, *problems: RowProblem) -> None:
        """Record problems."""
        self.problem_count += len(problems)
        self.problems += problems[: MAX_PROBLEMS - len(self.problems)]
