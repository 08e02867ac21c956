"""Every setting of the service, with its unit and default; read from the environment with the prefix `LIFELINE_`."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.domain.tlp import Label

_RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in each window of so many seconds."""

    count: int
    seconds: int

    def __str__(self) -> str:
        """As it is set."""
        return f"{self.count}/{next(unit for unit, seconds in _UNITS.items() if seconds == self.seconds)}"

    @property
    def policy(self) -> bytes:
        """The value of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"default";q={self.count};w={self.seconds}'.encode()


def _rate(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value == "off":
        return None
    found = _RATE.fullmatch(value)
    if found is None:
        raise ValueError("must be such as 6000/minute (or second, hour, day), or off")
    return Rate(int(found[1]), _UNITS[found[2]])


RateSetting = Annotated[Rate | None, BeforeValidator(_rate)]


class Settings(BaseSettings):
    """Configuration of one Lifeline process."""

    model_config = SettingsConfigDict(env_prefix="LIFELINE_", extra="ignore")

    database_url: str = Field(
        default="sqlite:///lifeline.db",
        description="`sqlite:///path.db` or `postgresql://user:password@host/name`, or `host1,host2`, of which the primary is found.",
    )
    read_database_url: str | None = Field(
        default=None, description="Where reads go, as to replicas; the database above unless set. Several hosts are tried in turn."
    )
    replica_wait_seconds: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.2, description="Seconds that a read waits for a replica to have what its reader has seen, before the primary answers."
    )
    database_pool: Annotated[int, Field(ge=1, le=100)] = Field(default=8, description="Connections for reading, per process.")
    database_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = Field(
        default=30.0, description="Seconds that a write waits for another writer before 503."
    )
    most_requests: Annotated[int, Field(ge=2)] = Field(
        default=200, description="Requests that each process works on at once, half of them writes; beyond that it answers 503."
    )
    most_waiting: Annotated[int, Field(ge=1)] = Field(
        default=5000, description="Streams and requests with `wait` that each process holds at once; beyond that it answers 503."
    )
    access_log: bool = Field(default=True, description="Whether a line is logged for each request that is not answered from memory.")
    public_clearance: Label = Field(default=Label.CLEAR, description="The highest label that a reader without a key sees.")
    default_label: Label = Field(default=Label.GREEN, description="The label of a report sent without one, where no stricter rule applies.")
    max_body_bytes: Annotated[int, Field(ge=1024)] = Field(default=4 * 1024 * 1024, description="Bytes that a request body may have.")
    import_max_bytes: Annotated[int, Field(ge=1024)] = Field(
        default=32 * 1024 * 1024, description="Bytes that a file sent to `/v1/imports` may have; `lifeline import` takes any."
    )
    cache_bytes: Annotated[int, Field(ge=0)] = Field(default=64 * 1024 * 1024, description="Bytes of answers that each process keeps.")
    secret: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        default=None, description="What hashes of keys are keyed with; a random one in the database unless set. A change ends every key."
    )
    rate_limit: RateSetting = Field(default=Rate(6000, 60), description="Requests that a key may make: `6000/minute`, or `off`.")
    rate_limit_anonymous: RateSetting = Field(
        default=Rate(600, 60), description="Requests without a valid key that an address may make, likewise."
    )
    rate_limit_failures: RateSetting = Field(
        default=Rate(180, 60), description="Wrong keys that an address may send before it has to wait, likewise."
    )
    max_query_bytes: Annotated[int, Field(ge=256)] = Field(default=8192, description="Bytes that a path and its query may have together.")
    body_timeout_seconds: Annotated[float, Field(gt=0)] = Field(
        default=30.0, description="Seconds in which a request body has to arrive; of a file to import each piece."
    )
    header_timeout_seconds: Annotated[float, Field(gt=0)] = Field(
        default=10.0, description="Seconds in which the head of a request has to arrive; then the connection is closed."
    )
    cors_origins: list[str] = Field(
        default_factory=list,
        description='Origins whose pages may read, as JSON: `["https://example.org"]`; `["*"]` for all. None unless set.',
    )
    oidc_issuer: str | None = Field(default=None, description="Issuer whose signed tokens hold in place of keys; none unless set.")
    oidc_audience: str | None = Field(default=None, description="What `aud` of its tokens has to name; needed with an issuer.")
    oidc_jwks_url: str | None = Field(default=None, description="Where its keys are; found by discovery unless set.")
    oidc_scopes_claim: str = Field(default="scope", description="Claim with the scopes: a list, or words in one text.")
    oidc_clearance_claim: str = Field(default="lifeline_clearance", description="Claim with the clearance: a label; `clear` without it.")
    oidc_organisation_claim: str = Field(default="lifeline_organisation", description="Claim with the organisation.")
    oidc_absence_hours: Annotated[int, Field(ge=0, le=8760)] = Field(
        default=24, description="Hours for which the webhooks of a token's subject go on after its last token has ended."
    )
    horizon_days: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        description='Days that a statement stands behind the newest of its indicator, by kind, as JSON: `{"supply_runout": 30}`. '
        "Run `lifeline migrate --reread` after a change.",
    )
    clock_skew_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=60, description="Seconds that a stated time may lie ahead of this machine's clock."
    )
    cap_sender: Annotated[str, Field(pattern=r"^[^\s,<&]{1,200}$")] = Field(
        default="lifeline",
        description="Who sends alerts, as CAP's `sender`: a unique name such as a domain; no spaces, commas, < or &.",
    )
    idempotency_days: Annotated[int, Field(ge=1)] = Field(default=7, description="Days that an Idempotency-Key is remembered.")

    webhook_allow_private: bool = Field(
        default=False, description="Whether webhooks may point into private networks and at http; for closed networks and tests."
    )
    webhook_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        default=15.0, description="Seconds that a receiver of a webhook has to answer in."
    )
    webhook_retry_base_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=5.0, description="Seconds that the first retry of a delivery waits at most; each further one 4 times as long, up to 6 h."
    )
    webhook_retry_seconds: Annotated[float, Field(ge=0)] = Field(
        default=259_200.0, description="Seconds after its first attempt in which a delivery is tried again: three days."
    )
    webhook_disable_seconds: Annotated[float, Field(ge=0)] = Field(
        default=432_000.0, description="Seconds without success after which a delivery that is given up disables its webhook: five days."
    )
    webhook_log_days: Annotated[int, Field(ge=1)] = Field(default=30, description="Days that finished deliveries of webhooks are kept.")

    session_secret: SecretStr = Field(
        default=SecretStr(""),
        description="What the board's sign-in cookies are sealed with, 32 characters or more; made anew at each start unless set. "
        "Several machines need the same.",
    )
    session_hours: Annotated[int, Field(ge=1, le=8760)] = Field(
        default=12, description="Hours after which a reader of the board signs in again."
    )

    @field_validator("session_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(value.get_secret_value()) < 32:
            raise ValueError("must have 32 characters or more")
        return value

    @field_validator("database_url", "read_database_url")
    @classmethod
    def _known_engine(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("sqlite:///", "postgresql://")):
            raise ValueError("must start with sqlite:/// or postgresql://")
        return value


@lru_cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
