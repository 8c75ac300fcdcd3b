"""What is done with one device: sessions, one after the other, or a connection that is kept."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from bleak import BleakClient
from bleak.exc import BleakCharacteristicNotFoundError, BleakError

from .guarded import TIDY, CancelledOnPurposeError, Guarded, OverdueError
from .plans import Plan, Step, often_cancelled, plan
from .record import Record
from .setting import Setting
from .sides import Side
from .world import ECHO, STREAM, VALUE, flood_command, identity

CALLBACK_TIME: Final = 0.5
"""Seconds after a disconnect within which the client must have been told."""

AGAIN: Final = 0.5
"""Seconds at most between a session that failed and the next one."""

ENDS: Final = (BleakError, TimeoutError, OverdueError)
"""What ends a session and is no defect by itself."""

ANSWERED: Final = frozenset({"read", "write", "notify"})
"""Steps that the device has a part in."""


@dataclass
class Drop:
    """How often a client was told that its link is no more."""

    times: int = 0

    def __call__(self, client: BleakClient) -> None:
        """Count."""
        self.times += 1


class Device:
    """Holds sessions with one device until it is told to stop.

    Args:
        insistent: whether what is cancelled is cancelled at each of its awaits.

    Attributes:
        address: the device's.
        busy: whether it has a link, or wants one.
    """

    def __init__(
        self,
        setting: Setting,
        number: int,
        address: str,
        side: Side,
        record: Record,
        *,
        insistent: bool = False,
    ) -> None:
        self._setting = setting
        self._is_kept = setting.kept > 0 and number % setting.kept == 0
        self._failed = False
        self.busy = False
        self.address = address
        self._said = identity(address)
        self._side = side
        self._record = record
        self._insistent = insistent
        self._guarded = Guarded(record, insistent=insistent)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin no other session."""
        self._stopping.set()

    async def run(self) -> None:
        """Hold sessions."""
        number = 0
        while not self._stopping.is_set():
            chosen = plan(self._setting.seed, self.address, number, self._setting.pause)
            if self._insistent:
                chosen = often_cancelled(chosen, number)
            number += 1
            await self._rest(min(chosen.pause, AGAIN) if self._failed else chosen.pause)
            if not self._stopping.is_set() and self._side.hears(self.address):
                await self._one(chosen)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _one(self, chosen: Plan) -> None:
        self._record.sessions += 1
        self.busy = True
        lost = asyncio.Event()
        kept = self._side.keep(self.address, lost.set) if self._is_kept else None
        try:
            if kept is None:
                complete = await self._session(chosen)
            else:
                limit = chosen.hold + 2 * TIDY
                complete = await self._do("keep", self._keep(kept, lost, chosen.hold), limit=limit)
        except CancelledOnPurposeError:
            complete = False
        except ENDS:
            complete = False
            self._record.failed(self.address)
        finally:
            self.busy = False
        if chosen.drop:
            gc.collect()
        self._failed = not complete
        self._record.completed += complete

    async def _do(self, name: str, operation: Coroutine[Any, Any, Any], **options: Any) -> Any:
        return await self._guarded.run(name, self.address, operation, **options)

    # A connection that is kept

    async def _keep(self, kept: Any, lost: asyncio.Event, hold: float) -> bool:
        """Keep the device connected for a while; return whether it was there at the end."""
        client: BleakClient | None = None
        async with kept:
            await kept.start_notify(STREAM, self._kept_alive)
            try:
                async with asyncio.timeout(hold):
                    while not self._stopping.is_set():
                        client = await kept.connected(hold)
                        await self._until_lost(lost)
                        client = None
            except TimeoutError:
                return client is not None
        return True

    def _kept_alive(self, sender: Any, data: bytearray) -> None:
        self._streamed(sender, data)
        self._record.succeeded(self.address)

    async def _until_lost(self, lost: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (lost, self._stopping)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if lost.is_set():
            lost.clear()
            self._record.drops += 1
            self._record.failed(self.address)

    # A session

    async def _session(self, chosen: Plan) -> bool:
        """Hold one session; return whether everything was done. Raises ENDS."""
        drop = Drop()
        client = await self._do(
            "connect",
            self._side.connect(self.address, chosen.deadline, drop),
            limit=chosen.deadline,
            cancel_after=chosen.cancel_connect,
        )
        complete = True
        try:
            for step in chosen.steps:
                complete = await self._step(client, step) and complete
            if chosen.flood:
                await self._do("flood", self._flood(client, chosen))
        except BleakCharacteristicNotFoundError:
            # As its guide says: the table of services that is known is not the right one.
            await self._do("clear cache", client.clear_cache())
            raise
        finally:
            if chosen.drop:
                # Nobody refers to it any more; the next session wants the device all the same.
                del client
            else:
                await self._disconnect(client, chosen, drop)
        return complete

    async def _disconnect(self, client: BleakClient, chosen: Plan, drop: Drop) -> None:
        with contextlib.suppress(CancelledOnPurposeError):
            await self._do("disconnect", client.disconnect(), cancel_after=chosen.cancel_disconnect)
        await asyncio.sleep(CALLBACK_TIME)
        self._record.drops += 1
        if drop.times != 1:
            self._record.violate(
                "one disconnected callback per drop", f"{self.address}: {drop.times}"
            )

    async def _step(self, client: BleakClient, step: Step) -> bool:
        """Do one operation; return whether it was done, and False if it was cancelled."""
        try:
            await self._operation(client, step)
        except CancelledOnPurposeError:
            return False
        if step.name in ANSWERED:
            self._record.succeeded(self.address)
        return True

    async def _operation(self, client: BleakClient, step: Step) -> None:
        early = step.cancel_after
        match step.name:
            case "read":
                value = await self._do("read", client.read_gatt_char(VALUE), cancel_after=early)
                if value != self._said:
                    self._record.violate(
                        "an answer belongs to its question", f"{self.address}: {value.hex()}"
                    )
            case "write":
                write = client.write_gatt_char(ECHO, step.data, response=True)
                await self._do("write", write, cancel_after=early)
            case "command":
                write = client.write_gatt_char(ECHO, step.data, response=False)
                await self._do("command", write)
            case "notify":
                await self._notified(client, step)
            case "wait":
                await asyncio.sleep(step.seconds)

    async def _flood(self, client: BleakClient, chosen: Plan) -> None:
        """Write commands, all at once."""
        writes = [
            asyncio.ensure_future(
                client.write_gatt_char(
                    ECHO, flood_command(chosen.flood_name, number), response=False
                )
            )
            for number in range(chosen.flood)
        ]
        try:
            await asyncio.gather(*writes)
        finally:
            for write in writes:
                write.cancel()
            await asyncio.gather(*writes, return_exceptions=True)

    async def _notified(self, client: BleakClient, step: Step) -> None:
        await self._do(
            "notify", client.start_notify(STREAM, self._streamed), cancel_after=step.cancel_after
        )
        await asyncio.sleep(step.seconds)
        await self._do("stop", client.stop_notify(STREAM))

    def _streamed(self, sender: Any, data: bytearray) -> None:
        if not data.startswith(self._said):
            self._record.violate(
                "a notification belongs to its device", f"{self.address}: {data.hex()}"
            )
