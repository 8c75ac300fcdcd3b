"""Several clients: who is subscribed, and what becomes of the links."""

from __future__ import annotations

from asyncio import sleep
from typing import Final

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from scripts.firmware.case import CACHED, CLEAR_CACHE, DISCONNECT, PAIR, UNPAIR, A, Stage
from scripts.firmware.wire import ADVERTISEMENTS, SCANNER_STATE, Wire


def _heard(wire: Wire, number: int) -> int:
    return [said.number for said in wire.seen].count(number)


async def stolen(s: Stage) -> None:
    """A second client takes the subscription, and the link with it."""
    await s.device(A, advert_ms=100)
    await s.ask(A, CACHED, 0.3)
    thief = await s.client("thief")
    s.wire.seen[:] = [said for said in s.wire.seen if said.number != ADVERTISEMENTS]
    await sleep(0.5)
    await s.read(A, 3)
    await s.ask(A, DISCONNECT, 0.6)
    s.note("adverts go to the thief", _heard(thief, ADVERTISEMENTS) > 0)
    s.note("adverts go to the first", _heard(s.wire, ADVERTISEMENTS) > 0)


async def resubscribe(s: Stage) -> None:
    """A repeated subscription is answered, also to one who takes it back."""
    other = await s.client("other")
    for wire in (other, s.wire, s.wire):
        wire.mark()
        wire.subscribe()
        await sleep(0.2)
        s.note(f"{wire.label} told of the scanner", _heard(wire, SCANNER_STATE))


async def unsubscribe(s: Stage) -> None:
    """The subscriber leaves, and its link with it."""
    await s.device(A)
    await s.ask(A, CACHED, 0.3)
    s.wire.unsubscribe()
    await sleep(0.4)
    await s.note_links()
    await s.ask(A, CLEAR_CACHE, 0.2)
    await s.send(pb.SubscribeBluetoothConnectionsFreeRequest(), 0.2)


async def foreign_87(s: Stage) -> None:
    """One who is not subscribed ends no subscription."""
    other = await s.client("other", subscribe=False)
    await s.device(A)
    await s.ask(A, CACHED, 0.3)
    other.unsubscribe()
    await sleep(0.4)
    await s.note_links()
    await s.read(A, 3)


async def swap_then_old_dies(s: Stage) -> None:
    """The link lives on when the one that had opened it is gone, not without a holder."""
    await s.device(A)
    await s.ask(A, CACHED, 0.3)
    new = await s.client("new")
    await s.wire.close()
    await sleep(0.5)
    await s.note_links()
    await new.close()
    await sleep(0.5)
    await s.note_links()


async def nobody(s: Stage) -> None:
    """Requests while nobody is subscribed."""
    s.wire.unsubscribe()
    await sleep(0.2)
    s.wire.mark()
    for kind in (CLEAR_CACHE, UNPAIR, PAIR, DISCONNECT):
        await s.ask(A, kind)
    await sleep(0.3)
    await s.send(pb.PingRequest(), 0.2)


async def quick_resubscribe(s: Stage) -> None:
    """A subscriber comes some time after the last one has gone."""
    await s.device(A)
    await s.ask(A, CACHED, 0.3)
    await s.wire.close()
    second = await s.client("second", subscribe=False)
    second.subscribe()
    second.ask(A, CACHED)
    await sleep(0.6)


async def inherit(s: Stage) -> None:
    """A subscriber comes at the moment the last one goes, and has its link."""
    second = await s.client("second", subscribe=False)
    await s.device(A)
    await s.ask(A, CACHED, 0.4)
    await s.wire.close()
    await sleep(0.01)
    second.subscribe()
    second.ask(A, CACHED)
    await sleep(0.5)
    await s.note_links()


async def owed_to_the_old(s: Stage) -> None:
    """What a full socket owes to one subscriber, the next one is not told."""
    slow = await s.client("slow", receive_buffer=4096)
    await s.device(A)
    slow.ask(A, CACHED)
    await sleep(0.3)
    slow.send(pb.BluetoothGATTNotifyRequest(address=A, handle=3, enable=True))
    await sleep(0.2)
    slow.hold()
    for _ in range(60):
        await s.world.notify(A, 3, bytes(490), times=200)
        await sleep(0.01)
    slow.send(pb.BluetoothGATTWriteRequest(address=A, handle=6, response=True, data=b"q"))
    await sleep(0.2)
    await s.drop(A)
    await sleep(0.3)
    new = await s.client("new")
    new.subscribe()
    await sleep(1)
    slow.release()
    await sleep(2)
    slow.mark()
    s.wire.mark()


async def sixth_client(s: Stage) -> None:
    """More clients than the server takes, and what the others are told first."""
    for index in range(5):
        wire = await s.client(f"client {index + 2}", subscribe=False, fresh=False)
        await sleep(0.05)
        s.note(wire.label, "closed" if wire.closed else "served")


async def keepalive(s: Stage) -> None:
    """A client that says nothing is asked whether it lives, and dropped when it does not answer."""
    silent = await s.client("silent", subscribe=False)
    lively = await s.client("lively", subscribe=False)
    for _ in range(17):
        await sleep(10)
        lively.send(pb.PingRequest())
        s.wire.send(pb.PingRequest())
    s.note("silent", "closed" if silent.closed else "served")


STEPS: Final = (
    stolen,
    resubscribe,
    unsubscribe,
    foreign_87,
    swap_then_old_dies,
    nobody,
    quick_resubscribe,
    inherit,
    owed_to_the_old,
    sixth_client,
)

SLOW_STEPS: Final = (keepalive,)
