"""Patterns of the URLs in settings, and a database URL without its passwords."""

import re

_PORT = r"(?::(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]))?"
_IPV6 = r"\[[0-9A-Fa-f:.]+\]"
_HOST = rf"(?:{_IPV6}|[^\s:/?#@\[\],]+){_PORT}"
_NO_CONTROL = r"[^?#\x00-\x1f\x7f]"
# A file, not `:memory:` and not a folder.
SQLITE = rf"sqlite:///(?!:memory:){_NO_CONTROL}*[^/?#\s\x00-\x1f\x7f]"
# As asyncpg reads it. Without a host between the slashes, the query must name one: a folder with a socket, or a service.
POSTGRESQL = (
    rf"postgresql://(?:[^\s:@/?#]*(?::[^\s@/?#]*)?@)?"
    rf"(?:{_HOST}(?:,{_HOST})*(?:/[^\s@/?#]*)?(?:\?[^\s#]+)?|/[^\s@/?#]*\?(?:[^\s#]*&)?(?:host|service)=[^\s#&][^\s#]*)"
)
DATABASE_URL = rf"(?:{SQLITE}|{POSTGRESQL})"
ORIGIN = rf"https?://(?:{_IPV6}|[A-Za-z0-9][A-Za-z0-9._-]{{0,252}}){_PORT}"
ISSUER = rf"{ORIGIN}(?:/[^\s?#@]*)?"
WEB_URL = rf"{ISSUER}(?:\?[^\s#]*)?"


def redact_database_url(url: str) -> str:
    """Return a valid database URL without its passwords."""
    url = re.sub(r"^(postgresql://[^:@/]*):[^@/]*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&][^=&]*password=)[^&]*", r"\1***", url)
