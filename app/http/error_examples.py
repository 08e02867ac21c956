"""Examples of errors in the OpenAPI document, as each operation answers them."""

import re
from itertools import pairwise
from typing import Any

from app.http.problems import MEDIA_TYPE

_SINGULAR = {"label-proposals": "proposal", "situations": "place", "deliveries": "delivery", "entries": "tile", "items": "feature"}
_UNSIGNED = "This service signs no checkpoints: its operator has not set LIFELINE_ORIGIN."
# By the end of the path, then by the collection: what a conflict says, and its type.
_CONFLICTS = {
    "outcome": ("Indicators of the kind route_closure give no warnings, so they have no outcome.", "no-warning"),
    "grades": ("The source already has the grade B.", "same-grade"),
    "label": ("The report already has the label green.", "same-label"),
    "rotation": ("The key is revoked: create a new one.", "revoked"),
    "webhooks": ("An organisation may have 100 webhooks: delete one first.", "too-many"),
    "drafts": ("The draft is already confirmed.", "decided"),
    "label-proposals": ("The proposal is already confirmed, or the label has changed since: propose again.", "lapsed"),
    "places": ("A place with the slug aleppo-east exists: choose another slug.", "exists"),
    "sources": ("A source with the slug un-ocha exists: choose another slug.", "exists"),
    "routes": ("A route with the slug castello-road exists: choose another slug.", "exists"),
}


def fit_error_examples(path: str, method: str, operation: dict[str, Any]) -> None:
    """Replace the general examples of an operation's errors by what it answers: its scope, record, conflict, parameter and media type."""
    parts = path.strip("/").split("/")
    fitted: dict[str, dict[str, Any]] = {}
    if scopes := re.search(r"scope `(\w+)`(?:[^.;]* (?:else|or) `(\w+)`)?", operation.get("description", "")):
        fitted["403"] = {"detail": f"The key needs the scope {' or '.join(filter(None, scopes.groups()))}."}
    named = [before for before, part in pairwise(parts) if part.startswith("{") > before.startswith("{")]
    if named:
        fitted["404"] = {"detail": f"There is no such {_SINGULAR.get(named[-1], named[-1].removesuffix('s'))}."}
    if path == "/v1/ledger/checkpoint":
        fitted["404"] = {"detail": _UNSIGNED}
    if conflict := next((_CONFLICTS[each] for each in (parts[-1], *parts[1:2]) if each in _CONFLICTS), None):
        fitted["409"] = {"detail": conflict[0], "type": f"urn:lifeline:problem:{conflict[1]}"}
    if path == "/v1/imports":
        fitted["413"] = {"detail": "The file must not exceed 33554432 bytes."}
    if method == "get":
        limit = next((each["schema"] for each in operation.get("parameters", []) if each["name"] == "limit"), None)
        error = {"pointer": "?sort", "detail": "unknown query parameter"}
        if limit is not None and "maximum" in limit:
            error = {"pointer": "?limit", "detail": f"must be {limit['maximum']} or less"}
        fitted["422"] = {"errors": [error]}
    for status, more in fitted.items():
        content = operation["responses"].get(status, {}).get("content", {}).get(MEDIA_TYPE, {})
        if "example" in content:
            content["example"] = content["example"] | more
