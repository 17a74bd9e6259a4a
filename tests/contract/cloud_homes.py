"""The clouds, each played on loopback in its own protocol and asked through what really asks it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from skyscale.jobs.loading import load_provider
from skyscale.jobs.provider import Provider, Setup
from tests.contract.clouds import akash as network
from tests.contract.clouds import hub, modal_cloud
from tests.contract.clouds.loopback import serving
from tests.contract.home import OWNER, STRANGER, Home


@asynccontextmanager
async def huggingface(folder: Path) -> AsyncGenerator[Home]:
    """The Hub's Jobs on loopback, asked through the real client."""
    there = hub.Hub()
    async with serving(there.app()) as url:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_ENDPOINT", url)
            patch.setenv("HF_TOKEN", hub.TOKEN)
            patch.setenv("SKYSCALE_HF_NAMESPACE", hub.NAMESPACE)

            def make(owner: str) -> Provider:
                return load_provider("huggingface", Setup(jobs_dir=folder, owner=owner))

            def lose() -> None:
                there.faults.lose_next_reply = True

            yield Home(make=lambda: make(OWNER), lose_next_reply=lose, stranger=lambda: make(STRANGER))
        await there.close()


@asynccontextmanager
async def akash(folder: Path) -> AsyncGenerator[Home]:
    """A network with three providers on loopback, behind the Console API."""
    there = network.Akash()
    async with serving(there.app()) as url:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AKASH_API_URL", url)
            patch.setenv("AKASH_PROXY_URL", f"{url}/ws")
            patch.setenv("AKASH_API_KEY", network.KEY)
            patch.setattr("skyscale.jobs.providers.akash.provider.AkashProvider.pace_s", 0.05)
            patch.setattr("skyscale.jobs.providers.akash.provider.AkashProvider.look_s", 0.05)

            def make(owner: str) -> Provider:
                return load_provider("akash", Setup(jobs_dir=folder, owner=owner))

            def lose() -> None:
                there.faults.deaf_after_lease = 3  # the lease's answer, the look at what became of it, the way back

            yield Home(
                make=lambda: make(OWNER), lose_next_reply=lose, stranger=lambda: make(STRANGER), holds_ended=True
            )
        await there.close()


@asynccontextmanager
async def modal(folder: Path) -> AsyncGenerator[Home]:
    """Modal's control plane on loopback, asked through the real client."""
    there = modal_cloud.Modal()
    await there.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODAL_SERVER_URL", there.url)
        patch.setenv("MODAL_CONFIG_PATH", str(folder / "none.toml"))
        patch.setenv("MODAL_TOKEN_ID", modal_cloud.TOKEN_ID)
        patch.setenv("MODAL_TOKEN_SECRET", modal_cloud.TOKEN_SECRET)

        def make(owner: str) -> Provider:
            return load_provider("modal", Setup(jobs_dir=folder, owner=owner))

        def lose() -> None:
            there.faults.lose_replies = 4  # the call and the client's own repetitions of it

        yield Home(
            make=lambda: make(OWNER), lose_next_reply=lose, stranger=lambda: make(STRANGER), keeps_all_logs=False
        )
    await there.close()


HOMES: dict[str, Callable[[Path], AbstractAsyncContextManager[Home]]] = {
    "huggingface": huggingface, "akash": akash, "modal": modal
}  # fmt: skip
