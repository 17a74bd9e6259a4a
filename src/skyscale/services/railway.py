"""Railway's GraphQL API: one question, one answer, its errors as classes of `skyscale.errors`.

- Reading is tried again when Railway is silent or broken; writing never is: there are no idempotency keys.
- Errors arrive as HTTP 200 with `errors`, and are told apart by their code and, where that says nothing, their text.
- Calls are counted by the hour (1000 on a small plan): a 429 is passed on with its `Retry-After`.
"""

import asyncio
from typing import Any

import httpx

from skyscale.errors import Invalid, NotFound, ProtocolError, SkyscaleError, TooMany, Unavailable
from skyscale.services import railway_operations as operations
from skyscale.settings import RailwaySettings

TIMEOUT_S = 30.0
ATTEMPTS = 3
PAUSE_S = 0.3
MAX_WORDS = 300


class Railway:
    """Asks Railway; belongs to one event loop."""

    def __init__(self, settings: RailwaySettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http
        self._place: tuple[str, str] | None = None

    @property
    def is_configured(self) -> bool:
        """Whether there is a token at all."""
        return self._settings.project_token is not None or self._settings.api_token is not None

    async def place(self) -> tuple[str, str]:
        """Project and environment: as set, else those that the project token is for. Raises Unavailable."""
        if self._place is None:
            chosen = self._settings.project_id, self._settings.environment_id
            if chosen[0] is None or chosen[1] is None:
                self._headers()  # without any token that is said first
                if self._settings.project_token is None:
                    raise Unavailable(
                        "RAILWAY_API_TOKEN alone does not say where to deploy", code="railway_not_configured",
                        hint="Set RAILWAY_PROJECT_ID and RAILWAY_ENVIRONMENT_ID, or RAILWAY_TOKEN (of a project).",
                    )  # fmt: skip
                found = (await self.ask(operations.PROJECT_OF_TOKEN, {}))["projectToken"]
                chosen = found["projectId"], found["environmentId"]
            assert chosen[0] is not None and chosen[1] is not None, "both are known by now"
            self._place = chosen[0], chosen[1]
        return self._place

    async def ask(self, document: str, variables: dict[str, object]) -> dict[str, Any]:
        """The reply's `data`. Raises classes of `skyscale.errors`."""
        attempts = 1 if document.lstrip().startswith("mutation") else ATTEMPTS
        for attempt in range(1, attempts + 1):
            try:
                return await self._send(document, variables)
            except (Unavailable, ProtocolError):
                if attempt == attempts or not self.is_configured:
                    raise
                await asyncio.sleep(PAUSE_S * attempt)
        raise AssertionError("the last attempt returns or raises")

    async def _send(self, document: str, variables: dict[str, object]) -> dict[str, Any]:
        try:
            response = await self._http.post(
                self._settings.api_url, json={"query": document, "variables": variables}, headers=self._headers(),
                timeout=TIMEOUT_S,
            )  # fmt: skip
        except httpx.HTTPError as error:
            raise Unavailable(
                f"Railway does not answer: {type(error).__name__}", code="railway_unreachable", hint="Try again."
            ) from error
        if response.status_code == 429:
            raise TooMany("Railway wants fewer calls", retry_after_s=_wait_s(response), code="railway_rate_limited")
        try:
            body: dict[str, Any] = response.json()
            errors: list[dict[str, Any]] = body.get("errors") or []
        except (ValueError, AttributeError) as error:
            raise ProtocolError(
                f"Railway answered {response.status_code} and no JSON", code="railway_failed", hint="Try again."
            ) from error
        if errors:
            raise refusal(errors[0])
        data: dict[str, Any] | None = body.get("data")
        if response.status_code >= 400 or data is None:
            raise ProtocolError(f"Railway answered {response.status_code} without data", code="railway_failed")
        return data

    def _headers(self) -> dict[str, str]:
        source = {"x-source": "skyscale"}
        if self._settings.project_token is not None:
            return source | {"Project-Access-Token": self._settings.project_token.get_secret_value()}
        if self._settings.api_token is not None:
            return source | {"Authorization": f"Bearer {self._settings.api_token.get_secret_value()}"}
        raise Unavailable(
            "this control plane has no credentials for Railway", code="railway_not_configured",
            hint="Set RAILWAY_TOKEN (a project token) in the environment of `skyscale serve`.",
        )  # fmt: skip


def refusal(error: dict[str, Any]) -> SkyscaleError:
    """What one GraphQL error means to our caller. Pure."""
    said = str(error.get("message", "no message"))[:MAX_WORDS]
    extensions: dict[str, Any] = error.get("extensions") or {}
    code, lower = str(extensions.get("code", "")), said.lower()
    text = f"Railway: {said}" + (f" (trace {extensions['traceId']})" if "traceId" in extensions else "")
    if "not authorized" in lower:
        return Unavailable(
            text, code="railway_unauthorized",
            hint="The operator's Railway token does not open this: check RAILWAY_TOKEN and the project's id.",
        )  # fmt: skip
    if "not found" in lower:
        return NotFound(text, code="service_not_found")
    if "too quickly" in lower or "rate limit" in lower:
        return TooMany(text, retry_after_s=30.0, code="railway_rate_limited")
    if code in ("BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"):
        return Invalid(text, code="railway_refused")
    return ProtocolError(text, code="railway_failed", hint="Try again; Railway's status page may say more.")


def _wait_s(response: httpx.Response) -> float:
    given = response.headers.get("retry-after", "")
    return float(given) if given.isdigit() else 30.0
