"""The Hugging Face Hub of the tests until standard input ends; the first line is its address, a token, a namespace."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.contract.clouds.hub import NAMESPACE, TOKEN, Hub
from tests.contract.clouds.loopback import serving


async def main() -> None:
    hub = Hub()
    async with serving(hub.app()) as url:
        sys.stdout.write(f"{url} {TOKEN} {NAMESPACE}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        await hub.close()


asyncio.run(main())
