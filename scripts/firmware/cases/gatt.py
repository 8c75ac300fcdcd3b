"""GATT requests, services and connection parameters."""

from __future__ import annotations

from asyncio import sleep
from typing import Final

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from scripts.firmware.case import CACHED, DISCONNECT, UNCACHED, A, B, C, Stage
from scripts.firmware.world import large


async def plain_nocache(s: Stage) -> None:
    """A connection without cache, and each kind of GATT request."""
    await s.device(A)
    await s.ask(A, UNCACHED, 0.4)
    await s.services(A)
    await s.read(A, 3, 0.1)
    for response in (True, False):
        write = pb.BluetoothGATTWriteRequest(address=A, handle=6, response=response, data=b"abc")
        await s.send(write, 0.1)
    await s.send(pb.BluetoothGATTReadDescriptorRequest(address=A, handle=4), 0.1)
    await s.register(A, 3)
    await s.send(pb.BluetoothGATTWriteDescriptorRequest(address=A, handle=4, data=b"\1\0"), 0.1)
    await s.world.notify(A, 3, b"\1\2")
    await sleep(0.1)
    await s.send(pb.BluetoothGATTNotifyRequest(address=A, handle=3, enable=False), 0.1)
    await s.services(A, 0.3)
    await s.ask(A, UNCACHED, 0.1)
    await s.ask(A, DISCONNECT, 0.3)
    await s.ask(A, DISCONNECT, 0.2)


async def large_table(s: Stage) -> None:
    """Services that take several messages."""
    await s.device(A, large())
    await s.ask(A, UNCACHED, 0.4)
    await s.services(A, 1)


async def walk_error(s: Stage) -> None:
    """The walk over the services fails."""
    await s.device(A, large(), walk_error=7)
    await s.ask(A, UNCACHED, 0.4)
    await s.services(A, 1)


async def twice_services(s: Stage) -> None:
    """With cache, services are asked for twice; and a handle that is not there is read."""
    await s.device(A)
    await s.ask(A, CACHED, 0.3)
    for _ in range(2):
        await s.services(A)
    await s.read(A, 99)


async def old_client(s: Stage) -> None:
    """A client that does not know short UUIDs takes over."""
    old = await s.client("old", minor=10)
    await s.device(A)
    old.ask(A, UNCACHED)
    await sleep(0.4)
    old.send(pb.BluetoothGATTGetServicesRequest(address=A))
    await sleep(0.3)
    for said in old.seen:
        if isinstance(said.message, pb.BluetoothGATTGetServicesResponse):
            s.note("uuid", list(said.message.services[0].uuid))


async def gatt_errors(s: Stage) -> None:
    """Requests without a link, refused ones, an empty write, and too many registrations."""
    await s.device(A, read__3=5, write__6=3)
    await s.read(A, 3, 0)
    await s.services(A, 0)
    await s.register(A, 3, 0.2)
    await s.ask(A, CACHED, 0.3)
    await s.read(A, 3, 0)
    write = pb.BluetoothGATTWriteRequest(address=A, handle=6, response=True, data=b"x")
    await s.send(write, 0.2)
    write.data = b""
    await s.send(write, 0.2)
    for handle in range(20, 34):
        await s.register(A, handle, 0)
    await sleep(0.3)


async def params(s: Stage) -> None:
    """Connection parameters without a link, good ones and bad ones."""
    await s.device(A)
    good = pb.BluetoothSetConnectionParamsRequest(
        address=A, min_interval=6, max_interval=6, latency=0, timeout=100
    )
    await s.send(good, 0.1)
    await s.ask(A, CACHED, 0.3)
    await s.send(good, 0.1)
    bad = pb.BluetoothSetConnectionParamsRequest()
    bad.CopyFrom(good)
    bad.min_interval, bad.max_interval = 1, 70000
    await s.send(bad, 0.1)


async def burst(s: Stage) -> None:
    """More radio events at once than the stack's queue holds."""
    await s.device(A)
    await s.device(B)
    await s.ask(A, CACHED, 0.3)
    await s.register(A, 3, 0.2)
    for count in (20, 80, 86, 87, 200):
        s.wire.mark()
        await s.world.burst(B, count, A, 3)
        await sleep(0.4)
        arrived = [said.number for said in s.wire.seen].count(79)
        s.note(f"notifications behind {count} advertisements", arrived)
    s.wire.mark()


async def socket_full(s: Stage) -> None:
    """What is owed after the socket was full, and in which order."""
    slow = await s.client("slow", receive_buffer=4096)
    for address in (A, B, C):
        await s.device(address)
    for address in (A, B):
        slow.ask(address, CACHED)
        await sleep(0.3)
    slow.send(pb.BluetoothGATTNotifyRequest(address=A, handle=3, enable=True))
    await sleep(0.2)
    slow.hold()
    for _ in range(60):
        await s.world.notify(A, 3, bytes(490), times=200)
        await sleep(0.01)
    slow.send(pb.BluetoothGATTReadRequest(address=A, handle=3))
    slow.send(pb.BluetoothGATTWriteRequest(address=A, handle=6, response=True, data=b"q"))
    slow.send(pb.BluetoothGATTReadRequest(address=B, handle=3))
    await sleep(0.3)
    slow.ask(A, 2)
    slow.ask(A, 6)
    await sleep(0.3)
    await s.drop(B)
    await sleep(0.5)
    slow.ask(C, CACHED)
    await sleep(1)
    slow.mark()
    slow.release()
    await sleep(4)
    slow.seen[:] = [said for said in slow.seen if said.number != 79]
    s.keep(slow, times=False)


async def owed_order(s: Stage) -> None:
    """What is owed of one link waits until it was told that the link is up."""
    slow = await s.client("slow", receive_buffer=4096)
    for address in (A, B):
        await s.device(address)
    slow.ask(A, CACHED)
    await sleep(0.3)
    slow.send(pb.BluetoothGATTNotifyRequest(address=A, handle=3, enable=True))
    await sleep(0.2)
    slow.hold()
    for _ in range(60):
        await s.world.notify(A, 3, bytes(490), times=200)
        await sleep(0.01)
    slow.ask(B, UNCACHED)
    await sleep(0.5)
    slow.send(pb.BluetoothGATTGetServicesRequest(address=B))
    slow.send(pb.BluetoothGATTWriteRequest(address=B, handle=6, response=True, data=b"q"))
    await sleep(0.5)
    slow.mark()
    slow.release()
    await sleep(3)
    slow.seen[:] = [said for said in slow.seen if said.number != 79]
    s.keep(slow, times=False)


STEPS: Final = (
    plain_nocache,
    large_table,
    walk_error,
    twice_services,
    old_client,
    gatt_errors,
    params,
    burst,
    socket_full,
    owed_order,
)
