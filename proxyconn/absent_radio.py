"""A radio that cannot be used, shown with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice

from proxyconn.errors import RadioUnavailableError
from proxyconn.models import Allocations, RadioState


@dataclass(slots=True, eq=False)
class AbsentRadio:
    """A radio that is known of and cannot be used now. Fulfils `Radio`.

    Attributes:
        name: what people call it.
        state: how it is doing.
        problem: why it is not ready.
        host, port: where it is.
    """

    name: str
    state: RadioState
    problem: str | None
    connectable: bool = False
    host: str | None = None
    port: int | None = None
    connecting: int = field(default=0, init=False)

    def allocations(self) -> Allocations | None:
        """Return None: it reports no slots."""
        return None

    def free_slots(self) -> int | None:
        """Return 0: none can be had."""
        return 0

    def claim(self, address: str) -> bool:
        """Return False: there is none."""
        return False

    def release(self, address: str) -> None:
        """Nothing was claimed."""

    def create_client(self, device: BLEDevice, **kwargs: Any) -> BaseBleakClient:
        """Raise RadioUnavailableError."""
        raise RadioUnavailableError(f"{self.name}: {self.problem or self.state}", source=self.name)

    def diagnostics(self) -> dict[str, Any]:
        """Return what is known of it."""
        return {
            "name": self.name,
            "host": self.host,
            "port": self.port,
            "state": str(self.state),
            "problem": self.problem,
        }
