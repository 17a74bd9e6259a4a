"""The calls of API keys, made and read. Pure.

Making a key is never repeated: the first reply's secret would be lost.
"""

from skyscale.sdk.call import Call, get, nothing, post, reading
from skyscale.wire.keys import ApiKeyCreate, ApiKeyCreated, ApiKeyPage, WhoAmI

PATH = "/api/keys"


def create(body: ApiKeyCreate) -> Call[ApiKeyCreated]:
    """`POST /api/keys`."""
    return post(PATH, reading(ApiKeyCreated), body, is_repeatable=False)


def listing(cursor: str | None, limit: int | None) -> Call[ApiKeyPage]:
    """`GET /api/keys`."""
    return get(PATH, reading(ApiKeyPage), cursor=cursor, limit=limit)


def revoke(key_id: str) -> Call[None]:
    """`DELETE /api/keys/{id}`."""
    return Call("DELETE", f"{PATH}/{key_id}", nothing)


def whoami() -> Call[WhoAmI]:
    """`GET /api/whoami`."""
    return get("/api/whoami", reading(WhoAmI))
