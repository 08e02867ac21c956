"""Countries by their codes of ISO 3166-1, from Unicode CLDR, which has alpha-2 codes by alpha-3 codes as aliases of territories. Pure."""

import re

from babel import Locale, UnknownLocaleError
from babel.core import get_global

_ALPHA3 = re.compile("[A-Z]{3}")
# User-assigned codes, which no country has but Kosovo: OCHA and CLDR each use one of them.
_USER_ASSIGNED = re.compile("AAA|Q[M-Z][A-Z]|X[A-Z]{2}|ZZ[A-Z]")
_KOSOVO = frozenset({"XKX", "XKK"})
# Alpha-3 codes of countries whose alpha-2 code another one has now.
_WITHDRAWN = frozenset({"BUR", "DDR", "FXX", "TMP", "YMD", "ZAR"})


def is_country(alpha3: str) -> bool:
    """Tell whether a code is one of a country."""
    # A code of a country that was divided has several of its successors.
    is_one = _ALPHA3.fullmatch(alpha3) is not None and len(get_global("territory_aliases").get(alpha3, ())) == 1
    return alpha3 in _KOSOVO or (is_one and alpha3 not in _WITHDRAWN and not _USER_ASSIGNED.fullmatch(alpha3))


def country_of(pcode: str) -> str | None:
    """Return the alpha-3 code of a country by its P-code, which is its alpha-2 or alpha-3 code; None if it is unknown."""
    aliases = get_global("territory_aliases")
    alpha3 = (each for each, alpha2 in aliases.items() if alpha2 == [pcode.upper()] and _ALPHA3.fullmatch(each) and each not in _WITHDRAWN)
    return pcode.upper() if len(pcode) == 3 and pcode.upper() in aliases else next(alpha3, None)


def country_name(alpha3: str, language: str) -> str:
    """Return the name of a country; empty if it is unknown."""
    alpha2 = get_global("territory_aliases").get(alpha3, [alpha3])[0]
    try:
        return str(Locale.parse(language).territories.get(alpha2, ""))
    except (UnknownLocaleError, ValueError):
        return ""
