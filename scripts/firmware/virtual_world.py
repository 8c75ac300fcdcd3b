"""The virtual proxy with the profile of a release, over a scripted radio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from proxyconn_virtual.firmware.profiles import FirmwareProfile
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy

from .real_world import NAME
from .scripted_radio import ScriptedRadio
from .world import BASIC, ScriptedService, Setting

MAC: Final = "02:51:4D:00:00:00"
_NO_LIMIT: Final = 1e6
"""Seconds; the scripted radio has limits of its own."""


class VirtualWorld:
    """A virtual proxy; see World."""

    def __init__(self, profile: FirmwareProfile) -> None:
        self._radio = ScriptedRadio()
        spec = ProxySpec(
            name=NAME, mac=MAC, profile=profile, establish_limit=_NO_LIMIT, send_buffer=5760
        )
        self._proxy = VirtualProxy(spec, self._radio)
        self._proxy.injectors.append(self._radio)

    @property
    def port(self) -> int:
        """Of the native API."""
        return self._proxy.port

    async def start(self) -> None:
        """Boot."""
        await self._proxy.start()

    async def stop(self) -> None:
        """Lose power."""
        await self._proxy.kill()

    async def device(
        self, address: int, services: Sequence[ScriptedService] = BASIC, **settings: Setting
    ) -> None:
        """Put a peripheral on the air."""
        self._radio.change(self._radio.put(address, services), settings)

    async def drop(self, address: int, reason: int, close_ms: int) -> None:
        """Lose a link."""
        device = self._radio.devices[address]
        device.close_after = -1 if close_ms < 0 else close_ms / 1000
        link, device.link = device.link, None
        if link is not None and link.on_disconnect is not None:
            link.on_disconnect(reason)

    async def notify(self, address: int, handle: int, value: bytes, times: int = 1) -> None:
        """Let a peripheral notify."""
        link = self._radio.devices[address].link
        for _ in range(times):
            if link is not None and link.on_notify is not None:
                link.on_notify(handle, value)
        await asyncio.sleep(0)

    async def burst(self, address: int, count: int, handle_of: int, handle: int) -> None:
        """Let one device advertise, and another notify at once behind it."""
        for _ in range(count):
            self._radio.hear(self._radio.devices[address])
        await self.notify(handle_of, handle, b"\xaa")

    async def ask_for_security(self, address: int) -> None:
        """Let a peripheral ask for encryption."""
        link = self._radio.devices[address].link
        if link is not None and link.on_security_request is not None:
            link.on_security_request()

    async def links(self) -> Sequence[int]:
        """Return the last octets of the devices that are linked."""
        devices = self._radio.devices.values()
        return [device.address & 0xFF for device in devices if device.link is not None]
