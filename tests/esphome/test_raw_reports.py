"""Batches of advertisements are read from bytes as protobuf reads them, or left to protobuf."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from proxyconn import Proxy
from proxyconn.advertised.reports import COMPILED, LAST_ADDRESS, PlainReport, plain_reports
from proxyconn.radio import Report
from proxyconn_esphome import ProxySession
from proxyconn_esphome.session.listener import SessionListener, SessionView
from proxyconn_esphome.wire import native_api, raw_connection
from proxyconn_esphome.wire.raw_reports import BatchReader
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

from .clocked import a_house, mute, received
from .conftest import DEADLINE

Read = list[tuple[int, int, int, bytes]]

REPORTS = st.builds(
    pb.BluetoothLERawAdvertisement,
    address=st.integers(0, LAST_ADDRESS) | st.integers(0, (1 << 64) - 1),
    rssi=st.integers(-128, 127) | st.integers(-(1 << 31), (1 << 31) - 1),
    address_type=st.integers(0, 1) | st.integers(0, (1 << 32) - 1),
    data=st.binary(max_size=200),
)
BATCHES = st.lists(REPORTS, max_size=20).map(
    lambda reports: pb.BluetoothLERawAdvertisementsResponse(
        advertisements=reports
    ).SerializeToString()
)


def values(reports: Sequence[Report[bytes]]) -> Read:
    """Return what devices of 48 bits are said to say."""
    return [
        (report.address, report.rssi, report.address_type, report.data)
        for report in reports
        if report.address <= LAST_ADDRESS
    ]


def read_reports(data: bytes) -> Sequence[Report[bytes]]:
    """Return what a reader makes of its first batch."""
    return BatchReader().read(data)


def by_protobuf(data: bytes) -> Read:
    """Return what protobuf reads. Raises DecodeError."""
    return values(pb.BluetoothLERawAdvertisementsResponse.FromString(data).advertisements)


def test_is_compiled_where_it_must_be() -> None:
    """Tests of a compiled wheel would say nothing if they ran on its sources."""
    if os.environ.get("REQUIRE_CYTHON") == "1":
        assert COMPILED


def test_ordinary_batch() -> None:
    """Numbers of any length, fields that are left out, and a field that is said twice."""
    batch = pb.BluetoothLERawAdvertisementsResponse(
        advertisements=[
            pb.BluetoothLERawAdvertisement(
                address=0xC40000000001, rssi=-95, address_type=1, data=b"\x02\x01\x06"
            ),
            pb.BluetoothLERawAdvertisement(address=5, rssi=127, data=bytes(300)),
        ]
    )
    read = values(read_reports(batch.SerializeToString()))
    assert read == [(0xC40000000001, -95, 1, b"\x02\x01\x06"), (5, 127, 0, bytes(300))]
    assert values(read_reports(b"\x0a\x04\x08\x01\x08\x02")) == [(2, 0, 0, b"")]


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05\x08",
        b"\x0a\x02\x08\x80",
        b"\x12\x00",
        b"\x0a\x02\x28\x01",
        b"\x0a\x01\x22",
        b"\x0a\x82\x80\x80\x80\x80\x00\x08\x01",
    ],
    ids=[
        "no length",
        "cut off",
        "number without end",
        "new field",
        "new in report",
        "no data",
        "long length",
    ],
)
def test_left_to_protobuf(data: bytes) -> None:
    """What is malformed, and what a newer proxy may say."""
    with pytest.raises(ValueError, match=r"."):
        read_reports(data)


@given(BATCHES | st.binary(max_size=60), st.lists(st.tuples(st.integers(0), st.integers(0, 255))))
def test_reads_as_protobuf_does(data: bytes, changes: list[tuple[int, int]]) -> None:
    """Whatever is read is what protobuf reads; whatever protobuf refuses is refused."""
    spoilt = bytearray(data)
    for place, byte in changes if data else ():
        spoilt[place % len(spoilt)] = byte
    try:
        read = values(read_reports(bytes(spoilt)))
    except ValueError:
        return
    assert read == by_protobuf(bytes(spoilt))


@given(BATCHES)
def test_reads_every_batch(data: bytes) -> None:
    """Nothing that a proxy sends is left to protobuf, but numbers of 64 bits."""
    batch = pb.BluetoothLERawAdvertisementsResponse.FromString(data)
    if all(report.address < 1 << 63 for report in batch.advertisements):
        assert values(read_reports(data)) == by_protobuf(data)


DEVICES = st.sampled_from([0, 1, 1 + (1 << 20), 1 + (1 << 30), 2, LAST_ADDRESS])
TALKS = st.lists(
    st.lists(
        st.builds(
            pb.BluetoothLERawAdvertisement,
            address=DEVICES,
            rssi=st.integers(-127, -1),
            data=st.sampled_from([b"", b"\x02\x01\x06", b"\x02\x01\x05", b"\x03\x09ab"]),
        ),
        max_size=6,
    ),
    max_size=6,
)


@given(TALKS)
def test_reads_one_batch_after_the_other(talks: list[list[pb.BluetoothLERawAdvertisement]]) -> None:
    """Whatever the same device, or another one in its place, has said before."""
    reader = BatchReader()
    for said in talks:
        data = pb.BluetoothLERawAdvertisementsResponse(advertisements=said).SerializeToString()
        assert values(reader.read(data)) == by_protobuf(data)


def test_what_is_repeated_is_not_made_again() -> None:
    """A device that says the same has the same object; what was read before stays as it was."""
    one, other = (
        pb.BluetoothLERawAdvertisementsResponse(),
        pb.BluetoothLERawAdvertisementsResponse(),
    )
    one.advertisements.add(address=7, rssi=-60, data=bytes(31))
    other.advertisements.add(address=7, rssi=-50, data=bytes(30))
    reader = BatchReader()
    first, again, changed = (
        reader.read(batch.SerializeToString())[0] for batch in (one, one, other)
    )
    assert again.data is first.data
    assert values([first, again, changed]) == [
        (7, -60, 0, bytes(31)),
        (7, -60, 0, bytes(31)),
        (7, -50, 0, bytes(30)),
    ]


def test_plain_reports() -> None:
    """Reports of other radios are taken as values; what is no device, or no signal, is none."""
    plain = PlainReport(1, 1, -60, b"x")
    others = pb.BluetoothLERawAdvertisementsResponse(
        advertisements=[
            pb.BluetoothLERawAdvertisement(address=2, rssi=127, data=b"y"),
            pb.BluetoothLERawAdvertisement(address=1 << 50),
        ]
    ).advertisements
    assert values(plain_reports((plain, *others))) == [(1, -60, 1, b"x"), (2, -127, 0, b"y")]
    assert plain_reports(ready := [plain]) is ready
    assert values(plain_reports([plain, *others])) == [(1, -60, 1, b"x"), (2, -127, 0, b"y")]
    with pytest.raises(AttributeError):
        plain_reports([plain, None])  # type: ignore[list-item]


class Ear(SessionListener):
    """Notes what it hears, and in which form."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[bool, Read]] = asyncio.Queue()

    def session_heard(self, session: SessionView, reports: Sequence[Report[bytes]]) -> None:
        plain = all(type(report) is PlainReport for report in reports)
        self.heard.put_nowait((plain, values(reports)))


async def hear(
    ear: Ear, proxy: VirtualProxy, message: pb.BluetoothLERawAdvertisementsResponse
) -> tuple[bool, Read]:
    """Let the proxy report, and return what is heard."""
    proxy.send_subscriber(message)
    async with asyncio.timeout(DEADLINE):
        return await ear.heard.get()


@pytest.mark.parametrize("way", ["raw", "messages", "not overridden", "created otherwise"])
async def test_both_ways_of_hearing(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same is heard; where aioesphomeapi does not call what is overridden, or creates its
    connection otherwise, its messages are taken; a batch that is too large comes as a message."""
    monkeypatch.setattr(native_api, "COMPILED", way != "messages")
    if way == "not overridden":
        monkeypatch.delattr(raw_connection.RawConnection, "process_packet")
    if way == "created otherwise":
        monkeypatch.setattr(native_api, "RawConnection", lambda params: None)
    key = new_noise_psk()
    small = pb.BluetoothLERawAdvertisementsResponse()
    small.advertisements.add(address=7, rssi=-60, address_type=1, data=b"\x02\x01\x06")
    large = pb.BluetoothLERawAdvertisementsResponse()
    for _ in range(200):
        large.advertisements.add(address=7, rssi=-60, address_type=1, data=bytes(31))
    async with VirtualFleet(
        [ProxySpec(name="kitchen", noise_psk=key)], [], announce=False
    ) as house:
        proxy, ear = house.proxies["kitchen"], Ear()
        async with ProxySession(Proxy("127.0.0.1", proxy.port, noise_psk=key)) as session:
            await session.ready(DEADLINE)
            session.add_listener(ear)
            raw = way == "raw"
            assert await hear(ear, proxy, small) == (raw, [(7, -60, 1, b"\x02\x01\x06")])
            assert await hear(ear, proxy, large) == (False, [(7, -60, 1, bytes(31))] * 200)
            assert await hear(ear, proxy, small) == (raw, [(7, -60, 1, b"\x02\x01\x06")])


@pytest.mark.looptime
async def test_batches_are_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as advertisements come nobody asks whether the proxy is there; then they do."""
    monkeypatch.setattr(native_api, "COMPILED", True)
    # Newer firmware is asked whose the subscription is before the connection needs a sign of life.
    async with a_house(profile="2026.6.5") as house:
        ear = Ear()
        house.session.add_listener(ear)
        await asyncio.sleep(100)
        assert ear.heard.get_nowait()[0]
        asked = received(house, "PingRequest")
        mute(house)
        await asyncio.sleep(80)
        assert (asked, received(house, "PingRequest") > 0) == (0, True)


def test_protobuf_refuses() -> None:
    """What the tests above compare with does refuse."""
    with pytest.raises(DecodeError):
        by_protobuf(b"\x0a\x05\x08")
