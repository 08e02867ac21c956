"""Bundles: three Lifelines that meet by files alone agree in the end, take no forged entry, and name a fork with its two checkpoints."""

import asyncio
import io
import random
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pyrage
import pytest
import zstandard
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.keys import create_key
from app.access.models import ApiKey
from app.access.principal import Scope
from app.assessment.stale import assess_stale
from app.cli.exchange import author_for
from app.domain.tlp import MAX_LEVEL, Label
from app.exchange.replication.apply import EntryApplier
from app.exchange.replication.bundle_transfer import BundleReader, BundleResult, write_bundle
from app.exchange.replication.bundles import MAGIC, ForkFound, InvalidBundle
from app.http.problems import Problem
from app.ledger.checkpoints import CheckpointSigner
from app.ledger.models import Partner
from app.ledger.notes import COSIGNATURE, Checkpoint, SignedNote
from app.ledger.partners import read_partners, read_public_proof
from app.ledger.signing_key import LedgerKey
from app.reference.models import Place, Source
from app.reference.queries import find_places, find_sources
from app.reference.schemas import PlaceIn
from app.reference.service import add_place
from app.reference.updates import change_record
from app.reports.amendments import record_grade, record_outcome, reinstate_report
from app.reports.labels import change_label, confirm_declassification
from app.reports.models import LabelProposal, Report
from app.reports.schemas import GradeIn, OutcomeIn, WarningOutcome
from app.reports.service import correct_report, record_reports, retract_report
from app.reports.validation import validate
from app.storage.database import Database
from tests.exchange.replication.frames import bundle_of, frames
from tests.exchange.stored_state import stored_assessments, verification_problems
from tests.support.factories import report, seed
from tests.support.fixtures import FULL, sqlite_only
from tests.support.servers import invoke, settings_on

WORDS = tuple("abcdefghijklmnopqrstuvwxyz")


class Site:
    """One Lifeline with a database and a key."""

    def __init__(self, name: str, url: str, folder: Path) -> None:
        (folder / name).mkdir(exist_ok=True)
        self.name, self.url = name, url
        self.key = LedgerKey.create(f"{name}.example.org/aid", folder / name / "signing.key")
        self.settings = settings_on(url, origin=self.key.origin, signing_key_file=str(self.key.file))
        self.identity = pyrage.x25519.Identity.generate()
        self.database = Database(self.settings)

    async def know(self, other: "Site", level: Label) -> None:
        """Make another site a partner."""
        row = Partner(
            name=other.name, log_vkey=str(other.key.signer(0).verifier()), cosigner_vkey=str(other.key.cosigner.verifier(COSIGNATURE)),
            url="https://unreachable.example", clearance=level.level, age_recipient=str(other.identity.to_public()),
        )  # fmt: skip
        async with self.database.write() as session:
            session.add(row)

    async def write(self, other: "Site", since: bytes | None = None) -> bytes:
        """Return a bundle for another site."""
        async with self.database.read_latest() as connection:
            partner = next(each for each in await read_partners(connection) if each["name"] == other.name)
        file = io.BytesIO()
        await write_bundle(self.database, self.key, self.settings, partner, since, file)
        return file.getvalue()

    async def read(self, content: bytes, *, write: bool = True) -> BundleResult:
        """Read a bundle."""
        reader = BundleReader(self.database, self.settings, self.key, EntryApplier(author_for, self.settings), [self.identity])
        return await reader.read(io.BytesIO(content), write=write)

    async def record(self, *bodies: dict[str, Any]) -> None:
        """Record statements."""
        async with self.database.write() as session:
            sent = [validate(each, self.settings) for each in bodies]
            outcomes, _ = await record_reports(session, author_for(self.name), sent, self.settings)
            assert not [each for each in outcomes if isinstance(each, list)], outcomes

    async def amend(self, number: int, people: int | None, stated_at: str) -> None:
        """Correct a standing report, whichever site recorded it, or retract it without a figure."""
        async with self.database.write() as session:
            standing = col(Report.superseded_from_level).is_(None) & col(Report.retracted_from_level).is_(None)
            trapped = col(Report.kind) == "trapped_population"
            ids = (await session.scalars(select(col(Report.id)).where(standing, trapped).order_by(col(Report.id)))).all()
            if not ids:
                return
            id_, author = ids[number % len(ids)], author_for(self.name)
            if people is None:
                await retract_report(session, author, id_, "withdrawn", self.settings)
            else:
                sent = validate(report(value={"people": people}, stated_at=stated_at), self.settings)
                await correct_report(session, author, id_, sent, "misread", self.settings)

    async def reinstate(self, number: int) -> None:
        """Reinstate a withdrawn report, whichever site withdrew it."""
        async with self.database.write() as session:
            withdrawn = select(col(Report.id)).where(col(Report.retracted_from_level).is_not(None)).order_by(col(Report.id))
            if ids := (await session.scalars(withdrawn)).all():
                await reinstate_report(session, author_for(self.name), ids[number % len(ids)], "said after all", self.settings)

    async def label(self, number: int, label: Label) -> None:
        """Raise the label of a report, or let two persons lower it."""
        async with self.database.write() as session:
            ids = (await session.scalars(select(col(Report.id)).order_by(col(Report.id)))).all()
            if not ids:
                return
            author, other = [replace(author_for(self.name), key_id=await self._key(session, person)) for person in ("one", "two")]
            with suppress(Problem):
                changed, _ = await change_label(session, author, ids[number % len(ids)], label, "a risk", self.settings)
                if isinstance(changed, LabelProposal):
                    await session.flush()
                    await confirm_declassification(session, other, changed.id, self.settings)

    async def _key(self, session: AsyncSession, person: str) -> UUID:
        known = await session.scalar(select(col(ApiKey.id)).where(col(ApiKey.person) == person).limit(1))
        if known is None:
            key, _ = await create_key(session, name=person, organisation=self.name, person=person, scopes=Scope, clearance=Label.RED)
            known = key.id
        return known

    async def grade(self, source: str, number: int) -> None:
        """Grade a source, unless that is its grade."""
        with suppress(Problem):
            async with self.database.write() as session:
                sent = GradeIn(reliability=GRADES[number % len(GRADES)], reason="again")
                await record_grade(session, author_for(self.name), source, sent, self.settings)

    async def patch(self, source: str, number: int) -> None:
        """Change whether a source is a party, and its name."""
        async with self.database.write() as session:
            (found,) = (await find_sources(await session.connection(), [source], MAX_LEVEL)).values()
            changes = {"name": f"Name {number % 3}", "party_to_conflict": number % 2 == 0}
            await change_record(session, author_for(self.name), Source, found.id, changes)
            await assess_stale(session, self.settings.horizons, found.id)

    async def end_warning(self, number: int) -> None:
        """Record an outcome of the warnings, with a report that shows it, which this site or another one may withdraw."""
        async with self.database.write() as session:
            shown = select(col(Report.id), col(Report.indicator_id)).where(col(Report.kind) == "supply_runout").order_by(col(Report.id))
            if rows := (await session.execute(shown)).all():
                row = rows[number % len(rows)]
                outcome = OUTCOMES[number % len(OUTCOMES)]
                with suppress(Problem):
                    sent = OutcomeIn(outcome=outcome, reason="seen", report=row.id)
                    await record_outcome(session, author_for(self.name), row.indicator_id, sent, self.settings)

    async def labels(self) -> dict[UUID, int]:
        """Return the label of each report."""
        async with self.database.read_latest() as connection:
            return dict(tuple(row) for row in await connection.execute(select(col(Report.id), col(Report.level))))

    async def note(self, level: int = 0) -> bytes:
        """Return the signed checkpoint."""
        return (await CheckpointSigner(self.settings).cosigned(self.database, level)).note


MakeSites = Callable[..., Any]


@pytest.fixture
async def make_sites(new_database: Callable[[], str], tmp_path: Path) -> AsyncIterator[MakeSites]:
    """Return a function that makes sites, each a partner of all others."""
    made: list[Site] = []

    async def make(*names: str, level: Label = Label.CLEAR) -> list[Site]:
        (folder := tmp_path / str(len(made))).mkdir()
        sites = [Site(name, new_database(), folder) for name in names]
        made.extend(sites)
        await seed(sites[0].url)
        for site in sites:
            for other in sites:
                if site is not other:
                    await site.know(other, level)
        return sites

    yield make
    for each in made:
        await each.database.close()


async def test_bundle_brings_everything_and_takes_the_cosignature_back(make_sites: MakeSites) -> None:
    """Encrypted above `clear`; the reader's cosignature is in the writer's checkpoint after the next bundle."""
    one, other = await make_sites("north", "south", level=Label.AMBER)
    await one.record(*(report(value={"people": number}, sensitivity=("clear", "amber", "red")[number % 3]) for number in range(480)))
    content = await one.write(other)
    assert frames(content)[0].startswith(b"age-encryption.org/v1")
    checked = await other.read(content, write=False)
    assert (checked.complete, checked.entries, checked.applied.added) == (True, checked.checkpoint.size, {})
    done = await other.read(content)
    assert (done.applied.added["report"], done.checkpoint.origin) == (320, "north.example.org/aid/amber")
    again = await other.read(content)
    assert sum(again.applied.added.values()) == 0
    back = await one.read(await other.write(one))
    assert (back.cosignatures, sum(back.applied.added.values())) == (1, 0)
    note = SignedNote.parse(await one.note(Label.AMBER.level))
    assert note.signed_at(other.key.cosigner.verifier(COSIGNATURE)) is not None
    async with one.database.read() as connection:
        assert (await read_public_proof(connection, 0, "north.example.org/aid/clear"))["partners"] == 0
    # Since the checkpoint, with the rest of its tile.
    since = await one.note(Label.AMBER.level)
    await one.record(report(value={"people": 5}, source="monitor"))
    more = await one.write(other, since)
    assert len(frames(more)) == len(frames(content)) - 1 == 3
    assert (await other.read(more)).applied.added["report"] == 1
    stranger = pyrage.x25519.Identity.generate()
    other.identity = stranger
    with pytest.raises(InvalidBundle, match="another age identity"):
        await other.read(content)
    with pytest.raises(InvalidBundle, match="must be a checkpoint of"):
        await one.write(other, await other.note())


@sqlite_only
async def test_torn_bundle_is_good_up_to_the_tear(make_sites: MakeSites) -> None:
    one, other = await make_sites("north", "south")
    chance = random.Random(1)
    quotes = [" ".join("".join(chance.sample(WORDS, 4)) for _ in range(12)) for _ in range(600)]
    await one.record(*(report(value={"people": at}, provenance={"quote": each}) for at, each in enumerate(quotes)))
    content = await one.write(other)
    parts = frames(content)
    assert len(parts) == 5
    # 10,000 statements fit in 1.5 MB.
    assert len(content) < 600 * 150
    size = Checkpoint.parse(SignedNote.parse(await one.note()).text).size
    ends = {len(bundle_of(parts[:count])): min((count - 1) * 256, size) for count in range(1, 6)}
    for length in (0, 5, len(MAGIC), len(MAGIC) + 2, len(bundle_of(parts[:1])) - 1):
        with pytest.raises(InvalidBundle):
            await other.read(content[:length])
    for length in (len(bundle_of(parts[:2])) + 700, len(bundle_of(parts[:3])), len(content) - 1):
        torn = await other.read(content[:length])
        whole = max(count for end, count in ends.items() if end <= length)
        assert (torn.entries, torn.complete) == (whole, False)
        assert other.key.last_cosigned("north.example.org/aid/clear") is None
    damaged = bundle_of([*parts[:2], parts[2][:50] + b"x" + parts[2][51:], *parts[3:]])
    assert (await other.read(damaged, write=False)).entries == 256
    rest = await other.read(content)
    assert (rest.complete, rest.entries, sum(rest.applied.added.values())) == (True, size, 0)
    assert await stored_assessments(one.url) == await stored_assessments(other.url)


@sqlite_only
async def test_carrier_forges_nothing(make_sites: MakeSites) -> None:
    """Nor does a frame with a bomb, entries that were left out, or the key of another log."""
    one, other, third = await make_sites("north", "south", "west")
    await one.record(*(report(value={"people": number}) for number in range(600)))
    parts = frames(await one.write(other))

    def forged(at: int, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
        lines = zstandard.decompress(parts[at]).split(b"\n")
        return bundle_of([*parts[:at], zstandard.compress(b"\n".join(change(lines))), *parts[at + 1 :]])

    def head(**changes: Any) -> Callable[[list[bytes]], list[bytes]]:
        return lambda lines: [orjson.dumps(orjson.loads(lines[0]) | changes), *lines[1:]]

    entry = zstandard.decompress(parts[2]).split(b"\n")[5]
    signed = (await third.note()).decode()
    for content in (
        forged(2, lambda lines: [*lines[:5], entry.replace(b'"people":', b'"people":9'), *lines[6:]]),
        forged(2, lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]]),
        forged(2, lambda lines: lines[:-1]),
        forged(2, lambda lines: [*lines, entry]),
        forged(2, head(first=0)),
        forged(2, head(path=[])),
        forged(2, head(redacted={"5": orjson.loads(entry)}, signature="")),
        forged(2, head(redacted={"5": orjson.loads(entry)}, signature="— north.example.org/aid/clear AAAAAAAA\n")),
        forged(2, head(first="x")),
        forged(2, lambda _: [b"[]"]),
        forged(0, head(checkpoint=signed)),
        forged(0, head(checkpoint=signed.replace("west", "east"))),
        forged(0, head(checkpoint=signed.replace("west", "north"))),
        bundle_of([parts[0], parts[1], parts[3], parts[4]]),
        bundle_of([parts[0], *parts[2:]]),
        b"PK" + bundle_of(parts)[2:],
    ):
        with pytest.raises((InvalidBundle, ForkFound)):
            await other.read(content)
    bomb = bundle_of([parts[0], zstandard.compress(b"0" * 70_000_000), *parts[1:]])
    assert ((await other.read(bomb)).entries, (await other.read(bundle_of([*parts[:2], parts[4]]))).complete) == (0, False)
    async with other.database.read() as connection:
        assert set(await connection.scalars(select(col(Report.recorded_by)))) <= {"north"}


@sqlite_only
async def test_fork_is_named_with_its_two_checkpoints(make_sites: MakeSites, tmp_path: Path) -> None:
    """Whether it comes after, before or beside what is known, and on the command line."""
    one, other = await make_sites("north", "south")
    await one.record(*(report(value={"people": number}) for number in range(300)))
    await one.database.close()
    copy = tmp_path / "fork.db"
    await asyncio.to_thread(shutil.copy, one.url.removeprefix("sqlite:///"), copy)
    twin = Site.__new__(Site)
    twin.__dict__ = {**one.__dict__, "url": f"sqlite:///{copy}"}
    (tmp_path / "twin").mkdir()
    twin.key = LedgerKey(one.key.origin, one.key.private, tmp_path / "twin" / "signing.key")
    twin.key.begin()
    await asyncio.to_thread(twin.key.file.write_bytes, one.key.file.read_bytes())
    twin.settings = settings_on(twin.url, origin=twin.key.origin, signing_key_file=str(twin.key.file))
    twin.database, one.database = Database(twin.settings), Database(one.settings)
    await twin.record(report(value={"people": 1000}))
    shorter = await twin.write(other)
    since = await twin.note()
    await one.record(*(report(value={"people": 2000 + number}) for number in range(300)))
    assert (await other.read(await one.write(other))).complete
    known = other.key.last_cosigned("north.example.org/aid/clear")
    await twin.record(*(report(value={"people": 3000 + number}) for number in range(700)))
    for content in (shorter, await twin.write(other), await twin.write(other, since)):
        with pytest.raises(ForkFound) as found:
            await other.read(content)
        notes = [SignedNote.parse(each.encode()) for each in found.value.checkpoints]
        assert all(each.signed_at(one.key.signer(0).verifier()) == 0 for each in notes)
        assert len({str(Checkpoint.parse(each.text)) for each in notes}) == 2
    assert other.key.last_cosigned("north.example.org/aid/clear") == known
    (file := tmp_path / "bundle").write_bytes(shorter)
    more = {"database_url": other.url, "origin": other.key.origin, "signing_key_file": str(other.key.file)}
    refused = await asyncio.to_thread(invoke, "bundle", "read", str(file), "--write", **more)
    assert (refused.exit_code, refused.output.count("north.example.org/aid/clear\n")) == (1, 2), refused.output
    await twin.database.close()


@sqlite_only
async def test_bundle_commands_write_and_read(make_sites: MakeSites, tmp_path: Path) -> None:
    one, other = await make_sites("north", "south", level=Label.AMBER)
    await one.record(report(sensitivity="amber"))
    file, checkpoint = tmp_path / "north.bundle", tmp_path / "checkpoint"
    checkpoint.write_bytes(await one.note(Label.AMBER.level))
    (identity := tmp_path / "age.txt").write_text(f"# mine\n{other.identity}\n")

    def run(site: Site, *arguments: str) -> tuple[int, str]:
        more = {"database_url": site.url, "origin": site.key.origin, "signing_key_file": str(site.key.file)}
        result = invoke("bundle", *arguments, **more)
        return result.exit_code, result.output

    steps = (
        (one, ("write", "--for", "east", str(file)), 1, "no partner east"),
        (one, ("write", "--for", "south", str(file)), 0, "Wrote"),
        (one, ("write", "--for", "south", "--since", str(checkpoint), str(file)), 0, "Wrote"),
        (one, ("write", "--for", "south", "--since", str(identity), str(file)), 1, "must be a checkpoint"),
        (other, ("read", str(file)), 1, "name yours with --identity"),
        (other, ("read", str(file), "--identity", str(checkpoint)), 1, "holds no age identity"),
        (other, ("read", str(file), "--identity", str(identity)), 0, "add --write"),
        (other, ("read", str(file), "--identity", str(identity), "--write"), 0, "1 report"),
        (other, ("read", str(tmp_path / "none"), "--write"), 1, "cannot be"),
    )
    for site, arguments, code, words in steps:
        found = await asyncio.to_thread(run, site, *arguments)
        assert (found[0], words in found[1]) == (code, True), (arguments, found[1])
    assert file.stat().st_mode & 0o777 == 0o600


WRITES = ("record", "record", "warn", "amend", "retract", "retract", "reinstate", "grade", "patch", "outcome", "label", "label", "lower")
STEP = st.tuples(st.sampled_from((*WRITES, "write", "write", "write")), st.integers(0, 2), st.integers(0, 2), st.integers(0, 1000))
GRADES = ("A", "B", "C", "F")
OUTCOMES: tuple[WarningOutcome, ...] = ("averted", "materialised", "pending")


@sqlite_only
async def test_three_lifelines_agree_whatever_becomes_of_their_bundles(make_sites: MakeSites) -> None:
    """In random order, repeated, late, lost and torn; TEST_FULL=1 tries thirty times as many."""
    loop = asyncio.get_running_loop()

    @hypothesis_settings(
        max_examples=60 if FULL else 2, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )  # fmt: skip
    @given(st.lists(STEP, min_size=8, max_size=20), st.integers(0, 2**32), st.sampled_from((Label.CLEAR, Label.AMBER, Label.RED)))
    def exchange(steps: list[tuple[str, int, int, int]], seed: int, level: Label) -> None:
        asyncio.run_coroutine_threadsafe(_exchange(make_sites, steps, random.Random(seed), level), loop).result()

    await asyncio.to_thread(exchange)


async def _step(site: Site, what: str, to: int, number: int) -> None:
    """Let a site write what another one may write as well: the same statement, of the same time, or a change of the same thing."""
    # With a time, with a date alone, and observed at a time.
    time = ("2016-07-20T10:00:00Z", "2016-07-20", "2016-07-21T10:00:00Z")[number % 3]
    source = ("agency", "monitor", "envoy")[to]
    match what:
        case "record":
            await site.record(report(value={"people": number % 4 * 1000}, source=source, stated_at=time))
        case "warn":
            state = {} if number % 2 else {"state": "ran_out", "in_days_min": None, "in_days_max": None}
            await site.record(report("supply_runout", state, source=source, stated_at=time))
        case "amend" | "retract":
            await site.amend(number, number if what == "amend" else None, time)
        case "reinstate":
            await site.reinstate(number)
        case "label" | "lower":
            labels = (Label.RED, Label.AMBER) if what == "label" else (Label.CLEAR, Label.GREEN)
            await site.label(number // 8, labels[number % 2])
        case "grade":
            await site.grade(source, number)
        case "patch":
            await site.patch(source, number)
        case "outcome":
            await site.end_warning(number)


async def _meet(sites: list[Site]) -> None:
    """Exchange bundles until no site has anything new for another."""
    for _ in range(6):
        results = [await other.read(await site.write(other)) for site in sites for other in sites if site is not other]
        assert all(each.complete for each in results)
        if not any(each.applied.added.total() for each in results):
            return
    pytest.fail("the same entries go round in circles")


async def _exchange(make_sites: MakeSites, steps: list[tuple[str, int, int, int]], chance: random.Random, level: Label) -> None:
    sites: list[Site] = await make_sites("north", "south", "west", level=level)
    under_way: list[tuple[Site, bytes]] = []
    for site in sites[1:]:
        await site.read(await sites[0].write(site))
    for what, at, to, number in steps:
        site, other = sites[at], sites[(at + 1 + to % 2) % 3]
        if what == "write":
            under_way.append((other, await site.write(other)))
        else:
            await _step(site, what, to, number)
        for reader, content in chance.sample(under_way, chance.randint(0, min(2, len(under_way)))):
            torn = content[: chance.randint(0, len(content))] if chance.random() < 0.3 else content
            try:
                await reader.read(torn)
            except InvalidBundle:
                assert torn != content
    await _meet(sites)
    # A label that was raised on one side may stay there; under equal labels all assess alike.
    labels = [await site.labels() for site in sites]
    if labels[0] == labels[1] == labels[2]:
        # The changes of an entry are the same everywhere, but not its position: of two changes of one thing each site refuses the earlier.
        states = [await stored_assessments(each.url, positions=False) for each in sites]
        assert states[0] == states[1] == states[2]
    for each in sites:
        assert await verification_problems(each.url) == []


@sqlite_only
async def test_label_that_was_raised_and_lowered_does_not_go_round(make_sites: MakeSites) -> None:
    """Though a tombstone does not say which label it got."""
    sites = one, other = await make_sites("north", "south", level=Label.AMBER)
    await one.record(report())
    await _meet(sites)
    for label in (Label.RED, Label.GREEN, Label.AMBER, Label.CLEAR, Label.RED):
        await one.label(0, label)
        await _meet(sites)
        assert set((await one.labels()).values()) == set((await other.labels()).values()) == {label.level}
    for site in sites:
        assert await verification_problems(site.url) == []


@sqlite_only
async def test_report_that_both_sides_withdrew_ends_alike(make_sites: MakeSites) -> None:
    """Whichever did so first, and whichever reinstates it before the other hears of it."""
    sites = one, other = await make_sites("north", "south")
    await one.record(report())
    for first, second, reinstates in ((one, other, True), (other, one, True), (one, other, False)):
        await _meet(sites)
        for site in (first, second):
            await site.amend(0, None, "2016-07-20")
        if reinstates:
            await first.reinstate(0)
        await _meet(sites)
        (here,), (there,) = [await stored_assessments(each.url, positions=False) for each in sites]
        assert here == there
        assert (b'"agreement": null' not in here) == reinstates
    for site in sites:
        assert await verification_problems(site.url) == []


@sqlite_only
async def test_code_that_two_sites_gave_to_two_places_blocks_no_bundle(make_sites: MakeSites) -> None:
    """Nor do two places that were put into each other: each site keeps what it has."""
    one, other = await make_sites("north", "south")

    async def add(site: Site, slug: str, *codes: dict[str, str]) -> None:
        async with site.database.write() as session:
            await add_place(session, author_for(site.name), PlaceIn.model_validate({"slug": slug, "name": slug, "codes": codes}))

    await add(one, "left")
    await add(one, "right")
    await other.read(await one.write(other))
    for site, slug, child, parent in ((one, "harbour", "left", "right"), (other, "port", "right", "left")):
        await add(site, slug, {"scheme": "pcode", "code": "SY9901"})
        async with site.database.write() as session:
            (found,) = (await find_places(await session.connection(), [child])).values()
            await change_record(session, author_for(site.name), Place, found.id, {"parent": parent})
        await site.record(report(place=slug))
    results = [await reader.read(await writer.write(reader)) for writer, reader in ((one, other), (other, one), (one, other))]
    applied = [(each.complete, each.applied.added["report"], each.applied.conflicts) for each in results]
    assert applied == [(True, 1, 1), (True, 1, 1), (True, 0, 1)]
    for site, slug in ((one, "harbour"), (other, "port")):
        async with site.database.read() as connection:
            assert (await find_places(connection, ["pcode:SY9901"]))["pcode:SY9901"].slug == slug
            assert len(await find_places(connection, ["harbour", "port"])) == 2
        assert await verification_problems(site.url) == []
