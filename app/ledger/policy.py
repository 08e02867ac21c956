"""Verify a proof offline, by the keys and witnesses of a policy (C2SP tlog-proof, tlog-policy). Pure."""

import re
from dataclasses import dataclass, field
from typing import Self

from app.ledger.notes import COSIGNATURE, SIGNATURE, Checkpoint, InvalidNote, SignedNote, VerifierKey, decode_base64
from app.ledger.tree import leaf_hash, root_from_inclusion

PROOF_VERSION = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Policy:
    """Keys of logs, keys of witnesses by name, and which of these must have cosigned: groups with their numbers, and a quorum."""

    logs: list[VerifierKey] = field(default_factory=list)
    witnesses: dict[str, VerifierKey] = field(default_factory=dict)
    groups: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    quorum: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a policy; raise InvalidNote with the line that is wrong."""
        policy = cls()
        for number, line in enumerate(text.splitlines(), 1):
            try:
                policy._add(line.split())
            except InvalidNote as error:
                raise InvalidNote(f"line {number} of the policy: {error}") from None
        if not policy.logs or not policy.quorum:
            raise InvalidNote("a policy has a line `log VKEY` and a line `quorum NAME`, or `quorum none`")
        return policy

    def _add(self, words: list[str]) -> None:
        match words:
            case []:
                pass
            case [comment, *_] if comment.startswith("#"):
                pass
            case ["log", vkey] | ["log", vkey, _]:
                self.logs.append(_key(vkey, SIGNATURE))
            case ["witness", name, vkey] | ["witness", name, vkey, _] if self._is_new(name):
                key = _key(vkey, COSIGNATURE)
                if key.public in [each.public for each in self.witnesses.values()]:
                    raise InvalidNote("the key of another witness: one of them would count twice")
                self.witnesses[name] = key
            case ["group", name, count, *members] if members and self._is_new(name) and all(map(self._knows, members)):
                needed = {"any": "1", "all": str(len(members))}.get(count, count)
                if not needed.isascii() or not needed.isdigit() or not 1 <= int(needed) <= len(set(members)) == len(members):
                    raise InvalidNote(f"a group of {len(members)} needs `any`, `all` or a number up to that, and each member once")
                self.groups[name] = int(needed), members
            case ["quorum", name] if not self.quorum and (name == "none" or self._knows(name)):
                self.quorum.append(name)
            case _:
                raise InvalidNote("it is none of log, witness, group and quorum, or names what no line before it does, or one name twice")

    def _is_new(self, name: str) -> bool:
        return name != "none" and not self._knows(name)

    def _knows(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups

    def fulfilled(self, cosigned: set[str], name: str | None = None) -> bool:
        """Return whether a witness or group, by default the quorum, is among those that cosigned."""
        name = self.quorum[0] if name is None else name
        if name in self.groups:
            needed, members = self.groups[name]
            return sum(self.fulfilled(cosigned, each) for each in members) >= needed
        return name == "none" or name in cosigned


def _key(vkey: str, algorithm: int) -> VerifierKey:
    key = VerifierKey.parse(vkey)
    if key.algorithm != algorithm:
        raise InvalidNote("a log needs the key of a log, a witness that of a cosigner")
    return key


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """The position of a proved entry, the checkpoint that has it, and when each witness of the policy cosigned that."""

    index: int
    checkpoint: Checkpoint
    cosigned: dict[str, int]


def verify_proof(proof: bytes, entry: bytes, policy: Policy) -> VerifiedProof:
    """Verify that an entry is in a tree that the policy trusts; raise InvalidNote with the reason if it is not."""
    head, _, note = proof.partition(b"\n\n")
    try:
        version, *lines = head.decode().split("\n")
    except UnicodeDecodeError:
        raise InvalidNote("the proof is not UTF-8") from None
    if lines and lines[0].startswith("extra "):
        decode_base64(lines.pop(0).removeprefix("extra "))
    index = _INDEX.fullmatch(lines[0]) if lines else None
    if version != PROOF_VERSION or index is None:
        raise InvalidNote(f"a proof begins with the lines {PROOF_VERSION} and `index NUMBER`")
    path = [decode_base64(line) for line in lines[1:]]
    signed = SignedNote.parse(note)
    checkpoint = Checkpoint.parse(signed.text)
    if not any(key.name == checkpoint.origin and signed.signed_at(key) is not None for key in policy.logs):
        raise InvalidNote("no log of the policy has signed the checkpoint")
    times = {name: signed.signed_at(key) for name, key in policy.witnesses.items()}
    cosigned = {name: time for name, time in times.items() if time is not None}
    if not policy.fulfilled(set(cosigned)):
        raise InvalidNote("too few witnesses of the policy have cosigned the checkpoint")
    if root_from_inclusion(leaf_hash(entry), int(index[1]), checkpoint.size, path) != checkpoint.root:
        raise InvalidNote("the proof does not lead from the entry to the checkpoint: one was altered, or they do not belong together")
    return VerifiedProof(int(index[1]), checkpoint, cosigned)
