"""What this process serves: one model, loaded once, moved from version to version.

`reload` is the only way to another version, whoever asks (control plane or heartbeat), one at a time. A version whose
files do not match its manifest, or whose weights do not fit, is refused and the old one goes on.
"""

import asyncio
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from skyscale.artifacts.versions import VersionFolder, open_version
from skyscale.decoder.models import resolve_model
from skyscale.errors import ProtocolError, Unavailable
from skyscale.policy.engine import Engine
from skyscale.policy.loading import open_engine
from skyscale.policy.tokenizer import ChatTokenizer
from skyscale.wire.policies import EngineReloadReply


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to answer."""

    engine: Engine
    tokenizer: ChatTokenizer


class Serving:
    """The model at `path` (a folder or an id), served as `name`.

    `cache_dir` belongs to this process and holds fetched versions.
    """

    def __init__(self, path: str, cache_dir: Path, name: str | None = None) -> None:
        self.model = name or path
        """The name that callers ask for."""
        self._path = path
        self._cache_dir = cache_dir
        self._loaded: Loaded | None = None
        self._reloading = asyncio.Lock()

    @property
    def version(self) -> int | None:
        """The version being served; None while loading."""
        return None if self._loaded is None else self._loaded.engine.stats().version

    async def load(self, engine_name: str, version: int, manifest_uri: str | None) -> None:
        """Load the base model, or the published version at `manifest_uri`, and start the engine.

        Raises:
            Invalid, ProtocolError: the model or the version cannot be used.
        """
        engine, tokenizer = await asyncio.to_thread(self._open, engine_name, version, manifest_uri)
        await engine.start()
        self._loaded = Loaded(engine, tokenizer)

    def ready(self) -> Loaded:
        """The model, or Unavailable while it is loading or after its engine broke."""
        if self._loaded is None:
            raise Unavailable(f"{self.model} is being loaded", code="loading", hint="Ask /health until it says ready.")
        if self.failure() is not None:
            raise Unavailable(
                f"the engine broke: {self.failure()!r}", code="engine_broken", hint="The job is restarted."
            )
        return self._loaded

    async def reload(self, version: int, manifest_uri: str) -> EngineReloadReply:
        """Serve another published version; the one that is served already is answered at once.

        Raises:
            ProtocolError: the version is missing, damaged or not what its manifest says.
            Invalid: its weights do not fit this model.
        """
        async with self._reloading:
            engine = self.ready().engine
            before = engine.stats().version
            if version == before:
                return EngineReloadReply(version=version, fetch_ms=0.0, stall_ms=0.0)
            started = time.perf_counter()
            folder = await asyncio.to_thread(self._fetch, version, manifest_uri)
            fetch_ms = (time.perf_counter() - started) * 1e3
            swap = await engine.reload(folder.path, version)
            await asyncio.to_thread(self._forget, folder)
            return EngineReloadReply(version=version, fetch_ms=fetch_ms + swap.stage_ms, stall_ms=swap.stall_ms)

    def failure(self) -> BaseException | None:
        """What broke the engine, if something did."""
        return None if self._loaded is None else self._loaded.engine.failure()

    async def close(self) -> None:
        """Stop the engine."""
        if self._loaded is not None:
            await self._loaded.engine.stop()

    def _open(self, engine_name: str, version: int, manifest_uri: str | None) -> tuple[Engine, ChatTokenizer]:
        if manifest_uri is None or version == 0:
            folder, version = resolve_model(self._path), 0
        else:
            folder = self._fetch(version, manifest_uri).path
        tokenizer = ChatTokenizer(folder)
        return open_engine(engine_name, folder, version=version, decode=tokenizer.decode), tokenizer

    def _fetch(self, version: int, manifest_uri: str) -> VersionFolder:
        folder = open_version(manifest_uri, self._cache_dir)
        if folder.manifest.version != version:
            raise ProtocolError(f"{manifest_uri} is version {folder.manifest.version}, not {version}")
        return folder

    def _forget(self, folder: VersionFolder) -> None:
        # The weights are in memory; a copy in our cache is only disk. The store's own folder is not ours to touch.
        if folder.path.is_relative_to(self._cache_dir):
            shutil.rmtree(folder.path)
