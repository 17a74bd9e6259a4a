"""The HTTP face: OpenAI's routes, health, metrics, and the one route by which the control plane swaps weights.

The hot path is n completions of one prompt in one call. Its reply is encoded straight from lists; a body is parsed by
a model class on the way in only. A caller that hangs up frees what its request holds.
"""

import asyncio
import hmac
import secrets
import time
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from skyscale.errors import BadRequest, Forbidden, NotFound, SkyscaleError, TooLarge, Unauthorized, Unavailable
from skyscale.policy.engine import GenerateRequest
from skyscale.policy.openai_replies import ReplyStyle, ReplyWriter
from skyscale.policy.openai_requests import ChatBody, CompletionBody
from skyscale.policy.server_errors import error_reply, invalid_body
from skyscale.policy.server_metrics import metrics_text
from skyscale.policy.serving import Loaded, Serving
from skyscale.wire.policies import EngineReload

MAX_BODY_BYTES = 8 * 1024 * 1024
CLIENT_GONE = 499
"""nginx's status for a caller that hung up; nobody receives it, but access logs do."""
T = TypeVar("T")
B = TypeVar("B", bound=BaseModel)


def create_app(serving: Serving, reload_token: SecretStr | None) -> Starlette:
    """The application; without `reload_token` nobody may swap weights over HTTP."""
    routes = _Routes(serving, reload_token)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", routes.chat, methods=["POST"]),
            Route("/v1/completions", routes.completions, methods=["POST"]),
            Route("/v1/models", routes.models),
            Route("/health", routes.health),
            Route("/metrics", routes.metrics),
            Route("/reload", routes.reload, methods=["POST"]),
        ],
        exception_handlers={SkyscaleError: error_reply, ValidationError: invalid_body},  # pyright: ignore[reportArgumentType]
    )


class _Routes:
    def __init__(self, serving: Serving, reload_token: SecretStr | None) -> None:
        self._serving, self._reload_token = serving, reload_token
        self._started = int(time.time())

    async def chat(self, request: Request) -> Response:
        """`POST /v1/chat/completions`."""
        body = await _body(request, ChatBody)
        loaded = self._model(body.model)
        prompt_ids = loaded.tokenizer.chat_prompt([message.as_text() for message in body.messages])
        return await self._answer(request, loaded, body, prompt_ids)

    async def completions(self, request: Request) -> Response:
        """`POST /v1/completions`."""
        body = await _body(request, CompletionBody)
        loaded = self._model(body.model)
        prompt_ids = _prompt_ids(body, loaded)
        if body.append_messages:
            prompt_ids = loaded.tokenizer.continued(prompt_ids, [message.as_text() for message in body.append_messages])
        return await self._answer(request, loaded, body, prompt_ids)

    async def models(self, _: Request) -> Response:
        """`GET /v1/models`."""
        entry = {"id": self._serving.model, "object": "model", "created": self._started, "owned_by": "skyscale"}
        return _json({"object": "list", "data": [entry]})

    async def health(self, _: Request) -> Response:
        """`GET /health`: 200 when requests would be answered, else 503 with the reason."""
        loaded = self._serving.ready()
        version = loaded.engine.stats().version
        return _json({"status": "ready", "model": self._serving.model, "policy_version": version,
                      "max_length": loaded.engine.max_length})  # fmt: skip

    async def metrics(self, _: Request) -> Response:
        """`GET /metrics` in Prometheus' text format."""
        text = metrics_text(self._serving.ready().engine.stats())
        return Response(text, media_type="text/plain; version=0.0.4")

    async def reload(self, request: Request) -> Response:
        """`POST /reload`: serve a published version."""
        self._authorize(request)
        body = await _body(request, EngineReload)
        reply = await self._serving.reload(body.version, body.manifest_uri)
        return _json(reply.model_dump())

    def _authorize(self, request: Request) -> None:
        if self._reload_token is None:
            raise Forbidden("this server was started without a job token, so nobody may replace its weights")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise Unauthorized()
        if not hmac.compare_digest(given.encode(), self._reload_token.get_secret_value().encode()):
            raise Forbidden("only the control plane may replace this server's weights")

    def _model(self, name: str) -> Loaded:
        if name != self._serving.model:
            raise NotFound(
                f"the model {name!r} is not served here: this is {self._serving.model!r}", code="model_not_found"
            )
        return self._serving.ready()

    async def _answer(
        self, request: Request, loaded: Loaded, body: ChatBody | CompletionBody, prompt_ids: list[int]
    ) -> Response:
        serving, wanted = loaded.engine.stats().version, body.min_policy_version or 0
        if serving < wanted:
            raise Unavailable(f"version {serving} is served, {wanted} is wanted", code="policy_version_behind")
        writer, generate = self._writer(loaded, body, prompt_ids), _generate_request(loaded, body, prompt_ids)
        if body.stream:
            return await _stream(loaded, writer, generate, body)
        completions = await _unless_gone(request, loaded.engine.generate(generate))
        if completions is None:
            return Response(status_code=CLIENT_GONE)
        return _json(writer.whole(completions, loaded.engine.stats().version))

    def _writer(self, loaded: Loaded, body: ChatBody | CompletionBody, prompt_ids: list[int]) -> ReplyWriter:
        is_chat = isinstance(body, ChatBody)
        style = ReplyStyle(
            reply_id=("chatcmpl-" if is_chat else "cmpl-") + secrets.token_hex(12),
            created=int(time.time()),
            model=self._serving.model,
            is_chat=is_chat,
            wants_logprobs=body.wants_logprobs,
            wants_token_ids=bool(body.return_token_ids),
            stops=body.stops,
            prompt_ids=prompt_ids,
        )
        return ReplyWriter(loaded.tokenizer, style)


def _generate_request(loaded: Loaded, body: ChatBody | CompletionBody, prompt_ids: list[int]) -> GenerateRequest:
    most, length = loaded.engine.max_length, len(prompt_ids)
    if length >= most or length + (body.limit or 1) > most:
        wanted = f" and max_tokens {body.limit}" if body.limit else ""
        raise BadRequest(
            f"the prompt has {length} tokens; with{wanted or ' one to sample'} it exceeds the model's {most}",
            code="context_length_exceeded",
            hint="Shorten the prompt or lower max_tokens.",
        )
    return GenerateRequest(
        prompt_ids=prompt_ids,
        n=body.n or 1,
        max_new_tokens=body.limit or most - length,
        temperature=1.0 if body.temperature is None else body.temperature,
        seed=body.seed,
        stop=body.stops,
        ignore_eos=bool(body.ignore_eos),
    )


def _prompt_ids(body: CompletionBody, loaded: Loaded) -> list[int]:
    prompt = body.prompt
    if isinstance(prompt, str):
        return loaded.tokenizer.encode(prompt)
    first = prompt[0] if prompt else ""
    return loaded.tokenizer.encode(first) if isinstance(first, str) else [int(token) for token in prompt]


async def _stream(
    loaded: Loaded, writer: ReplyWriter, generate: GenerateRequest, body: ChatBody | CompletionBody
) -> Response:
    events = loaded.engine.stream(generate)
    # The first token is awaited here, so that a refused request is still answered with its status.
    first = await anext(events)

    async def lines() -> AsyncGenerator[bytes]:
        try:
            if isinstance(body, ChatBody):
                yield _event(writer.opening(generate.n, first.version))
            yield _event(writer.chunk(first))
            num_tokens, version = 1, first.version
            async for event in events:
                num_tokens, version = num_tokens + 1, event.version
                yield _event(writer.chunk(event))
            if body.stream_options is not None and body.stream_options.include_usage:
                yield _event(writer.usage_chunk(num_tokens, version))
            yield b"data: [DONE]\n\n"
        except SkyscaleError as e:
            yield _event({"error": {"message": e.detail, "type": "server_error", "code": e.code}})
        finally:
            await events.aclose()

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"cache-control": "no-cache"})


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, or None if the caller hung up first (the work is then cancelled)."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        gone.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request, model: type[B]) -> B:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BODY_BYTES:
            raise TooLarge(f"the body is larger than {MAX_BODY_BYTES} bytes")
    try:
        return model.model_validate(orjson.loads(content))
    except orjson.JSONDecodeError as e:
        raise BadRequest(f"the body is not JSON: {e}") from e


def _json(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
