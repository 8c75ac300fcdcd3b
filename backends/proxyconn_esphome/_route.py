"""The route of a device that was found by one proxy, without a fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bleak.backends.client import BaseBleakClient

from proxyconn.radio import NO_RSSI_VALUE, Allocations, RadioUnavailableError

if TYPE_CHECKING:
    from ._session import ProxySession


@dataclass(slots=True)
class SessionRoute:
    """Reaches a device through the one proxy that heard it."""

    session: ProxySession
    last_rssi: int = NO_RSSI_VALUE

    @property
    def client_backend(self) -> type[BaseBleakClient]:
        """ESPHomeClient."""
        from .client import ESPHomeClient

        return ESPHomeClient

    def rssi(self) -> int:
        """Signal strength of the last advertisement in dBm."""
        return self.last_rssi

    def allocations(self) -> Allocations | None:
        """The proxy's slots."""
        return self.session.ledger.allocations()

    async def wait_for_slot(self, timeout: float) -> bool:
        """Wait until the proxy reports a slot free; False after `timeout` s or if it goes away."""
        try:
            return await self.session.queue.next_free(timeout)
        except RadioUnavailableError:
            return False
