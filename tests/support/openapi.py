"""The committed OpenAPI document, because generating it takes a second; one test compares the two."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "openapi"


def committed(name: str = "v1.json") -> dict[str, Any]:
    """Return a document in openapi/."""
    document: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return document


DOCUMENT = committed()
