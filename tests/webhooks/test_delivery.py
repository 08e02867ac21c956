"""One attempt: the signature, unexpected errors and long responses."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook as Signer

from app.webhooks import delivery
from tests.support.fixtures import sqlite_only
from tests.webhooks.conftest import Receiver, Register, delivery_log, post_report, until, wait_for_statuses


def test_signature_matches_the_vector_of_standard_webhooks() -> None:
    signer = Signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC), '{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.usefixtures("reference")
@sqlite_only
async def test_delivery_that_raises_an_unexpected_error_is_recorded(
    client: httpx.AsyncClient, receiver: Receiver, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would be repeated at once, without end."""

    async def fail(*_: Any) -> None:
        raise ValueError("unexpected")

    with monkeypatch.context() as patched:
        patched.setattr(delivery, "_send_request", fail)
        webhook = await register()
        await post_report(client)

        async def recorded() -> bool:
            return [item["attempts"] > 0 for item in await delivery_log(client, webhook)] == [True]

        await until(recorded)
        (item,) = await delivery_log(client, webhook)
        assert (item["status"], item["error"]) == ("pending", "the response could not be read")
        assert not receiver.requests


@pytest.mark.usefixtures("reference")
@sqlite_only
async def test_delivery_does_not_read_a_long_response_to_its_end(client: httpx.AsyncClient, receiver: Receiver, register: Register) -> None:
    webhook = await register()
    # Waiting for the gigabyte that the header announces would time out.
    receiver.respond_with(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000)
    await post_report(client)
    (item,) = await wait_for_statuses(client, webhook, "delivered")
    assert item["attempts"] == 1
