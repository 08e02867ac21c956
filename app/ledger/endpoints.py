"""`/v1/ledger/head`: where the ledger stands."""

import orjson
from fastapi import APIRouter, Request, Response

from app.access.dependencies import CallerDep, DatabaseDep
from app.http.openapi import LIST_ERRORS
from app.http.responses import json_response
from app.ledger.queries import load_head
from app.ledger.schemas import LedgerHead

router = APIRouter()


@router.get("/ledger/head", tags=["Ledger"], summary="Where does the ledger stand?", response_model=LedgerHead, responses=LIST_ERRORS)
async def get_ledger_head(request: Request, caller: CallerDep, database: DatabaseDep) -> Response:
    """Number, hash and time of the last entry, as this reader sees the ledger: an auditor holds it to prove later what stood."""
    async with database.read() as connection:
        head = await load_head(connection, caller.level)
    return json_response(request, orjson.dumps(head), private=caller.key_id is not None, revision=head["seq"])
