"""Reads the rows of gazetteers: tables of administrative units as in the Common Operational Datasets (COD-AB) and the global P-code list.

In the style of COD-AB a row is a unit, with the codes and names of the units that contain it: `ADM0_PCODE`, `ADM1_EN`, `ADM1_PCODE`, ...;
`admin1Name_en`, `admin1Pcode`; `adm1_name`, `adm1_pcode`; or HXL hashtags (`#adm1+name`, `#adm1+code`). In the global P-code list a row
has `Location`, `Admin Level`, `P-Code`, `Name` and `Parent P-Code`.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from babel import localedata
from xlsxwriter.utility import xl_col_to_name

from app.domain.countries import country_name, country_of, is_country
from app.exchange.imports.cell_values import parse_number
from app.exchange.imports.results import RowProblemOut, row_problem
from app.exchange.imports.tables import (
    BEYOND_HEADER,
    CUT,
    LEVELS_OF_TAGS,
    DetectedHeader,
    Hashtag,
    Row,
    UnreadableFile,
    cell_error,
    cell_text,
)

PCODE, ISO3 = "pcode", "iso3"
DEFAULT_LANGUAGE = "en"
_LEVELS = tuple("012345")
_ISO3 = re.compile("[A-Z]{3}")
_BARE = "bare"
_CODE = re.compile(r"adm(?:in)?_?([0-5])_?(?:p_?code|code)")
_NAME = re.compile(r"adm(?:in)?_?([0-5])(_?name)?(?:_([a-z]{2}))?")
_NUMBER = re.compile(r"\d+\.?\d*|\.\d+")
_ANY_CODE = re.compile(r"\S*\d\S*")
_LANGUAGE = re.compile("(?:i_|lang_)?([a-z]{2})")
_ISO3_HEADERS = ("iso3", "iso_3", "country_iso3")
_CENTROIDS = (("center_lon", "centre_lon", "longitude", "lon"), ("center_lat", "centre_lat", "latitude", "lat"))
# Columns of the global P-code list, by header and by hashtag.
_LISTED = {
    "location": "#country+code",
    "admin_level": "#geo+admin_level",
    "p_code": "#adm+code",
    "name": "#adm+name",
    "parent_p_code": "#adm+code+parent",
}


class Unit(NamedTuple):
    """A unit as a row has it; `code` and `parent` are written `scheme:code`, `parent_level` is that of the parent, `country` ISO 3166-1.

    `names` are those in further languages.
    """

    level: int
    code: str
    name: str
    parent: str | None = None
    parent_level: int = -1
    country: str | None = None
    names: Mapping[str, str] = MappingProxyType({})


class UnreadableUnit(ValueError):
    """A row cannot be read, because of the cell of a column."""

    def __init__(self, detail: str, index: int | None = None, field_: str = "code") -> None:
        super().__init__(detail)
        self.index, self.field = index, field_


@dataclass(slots=True)
class UnitColumns:
    """The columns of codes and names by level (0 for the country), of the country code, and of longitude and latitude.

    `listed` are the columns of the global P-code list instead.
    """

    header: DetectedHeader
    codes: dict[int, int] = field(default_factory=dict)
    names: dict[int, int] = field(default_factory=dict)
    country: int | None = None
    centroid: tuple[int, ...] = ()
    listed: dict[str, int] = field(default_factory=dict)
    language: str = "en"
    # Columns of names in further languages, by level and language.
    further: dict[int, dict[str, int]] = field(default_factory=dict)

    def unread(self) -> list[str]:
        """Return the headers of the columns that are not read."""
        read = {*self.codes.values(), *self.names.values(), *self.listed.values(), *self.centroid, self.country}
        read |= {index for columns in self.further.values() for index in columns.values()}
        return [text for index, text in enumerate(self.header.headers) if text and index not in read]


def is_unit_header(text: str) -> bool:
    """Tell whether a header is one of a gazetteer."""
    name = normalise(text)
    return name in _LISTED or _meaning(name, None) is not None


def find_unit_columns(header: DetectedHeader, language: str | None, sample: Sequence[Row]) -> UnitColumns | None:
    """Find the columns of a table by its headers and a sample of its rows; None without a column of codes.

    UnreadableFile if two columns are for the same, or if the names are not in the language.
    """
    found = UnitColumns(header, language=language or DEFAULT_LANGUAGE)
    names = [normalise(each) for each in header.headers]
    tags = ["+".join([each[0], *sorted(each[1])]) if each else "" for each in header.hashtags]
    listed = [next((each for each, tag in _LISTED.items() if name == each or tags[at] == tag), None) for at, name in enumerate(names)]
    is_listed = {"admin_level", "p_code", "name"} <= set(listed)
    by_meaning: dict[_Meaning, int] = {}
    for index, (name, hashtag) in enumerate(zip(names, header.hashtags, strict=True)):
        meaning = _meaning(name, hashtag)
        if is_listed:
            meaning = _Meaning(listed[index] or "", 0) if listed[index] else None
        # A column of numbers, such as ADM1_ID, is no column of names, though `id` is a language.
        elif meaning is not None and meaning.column == "name" and _all_match(sample, index, _NUMBER):
            continue
        if meaning is None:
            continue
        if (other := by_meaning.setdefault(meaning, index)) != index:
            columns = " and ".join(f"{header.headers[each]} ({xl_col_to_name(each)})" for each in (other, index))
            raise UnreadableFile(f"Two columns are for the same {meaning.column}, {columns}: rename or remove one of them.")
    if is_listed:
        found.listed = {each.column: index for each, index in by_meaning.items()}
        return found
    found.codes = {each.level: index for each, index in by_meaning.items() if each.column == "code"}
    found.country = by_meaning.get(_Meaning("country", 0))
    for level in found.codes:
        titles = {each.language: index for each, index in by_meaning.items() if each.column == "name" and each.level == level}
        if titles:
            found.names[level] = _choose_name(dict(titles), level, language)
            others = {each: index for each, index in titles.items() if index != found.names[level] and localedata.exists(each)}
            found.further[level] = {each: index for each, index in others.items() if not _all_match(sample, index, _ANY_CODE)}
    axes = [next((names.index(each) for each in group if each in names), None) for group in _CENTROIDS]
    found.centroid = tuple(each for each in axes if each is not None) if None not in axes else ()
    return found if found.codes else None


class _Meaning(NamedTuple):
    column: str
    level: int
    language: str = ""


def _meaning(name: str, hashtag: Hashtag | None) -> _Meaning | None:
    tag, attributes = hashtag or ("", frozenset[str]())
    level, title = LEVELS_OF_TAGS.get(tag), _NAME.fullmatch(name)
    if name in _ISO3_HEADERS or (tag == "#country" and "v_iso3" in attributes):
        return _Meaning("country", 0)
    if level is not None and "code" in attributes:
        return _Meaning("code", level)
    if level is not None and "name" in attributes and "alt" not in attributes:
        languages = [match[1] for each in sorted(attributes) if (match := _LANGUAGE.fullmatch(each))]
        return _Meaning("name", level, languages[0] if languages else (title and title[3]) or "")
    if code := _CODE.fullmatch(name):
        return _Meaning("code", int(code[1]))
    # `admin1` has names where there is no `admin1Name`.
    return _Meaning("name", int(title[1]), title[3] or ("" if title[2] else _BARE)) if title else None


def _all_match(sample: Sequence[Row], index: int, pattern: re.Pattern[str]) -> bool:
    texts = [text for row in sample if index < len(row.cells) and (text := cell_text(row.cells[index]))]
    return bool(texts) and all(map(pattern.fullmatch, texts))


def _choose_name(titles: dict[str, int], level: int, language: str | None) -> int:
    """Return the column of names in a language; without one that is asked for, in English, in none or in the only one."""
    bare = titles.pop(_BARE, None)
    if not titles and bare is not None:
        titles = {"": bare}
    for wanted in (DEFAULT_LANGUAGE, "") if language is None else (language,):
        if wanted in titles:
            return titles[wanted]
    if language is None and len(titles) == 1:
        return next(iter(titles.values()))
    there = ", ".join(repr(each) if each else "a language that the header does not name" for each in sorted(titles))
    wanted = "choose one" if language is None else f"not in {language!r}: choose another one, or leave the option out"
    raise UnreadableFile(f"The names of level {level} are in {there}, {wanted} (--language).")


@dataclass(frozen=True, slots=True)
class UnitRow:
    """A row of a gazetteer, with the geometry of its lowest unit if it is a GeoJSON feature."""

    row: Row
    columns: UnitColumns
    sheet: str | None = None
    geometry: dict[str, Any] | None = None

    def _text(self, index: int | None) -> str:
        """Return the text of a column; empty if the row has none. Raises UnreadableUnit for an error of a spreadsheet."""
        cell = self.row.cells[index] if index is not None and index < len(self.row.cells) else None
        if (error := cell_error(cell)) is not None:
            raise UnreadableUnit(error, index)
        return unicodedata.normalize("NFC", cell_text(cell))

    def _country(self, default: str | None) -> str | None:
        """Return the ISO 3166-1 alpha-3 code of the country, by its column or by the P-code of the country."""
        index = self.columns.country if not self.columns.listed else self.columns.listed.get("location")
        named, coded = self._text(index), country_of(self._text(self.columns.codes.get(0)))
        if index is not None and not named and default:
            raise UnreadableUnit("the country is empty: write it, or remove the column to use --country", index)
        if named and not is_country(named):
            raise UnreadableUnit(f"{named} is not a country of ISO 3166-1 alpha-3: write one such as SYR", index)
        if named and coded not in (None, named):
            raise UnreadableUnit(f"the country {named} is not that of the code of level 0, {coded}: correct one of them", index)
        return named or coded or default

    def units(self, country: str | None) -> list[Unit]:
        """Return the units of the row, upper ones first; raise UnreadableUnit for a row that cannot be read.

        `country` is that of a table without countries.
        """
        if (beyond := self.columns.header.cell_beyond(self.row)) is not None:
            raise UnreadableUnit(BEYOND_HEADER, beyond)
        if self.row.is_cut:
            raise UnreadableUnit(CUT, self.row.width)
        own = self._country(country)
        if self.columns.listed:
            return [each if each.code.startswith(f"{ISO3}:") else each._replace(country=own) for each in self._listed_units()]
        units: list[Unit] = []
        codes = [(level, index, self._text(index)) for level, index in sorted(self.columns.codes.items())]
        while codes and not codes[-1][2]:
            codes.pop()
        for level, index, code in codes:
            if not code:
                raise UnreadableUnit(f"the code of level {level} is empty above {codes[-1][2]}: write it, or remove the column", index)
            names = {language: self._text(each) for language, each in self.columns.further.get(level, {}).items()}
            said = {language: name for language, name in names.items() if name}
            unit = Unit(level, f"{PCODE}:{code}", self._text(self.columns.names.get(level)), country=own, names=said)
            units.append(unit._replace(parent=units[-1].code, parent_level=units[-1].level) if units else unit)
        if not units:
            raise UnreadableUnit("the row has no code")
        return units

    def without_code(self, level: int) -> list[RowProblemOut]:
        """Return where the row names a unit below a level, without its code."""
        names = {each: index for each, index in self.columns.names.items() if each > level and self._text(index)}
        return [row_problem(self.row.number, "name", self._text(index), index, self.sheet) for index in names.values()]

    def _listed_units(self) -> list[Unit]:
        level, code, name, parent, country = (
            self._text(self.columns.listed.get(each)) for each in ("admin_level", "p_code", "name", "parent_p_code", "location")
        )
        level = level.removesuffix(".0")
        if not code or level not in _LEVELS:
            index = self.columns.listed["admin_level" if code else "p_code"]
            raise UnreadableUnit(f"a row has a code and a level of {_LEVELS[0]} to {_LEVELS[-1]}: write it", index)
        own = Unit(int(level), f"{PCODE}:{code}", name)
        if not parent or level == "0":
            return [own]
        # The list has no rows of countries, and names them by their ISO 3166-1 codes.
        if parent != country and (level != "1" or not _ISO3.fullmatch(parent)):
            return [own._replace(parent=f"{PCODE}:{parent}", parent_level=own.level - 1)]
        above = Unit(0, f"{ISO3}:{parent}", country_name(parent, self.columns.language), country=parent)
        return [above, own._replace(parent=above.code, parent_level=0)]

    def location(self) -> dict[str, Any]:
        """Return the geometry or the centroid of the lowest unit, as far as the row has them; raise UnreadableUnit if it cannot be read."""
        if self.geometry:
            return {"geometry": self.geometry}
        texts = {index: self._text(index) for index in self.columns.centroid}
        return {"centroid": [self._number(*each) for each in texts.items()]} if any(texts.values()) else {}

    def problem(self, level: int, field_: str, detail: str) -> RowProblemOut:
        """Return a problem of a field of the unit of a level, with its cell."""
        listed = self.columns.listed
        columns = {
            "name": listed.get("name", self.columns.names.get(level)),
            "codes": listed.get("p_code", self.columns.codes.get(level)),
            "parent": listed.get("parent_p_code", self.columns.codes.get(level - 1)),
            "country": listed.get("location", self.columns.country),
            **{f"names.{language}": index for language, index in self.columns.further.get(level, {}).items()},
        }
        return row_problem(self.row.number, field_, detail, columns.get(field_), self.sheet)

    def _number(self, index: int, text: str) -> float:
        try:
            return parse_number(text)
        except ValueError as error:
            raise UnreadableUnit(str(error), index, "centroid") from None


def normalise(text: str, separator: str = "_") -> str:
    """Return a text in lower case, with a separator between its words."""
    return re.sub(r"[^a-z0-9]+", separator, text.lower()).strip(separator)
