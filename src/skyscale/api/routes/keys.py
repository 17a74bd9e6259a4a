"""API keys over HTTP, and a way to ask who one is."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from skyscale.api.deps import Caller, Parts, body_of, read_body, reply
from skyscale.api.errors import RESPONSES
from skyscale.wire.keys import ApiKeyCreate, ApiKeyCreated, ApiKeyPage, WhoAmI

router = APIRouter(tags=["keys"], responses=RESPONSES)
KeyId = Annotated[str, Path(max_length=40, pattern=r"^[A-Za-z0-9_-]+$", description="The key's id, `key-...`")]


@router.post(
    "/api/keys",
    summary="Make an API key",
    description="The secret is in this reply and nowhere else. A person makes keys up to their own role.",
    operation_id="create_api_key",
    status_code=201,
    response_model=ApiKeyCreated,
    openapi_extra=body_of(ApiKeyCreate),
)
async def create(request: Request, parts: Parts, caller: Caller) -> Response:
    """A key that speaks for the caller."""
    made = await parts.keys.create(caller, await read_body(request, ApiKeyCreate))
    response = reply(made, 201)
    response.headers["Cache-Control"] = "no-store"
    return response


@router.get("/api/keys", summary="List API keys, newest first", operation_id="list_api_keys", response_model=ApiKeyPage)
async def list_keys(
    parts: Parts,
    caller: Caller,
    cursor: Annotated[str | None, Query(max_length=40)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """The caller's keys, everybody's for admins, without their secrets; revoked and expired ones included."""
    return reply(await parts.keys.page(caller, cursor, limit))


@router.delete("/api/keys/{key_id}", summary="Revoke an API key", operation_id="revoke_api_key", status_code=204)
async def revoke(key_id: KeyId, parts: Parts, caller: Caller) -> Response:
    """It opens nothing any more, at once. Again changes nothing."""
    await parts.keys.revoke(caller, key_id)
    return Response(status_code=204)


@router.get("/api/whoami", summary="Who these credentials are", operation_id="whoami", response_model=WhoAmI)
async def whoami(caller: Caller) -> Response:
    """Anonymous callers are told so; wrong credentials are a 401."""
    scope = caller.scope if caller.kind == "operator" else None
    return reply(
        WhoAmI(
            kind=caller.kind,
            scope=scope,
            user=caller.user,
            key_id=caller.key_id,
            run_id=caller.run_id,
            job_id=caller.job_id,
        )
    )
