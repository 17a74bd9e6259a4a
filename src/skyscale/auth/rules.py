"""Which scope a call needs, who may make and see which keys. Pure.

Scopes are a ladder: read < operate < admin. What a call needs is known from its method and path alone, so that a route
that forgets to ask is still closed: everything but reading needs `operate`.
"""

from skyscale.auth.principal import Principal
from skyscale.errors import Forbidden, Unauthorized
from skyscale.wire.keys import Scope

READING = frozenset({"GET", "HEAD", "OPTIONS"})
LADDER = (Scope.READ, Scope.OPERATE, Scope.ADMIN)
PUBLIC = frozenset({"/", "/health", "/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc", "/api/whoami"})
"""Paths that tell nothing of what is kept here; read by anyone."""
SCRAPED = frozenset({"/metrics"})
"""Read by anyone unless reads are guarded."""
KEYS = "/api/keys"
ENDPOINTS = "/proxy/"
"""Functions as the world calls them: each says itself whether it is public."""


def includes(have: Scope, need: Scope) -> bool:
    """Whether the scope one has is as far as the one that is needed."""
    return LADDER.index(have) >= LADDER.index(need)


def needed_scope(method: str, path: str) -> Scope:
    """What a call needs at least. Keys are made with any scope: `require_key_maker` says which."""
    if method in READING or path == KEYS or path.startswith(f"{KEYS}/"):
        return Scope.READ
    return Scope.OPERATE


def require_scope(principal: Principal, need: Scope) -> None:
    """Raise if an operator's credential does not reach this far; jobs and anonymous callers are others' concern."""
    if principal.kind == "operator" and not includes(principal.scope, need):
        raise Forbidden(
            f"this needs the scope {need.value!r}, and these credentials have {principal.scope.value!r}",
            code="insufficient_scope",
            hint="Use a key with that scope, or ask an admin for the role.",
        )


def require_key_maker(principal: Principal, scope: Scope) -> None:
    """Raise unless this caller may make a key of this scope.

    A person may make keys up to their own scope. A key makes keys only with `admin`: a leaked one must not outlive
    its revocation by having made others.
    """
    _require_person_or_key(principal)
    require_scope(principal, Scope.ADMIN if principal.key_id is not None else scope)


def sees_keys_of(principal: Principal) -> str | None:
    """Whose keys this caller sees and may revoke; None for everybody's."""
    _require_person_or_key(principal)
    return None if includes(principal.scope, Scope.ADMIN) else owner_of(principal)


def owner_of(principal: Principal) -> str:
    """Who keys made by this caller belong to."""
    return principal.user or "operator"


def _require_person_or_key(principal: Principal) -> None:
    if principal.kind == "anonymous":
        raise Unauthorized
    if principal.kind != "operator":
        raise Forbidden("a job's token does not open this")
