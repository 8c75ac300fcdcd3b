"""A session that is up and of no use: silent and robbed proxies."""

from __future__ import annotations

import asyncio
import math

import pytest
from bleak.exc import BleakError

from proxyconn.radio import RadioUnavailableError
from proxyconn_esphome import ProxySession
from proxyconn_esphome.session.listener import SessionListener
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Drop
from proxyconn_virtual.firmware.profiles import PROFILES
from proxyconn_virtual.peripheral import Outcome
from tests.esphome.clocked import (
    CONNECTING,
    DENIED,
    NUMBER,
    READY,
    ROBBED,
    SILENT,
    TAKES_OVER,
    States,
    a_house,
    another_client,
    device,
    far,
    mute,
    program,
    received,
)
from tests.esphome.conftest import READ, House, houses, until
from tests.virtual.conftest import WITHOUT_CACHE

pytestmark = pytest.mark.looptime

NEWEST_WINS = [name for name, one in PROFILES.items() if one.newest_subscriber_wins]
FIRST_WINS = [name for name in PROFILES if name not in NEWEST_WINS]
REQUEST = "BluetoothDeviceRequest"


# Silence


@pytest.mark.parametrize("profile", ["2024.11", "2026.6.5", TAKES_OVER])
@pytest.mark.parametrize("active", [True, False])
async def test_house_without_devices_ends_calm(profile: str, active: bool) -> None:
    """Every cure is tried once; then the proxy is silent, usable, and left in peace."""
    async with a_house(far(), profile=profile, active=active) as house:
        states = States(house.session)
        await asyncio.sleep(250)
        assert states.seen == [READY, CONNECTING, READY, SILENT]
        assert "restart it" in str(house.session.problem)
        assert house.session.is_usable
        await house.session.ready(1)
        await asyncio.sleep(1800)
        assert states.seen == [READY, CONNECTING, READY, SILENT]
        flips = 0 if profile == "2024.11" else 2 * 2
        assert received(house, "BluetoothScannerSetModeRequest") == flips
        assert house.proxy.snapshot().clients == ("proxyconn",)


async def test_silent_proxy_is_ready_again_when_heard() -> None:
    """The first advertisement ends the silence, and the ladder begins at its foot."""
    async with a_house() as house:
        drop = mute(house)
        await asyncio.sleep(250)
        assert house.session.state is SILENT
        house.proxy.injectors.remove(drop)
        await asyncio.sleep(2)
        assert house.session.state is READY
        assert house.session.problem is None
        health = house.session.diagnostics()["health"]
        assert health["seconds_since_heard"] <= 2
        assert health["last_step"] is None
        mute(house)
        await asyncio.sleep(80)
        assert house.session.diagnostics()["health"]["last_step"] is None


async def test_flipped_scan_mode_cures_a_hung_scan_and_is_flipped_back() -> None:
    """A scan that is started anew is heard; the mode is what it was."""
    async with a_house() as house:
        drop = mute(house)
        states = States(house.session)
        house.session.add_listener(_Unmute(house, drop))
        await asyncio.sleep(150)
        assert states.seen == [READY]
        assert received(house, "BluetoothScannerSetModeRequest") == 2
        assert house.session.diagnostics()["health"]["scanner"] == {
            "state": "running",
            "mode": "active",
            "configured_mode": "active",
        }


class _Unmute(SessionListener):
    """Stands for a scan that works again once its mode is set."""

    def __init__(self, house: House, drop: Drop) -> None:
        def look(_: object) -> None:
            if received(house, "BluetoothScannerSetModeRequest") and drop in injectors:
                injectors.remove(drop)

        injectors = house.proxy.injectors
        house.proxy.add_observer(look)
        self._timer = asyncio.get_running_loop().call_later(120, look, None)


async def test_silence_of_a_proxy_with_links_ends_none() -> None:
    """A session that carries links is not renewed; a device that is connected is not heard."""
    async with a_house() as house, program(house) as client:
        states = States(house.session)
        await asyncio.sleep(300)
        assert states.seen == [READY, SILENT]
        assert await client.read_gatt_char(READ) == b"hello"


async def test_silent_proxy_opens_links() -> None:
    """What cannot hear may well connect."""
    async with a_house() as house:
        mute(house)
        await asyncio.sleep(250)
        assert house.session.state is SILENT
        async with program(house) as client:
            assert await client.read_gatt_char(READ) == b"hello"


async def test_opening_links_is_no_silence() -> None:
    """A proxy does not scan while it opens a link, and may do that for long."""
    never = [Outcome(after=math.inf)] * 6
    async with a_house(device(1, never)) as house:
        mute(house)
        states = States(house.session)
        for _ in range(6):
            with pytest.raises((BleakError, TimeoutError)):
                await house.client().connect(False)
        assert states.seen == [READY]
        assert received(house, "SubscribeBluetoothLEAdvertisementsRequest") == 1
        await asyncio.sleep(100)
        assert received(house, "SubscribeBluetoothLEAdvertisementsRequest") == 2


# Robbery


async def test_robbed_session_takes_its_subscription_back() -> None:
    """It is noticed within half a minute, and said."""
    async with a_house(profile=TAKES_OVER) as house, another_client(house) as thief:
        states = States(house.session)
        thief.subscribe()
        await asyncio.sleep(30)
        assert states.seen == [READY, ROBBED, READY]
        assert house.proxy.snapshot().subscriber == "proxyconn"


@pytest.mark.parametrize("profile", NEWEST_WINS)
@pytest.mark.parametrize("heard", [True, False])
async def test_theft_is_noticed_in_time(profile: str, heard: bool) -> None:
    """It takes less than 20 s, whenever it happens, and where nothing is heard anyway as well."""
    devices = [device() if heard else far()]
    for after in range(20, 34, 2):
        async with a_house(*devices, profile=profile) as house, another_client(house) as thief:
            states = States(house.session)
            await asyncio.sleep(after)
            thief.subscribe()
            await asyncio.sleep(15.5)
            assert ROBBED in states.seen, after


@pytest.mark.parametrize("profile", NEWEST_WINS)
async def test_theft_is_noticed_by_a_connect(profile: str) -> None:
    """A slot that is not reported within a second is reported to somebody else."""
    async with a_house(profile=profile) as house, another_client(house) as thief:
        await asyncio.sleep(3)
        thief.subscribe()
        await asyncio.sleep(0.1)
        started = asyncio.get_running_loop().time()
        with pytest.raises(RadioUnavailableError, match="took over its advertisement subscription"):
            await house.client().connect(False)
        assert asyncio.get_running_loop().time() - started < 3.5


@pytest.mark.parametrize("profile", FIRST_WINS)
async def test_nothing_is_asked_where_nobody_steals(profile: str) -> None:
    """Short silence, and a slot that is not reported, are no reason for a question there."""
    async with a_house(profile=profile) as house:
        await asyncio.sleep(3)
        mute(house)
        before = received(house, REQUEST)
        house.proxy.injectors.append(Drop(pb.BluetoothConnectionsFreeResponse))
        house.proxy.injectors.append(Drop(pb.BluetoothDeviceConnectionResponse))
        connecting = asyncio.create_task(house.client().connect(False))
        await asyncio.sleep(8)
        assert received(house, REQUEST) == before + 1
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)


async def test_robbed_session_ends_its_links_once() -> None:
    """What a link says goes to the thief, so it is lost; its slot is freed on the proxy."""
    lost: list[object] = []
    async with a_house(profile=TAKES_OVER) as house, another_client(house) as thief:
        client = program(house, disconnected_callback=lost.append)
        await client.connect()
        thief.subscribe()
        reading = asyncio.ensure_future(client.read_gatt_char(READ))
        await asyncio.sleep(30)
        assert lost == [client]
        assert not client.is_connected
        with pytest.raises(RadioUnavailableError, match="took over its advertisement subscription"):
            await reading
        await house.all_free()
        async with program(house) as client:
            assert await client.read_gatt_char(READ) == b"hello"


async def test_robbed_session_leaves_the_links_of_the_other_client_alone() -> None:
    """Who gives way asks for the end of its links once: what is there later is not its own."""
    async with a_house(profile=TAKES_OVER) as house, another_client(house) as thief:
        thief.subscribe()
        await asyncio.sleep(60)
        await program(house).connect()
        thief.subscribe()
        await until(lambda: house.session.state is ROBBED, 30)
        thief.ask(WITHOUT_CACHE, NUMBER)
        await asyncio.sleep(1)
        before = received(house, REQUEST)
        await asyncio.sleep(290)
        assert received(house, REQUEST) == before
        await asyncio.sleep(400)
        assert house.session.subscription.held
        assert house.proxy.snapshot().free == house.slots_before - 1


async def test_robbed_session_does_not_fight() -> None:
    """Robbed again at once, it waits longer each time, and says what to do."""
    async with a_house(profile=TAKES_OVER) as house, another_client(house) as thief:
        states = States(house.session)
        for wait in (0, 300, 600, 1800, 1800):
            thief.subscribe()
            await asyncio.sleep(25 + max(wait - 30, 0))
            assert house.session.state is (ROBBED if wait else READY)
            if wait:
                assert "give the proxy to one of the two" in str(house.session.problem)
                assert not house.session.is_usable
                with pytest.raises(RadioUnavailableError, match="took over"):
                    await house.client().connect(False)
            await asyncio.sleep(40 if wait else 0)
            assert house.session.state is READY
        assert states.seen == [READY, *[ROBBED, READY] * 5]
        await asyncio.sleep(400)
        for wait in (0, 300):
            thief.subscribe()
            await asyncio.sleep(30)
            assert house.session.state is (ROBBED if wait else READY)
            await asyncio.sleep(wait)
            assert house.session.state is READY


async def test_robbery_of_a_proxy_that_only_listens() -> None:
    """It cannot be asked whose the subscription is; being heard again is the proof."""
    async with (
        a_house(profile=TAKES_OVER, active=False) as house,
        another_client(house) as thief,
    ):
        await asyncio.sleep(5)
        thief.subscribe()
        await asyncio.sleep(100)
        assert house.proxy.snapshot().subscriber == "proxyconn"
        assert house.session.state is READY
        thief.subscribe()
        await asyncio.sleep(200)
        assert house.session.state is ROBBED
        await asyncio.sleep(300)
        assert house.session.state is READY


async def test_one_lost_answer_is_no_robbery() -> None:
    """A probe is repeated before its silence counts."""
    async with a_house(profile=TAKES_OVER) as house:
        states = States(house.session)
        mute(house)
        house.proxy.injectors.append(Drop(pb.BluetoothDeviceConnectionResponse, count=1))
        await asyncio.sleep(60)
        assert states.seen == [READY]


async def test_proxy_that_answers_nothing_is_not_robbed() -> None:
    """Without an answer to the asker nothing is known of the subscription."""
    async with a_house(profile=TAKES_OVER) as house:
        states = States(house.session)
        mute(house)
        house.proxy.injectors.append(Drop(pb.BluetoothDeviceConnectionResponse))
        house.proxy.injectors.append(Drop(pb.BluetoothConnectionsFreeResponse))
        await asyncio.sleep(80)
        assert states.seen == [READY]


async def test_old_firmware_that_serves_another_client_is_denied() -> None:
    """It never answers a subscription; the probe shows whose it is, and when that ends."""
    async with houses() as make:
        house = await make(device(), profile="2024.11", ready=False)
        async with another_client(house) as first:
            await house.session.aclose()
            first.subscribe()
            session = ProxySession(house.session.proxy)
            async with session:
                await asyncio.sleep(20)
                assert session.state is DENIED
                await first.close()
                await asyncio.sleep(70)
                assert session.state is READY


@pytest.mark.parametrize("cancelled", [False, True])
async def test_closing_leaves_the_scan_mode_as_it_was(cancelled: bool) -> None:
    """The mode is the proxy's own: a session that is closed while it is flipped flips it back."""
    async with a_house(far()) as house:
        scanner = house.proxy.bluetooth.scanner
        before = scanner.mode
        async with asyncio.timeout(300):
            while scanner.mode == before:  # noqa: ASYNC110 - the proxy tells nobody else
                await asyncio.sleep(0.5)
        closing = asyncio.create_task(house.session.aclose())
        if cancelled:
            await asyncio.sleep(0)
            closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await asyncio.sleep(30)
        assert scanner.mode == before
