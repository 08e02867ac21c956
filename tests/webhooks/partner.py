"""A partner that cosigns the checkpoints of the service under test."""

from pathlib import Path

from app.domain.tlp import Label
from app.ledger.notes import COSIGNATURE, Checkpoint, SignedNote
from app.ledger.signing_key import LedgerKey
from app.ledger.witness import KnownSize, add_checkpoint
from app.settings import Settings
from tests.ledger.helpers import add_partner
from tests.webhooks.conftest import ReceivedRequest, Receiver, http_response

COSIGNED_AT = 1795510841


class PartnerWitness:
    """A partner with a key of its own, which witnesses the ledger of the service under test."""

    def __init__(self, receiver: Receiver, settings: Settings, name: str, folder: Path) -> None:
        own = LedgerKey.load(settings)
        assert own is not None
        (folder / name).mkdir()
        self.receiver, self.settings, self.name = receiver, settings, name
        self.key = LedgerKey.create(f"{name}.example.net/relief", folder / name / "signing.key")
        self.cosigner = self.key.cosigner.verifier(COSIGNATURE)
        self.logs = {own.signer(label.level).name: own.signer(label.level).verifier() for label in Label}
        self.path = f"/{name}/add-checkpoint"

    def respond(self, request: ReceivedRequest) -> bytes:
        try:
            line = add_checkpoint(self.key, self.logs, request.body, COSIGNED_AT)
        except KnownSize as known:
            return http_response(409, body=f"{known.size}\n".encode())
        return http_response(200, body=line.encode())

    async def add(self, level: int = 0, age: str | None = None) -> None:
        """Make it a partner of the service."""
        address = self.receiver.url.removesuffix("/hook") + f"/{self.name}/"
        await add_partner(
            self.settings.database_url, self.name, str(self.key.signer(0).verifier()), str(self.cosigner), address, level, age
        )

    def received(self) -> list[Checkpoint]:
        """Return the checkpoints that it was sent."""
        bodies = [each.body for each in self.receiver.requests if each.path == self.path]
        return [Checkpoint.parse(SignedNote.parse(each.partition(b"\n\n")[2]).text) for each in bodies]
