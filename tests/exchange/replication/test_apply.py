"""Entries that are applied without a file or a follower."""

from datetime import timedelta

from app.cli.exchange import author_for
from app.domain.times import utc_now
from app.exchange.replication.apply import EntryApplier
from app.settings import Settings
from app.storage.database import Database


async def test_apply_with_one_invalid_entry_applies_none(database: Database) -> None:
    entry = {"type": "retraction", "report_id": None, "recorded_by": "one"}
    async with database.write() as session:
        result = await EntryApplier(author_for, Settings()).apply(session, [entry, entry | {"type": "grade", "source": "agency"}])
    refused = [(at, [each.pointer for each in errors]) for at, errors in result.refused]
    assert refused == [(1, ["/detail/reliability", "/reason", "/recorded_at"])]
    assert (result.existing, result.added) == (0, {})


async def test_apply_refuses_what_was_recorded_in_the_far_future(database: Database) -> None:
    """Otherwise it would count as the last change for ever."""
    soon, late = ((utc_now() + timedelta(hours=each)).isoformat() for each in (23, 25))
    entry = {"type": "forecast", "recorded_by": "one"}
    entries = [entry | {"recorded_at": soon}, entry | {"recorded_at": late}]
    entries += [entry | {"recorded_at": soon, "detail": {"first_recorded_at": late}}, entry]
    async with database.write() as session:
        result = await EntryApplier(author_for, Settings()).apply(session, entries)
    refused = [(at, [each.pointer for each in errors]) for at, errors in result.refused]
    assert refused == [(1, ["/recorded_at"]), (2, ["/detail/first_recorded_at"])]


async def test_apply_passes_over_unknown_types_and_kinds(database: Database) -> None:
    """A later version of Lifeline may have written them."""
    identifier = "01a22b6f-8d86-77a2-9a48-02820b589666"
    report = {"id": identifier, "kind": "weather", "sensitivity": "clear"}
    about_report = {"report_id": identifier, "indicator": identifier, "report": report, "recorded_at": "2016-07-01", "recorded_by": "one"}
    entries = [{"type": "forecast", "recorded_by": "one"}, *({"type": each, **about_report} for each in ("report", "correction", "label"))]
    async with database.write() as session:
        result = await EntryApplier(author_for, Settings()).apply(session, entries)
    assert (result.refused, result.added, result.unknown) == ([], {}, {"forecast": 1, "weather": 3})
