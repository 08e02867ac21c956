"""`lifeline export FILE`: every record in order, chained as the ledger is, and no more than the clearance may see."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from app.domain.tlp import Label
from app.exchange.exports import full_export
from app.exchange.exports.full_export import read_records, write_full_export
from app.ledger.hash_chain import GENESIS, canonical_json, chain_hash
from app.storage.database import Database
from tests.support.servers import invoke


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def all_records(database: Database, clearance: Label) -> list[dict[str, Any]]:
    return [each async for page in read_records(database, clearance) for each in page]


async def test_write_full_export_writes_every_record_in_order(
    database: Database, filled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_export, "PAGE_ROWS", 3)
    path = tmp_path / "out.ndjson"
    counts: list[int] = []
    assert await write_full_export(database, path, Label.RED, counts.append) == sum(counts)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {each for each in names(tmp_path) if each.startswith("out")} == {path.name}
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert records == await all_records(database, Label.RED)
    changes = {each["type"] for each in records if each["record"] == "change"}
    assert changes == {"report", "correction", "retraction", "outcome", "grade", "place", "source", "route"}
    places = [each["detail"]["record"]["slug"] for each in records if each.get("type") == "place"]
    assert places.index("country") < places.index("oldtown") < places.index("pocket")
    # The record of a source has its first grade; a later grade is a change.
    (army,) = [each["detail"]["record"] for each in records if each.get("type") == "source" and each["source"] == "army"]
    assert army["first_reliability"] == "D"


@pytest.mark.parametrize("clearance", [Label.CLEAR, Label.AMBER, Label.RED])
async def test_read_records_gives_the_ledger_of_the_clearance(database: Database, filled: dict[str, Any], clearance: Label) -> None:
    head, *records = await all_records(database, clearance)
    hashed = GENESIS
    changes = [each for each in records if each["record"] == "change"]
    for seq, change in enumerate(changes, 1):
        entry = {name: value for name, value in change.items() if name not in ("record", "seq", "hash")}
        hashed = chain_hash(hashed, canonical_json(entry))
        assert (change["seq"], change["hash"]) == (seq, hashed)
    assert (head["seq"], head["hash"], head["clearance"]) == (len(changes), hashed, clearance)
    text = json.dumps(records)
    assert (filled["secret"]["id"] in text) is (clearance is Label.RED)
    assert (filled["amber"]["id"] in text) is (clearance is not Label.CLEAR)
    assert ("37.0812" in text) is (clearance is not Label.CLEAR)


@pytest.mark.parametrize("name", ["out.csv", "out.xlsx", "out.pdf"])
def test_export_command_refuses_other_formats(sqlite_template: Path, tmp_path: Path, name: str) -> None:
    refused = invoke("export", str(tmp_path / name), database_url=f"sqlite:///{sqlite_template}")
    assert refused.exit_code == 1
    assert refused.stderr == f"A full export is NDJSON: give a file name that ends in .ndjson, not {name}.\n"
    assert not list(tmp_path.glob("out.*"))


def test_export_command_writes_an_empty_ledger(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    done = invoke("export", str(path), database_url=database_url)
    assert (done.exit_code, done.stdout) == (0, f"Wrote 1 records to {path}.\n")
    assert json.loads(path.read_text(encoding="utf-8"))["seq"] == 0


async def test_write_full_export_keeps_the_old_file_on_errors(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    path.write_text("before", encoding="utf-8")

    def fail(_: int) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        await write_full_export(database, path, Label.RED, fail)
    assert path.read_text(encoding="utf-8") == "before"
    assert "out.ndjson.part" not in names(tmp_path)
