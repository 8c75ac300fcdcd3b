"""Does what a client asks of a device that needs no link: a few at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from google.protobuf.message import Message

from proxyconn.fleet.routed_client import RoutedClient
from proxyconn_owner.serving.failure_codes import FAILURES, NO_RESOURCES, pairing_code_of
from proxyconn_proto import bluetooth_proxy_pb2 as pb

MOST_CHORES: Final = 32
"""Bonds and caches of one client that are cleared at once: people clear one, a program its own."""

_LOGGER = logging.getLogger(__name__)


class Chores:
    """Unpairs devices and clears their caches for one client.

    Args:
        send: tells the client what came of it.
        client_for: returns what speaks with a device.
    """

    def __init__(
        self,
        send: Callable[[Message], None],
        client_for: Callable[[pb.BluetoothDeviceRequest], RoutedClient],
    ) -> None:
        self._send = send
        self._client_for = client_for
        self._tasks: set[asyncio.Task[None]] = set()

    def unpair(self, request: pb.BluetoothDeviceRequest) -> None:
        """Remove the bond of a device, or say at once that too much else is under way."""
        if self._is_full:
            self._unpaired(request.address, NO_RESOURCES)
        else:
            self._start(self._unpair(request))

    async def _unpair(self, request: pb.BluetoothDeviceRequest) -> None:
        error = 0
        try:
            await self._client_for(request).unpair()
        except FAILURES as exc:
            error = pairing_code_of(exc)
        self._unpaired(request.address, error)

    def _unpaired(self, number: int, error: int) -> None:
        self._send(
            pb.BluetoothDeviceUnpairingResponse(address=number, success=not error, error=error)
        )

    def clear_cache(self, request: pb.BluetoothDeviceRequest) -> None:
        """Forget the services of a device, or say at once that too much else is under way."""
        if self._is_full:
            self._cleared(request.address, NO_RESOURCES)
        else:
            self._start(self._clear_cache(request))

    async def _clear_cache(self, request: pb.BluetoothDeviceRequest) -> None:
        try:
            cleared = await self._client_for(request).clear_cache()
        except FAILURES as exc:
            _LOGGER.debug("cache of %012X not cleared: %s", request.address, exc)
            cleared = False
        self._cleared(request.address, success=cleared)

    def _cleared(self, number: int, error: int = 0, *, success: bool = False) -> None:
        self._send(
            pb.BluetoothDeviceClearCacheResponse(address=number, success=success, error=error)
        )

    async def aclose(self) -> None:
        """End all of it; idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def _is_full(self) -> bool:
        return len(self._tasks) >= MOST_CHORES

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
