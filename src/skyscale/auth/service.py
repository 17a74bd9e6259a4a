"""API keys: made, recognised, listed, revoked.

- Only the SHA-256 of a secret is stored; a secret is 256 random bits, so a slow hash would protect nothing.
- A key that was just recognised is remembered for `FRESH_S`, so that a busy client costs no query per call. Revoking
  forgets it here at once; another control plane on the same database notices within `FRESH_S`.
- `last_used_at` is written once a minute at most.
"""

import hashlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from skyscale.auth import queries
from skyscale.auth.principal import Principal
from skyscale.auth.queries import KeyRow
from skyscale.auth.rules import owner_of, require_key_maker, sees_keys_of
from skyscale.errors import BadRequest, NotFound, Unauthorized
from skyscale.store.engine import Database
from skyscale.wire.base import new_id, utc_now
from skyscale.wire.keys import ApiKeyCreate, ApiKeyCreated, ApiKeyPage, ApiKeyView

PREFIX = "sky_"
START_CHARS = 10
FRESH_S = 5.0
USED_AGAIN_S = 60.0
MAX_SECRET_CHARS = 200
MAX_REMEMBERED = 1000


class KeyService:
    """One transaction per call."""

    def __init__(self, database: Database, now: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._now = now
        self._fresh: dict[str, tuple[datetime, KeyRow]] = {}

    async def create(self, caller: Principal, body: ApiKeyCreate) -> ApiKeyCreated:
        """A new key of the caller's; the only time that its secret is shown."""
        require_key_maker(caller, body.scope)
        secret, now = PREFIX + secrets.token_urlsafe(32), self._now()
        lifetime = body.expires_in_days
        view = ApiKeyView(
            key_id=new_id("key"), name=body.name, scope=body.scope, start=secret[:START_CHARS],
            owner=owner_of(caller), created_at=now, last_used_at=None, revoked_at=None,
            expires_at=None if lifetime is None else now + timedelta(days=lifetime),
        )  # fmt: skip
        async with self._database.write() as connection:
            await queries.insert_key(connection, digest_of(secret), view)
        return ApiKeyCreated(key=view, secret=secret)

    async def page(self, caller: Principal, cursor: str | None, limit: int) -> ApiKeyPage:
        """The caller's keys, an admin's are everybody's; newest first, revoked ones included."""
        owner = sees_keys_of(caller)
        if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
            raise BadRequest("this cursor is not one of ours", hint="Use `next_cursor` of the page before.")
        async with self._database.read() as connection:
            rows = await queries.page(connection, owner, int(cursor) if cursor else None, limit + 1)
        more = str(rows[limit - 1].seq) if len(rows) > limit else None
        return ApiKeyPage(keys=[row.view for row in rows[:limit]], next_cursor=more)

    async def revoke(self, caller: Principal, key_id: str) -> None:
        """End a key; again changes nothing. Another owner's key does not exist for those who are no admins."""
        owner = sees_keys_of(caller)
        async with self._database.write() as connection:
            row = await queries.by_id(connection, key_id)
            # A key may always end itself, which is what `skyscale logout --revoke` and a leak call for.
            if row is None or (owner is not None and row.view.owner != owner and caller.key_id != key_id):
                raise NotFound(f"there is no key {key_id}", code="key_not_found")
            await queries.set_revoked(connection, key_id, self._now())
        self._fresh.pop(row.digest, None)

    async def recognise(self, secret: str) -> Principal:
        """Whose key this is. Raises Unauthorized for one that is unknown, revoked or expired, each by its own code."""
        if len(secret) > MAX_SECRET_CHARS:
            raise _unknown()
        digest, now = digest_of(secret), self._now()
        remembered = self._fresh.get(digest)
        if remembered is None or (now - remembered[0]).total_seconds() > FRESH_S:
            remembered = (now, await self._look_up(digest, now))
        view = remembered[1].view
        if view.expires_at is not None and view.expires_at <= now:
            raise Unauthorized(
                f"the API key {view.name!r} expired on {view.expires_at:%Y-%m-%d %H:%M} UTC",
                code="expired_api_key", hint="Make a new one: `skyscale keys create`, or Settings in the dashboard.",
            )  # fmt: skip
        return Principal("operator", scope=view.scope, user=view.owner, key_id=view.key_id)

    async def _look_up(self, digest: str, now: datetime) -> KeyRow:
        async with self._database.read() as connection:
            row = await queries.by_digest(connection, digest)
        if row is None:
            raise _unknown()
        if row.view.revoked_at is not None:
            raise Unauthorized(f"the API key {row.view.name!r} was revoked", code="revoked_api_key")
        if row.view.last_used_at is None or (now - row.view.last_used_at).total_seconds() > USED_AGAIN_S:
            async with self._database.write() as connection:
                await queries.set_used(connection, row.view.key_id, now)
        if len(self._fresh) >= MAX_REMEMBERED:
            self._fresh.clear()
        self._fresh[digest] = (now, row)
        return row


def digest_of(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _unknown() -> Unauthorized:
    return Unauthorized(
        "there is no such API key", code="invalid_api_key", hint="Check that it was copied whole, or make a new one."
    )
