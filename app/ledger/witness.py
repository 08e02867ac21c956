"""Cosign the checkpoints of other logs, of which none may contradict an earlier one (C2SP tlog-witness)."""

import re
from collections.abc import Mapping

import structlog

from app.http.problems import Problem
from app.ledger.notes import Checkpoint, InvalidNote, SignedNote, VerifierKey, decode_base64, signature_line
from app.ledger.signing_key import LedgerKey
from app.ledger.tree import EMPTY_ROOT, HASH_BYTES, roots_from_consistency

MAX_PROOF_LINES = 63
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")

log = structlog.get_logger(__name__)


class KnownSize(Exception):
    """The size of the tree that was cosigned last, where a request names another, or another tree of that size."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def parse_request(body: bytes) -> tuple[int, list[bytes], SignedNote]:
    """Return the size of the earlier tree, the consistency proof and the signed checkpoint of a request; raise InvalidNote."""
    head, separator, note = body.partition(b"\n\n")
    first, *lines = head.decode("ascii", "replace").split("\n")
    old = _OLD.fullmatch(first)
    if old is None or not separator:
        raise InvalidNote("the body is a line `old SIZE`, a proof, an empty line and a checkpoint")
    proof = [decode_base64(line) for line in lines]
    if len(proof) > MAX_PROOF_LINES or any(len(each) != HASH_BYTES for each in proof):
        raise InvalidNote(f"a proof has at most {MAX_PROOF_LINES} hashes of {HASH_BYTES} bytes")
    return int(old[1]), proof, SignedNote.parse(note)


def signed_lines(signed: SignedNote, key: VerifierKey) -> str:
    """Return the lines by which a log has signed a note; none if one of them is not valid."""
    found = [signature for name, id_, signature in signed.signatures if (name, id_) == (key.name, key.id)]
    return "".join(signature_line(key, each) for each in found) if all(key.verify(signed.text, each) == 0 for each in found) else ""


def add_checkpoint(key: LedgerKey, logs: Mapping[str, VerifierKey], body: bytes, now: int) -> str:
    """Return the line of the cosignature of a checkpoint, once it is stored; `now` is in seconds since 1970.

    Raises KnownSize, Problem with the status of the specification, or SigningError.
    """
    try:
        old, proof, signed = parse_request(body)
        checkpoint = Checkpoint.parse(signed.text)
    except InvalidNote as error:
        raise Problem(400, f"The request is not understood: {error}.") from None
    if (log_key := logs.get(checkpoint.origin)) is None:
        raise Problem(404, "This service witnesses no log of this origin.", kind="not-found")
    if not (lines := signed_lines(signed, log_key)):
        raise Problem(403, "The key of the log has not signed the checkpoint.", kind="signature")
    if old > checkpoint.size:
        raise Problem(400, "The old size must not exceed the size of the checkpoint.")
    with key.lock():
        note = key.last_cosigned(checkpoint.origin)
        known = Checkpoint(checkpoint.origin, 0, EMPTY_ROOT) if note is None else Checkpoint.parse(SignedNote.parse(note).text)
        same_size = checkpoint.size == known.size and checkpoint.root != known.root
        if same_size and known.size:
            # With the signatures of the log on both, so that anyone can check who made them.
            refused = f"{signed.text}\n{lines}"
            log.warning("log_has_two_histories", origin=checkpoint.origin, cosigned=(note or b"").decode(), refused=refused)
        if old != known.size or (same_size and known.size):
            raise KnownSize(known.size)
        roots = known.root, checkpoint.root
        continues = not proof if old == 0 else roots_from_consistency(old, checkpoint.size, proof, known.root) == roots
        if not continues or (checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT):
            # Anyone can send an honest checkpoint with a wrong proof, so this shows nothing of the log.
            log.info("checkpoint_without_proof", origin=checkpoint.origin, cosigned=known.size, refused=checkpoint.size)
            raise Problem(422, "The proof does not lead from the checkpoint that was cosigned to this one.", kind="proof")
        line = key.cosigner.cosign(signed.text, now)
        if checkpoint != known:
            key.remember_cosigned(checkpoint.origin, f"{signed.text}\n{lines}{line}".encode())
    return line
