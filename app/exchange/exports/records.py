"""The full export: everything that another Lifeline needs to give the same readings, as records in a fixed order.

Each record is an object whose `record` says what it is:

1. `export`: one, at the beginning. `version` of this format (1), the `clearance` that sees what follows, and `seq` and `hash` of the
   head of its ledger, so that whoever reads the file knows whether it is whole.
2. `place`, `source`, `route`: the reference data in order of entry, so that a parent comes before its children. The fields are those
   that `POST /v1/places` and so on take, and the `id`, from which the identifiers of indicators follow. A source's `reliability` is
   its first grade: later ones are changes. Below the clearance `amber` a route's geometry is coarse and `redacted` says so.
3. `change`: every entry of the ledger in order, as `/v1/changes` serves it without its documents: `seq`, `hash`, `type` (`report`,
   `correction`, `retraction`, `outcome`, `grade`), `report_id`, `indicator`, `source`, `report` (the statement as sent, with `id`,
   `recorded_at`, `recorded_by`), `reason`, `detail`, `recorded_at`, `recorded_by`. `app.ledger.hash_chain` hashes an entry from this.

NDJSON has one record a line. CSV and XLSX have the same fields in columns (`app.exchange.exports.columns` says how): CSV all records in
one table, XLSX a sheet for each of `export`, `places`, `sources`, `routes` and `changes`. `restore` makes a record of a row again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.kinds import KINDS
from app.exchange.exports.columns import Column, column, record_of
from app.exchange.exports.tables import CHANGES, PLACES, ROUTES, SOURCES

VERSION = 1
RECORD = column("record", "#meta+record")

# The columns of each record, by what it is.
COLUMNS: dict[str, tuple[Column, ...]] = {
    "export": (
        RECORD,
        column("version", "#meta+version", "integer"),
        column("clearance", "#meta+tlp+clearance"),
        column("seq", "#meta+seq", "integer"),
        column("hash", "#meta+hash"),
    ),
    "place": (RECORD, *PLACES),
    "source": (RECORD, *SOURCES),
    "route": (RECORD, *ROUTES),
    "change": (RECORD, *CHANGES),
}
SHEETS = {"export": "export", "place": "places", "source": "sources", "route": "routes", "change": "changes"}
# All of them in one table: records of different kinds share the columns of one name.
ALL_COLUMNS: tuple[Column, ...] = tuple({each.header: each for every in COLUMNS.values() for each in every}.values())


def restore(headers: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    """The record of a row: what the columns hold, without those that are of other records or of other kinds.

    KeyError for a record or a column that this version does not know; ValueError for a cell that its column cannot hold.
    """
    given = dict(zip(headers, texts, strict=True))
    columns = [each for each in COLUMNS[given[RECORD.header]] if each.header in given]
    record = record_of(columns, [given[each.header] for each in columns])
    if not record.get("redacted", True) and record["record"] == "change":
        # An entry has it only where something was withheld.
        del record["redacted"]
    report = record.get("report")
    if report is not None:
        report["value"] = _value(report["kind"], report["value"])
    return record


def _value(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.get(name) for name in KINDS[kind].value_model.model_fields}
