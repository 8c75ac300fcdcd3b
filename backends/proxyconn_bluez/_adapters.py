"""The adapters of this machine, as they come and go."""

from __future__ import annotations

from collections.abc import Sequence

from proxyconn.radio import RadioSink

from ._adapter import BlueZRadio
from ._management import Management
from ._watch import BlueZWatch

PLACEHOLDER = "local adapters"
"""Name of the radio that stands for all adapters while there is none."""


class LocalAdapters:
    """Makes a radio of every adapter. Owns the one bus connection and management socket of all.

    Args:
        wanted: True for every adapter, or their names (`hciN`).
        sink: told of the radios.
    """

    def __init__(self, wanted: bool | Sequence[str], sink: RadioSink) -> None:
        self._wanted = None if isinstance(wanted, bool) else tuple(wanted)
        self._sink = sink
        self._watch = BlueZWatch()
        self._management = Management()
        self._radios: dict[str, BlueZRadio] = {}
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
        """Stop scanning and close what is shared; idempotent."""
        self._closing = True
        radios, self._radios = list(self._radios.values()), {}
        for radio in radios:
            await radio.aclose()
            self._sink.radio_removed(radio)
        await self._watch.aclose()
        self._management.close()

    def _refresh(self) -> None:
        if self._closing:
            return
        if self._wanted is None:
            for path in self._watch.adapters():
                self._add(path.rpartition("/")[2])
            if not self._radios:
                self._add(PLACEHOLDER)
            elif len(self._radios) > 1 and (placeholder := self._radios.pop(PLACEHOLDER, None)):
                placeholder.stop()
                self._sink.radio_removed(placeholder)
        for radio in list(self._radios.values()):
            radio.refresh()
        self._refresh_slots()

    def _refresh_slots(self) -> None:
        if not self._closing:
            for radio in self._radios.values():
                radio.refresh_slots()

    def _add(self, name: str) -> None:
        if name not in self._radios:
            radio = self._radios[name] = BlueZRadio(name, self._watch, self._management, self._sink)
            self._sink.radio_added(radio)
