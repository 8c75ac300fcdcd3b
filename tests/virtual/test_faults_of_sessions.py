"""What the wire shows of each fault of GATT, of the session and of the network."""

from __future__ import annotations

import asyncio

import pytest
from aioesphomeapi.core import (
    APIConnectionError,
    EncryptionHelloAPIError,
    EncryptionPlaintextAPIError,
    InvalidEncryptionKeyAPIError,
)

from proxyconn_virtual.fault_catalogue import CATALOGUE
from proxyconn_virtual.fault_catalogue import FaultName as Name
from tests.virtual.conftest import (
    DISCONNECT,
    FIRST,
    OPEN,
    OPEN_CCCD,
    WITH_CACHE,
    Bench,
    Peer,
    api,
    read,
)
from tests.virtual.fault_scene import NOTIFIED, WROTE, Check, Scene, cases, scene
from tests.virtual.test_faults_of_connecting import CHECKS as CONNECTING

pytestmark = pytest.mark.looptime

Adverts = api.BluetoothLERawAdvertisementsResponse
Services = api.BluetoothGATTGetServicesResponse
Done = api.BluetoothGATTGetServicesDoneResponse


def write(*, response: bool = True) -> object:
    """Return a write request; the device notifies what is written."""
    return api.BluetoothGATTWriteRequest(address=FIRST, handle=OPEN, data=b"\7", response=response)


def names(messages: list[object]) -> list[str]:
    """Return the names of messages."""
    return [type(message).__name__ for message in messages]


async def adverts_in(s: Scene, seconds: float) -> int:
    """Return how many batches of advertisements come in some seconds."""
    while not s.peer.inbox.empty():
        s.peer.inbox.get_nowait()
    await asyncio.sleep(seconds)
    got = [s.peer.inbox.get_nowait() for _ in range(s.peer.inbox.qsize())]
    return sum(isinstance(message, Adverts) for message in got)


async def frame_loss(s: Scene) -> None:
    """What the firmware does not send again is lost."""
    await s.link()
    undo = s.proxy.inject(Name.FRAME_LOSS, 1.0)
    s.peer.send(read(OPEN))
    s.peer.send(write())
    again = [WROTE] if s.proxy.profile.backend else []
    assert names(await s.within(1)) == again
    assert await adverts_in(s, 1) == 0
    undo()
    s.peer.send(read(OPEN))
    await s.sees(("BluetoothGATTReadResponse", OPEN, b"\7"))


async def services_short(s: Scene) -> None:
    """One service is missing in a list that looks complete."""
    await s.link()
    s.proxy.inject(Name.SERVICES_SHORT)
    got = await s.services()
    assert [len(message.services) for message in got if isinstance(message, Services)] == [2]
    assert isinstance(got[-1], Done)


async def no_done(s: Scene) -> None:
    """The list has no end."""
    await s.link()
    s.proxy.inject(Name.NO_DONE)
    assert names(await s.services()) == [Services.__name__]


async def services_empty(s: Scene) -> None:
    """The list is nothing but its end."""
    await s.link()
    s.proxy.inject(Name.SERVICES_EMPTY)
    assert names(await s.services()) == [Done.__name__]


async def second_get_services(s: Scene) -> None:
    """The request is met with silence; the link is as good as before."""
    await s.link()
    s.proxy.inject(Name.SECOND_GET_SERVICES)
    assert await s.services() == []
    s.peer.send(read(OPEN))
    await s.sees(("BluetoothGATTReadResponse", OPEN, b"\x58"))


async def reply_reorder(s: Scene) -> None:
    """A notification overtakes the acknowledgement; a write that wants none has one."""
    await s.link()
    s.peer.send(api.BluetoothGATTNotifyRequest(address=FIRST, handle=OPEN, enable=True))
    s.peer.send(
        api.BluetoothGATTWriteDescriptorRequest(address=FIRST, handle=OPEN_CCCD, data=b"\1\0")
    )
    await s.peer.steps(2)
    s.proxy.inject(Name.REPLY_REORDER)
    s.peer.send(write())
    await s.sees((NOTIFIED, OPEN, b"\7"), (WROTE, OPEN))
    s.peer.send(write(response=False))
    stray = 2 if s.proxy.profile.write_event_without_response else 1
    assert names(await s.within(1)) == [NOTIFIED] + [WROTE] * stray


async def error_minus_1_on_live_link(s: Scene) -> None:
    """Requests fail, and the link is up all the same."""
    await s.link()
    s.proxy.inject(Name.ERROR_MINUS_1_ON_LIVE_LINK, 2)
    for _ in range(2):
        s.peer.send(read(OPEN))
        await s.sees(("BluetoothGATTErrorResponse", OPEN, -1))
    s.peer.send(read(OPEN))
    await s.sees(("BluetoothGATTReadResponse", OPEN, b"\x58"))


async def stale_gatt_cache(s: Scene) -> None:
    """Only a cleared cache and a fresh connection help, both."""
    await s.link()
    s.proxy.inject(Name.STALE_GATT_CACHE, 10)
    clear = api.BLUETOOTH_DEVICE_REQUEST_TYPE_CLEAR_CACHE
    for kinds in ((), (DISCONNECT, WITH_CACHE), (clear,), (DISCONNECT, WITH_CACHE)):
        for kind in kinds:
            s.peer.ask(kind)
            await s.within(1)
        s.peer.send(read(OPEN))
        await s.sees(("BluetoothGATTErrorResponse", OPEN, 10))
    await s.peer.reconnect()
    s.peer.send(read(OPEN))
    await s.sees(("BluetoothGATTReadResponse", OPEN, b"\x58"))


async def unpair_85(s: Scene) -> None:
    """The answer is of another kind than the request."""
    s.proxy.inject(Name.UNPAIR_85)
    s.peer.ask(api.BLUETOOTH_DEVICE_REQUEST_TYPE_UNPAIR)
    await s.sees(("BluetoothDevicePairingResponse", -1))


async def stale_subscriber(s: Scene) -> None:
    """A subscriber that is gone holds the subscription and its links, for a time."""
    await s.link()
    s.proxy.inject(Name.STALE_SUBSCRIBER, 30)
    await asyncio.wait_for(s.peer.stopped.wait(), 1)
    s.peer = await s.bench.peer(s.proxy)
    s.peer.subscribe()
    await asyncio.sleep(29)
    assert s.peer.inbox.empty()
    assert s.proxy.snapshot().free == 2
    await asyncio.sleep(2)
    assert s.proxy.snapshot().free == 3
    s.peer.subscribe()
    assert await adverts_in(s, 2) > 0


async def subscriber_stolen(s: Scene) -> None:
    """Everything stops, but for links and session; who asks gets it back, once too often."""
    await s.link()
    s.proxy.inject(Name.SUBSCRIBER_STOLEN, 2)
    assert await adverts_in(s, 10) == 0
    s.peer.send(read(OPEN))
    assert await s.within(1) == []
    for again in (False, True):
        s.peer.subscribe()
        assert await adverts_in(s, 4) > 0
        await asyncio.sleep(2)
        assert bool(await adverts_in(s, 10)) is again
    assert s.proxy.snapshot().free == 2


async def unsubscribe_kills_links(s: Scene) -> None:
    """The link ends and nobody is told."""
    await s.link()
    s.proxy.inject(Name.UNSUBSCRIBE_KILLS_LINKS)
    assert await adverts_in(s, 10) == 0
    assert s.proxy.snapshot().free == 3


async def silent_scanner(s: Scene) -> None:
    """The scanner runs, and nothing comes of it."""
    undo = s.proxy.inject(Name.SILENT_SCANNER)
    assert await adverts_in(s, 10) == 0
    assert s.proxy.snapshot().scanning
    undo()
    assert await adverts_in(s, 2) > 0


async def reboot_mid_op(s: Scene) -> None:
    """A request is answered by the end of the session; the proxy comes back with free slots."""
    await s.link()
    s.proxy.inject(Name.REBOOT_MID_OP, 20)
    s.peer.send(read(OPEN))
    await asyncio.wait_for(s.peer.stopped.wait(), 1)
    await asyncio.sleep(18)
    with pytest.raises(APIConnectionError):
        await Peer(s.proxy).connect()
    await asyncio.sleep(3)
    s.peer = await s.bench.peer(s.proxy, subscribe=True)
    await s.link()
    s.peer.send(read(OPEN))
    await s.sees(("BluetoothGATTReadResponse", OPEN, b"\x58"))


async def half_open_tcp(s: Scene) -> None:
    """Nothing comes, nothing arrives; the proxy keeps the subscriber until its own limit."""
    s.proxy.inject(Name.HALF_OPEN_TCP)
    s.peer.connection.force_disconnect()
    await asyncio.sleep(140)
    assert s.proxy.snapshot().subscriber == "peer"
    await asyncio.sleep(20)
    assert s.proxy.snapshot().subscriber is None
    s.peer = await s.bench.peer(s.proxy, subscribe=True)


async def flapping(s: Scene) -> None:
    """Sessions come up and break, again and again."""
    undo = s.proxy.inject(Name.FLAPPING, 2)
    for _ in range(3):
        await asyncio.wait_for(s.peer.stopped.wait(), 2.5)
        s.peer = Peer(s.proxy)
        await s.peer.connect()
    undo()
    await asyncio.sleep(10)
    assert not s.peer.stopped.is_set()
    await s.peer.close()


async def slot_limit_tcp(s: Scene) -> None:
    """A new connection is closed without a byte; the old one stays."""
    undo = s.proxy.inject(Name.SLOT_LIMIT_TCP)
    reader, writer = await asyncio.open_connection(s.proxy.host, s.proxy.port)
    assert await asyncio.wait_for(reader.read(), 1) == b""
    writer.close()
    await s.link()
    undo()
    await s.bench.peer(s.proxy)


async def refused(s: Scene, name: Name, *errors: type[Exception]) -> None:
    """Clients are sent away, cannot come back, and can when the fault is over."""
    undo = s.proxy.inject(name)
    await asyncio.wait_for(s.peer.stopped.wait(), 1)
    with pytest.raises(errors):
        await Peer(s.proxy).connect()
    undo()
    s.peer = await s.bench.peer(s.proxy, subscribe=True)


async def wrong_key(s: Scene) -> None:
    """The proxy's key is not the one that clients have."""
    await refused(s, Name.WRONG_KEY, InvalidEncryptionKeyAPIError)


async def wrong_mode(s: Scene) -> None:
    """The proxy speaks in the clear."""
    await refused(s, Name.WRONG_MODE, EncryptionPlaintextAPIError, EncryptionHelloAPIError)


CHECKS: dict[Name, Check] = {
    Name.FRAME_LOSS: frame_loss,
    Name.SERVICES_SHORT: services_short,
    Name.NO_DONE: no_done,
    Name.SERVICES_EMPTY: services_empty,
    Name.SECOND_GET_SERVICES: second_get_services,
    Name.REPLY_REORDER: reply_reorder,
    Name.ERROR_MINUS_1_ON_LIVE_LINK: error_minus_1_on_live_link,
    Name.STALE_GATT_CACHE: stale_gatt_cache,
    Name.UNPAIR_85: unpair_85,
    Name.STALE_SUBSCRIBER: stale_subscriber,
    Name.SUBSCRIBER_STOLEN: subscriber_stolen,
    Name.UNSUBSCRIBE_KILLS_LINKS: unsubscribe_kills_links,
    Name.SILENT_SCANNER: silent_scanner,
    Name.REBOOT_MID_OP: reboot_mid_op,
    Name.HALF_OPEN_TCP: half_open_tcp,
    Name.FLAPPING: flapping,
    Name.SLOT_LIMIT_TCP: slot_limit_tcp,
    Name.WRONG_KEY: wrong_key,
    Name.WRONG_MODE: wrong_mode,
}


@cases(CHECKS)
async def test_fault_of_sessions(bench: Bench, name: Name, profile: str) -> None:
    """The fault is on the wire as its name says."""
    await CHECKS[name](await scene(bench, profile))


def test_every_fault_is_checked() -> None:
    """No fault of the catalogue is left out."""
    assert CHECKS.keys() | CONNECTING.keys() == CATALOGUE.keys()
