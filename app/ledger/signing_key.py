"""The key that signs checkpoints, and beside it what was signed last: files outside the database, so that its backups hold neither."""

import fcntl
import os
import secrets
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Self

from pydantic import TypeAdapter

from app.domain.tlp import LABELS
from app.ledger.notes import InvalidNote, SigningKey, decode_base64
from app.settings import Settings
from app.storage.private_files import OWNER_READS_AND_WRITES, open_private_file, replace_by_private_file

KEY_BYTES = 32
# The last signed checkpoint by origin and label; of other logs the last that was cosigned.
_SIGNED = TypeAdapter(dict[str, dict[str, str]])
_COSIGNED, _FORKED = "cosigned", "forked"
FORK = "begin a new history with `lifeline ledger fork --origin NEW`"


class SigningError(Exception):
    """The reason why the files of the key cannot be used."""


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """The key of a ledger: as a log, of the origin and a name for each clearance; as a witness of other logs."""

    origin: str
    private: bytes
    file: Path

    @classmethod
    def create(cls, origin: str, file: Path) -> Self:
        """Make a key in a new file, which its owner alone may use."""
        made = cls(origin, secrets.token_bytes(KEY_BYTES), file)
        with open_private_file(file) as opened:
            made.begin()
            opened.write(b64encode(made.private) + b"\n")
        return made

    @classmethod
    def load(cls, settings: Settings) -> Self | None:
        """Return the key of the settings; None if they name no key. Raises SigningError."""
        if settings.origin is None or settings.signing_key_file is None:
            return None
        file = Path(settings.signing_key_file)
        try:
            private = decode_base64(file.read_text("ascii").rstrip("\n"))
        except OSError as error:
            raise SigningError(f"The key of LIFELINE_SIGNING_KEY_FILE cannot be read: {error.strerror}.") from None
        except (InvalidNote, UnicodeDecodeError):
            private = b""
        if len(private) != KEY_BYTES:
            raise SigningError("The file of LIFELINE_SIGNING_KEY_FILE holds no key of `lifeline ledger init`.")
        return cls(settings.origin, private, file)

    def signer(self, level: int) -> SigningKey:
        """Return the key that signs the tree of a clearance."""
        return SigningKey(f"{self.origin}/{LABELS[level]}", self.private)

    @property
    def cosigner(self) -> SigningKey:
        """The key that cosigns the checkpoints of others: another key, so that no signature of one passes for one of the other."""
        return SigningKey(self.origin, sha256(f"cosigner\n{self.origin}\n".encode() + self.private).digest())

    @property
    def identity_file(self) -> Path:
        """The file of the age identity that bundles for this service are encrypted to, if there is one."""
        return self._beside(".age")

    def begin(self, *, forked: bool = False) -> None:
        """Begin to sign as this origin, which must be new: nothing may have been signed as it yet."""
        with self.lock():
            try:
                signed = self._read()
            except SigningError:
                signed = {}
            if self.origin in signed:
                raise SigningError(f"{self.origin} has signed already: a new history needs a name that was never used.")
            self._write(signed | {self.origin: {_FORKED: ""} if forked else {}})

    def is_forked(self) -> bool:
        """Tell whether this history began by a fork. Raises SigningError."""
        return _FORKED in self._read().get(self.origin, {})

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from signing meanwhile."""
        with _writing():
            descriptor = os.open(self._beside(".lock"), os.O_RDWR | os.O_CREAT, OWNER_READS_AND_WRITES)
        with os.fdopen(descriptor) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def lead(self) -> IO[str] | None:
        """Return a lock of this process alone, which ends when it is closed and with the process; None if another process has it."""
        with _writing():
            file = os.fdopen(os.open(self._beside(".lead"), os.O_RDWR | os.O_CREAT, OWNER_READS_AND_WRITES))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def last_signed(self, level: int) -> bytes | None:
        """Return the last signed checkpoint of a clearance; None before the first. Raises SigningError."""
        try:
            note = self._read()[self.origin].get(LABELS[level])
        except KeyError:
            raise SigningError(f"Nothing says what was signed as {self.origin}: {FORK}.") from None
        return None if note is None else note.encode()

    def remember(self, level: int, note: bytes) -> None:
        """Store the last signed checkpoint of a clearance, so that it survives a pulled plug; under the lock."""
        signed = self._read()
        signed[self.origin][LABELS[level]] = note.decode()
        self._write(signed)

    def last_cosigned(self, log: str) -> bytes | None:
        """Return the last checkpoint of another log that was cosigned; None before the first. Raises SigningError."""
        note = self._read().get(log, {}).get(_COSIGNED)
        return None if note is None else note.encode()

    def remember_cosigned(self, log: str, note: bytes) -> None:
        """Store the last cosigned checkpoint of another log, so that it survives a pulled plug and a restored backup; under the lock."""
        self._write(self._read() | {log: {_COSIGNED: note.decode()}})

    def _beside(self, ending: str) -> Path:
        return self.file.with_name(self.file.name + ending)

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            return _SIGNED.validate_json(self._beside(".signed").read_bytes())
        except (OSError, ValueError):
            raise SigningError(f"{self.file.name}.signed, beside the key, is missing or damaged: put it back, or {FORK}.") from None

    def _write(self, signed: dict[str, dict[str, str]]) -> None:
        new = self._beside(".new")
        with _writing():
            with replace_by_private_file(new) as file:
                file.write(_SIGNED.dump_json(signed, indent=1) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._beside(".signed"))
            folder = os.open(self.file.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SigningError(f"The folder of LIFELINE_SIGNING_KEY_FILE cannot be written to: {error.strerror}.") from None
