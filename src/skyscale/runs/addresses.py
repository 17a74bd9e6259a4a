"""Which policy server URLs may be called by us: no caller chooses freely where our requests go. Pure."""

import ipaddress
from urllib.parse import urlsplit

from skyscale.errors import Invalid

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def check(url: str, *, is_this_host: bool) -> None:
    """Raise Invalid unless the URL is plain http(s) and, for jobs of this host, on this machine."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid(f"url: {error}") from error
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise Invalid("url must be http://host:port or https://host")
    if parts.username is not None or parts.query or parts.fragment:
        raise Invalid("url must hold no credentials, query or fragment")
    if is_this_host and not is_loopback(host):
        raise Invalid(f"url: {host} is not this machine, where the run's local jobs are")


def is_loopback(host: str) -> bool:
    """Whether this host, by name or number, is this machine."""
    if host in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
