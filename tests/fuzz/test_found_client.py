"""What fuzzing the client has found, each as a test of its own."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import ErrorKind, LinkError
from proxyconn.att import MIN_MTU
from proxyconn_esphome.link.services.gatt_cache import MAX_MTU
from proxyconn_esphome.session.proxy_reports import MOST_HOLDERS
from proxyconn_esphome.session.subscription.rivals import version_of
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Replace
from tests.esphome.clocked import NUMBER, a_house, program
from tests.esphome.conftest import READ, until

pytestmark = pytest.mark.looptime


async def test_unknown_scanner_state_is_told_as_a_number() -> None:
    """Diagnostics of a proxy whose scanner is in a state that we do not know raise nothing."""
    async with a_house() as house:
        house.proxy.send_subscriber(
            pb.BluetoothScannerStateResponse(state=99, mode=77)  # type: ignore[arg-type]
        )
        await asyncio.sleep(0.1)
        scanner = house.session.diagnostics()["health"]["scanner"]
        assert (scanner["state"], scanner["mode"]) == ("99", "77")


async def test_slot_report_without_end_is_cut() -> None:
    """Thousands of holders made each look at the ledger a matter of milliseconds."""
    async with a_house() as house:
        house.proxy.send_subscriber(
            pb.BluetoothConnectionsFreeResponse(free=0, limit=3, allocated=range(2, 12000))
        )
        await asyncio.sleep(0.1)
        assert len(house.session.ledger.holders) == MOST_HOLDERS
        assert not house.session.ledger.complete


async def test_services_without_end_are_refused() -> None:
    """A table that never ends costs neither memory nor the whole timeout."""
    part = pb.BluetoothGATTGetServicesResponse(address=NUMBER)
    for handle in range(1, 200):
        part.services.add(handle=handle, short_uuid=0x1800)
    async with a_house() as house:
        endless = Replace(pb.BluetoothGATTGetServicesDoneResponse, by=lambda _: [part] * 50)
        house.proxy.injectors.append(endless)
        started = asyncio.get_running_loop().time()
        with pytest.raises(LinkError, match="has no end") as caught:
            await program(house).connect()
        assert caught.value.kind is ErrorKind.TRANSIENT
        assert asyncio.get_running_loop().time() - started < 5
        house.proxy.injectors.clear()
        await house.all_free()


async def test_services_nobody_asked_for_are_not_kept() -> None:
    """A flood of services on a link that is up leaves nothing behind."""
    async with a_house() as house:
        async with program(house) as client:
            part = pb.BluetoothGATTGetServicesResponse(address=NUMBER)
            part.services.add(handle=1, short_uuid=0x1800)
            for _ in range(1000):
                house.proxy.send_subscriber(part)
            assert await client.read_gatt_char(READ) == b"hello"
            [link] = house.session.dispatcher.links.values()
            assert link._parts == []  # noqa: SLF001 - what must not grow
        await house.all_free()


@pytest.mark.parametrize(("said", "taken"), [(1, MIN_MTU), (2**32 - 1, MAX_MTU), (247, 247)])
async def test_mtu_is_one_that_can_be(said: int, taken: int) -> None:
    """Programs divide by what a write command holds, which an MTU of 1 made negative."""

    def spoil(
        message: pb.BluetoothDeviceConnectionResponse,
    ) -> list[pb.BluetoothDeviceConnectionResponse]:
        message.mtu = said
        return [message]

    async with a_house() as house:
        house.proxy.injectors.append(
            Replace(pb.BluetoothDeviceConnectionResponse, by=spoil)  # type: ignore[arg-type]
        )
        async with program(house) as client:
            assert client.mtu_size == taken
            [first, *_] = client.services.characteristics.values()
            assert first.max_write_without_response_size == taken - 3
        await until(lambda: not house.session.dispatcher.links)


@pytest.mark.parametrize("text", ["", "9" * 5000, f"{'9' * 5000}.1", "2026.", "२०२६.7", "x.y"])
def test_version_that_is_none(text: str) -> None:
    """No text that a proxy calls its version raises."""
    assert version_of(text) == ()


def test_version() -> None:
    """Year and month are read from releases of every sort."""
    assert version_of("2026.7.0-dev20260701") == (2026, 7)
    assert version_of("2025.12.0b1") == (2025, 12)
