"""What accelerators there are, by provider, as each of them tells it."""

import asyncio
import time
from collections.abc import Callable

from skyscale.errors import SkyscaleError
from skyscale.jobs.gpus import MEMORY_GB
from skyscale.jobs.places import Places
from skyscale.jobs.provider import Provider
from skyscale.wire.gpus import GpuInventory, GpuOffer, ProviderState

ASK_S = 15.0
FRESH_S = 60.0
"""For so long an answer is given again instead of asking every provider."""


class Inventory:
    """Asks every provider that is ready, at once, and remembers the answer for a minute."""

    def __init__(self, places: Places, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._places = places
        self._now = monotonic
        self._asking = asyncio.Lock()
        self._last: tuple[float, GpuInventory] | None = None

    async def read(self) -> GpuInventory:
        """Offers of all providers; one that does not answer is listed with the reason."""
        async with self._asking:
            if self._last is None or self._now() - self._last[0] > FRESH_S:
                self._last = self._now(), await self._ask()
            return self._last[1]

    async def _ask(self) -> GpuInventory:
        found = await asyncio.gather(*(self._of(provider) for provider in self._places.providers.values()))
        known = [f"{model} ({memory} GB)" for model, memory in MEMORY_GB.items()]
        return GpuInventory(
            offers=[offer for _, offers in found for offer in offers],
            providers=[state for state, _ in found],
            known_models=known,
        )

    async def _of(self, provider: Provider) -> tuple[ProviderState, list[GpuOffer]]:
        missing, trouble, offers = self._places.missing(provider.name), None, list[GpuOffer]()
        if provider.missing() is None:
            try:
                async with asyncio.timeout(ASK_S):
                    offers = [
                        GpuOffer(
                            provider=provider.name, gpu_model=each.gpu_model, name=each.name,
                            memory_gb=each.memory_gb, usd_per_hour=each.usd_per_hour, total=each.total,
                            available=each.available,
                        )
                        for each in await provider.inventory()
                    ]  # fmt: skip
            except SkyscaleError as error:
                trouble = error.detail
            except TimeoutError:
                trouble = f"no answer in {ASK_S:g} s"
        order = self._places.order
        rank = order.index(provider.name) + 1 if provider.name in order else None
        able = provider.abilities
        state = ProviderState(
            name=provider.name, order=rank, is_ready=missing is None, missing=missing, trouble=trouble,
            runs_commands=able.runs_commands, runs_images=able.runs_images, is_this_host=able.is_this_host,
        )  # fmt: skip
        return state, offers
