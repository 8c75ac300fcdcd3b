"""A client that does what a script says, in place of a radio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from bleak import BleakClient
from bleak.backends.device import BLEDevice

from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute

Step = BaseException | float | None
"""What one connect does: raises, sleeps that many seconds, or succeeds."""


@dataclass
class Script:
    """What successive connects do, and what was seen of them."""

    steps: list[Step]
    repeat: bool = True
    connects: list[dict[str, Any]] = field(default_factory=list)
    started_at: list[float] = field(default_factory=list)
    constructed: list[tuple[BLEDevice, dict[str, Any]]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def client_class(self) -> type[BleakClient]:
        """Return a client class whose connects follow this script."""
        script = self

        class ScriptedClient(BleakClient):
            def __init__(self, device: BLEDevice, **kwargs: Any) -> None:
                script.constructed.append((device, kwargs))

            async def connect(self, **kwargs: Any) -> None:
                script.connects.append(kwargs)
                script.started_at.append(asyncio.get_running_loop().time())
                index = len(script.connects) - 1
                last = len(script.steps) - 1
                step = script.steps[min(index, last) if script.repeat else index]
                if isinstance(step, BaseException):
                    raise step
                if step is not None:
                    await asyncio.sleep(step)

            async def disconnect(self) -> None:
                script.calls.append("disconnect")

            async def clear_cache(self) -> bool:
                script.calls.append("clear_cache")
                return True

        return ScriptedClient


@pytest.fixture
def script() -> Callable[..., Script]:
    """Return a maker of scripts."""
    return lambda *steps, **kwargs: Script(list(steps), **kwargs)


@pytest.fixture
def device() -> BLEDevice:
    """Return a device of a radio that tags its devices with a source."""
    return BLEDevice("C4:00:00:00:00:01", "Kettle", {"source": "kitchen", "address_type": 1})


@pytest.fixture
async def hub() -> Hub:
    """Return a hub without radios, which remembers nothing."""
    return Hub(DeviceRoute, {})
