"""Read an article with the names that a caller may see, and answer with reports to look at."""

from collections.abc import Callable
from typing import Any

from rapidfuzz import process
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.domain.times import day_at, day_of, normalise, time_error
from app.domain.words import VERSION, NameIndex, Proposal, Reading, Unclear, read_article
from app.drafts.schemas import ArticleIn
from app.http.problems import FieldProblem, Problem, invalid, invalid_field, validate_model
from app.reference.models import Place, Route, Source
from app.reference.records import SourceNames
from app.settings import Settings
from app.storage.types import table_of


async def prepare(connection: AsyncConnection, content: Any, level: int, settings: Settings) -> Callable[[], dict[str, Any]]:
    """Return a function that reads an article with the names that a clearance sees; it takes up to a second of a long text.

    Raise 422 with each wrong field, an unknown publisher and a time in the future among them.
    """
    sent, problems = validate_model(ArticleIn, content)
    columns = (col(Source.slug), col(Source.name), col(Source.alias), col(Source.alias_slug))
    sources = [SourceNames(*row).visible_at(level) for row in await connection.execute(select(*columns))]
    publisher, given = "", content.get("publisher") if isinstance(content, dict) else None
    if isinstance(given, str) and not any(each.pointer == "/publisher" for each in problems):
        try:
            publisher = _publisher(given, sources)
        except Problem as unknown:
            problems += unknown.errors
    if sent is not None and (error := time_error(normalise(sent.published_at), settings.clock_skew_seconds)) is not None:
        problems.append(FieldProblem(pointer="/published_at", detail=error))
    if sent is None or problems:
        raise invalid(problems)
    if sent.language is not None and sent.language.lower().partition("-")[0] != "en":
        return lambda: _body(sent, publisher, Reading(unclear=[Unclear((0, len(sent.text)), "only English is read")]))
    parent = table_of(Place).alias("parent")
    named = select(col(Place.slug), col(Place.name), parent.c.slug, col(Place.timezone)).outerjoin(
        parent, parent.c.id == col(Place.parent_id)
    )
    places = [tuple(row) for row in await connection.execute(named)]
    routes = [(row.slug, row.name) for row in await connection.execute(select(col(Route.slug), col(Route.name)))]

    def read() -> dict[str, Any]:
        names = NameIndex(
            [(slug, name) for slug, name, _, _ in places], sources, routes, {slug: within for slug, _, within, _ in places if within}
        )
        day, published_at, zones = day_of(sent.published_at), normalise(sent.published_at), {slug: zone for slug, _, _, zone in places}
        reading = read_article(sent.text, names, publisher, day)
        others = {day_at(published_at, zone) for zone in ("UTC", *(zones[each.place] for each in reading.proposals))} - {day}
        if others:
            # Where the place is, another day may have begun: "on Saturday" may be today or a week ago.
            reading = read_article(sent.text, names, publisher, day, tuple(others))
        return _body(sent, publisher, reading)

    return read


def _publisher(given: str, sources: list[tuple[str, str]]) -> str:
    found = {slug for slug, name in sources if given in (slug, name)} or {slug for slug, name in sources if name.lower() == given.lower()}
    if len(found) == 1:
        return found.pop()
    near = ", ".join(slug for _, _, slug in process.extract(given, dict(sources), limit=3, score_cutoff=60))
    raise _unknown_publisher(
        f"no such source{f', perhaps {near}' if near else ''}" if not found else f"several sources: {', '.join(sorted(found))}"
    )


def _unknown_publisher(why: str) -> Problem:
    return invalid_field("/publisher", f"{why}: send the slug of the source that published the text, such as regional-news-site")


def _body(sent: ArticleIn, publisher: str, reading: Reading) -> dict[str, Any]:
    return {
        "rules": VERSION,
        "drafts": [{"report": _report(sent, publisher, each), "spans": each.spans} for each in reading.proposals],
        "unclear": [{"span": each.span, "reason": each.reason} for each in reading.unclear],
    }


def _report(sent: ArticleIn, publisher: str, proposal: Proposal) -> dict[str, Any]:
    is_relayed = proposal.source != publisher
    return {
        "kind": proposal.kind,
        "place": proposal.place,
        "source": proposal.source,
        "stated_at": proposal.stated_on.isoformat(),
        "value": proposal.value,
        "provenance": {
            "via": [publisher] if is_relayed else [],
            "directness": ("quoted" if proposal.quoted else "paraphrased") if is_relayed else "direct",
            "published_at": normalise(sent.published_at),
            "url": sent.url,
            "quote": proposal.quote,
            "language": "en",
        },
    }
