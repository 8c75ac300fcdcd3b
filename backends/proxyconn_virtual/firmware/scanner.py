"""The scanner of a proxy: its states, its mode, and batches of advertisements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.firmware.profiles import FirmwareProfile
from proxyconn_virtual.firmware.timings import Timings
from proxyconn_virtual.radio import Heard, Radio

BATCH_SIZE: Final = 16
"""Most advertisements in one message (ESPHome bluetooth_proxy.h)."""

_State = pb.BluetoothScannerState
_PASSIVE: Final = pb.BLUETOOTH_SCANNER_MODE_PASSIVE
_ACTIVE: Final = pb.BLUETOOTH_SCANNER_MODE_ACTIVE


class Scanner:
    """Runs the radio's scan and reports it.

    Args:
        radio: what to scan with.
        profile: firmware version to behave like.
        timings: clocks.
        send: sends a message to the subscriber, if there is one.
        hears_extended: whether extended advertising is heard.
    """

    def __init__(
        self,
        radio: Radio,
        profile: FirmwareProfile,
        timings: Timings,
        send: Callable[[Message], object],
        *,
        hears_extended: bool = False,
    ) -> None:
        self._radio = radio
        self._profile = profile
        self._timings = timings
        self._send = send
        self._hears_extended = hears_extended
        self._state = _State.BLUETOOTH_SCANNER_STATE_IDLE
        self._mode = _ACTIVE
        self._batch = pb.BluetoothLERawAdvertisementsResponse()
        self._flush_timer: asyncio.TimerHandle | None = None
        self._cycle_timer: asyncio.TimerHandle | None = None
        self.listening = False

    @property
    def running(self) -> bool:
        """Whether advertisements are being received."""
        return self._state == _State.BLUETOOTH_SCANNER_STATE_RUNNING

    @property
    def mode(self) -> pb.BluetoothScannerMode.ValueType:
        """Whether it scans passively or actively, as it was last told."""
        return self._mode

    def start(self) -> None:
        """Scan, until `stop`; idempotent."""
        if self.running:
            return
        self._enter(_State.BLUETOOTH_SCANNER_STATE_STARTING)
        self._radio.start_scan(self._heard, active=self._mode == _ACTIVE)
        self._enter(_State.BLUETOOTH_SCANNER_STATE_RUNNING)
        loop = asyncio.get_running_loop()
        self._cycle_timer = loop.call_later(self._timings.scan_cycle, self._restart)

    def stop(self) -> None:
        """Stop the scan; idempotent."""
        if not self.running:
            return
        if self._cycle_timer is not None:
            self._cycle_timer.cancel()
        self._enter(_State.BLUETOOTH_SCANNER_STATE_STOPPING)
        self._radio.stop_scan()
        self._enter(_State.BLUETOOTH_SCANNER_STATE_IDLE)

    def close(self) -> None:
        """Stop, and forget what was not sent."""
        self.listening = False
        self.stop()
        if self._flush_timer is not None:
            self._flush_timer.cancel()

    def set_mode(self, mode: pb.BluetoothScannerMode.ValueType) -> None:
        """Take a mode request; the same mode again does nothing at all."""
        if mode == self._mode or mode not in (_PASSIVE, _ACTIVE):
            return
        self._mode = mode
        if self.running:
            self._restart()

    def report(self) -> None:
        """Send the state."""
        if not self._profile.scanner_state:
            return
        message = pb.BluetoothScannerStateResponse(state=self._state, mode=self._mode)
        if self._profile.configured_mode:
            message.configured_mode = _ACTIVE
        self._send(message)

    def _enter(self, state: pb.BluetoothScannerState.ValueType) -> None:
        self._state = state
        self.report()

    def _restart(self) -> None:
        self.stop()
        self.start()

    def _heard(self, heard: Heard) -> None:
        if not self.listening or (heard.extended and not self._hears_extended):
            return
        self._batch.advertisements.add(
            address=heard.address,
            rssi=heard.rssi,
            address_type=heard.address_type,
            data=heard.data,
        )
        if len(self._batch.advertisements) >= BATCH_SIZE:
            self._flush()
        elif self._flush_timer is None:
            loop = asyncio.get_running_loop()
            self._flush_timer = loop.call_later(self._timings.advert_flush, self._flush)

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        batch, self._batch = self._batch, pb.BluetoothLERawAdvertisementsResponse()
        if batch.advertisements:
            self._send(batch)
