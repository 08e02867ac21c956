"""A bare ASGI app that serves given bytes: the upper limit of what uvicorn can do."""

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

Receive = Any
Send = Any

# Path -> [status, headers, body as Base64].
ANSWERS_FILE = "BENCHMARK_ANSWERS"


def create_app() -> Any:
    """Create the app with the answers in the file that the environment names."""
    answers: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for path, (status, headers, body) in json.loads(Path(os.environ[ANSWERS_FILE]).read_text(encoding="utf-8")).items():
        answers[path] = (
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.encode(), value.encode()) for name, value in headers],
            },
            {"type": "http.response.body", "body": b64decode(body)},
        )

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        if scope["method"] == "POST":
            while (await receive()).get("more_body"):
                pass
        start, body = answers[scope["path"]]
        await send(start)
        await send(body)

    return app
