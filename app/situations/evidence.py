"""The indicators of one place with the reports behind them, at a time point: what digests and briefs are written from."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import Indicator
from app.assessment.statement import Statement
from app.domain.kinds import KINDS
from app.domain.view import View
from app.http.localization import Localization
from app.indicators.past import SLICE_INDICATORS, PastAssessment, assess_at, has_statement
from app.reference.names import load_names
from app.reference.records import PlaceRecord
from app.situations.wording import Wording
from app.storage.slices import end_slice

Evidence = dict[UUID, PastAssessment]


async def load_evidence(connection: AsyncConnection, place: UUID, view: View) -> Evidence:
    """Assess all indicators of a place for a view, in the order in which situations show them."""
    wanted = select(col(Indicator.id)).where(col(Indicator.place_id) == place, has_statement(view)).order_by(col(Indicator.id))
    ids = list((await connection.execute(wanted)).scalars())
    found: Evidence = {}
    for start in range(0, len(ids), SLICE_INDICATORS):
        some = ids[start : start + SLICE_INDICATORS]
        found |= await assess_at(connection, some, view)
        await end_slice(len(some))
    order = list(KINDS)
    return dict(sorted(found.items(), key=lambda item: (order.index(item[1].inputs.subject.kind), item[1].inputs.subject.subject)))


async def load_wording(
    connection: AsyncConnection,
    place: PlaceRecord,
    evidence: Iterable[PastAssessment],
    statements: Iterable[Statement],
    view: View,
    *,
    lang: str | None,
    locale: Localization,
    markdown: bool = False,
) -> Wording:
    """Return the words for some indicators of a place and for reports, with the names that these show in a language."""
    slugs: dict[str, set[str]] = {"place": {place.slug}, "source": set(), "route": set()}
    for each in evidence:
        kind = KINDS[each.inputs.subject.kind]
        if (type_ := kind.references.get(kind.filter_field)) is not None:
            slugs[type_].add(each.inputs.subject.subject)
    for said in statements:
        slugs["source"] |= {names.visible_at(view.level)[0] for names in (said.source.names, *said.via)}
    return Wording(locale, await load_names(connection, slugs, lang, view.time_point), markdown)
