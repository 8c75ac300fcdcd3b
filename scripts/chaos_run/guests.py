"""Clients of an owner that behave badly: killed, half open, deaf, flooding, and of two minds."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb

from .noise_client import NoiseClient
from .record import Record
from .sides import ADDRESS_TYPE
from .wire import LOOPBACK, SMALL

NAME: Final = "guest"
"""What each calls itself, with the address of its device behind it."""

OFTEN: Final = 0.5
"""Seconds between two guests of a place, at most."""

HANGS_ON: Final = 155.0
"""Seconds after which an owner has dropped a client that says nothing (it pings after 60 s, and
waits until 150; ESPHome api_connection.cpp)."""

LAST_WORD: Final = 60.0
"""Seconds for an owner to say that a link which was given up is none: as long as a proxy needs."""

LET_GO: Final = 25.0
"""Seconds for the slot of a client that has gone to come free: a proxy does not end an attempt at
once that is given up."""

WEIGHTS: Final = (4, 1, 4, 4, 4)
"""How often each kind comes, of those who have the key."""

STRANGE: Final = (b"", b"\0\0\1", b"\1\0\0\1\0\x31\0" + b"x" * 48)
"""What comes of those who do not: nothing, plaintext, and the handshake of another key."""

MOST_ASKED: Final = 800
"""Requests of a flood."""

HANDLES: Final = range(1, 24)

_TYPES = pb.BluetoothDeviceRequestType
_CONNECT: Final = _TYPES.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE
_DISCONNECT: Final = _TYPES.BLUETOOTH_DEVICE_REQUEST_TYPE_DISCONNECT


class Host(Protocol):
    """The owner, as its guests need it."""

    key: str
    port: int

    def is_served(self, name: str) -> bool:
        """Whether it serves a client that calls itself so."""
        ...

    def is_held(self, address: str) -> bool:
        """Whether it knows of a slot that a device has, which somebody will free."""
        ...


class Guest:
    """A place for one bad client after the other, which want a device that nobody else wants.

    Args:
        address: the device's.
        host: whose guests they are.
        seed: of what each does.
        record: told of what an owner must not do.

    Attributes:
        busy: whether a client is there that may hold the device.
        counts: how often each kind was there.
    """

    def __init__(
        self,
        address: str,
        host: Host,
        seed: int,
        record: Record,
    ) -> None:
        self.address = address
        self._name = f"{NAME} {address}"
        self._host = host
        self._stopping = False
        self.busy = False
        self.counts: Counter[str] = Counter()
        self._number = int(address.replace(":", ""), 16)
        self._draw = random.Random(f"guest {seed} {address}")
        self._record = record
        self._told: list[Message] = []
        self._kinds: Mapping[str, Callable[[NoiseClient], Awaitable[None]]] = {
            "killed": self._killed,
            "guest half open": self._half_open,
            "deaf": self._deaf,
            "flood": self._flood,
            "two minds": self._two_minds,
        }

    def stop(self) -> None:
        """Let no other one come."""
        self._stopping = True

    async def run(self) -> None:
        """Let them come and go."""
        while not self._stopping:
            await asyncio.sleep(self._draw.uniform(0.0, OFTEN))
            if self._draw.random() < 0.15:
                await self._stranger()
            else:
                await self._one(*self._draw.choices(list(self._kinds), WEIGHTS))

    async def _one(self, kind: str) -> None:
        client = NoiseClient(self._host.key, self._hear)
        self._told.clear()
        self.busy = True
        try:
            await client.open(LOOPBACK, self._host.port, self._name, buffer=SMALL)
            self.counts[kind] += 1
            client.send(pb.SubscribeBluetoothLEAdvertisementsRequest(flags=1))
            await self._kinds[kind](client)
        except (OSError, EOFError) as exc:
            self._record.violate("an owner welcomes who has the key", repr(exc))
        finally:
            await client.aclose()
            self.busy = False
        await self._let_go()

    async def _let_go(self) -> None:
        """See that its slot comes free."""
        for _ in range(int(LET_GO)):
            if not self._host.is_held(self.address):
                return
            await asyncio.sleep(1.0)
        self._record.violate("no slot is held for a client that has gone", self._name)

    def _hear(self, message: Message) -> None:
        if isinstance(message, pb.BluetoothDeviceConnectionResponse):
            self._told.append(message)
            self.counts["guest linked"] += message.connected

    def _ask(self, client: NoiseClient, request: pb.BluetoothDeviceRequestType.ValueType) -> None:
        client.send(
            pb.BluetoothDeviceRequest(
                address=self._number,
                request_type=request,
                has_address_type=True,
                address_type=ADDRESS_TYPE,
            )
        )

    # Kinds

    async def _killed(self, client: NoiseClient) -> None:
        """Is gone at once, whatever it has begun."""
        self._ask(client, _CONNECT)
        await asyncio.sleep(self._draw.choice((0.0, 0.1, 1.0, 5.0)))
        self._requests(client, self._draw.randrange(10))

    async def _half_open(self, client: NoiseClient) -> None:
        """Is gone, and nobody is told."""
        self._ask(client, _CONNECT)
        await asyncio.sleep(self._draw.uniform(0.0, 3.0))
        await client.deafen()
        await asyncio.sleep(HANGS_ON)
        if self._host.is_served(self._name):
            self._record.violate("an owner drops a client that says nothing", self._name)

    async def _deaf(self, client: NoiseClient) -> None:
        """Asks, and reads nothing."""
        self._ask(client, _CONNECT)
        await asyncio.sleep(self._draw.uniform(0.0, 3.0))
        await client.deafen()
        for _ in range(self._draw.randrange(20)):
            self._requests(client, 20)
            client.send(pb.PingRequest())
            await asyncio.sleep(1.0)

    async def _flood(self, client: NoiseClient) -> None:
        """Asks for everything at once."""
        self._ask(client, _CONNECT)
        await asyncio.sleep(self._draw.uniform(0.0, 2.0))
        self._requests(client, self._draw.randrange(MOST_ASKED))
        for other in range(self._draw.randrange(50)):
            client.send(
                pb.BluetoothDeviceRequest(
                    address=other, request_type=_CONNECT, has_address_type=True
                )
            )
        await asyncio.sleep(self._draw.uniform(0.0, 10.0))

    async def _two_minds(self, client: NoiseClient) -> None:
        """Connects and gives up, again and again; the last word is that there is no link."""
        for _ in range(self._draw.randrange(1, 20)):
            self._ask(client, _CONNECT)
            await asyncio.sleep(self._draw.choice((0.0, 0.0, 0.05, 0.5, 1.0)))
            self._ask(client, _DISCONNECT)
        self._told.clear()
        self._ask(client, _DISCONNECT)
        for _ in range(int(LAST_WORD)):
            await asyncio.sleep(1.0)
            if self._told or not client.is_open:
                break
        await asyncio.sleep(1.0)
        if client.is_open and (not self._told or self._told[-1].connected):  # type: ignore[attr-defined]
            self._record.violate(
                "who gives up is told that there is no link", f"{self.address}: {self._told}"
            )

    def _requests(self, client: NoiseClient, count: int) -> None:
        address = self._number
        for _ in range(count):
            handle = self._draw.choice(HANDLES)
            client.send(
                self._draw.choice(
                    (
                        pb.BluetoothGATTReadRequest(address=address, handle=handle),
                        pb.BluetoothGATTWriteRequest(
                            address=address, handle=handle, response=True, data=b"guest"
                        ),
                        pb.BluetoothGATTWriteRequest(address=address, handle=handle, data=b"it"),
                        pb.BluetoothGATTNotifyRequest(address=address, handle=handle, enable=True),
                        pb.BluetoothGATTGetServicesRequest(address=address),
                        pb.SubscribeBluetoothConnectionsFreeRequest(),
                    )
                )
            )

    async def _stranger(self) -> None:
        """Has no key, or another one."""
        self.counts["stranger"] += 1
        _, writer = await asyncio.open_connection(LOOPBACK, self._host.port)
        try:
            writer.write(self._draw.choice(STRANGE))
            await asyncio.sleep(self._draw.uniform(0.0, 2.0))
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
