"""Signed notes, checkpoints and cosignatures (C2SP signed-note, tlog-checkpoint, tlog-cosignature). Pure."""

import re
from base64 import b64decode, b64encode
from binascii import Error
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE, COSIGNATURE = 0x01, 0x04
MAX_NOTE_BYTES, MAX_SIGNATURES = 1_000_000, 100
# The last second of the year 9999, after which no calendar goes on.
_MAX_TIME = 253_402_300_799
_KEY_BYTES, _SIGNATURE_BYTES, _TIME_BYTES = 32, 64, 8
_NAME = re.compile(r"[^\s+\x00-\x1f]+")
_LINE = re.compile(r"— ([^\s+]+) (\S+)\n")
_TREE = re.compile(r"(0|[1-9][0-9]{0,18})")


class InvalidNote(ValueError):
    """The reason why a text is no note, key or checkpoint."""


def decode_base64(text: str) -> bytes:
    """Decode standard base64 with its padding; raise InvalidNote for anything else."""
    try:
        decoded = b64decode(text, validate=True)
    except (Error, ValueError):
        raise InvalidNote("not standard base64") from None
    if b64encode(decoded).decode() != text:
        raise InvalidNote("not canonical base64")
    return decoded


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name of who signs with it, and the algorithm: SIGNATURE for logs, COSIGNATURE for witnesses."""

    name: str
    algorithm: int
    public: bytes

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read the text form `name+id+key`."""
        parts = vkey.split("+", 2)
        if len(parts) != 3 or not _NAME.fullmatch(parts[0]):
            raise InvalidNote("a key has the form name+id+key")
        decoded = decode_base64(parts[2])
        if len(decoded) != 1 + _KEY_BYTES or decoded[0] not in (SIGNATURE, COSIGNATURE):
            raise InvalidNote("the key is no Ed25519 key of a log or a witness")
        found = cls(parts[0], decoded[0], decoded[1:])
        if found.id.hex() != parts[1]:
            raise InvalidNote("the id does not belong to the name and the key")
        return found

    @property
    def id(self) -> bytes:
        """The four bytes that signatures name the key by."""
        return sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes([self.algorithm]) + self.public).decode()}"

    def verify(self, text: str, signature: bytes) -> int | None:
        """Return when a signature of a text was made, in seconds since 1970, 0 for a log's; None if it is not valid."""
        time, signed = 0, text.encode()
        if self.algorithm == COSIGNATURE:
            time, signature = int.from_bytes(signature[:_TIME_BYTES], "big"), signature[_TIME_BYTES:]
            signed = _cosigned(text, time)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, signed)
        except (InvalidSignature, ValueError):
            return None
        return time if time <= _MAX_TIME else None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key of 32 bytes with the name of who signs with it."""

    name: str
    private: bytes

    def verifier(self, algorithm: int = SIGNATURE) -> VerifierKey:
        """Return its public part."""
        return VerifierKey(self.name, algorithm, self._key().public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """Return the line of a log's signature."""
        return signature_line(self.verifier(), self._key().sign(text.encode()))

    def cosign(self, text: str, time: int) -> str:
        """Return the line of a witness's cosignature of a checkpoint at a time, in seconds since 1970."""
        return signature_line(self.verifier(COSIGNATURE), time.to_bytes(_TIME_BYTES, "big") + self._key().sign(_cosigned(text, time)))

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.private)


def _cosigned(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def signature_line(key: VerifierKey, signature: bytes) -> str:
    """Return the line of a note with a signature, which begins with its time if it is a cosignature."""
    return f"— {key.name} {b64encode(key.id + signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A text, which ends in a line feed, and its signatures: name, id of the key and signature, in order."""

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]

    @classmethod
    def parse(cls, note: bytes) -> Self:
        """Read a note; raise InvalidNote."""
        try:
            text, separator, lines = note[:MAX_NOTE_BYTES].decode().rpartition("\n\n")
        except UnicodeDecodeError:
            raise InvalidNote("not UTF-8") from None
        if len(note) > MAX_NOTE_BYTES or not separator or re.search(r"[\x00-\x09\x0b-\x1f]", note.decode()):
            raise InvalidNote("a note is text, an empty line, and lines of signatures")
        signatures = []
        for line in lines.splitlines(keepends=True):
            match = _LINE.fullmatch(line)
            if match is None:
                raise InvalidNote("a line of a signature is malformed")
            decoded = decode_base64(match[2])
            if len(decoded) <= 4:
                raise InvalidNote("a signature is too short")
            signatures.append((match[1], decoded[:4], decoded[4:]))
        if not 0 < len(signatures) <= MAX_SIGNATURES:
            raise InvalidNote(f"a note has at least one signature, and at most {MAX_SIGNATURES}")
        return cls(text + "\n", tuple(signatures))

    def signed_at(self, key: VerifierKey) -> int | None:
        """Return when the note was signed with a key, as `VerifierKey.verify` does; None if it was not."""
        for name, id_, signature in self.signatures:
            if (name, id_) == (key.name, key.id):
                return key.verify(self.text, signature)
        return None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The size and root hash of the tree of an origin."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a note, of which extension lines are ignored; raise InvalidNote."""
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0] or not _TREE.fullmatch(lines[1]) or int(lines[1]) >= 2**63:
            raise InvalidNote("a checkpoint has the lines origin, size and root hash")
        root = decode_base64(lines[2])
        if len(root) != sha256().digest_size:
            raise InvalidNote("the root hash has 32 bytes")
        return cls(lines[0], int(lines[1]), root)

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"
