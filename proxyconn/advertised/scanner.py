"""What the bleak scanner backends of ours have in common."""

from __future__ import annotations

import asyncio

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

from proxyconn.advertised.fields import own_copy


class FairScanner(BaseBleakScanner):
    """A scanner whose callbacks do not get into each other's way."""

    def call_detection_callbacks(
        self, device: BLEDevice, advertisement_data: AdvertisementData
    ) -> None:
        """Call every callback, each with lists and dicts of its own.

        One that is taken out meanwhile is not called any more. What one raises is told to the
        loop's exception handler.
        """
        for token, callback in tuple(self._ad_callbacks.items()):
            if token not in self._ad_callbacks:
                continue
            try:
                callback(device, own_copy(advertisement_data))
            except Exception as exc:  # noqa: BLE001 - it is the caller's, and is told as bleak does
                asyncio.get_running_loop().call_exception_handler(
                    {"message": f"a detection callback failed: {callback!r}", "exception": exc}
                )
