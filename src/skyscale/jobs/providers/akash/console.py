"""The Console API of Akash over HTTP, and what its answers mean.

Shapes are of its OpenAPI description; whatever it adds is ignored. No call is repeated here: only the caller knows
which of them may be.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from skyscale.errors import Conflict, Invalid, NotFound, ProtocolError, SkyscaleError, Unavailable
from skyscale.jobs.provider import NoCapacity, Refused

HTTP_S = 30.0
PAGE = 100
AGENT = "skyscale"
"""The door in front of the API turns away the default names of HTTP libraries."""
D = TypeVar("D")
M = TypeVar("M", bound="Loose")
POOR = ("insufficient", "balance", "not enough", "credits", "payment")


class Loose(BaseModel):
    """A part of an answer: what is used of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class LeaseId(Loose):
    """Which lease, or which bid for one."""

    dseq: str
    gseq: int
    oseq: int
    provider: str


class Bid(Loose):
    """A provider's offer."""

    id: LeaseId
    state: str
    price: dict[str, str]


class Forwarded(Loose):
    """A port of the container, as the world reaches it."""

    port: int
    externalPort: int  # noqa: N815 - the API's spelling
    host: str | None = None


class Service(Loose):
    """How many replicas answer."""

    available: int


class Status(Loose):
    """What the provider says of a lease."""

    services: dict[str, Service]
    forwarded_ports: dict[str, list[Forwarded]]


class Lease(Loose):
    """A lease; without a status until its provider has answered, and in lists."""

    id: LeaseId
    state: str
    status: Status | None = None


class Head(Loose):
    """A deployment's own state."""

    id: dict[str, str]
    state: str


class Deployment(Loose):
    """A deployment with its leases."""

    deployment: Head
    leases: list[Lease]
    name: str | None = None

    @property
    def dseq(self) -> str:
        """Its number, which is unique."""
        return self.deployment.id["dseq"]

    @property
    def is_active(self) -> bool:
        """Whether it is not closed."""
        return self.deployment.state == "active"

    @property
    def lease(self) -> Lease | None:
        """Its live lease."""
        return next((lease for lease in self.leases if lease.state == "active"), None)


class Count(Loose):
    """Accelerators of a model on the network."""

    total: int
    available: int


class Price(Loose):
    """What was paid lately, in dollars per hour."""

    med: float | None = None


class Model(Loose):
    """An accelerator of the network."""

    model: str
    ram: str | None = None
    interface: str | None = None
    availability: Count
    price: Price | None = None


class _Created(Loose):
    dseq: str
    manifest: str


class _Bidder(Loose):
    bid: Bid


class _Paging(Loose):
    hasMore: bool  # noqa: N815


class _Page(Loose):
    deployments: list[Deployment]
    pagination: _Paging


class _Host(Loose):
    hostUri: str  # noqa: N815


class _Token(Loose):
    token: str


class _Models(Loose):
    models: list[Model]


class _Data(Loose, Generic[D]):
    data: D


class Console:
    """One account of the Console."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key

    async def create(self, sdl: str, name: str, hours: int) -> tuple[str, str]:
        """A new deployment that nobody runs yet: its number and its manifest."""
        # `deposit` is ignored where the platform funds deployments, and demanded where it does not yet.
        data = {"sdl": sdl, "name": name, "runtimeLimitHours": hours, "deposit": 5}
        made = (await self._call(_Data[_Created], "POST", "/v1/deployments", {"data": data})).data
        return made.dseq, made.manifest

    async def bids(self, dseq: str) -> list[Bid]:
        """Bids of this moment."""
        reply = await self._call(_Data[list[_Bidder]], "GET", "/v1/bids", query={"dseq": dseq})
        return [each.bid for each in reply.data]

    async def lease(self, manifest: str, bid: LeaseId) -> None:
        """Take a bid: from here on it costs money. Doing it again is safe."""
        await self._call(Loose, "POST", "/v1/leases", {"manifest": manifest, "leases": [bid.model_dump()]})

    async def deployment(self, dseq: str) -> Deployment | None:
        """One deployment with what its provider says; None when there is none."""
        try:
            return (await self._call(_Data[Deployment], "GET", f"/v1/deployments/{dseq}")).data
        except NotFound:
            return None

    async def deployments(self, text: str, state: str = "active") -> list[Deployment]:
        """Deployments whose name has the text, without their providers' words; newest first."""
        try:
            return await self._pages({"state": state, "search": text, "reverse": "true"}, text)
        except Invalid:  # too many to be searched: they are looked through here
            return await self._pages({"state": state, "reverse": "true"}, text)

    async def close(self, dseq: str) -> None:
        """Close a deployment; one that is closed, or never was, is."""
        try:
            await self._call(Loose, "DELETE", f"/v1/deployments/{dseq}")
        except NotFound:
            return

    async def models(self) -> list[Model]:
        """GPU models of the network with their availability and prices."""
        return (await self._call(_Models, "GET", "/v1/gpu-prices")).models

    async def host(self, provider: str) -> str:
        """Where a provider's gateway is."""
        return (await self._call(_Host, "GET", f"/v1/providers/{provider}")).hostUri.rstrip("/")

    async def token(self, provider: str, ttl_s: int) -> str:
        """A token that opens logs and events of our leases at one provider."""
        allowed = {"provider": provider, "access": "scoped", "scope": ["logs", "events"]}
        data = {"ttl": ttl_s, "leases": {"access": "granular", "permissions": [allowed]}}
        return (await self._call(_Data[_Token], "POST", "/v1/create-jwt-token", {"data": data})).data.token

    async def _pages(self, query: dict[str, str], text: str) -> list[Deployment]:
        found: list[Deployment] = []
        more, skip = True, 0
        while more:
            paged = query | {"skip": str(skip), "limit": str(PAGE)}
            page = (await self._call(_Data[_Page], "GET", "/v1/deployments", query=paged)).data
            found += page.deployments
            skip += len(page.deployments)
            more = bool(page.deployments) and page.pagination.hasMore
        return [each for each in found if text in (each.name or "")]

    async def _call(
        self, answer: type[M], method: str, path: str, body: object = None, query: Mapping[str, str] | None = None
    ) -> M:
        headers = {"x-api-key": self._key, "user-agent": AGENT}
        async with _reached(), httpx.AsyncClient(timeout=HTTP_S, headers=headers) as client:
            reply = await client.request(method, self._url + path, json=body, params=query)
        if reply.status_code >= 400:
            raise _told(reply)
        try:
            return answer.model_validate_json(reply.content)
        except ValidationError as error:
            raise ProtocolError(f"Akash answered {method} {path} with something else: {error}") from error


@asynccontextmanager
async def _reached() -> AsyncGenerator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise Unavailable(f"Akash does not answer: {error or type(error).__name__}") from error


def _told(reply: httpx.Response) -> SkyscaleError:
    status, words = reply.status_code, _words(reply)
    if status in (401, 402, 403) or (status < 500 and any(word in words.lower() for word in POOR)):
        return Refused(f"Akash refuses ({status}): {words}")
    match status:
        case 404:
            return NotFound(words)
        case 409:
            return Conflict(words)
        case 429:
            return NoCapacity(f"Akash takes no more now: {words}")
        case _ if status < 500:
            return Invalid(f"Akash refuses the deployment ({status}): {words}", code="job_refused")
        case _:
            return Unavailable(f"Akash answered {status}: {words}")


def _words(reply: httpx.Response) -> str:
    try:
        return _Refusal.model_validate_json(reply.content).message[:600]
    except ValidationError:
        return reply.text[:300]


class _Refusal(Loose):
    message: str
