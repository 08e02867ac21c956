"""`/v1/ledger/head`: the last entry of the ledger."""

import orjson
from fastapi import APIRouter, Request, Response

from app.access.dependencies import CallerDep, DatabaseDep
from app.http.openapi import LIST_ERRORS
from app.http.responses import json_response
from app.ledger.queries import load_head
from app.ledger.schemas import LedgerHead

router = APIRouter(tags=["Ledger"])


@router.get("/ledger/head", summary="Get the head of the ledger", response_model=LedgerHead, responses=LIST_ERRORS)
async def get_ledger_head(request: Request, caller: CallerDep, database: DatabaseDep) -> Response:
    """Return position, hash and time of the last entry as this caller sees the ledger: keep them to prove later what was recorded."""
    async with database.read() as connection:
        head = await load_head(connection, caller.level)
    return json_response(request, orjson.dumps(head), revision=head["seq"])
