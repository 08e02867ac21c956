"""The app that Lifeline is measured against: the same rows behind well-written plain FastAPI, SQLModel and `response_model`.

Async engine with a pool, eager loading, keyset paging, reference data looked up once a request, one transaction a batch. It has
no clearances, hash chain, filters, ETags or problem documents; its answers have the same fields as Lifeline's.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import JSON, Column, DateTime, MetaData, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import joinedload, registry, selectinload
from sqlmodel import Field as Stored
from sqlmodel import Relationship, SQLModel

DATABASE_URL = "BENCHMARK_DATABASE_URL"


def _time() -> Any:
    return Column(DateTime(timezone=True), nullable=False)


class Plain(SQLModel, registry=registry()):
    """A registry apart from Lifeline's tables."""

    metadata = MetaData()


class PlainPlace(Plain, table=True):
    """A place."""

    __tablename__ = "plain_place"
    id: int | None = Stored(default=None, primary_key=True)
    slug: str = Stored(unique=True)
    name: str
    country: str | None = None
    codes: list["PlainCode"] = Relationship()


class PlainCode(Plain, table=True):
    """A code of a place."""

    __tablename__ = "plain_code"
    id: int | None = Stored(default=None, primary_key=True)
    place_id: int = Stored(foreign_key="plain_place.id", index=True)
    scheme: str
    code: str


class PlainSource(Plain, table=True):
    """A source."""

    __tablename__ = "plain_source"
    id: int | None = Stored(default=None, primary_key=True)
    slug: str = Stored(unique=True)
    name: str
    type: str
    reliability: str
    party_to_conflict: bool


class PlainReport(Plain, table=True):
    """A statement."""

    __tablename__ = "plain_report"
    id: UUID = Stored(primary_key=True)
    indicator_id: UUID = Stored(index=True)
    source_id: int = Stored(foreign_key="plain_source.id")
    stated_at: datetime = Stored(sa_column=_time())
    recorded_at: datetime = Stored(sa_column=_time())
    value: dict[str, Any] = Stored(sa_column=Column(JSON, nullable=False))
    via: list[Any] = Stored(sa_column=Column(JSON, nullable=False))
    directness: str
    origin: dict[str, str] | None = Stored(default=None, sa_column=Column(JSON(none_as_null=True)))
    method: str
    credibility: int
    url: str | None = None
    title: str | None = None
    quote: str | None = None
    language: str | None = None
    licence: str | None = None
    source: PlainSource = Relationship()


class PlainIndicator(Plain, table=True):
    """An assessed indicator."""

    __tablename__ = "plain_indicator"
    id: UUID = Stored(primary_key=True)
    kind: str
    subject: str
    place_id: int = Stored(foreign_key="plain_place.id", index=True)
    value: dict[str, Any] = Stored(sa_column=Column(JSON, nullable=False))
    agreement: str
    stated_at: datetime = Stored(sa_column=_time())
    stale_after: datetime = Stored(sa_column=_time())
    recorded_at: datetime = Stored(sa_column=_time())
    revision: int
    reports: int
    sources: int
    origins: int
    basis: dict[str, str] = Stored(sa_column=Column(JSON, nullable=False))
    spread: float | None = None
    newest_at: datetime | None = Stored(default=None, sa_column=Column(DateTime(timezone=True)))
    newest_sound_at: datetime | None = Stored(default=None, sa_column=Column(DateTime(timezone=True)))
    sensitivity: str
    preferred_id: UUID = Stored(foreign_key="plain_report.id")
    place: PlainPlace = Relationship()
    preferred: PlainReport = Relationship()


class PlainChange(Plain, table=True):
    """An entry of the change log."""

    __tablename__ = "plain_change"
    seq: int | None = Stored(default=None, primary_key=True)
    type: str
    report_id: UUID = Stored(foreign_key="plain_report.id")
    indicator_id: UUID = Stored(foreign_key="plain_indicator.id")
    recorded_at: datetime = Stored(sa_column=_time())
    recorded_by: str
    report: PlainReport = Relationship()
    indicator: PlainIndicator = Relationship()


TABLES = [
    Plain.metadata.tables[f"plain_{name}"] for name in ("place", "code", "source", "report", "indicator", "change")
]  # fmt: skip


class CodeOut(BaseModel):
    """A code."""

    scheme: str
    code: str


class PlaceOut(BaseModel):
    """A place, in short."""

    slug: str
    name: str
    codes: list[CodeOut]
    country: str | None


class SourceOut(BaseModel):
    """A source, in short."""

    slug: str
    name: str
    type: str
    reliability: str
    party_to_conflict: bool


class AssessmentOut(BaseModel):
    """An assessment."""

    method: str
    policy: dict[str, str | None] | None
    reports: int
    sources: int
    origins: int
    preferred: UUID
    basis: dict[str, UUID]
    spread: float | None
    newest_at: datetime | None
    newest_sound_at: datetime | None


class ProvenanceOut(BaseModel):
    """A provenance."""

    report: UUID
    source: SourceOut
    stated_at: datetime
    via: list[dict[str, str]]
    directness: str
    origin: dict[str, str] | None
    method: str
    credibility: int
    url: str | None
    title: str | None
    quote: str | None
    language: str | None
    licence: str | None


class IndicatorOut(BaseModel):
    """An indicator."""

    id: UUID
    kind: str
    subject: str
    place: PlaceOut
    value: dict[str, Any]
    agreement: str
    stated_at: datetime
    stale_after: datetime
    recorded_at: datetime
    judgement: None = None
    assessment: AssessmentOut
    provenance: ProvenanceOut
    sensitivity: str
    redacted: list[str]
    links: dict[str, str]
    revision: int


class IndicatorPage(BaseModel):
    """A page."""

    items: list[IndicatorOut]
    next: str | None
    as_of: datetime | None
    revision: int


class ReportOut(BaseModel):
    """A statement as served."""

    id: UUID
    source: str
    stated_at: datetime
    recorded_at: datetime
    value: dict[str, Any]
    via: list[dict[str, str]]
    directness: str
    origin: dict[str, str] | None
    method: str
    credibility: int
    url: str | None
    title: str | None
    quote: str | None
    language: str | None
    licence: str | None


class ChangeOut(BaseModel):
    """A change as served."""

    seq: int
    type: str
    report: ReportOut
    recorded_at: datetime
    recorded_by: str
    documents: list[IndicatorOut]


class ChangePage(BaseModel):
    """A page of changes."""

    items: list[ChangeOut]
    next: int


class SituationOut(BaseModel):
    """One place's indicators together."""

    place: PlaceOut
    trapped: list[dict[str, Any]]
    supplies: list[dict[str, Any]]
    routes: list[dict[str, Any]]
    contested: list[str]


class ReportIn(BaseModel):
    """A statement as sent."""

    kind: Literal["trapped_population", "supply_runout", "route_closure"]
    place: str
    source: str
    stated_at: date | datetime
    value: dict[str, Any]
    sensitivity: str = "clear"
    credibility: Annotated[int, Field(ge=1, le=6)] = 6


class Recorded(BaseModel):
    """The answer to a posted statement."""

    id: UUID
    indicator: UUID
    recorded_at: datetime


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ[DATABASE_URL]
    engine = create_async_engine(url, pool_size=8, max_overflow=0)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    # SQLite allows one writer at a time and refuses a transaction that began by reading; PostgreSQL needs no lock.
    app.state.writing = asyncio.Lock() if url.startswith("sqlite") else nullcontext()
    yield
    await engine.dispose()


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Yield a session of the pool."""
    async with request.app.state.sessions() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session)]
LOADED = (
    joinedload(PlainIndicator.place).selectinload(PlainPlace.codes),  # type: ignore[arg-type]
    joinedload(PlainIndicator.preferred).joinedload(PlainReport.source),  # type: ignore[arg-type]
)
app = FastAPI(lifespan=_lifespan)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _indicator(row: PlainIndicator) -> IndicatorOut:
    preferred = row.preferred
    at = f"/v1/indicators/{row.id}"
    return IndicatorOut(
        id=row.id,
        kind=row.kind,
        subject=row.subject,
        place=_place(row.place),
        value=row.value,
        agreement=row.agreement,
        stated_at=_utc(row.stated_at),
        stale_after=_utc(row.stale_after),
        recorded_at=_utc(row.recorded_at),
        assessment=AssessmentOut(
            method="envelope/2",
            policy=None,
            reports=row.reports,
            sources=row.sources,
            origins=row.origins,
            preferred=row.preferred_id,
            basis={name: UUID(report) for name, report in row.basis.items()},
            spread=row.spread,
            newest_at=row.newest_at and _utc(row.newest_at),
            newest_sound_at=row.newest_sound_at and _utc(row.newest_sound_at),
        ),
        provenance=ProvenanceOut(
            report=preferred.id,
            source=SourceOut(**preferred.source.model_dump(exclude={"id"})),
            stated_at=_utc(preferred.stated_at),
            via=preferred.via,
            directness=preferred.directness,
            origin=preferred.origin,
            method=preferred.method,
            credibility=preferred.credibility,
            url=preferred.url,
            title=preferred.title,
            quote=preferred.quote,
            language=preferred.language,
            licence=preferred.licence,
        ),
        sensitivity=row.sensitivity,
        redacted=[],
        links={"self": at, "history": f"{at}/history", "reports": f"/v1/reports?indicator={row.id}"},
        revision=row.revision,
    )


def _place(place: PlainPlace) -> PlaceOut:
    codes = [CodeOut(scheme=each.scheme, code=each.code) for each in place.codes]
    return PlaceOut(slug=place.slug, name=place.name, codes=codes, country=place.country)


async def _page(session: AsyncSession, after: UUID | None, limit: int) -> tuple[Sequence[PlainIndicator], str | None]:
    statement = select(PlainIndicator).options(*LOADED).order_by(PlainIndicator.id).limit(limit + 1)  # type: ignore[arg-type]
    if after is not None:
        statement = statement.where(PlainIndicator.id > after)  # type: ignore[arg-type]
    rows = (await session.scalars(statement)).all()
    return rows[:limit], str(rows[limit - 1].id) if len(rows) > limit else None


async def _revision(session: AsyncSession) -> int:
    return (await session.scalars(select(func.max(PlainChange.seq)))).one() or 0


@app.get("/v1/indicators", response_model=IndicatorPage)
async def list_indicators(
    session: SessionDep,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    as_of: date | None = None,
) -> IndicatorPage:
    """List indicators, now or as of a day."""
    rows, following = await _page(session, cursor, limit)
    revision = await _revision(session)
    if as_of is None:
        return IndicatorPage(items=[_indicator(row) for row in rows], next=following, as_of=None, revision=revision)
    moment = datetime.combine(as_of, time.max, UTC)
    rows = await _as_of(session, rows, moment)
    return IndicatorPage(items=[_indicator(row) for row in rows], next=following, as_of=moment, revision=revision)


async def _as_of(session: AsyncSession, rows: Sequence[PlainIndicator], moment: datetime) -> list[PlainIndicator]:
    """Assess indicators from the latest statement of each source by a time; those without any are left out."""
    latest = (
        select(
            PlainReport,
            func.row_number()
            .over(
                partition_by=(PlainReport.indicator_id, PlainReport.source_id),  # type: ignore[arg-type]
                order_by=PlainReport.stated_at.desc(),  # type: ignore[attr-defined]
            )
            .label("age"),
        )
        .where(PlainReport.indicator_id.in_([row.id for row in rows]), PlainReport.stated_at <= moment)  # type: ignore[attr-defined]
        .subquery()
    )
    wanted = select(PlainReport).join(latest, latest.c.id == PlainReport.id).where(latest.c.age == 1)
    standing: dict[UUID, list[PlainReport]] = {}
    for report in await session.scalars(wanted.options(joinedload(PlainReport.source))):  # type: ignore[arg-type]
        standing.setdefault(report.indicator_id, []).append(report)
    for row in rows:
        if reports := standing.get(row.id):
            _read(row, reports)
    return [row for row in rows if row.id in standing]


def _read(row: PlainIndicator, reports: Sequence[PlainReport]) -> None:
    """Assess the latest statements of each source: the best graded one's value, and the range of people over all."""
    best = min(reports, key=lambda each: (each.source.reliability, each.credibility, -_utc(each.stated_at).timestamp()))
    value = dict(row.value) | best.value
    people = [each.value["people"] for each in reports if each.value.get("people") is not None]
    if people:
        value |= {"people_low": min(people), "people_high": max(people)}
    row.value = value
    row.basis = {name: str(each.id) for each in (*reports, best) for name in each.value if name in row.basis}
    row.spread = max(people) / min(people) if people and min(people) else None
    row.newest_at = max(_utc(each.stated_at) for each in reports)
    row.newest_sound_at = max((_utc(each.stated_at) for each in reports if not each.source.party_to_conflict), default=None)
    row.preferred_id, row.preferred, row.stated_at = best.id, best, best.stated_at
    row.reports = row.sources = row.origins = len(reports)
    row.agreement = "single" if len(reports) == 1 else "contested" if len(set(people)) > 1 else "consistent"


@app.get("/v1/changes", response_model=ChangePage)
async def list_changes(session: SessionDep, after: int = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> ChangePage:
    """List changes in order."""
    statement = (
        select(PlainChange)
        .options(
            joinedload(PlainChange.report).joinedload(PlainReport.source),  # type: ignore[arg-type]
            joinedload(PlainChange.indicator).options(*LOADED),  # type: ignore[arg-type]
        )
        .where(PlainChange.seq > after)  # type: ignore[operator,arg-type]
        .order_by(PlainChange.seq)  # type: ignore[arg-type]
        .limit(limit)
    )
    rows = (await session.scalars(statement)).all()
    items = [
        ChangeOut(
            seq=row.seq or 0,
            type=row.type,
            report=ReportOut(
                source=row.report.source.slug,
                stated_at=_utc(row.report.stated_at),
                recorded_at=_utc(row.report.recorded_at),
                **row.report.model_dump(exclude={"source", "stated_at", "recorded_at", "indicator_id", "source_id"}),
            ),
            recorded_at=_utc(row.recorded_at),
            recorded_by=row.recorded_by,
            documents=[_indicator(row.indicator)],
        )
        for row in rows
    ]
    return ChangePage(items=items, next=items[-1].seq if items else after)


@app.get("/v1/situations/{slug}", response_model=SituationOut)
async def get_situation(session: SessionDep, slug: str, as_of: date | None = None) -> SituationOut:
    """One place's indicators together, now or as of a day."""
    wanted = select(PlainPlace).where(PlainPlace.slug == slug).options(selectinload(PlainPlace.codes))  # type: ignore[arg-type]
    place = (await session.scalars(wanted)).one_or_none()
    if place is None:
        raise HTTPException(404)
    rows = (await session.scalars(select(PlainIndicator).options(*LOADED).where(PlainIndicator.place_id == place.id))).all()  # type: ignore[arg-type]
    if as_of is not None:
        rows = await _as_of(session, rows, datetime.combine(as_of, time.max, UTC))
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        item = row.value | {
            "agreement": row.agreement,
            "stated_at": _utc(row.stated_at),
            "source": row.preferred.source.slug,
            "links": {"indicator": f"/v1/indicators/{row.id}"},
        }
        by_kind.setdefault(row.kind, []).append(item)
    return SituationOut(
        place=_place(place),
        trapped=by_kind.get("trapped_population", []),
        supplies=sorted(by_kind.get("supply_runout", []), key=lambda each: each["runs_out_earliest"] or "9999"),
        routes=by_kind.get("route_closure", []),
        contested=[f"/v1/indicators/{row.id}" for row in rows if row.agreement == "contested"],
    )


SUBJECT = {"trapped_population": "concept", "supply_runout": "supply", "route_closure": "route"}


@app.post("/v1/reports", status_code=201, response_model=Recorded | list[Recorded])
async def post_reports(request: Request, session: SessionDep, sent: ReportIn | list[ReportIn]) -> Recorded | list[Recorded]:
    """Record one statement or a list, and assess their indicators again, in one transaction."""
    async with request.app.state.writing:
        recorded = await _record(session, sent if isinstance(sent, list) else [sent])
        await session.commit()
    return recorded if isinstance(sent, list) else recorded[0]


async def _by_slug(session: AsyncSession, model: Any, slugs: Iterable[str]) -> dict[str, Any]:
    return {row.slug: row for row in await session.scalars(select(model).where(model.slug.in_(set(slugs))))}


async def _record(session: AsyncSession, sent: Sequence[ReportIn]) -> list[Recorded]:
    places = await _by_slug(session, PlainPlace, (each.place for each in sent))
    sources = await _by_slug(session, PlainSource, (each.source for each in sent))
    keys = []
    for each in sent:
        if each.place not in places or each.source not in sources:
            raise HTTPException(422, "unknown place or source")
        keys.append((each.kind, places[each.place].id, str(each.value[SUBJECT[each.kind]])))
    wanted = select(PlainIndicator).where(PlainIndicator.place_id.in_({place for _, place, _ in keys}))  # type: ignore[attr-defined]
    held = {(row.kind, row.place_id, row.subject): row for row in await session.scalars(wanted.options(*LOADED))}
    now = datetime.now(UTC)
    recorded = []
    changes: list[tuple[PlainChange, PlainIndicator]] = []
    touched: dict[UUID, PlainIndicator] = {}
    for each, key in zip(sent, keys, strict=True):
        row = held.get(key)
        if row is None:
            raise HTTPException(422, "unknown subject")
        stated = each.stated_at if isinstance(each.stated_at, datetime) else datetime.combine(each.stated_at, time(), UTC)
        report = PlainReport(
            id=uuid4(),
            indicator_id=row.id,
            source_id=sources[each.source].id,
            stated_at=stated,
            recorded_at=now,
            value=each.value,
            via=[],
            directness="direct",
            method="unknown",
            credibility=each.credibility,
        )
        change = PlainChange(type="report", report_id=report.id, indicator_id=row.id, recorded_at=now, recorded_by="b")
        session.add_all([report, change])
        changes.append((change, row))
        touched[row.id] = row
        recorded.append(Recorded(id=report.id, indicator=row.id, recorded_at=now))
    await session.flush()
    for change, row in changes:
        row.recorded_at, row.revision = now, change.seq or 0
    behind: dict[UUID, dict[int, PlainReport]] = {}
    every = select(PlainReport).where(PlainReport.indicator_id.in_(touched)).order_by(PlainReport.stated_at)  # type: ignore[attr-defined,arg-type]
    for report in await session.scalars(every.options(joinedload(PlainReport.source))):  # type: ignore[arg-type]
        behind.setdefault(report.indicator_id, {})[report.source_id] = report
    for id_, row in touched.items():
        _read(row, list(behind[id_].values()))
    return recorded
