"""`/v1/ledger`, `/v1/witness` and proofs: others verify that nothing was altered, and that all are served one history."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Request, Response

from app.access.dependencies import CallerDep, DatabaseDep, SettingsDep
from app.access.principal import Principal
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.http.openapi import LIST_ERRORS, READ_ERRORS, Responses, problem_responses
from app.http.problems import Problem, not_found
from app.http.request_body import read_body, reject_content_encoding
from app.http.responses import JSON, cache_control, json_response
from app.http.state import app_state
from app.ledger import proofs, witness
from app.ledger.checkpoints import refusal, verifier_keys
from app.ledger.nodes import read_hashes
from app.ledger.partners import read_log_keys, read_public_proof
from app.ledger.queries import load_head
from app.ledger.schemas import LedgerHead
from app.ledger.signing_key import LedgerKey, SigningError

router = APIRouter(tags=["Ledger"])

TEXT, BYTES = "text/plain; charset=utf-8", "application/octet-stream"
# A day, because after a fork other tiles have the same addresses.
IMMUTABLE = "max-age=86400, immutable"

Clearance = Annotated[
    Label | None, Query(description="Clearance whose ledger is meant, up to your own; by default your own.", examples=["clear"])
]
Cosigned = Annotated[
    bool, Query(description="Return the checkpoint that most partners have cosigned, which may be of a minute ago or longer.")
]
TileNumber = Annotated[
    str,
    Path(
        description="Number of the tile in groups of three digits, all but the last with an `x` before it, such as `x001/234`; of a tile "
        "with fewer than 256 entries, `.p/` and how many.",
        examples=["000.p/3"],
    ),
]
ReportId = Annotated[UUID, Path(description="Identifier of the report.", examples=["01900000-0000-7000-8004-000000000007"])]
JudgementId = Annotated[UUID, Path(description="Identifier of the judgement.", examples=["01900000-0000-7000-8010-000000000001"])]
ProofTree = Annotated[
    Label | None,
    Query(description="Prove it in the ledger of this clearance, at least its label and at most your own; by default the label."),
]


_SALT = "5f0c6b3f0d7e4a518c9b2d6e7f809a1b"
_REPORT_ENTRY = {"type": "report", "report": {"kind": "trapped_population", "place": "aleppo-east"}, "salt": _SALT}
_JUDGEMENT_ENTRY = {"type": "judgement", "detail": {"judgement": {"likelihood": "likely"}}, "salt": _SALT}
_SCHEMAS = {BYTES: {"type": "string", "format": "binary"}, JSON: {"type": "object"}}


def _responses(media_type: str, description: str, example: Any) -> Responses:
    content = {media_type: {"schema": _SCHEMAS.get(media_type, {"type": "string"}), "example": example}}
    return READ_ERRORS | problem_responses(403) | {200: {"description": description, "content": content}}


def _level(caller: Principal, clearance: Label | None) -> int:
    """Return the level of a clearance up to the caller's; raise 403."""
    if clearance is not None and clearance.level > caller.level:
        raise Problem(403, f"The key is not cleared for {clearance.value}.", kind="clearance")
    return caller.level if clearance is None else clearance.level


@router.get("/ledger/head", summary="Get the head of the ledger", response_model=LedgerHead, responses=LIST_ERRORS)
async def get_ledger_head(request: Request, caller: CallerDep, database: DatabaseDep, settings: SettingsDep) -> Response:
    """Return position, hash and time of the last entry as this caller sees the ledger: keep them to prove later what was recorded."""
    public = settings.public_clearance
    async with database.read() as connection:
        head = await load_head(connection, caller.level)
        proof = await read_public_proof(connection, public.level, f"{settings.origin}/{public}")
    return json_response(request, orjson.dumps(head | verifier_keys(settings, caller.level) | proof), revision=head["seq"])


@router.get(
    "/ledger/checkpoint",
    summary="Get a signed checkpoint",
    response_class=Response,
    responses=_responses(
        "text/plain",
        "Origin, size and root hash of the tree, and the signature (C2SP tlog-checkpoint).",
        "ledger.example.org/aid/clear\n16\nT1Rv2rBq0tU5xS3yq0Jd6eWmY0vO2m8hYx1yJb8y2X8=\n\n— ledger.example.org/aid/clear NIXF8A...\n",
    ),
)
async def get_checkpoint(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    clearance: Clearance = None,
    cosigned: Cosigned = False,
) -> Response:
    """Return the signed root of the Merkle tree over the ledger as it is now, with the cosignatures of partners that have seen it.

    Keep it: a later one that does not continue it proves that history was rewritten. 404 where this service signs nothing, 503 where the
    ledger does not continue what it signed before.
    """
    level = _level(caller, clearance)
    signed = await app_state(request).checkpoint_signer.cosigned(database, level, 0 if cosigned else None)
    # A cosignature of another ledger than the public one does not end what is cached.
    kept = level <= settings.public_clearance.level
    return json_response(request, signed.note, media_type=TEXT, revision=signed.checkpoint.size, cacheable=kept)


@router.get(
    "/ledger/tile/entries/{number:path}",
    summary="Get a tile of entries",
    response_class=Response,
    responses=_responses(BYTES, "Entries, each after its length in two bytes; one that was withheld since has none.", "(binary)"),
)
async def get_entry_tile(
    request: Request, caller: CallerDep, database: DatabaseDep, number: TileNumber, clearance: Clearance = None
) -> Response:
    """Return up to 256 entries in canonical JSON, as they are hashed (C2SP tlog-tiles)."""
    level, (first, width) = _level(caller, clearance), proofs.parse_tile(number)
    async with database.read_latest() as connection:
        entries = await proofs.read_entries(connection, level, first, width)
    if len(entries) < width:
        raise not_found("tile")
    return json_response(request, b"".join(len(each).to_bytes(2, "big") + each for each in entries), media_type=BYTES)


@router.get(
    "/ledger/tile/{height}/{number:path}",
    summary="Get a tile of hashes",
    response_class=Response,
    responses=_responses(BYTES, "Hashes of 32 bytes each.", "(binary)"),
)
async def get_tile(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    height: Annotated[int, Path(description="0 for the entries; a hash at N is the root of 256 at N - 1.", ge=0, le=7, examples=[0])],
    number: TileNumber,
    clearance: Clearance = None,
) -> Response:
    """Return up to 256 hashes of the Merkle tree (C2SP tlog-tiles). They never change, so keep them, but for a new origin ask again."""
    level, (first, width) = _level(caller, clearance), proofs.parse_tile(number)
    async with database.read_latest() as connection:
        hashes = await read_hashes(connection, level, height, first, width)
    if len(hashes) < width:
        raise not_found("tile")
    forked = await app_state(request).checkpoint_signer.has_forked()
    kept = {} if forked else {"Cache-Control": cache_control(request).replace("no-cache", IMMUTABLE)}
    return json_response(request, b"".join(hashes), media_type=BYTES, headers=kept)


def _add_proofs(what: str, find: proofs.Find, id_: Any, example: dict[str, Any]) -> None:
    async def get_proof(
        request: Request,
        caller: CallerDep,
        database: DatabaseDep,
        settings: SettingsDep,
        id: id_,  # noqa: A002 - the field's name on the wire
        clearance: ProofTree = None,
    ) -> Response:
        wanted = None if clearance is None else _level(caller, clearance)
        async with database.read_latest() as connection:
            level, index = await find(connection, id, caller.level, wanted)
        signed = await app_state(request).checkpoint_signer.cosigned(database, level, index + 1)
        async with database.read_latest() as connection:
            proof = await proofs.inclusion_proof(connection, level, index, signed.checkpoint.size, signed.note)
        return json_response(request, proof, media_type=TEXT, cacheable=level <= settings.public_clearance.level)

    async def get_entry(
        request: Request,
        caller: CallerDep,
        database: DatabaseDep,
        id: id_,  # noqa: A002 - the field's name on the wire
        clearance: ProofTree = None,
    ) -> Response:
        wanted = None if clearance is None else _level(caller, clearance)
        async with database.read_latest() as connection:
            level, index = await find(connection, id, caller.level, wanted)
            (entry,) = await proofs.read_entries(connection, level, index, 1)
        if not entry:
            raise not_found("entry")
        return json_response(request, entry)

    router.add_api_route(
        f"/{what}s/{{id}}.tlog-proof",
        get_proof,
        operation_id=f"get_{what}_proof",
        summary=f"Get the proof of a {what}",
        description=f"Return a proof, to be verified offline, that a {what} is in the ledger; what was recorded is at the same address, "
        f"`.tlog-entry`.\n\nIt leads to the checkpoint that most partners have cosigned since the {what} was recorded, or to that of now.",
        response_class=Response,
        responses=_responses(
            "text/plain",
            "Position, hashes and signed checkpoint (C2SP tlog-proof).",
            "c2sp.org/tlog-proof@v1\nindex 6\n...\n\nledger.example.org/aid/clear\n...",
        ),
    )
    router.add_api_route(
        f"/{what}s/{{id}}.tlog-entry",
        get_entry,
        operation_id=f"get_{what}_entry",
        summary=f"Get the entry that the proof of a {what} is of",
        description=f"Return the entry that recorded a {what}, to keep beside its proof; 404 also if a part of it was withheld since.",
        response_class=Response,
        responses=_responses(JSON, "The entry in canonical JSON, byte for byte as it is hashed.", example),
    )


_add_proofs("report", proofs.find_statement, ReportId, _REPORT_ENTRY)
_add_proofs("judgement", proofs.find_judgement, JudgementId, _JUDGEMENT_ENTRY)


_REQUEST = (
    "old 14\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\nledger.example.org/aid/clear\n16\n"
    "T1Rv2rBq0tU5xS3yq0Jd6eWmY0vO2m8hYx1yJb8y2X8=\n\n— ledger.example.org/aid/clear NIXF8A...\n"
)
_WITNESS_RESPONSES: Responses = problem_responses(400, 403, 404, 413, 415, 422, 503) | {
    200: {
        "description": "The cosignature: a line of a signed note.",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": "— ledger.example.net/relief zPgu8AAAAABs...\n"}},
    },
    409: {
        "description": "Size of the tree that was cosigned last: `old` is another size, or another tree of that size was cosigned.",
        "content": {"text/x.tlog.size": {"schema": {"type": "string"}, "example": "14\n"}},
    },
}


@router.post(
    "/witness/add-checkpoint",
    summary="Cosign a checkpoint",
    response_class=Response,
    responses=_WITNESS_RESPONSES,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"text/plain": {"schema": {"type": "string"}, "examples": {"A tree that grew": {"value": _REQUEST}}}},
        }
    },
)
async def create_cosignature(request: Request, database: DatabaseDep, settings: SettingsDep) -> Response:
    """Cosign the checkpoint of a partner's log, if it continues the one that was cosigned last (C2SP tlog-witness).

    Needs no key: the checkpoint has the signature of the log. What was cosigned is stored before the response.
    """
    reject_content_encoding(request)
    body = await read_body(request, settings.max_body_bytes)
    async with database.read_latest() as connection:
        logs = await read_log_keys(connection)
    try:
        key = LedgerKey.load(settings)
        if key is None:
            raise not_found("log")
        line = await asyncio.to_thread(witness.add_checkpoint, key, logs, body, int(utc_now().timestamp()))
    except witness.KnownSize as known:
        # Without the charset that Starlette adds to texts: the specification has this media type alone.
        return Response(f"{known.size}\n", 409, {"Cache-Control": "no-store", "Content-Type": "text/x.tlog.size"})
    except SigningError as error:
        raise refusal(str(error)) from None
    return Response(line, headers={"Cache-Control": "no-store"}, media_type=TEXT)
