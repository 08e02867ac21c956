"""Settings of the service, read from environment variables with the prefix `LIFELINE_`."""

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.domain.kinds import KINDS
from app.domain.tlp import Label

_RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of requests in a window of seconds."""

    count: int
    seconds: int

    def __str__(self) -> str:
        """Return the form of the setting, such as `6000/minute`."""
        return f"{self.count}/{next(unit for unit, seconds in _UNITS.items() if seconds == self.seconds)}"

    @property
    def policy(self) -> bytes:
        """Return the value of the `RateLimit-Policy` header (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"default";q={self.count};w={self.seconds}'.encode()


def _rate(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value == "off":
        return None
    found = _RATE.fullmatch(value)
    if found is None:
        raise ValueError("must be a number per second, minute, hour or day, such as 6000/minute, or off")
    return Rate(int(found[1]), _UNITS[found[2]])


RateSetting = Annotated[Rate | None, BeforeValidator(_rate)]


class Settings(BaseSettings):
    """Configuration of one Lifeline process."""

    model_config = SettingsConfigDict(env_prefix="LIFELINE_", extra="ignore")

    database_url: str = Field(
        default="sqlite:///lifeline.db",
        description="Database to write to: `sqlite:///path.db` or `postgresql://user:password@host/name`. "
        "With several hosts (`host1,host2`) Lifeline uses the primary.",
    )
    read_database_url: str | None = Field(
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
    max_concurrent_requests: Annotated[int, Field(ge=2)] = Field(
        default=200,
        description="Requests that each process works on at once, half of them writes; more are answered 503. "
        "Streams and requests with `wait` are not counted.",
    )
    max_open_streams: Annotated[int, Field(ge=1)] = Field(
        default=5000, description="Streams and requests with `wait` that each process holds open at once; more are answered 503."
    )
    access_log: bool = Field(default=True, description="Log one line for each request that the response cache does not answer.")
    public_clearance: Label = Field(default=Label.CLEAR, description="Highest label that clients without a key may read.")
    default_label: Label = Field(
        default=Label.GREEN, description="Label of a report that is sent without one, unless a rule of its kind sets a stricter label."
    )
    max_body_bytes: Annotated[int, Field(ge=1024)] = Field(
        default=4 * 1024 * 1024, description="Maximum size of a request body, in bytes; larger bodies are answered 413."
    )
    max_import_bytes: Annotated[int, Field(ge=1024)] = Field(
        default=32 * 1024 * 1024,
        description="Maximum size of a file sent to `/v1/imports`, in bytes. `lifeline import` has no limit.",
    )
    response_cache_bytes: Annotated[int, Field(ge=0)] = Field(
        default=64 * 1024 * 1024, description="Memory for cached responses in each process, in bytes; 0 disables the cache."
    )
    key_hash_secret: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        default=None,
        description="Secret of the HMAC under which key hashes are stored, at least 16 characters. Unset: a random secret in the database. "
        "With it, a stolen database does not reveal whether a guessed key is valid. Changing it invalidates every key.",
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
    max_url_bytes: Annotated[int, Field(ge=256)] = Field(
        default=8192, description="Maximum length of path and query string together, in bytes; longer URLs are answered 414."
    )
    body_timeout_seconds: Annotated[float, Field(gt=0)] = Field(
        default=30.0, description="Seconds within which a request body must arrive; for a file to import, seconds between two chunks."
    )
    header_timeout_seconds: Annotated[float, Field(gt=0)] = Field(
        default=10.0, description="Seconds within which the head of a request must arrive; then the connection is closed."
    )
    cors_origins: list[str] = Field(
        default_factory=list,
        description="Origins whose web pages may read the API (CORS), as a JSON array such as "
        '`["https://example.org"]`; `["*"]` allows all.',
    )
    oidc_issuer: str | None = Field(
        default=None, description="OpenID Connect issuer whose access tokens are accepted instead of keys. Unset: keys only."
    )
    oidc_audience: str | None = Field(
        default=None, description="Audience that the `aud` claim of an access token must contain; required with an issuer."
    )
    oidc_jwks_url: str | None = Field(
        default=None, description="URL of the issuer's signing keys (JWKS). Unset: taken from the issuer's discovery document."
    )
    oidc_scopes_claim: str = Field(default="scope", description="Claim that holds the scopes, as an array or as words in one string.")
    oidc_clearance_claim: str = Field(
        default="lifeline_clearance", description="Claim that holds the clearance, a label. A token without it is cleared for `clear`."
    )
    oidc_organisation_claim: str = Field(default="lifeline_organisation", description="Claim that holds the organisation.")
    oidc_webhook_grace_hours: Annotated[int, Field(ge=0, le=8760)] = Field(
        default=24, description="Hours for which the webhooks of a token's subject keep working after its last token has expired."
    )
    horizon_days: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        description="Days after which a report no longer counts beside the newest report of its indicator, by kind, as a JSON object "
        'such as `{"supply_runout": 30}`; other kinds keep their own default. Run `lifeline migrate --reassess` after a change.',
    )
    clock_skew_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=60, description="Seconds by which a time in a report may lie ahead of the server's clock."
    )
    cap_sender: Annotated[str, Field(pattern=r"^[^\s,<&]{1,200}$")] = Field(
        default="lifeline",
        description="`sender` of CAP alerts: a globally unique name such as a domain, without spaces, commas, `<` or `&`.",
    )
    idempotency_days: Annotated[int, Field(ge=1)] = Field(
        default=7, description="Days for which the response to an `Idempotency-Key` is stored and replayed."
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
    webhook_retry_window_seconds: Annotated[float, Field(ge=0)] = Field(
        default=259_200.0, description="Seconds after its first attempt for which a delivery is retried (default: 3 days)."
    )
    webhook_disable_after_seconds: Annotated[float, Field(ge=0)] = Field(
        default=432_000.0,
        description="Seconds without a successful delivery after which a webhook is disabled when a delivery fails for good "
        "(default: 5 days).",
    )
    webhook_log_days: Annotated[int, Field(ge=1)] = Field(
        default=30, description="Days for which finished webhook deliveries stay in the delivery log."
    )

    session_secret: SecretStr = Field(
        default=SecretStr(""),
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

    @field_validator("session_secret")
    @classmethod
    def _check_length(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return value

    @field_validator("database_url", "read_database_url")
    @classmethod
    def _check_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("sqlite:///", "postgresql://")):
            raise ValueError("must start with sqlite:/// or postgresql://")
        return value


@lru_cache
def get_settings() -> Settings:
    """Return the settings of this process, read once from the environment."""
    return Settings()
