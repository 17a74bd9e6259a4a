"""Akash on loopback: the Console API of its published description, a provider's gateway, and containers that run.

Every request and every answer is held against the description. An SDL is held against the language's grammar. A
container that ends is started again, as its cluster would. `faults` holds what goes wrong next.
"""

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import jsonschema
import yaml
from aiohttp import WSMsgType, web

from tests.contract.clouds.container import Container
from tests.contract.clouds.described import DATA, Description

KEY, WALLET = "ac.sk.contract", "akash1" + "w" * 38
PROVIDERS = {"akash1" + letter * 38: amount for letter, amount in (("a", 900), ("b", 400), ("c", 9_000_000))}
"""Provider -> what it asks for per block."""
NO_IMAGE = "registry.example/none:1"
KILL_AFTER_S = 1.0
TAIL = 100
SDL_SCHEMA: dict[str, Any] = yaml.safe_load((DATA / "akash-sdl.yaml").read_text(encoding="utf-8"))
PRICES = {
    "availability": {"total": 20, "available": 7},
    "models": [
        {
            "vendor": "nvidia", "model": "h100", "ram": "80Gi", "interface": "SXM5",
            "availability": {"total": 16, "available": 5}, "providerAvailability": {"total": 2, "available": 1},
            "price": {"currency": "USD", "min": 1.4, "max": 2.2, "avg": 1.8, "weightedAverage": 1.7, "med": 1.75},
        },
        {
            "vendor": "nvidia", "model": "p4", "ram": "8Gi", "interface": "PCIe",
            "availability": {"total": 4, "available": 2}, "providerAvailability": {"total": 1, "available": 1},
            "price": None,
        },
    ],
}  # fmt: skip


@dataclass
class Faults:
    """What goes wrong; a name says what and when."""

    deaf_after_lease: int = 0
    """So many connections are cut from the next lease on, that one's included."""
    answer_next: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    """By `METHOD path`, once."""
    answer_all: int | None = None
    no_bids: bool = False
    dead_providers: set[str] = field(default_factory=set[str])
    """A lease with one of them is answered with 503."""
    late_providers: set[str] = field(default_factory=set[str])
    """The bid of one of them is gone when it is taken."""
    slow_create_s: float = 0.0
    no_search: bool = False


@dataclass
class Deployment:
    """A deployment, its lease and its container."""

    dseq: str
    name: str | None
    sdl: dict[str, Any]
    hours: int | None
    state: str = "active"
    provider: str | None = None
    reason: str | None = None
    containers: list[Container] = field(default_factory=list[Container])
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def manifest(self) -> str:
        """What a lease is sent with."""
        return json.dumps([{"name": "any", "dseq": self.dseq}])


class Akash:
    """The network's state and routes."""

    def __init__(self) -> None:
        self.deployments: dict[str, Deployment] = {}
        self.faults = Faults()
        self.leases_made = 0
        self._api = Description("akash-console-api.yaml")
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._deaf = 0

    def app(self) -> web.Application:
        """The Console API, and the proxy to gateways at `/ws`."""
        app = web.Application(middlewares=[self._door])
        add = app.router.add_route
        add("POST", "/v1/deployments", self._create)
        add("GET", "/v1/deployments", self._list)
        add("GET", "/v1/deployments/{dseq}", self._get)
        add("DELETE", "/v1/deployments/{dseq}", self._close)
        add("GET", "/v1/bids", self._bids)
        add("POST", "/v1/leases", self._lease)
        add("GET", "/v1/gpu-prices", self._prices)
        add("GET", "/v1/providers/{address}", self._provider)
        add("POST", "/v1/create-jwt-token", self._token)
        add("GET", "/ws", self._proxy)
        return app

    async def close(self) -> None:
        """End everything."""
        self._is_closed = True  # a client that tries again starts nothing any more
        for each in list(self.deployments.values()):
            each.state = "closed"
            for container in each.containers:
                await container.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def expire(self, dseq: str) -> None:
        """What happens at the runtime limit."""
        await self._end(self.deployments[dseq], "lease_closed_reason_unspecified")

    @web.middleware
    async def _door(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == "/ws":
            return await handler(request)
        if self._deaf > 0:
            self._deaf -= 1
            return _cut(request)
        if self.faults.answer_all is not None:
            return _error(self.faults.answer_all, "the Console is down")
        if request.headers.get("x-api-key") != KEY:
            return _error(401, "Unauthorized")
        if "python" in request.headers.get("user-agent", "").lower():
            return _error(403, "error code: 1010")
        fault = self.faults.answer_next.pop(f"{request.method} {request.path}", None)
        if fault is not None:
            return _error(*fault)
        body = await request.json() if request.can_read_body else None
        why = self._api.refusal(request.method, request.path, dict(request.query), body)
        if why is not None:
            return _error(400, why)
        reply = await handler(request)
        if reply.status < 300:
            self._api.check_answer(request.method, request.path, reply.status, json.loads(reply.body))
        return reply

    async def _create(self, request: web.Request) -> web.StreamResponse:
        data = (await request.json())["data"]
        try:
            sdl = yaml.safe_load(data["sdl"])
            jsonschema.validate(sdl, SDL_SCHEMA)
        except (yaml.YAMLError, jsonschema.ValidationError) as error:
            return _error(400, f"Invalid SDL: {getattr(error, 'message', error)}")
        await asyncio.sleep(self.faults.slow_create_s)
        dseq = str(int(time.time() * 1000) + len(self.deployments))
        made = Deployment(dseq, data.get("name"), sdl, data.get("runtimeLimitHours"))
        self.deployments[dseq] = made
        tx = {"code": 0, "transactionHash": "A" * 64, "rawLog": ""}
        return _json({"data": {"dseq": dseq, "manifest": made.manifest, "signTx": tx}}, 201)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        text = request.query.get("search", "")
        if text and self.faults.no_search:
            return _error(422, "The owner holds more active deployments than a search spans")
        state, skip, limit = request.query.get("state", "active"), int(request.query.get("skip", "0")), 2
        found = [
            each
            for each in self.deployments.values()
            if each.state == state and text.lower() in (each.name or "").lower()
        ]
        found.sort(key=lambda each: each.dseq, reverse=request.query.get("reverse") == "true")
        page = [
            self._view(each, with_status=False)
            | {
                "groups": [],
                "settings": {
                    "name": each.name,
                    "runtimeLimitHours": each.hours,
                    "runtimeEndsAt": None,
                    "closed": False,
                },
            }
            for each in found[skip : skip + limit]
        ]
        more = len(found) > skip + limit
        return _json(
            {
                "data": {
                    "deployments": page,
                    "pagination": {"total": None, "skip": skip, "limit": limit, "hasMore": more},
                }
            }
        )

    async def _get(self, request: web.Request) -> web.StreamResponse:
        found = self.deployments.get(request.match_info["dseq"])
        if found is None:
            return _error(404, "Deployment not found")
        settings = {"sdl": yaml.safe_dump(found.sdl), "manifestVersion": "aGFzaA=="}
        return _json({"data": self._view(found, with_status=True) | {"consoleSettings": settings}})

    async def _close(self, request: web.Request) -> web.StreamResponse:
        found = self.deployments.get(request.match_info["dseq"])
        if found is None:
            return _error(404, "Deployment not found")
        if found.state == "active":
            self._spawn(self._end(found, "lease_closed_reason_owner"))
            found.state = "closed"
        return _json({"data": {"success": True}})

    async def _bids(self, request: web.Request) -> web.StreamResponse:
        found = self.deployments.get(request.query["dseq"])
        if found is None or self.faults.no_bids:
            return _json({"data": []})
        bids = [
            {
                "bid": {
                    "id": _lease_id(found.dseq, provider), "state": "open", "created_at": "1",
                    "price": {"denom": "uact", "amount": f"{amount}.000000000000000000"}, "resources_offer": [],
                },
                "escrow_account": {},
            }
            for provider, amount in PROVIDERS.items()
        ]  # fmt: skip
        return _json({"data": bids})

    async def _lease(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        (wanted,) = body["leases"]
        found = self.deployments.get(wanted["dseq"])
        if found is None or found.state != "active" or body["manifest"] != found.manifest:
            return _error(400, "Invalid manifest, or the deployment is closed")
        provider = wanted["provider"]
        if provider in self.faults.late_providers:
            return _error(400, "bid is no longer open")
        if provider in self.faults.dead_providers:
            return _error(503, "provider is not available")
        if found.provider is None:
            found.provider = provider
            self.leases_made += 1
            self._spawn(self._run(found))
        if self.faults.deaf_after_lease:
            self._deaf, self.faults.deaf_after_lease = self.faults.deaf_after_lease - 1, 0
            return _cut(request)
        view = self._view(found, with_status=True)
        return _json({"data": {key: view[key] for key in ("deployment", "leases", "escrow_account")}})

    async def _run(self, found: Deployment) -> None:
        (service,) = found.sdl["services"].values()
        if service["image"] == NO_IMAGE:
            note = f'Failed to pull image "{NO_IMAGE}": rpc error: code = NotFound desc = {NO_IMAGE}: not found'
            found.events.append({"type": "Warning", "reason": "Failed", "note": note, "object": {"kind": "Pod"}})
            return
        env = dict(line.split("=", 1) for line in service.get("env", []))
        while found.state == "active" and not self._is_closed:
            container = Container()
            found.containers.append(container)
            await container.start([*service["command"], *service.get("args", [])], env)
            await container.ended(1e6)

    async def _end(self, found: Deployment, reason: str) -> None:
        found.state, found.reason = "closed", reason
        for container in found.containers:
            await container.stop(KILL_AFTER_S)

    def _view(self, found: Deployment, *, with_status: bool) -> dict[str, Any]:
        leases = []
        if found.provider is not None:
            leases = [
                {
                    "id": _lease_id(found.dseq, found.provider), "state": found.state, "created_at": "1",
                    "closed_on": "0" if found.state == "active" else "2",
                    "price": {"denom": "uact", "amount": str(PROVIDERS[found.provider])},
                }
                | ({"reason": found.reason} if found.reason else {})
                | ({"status": self._status(found)} if with_status else {})
            ]  # fmt: skip
        coins = {"owner": WALLET, "state": "open", "transferred": [], "settled_at": "1", "funds": [], "deposits": []}
        return {
            "deployment": {
                "id": {"owner": WALLET, "dseq": found.dseq}, "state": found.state, "hash": "aGFzaA==",
                "created_at": "1",
            },
            "leases": leases, "name": found.name,
            "escrow_account": {"id": {"scope": "deployment", "xid": f"{WALLET}/{found.dseq}"}, "state": coins},
        }  # fmt: skip

    def _status(self, found: Deployment) -> dict[str, Any] | None:
        if found.state != "active" or not (found.containers or found.events):
            return None
        up = int(bool(found.containers) and found.containers[-1].code is None)
        ((name, service),) = found.sdl["services"].items()
        ports = [
            {
                "port": each["port"],
                "externalPort": 30000 + each["port"] % 1000,
                "host": "gateway.example",
                "available": up,
            }
            for each in service["expose"]
        ]
        counts = dict.fromkeys(("observed_generation", "replicas", "updated_replicas"), 1)
        counts |= dict.fromkeys(("available", "ready_replicas", "available_replicas"), up)
        return {
            "forwarded_ports": {name: ports}, "ips": {},
            "services": {name: {"name": name, "total": 1, "uris": []} | counts},
        }  # fmt: skip

    async def _prices(self, request: web.Request) -> web.StreamResponse:
        return _json(PRICES)

    async def _provider(self, request: web.Request) -> web.StreamResponse:
        address = request.match_info["address"]
        if address not in PROVIDERS:
            return _error(404, "Provider not found")
        return _json({"owner": address, "hostUri": f"https://{address}.example:8443"})

    async def _token(self, request: web.Request) -> web.StreamResponse:
        (allowed,) = (await request.json())["data"]["leases"]["permissions"]
        return _json({"data": {"token": f"jwt-{allowed['provider']}-{'-'.join(allowed['scope'])}"}}, 201)

    async def _proxy(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        asked = await socket.receive()
        if asked.type is not WSMsgType.TEXT:
            return socket
        wanted = json.loads(asked.data)
        provider = wanted["providerAddress"]
        if wanted["type"] != "websocket" or wanted["auth"] != {"type": "jwt", "token": f"jwt-{provider}-logs-events"}:
            await socket.send_json({"type": "websocket", "error": "tokenExpired"})
            return socket
        host, _, rest = wanted["url"].partition("/lease/")
        dseq, gseq, oseq, what = rest.split("/")
        found = self.deployments.get(dseq)
        if found is None or found.provider != provider or (gseq, oseq) != ("1", "1") or provider not in host:
            await socket.send_json({"type": "websocket", "message": "no lease", "error": "no lease for deployment"})
            return socket
        with suppress(ConnectionError):
            await self._stream(socket, found, what)
            await socket.send_json({"type": "websocket", "message": "", "closed": True, "code": 1000, "reason": ""})
        return socket

    async def _stream(self, socket: web.WebSocketResponse, found: Deployment, what: str) -> None:
        if what.startswith("kubeevents"):
            for event in found.events:
                await socket.send_json({"type": "websocket", "message": json.dumps(event) + "\n"})
            return
        if not found.containers:
            return
        container, sent = found.containers[-1], 0
        sent = max(0, len(container.lines) - TAIL)
        while True:
            over = container.code is not None or "follow=true" not in what
            for _, line in container.lines[sent:]:
                message = json.dumps({"name": "job-5c9f", "message": line}) + "\n"
                # Old gateways send bytes, which the proxy passes on as it finds them.
                odd = {"type": "Buffer", "data": list(message.encode())}
                await socket.send_json({"type": "websocket", "message": message if sent % 2 else odd})
                sent += 1
            if over or socket.closed:
                return
            await asyncio.sleep(0.02)

    def _spawn(self, work: Any) -> None:
        self._tasks.add(asyncio.create_task(work))


def _lease_id(dseq: str, provider: str) -> dict[str, Any]:
    return {"owner": WALLET, "dseq": dseq, "gseq": 1, "oseq": 1, "provider": provider, "bseq": 0}


def _json(body: Any, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


def _error(status: int, message: str) -> web.Response:
    body = {"error": "Error", "message": message, "code": "error", "type": "client_error"}
    return web.json_response(body, status=status)


def _cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response(status=500)
