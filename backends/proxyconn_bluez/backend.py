"""Local adapters as the radios of a fleet. Importing this needs no D-Bus."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import Protocol

from proxyconn.radio import Backend, FleetOptions, RadioSink, Subscribe, UnsupportedError


class _Adapters(Protocol):
    async def start(self) -> None: ...

    async def aclose(self) -> None: ...


class BlueZBackend:
    """Finds the adapters that BlueZ has, and scans on them.

    Args:
        options: `local_adapters` says which; False for none, and then nothing is imported.
        sink: told of every adapter and what it hears.
    """

    def __init__(self, options: FleetOptions, sink: RadioSink) -> None:
        self._options = options
        self._sink = sink
        self._adapters: _Adapters | None = None

    async def start(self) -> None:
        """Begin to look for adapters; returns once BlueZ has answered or is known to be absent.

        Raises:
            UnsupportedError: this machine is not one that BlueZ runs on.
        """
        if not self._options.local_adapters or self._adapters:
            return
        if sys.platform != "linux":
            raise UnsupportedError("local adapters can be part of a fleet only on Linux, by BlueZ")
        try:
            module = await asyncio.to_thread(import_module, "proxyconn_bluez.adapter.hotplug")
        except ImportError as exc:
            raise UnsupportedError(f"local adapters need bleak's BlueZ backend: {exc}") from exc
        self._adapters = module.LocalAdapters(
            self._options.local_adapters,
            self._sink,
            scan=self._options.subscribe is not Subscribe.NEVER,
        )
        await self._adapters.start()

    async def reconfigure(self, options: FleetOptions) -> None:
        """Take other options; adapters are let go, and made anew, only if others are wanted."""
        if options.local_adapters != self._options.local_adapters:
            await self.aclose()
        self._options = options
        await self.start()

    async def aclose(self) -> None:
        """Stop scanning, and let every adapter go; idempotent, also after it was cancelled."""
        if self._adapters:
            await self._adapters.aclose()
            self._adapters = None


_backend_fits: type[Backend] = BlueZBackend
