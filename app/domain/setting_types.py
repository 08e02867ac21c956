"""Types of settings: how a value is read from the environment, and what it must be."""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from app.domain.kinds import KINDS
from app.domain.rates import Rate, parse_rate
from app.domain.urls import DATABASE_URL, ISSUER, ORIGIN

MAX_DAYS = 3650
MAX_SECRET_CHARACTERS = 1000


def from_json(value: Any) -> Any:
    """Read a text as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("must be JSON, as in the description of this setting") from None


def matching(pattern: str, otherwise: str) -> AfterValidator:
    """Return a check that a whole text matches a pattern, with what is wrong otherwise."""

    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(otherwise)
        return value

    return AfterValidator(check)


def check_kinds(days: dict[str, int]) -> dict[str, int]:
    """Check that each name is a kind whose reports pass a horizon."""
    if unknown := days.keys() - KINDS.keys():
        raise ValueError(f"has no kind {', '.join(sorted(unknown))}: the kinds are {', '.join(KINDS)}")
    if lasting := [name for name in days if KINDS[name].is_lasting]:
        raise ValueError(f"reports of {', '.join(lasting)} never pass a horizon: leave it out")
    return days


def long_secret(min_characters: int) -> AfterValidator:
    """Return a check that a secret is long enough, and whole."""

    def check(value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if not min_characters <= len(text) <= MAX_SECRET_CHARACTERS or text != text.strip() or not text.isprintable():
            raise ValueError(
                f"must have at least {min_characters} characters, at most {MAX_SECRET_CHARACTERS}, and no space or line break at an end"
            )
        return value

    return AfterValidator(check)


RateSetting = Annotated[Rate | None, NoDecode, BeforeValidator(parse_rate)]
DatabaseUrl = Annotated[
    str,
    matching(
        DATABASE_URL,
        "must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/NAME, with several hosts as HOST1:PORT1,HOST2:PORT2, "
        "and with the characters @ / ? # of user and password percent-encoded",
    ),
]
Origin = Annotated[str, matching(rf"\*|{ORIGIN}", "must be `*` or an origin without a path, such as https://example.org")]
PublicUrl = Annotated[str, matching(ISSUER, "must be an address without a query, such as https://lifeline.example.org")]
# It is compared with what other systems send.
Name = Annotated[str, matching(r"[^\s\x00-\x1f\x7f]{1,200}", "must have 1 to 200 characters, without spaces")]
# The name of a log, by which its checkpoints are told from all others.
LogOrigin = Annotated[
    str,
    matching(
        r"(?=.{1,200}$)[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+(/[A-Za-z0-9._~-]+)*",
        "must be a name that is yours alone, such as ledger.example.org/aid: a domain, and a path or none",
    ),
]
AbsolutePath = Annotated[str, matching(r"/[^\x00-\x1f\x7f]{1,1000}", "must be an absolute path such as /etc/lifeline/signing.key")]
Days = Annotated[int, Field(ge=1, le=MAX_DAYS)]
