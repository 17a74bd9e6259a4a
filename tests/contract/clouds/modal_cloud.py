"""Modal on loopback: its gRPC protocol as the real client speaks it, over sandboxes that are real processes.

Sandboxes with a GPU are of the first kind (V1) and placed when there is room; the others of the second (V2) and placed
at once. A call with the idempotency key of an earlier one is answered as that one was. What is not played is refused
as unimplemented, and nothing that is sent to be executed in a running sandbox is executed: it is compared.
"""

import asyncio
import re
import secrets
import string
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from grpclib import GRPCError, Status
from grpclib.server import Server, Stream
from modal_proto import api_pb2 as api
from modal_proto import task_command_router_pb2 as router
from modal_proto.api_grpc import ModalClientBase
from modal_proto.task_command_router_grpc import TaskCommandRouterBase

from tests.contract.clouds.container import Container

TOKEN_ID, TOKEN_SECRET = "ak-contract", "as-contract"
NO_IMAGE = "registry.example/none:1"
GPUS = {"T4", "L4", "A10", "L40S", "A100", "A100-40GB", "A100-80GB", "H100", "H100!", "H200", "B200", "RTX-PRO-6000"}
NAME = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
END_ALL = ["sh", "-c", "kill -TERM 1; kill -TERM -1"]
LETTERS = string.ascii_letters + string.digits
JWT = "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9."
"""Good until 2100."""
S = api.GenericResult


@dataclass
class Faults:
    """What goes wrong; a name says what and when."""

    lose_replies: int = 0
    """So many creations take effect and are answered with UNAVAILABLE, repetitions of the same call included."""
    fail: dict[str, tuple[Status, str]] = field(default_factory=dict[str, tuple[Status, str]])
    """By RPC, every time."""
    no_room: bool = False
    slow_create_s: float = 0.0
    deaf_exec: bool = False


@dataclass
class Box:
    """A sandbox."""

    id: str
    task_id: str
    definition: Any
    env: dict[str, str]
    tags: dict[str, str]
    created: float
    container: Container = field(default_factory=Container)
    is_placed: bool = False
    status: int = S.GENERIC_STATUS_UNSPECIFIED

    def result(self) -> Any:
        """As a wait is answered."""
        return api.GenericResult(status=self.status, exitcode=self.container.code or 0)  # pyright: ignore[reportArgumentType]


class _Server(Server):
    """Knows its connections, which its clients would otherwise hold open."""

    def __init__(self, services: Any) -> None:
        super().__init__(services)
        self.protocols: list[Any] = []

    def _protocol_factory(self) -> Any:
        made = super()._protocol_factory()
        self.protocols.append(made)
        return made


class Modal:
    """The control plane's state; `serving` runs it."""

    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}
        self.images: dict[str, list[str]] = {}
        self.secrets: dict[str, dict[str, str]] = {"st-hf": {"HF_TOKEN": "hf_of_modal"}}
        self.named_secrets = {"huggingface": "st-hf"}
        self.faults = Faults()
        self.calls: list[str] = []
        self.creations = 0
        self.url = ""
        self._answered: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def start(self) -> None:
        """Serve on a free port of loopback."""
        self._server = server = _Server(
            [_service(ModalClientBase, self, RPCS), _service(TaskCommandRouterBase, self, ROUTER_RPCS)]
        )
        await server.start("127.0.0.1", 0)
        assert server._server is not None  # the port that was taken is told nowhere else
        self.url = f"http://127.0.0.1:{server._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """End every sandbox and every connection."""
        self._is_closed = True  # a client that tries again starts nothing any more
        for box in list(self.boxes.values()):
            await box.container.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._server.close()
        for protocol in self._server.protocols:
            protocol.processor.close()
        await self._server.wait_closed()

    def check(self, name: str, metadata: Any) -> None:
        """Credentials, and what is to go wrong."""
        self.calls.append(name)
        if (metadata.get("x-modal-token-id"), metadata.get("x-modal-token-secret")) != (TOKEN_ID, TOKEN_SECRET):
            raise GRPCError(Status.UNAUTHENTICATED, "Token validation failed")
        if name in self.faults.fail:
            raise GRPCError(*self.faults.fail[name])

    def box(self, box_id: str) -> Box:
        """The sandbox of that id."""
        if box_id not in self.boxes:
            raise GRPCError(Status.NOT_FOUND, f"Sandbox {box_id} not found")
        return self.boxes[box_id]

    def named(self, name: str, *, ended_too: bool) -> Box | None:
        """The sandbox of that name."""
        found = [box for box in self.boxes.values() if box.definition.name == name and (ended_too or not box.status)]
        return max(found, key=lambda box: (not box.status, box.created), default=None)

    async def create(self, request: Any, env: dict[str, str], key: str, *, is_first_kind: bool) -> Box:
        """Check a definition and start what it defines, once per idempotency key."""
        wanted = request.definition
        if key in self._answered:
            box = self._answered[key]
        else:
            self._refuse_bad(wanted)
            await asyncio.sleep(self.faults.slow_create_s)
            if wanted.name and self.named(wanted.name, ended_too=False):
                raise GRPCError(Status.ALREADY_EXISTS, f"Sandbox with name {wanted.name!r} already exists")
            self.creations += 1
            box_id = "sb-" + "".join(secrets.choice(LETTERS) for _ in range(22))
            if not is_first_kind:
                box_id = f"sb-{secrets.token_hex(8)}-v2"
            tags = {tag.tag_name: tag.tag_value for tag in request.tags}
            box = Box(box_id, f"ta-{secrets.token_hex(8)}", wanted, env, tags, time.time())
            self.boxes[box.id] = self._answered[key] = box
            if not (is_first_kind and self.faults.no_room):
                self._tasks.add(asyncio.create_task(self._run(box)))
        if self.faults.lose_replies > 0:
            self.faults.lose_replies -= 1
            raise GRPCError(Status.UNAVAILABLE, "connection lost")
        return box

    def _refuse_bad(self, wanted: Any) -> None:
        gpu, why = wanted.resources.gpu_config.gpu_type, None
        if wanted.image_id not in self.images:
            why = f"image {wanted.image_id!r} is not known"
        elif not wanted.entrypoint_args or sum(map(len, wanted.entrypoint_args)) > 65536:
            why = "no command, or too long a one"
        elif not 1 <= wanted.timeout_secs <= 86400:
            why = f"timeout of {wanted.timeout_secs} s"
        elif not NAME.match(wanted.name):
            why = f"name {wanted.name!r}"
        elif gpu and gpu not in GPUS:
            why = f"GPU type {gpu!r}"
        elif not wanted.resources.milli_cpu or not wanted.resources.memory_mb:
            why = "resources are not said"
        if why is not None:
            raise GRPCError(Status.INVALID_ARGUMENT, why)

    async def _run(self, box: Box) -> None:
        if self._is_closed:
            return
        await box.container.start(list(box.definition.entrypoint_args), box.env, box.definition.timeout_secs)
        box.is_placed = True
        await box.container.ended(1e6)
        if not box.status:
            code = box.container.code
            box.status = S.GENERIC_STATUS_SUCCESS if code == 0 else S.GENERIC_STATUS_FAILURE
            if box.container.timed_out:
                box.status = S.GENERIC_STATUS_TIMEOUT

    async def terminate(self, box: Box) -> None:
        """At once, as Modal does."""
        if not box.status:
            box.status = S.GENERIC_STATUS_TERMINATED
            await box.container.stop(0)


async def app_get(there: Modal, request: Any, _: str) -> Any:
    return api.AppGetOrCreateResponse(app_id=f"ap-{request.app_name}")


async def environment(there: Modal, request: Any, _: str) -> Any:
    settings = api.EnvironmentSettings(image_builder_version="2025.06")
    metadata = api.EnvironmentMetadata(name="main", settings=settings)
    return api.EnvironmentGetOrCreateResponse(environment_id="en-1", metadata=metadata)


async def image(there: Modal, request: Any, _: str) -> Any:
    lines = list(request.image.dockerfile_commands)
    if any(line == f"FROM {NO_IMAGE}" for line in lines):
        result = api.GenericResult(status=S.GENERIC_STATUS_FAILURE, exception=f"{NO_IMAGE}: manifest unknown")
        return api.ImageGetOrCreateResponse(image_id="im-failed", result=result)
    made = f"im-{abs(hash((*lines, *(base.image_id for base in request.image.base_images)))):x}"
    there.images[made] = lines
    return api.ImageGetOrCreateResponse(
        image_id=made, result=api.GenericResult(status=S.GENERIC_STATUS_SUCCESS),
        metadata=api.ImageMetadata(image_builder_version="2025.06"),
    )  # fmt: skip


async def secret(there: Modal, request: Any, _: str) -> Any:
    if request.deployment_name:
        if request.deployment_name not in there.named_secrets:
            raise GRPCError(Status.NOT_FOUND, f"Secret '{request.deployment_name}' not found")
        return api.SecretGetOrCreateResponse(secret_id=there.named_secrets[request.deployment_name])
    made = f"st-{len(there.secrets)}"
    there.secrets[made] = dict(request.env_dict)
    return api.SecretGetOrCreateResponse(secret_id=made)


async def token(there: Modal, request: Any, _: str) -> Any:
    return api.AuthTokenGetResponse(token=JWT)


async def create_first(there: Modal, request: Any, key: str) -> Any:
    env: dict[str, str] = {}
    for each in request.definition.secret_ids:
        env |= there.secrets[each]
    box = await there.create(request, env, key, is_first_kind=True)
    return api.SandboxCreateResponse(sandbox_id=box.id, metadata=_metadata())


async def create_second(there: Modal, request: Any, key: str) -> Any:
    env: dict[str, str] = {}
    for each in request.secret_sources:
        env |= there.secrets[each.secret_id] if each.secret_id else dict(each.env.contents)
    box = await there.create(request, env, key, is_first_kind=False)
    return api.SandboxCreateV2Response(
        sandbox_id=box.id, task_id=box.task_id, sandbox_token="token", tunnels=_tunnels(box), metadata=_metadata()
    )


async def task_of(there: Modal, request: Any, _: str) -> Any:
    box = there.box(request.sandbox_id)
    return api.SandboxGetTaskIdResponse(task_id=box.task_id if box.is_placed else "")


async def wait(there: Modal, request: Any, _: str) -> Any:
    box = there.box(request.sandbox_id)
    return api.SandboxWaitResponse(result=box.result(), metadata=_metadata())


async def from_name(there: Modal, request: Any, _: str, *, kinds: tuple[bool, ...]) -> Any:
    box = there.named(request.sandbox_name, ended_too=request.include_terminated)
    if box is None or box.id.endswith("-v2") not in kinds:
        raise GRPCError(Status.NOT_FOUND, f"Sandbox with name {request.sandbox_name!r} not found")
    return api.SandboxGetFromNameResponse(sandbox_id=box.id, metadata=_metadata())


async def from_name_first(there: Modal, request: Any, key: str) -> Any:
    return await from_name(there, request, key, kinds=(False,))


async def from_name_second(there: Modal, request: Any, key: str) -> Any:
    return await from_name(there, request, key, kinds=(True,))


async def listed(there: Modal, request: Any, _: str) -> Any:
    if not request.app_id:
        raise GRPCError(Status.INVALID_ARGUMENT, "app_id is required")
    tags = {tag.tag_name: tag.tag_value for tag in request.tags}
    found = [
        box
        for box in sorted(there.boxes.values(), key=lambda box: -box.created)
        if not box.status
        and tags.items() <= box.tags.items()
        and (not request.before_timestamp or box.created < request.before_timestamp)
    ]
    infos = [
        api.SandboxInfo(id=box.id, created_at=box.created, app_id=request.app_id, name=box.definition.name)
        for box in found[:2]
    ]
    return api.SandboxListResponse(sandboxes=infos)


async def tags_of(there: Modal, request: Any, _: str) -> Any:
    box = there.box(request.sandbox_id)
    tags = [api.SandboxTag(tag_name=name, tag_value=value) for name, value in box.tags.items()]
    return api.SandboxTagsGetResponse(tags=tags)


async def terminate(there: Modal, request: Any, _: str) -> Any:
    await there.terminate(there.box(request.sandbox_id))
    return api.SandboxTerminateResponse()


async def tunnels(there: Modal, request: Any, _: str) -> Any:
    return api.SandboxGetTunnelsResponse(tunnels=_tunnels(there.box(request.sandbox_id)))


async def fetch_logs(there: Modal, request: Any, _: str) -> Any:
    for box in there.boxes.values():
        if box.task_id == request.task_id:
            items = [
                api.TaskLogs(data=line + "\n", timestamp=at, file_descriptor=api.FILE_DESCRIPTOR_STDOUT)
                for at, line in box.container.lines
                if request.since.seconds <= at <= request.until.seconds + 1
            ]
            batch = api.TaskLogsBatch(task_id=box.task_id, items=items[-request.limit :], entry_id="1-0")
            return api.AppFetchLogsResponse(batches=[batch] if items else [])
    return api.AppFetchLogsResponse()


async def access_first(there: Modal, request: Any, _: str) -> Any:
    return api.TaskGetCommandRouterAccessResponse(jwt=JWT, url=there.url)


async def access_second(there: Modal, request: Any, _: str) -> Any:
    return api.SandboxGetCommandRouterAccessResponse(jwt=JWT, url=there.url)


async def exec_start(there: Modal, request: Any, _: str) -> Any:
    if list(request.command_args) != END_ALL:
        raise GRPCError(Status.INVALID_ARGUMENT, f"{list(request.command_args)} is not played")
    for box in there.boxes.values():
        if box.task_id == request.task_id and not there.faults.deaf_exec:
            box.container.ask_to_end()
    return router.TaskExecStartResponse()


def _metadata() -> Any:
    return api.SandboxHandleMetadata(app_id="ap-skyscale")


def _tunnels(box: Box) -> list[Any]:
    return [
        api.TunnelData(host=f"{box.id.lower()}-{port.port}.modal.host", port=443, container_port=port.port)
        for port in box.definition.open_ports.ports
    ]


Rpc = Callable[[Modal, Any, str], Awaitable[Any]]
RPCS: dict[str, Rpc] = {
    "AppGetOrCreate": app_get, "EnvironmentGetOrCreate": environment, "ImageGetOrCreate": image,
    "SecretGetOrCreate": secret, "AuthTokenGet": token, "SandboxCreate": create_first,
    "SandboxCreateV2": create_second, "SandboxGetTaskId": task_of, "SandboxGetTaskIdV2": task_of, "SandboxWait": wait,
    "SandboxWaitV2": wait, "SandboxGetFromName": from_name_first, "SandboxGetFromNameV2": from_name_second,
    "SandboxListV2": listed, "SandboxTagsGet": tags_of, "SandboxTagsGetV2": tags_of, "SandboxTerminate": terminate,
    "SandboxTerminateV2": terminate, "SandboxGetTunnels": tunnels, "SandboxGetTunnelsV2": tunnels,
    "AppFetchLogs": fetch_logs, "TaskGetCommandRouterAccess": access_first,
    "SandboxGetCommandRouterAccess": access_second,
}  # fmt: skip
ROUTER_RPCS: dict[str, Rpc] = {"TaskExecStart": exec_start}


def _service(base: Any, there: Modal, rpcs: dict[str, Rpc]) -> Any:
    """An instance of a generated base class that answers these RPCs and refuses the others."""

    def handler(name: str) -> Any:
        async def handle(self: Any, stream: "Stream[Any, Any]") -> None:
            assert stream.metadata is not None
            if name not in rpcs:
                raise GRPCError(Status.UNIMPLEMENTED, f"{name} is not played")
            if base is ModalClientBase:
                there.check(name, stream.metadata)
            request = await stream.recv_message()
            key = str(stream.metadata.get("x-idempotency-key", secrets.token_hex(8)))
            await stream.send_message(await rpcs[name](there, request, key))

        return handle

    methods = {name: handler(name) for name in base.__abstractmethods__}
    return type(f"Played{base.__name__}", (base,), methods)()
