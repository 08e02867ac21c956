"""Signed notes, checkpoints and cosignatures, by the vectors that Go's `sumdb/note` publishes."""

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ledger.notes import COSIGNATURE, SIGNATURE, Checkpoint, InvalidNote, SignedNote, SigningKey, VerifierKey

VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
NOTE = f"{TEXT}\n{LINE}"
# A second key, of a witness.
WITNESS = SigningKey("example.org/witness", bytes(range(32)))
CHECKPOINT = Checkpoint("example.org/log", 3, bytes(32))


def test_published_note_is_signed_by_its_key() -> None:
    key, note = VerifierKey.parse(VKEY), SignedNote.parse(NOTE.encode())
    assert (key.name, key.algorithm, str(key)) == ("PeterNeumann", SIGNATURE, VKEY)
    assert (note.text, note.signed_at(key)) == (TEXT, 0)
    assert SignedNote.parse(f"{TEXT}\n— EnochRoot ABCDEFGH\n{LINE}".encode()).signed_at(key) == 0


@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_published_note_with_any_byte_changed_is_refused(at: int, change: int) -> None:
    altered = bytearray(NOTE.encode())
    altered[at] ^= change
    try:
        note = SignedNote.parse(bytes(altered))
    except InvalidNote:
        return
    assert note.signed_at(VerifierKey.parse(VKEY)) is None


@pytest.mark.parametrize(
    "note",
    [
        "",
        TEXT,
        LINE,
        f"{TEXT}{LINE}",
        f"{TEXT}\n",
        NOTE.rstrip("\n"),
        f"{NOTE}\n",
        f"{NOTE}more\n",
        NOTE.replace("— ", "- "),
        NOTE.replace("know", "kn\tow"),
        f"{TEXT}\n— PeterNeumann x08g\n",
        f"{TEXT}\n— PeterNeumann x08gow==\n",
        f"{TEXT}\n— Peter+Neumann {LINE.split()[2]}\n",
        f"{TEXT}\n{LINE * 101}",
        "a" * 1_000_001 + NOTE,
    ],
)
def test_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(InvalidNote):
        SignedNote.parse(note.encode())


def test_note_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InvalidNote):
        SignedNote.parse(b"\xff" + NOTE.encode())


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "PeterNeumann",
        VKEY.replace("c74f20a3", "c74f20a4"),
        VKEY.replace("c74f20a3", "C74F20A3"),
        VKEY.replace("Peter", "Peter "),
        VKEY.replace("PeterNeumann", ""),
        VKEY + "=",
        VKEY[:-4],
        f"{VKEY.rpartition('+')[0]}+{b64encode(bytes(33)).decode()}",
    ],
)
def test_malformed_key_is_refused(vkey: str) -> None:
    with pytest.raises(InvalidNote):
        VerifierKey.parse(vkey)


def test_checkpoint_is_read_as_it_was_written() -> None:
    assert str(CHECKPOINT) == f"example.org/log\n3\n{b64encode(bytes(32)).decode()}\n"
    assert Checkpoint.parse(str(CHECKPOINT)) == CHECKPOINT
    assert Checkpoint.parse(f"{CHECKPOINT}an extension\n") == CHECKPOINT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n3\n", "\n03\n"),
        ("\n3\n", "\n-3\n"),
        ("\n3\n", "\n٣\n"),
        ("\n3\n", "\n\n"),
        ("\n3\n", f"\n{2**63}\n"),
        ("\n3\n", "\n1e3\n"),
        ("example.org/log", ""),
        ("AAA=\n", "AA==\n"),
        ("AAA=\n", "AAA="),
    ],
)
def test_malformed_checkpoint_is_refused(old: str, new: str) -> None:
    with pytest.raises(InvalidNote):
        Checkpoint.parse(str(CHECKPOINT).replace(old, new))


def test_cosignature_names_its_time_and_covers_it() -> None:
    log = SigningKey("example.org/log", bytes(32))
    text = str(CHECKPOINT)
    note = SignedNote.parse(f"{text}\n{log.sign(text)}{WITNESS.cosign(text, 1_780_000_000)}".encode())
    cosigner = VerifierKey.parse(str(WITNESS.verifier(COSIGNATURE)))
    assert (note.signed_at(log.verifier()), note.signed_at(cosigner)) == (0, 1_780_000_000)
    # A signature of the same key as a log has another id, and another time was not signed.
    assert note.signed_at(WITNESS.verifier()) is None
    signature = note.signatures[1][2]
    assert cosigner.verify(text, (1_780_000_001).to_bytes(8, "big") + signature[8:]) is None
    assert cosigner.verify(text.replace("3", "4"), signature) is None
    assert cosigner.verify(text, signature[:40]) is None
