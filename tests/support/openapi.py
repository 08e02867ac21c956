"""The OpenAPI document as committed: to make it anew takes a second, and one test holds the two equal."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "openapi"


def committed(name: str = "v1.json") -> dict[str, Any]:
    """A document of the folder."""
    document: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return document


DOCUMENT = committed()
