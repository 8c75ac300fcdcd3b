"""The adapters of this machine, as they come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from proxyconn.radio import RadioSink
from proxyconn_bluez.adapter.adapter import BlueZRadio
from proxyconn_bluez.bus.watch import BlueZWatch
from proxyconn_bluez.kernel.management import Management

PLACEHOLDER = "local adapters"
"""Name of the radio that stands for all adapters while there is none."""


class LocalAdapters:
    """Makes a radio of every adapter. Owns the one bus connection and management socket of all.

    Args:
        wanted: True for every adapter, or their names (`hciN`).
        sink: told of the radios.
        scan: whether they scan.
    """

    def __init__(self, wanted: bool | Sequence[str], sink: RadioSink, *, scan: bool = True) -> None:
        self._wanted = None if isinstance(wanted, bool) else tuple(wanted)
        self._sink = sink
        self._scan = scan
        self._watch = BlueZWatch()
        self._management = Management()
        self._radios: dict[str, BlueZRadio] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._closing = False

    async def start(self) -> None:
        """Begin to follow; returns once BlueZ has answered or is known to be absent."""
        self._watch.on_adapters_changed(self._refresh)
        self._watch.on_links_changed(self._refresh_slots)
        for name in self._wanted or ():
            self._add(name)
        await self._watch.start()
        self._refresh()

    async def aclose(self) -> None:
        """Stop scanning and close what is shared; idempotent, also after it was cancelled."""
        self._closing = True
        for name, radio in list(self._radios.items()):
            await radio.aclose()
            if self._radios.pop(name, None):
                self._sink.radio_removed(radio)
        if self._leaving:
            await asyncio.wait(self._leaving)
        await self._watch.aclose()
        self._management.close()

    def _refresh(self) -> None:
        if self._closing:
            return
        if self._wanted is None:
            self._follow()
        for radio in list(self._radios.values()):
            radio.refresh()
        self._refresh_slots()

    def _follow(self) -> None:
        """Have a radio for each adapter there is.

        One that has gone stays to say so, until another one comes: an adapter that is plugged in
        again may have another name.
        """
        present = {path.rpartition("/")[2] for path in self._watch.adapters()}
        if present - self._radios.keys():
            for name in self._radios.keys() - present:
                self._remove(name)
        for name in sorted(present):
            self._add(name)
        if not self._radios:
            self._add(PLACEHOLDER)

    def _remove(self, name: str) -> None:
        radio = self._radios.pop(name)
        # Whoever waits for a link through it is told so.
        radio.refresh()
        self._sink.radio_removed(radio)
        task = asyncio.get_running_loop().create_task(radio.aclose())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _refresh_slots(self) -> None:
        if not self._closing:
            for radio in self._radios.values():
                radio.refresh_slots()

    def _add(self, name: str) -> None:
        if name not in self._radios:
            radio = self._radios[name] = BlueZRadio(
                name, self._watch, self._management, self._sink, scan=self._scan
            )
            self._sink.radio_added(radio)
