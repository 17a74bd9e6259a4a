"""Where a policy server is reached, which is not always where it listens."""

import asyncio
from urllib.parse import urlsplit

from skyscale.errors import Unavailable
from skyscale.jobs.provider import Provider
from skyscale.runs import addresses

ASK_S = 15.0


async def address(url: str, provider: Provider | None, handle: str | None) -> str:
    """The URL to call for a server that listens at `url`, as its provider maps the port.

    Raises Invalid for one that may not be called, Unavailable while the provider does not tell; the server asks again.
    """
    addresses.check(url, is_this_host=provider is None or provider.abilities.is_this_host)
    if provider is None or not provider.abilities.maps_ports:
        return url
    port = urlsplit(url).port or 80
    if handle is None:  # it was quicker than the record of its start
        raise _unknown(provider, port)
    try:
        async with asyncio.timeout(ASK_S):
            found = (await provider.addresses(handle)).get(port)
    except TimeoutError as error:
        raise _unknown(provider, port) from error
    if found is None:
        raise _unknown(provider, port)
    addresses.check(found, is_this_host=False)
    return found.rstrip("/")


def _unknown(provider: Provider, port: int) -> Unavailable:
    return Unavailable(f"{provider.name} does not tell yet where port {port} is reached", code="address_unknown")
