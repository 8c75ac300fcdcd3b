"""Programs of the same user on the same machine: they find the owner, and see every radio."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxyconn import Fleet, Proxy, RadioState, RadioUnavailableError
from proxyconn.fleet.owner_link import parse_lent
from proxyconn.fleet.owner_socket import OWNER_PATH, SOCKET, VERSION, OwnerSays
from proxyconn.radio import Radio, identity_of
from proxyconn_owner.local_access import LocalAccess
from proxyconn_owner.serving.served_proxy import ServedProxy

from .conftest import (
    DEADLINE,
    KEY,
    READ,
    VALUE,
    House,
    MakeHouse,
    address,
    connect,
    peripheral,
    until,
)


async def test_program_sees_every_radio_and_path(make_house: MakeHouse) -> None:
    """With an owner, a Fleet has the radios, paths and slots of the owner's own."""
    house: House = await make_house(peripheral(1))
    async with Fleet(owner=house.folder / SOCKET) as fleet:
        await fleet.ready(2, DEADLINE)
        assert {radio.name for radio in fleet.radios} == {"kitchen", "cellar"}
        await fleet.find_device(address(1), DEADLINE)
        await until(lambda: len(fleet.paths(address(1))) == 2)
        best, second = fleet.paths(address(1))
        assert (best.source, second.source) == ("kitchen", "cellar")
        assert best.rssi > second.rssi
        assert [slots.slots for slots in fleet.allocations()] == [3, 3]
        ours = {one["name"]: one for one in house.fleet.diagnostics()["radios"]}
        for radio in fleet.diagnostics()["radios"]:
            for fact in ("host", "port", "mac", "esphome_version", "state"):
                assert radio[fact] == ours[radio["name"]][fact], fact


async def test_programs_do_not_rob_each_other(make_house: MakeHouse) -> None:
    """Two programs and the owner hold links at once; each real proxy has one subscriber."""
    house: House = await make_house(peripheral(1), peripheral(2), peripheral(3))
    own = await connect(house.fleet, 3)
    async with Fleet(owner=house.folder / SOCKET) as one, Fleet(owner=house.folder / SOCKET) as two:
        first, second = await connect(one, 1), await connect(two, 2)
        assert await first.read_gatt_char(READ) == VALUE
        assert await second.read_gatt_char(READ) == VALUE
        assert await own.read_gatt_char(READ) == VALUE
        for proxy in house.virtual.proxies.values():
            assert proxy.snapshot().clients == ("proxyconn",)
        await first.disconnect()
        await second.disconnect()
    await own.disconnect()


async def first_line(socket: Path) -> dict[str, Any]:
    """Return what an owner first tells a program; nothing if it ends without a word."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
        session.get(f"http://owner{OWNER_PATH}") as response,
    ):
        line = await response.content.readline()
    return json.loads(line) if line else {}


async def test_programs_that_come_at_once_share_what_is_served(make_house: MakeHouse) -> None:
    """A radio is served once, however many programs ask for it at the same moment."""
    house: House = await make_house()
    socket = house.folder / SOCKET
    told = await asyncio.gather(*(first_line(socket) for _ in range(3)))
    ports = [{radio["name"]: radio["port"] for radio in one["radios"]} for one in told]
    assert len(ports[0]) == 2
    assert ports == [ports[0]] * 3


async def test_owner_that_ends_as_programs_come_leaves_nothing_open(
    make_house: MakeHouse, tmp_path: Path
) -> None:
    """A radio that was about to be served as the owner ended is served to nobody."""
    house: House = await make_house()
    lending = house.fleet.lending()
    begun, go_on = asyncio.Event(), asyncio.Event()
    made: list[ServedProxy] = []

    class SlowProxy(ServedProxy):
        async def start(self, host: str, port: int) -> None:
            begun.set()
            await go_on.wait()
            await super().start(host, port)

    def serve(radio: Radio, key: str) -> ServedProxy:
        proxy = SlowProxy(
            radio.name,
            "86:00:00:00:00:01",
            key,
            lending,
            only=identity_of(radio),
            holder=lending.holder,
            party_of=lambda name, host, port: name,
            events=house.owner,
        )
        made.append(proxy)
        return proxy

    local = LocalAccess(tmp_path, lending.radios, serve, lambda app: None)
    await local.start()
    programs = [asyncio.create_task(first_line(local.socket)) for _ in range(2)]
    async with asyncio.timeout(DEADLINE):
        await begun.wait()
        closing = asyncio.create_task(local.aclose())
        await asyncio.sleep(0)
        go_on.set()
        await closing
        await asyncio.gather(*programs)
    for proxy in made:
        if proxy.port:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(proxy.host, proxy.port)


async def test_program_finds_the_owner_by_itself(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner is found in the runtime folder; proxies that it has are not gone to directly."""
    house: House = await make_house()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(house.folder))
    real = house.real()
    async with Fleet([Proxy("127.0.0.1", real.port, noise_psk=KEY)]) as fleet:
        await fleet.ready(2, DEADLINE)
        assert {radio.name for radio in fleet.radios} == {"kitchen", "cellar"}
        assert real.snapshot().clients == ("proxyconn",)


async def test_other_proxies_beside_the_owner(make_house: MakeHouse) -> None:
    """A proxy that the user names and the owner does not have is used directly."""
    house: House = await make_house()
    other: House = await make_house(names=("attic",))
    proxy = Proxy("127.0.0.1", other.real("attic").port, noise_psk=KEY)
    async with Fleet([proxy], owner=house.folder / SOCKET) as fleet:
        await fleet.ready(2, DEADLINE)
        await until(lambda: len(fleet.radios) == 3)


async def test_radio_that_has_gone_is_shown_as_gone(make_house: MakeHouse) -> None:
    """A radio that the owner cannot use is there, with its state and its problem."""
    house: House = await make_house()
    async with Fleet(owner=house.folder / SOCKET) as fleet:
        await fleet.ready(2, DEADLINE)
        await house.real("cellar").kill()

        def gone() -> bool:
            radios = {radio.name: radio for radio in fleet.radios}
            return len(radios) == 2 and radios["cellar"].state is RadioState.GONE

        async with asyncio.timeout(20):
            while not gone():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)
        await house.real("cellar").start()
        async with asyncio.timeout(20):
            while len(fleet.allocations()) != 2:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)


async def test_no_owner_where_one_is_asked_for(tmp_path: Path) -> None:
    """An owner that does not answer is an error that says what to do."""
    fleet = Fleet(owner=tmp_path / SOCKET)
    with pytest.raises(RadioUnavailableError, match="proxyconn serve"):
        await fleet.__aenter__()


async def test_stale_socket_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that an owner left when it was killed keeps no fleet from starting."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    await asyncio.to_thread((tmp_path / SOCKET).touch)
    async with Fleet(discover=False) as fleet:
        assert fleet.radios == []


@pytest.mark.parametrize("told", [None, {}, {"version": 1, "radios": [{}], "pid": 1}])
def test_strange_owners(told: object) -> None:
    """What is no owner's line is refused."""
    with pytest.raises(ValueError, match="not what an owner says"):
        parse_lent(told)


def test_owner_of_another_version() -> None:
    """It may mean something else by the same words: one of the two is to be updated."""
    later = OwnerSays(1, ()).row() | {"version": VERSION + 1}
    with pytest.raises(ValueError, match=f"speaks version {VERSION + 1}, .* update one"):
        parse_lent(later)


async def test_socket_is_for_its_user_alone(make_house: MakeHouse) -> None:
    """Nobody else may open the socket, and it goes with the owner."""
    house: House = await make_house()
    socket = house.folder / SOCKET
    mode = (await asyncio.to_thread(socket.stat)).st_mode
    assert mode & 0o077 == 0
    await house.owner.aclose()
    assert not await asyncio.to_thread(socket.exists)


async def test_mode_of_other_files_is_left_alone(make_house: MakeHouse) -> None:
    """An owner that opens its socket changes nothing about what the process makes else."""
    masks: set[int] = set()

    async def watch() -> None:
        while True:
            mask = os.umask(0o022)
            os.umask(mask)
            masks.add(mask)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    before = set(masks)
    await make_house()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert masks == before


async def test_program_that_leaves_is_no_error(
    make_house: MakeHouse, caplog: pytest.LogCaptureFixture
) -> None:
    """What is still written to a program that has gone leaves nothing in the log."""
    house: House = await make_house()
    async with Fleet(owner=house.folder / SOCKET) as fleet:
        await fleet.ready(2, DEADLINE)
    for name in ("cellar", "kitchen"):
        await house.real(name).kill()
    await until(lambda: all(radio.state is not RadioState.READY for radio in house.fleet.radios))
    await asyncio.sleep(0.1)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
