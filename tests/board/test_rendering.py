"""Tests for drawing pages beside the event loop."""

import threading
from typing import Any

import httpx
import pytest

from app.board import endpoints, overview_page
from tests.support.factories import Reference, report
from tests.support.fixtures import sqlite_only


@sqlite_only
@pytest.mark.parametrize("path", ["/?as_of=2016-08-01", "/places/oldtown"])
async def test_event_loop_runs_while_a_page_is_drawn(
    client: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    drawn = []
    loop_thread = threading.get_ident()

    def watch(module: Any, name: str) -> None:
        function = getattr(module, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            drawn.append((name, threading.get_ident() == loop_thread))
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, watched)

    watch(overview_page, "overview_map")
    watch(endpoints, "render_page")
    assert (await client.post("/v1/reports", json=report())).status_code == 201
    assert (await client.get(path)).status_code == 200
    assert drawn == ([("overview_map", False)] if path.startswith("/?") else []) + [("render_page", False)]
