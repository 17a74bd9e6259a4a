"""The door: who calls is settled here, once, before any route, and what they may not do goes no further.

    Boundary -> Guard -> routes
                  |
                  +-- job token      signature                         (hot: no database, no other comparison)
                  +-- sky_...        API key, by its hash
                  +-- dashboard's    SKYSCALE_DASHBOARD_TOKEN, and the role of the person it speaks for
                  +-- none           this machine's own user while no token is set, else anonymous

- Everything that changes state is refused to an anonymous caller here, whether or not its route asks again.
- Reading without credentials is a setting (SKYSCALE_READS); a few paths that tell nothing are always open.
- Calls of endpoints (`/proxy/`) pass with whoever makes them: their route asks, because some are public.
- Secrets are compared in constant time, and wrong ones are answered a limited number of times per address.
"""

import hmac
import logging
from time import monotonic
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from skyscale.api.locality import is_local
from skyscale.auth import rules
from skyscale.auth.failures import Failures
from skyscale.auth.principal import ANONYMOUS, OPERATOR, Principal
from skyscale.auth.service import PREFIX as KEY_PREFIX
from skyscale.auth.service import KeyService
from skyscale.auth.tokens import PREFIX as JOB_PREFIX
from skyscale.auth.tokens import JobTokens
from skyscale.errors import Forbidden, TooMany, Unauthorized
from skyscale.settings import Settings
from skyscale.wire.keys import Scope as KeyScope

log = logging.getLogger(__name__)
USER, ROLE = "x-skyscale-user", "x-skyscale-role"
ROLES = {"viewer": KeyScope.READ, "operator": KeyScope.OPERATE, "admin": KeyScope.ADMIN}
MAX_USER_CHARS = 200


class Guard:
    """Puts the caller's principal into the request's scope, or refuses the request."""

    def __init__(self, app: ASGIApp, *, settings: Settings, tokens: JobTokens, keys: KeyService) -> None:
        self._app = app
        self._settings = settings
        self._tokens = tokens
        self._keys = keys
        self._failures = Failures()
        secret = settings.dashboard_token
        self._secret = secret.get_secret_value().encode() if secret is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on with its `principal`. Raises Unauthorized, Forbidden or TooMany."""
        if scope["type"] in ("http", "websocket"):
            if scope["path"].startswith(rules.ENDPOINTS):
                scope["principal"] = await self._authenticate(scope)  # the endpoint says whether it is open to all
            elif self._is_for_hosts(scope):
                scope["principal"] = ANONYMOUS  # the route compares SKYSCALE_HOST_TOKEN, which opens nothing else
            else:
                scope["principal"] = await self._authenticate(scope)
                self._admit(scope, scope["principal"])
        await self._app(scope, receive, send)

    def _is_for_hosts(self, scope: Scope) -> bool:
        is_report = scope.get("method") in ("PUT", "DELETE") and scope["path"].startswith("/api/sandboxes/hosts/")
        return is_report and self._settings.host_token is not None

    def _admit(self, scope: Scope, principal: Principal) -> None:
        path: str = scope["path"]
        method: str = scope.get("method", "WEBSOCKET")
        if principal.kind == "job":
            return  # its role decides, in the route
        if principal.kind == "operator":
            rules.require_scope(principal, rules.needed_scope(method, path))
            if method not in rules.READING:
                log.info("%s %s by %s (%s)", method, path, rules.owner_of(principal), principal.key_id or "session")
        elif method not in rules.READING or not self._is_open(scope, path):
            raise Unauthorized

    def _is_open(self, scope: Scope, path: str) -> bool:
        if path in rules.PUBLIC:
            return True
        match self._settings.reads:
            case "open":
                return True
            case "local":
                return path in rules.SCRAPED or is_local(scope)
            case "guarded":
                return False

    async def _authenticate(self, scope: Scope) -> Principal:
        headers = Headers(scope=scope)
        header = headers.get("authorization")
        if header is None:
            return self._without_token(scope, headers)
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized("only `Authorization: Bearer <token>` is understood")
        token = token.strip()
        if token.startswith(JOB_PREFIX) and (job := self._tokens.verify(token)) is not None:
            return job
        return await self._counted(scope, headers, token)

    async def _counted(self, scope: Scope, headers: Headers, token: str) -> Principal:
        client = scope.get("client")
        address = client[0] if client else ""
        if wait_s := self._failures.wait_s(address, token, monotonic()):
            raise TooMany(
                "too many wrong credentials from this address", retry_after_s=wait_s, code="too_many_failures"
            )
        try:
            principal = await self._recognise(headers, token)
        except Unauthorized as error:
            self._failures.failed(address, monotonic())
            log.warning("refused credentials from %s: %s", address, error.code)
            raise
        self._failures.succeeded(address, token, monotonic())
        return principal

    async def _recognise(self, headers: Headers, token: str) -> Principal:
        # Bytes: comparing text raises for characters beyond ASCII.
        if self._secret is not None and hmac.compare_digest(self._secret, token.encode("utf-8", "surrogateescape")):
            return _for_person(OPERATOR, headers)
        if token.startswith(KEY_PREFIX):
            return await self._keys.recognise(token)
        if ROLE in headers:
            raise _mismatch(is_set=self._secret is not None)
        raise Unauthorized("this token is not valid here", code="invalid_token")

    def _without_token(self, scope: Scope, headers: Headers) -> Principal:
        """An operator when no token is configured and the call comes from this machine, by its own name."""
        if self._secret is not None:
            return ANONYMOUS
        if self._settings.insecure or is_local(scope):
            return _for_person(OPERATOR, headers)
        return ANONYMOUS


def _for_person(operator: Principal, headers: Headers) -> Principal:
    """The operator as the person whom the dashboard speaks for: its role can only narrow what the operator may."""
    role, user = headers.get(ROLE), headers.get(USER)
    if role is None:
        return operator
    if role not in ROLES:
        raise Forbidden(f"there is no role {role[:40]!r}", code="unknown_role")
    return Principal("operator", scope=ROLES[role], user=unquote(user)[:MAX_USER_CHARS] if user else None)


def _mismatch(*, is_set: bool) -> Unauthorized:
    if not is_set:
        return Unauthorized(
            "the dashboard sends a token, and this control plane has none",
            code="dashboard_token_unset",
            hint="Set SKYSCALE_DASHBOARD_TOKEN to the same value for both, and restart them.",
        )
    return Unauthorized(
        "the dashboard's SKYSCALE_DASHBOARD_TOKEN is not the control plane's",
        code="dashboard_token_mismatch",
        hint="Set SKYSCALE_DASHBOARD_TOKEN to the same value for both, and restart them.",
    )
