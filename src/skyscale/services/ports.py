"""What services need of money, in this room's words; `money.services.meter` fits as it is."""

from collections.abc import Sequence
from typing import Protocol

from skyscale.wire.costs import ServiceCost
from skyscale.wire.services import ServiceDeploy


class Costs(Protocol):
    """What services cost."""

    def check(self, body: ServiceDeploy) -> None:
        """Raise Invalid for a cap that cannot be kept."""
        ...

    async def open(self, service_id: str, body: ServiceDeploy) -> None:
        """Begin to meter a service that is about to be started."""
        ...

    async def costs_of(self, service_ids: Sequence[str]) -> dict[str, ServiceCost]:
        """What those of these services cost that have a meter."""
        ...
