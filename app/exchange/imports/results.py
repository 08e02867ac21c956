"""Results of imports: counts, and what is wrong in which row."""

from collections import Counter
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from xlsxwriter.utility import xl_rowcol_to_cell

from app.exchange.imports.tables import UnreadableFile

MAX_PROBLEMS = 1000
# Checking a row costs far more than sending one that is wrong.
MAX_COUNTED_PROBLEMS = 10_000
MAX_SHOWN_REPORTS = 20

# Receives the number of rows of each batch.
Progress = Callable[[int], None]


class ImportContent(StrEnum):
    """Content of a file: rows of statements, or a full export of a Lifeline."""

    STATEMENTS = "statements"
    EXPORT = "export"


class RowProblemOut(BaseModel):
    """A problem in one row."""

    row: int = Field(description="Row as a spreadsheet counts, from 1; line of NDJSON; position in a JSON list, from 1.")
    column: str = Field(description="Header of the column, or the field.")
    cell: str | None = Field(description="Cell, such as F17. Null: the file has no cells, or no column has the field.")
    sheet: str | None = Field(description="Sheet of the workbook. Null: the file is not a workbook.")
    detail: str = Field(description="What is wrong, in words.")

    @property
    def location(self) -> str:
        """The location as a spreadsheet writes it (`Sheet1!F17`), or the row and the field (`17/value/people`)."""
        location = self.cell or f"{self.row}{'' if self.column.startswith('/') else ' '}{self.column}".strip()
        return location if self.sheet is None else f"{self.sheet}!{location}"


def row_problem(row: int, column: str, detail: str, index: int | None = None, sheet: str | None = None) -> RowProblemOut:
    """Return a problem in one row; `index` is the position of its column, None if the file has no cells or no column has the field."""
    cell = None if index is None else xl_rowcol_to_cell(row - 1, index)
    return RowProblemOut(row=row, column=column, cell=cell, sheet=sheet, detail=detail)


class FileResult(BaseModel):
    """The result of an import or of its dry run."""

    # The schema would show a plain default, but not the value of a factory.
    model_config = ConfigDict(json_schema_serialization_defaults_required=True, serialize_by_alias=True)

    written: bool = Field(default_factory=bool, description="Whether the file was written; false for a dry run.")
    rows: int = Field(default_factory=int, description="Rows of statements, or records of a full export.")
    created: int = Field(default_factory=int, description="Reports or records that were recorded, or would be.")
    existing: int = Field(default_factory=int, description="Rows recorded before; the dry run of a full export counts them as created.")
    problem_count: int = Field(default_factory=int, description=f"Number of problems; more than {MAX_COUNTED_PROBLEMS:,} are refused.")
    problems: list[RowProblemOut] = Field(default_factory=list, description=f"The first {MAX_PROBLEMS:,} problems.")
    notes: list[str] = Field(default_factory=list, description="What was not read, such as hidden sheets and rows, in words.")

    def note(self, text: str) -> None:
        """Record what the reader of the result should know, once."""
        if text not in self.notes:
            self.notes.append(text)

    def reject(self, problems: Iterable[RowProblemOut]) -> None:
        """Record problems; UnreadableFile above the maximum number of problems."""
        for each in problems:
            self.problem_count += 1
            if self.problem_count <= MAX_PROBLEMS:
                self.problems.append(each)
        if self.problem_count > MAX_COUNTED_PROBLEMS:
            first = self.problems[0]
            raise UnreadableFile(
                f"More than {MAX_COUNTED_PROBLEMS} problems, so the rest was not read. The first is in {first.location}: {first.detail}."
            )


class ImportOut(FileResult):
    """The result of an import or of its dry run."""

    holds: ImportContent = Field(description="Content of the file.")
    refused: int = Field(default_factory=int, description="Rows of statements with a problem.")
    added: Counter[str] = Field(default_factory=Counter, description="Full export: `created` by type of record and change.")
    unknown: Counter[str] = Field(default_factory=Counter, description="Full export: entries of types unknown to this version, by type.")
    conflicts: int = Field(
        default_factory=int,
        serialization_alias="otherwise",
        description="Full export: amendments that conflict with those of this service, and were not applied.",
    )
    unread_columns: list[str] = Field(default_factory=list, description="Columns that match no field.")
    shown: list[dict[str, Any]] = Field(
        default_factory=list, description=f"The first {MAX_SHOWN_REPORTS} reports, as they would be sent to `/v1/reports`."
    )
    clearance: str = Field(default="", exclude=True, description="Full export: clearance that the file is for.")
