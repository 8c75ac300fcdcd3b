"""The route of a device that was found by one proxy, without a fleet."""

from __future__ import annotations

from bleak.backends.client import BaseBleakClient

from proxyconn.radio import Allocations, RadioUnavailableError, SharedRoute
from proxyconn_esphome.session.session import ProxySession


class SessionRoute(SharedRoute):
    """Reaches a device through the one proxy that heard it.

    Attributes:
        session: the session with that proxy.
        last_rssi: signal strength of the last advertisement in dBm.
        client_backend: the client that `session` needs.
    """

    __slots__ = ("client_backend", "last_rssi", "session")

    def __init__(
        self, session: ProxySession, last_rssi: int, client_backend: type[BaseBleakClient]
    ) -> None:
        self.session = session
        self.last_rssi = last_rssi
        self.client_backend = client_backend

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
