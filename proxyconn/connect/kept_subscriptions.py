"""The notifications that are wanted of one device, whatever link it has."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.exc import BleakCharacteristicNotFoundError
from bleak.uuids import normalize_uuid_str

CharacteristicSpecifier = BleakGATTCharacteristic | int | str | UUID
Notified = Callable[[BleakGATTCharacteristic, bytearray], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class CharacteristicId:
    """A characteristic by its UUID as bleak spells it, by its handle, or by both."""

    uuid: str | None = None
    handle: int | None = None

    @classmethod
    def of(cls, specifier: CharacteristicSpecifier) -> CharacteristicId:
        """Return the same for every spelling of the same UUID."""
        if isinstance(specifier, BleakGATTCharacteristic):
            return cls(specifier.uuid, specifier.handle)
        if isinstance(specifier, int):
            return cls(handle=specifier)
        try:
            return cls(normalize_uuid_str(str(specifier)))
        except ValueError:
            # The client says what is wrong with it.
            return cls(str(specifier))

    def on(self, client: BleakClient) -> CharacteristicSpecifier:
        """Return what to call it on a link: one that was found on another may have moved.

        Raises:
            BleakCharacteristicNotFoundError: it was found on another link, and is not on this one.
        """
        if self.uuid is None or self.handle is None:
            specifier = self.handle if self.uuid is None else self.uuid
            assert specifier is not None
            return specifier
        found = client.services.get_characteristic(self.handle)
        if found is None or found.uuid != self.uuid:
            found = client.services.get_characteristic(self.uuid)
        if found is None:
            raise BleakCharacteristicNotFoundError(self.uuid)
        return found

    def is_same(self, other: CharacteristicId, client: BleakClient | None) -> bool:
        """Whether both are one characteristic; a handle and a UUID can be compared on a link."""
        uuids, handles = {self.uuid, other.uuid}, {self.handle, other.handle}
        if None not in uuids:
            return len(uuids) == 1 and (None in handles or len(handles) == 1)
        if None not in handles:
            return len(handles) == 1
        if client is None:
            return False
        handle = self.handle if other.handle is None else other.handle
        assert handle is not None
        found = client.services.get_characteristic(handle)
        return found is not None and found.uuid in uuids


@dataclass(frozen=True, eq=False, slots=True)
class Subscription:
    """Whom to tell of which characteristic; `kwargs` are passed to the client."""

    characteristic: CharacteristicId
    callback: Notified
    kwargs: dict[str, Any]


class Subscriptions:
    """What is subscribed to, in the order it was asked for; one subscription a characteristic.

    Attributes:
        heard_at: loop time at which a notification came last.
    """

    def __init__(self) -> None:
        self.heard_at = 0.0
        self._wanted: list[Subscription] = []

    def add(self, subscription: Subscription, client: BleakClient | None) -> None:
        """Want one more, in place of one to the same characteristic."""
        self.remove(subscription.characteristic, client)
        self._wanted.append(subscription)

    def remove(self, characteristic: CharacteristicId, client: BleakClient | None) -> bool:
        """Want it no more; say whether it was wanted."""
        before = len(self._wanted)
        self._wanted = [
            one for one in self._wanted if not one.characteristic.is_same(characteristic, client)
        ]
        return len(self._wanted) != before

    async def begin(self, client: BleakClient, subscription: Subscription) -> None:
        """Subscribe on a link."""
        loop = asyncio.get_running_loop()

        def heard(sender: BleakGATTCharacteristic, data: bytearray) -> Awaitable[None] | None:
            self.heard_at = loop.time()
            return subscription.callback(sender, data)

        async def heard_async(sender: BleakGATTCharacteristic, data: bytearray) -> None:
            if waiting := heard(sender, data):
                await waiting

        # bleak looks at the function itself to know whether it must be awaited.
        wrapper = heard_async if inspect.iscoroutinefunction(subscription.callback) else heard
        characteristic = subscription.characteristic.on(client)
        await client.start_notify(characteristic, wrapper, **subscription.kwargs)

    async def restore(self, client: BleakClient) -> None:
        """Subscribe on a new link to all that is wanted when this returns."""
        restored: list[Subscription] = []
        # Some may be added, or taken back, while the others are restored.
        while True:
            self._drop_doubles(client)
            ended = [one for one in restored if one not in self._wanted]
            missing = [one for one in self._wanted if one not in restored]
            if ended:
                await client.stop_notify(ended[0].characteristic.on(client))
                restored.remove(ended[0])
            elif missing:
                await self.begin(client, missing[0])
                restored.append(missing[0])
            else:
                return

    def _drop_doubles(self, client: BleakClient) -> None:
        """Drop what only this link shows to be one characteristic, asked for by handle and UUID."""
        for subscription in tuple(self._wanted):
            self.add(subscription, client)
