"""Injectors: what they do to messages, alone and one after another."""

from __future__ import annotations

import pytest

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import (
    Delay,
    Delayed,
    Drop,
    Duplicate,
    Injector,
    Lose,
    RadioEvent,
    Replace,
    pass_on,
)
from tests.virtual.conftest import DISCONNECT, FIRST, WITHOUT_CACHE, Bench, peripheral

NOTICE = pb.BluetoothDeviceConnectionResponse(address=1, connected=True)
REPORT = pb.BluetoothConnectionsFreeResponse(free=3, limit=3)


@pytest.mark.parametrize(
    ("injectors", "expected"),
    [
        ([], [NOTICE]),
        ([Injector()], [NOTICE]),
        ([Drop(pb.BluetoothConnectionsFreeResponse)], [NOTICE]),
        ([Drop(pb.BluetoothDeviceConnectionResponse)], []),
        ([Duplicate(pb.BluetoothDeviceConnectionResponse)], [NOTICE, NOTICE]),
        ([Delay(pb.BluetoothDeviceConnectionResponse, seconds=2)], [Delayed(NOTICE, 2)]),
        (
            [
                Delay(pb.BluetoothDeviceConnectionResponse, seconds=2),
                Delay(pb.BluetoothDeviceConnectionResponse, seconds=1),
            ],
            [Delayed(NOTICE, 3)],
        ),
        (
            [
                Duplicate(pb.BluetoothDeviceConnectionResponse),
                Drop(pb.BluetoothDeviceConnectionResponse, count=1),
            ],
            [NOTICE],
        ),
        ([Replace(pb.BluetoothDeviceConnectionResponse, by=lambda m: (REPORT,))], [REPORT]),
        (
            [Drop(pb.BluetoothDeviceConnectionResponse, where=lambda m: m != NOTICE)],
            [NOTICE],
        ),
    ],
)
def test_pass_on(injectors: list[Injector], expected: list[object]) -> None:
    """Each injector sees what those before it let through."""
    assert pass_on(injectors, NOTICE, outgoing=True) == expected


def test_drop_counts_down() -> None:
    """A count limits how many messages are lost."""
    drop = Drop(pb.BluetoothDeviceConnectionResponse, count=2)
    passed = [len(pass_on([drop], NOTICE, outgoing=True)) for _ in range(4)]
    assert passed == [0, 0, 1, 1]
    assert drop.count == 0


def test_lose_counts_down_by_address() -> None:
    """A radio event is lost for the device that was named, as often as was said."""
    lose = Lose(RadioEvent.CLOSE, address=1)
    assert lose.keeps(RadioEvent.OPEN, 1)
    assert lose.keeps(RadioEvent.CLOSE, 2)
    assert not lose.keeps(RadioEvent.CLOSE, 1)
    assert lose.keeps(RadioEvent.CLOSE, 1)


async def test_outgoing_and_incoming_over_tcp(bench: Bench) -> None:
    """Messages are lost, doubled, delayed and replaced on the wire, in both directions."""
    proxy, peer = await bench.pair(peripheral())
    proxy.injectors.append(Drop(pb.BluetoothDeviceRequest, count=1))
    peer.ask(WITHOUT_CACHE)
    assert await peer.quiet() == []
    proxy.injectors[:] = [Duplicate(pb.BluetoothConnectionsFreeResponse, count=1)]
    peer.ask(WITHOUT_CACHE)
    held = ("slots", 2, 1)
    assert await peer.steps(4) == [held, held, ("conn", True, 247, 0), held]
    proxy.injectors[:] = [
        Delay(pb.BluetoothDeviceConnectionResponse, seconds=0.05),
        Replace(
            pb.BluetoothConnectionsFreeResponse,
            by=lambda m: (pb.BluetoothConnectionsFreeResponse(free=9, limit=9),),
        ),
    ]
    peer.ask(DISCONNECT)
    assert await peer.steps(2) == [("slots", 9), ("conn", False, 0, 0)]


async def test_delayed_incoming(bench: Bench) -> None:
    """A request that is held back is handled later."""
    proxy, peer = await bench.pair(peripheral())
    proxy.injectors.append(Delay(pb.BluetoothDeviceRequest, seconds=0.05))
    peer.ask(DISCONNECT, FIRST)
    assert await peer.quiet() == []
    assert await peer.steps(2) == [("conn", False, 0, 0), ("slots", 3)]


async def test_delayed_message_of_a_gone_client(bench: Bench) -> None:
    """A message that waits when its client goes is forgotten."""
    proxy, peer = await bench.pair(peripheral())
    proxy.injectors.append(Delay(pb.BluetoothConnectionsFreeResponse, seconds=60))
    peer.ask(DISCONNECT, FIRST)
    assert await peer.steps(1) == [("conn", False, 0, 0)]
    await peer.close()
