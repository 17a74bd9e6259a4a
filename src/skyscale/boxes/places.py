"""Where sandboxes can be made besides this process: the port that `hosts` fills."""

from typing import Protocol

from skyscale.sandboxes.workspace import Workspace
from skyscale.wire.sandboxes import SandboxCreate


class Places(Protocol):
    """Sandbox hosts, as far as interactive sandboxes need them; a place is named by the host's id."""

    def backends(self) -> set[str]:
        """Backends that any place has."""
        ...

    def room(self) -> int:
        """How many sandboxes all places may hold."""
        ...

    def order(self, backend: str) -> list[str]:
        """Places that can make one now, the best first."""
        ...

    async def create(self, host_id: str, sandbox_id: str, request: SandboxCreate) -> Workspace:
        """A fresh workspace there. Raises SkyscaleError when it could not be made; another place may be tried."""
        ...

    def attach(self, host_id: str, sandbox_id: str) -> Workspace:
        """A workspace that was made there before."""
        ...

    def is_lost(self, host_id: str) -> bool:
        """Whether a place, and what it held, is lost."""
        ...
