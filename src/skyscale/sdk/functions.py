"""Functions of a control plane: `client.functions`, blocking and not, with the same methods."""

from skyscale.sdk import function_calls as calls
from skyscale.sdk.transport import AsyncTransport, Transport
from skyscale.wire.functions import (
    DeploymentCreate,
    DeploymentPage,
    DeploymentView,
    ExecutionLogs,
    ExecutionPage,
    ExecutionView,
    FunctionDeploy,
    FunctionPage,
    FunctionVersions,
    FunctionView,
    Invoke,
)


class Functions:
    """Blocking calls; threads may share it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def deploy(self, body: FunctionDeploy) -> FunctionView:
        """Make this the function's current version; the same again changes nothing."""
        return self._transport.send(calls.deploy(body))

    def list(self, cursor: str | None = None, limit: int | None = None) -> FunctionPage:
        """A page of functions, by name."""
        return self._transport.send(calls.listing(cursor, limit))

    def get(self, name: str) -> FunctionView:
        """A function with its current version."""
        return self._transport.send(calls.show(name))

    def versions(self, name: str) -> FunctionVersions:
        """Versions of a function, newest first."""
        return self._transport.send(calls.versions(name))

    def delete(self, name: str) -> None:
        """Forget a function; Conflict while an endpoint calls it."""
        self._transport.send(calls.delete(name))

    def invoke(self, name: str, body: Invoke) -> ExecutionView:
        """Call a function: what it did, its failure too, is in the execution."""
        return self._transport.send(calls.invoke(name, body))

    def execution(self, execution_id: str) -> ExecutionView:
        """What came of a call."""
        return self._transport.send(calls.execution(execution_id))

    def executions(
        self, function: str | None = None, cursor: str | None = None, limit: int | None = None
    ) -> ExecutionPage:
        """A page of calls, newest first."""
        return self._transport.send(calls.executions(function, cursor, limit))

    def logs(self, execution_id: str) -> ExecutionLogs:
        """What a call printed."""
        return self._transport.send(calls.logs(execution_id))

    def create_endpoint(self, body: DeploymentCreate) -> DeploymentView:
        """Give a function an address; Conflict when the slug is taken."""
        return self._transport.send(calls.create_endpoint(body))

    def endpoints(self, cursor: str | None = None, limit: int | None = None) -> DeploymentPage:
        """A page of endpoints, newest first."""
        return self._transport.send(calls.endpoints(cursor, limit))

    def endpoint(self, deployment_id: str) -> DeploymentView:
        """One endpoint with its address."""
        return self._transport.send(calls.endpoint(deployment_id))

    def delete_endpoint(self, deployment_id: str) -> None:
        """Take away an endpoint and its function."""
        self._transport.send(calls.delete_endpoint(deployment_id))


class AsyncFunctions:
    """The same calls without blocking."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def deploy(self, body: FunctionDeploy) -> FunctionView:
        """Make this the function's current version; the same again changes nothing."""
        return await self._transport.send(calls.deploy(body))

    async def list(self, cursor: str | None = None, limit: int | None = None) -> FunctionPage:
        """A page of functions, by name."""
        return await self._transport.send(calls.listing(cursor, limit))

    async def get(self, name: str) -> FunctionView:
        """A function with its current version."""
        return await self._transport.send(calls.show(name))

    async def versions(self, name: str) -> FunctionVersions:
        """Versions of a function, newest first."""
        return await self._transport.send(calls.versions(name))

    async def delete(self, name: str) -> None:
        """Forget a function; Conflict while an endpoint calls it."""
        await self._transport.send(calls.delete(name))

    async def invoke(self, name: str, body: Invoke) -> ExecutionView:
        """Call a function: what it did, its failure too, is in the execution."""
        return await self._transport.send(calls.invoke(name, body))

    async def execution(self, execution_id: str) -> ExecutionView:
        """What came of a call."""
        return await self._transport.send(calls.execution(execution_id))

    async def executions(
        self, function: str | None = None, cursor: str | None = None, limit: int | None = None
    ) -> ExecutionPage:
        """A page of calls, newest first."""
        return await self._transport.send(calls.executions(function, cursor, limit))

    async def logs(self, execution_id: str) -> ExecutionLogs:
        """What a call printed."""
        return await self._transport.send(calls.logs(execution_id))

    async def create_endpoint(self, body: DeploymentCreate) -> DeploymentView:
        """Give a function an address; Conflict when the slug is taken."""
        return await self._transport.send(calls.create_endpoint(body))

    async def endpoints(self, cursor: str | None = None, limit: int | None = None) -> DeploymentPage:
        """A page of endpoints, newest first."""
        return await self._transport.send(calls.endpoints(cursor, limit))

    async def endpoint(self, deployment_id: str) -> DeploymentView:
        """One endpoint with its address."""
        return await self._transport.send(calls.endpoint(deployment_id))

    async def delete_endpoint(self, deployment_id: str) -> None:
        """Take away an endpoint and its function."""
        await self._transport.send(calls.delete_endpoint(deployment_id))
