"""A made-up world with any number of statements, for measuring growth: no place, source or figure is real.

As in reality, a few places have most of the statements, sources know some places better than others, parties
to the conflict contradict them, and statements are corrected and withdrawn. The same seed makes the same world.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.times import rfc3339

CONCEPTS = ("trapped", "besieged", "hard_to_reach", "at_risk", "in_need")
SUPPLIES = ("basic", "food", "medical", "water", "fuel", "electricity", "shelter", "hygiene")
# Each town has one indicator for each of these, one for an agency's own food stock, and the rest for its routes.
ROUTES = 2
SUBJECTS = len(CONCEPTS) + len(SUPPLIES) + 1 + ROUTES
COUNTRIES, PROVINCES, DISTRICTS = 8, 12, 10
SOURCES = 120
# Sources that speak of every town.
HEARD = 8
START = datetime(2023, 1, 1, tzinfo=UTC)
DAYS = 600
SOURCE_TYPES = ("un", "government", "armed_actor", "ngo", "monitor", "media", "local_council", "witness")
LABELS = ("clear", "green", "amber", "amber_strict", "red")
LABEL_WEIGHTS = (55, 30, 10, 3, 2)
METHODS = ("key_informant", "direct_observation", "expert_estimate", "registration", "media_monitoring")
CAUSES = ("hostilities", "interference", "internal_movement_restriction", "mines_uxo")
CORRECTED, WITHDRAWN = 0.03, 0.01
QUOTES = (
    "As far as anybody here can tell it is like this, and nobody expects it to stay so for long.",
    "The figure comes from the people who keep the lists; those who arrived in the last days are not yet on them.",
    "We count what is in the stores. What families have put by we do not know, and it will not be much.",
    "Nothing came in this week, and what came in the week before was gone within days.",
)


@dataclass(frozen=True, slots=True)
class Town:
    """A place of the world; `parent` is the number of its parent, which is lower than its own, or None."""

    slug: str
    name: str
    country: str
    parent: int | None
    longitude: float
    latitude: float


@dataclass(frozen=True, slots=True)
class Amendment:
    """A change to an earlier report of the run: superseded by `statement`, or withdrawn if that is None."""

    statement: dict[str, Any] | None
    reason: str


class World:
    """Places, sources and routes for a number of indicators. `towns` holds the numbers of the places with statements."""

    def __init__(self, indicators: int, seed: int) -> None:
        self._chance = random.Random(seed)
        self.places = self._regions()
        districts = range(len(self.places) - COUNTRIES * PROVINCES * DISTRICTS, len(self.places))
        count = max(1, -(-indicators // SUBJECTS))
        self.towns = range(len(self.places), len(self.places) + count)
        for number in range(count):
            district = self._chance.choice(districts)
            above = self.places[district]
            place = Town(f"town-{number:06}", f"Town {number}", above.country, district, *self._near(above.longitude, above.latitude, 0.4))
            self.places.append(place)
        # Busy places are spread over the numbers.
        self._loud = list(range(count))
        self._chance.shuffle(self._loud)
        self.sources = [
            {
                "slug": f"source-{number:03}",
                "name": f"Source {number}",
                "type": SOURCE_TYPES[number % len(SOURCE_TYPES)],
                "reliability": "ABBCCCDEFF"[self._chance.randrange(10)],
                "party_to_conflict": SOURCE_TYPES[number % len(SOURCE_TYPES)] in ("government", "armed_actor"),
            }
            for number in range(SOURCES)
        ]
        self.routes = [
            {"slug": f"road-{number:06}-{at}", "name": f"Road {at} to town {number}", "mode": "road"}
            for number in range(count)
            for at in range(ROUTES)
        ]

    def _near(self, longitude: float, latitude: float, degrees: float) -> tuple[float, float]:
        spread = self._chance.uniform
        return round(longitude + spread(-degrees, degrees), 4), round(latitude + spread(-degrees, degrees), 4)

    def _regions(self) -> list[Town]:
        # User-assigned codes of ISO 3166-1, which no country has.
        codes = [f"XA{chr(65 + country)}" for country in range(COUNTRIES)]
        places = [Town(f"land-{at}", f"Land {at}", code, None, -60.0 + 20 * at, 10.0) for at, code in enumerate(codes)]
        for parents, each, word, spread in ((COUNTRIES, PROVINCES, "province", 6.0), (COUNTRIES * PROVINCES, DISTRICTS, "district", 1.0)):
            first = len(places) - parents
            for number in range(parents * each):
                parent = first + number // each
                above = places[parent]
                at = self._near(above.longitude, above.latitude, spread)
                places.append(Town(f"{word}-{number:04}", f"{word.title()} {number}", above.country, parent, *at))
        return places

    def statements(self, count: int) -> Iterator[tuple[datetime, dict[str, Any], Amendment | None]]:
        """Yield statements in order of recording: the time of recording, the body as sent, and an amendment or None."""
        chance = self._chance
        for number in range(count):
            recorded = START + timedelta(days=DAYS * number / count)
            # 1 % of the places has 20 % of the statements.
            town = self._loud[int(len(self._loud) * chance.random() ** 3)]
            body = self._statement(number, town, recorded - timedelta(hours=chance.expovariate(1 / 60)))
            amendment = None
            drawn = chance.random()
            if drawn < CORRECTED:
                corrected = {**body, "provenance": {**body["provenance"], "credibility": 1 + number % 2, "title": "Corrected"}}
                amendment = Amendment(corrected, "the figure was misread")
            elif drawn < CORRECTED + WITHDRAWN:
                amendment = Amendment(None, "the source took it back")
            yield recorded, body, amendment

    def _statement(self, number: int, town: int, stated: datetime) -> dict[str, Any]:
        chance = self._chance
        source = self.sources[(town * 7 + chance.randrange(HEARD) * 13) % SOURCES]
        subject = chance.randrange(SUBJECTS)
        if subject < len(CONCEPTS):
            kind, value = "trapped_population", self._people(town, CONCEPTS[subject], source, stated)
        elif subject < SUBJECTS - ROUTES:
            kind, value = "supply_runout", self._supply(subject - len(CONCEPTS), source)
        else:
            kind, value = "route_closure", self._route(f"road-{town:06}-{SUBJECTS - 1 - subject}", source)
        return {
            "kind": kind,
            "place": f"town-{town:06}",
            "source": source["slug"],
            "stated_at": rfc3339(stated.replace(microsecond=0)),
            "value": value,
            "provenance": {
                "method": chance.choice(METHODS),
                "credibility": chance.randrange(1, 7),
                "url": f"https://example.org/updates/{number}",
                "title": "Situation update",
                "quote": chance.choice(QUOTES),
                "language": "en",
            },
            "sensitivity": chance.choices(LABELS, LABEL_WEIGHTS)[0],
        }

    def _people(self, town: int, concept: str, source: dict[str, Any], stated: datetime) -> dict[str, Any]:
        chance = self._chance
        # Sizes of towns are skewed too, and besieged towns empty slowly.
        true = 10 ** (3 + town * 7919 % 1000 / 400) * (1 - 0.4 * (stated - START).days / DAYS)
        told = true * (chance.choice((0.4, 2.0)) if source["party_to_conflict"] and chance.random() < 0.3 else chance.uniform(0.9, 1.1))
        people = round(told, -2 if told > 2000 else -1)
        if chance.random() < 0.3:
            return {"concept": concept, "people_low": int(people * 0.9), "people_high": int(people * 1.1)}
        return {"concept": concept, "people": int(people), "qualifier": "about"}

    def _supply(self, at: int, source: dict[str, Any]) -> dict[str, Any]:
        chance = self._chance
        value = {"supply": SUPPLIES[at]} if at < len(SUPPLIES) else {"supply": "food", "scope": "agency_stock"}
        if source["party_to_conflict"] and chance.random() < 0.3:
            return {**value, "state": "resupplied"}
        days = chance.randrange(2, 30)
        return {**value, "in_days_min": days, "in_days_max": days + 7, "relative_text": f"some {days} days"}

    def _route(self, slug: str, source: dict[str, Any]) -> dict[str, Any]:
        chance = self._chance
        if source["party_to_conflict"] and chance.random() < 0.5:
            return {"route": slug, "status": "open", "passable_by": ["civilian"], "assertion": chance.choice(("announced", "observed"))}
        return {"route": slug, "status": chance.choice(("closed", "closed", "restricted")), "cause": chance.choice(CAUSES)}
