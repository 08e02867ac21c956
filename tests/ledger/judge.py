"""Judge proofs by aics-tlog, which needs Python 3.12 and an environment of its own: `python judge.py VKEY...` reads lines of JSON.

Each line has `proof` and `entry` in base64; for each the program prints `accepted`, or `refused`. It imports nothing of the project.
"""

import base64
import json
import sys

from aics_tlog import parse_note, parse_vkey, verify_checkpoint, verify_leaf_inclusion
from aics_tlog.checkpoint import parse_checkpoint


def is_proved(proof: bytes, entry: bytes, keys: dict) -> bool:
    """Whether an entry is in the tree of a log with one of the keys."""
    try:
        head, separator, note_text = proof.decode().partition("\n\n")
        version, index, *path = head.split("\n")
        number = int(index.removeprefix("index "))
        note = parse_note(note_text)
        checkpoint = parse_checkpoint(note.text)
        if version != "c2sp.org/tlog-proof@v1" or index != f"index {number}" or not separator:
            return False
        key = keys[checkpoint.origin]
        hashes = [base64.b64decode(each, validate=True) for each in path]
        if [base64.b64encode(each).decode() for each in hashes] != path:
            return False
        signed = verify_checkpoint(note, key, expected_origin=checkpoint.origin).ok
        return signed and verify_leaf_inclusion(entry, number, checkpoint.size, hashes, checkpoint.root)
    except Exception:  # noqa: BLE001 - whatever it is, it is not proved
        return False


if __name__ == "__main__":
    trusted = {key.name: key for key in map(parse_vkey, sys.argv[1:])}
    for line in sys.stdin:
        found = json.loads(line)
        parts = (base64.b64decode(found[name]) for name in ("proof", "entry"))
        sys.stdout.write("accepted\n" if is_proved(*parts, trusted) else "refused\n")
