"""Settings: each refuses nonsense at the start, with its name, its value and what would be right; so do unknown names."""

import os

import pytest
from pydantic_settings import SettingsError

from app.settings import Settings, get_settings

NONSENSE = (
    "", " ", "-1", "-0.5", "nan", "inf", "-inf", "1e400", "9" * 30, "9" * 5000, "null", "[]", "{}", "[1]", '{"a": 1}', "[" * 100_000,
    '{"supply_runout": -1}', '{"supply_runout": 99999999999}', '{"supply_runout": 1e400}', '["https://there.example/path"]', '["*", 5]',
    "maybe", "two words", "a\nline", "\x01", "x" * 5000, "tcp://127.0.0.1:8000", "https://", "https://:80", "https://there.example:99999",
    "https://user:password@there.example", "0/minute", "99999999999/minute", "sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://",
    "postgresql://user:pass@word@host/name", "postgresql://user:pa/ss@host/name", "postgresql://host:port/name", "postgresql://host:0/name",
)  # fmt: skip
# Of the nonsense, what is right for some: names, words in claims and secrets are the operator's.
NAMES = {"oidc_audience", "oidc_scopes_claim", "oidc_clearance_claim", "oidc_organisation_claim", "cap_sender"}
SECRETS = {"key_hash_secret": 16, "session_secret": 32}
RIGHT = {"[]": {"cors_origins"}, "{}": {"horizon_days"}}
JSON = {"cors_origins", "horizon_days"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.upper().startswith("LIFELINE_")]:
        monkeypatch.delenv(name)


def problems(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """Return why an environment is refused; nothing if it is not."""
    with monkeypatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)
        try:
            get_settings.__wrapped__()
        except SettingsError as error:
            return str(error)
    return ""


def may_be_right(name: str, value: str) -> bool:
    """Return whether a value of the table is no nonsense for this setting."""
    if name in SECRETS:
        return SECRETS[name] <= len(value) <= 1000 and value.isprintable()
    if name in NAMES:
        return 0 < len(value) <= 200 and value.isprintable() and " " not in value and (name != "cap_sender" or "," not in value)
    return name in RIGHT.get(value, set())


@pytest.mark.parametrize("value", NONSENSE, ids=range(len(NONSENSE)))
def test_settings_refuse_nonsense_by_name_and_value(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [name for name in Settings.model_fields if not may_be_right(name, value)]
    said = problems(monkeypatch, **{f"LIFELINE_{name.upper()}": value for name in Settings.model_fields})
    for name in wrong:
        assert f"LIFELINE_{name.upper()}" in said, name
        # Neither a secret nor a password in a URL is repeated.
        hidden = name in SECRETS or name.endswith("database_url") or "@" in value or len(value) > 100
        assert (f"LIFELINE_{name.upper()}={value}: " in said) is not hidden or name in JSON, name
    assert "pass@word" not in said
    assert "user:password" not in said


def test_every_secret_setting_is_known_as_one() -> None:
    assert SECRETS.keys() == {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}


def test_settings_that_are_right_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    right = {
        "DATABASE_URL": "postgresql://lifeline:x%40y@primary:5432,[::1]:5433/lifeline?sslmode=require",
        "READ_DATABASE_URL": "postgresql://postgres@/lifeline?host=/run/one,/run/two",
        "CORS_ORIGINS": '["https://example.org", "http://localhost:3000"]',
        "OIDC_ISSUER": "https://id.example.org/realms/aid",
        "OIDC_AUDIENCE": "lifeline",
        "OIDC_JWKS_URL": "https://id.example.org/keys?use=sig",
        "HORIZON_DAYS": '{"supply_runout": 30}',
        "RATE_LIMIT": "off",
        # Kubernetes adds these for services that are called lifeline and lifeline-db.
        "SERVICE_HOST": "10.0.0.1",
        "PORT_8000_TCP_ADDR": "10.0.0.1",
        "DB_SERVICE_PORT_POSTGRES": "5432",
        "UPSTREAM_KEY": "ll_key",
    }
    assert problems(monkeypatch, **{f"LIFELINE_{name}": value for name, value in right.items()}) == ""


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LIFELINE_SESION_SECRET", "LIFELINE_SESSION_SECRET"),
        ("LIFELINE_DB_URL", "LIFELINE_DATABASE_URL"),
        ("lifeline_rate_limits", "LIFELINE_RATE_LIMIT"),
        ("LIFELINE_", "LIFELINE_"),
    ],
)
def test_unknown_name_is_refused_with_the_nearest(name: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = problems(monkeypatch, **{name: "a-secret-value"})
    assert f"there is no setting {name}: did you mean {meant}" in said
    assert "a-secret-value" not in said


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"OIDC_ISSUER": "https://id.example.org"}, "LIFELINE_OIDC_AUDIENCE"),
        ({"OIDC_AUDIENCE": "lifeline"}, "LIFELINE_OIDC_ISSUER"),
        ({"OIDC_JWKS_URL": "https://id.example.org/keys"}, "LIFELINE_OIDC_ISSUER"),
        ({"READ_DATABASE_URL": "postgresql://replica/lifeline"}, "LIFELINE_READ_DATABASE_URL"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert named in problems(monkeypatch, **{f"LIFELINE_{name}": value for name, value in given.items()})


def test_horizon_of_an_unknown_kind_names_the_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    said = problems(monkeypatch, LIFELINE_HORIZON_DAYS='{"supply_runouts": 30}')
    assert 'LIFELINE_HORIZON_DAYS={"supply_runouts": 30}: has no kind supply_runouts' in said
    assert "supply_runout," in said
    said = problems(monkeypatch, LIFELINE_HORIZON_DAYS='{"population_movement": 30}')
    assert "reports of population_movement never pass a horizon: leave it out" in said
