"""The table of docs/settings.md, made from `app.settings`: `python -m tests.docs.settings_page` writes it into the page."""

from enum import Enum
from typing import Any

from annotated_types import Ge, Gt, Le

from app.settings import Settings
from tests.docs.pages import DOCS

PAGE = DOCS / "settings.md"
START, END = "<!-- settings: written by python -m tests.docs.settings_page -->", "<!-- end of settings -->"
UNITS = ("bytes", "seconds", "hours", "days")
# The first group whose words a setting's name begins with has it.
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Database", ("database", "read_database", "replica")),
    ("Requests", ("max_", "body_", "header_", "rate_", "cors_", "response_cache", "access_log", "idempotency", "public_url")),
    ("Keys, tokens and sign-in", ("key_", "oidc", "session", "audit")),
    ("Reports and indicators", ("public_clearance", "default_label", "horizon", "clock", "cap_", "draft")),
    ("Checkpoints of the ledger", ("origin", "signing_key")),
    ("Webhooks", ("webhook",)),
)


def table() -> str:
    """Return the tables, a group each."""
    rows: dict[str, list[str]] = {title: [] for title, _ in GROUPS}
    for name, field in Settings.model_fields.items():
        title = next(title for title, starts in GROUPS if name.startswith(starts))
        default = field.get_default(call_default_factory=True)
        rows[title].append(f"| `LIFELINE_{name.upper()}` | {_shown(default)} | {_unit(name, field.metadata)} | {field.description} |")
    head = "| Setting | Default | Unit and range | Meaning |\n| --- | --- | --- | --- |"
    return "\n\n".join(f"## {title}\n\n{head}\n" + "\n".join(lines) for title, lines in rows.items())


def page() -> str:
    """Return the page with its tables written again."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    return f"{before}{START}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


def _shown(default: Any) -> str:
    if default is None or str(default) == "":
        return "not set"
    if isinstance(default, Enum):
        return f"`{default.value}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) and default < 1e6 else f"`{default}`"


def _unit(name: str, metadata: list[Any]) -> str:
    unit = next((unit for unit in UNITS if unit in name.split("_")), "")
    lows = [f"at least {each.ge}" if isinstance(each, Ge) else f"more than {each.gt}" for each in metadata if isinstance(each, (Ge, Gt))]
    highs = [f"at most {each.le}" for each in metadata if isinstance(each, Le)]
    return ", ".join(filter(None, [unit, *lows, *highs]))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
