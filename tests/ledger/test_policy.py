"""Proofs are verified by a policy: its logs, witnesses, groups and quorum."""

from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.ledger.notes import COSIGNATURE, Checkpoint, InvalidNote, SigningKey
from app.ledger.policy import Policy, verify_proof
from app.ledger.tree import inclusion_spans, leaf_hash, root_of
from tests.support.servers import invoke

LOG = SigningKey("example.org/log", bytes(range(32)))
WITNESSES = {name: SigningKey(f"{name}.example.org", bytes([number]) * 32) for number, name in enumerate("abc")}
ENTRIES = [b'{"number":%d}' % number for number in range(4)]
LEAVES = [leaf_hash(each) for each in ENTRIES]
POLICY = "\n".join(
    ["# Of a test.", f"log {LOG.verifier()} https://example.org/", ""]
    + [f"witness {name} {key.verifier(COSIGNATURE)}" for name, key in WITNESSES.items()]
    + ["group some any a b", "group most 2 some c", "quorum %s"]
)


def proof(cosigners: str = "", log: SigningKey = LOG, origin: str = LOG.name, extra: str = "") -> bytes:
    """Return a proof of the second of four entries."""
    text = str(Checkpoint(origin, 4, root_of([LEAVES])))
    path = [b64encode(root_of([LEAVES[start:end]])).decode() for start, end in inclusion_spans(1, 4)]
    lines = log.sign(text) + "".join(WITNESSES[name].cosign(text, 1_780_000_000) for name in cosigners)
    return "\n".join(["c2sp.org/tlog-proof@v1" + extra, "index 1", *path, "", f"{text}\n{lines}"]).encode()


@pytest.mark.parametrize(
    ("cosigners", "quorum", "proved"),
    [
        ("", "none", True), ("", "some", False), ("b", "some", True), ("ab", "most", False), ("bc", "most", True), ("a", "a", True),
        ("c", "some", False), ("abc", "most", True),
    ],
)  # fmt: skip
def test_proof_needs_the_cosignatures_of_the_quorum(cosigners: str, quorum: str, proved: bool) -> None:
    policy = Policy.parse(POLICY % quorum)
    if not proved:
        with pytest.raises(InvalidNote, match="too few witnesses"):
            verify_proof(proof(cosigners), ENTRIES[1], policy)
        return
    found = verify_proof(proof(cosigners), ENTRIES[1], policy)
    assert (found.index, found.checkpoint.size, found.cosigned) == (1, 4, dict.fromkeys(cosigners, 1_780_000_000))


def changes(files: tuple[bytes, bytes]) -> st.SearchStrategy[tuple[bytes, ...]]:
    """Draw two files of which one has another byte, one byte less, or one more; often one that other verifiers pass over."""

    def change(which: int, at: int, less: int, more: bytes) -> tuple[bytes, ...]:
        file = files[which]
        at %= len(file) + 1
        changed = file[:at] + more + file[at + less :]
        return (*files[:which], changed if changed != file else file[:-1], *files[which + 1 :])

    content = st.sampled_from([b"\n", b" ", b"\r", b"=", b"\x00", b"\xc2\xa0"]) | st.binary(min_size=1, max_size=1)
    return st.builds(change, st.integers(0, 1), st.integers(-2, 10_000), st.integers(0, 1), content | st.just(b""))


@given(changes((proof("a"), ENTRIES[1])))
@example((proof("a")[:-1], ENTRIES[1]))
@settings(max_examples=500)
def test_proof_or_entry_with_any_byte_changed_is_refused(files: tuple[bytes, bytes]) -> None:
    with pytest.raises(InvalidNote):
        verify_proof(*files, Policy.parse(POLICY % "a"))


def test_proof_of_another_log_or_entry_is_refused() -> None:
    policy = Policy.parse(POLICY % "none")
    assert verify_proof(proof(extra="\nextra bm90ZQ=="), ENTRIES[1], policy).index == 1
    for wrong, entry in (
        (proof(log=SigningKey(LOG.name, bytes(32))), ENTRIES[1]),
        (proof(log=SigningKey("example.org/other", LOG.private), origin="example.org/other"), ENTRIES[1]),
        (proof(origin="example.org/other"), ENTRIES[1]),
        (proof(), ENTRIES[0]),
        (proof().replace(b"index 1", b"index 5"), ENTRIES[1]),
        (proof().replace(b"index 1", b"index 01"), ENTRIES[1]),
        (proof(extra="\nextra !"), ENTRIES[1]),
        (b"", ENTRIES[1]),
    ):
        with pytest.raises(InvalidNote):
            verify_proof(wrong, entry, policy)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("quorum some", ""), ("quorum some", "quorum nobody"), ("quorum some", "quorum some\nquorum none"), ("log ", "blog "),
        ("group some any a b", "group some 3 a b"), ("group some any a b", "group some 0 a b"),
        ("group some any a b", "group some any a a"),
        ("group some any a b", "group some any a d"), ("group some any a b", "group some any a none"),
        (f"witness b {WITNESSES['b'].verifier(COSIGNATURE)}", f"witness b {WITNESSES['a'].verifier(COSIGNATURE)}"),
        ("group some any", "group a any"), ("group some any a b", "group some any"),
        ("witness b", "witness a"), ("witness b", "witness none"), (f"log {LOG.verifier()}", f"log {WITNESSES['a'].verifier(COSIGNATURE)}"),
        (str(WITNESSES["b"].verifier(COSIGNATURE)), str(LOG.verifier())), ("log example", "log example+"),
    ],
)  # fmt: skip
def test_policy_with_a_fault_is_refused(old: str, new: str) -> None:
    text = POLICY % "some"
    assert old in text
    with pytest.raises(InvalidNote):
        Policy.parse(text.replace(old, new, 1))


def test_verify_proof_command_names_position_and_witnesses_or_the_reason(tmp_path: Path) -> None:
    for name, content in {
        "a.tlog-proof": proof("a"),
        "a.tlog-entry": ENTRIES[1],
        "other": ENTRIES[0],
        "policy": (POLICY % "a").encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
    command = ("verify-proof", str(tmp_path / "a.tlog-proof"), "--policy", str(tmp_path / "policy"))
    proved = invoke(*command)
    assert proved.exit_code == 0, proved.output
    assert proved.output == "Proved: entry 2 of 4 in example.org/log.\nCosigned by a at 2026-05-28T20:26:40Z.\n"
    refused = invoke(*command, "--entry", str(tmp_path / "other"))
    assert (refused.exit_code, refused.output.startswith("Not proved: the proof does not lead from the entry")) == (1, True)
    missing = invoke(*command, "--entry", str(tmp_path / "none"))
    assert (missing.exit_code, missing.output) == (1, f"{tmp_path / 'none'} cannot be read: No such file or directory.\n")
    endless = invoke(*command, "--entry", "/dev/zero")
    assert (endless.exit_code, endless.output.startswith("Not proved: /dev/zero has more than 1,000,000 bytes")) == (1, True)
