"""Settings of the service, read from environment variables with the prefix `LIFELINE_`."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError
from rapidfuzz import process

from app.domain.kinds import KINDS
from app.domain.rates import Rate
from app.domain.setting_types import (
    AbsolutePath,
    DatabaseUrl,
    Days,
    LogOrigin,
    Name,
    Origin,
    PublicUrl,
    RateSetting,
    check_kinds,
    from_json,
    long_secret,
    matching,
)
from app.domain.tlp import Label
from app.domain.urls import ISSUER, WEB_URL, redact_database_url

PREFIX = "LIFELINE_"
# Names that other parts read: a key for `lifeline pull`, and what `serve` hands on to its workers.
OTHER_NAMES = ("UPSTREAM_KEY", "SHARED_COUNTERS")
# Kubernetes adds such names to a container when a service is called "lifeline" or "lifeline-...".
_OF_KUBERNETES = re.compile(r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP)(?:_(?:PROTO|PORT|ADDR))?)?)")
MAX_HORIZON_DAYS = 36_500
MAX_BYTES = 2**36
MAX_SHOWN_CHARACTERS = 100


class Settings(BaseSettings):
    """Configuration of one Lifeline process."""

    model_config = SettingsConfigDict(env_prefix="LIFELINE_", extra="ignore", hide_input_in_errors=True)

    database_url: DatabaseUrl = Field(
        default="sqlite:///lifeline.db",
        description="Database to write to: `sqlite:///path.db` or `postgresql://user:password@host/name`. "
        "With several hosts (`@host1:5432,host2:5432/`) Lifeline uses the primary.",
    )
    read_database_url: DatabaseUrl | None = Field(
        default=None,
        description="PostgreSQL replicas to read from, in the form of `LIFELINE_DATABASE_URL`; of several hosts the first standby. "
        "Unset: read from `LIFELINE_DATABASE_URL`.",
    )
    replica_wait_seconds: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.2,
        description="Seconds that a read waits for a replica to catch up with what the client has already seen; then the primary answers.",
    )
    database_pool_size: Annotated[int, Field(ge=1, le=100)] = Field(
        default=8,
        description="Connections for reading, in each process. On PostgreSQL half as many, at least 2, are opened for writing.",
    )
    database_lock_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = Field(
        default=30.0,
        description="Seconds that a request waits for a lock, a connection or a statement of the database before it is answered 503.",
    )
    max_concurrent_requests: Annotated[int, Field(ge=2, le=100_000)] = Field(
        default=800,
        description="Requests that each process works on at once, half of them writes and an eighth of them reads; more are answered 503. "
        "Streams and requests with `wait` are not counted.",
    )
    max_open_streams: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=5000, description="Streams and requests with `wait` that each process holds open at once; more are answered 503."
    )
    access_log: bool = Field(default=True, description="Log one line for each request that the response cache does not answer.")
    public_clearance: Label = Field(default=Label.CLEAR, description="Highest label that clients without a key may read.")
    default_label: Label = Field(
        default=Label.GREEN, description="Label of a report that is sent without one, unless a rule of its kind sets a stricter label."
    )
    max_body_bytes: Annotated[int, Field(ge=1024, le=MAX_BYTES)] = Field(
        default=4 * 1024 * 1024, description="Maximum size of a request body, in bytes; larger bodies are answered 413."
    )
    max_import_bytes: Annotated[int, Field(ge=1024, le=MAX_BYTES)] = Field(
        default=32 * 1024 * 1024,
        description="Maximum size of a file sent to `/v1/imports`, in bytes. `lifeline import` has no limit.",
    )
    response_cache_bytes: Annotated[int, Field(ge=0, le=MAX_BYTES)] = Field(
        default=64 * 1024 * 1024, description="Memory for cached responses in each process, in bytes; 0 disables the cache."
    )
    key_hash_secret: Annotated[SecretStr, long_secret(16)] | None = Field(
        default=None,
        description="Secret of the HMAC under which key hashes are stored, at least 16 characters. Unset: a random secret in the database. "
        "With it, a stolen database does not reveal whether a guessed key is valid, and an intruder in it cannot forge who acted. "
        "Changing it invalidates every key, and `lifeline verify` then reports everything that was recorded before.",
    )
    rate_limit: RateSetting = Field(
        default=Rate(6000, 60), description="Requests that one key may make: a number per second, minute, hour or day, or `off`."
    )
    rate_limit_anonymous: RateSetting = Field(
        default=Rate(600, 60), description="Requests without a valid key that one IP address may make, in the same form."
    )
    rate_limit_failures: RateSetting = Field(
        default=Rate(180, 60), description="Invalid keys that one IP address may send before it is locked out, in the same form."
    )
    max_url_bytes: Annotated[int, Field(ge=256, le=65_536)] = Field(
        default=8192, description="Maximum length of path and query string together, in bytes; longer URLs are answered 414."
    )
    body_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=30.0, description="Seconds within which a request body must arrive, and one more for each KiB of it that has arrived."
    )
    header_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=10.0, description="Seconds within which the head of a request must arrive; then the connection is closed."
    )
    cors_origins: Annotated[list[Origin], NoDecode, BeforeValidator(from_json)] = Field(
        default_factory=list,
        description="Origins whose web pages may read the API (CORS), as a JSON array such as "
        '`["https://example.org"]`; `["*"]` allows all.',
    )
    oidc_issuer: Annotated[str, matching(ISSUER, "must be a URL such as https://id.example.org/realms/aid, without a query")] | None = (
        Field(default=None, description="OpenID Connect issuer whose access tokens are accepted instead of keys. Unset: keys only.")
    )
    oidc_audience: Name | None = Field(
        default=None, description="Audience that the `aud` claim of an access token must contain; required with an issuer."
    )
    oidc_jwks_url: Annotated[str, matching(WEB_URL, "must be a URL such as https://id.example.org/keys")] | None = Field(
        default=None, description="URL of the issuer's signing keys (JWKS). Unset: taken from the issuer's discovery document."
    )
    oidc_scopes_claim: Name = Field(default="scope", description="Claim that holds the scopes, as an array or as words in one string.")
    oidc_clearance_claim: Name = Field(
        default="lifeline_clearance", description="Claim that holds the clearance, a label. A token without it is cleared for `clear`."
    )
    oidc_organisation_claim: Name = Field(default="lifeline_organisation", description="Claim that holds the organisation.")
    oidc_webhook_grace_hours: Annotated[int, Field(ge=0, le=8760)] = Field(
        default=24, description="Hours for which the webhooks of a token's subject keep working after its last token has expired."
    )
    horizon_days: Annotated[
        dict[str, Annotated[int, Field(ge=1, le=MAX_HORIZON_DAYS)]], NoDecode, BeforeValidator(from_json), AfterValidator(check_kinds)
    ] = Field(
        default_factory=dict,
        description="Days after which a report no longer counts beside the newest sound report of its indicator, by kind, as a JSON object "
        'such as `{"supply_runout": 30}`; other kinds keep their own default. Run `lifeline migrate --reassess` after a change.',
    )
    clock_skew_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=60, description="Seconds by which a time in a report may lie ahead of the server's clock."
    )
    public_url: PublicUrl | None = Field(
        default=None,
        description="Address at which clients reach the service: alerts, their identifiers in the Atom feed and the links of OGC API - "
        "Features begin with it. Unset: the address of each request, and these answers are not cached.",
    )
    cap_sender: Annotated[
        str, matching(r"[^\s\x00-\x1f\x7f,<&]{1,200}", "must be a name such as a domain, without spaces, commas, < and &")
    ] = Field(
        default="lifeline",
        description="`sender` of CAP alerts: a globally unique name such as a domain, without spaces, commas, `<` or `&`.",
    )
    idempotency_days: Days = Field(default=7, description="Days for which the response to an `Idempotency-Key` is stored and replayed.")
    drafts_four_eyes: bool = Field(
        default=False,
        description="Let only another person confirm a draft than the one that wrote it or corrected it last; both keys name theirs.",
    )
    draft_days: Days = Field(default=30, description="Days after which a draft is deleted, whether or not it was confirmed or rejected.")
    audit_days: Days = Field(
        default=365, description="Days for which entries stay in the audit log when `lifeline audit prune` deletes what was exported."
    )
    webhook_allow_private: bool = Field(
        default=False,
        description="Allow webhooks to private addresses and over plain HTTP. Only for closed networks and tests: "
        "a client that can create webhooks can then reach internal services.",
    )
    webhook_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        default=15.0, description="Seconds within which a webhook receiver must answer."
    )
    webhook_retry_base_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=5.0,
        description="Maximum delay before the first retry of a delivery, in seconds; it grows fourfold with each retry, up to 6 h.",
    )
    webhook_retry_window_seconds: Annotated[float, Field(ge=0, le=31_536_000)] = Field(
        default=259_200.0, description="Seconds after its first attempt for which a delivery is retried (default: 3 days)."
    )
    webhook_disable_after_seconds: Annotated[float, Field(ge=0, le=31_536_000)] = Field(
        default=432_000.0,
        description="Seconds without a successful delivery after which a webhook is disabled when a delivery fails for good "
        "(default: 5 days).",
    )
    webhook_log_days: Days = Field(default=30, description="Days for which finished webhook deliveries stay in the delivery log.")

    origin: LogOrigin | None = Field(
        default=None,
        description="Name of this ledger in its checkpoints, such as `ledger.example.org/aid`: yours alone, and for good. "
        "Unset: nothing is signed. An attacker who can change it can begin a history that no partner has seen.",
    )
    signing_key_file: AbsolutePath | None = Field(
        default=None,
        description="File with the key that signs checkpoints, from `lifeline ledger init`, outside the database and its backups. The last "
        "signed checkpoints are in a file beside it. An attacker who can read it can sign another history.",
    )

    session_secret: Annotated[SecretStr, long_secret(32)] | None = Field(
        default=None,
        description="Secret that encrypts the board's session cookies, at least 32 characters. Unset: a new one at each start, which "
        "ends all sessions. Several machines behind one address need the same secret.",
    )
    session_hours: Annotated[int, Field(ge=1, le=8760)] = Field(
        default=12, description="Hours after which a session of the board ends and the reader signs in again."
    )

    @property
    def horizons(self) -> dict[str, timedelta]:
        """How long a report of each kind counts beside a newer one, by kind."""
        return {name: timedelta(days=self.horizon_days.get(name, kind.horizon_days)) for name, kind in KINDS.items()}

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if (self.oidc_issuer is None) != (self.oidc_audience is None) or (self.oidc_jwks_url is not None and self.oidc_issuer is None):
            raise ValueError("LIFELINE_OIDC_ISSUER and LIFELINE_OIDC_AUDIENCE must be set together, and LIFELINE_OIDC_JWKS_URL with them")
        if self.read_database_url is not None and not self.database_url.startswith(self.read_database_url.partition(":")[0]):
            raise ValueError("LIFELINE_READ_DATABASE_URL and LIFELINE_DATABASE_URL must both name PostgreSQL; SQLite has no replicas")
        if (self.origin is None) != (self.signing_key_file is None):
            raise ValueError("LIFELINE_ORIGIN and LIFELINE_SIGNING_KEY_FILE must be set together: run `lifeline ledger init`")
        return self

    def shown(self) -> Iterator[tuple[str, str, str]]:
        """Yield the name, the value and the origin (`environment` or `default`) of each setting; of a secret only whether it is set."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            origin = "environment" if name in self.model_fields_set else "default"
            yield f"{PREFIX}{name.upper()}", _show(name, value), origin


def _show(name: str, value: Any) -> str:
    if isinstance(value, SecretStr):
        return "(secret)"
    if name.endswith("database_url") and value:
        return redact_database_url(value)
    if value is None:
        return "off" if name.startswith("rate_limit") else "(not set)"
    if isinstance(value, Enum):
        return str(value.value)
    return json.dumps(value) if isinstance(value, (bool, list, dict)) else str(value)


def _unknown_names(environment: Iterable[str]) -> list[str]:
    """Return a sentence for each name that begins like a setting but is none, with the nearest name."""
    problems, known = [], [name.upper() for name in Settings.model_fields]
    for name in sorted(environment):
        prefix, word = name[: len(PREFIX)].upper(), name[len(PREFIX) :].upper()
        if prefix == PREFIX and word not in (*OTHER_NAMES, *known) and _OF_KUBERNETES.fullmatch(word) is None:
            problems.append(f"there is no setting {name}: did you mean {PREFIX}{process.extract(word, known, limit=1)[0][0]}?")
    return problems


def describe_problems(error: ValidationError) -> list[str]:
    """Return a sentence for each wrong setting: its name, its value unless that could hold a secret, and what would be right."""
    problems = []
    for each in error.errors():
        name, *inside = [str(part) for part in each["loc"]] or [""]
        message = each["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").replace("Input should", "must")
        message = message.replace("be less than or equal to", "be at most").replace("be greater than or equal to", "be at least")
        shown = str(each["input"])
        secret = name.endswith(("secret", "database_url")) or "@" in shown or len(shown) > MAX_SHOWN_CHARACTERS
        value = "" if secret or not name else f"={shown}"
        problems.append(f"{PREFIX}{name.upper()}{f' ({inside[0]})' if inside else ''}{value}: {message}" if name else message)
    return problems


@lru_cache
def get_settings() -> Settings:
    """Return the settings of this process, read once from the environment.

    Raises SettingsError with every name that is unknown and every value that is wrong.
    """
    problems = _unknown_names(os.environ)
    try:
        settings = Settings()
    except ValidationError as error:
        problems += describe_problems(error)
    if problems:
        raise SettingsError("; ".join(problems))
    return settings
