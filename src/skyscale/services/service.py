"""Services, from deploy to delete.

- Railway's project is the record. A list is asked for at most every `FRESH_S`; whatever is changed here is asked anew.
- A deploy that fails or is cut off on its way takes back what it made; what could not be taken back is in the list,
  since everything that is made bears this control plane's mark from its first moment.
- A test call goes to the service's own domain and nowhere else: redirects are not followed, and replies are cut.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from skyscale.errors import Conflict, Gone, NotFound, SkyscaleError
from skyscale.services import railway_operations as operations
from skyscale.services import rules
from skyscale.services.ports import Costs
from skyscale.services.railway import Railway
from skyscale.services.templates import COMMAND, HEALTH, PROGRAM, TEMPLATES, Template, template_of
from skyscale.settings import RailwaySettings
from skyscale.wire.services import (
    ServiceCall,
    ServiceCalled,
    ServiceDeploy,
    ServiceLogLine,
    ServiceLogs,
    ServiceStatus,
    ServiceTemplates,
    ServiceView,
)

log = logging.getLogger(__name__)
FRESH_S = 5.0
MAX_REPLY_BYTES = 256 * 1024
HEALTH_TIMEOUT_S = 120
MAX_SERVICES_SEEN = 5000


class ContainerServices:
    """The services of one control plane; `label` marks them as its own."""

    def __init__(
        self,
        settings: RailwaySettings,
        http: httpx.AsyncClient,
        label: str,
        costs: Costs,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._railway = Railway(settings, http)
        self._http = http
        self._mark = rules.mark_of(label)
        self._costs = costs
        self._most = settings.max_services
        # Services are reached as the API is: by TLS, unless somebody stands in for Railway on this machine.
        self._scheme = urlsplit(settings.api_url).scheme
        self._clock = clock
        self._seen: tuple[float, list[ServiceView]] | None = None
        self._deploying = asyncio.Lock()

    def templates(self) -> ServiceTemplates:
        """What can be deployed without an image of one's own."""
        views = [template.view for template in TEMPLATES.values()]
        return ServiceTemplates(templates=views, is_configured=self._railway.is_configured)

    async def all(self) -> list[ServiceView]:
        """Every service of this control plane, by name."""
        if self._seen is None or self._clock() - self._seen[0] > FRESH_S:
            self._seen = self._clock(), await self._listed()
        return self._seen[1]

    async def get(self, name: str) -> ServiceView:
        """One service. Raises NotFound."""
        for view in await self.all():
            if view.name == name:
                return view
        raise NotFound(f"there is no service {name!r}", code="service_not_found")

    async def deploy(self, body: ServiceDeploy) -> ServiceView:
        """Make a service and start it; it is `deploying` when this returns.

        Raises:
            NotFound: `template_not_found`. Conflict: `service_exists`. TooMany: `service_quota`.
            Invalid: `cap_too_small`. Unavailable, Invalid, ProtocolError: Railway cannot or will not.
        """
        template = None if body.template is None else template_of(body.template)
        self._costs.check(body)
        async with self._deploying:  # so that two callers do not take the last place
            self._seen = None
            rules.require_room(body.name, [view.name for view in await self.all()], self._most)
            project, environment = await self._railway.place()
            made = await self._railway.ask(
                operations.CREATE,
                {"input": {"projectId": project, "environmentId": environment, "name": self._mark + body.name}},
            )
            service: str = made["serviceCreate"]["id"]
            try:
                await self._costs.open(service, body)
                await self._start(service, body, template)
            except BaseException:
                await asyncio.shield(self._take_back(service))
                raise
            finally:
                self._seen = None
        return await self.get(body.name)

    async def logs(self, name: str, limit: int) -> ServiceLogs:
        """The newest lines of its newest deployment. Raises NotFound."""
        view = await self.get(name)
        if view.deployment_id is None:
            return ServiceLogs(name=name, lines=[])
        data = await self._railway.ask(operations.LOGS, {"deployment": view.deployment_id, "limit": limit})
        lines = [
            ServiceLogLine(
                timestamp=datetime.fromisoformat(line["timestamp"]), level=line["severity"] or "info",
                message=line["message"],
            )
            for line in data["deploymentLogs"]
        ]  # fmt: skip
        return ServiceLogs(name=name, lines=lines)

    async def call(self, name: str, body: ServiceCall) -> ServiceCalled:
        """One request to the service.

        Raises:
            NotFound: there is no such service. Conflict: `service_not_running`, it cannot answer.
            Gone: `service_silent`, it did not.
        """
        view = await self.get(name)
        if view.url is None or view.status not in (
            ServiceStatus.RUNNING, ServiceStatus.SLEEPING, ServiceStatus.DEPLOYING,
        ):  # fmt: skip
            raise Conflict(f"service {name!r} is {view.status}", code="service_not_running", hint="Look at its logs.")
        began = self._clock()
        try:
            request = self._http.stream(
                body.method, view.url + body.path, content=body.body, headers={"content-type": body.content_type},
                timeout=body.timeout_s, follow_redirects=False,
            )  # fmt: skip
            async with asyncio.timeout(body.timeout_s), request as response:
                content = await _at_most(response, MAX_REPLY_BYTES + 1)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise Gone(
                f"service {name!r} did not answer: {type(error).__name__}", code="service_silent",
                hint="It may still be starting: look at its status and its logs.",
            ) from error  # fmt: skip
        return ServiceCalled(
            status_code=response.status_code,
            content_type=response.headers.get("content-type", ""),
            body=content[:MAX_REPLY_BYTES].decode(errors="replace"),
            is_cut=len(content) > MAX_REPLY_BYTES,
            duration_ms=round(1000 * (self._clock() - began), 3),
        )

    async def stop(self, name: str) -> None:
        """End what runs; the service stays and can be looked at. Stopping it again changes nothing."""
        view = await self.get(name)
        if view.deployment_id is not None and view.status is not ServiceStatus.STOPPED:
            await self._railway.ask(operations.STOP, {"deployment": view.deployment_id})
        self._seen = None

    async def delete(self, name: str) -> None:
        """Delete it with everything that it has; again changes nothing."""
        self._seen = None
        try:
            view = await self.get(name)
            await self._remove(view.service_id)
        except NotFound:
            return
        finally:
            self._seen = None

    async def _start(self, service: str, body: ServiceDeploy, template: Template | None) -> None:
        project, environment = await self._railway.place()
        variables, config, port = _wanted(body, template)
        of_service: dict[str, object] = {"environmentId": environment, "serviceId": service}
        await self._railway.ask(
            operations.VARIABLES,
            {"input": of_service | {"projectId": project, "variables": variables, "skipDeploys": True}},
        )
        await self._railway.ask(operations.CONFIGURE, {"service": service, "environment": environment, "input": config})
        limits: dict[str, object] = {"vCPUs": body.vcpus, "memoryGB": body.memory_gb}
        await self._railway.ask(operations.LIMIT, {"input": of_service | limits})
        await self._railway.ask(operations.DEPLOY, {"service": service, "environment": environment})
        await self._railway.ask(operations.DOMAIN, {"input": of_service | {"targetPort": port}})

    async def _take_back(self, service: str) -> None:
        try:
            await self._remove(service)
        except SkyscaleError as error:
            log.error("service %s was left half made at Railway and is in the list: %s", service, error.detail)

    async def _remove(self, service: str) -> None:
        _, environment = await self._railway.place()
        await self._railway.ask(operations.DELETE, {"service": service, "environment": environment})

    async def _listed(self) -> list[ServiceView]:
        project, environment = await self._railway.place()
        found: list[ServiceView] = []
        after: str | None = None
        for _ in range(MAX_SERVICES_SEEN // 100):
            asked: dict[str, object] = {"environment": environment, "project": project, "after": after}
            page: dict[str, Any] = (await self._railway.ask(operations.LIST, asked))["environment"]["serviceInstances"]
            for edge in page["edges"]:
                if edge["node"]["serviceName"].startswith(self._mark):
                    found.append(rules.view_of(edge["node"], self._mark, self._scheme))
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        costs = await self._costs.costs_of([view.service_id for view in found])
        found = [view.model_copy(update={"cost": costs.get(view.service_id)}) for view in found]
        return sorted(found, key=lambda view: view.name)


def _wanted(body: ServiceDeploy, template: Template | None) -> tuple[dict[str, str], dict[str, object], int]:
    """Variables, configuration and port of a service. It is never restarted by itself: crash loops are billed."""
    config: dict[str, object] = {"restartPolicyType": "NEVER", "healthcheckTimeout": HEALTH_TIMEOUT_S}
    if template is None:
        config |= {"source": {"image": body.image}}
        config |= {"startCommand": body.command} if body.command else {}
        config |= {"healthcheckPath": body.health_path} if body.health_path else {}
        return body.env_vars | {"PORT": str(body.port)}, config, body.port
    config |= {
        "source": {"image": template.view.image}, "startCommand": COMMAND, "healthcheckPath": HEALTH,
    }  # fmt: skip
    own = {PROGRAM: template.program, "PORT": str(template.view.port)}
    return template.view.variables | body.env_vars | own, config, template.view.port


async def _at_most(response: httpx.Response, limit: int) -> bytes:
    content = b""
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) >= limit:
            break
    return content[:limit]
