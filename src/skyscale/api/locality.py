"""Whether a request comes from this machine, by its own name.

A foreign name in Host is DNS rebinding, a foreign Origin another site's page, a forwarding header somebody behind a
proxy: none of them is this machine's user.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from skyscale.settings import LOOPBACK


def is_local(scope: Scope) -> bool:
    """Whether the client, the Host and the Origin (where there are any) are loopback."""
    client, headers = scope.get("client"), Headers(scope=scope)
    if "x-forwarded-for" in headers or "forwarded" in headers:
        return False
    origin = headers.get("origin")
    names = [headers.get("host", ""), urlsplit(origin).netloc if origin else ""]
    is_named_local = all(_is_loopback(urlsplit(f"//{name}").hostname or "localhost") for name in names if name)
    return is_named_local and _is_loopback(client[0] if client else "")


def _is_loopback(host: str) -> bool:
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
