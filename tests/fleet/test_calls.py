"""Proxies that call by themselves: keys, one session for each, and what is said of the others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Self
from unittest.mock import AsyncMock, Mock

import pytest

from proxyconn import Proxy, RadioState
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute
from proxyconn.radio import AbsentRadio, FleetOptions, Radio
from proxyconn_esphome.backend import ESPHomeBackend
from proxyconn_esphome.calls import ALIVE, BIND_RETRY, REFUSED_KEPT
from proxyconn_esphome.wire.mdns import FoundDevice
from proxyconn_native_api.dialling import OutgoingConnection
from proxyconn_virtual.firmware.spec import DeepSleep
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

from .place import KEY, MAC, OTHER_MAC, free_port, mac_digits

pytestmark = pytest.mark.looptime

OTHER_KEY = new_noise_psk()
DELAY = 5.0
"""Seconds until the proxies here call, at first and when they have lost us."""

SOON = 30.0
"""Seconds within which a proxy that can call has."""

KITCHEN, SHED = "kitchen", "shed"


async def until(met: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds, with a look five times a second. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not met():  # noqa: ASYNC110 - a look now and then is what is wanted
            await asyncio.sleep(0.2)


class House:
    """A port that a backend listens on, and proxies that call it."""

    def __init__(self, **options: object) -> None:
        self.port = free_port()
        self.options = FleetOptions(
            **{"discover": False, "noise_psk": KEY, "listen": self.port, **options}  # type: ignore[arg-type]
        )
        self.hub = Hub(DeviceRoute, {})
        self.backend = ESPHomeBackend(self.options, self.hub)

    async def __aenter__(self) -> Self:
        await self.backend.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.backend.aclose()

    def calling(self, name: str = SHED, mac: str = MAC, **spec: object) -> VirtualFleet:
        """Return a proxy in another network, with a device beside it; it calls this port."""
        calls = OutgoingConnection(host="127.0.0.1", port=self.port, delay=DELAY)
        options = {"noise_psk": KEY, "profile": "2026.10", "outgoing_connection": calls, **spec}
        near = Peripheral("C4:00:00:00:00:01", "near", rssi={name: -50}, interval=2.0)
        spec_of = ProxySpec(name=name, mac=mac, **options)  # type: ignore[arg-type]
        return VirtualFleet([spec_of], [near], announce=False, host="127.0.0.2")

    @property
    def radio(self) -> Radio:
        """The only radio there is."""
        [radio] = self.hub.radios
        return radio

    @property
    def is_ready(self) -> bool:
        """Whether the only radio there is can be used."""
        return [radio.state for radio in self.hub.radios] == [RadioState.READY]

    @property
    def refused(self) -> list[AbsentRadio]:
        """Who is shown as refused."""
        return [radio for radio in self.hub.radios if isinstance(radio, AbsentRadio)]

    def announce(self, proxy: VirtualProxy) -> None:
        """Let mDNS say where a proxy is."""
        found = FoundDevice(proxy.name, mac_digits(proxy.mac), proxy.host, proxy.port)
        self.backend.device_found(found)


@pytest.mark.parametrize("key", [KEY, {MAC: KEY, "*": OTHER_KEY}, {SHED: KEY}], ids=type)
async def test_a_proxy_that_calls_is_taken(key: object) -> None:
    """Its key is found by its MAC address, its name, or is that of all; nobody calls it."""
    async with House(noise_psk=key) as house, house.calling() as outside:
        await until(lambda: house.is_ready, SOON)
        assert house.radio.name == SHED
        assert outside.proxies[SHED].server.accepted == 0
        facts = house.radio.diagnostics()
        assert (facts["host"], facts["port"]) == ("127.0.0.2", None)
        assert facts["called_from"] == "127.0.0.2"
        await until(lambda: "C4:00:00:00:00:01" in house.hub.sightings, SOON)


async def test_it_is_awaited_when_it_has_gone() -> None:
    """It comes back by itself, into the same session; meanwhile that is what is said of it."""
    async with House() as house, house.calling() as outside:
        shed = outside.proxies[SHED]
        await until(lambda: house.is_ready, SOON)
        radio = house.radio
        await shed.kill()
        await asyncio.sleep(60)
        assert radio.state is RadioState.GONE
        assert "it calls by itself" in (radio.problem or "")
        assert shed.dialler is not None
        assert shed.dialler.calls == 1
        await shed.start()
        await until(lambda: house.is_ready, SOON)
        assert house.radio is radio
        assert shed.server.accepted == 0


async def test_a_caller_without_a_key_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Who it is and what to do stands in one sentence, once; with the key it is taken."""
    async with House(noise_psk={KITCHEN: KEY}) as house, house.calling() as outside:
        await until(lambda: bool(house.refused), SOON)
        await asyncio.sleep(120)
        [refused] = house.refused
        assert house.hub.radios == [refused]
        assert refused.state is RadioState.WRONG_KEY
        assert refused.name == f"{SHED} ({MAC})"
        assert refused.problem == (
            f"it calls from 127.0.0.2, and no key is known for it; give one for {MAC} or for shed"
        )
        told = [record for record in caplog.records if record.levelname == "WARNING"]
        assert [record.getMessage() for record in told] == [
            f"{SHED} ({MAC}): refused: {refused.problem}"
        ]
        dialler = outside.proxies[SHED].dialler
        assert dialler is not None
        assert 3 <= dialler.calls <= 6
        keyed = FleetOptions(discover=False, noise_psk={SHED: KEY}, listen=house.port)
        await house.backend.reconfigure(keyed)
        await until(lambda: house.is_ready, 120)


async def test_a_caller_with_another_key_is_refused() -> None:
    """It is shown with that reason, and forgotten once it calls no more."""
    async with House() as house:
        async with house.calling(noise_psk=OTHER_KEY):
            await until(lambda: bool(house.refused), SOON)
            assert "it refused the encryption key" in (house.radio.problem or "")
            assert house.radio.state is RadioState.WRONG_KEY
        await asyncio.sleep(REFUSED_KEPT + 1)
        assert not house.hub.radios


async def test_a_caller_that_is_no_proxy_is_refused() -> None:
    """An ESPHome device without Bluetooth may call, too."""
    async with House() as house:
        calling = house.calling()
        info = calling.proxies[SHED].device_info()
        info.bluetooth_proxy_feature_flags = 0
        calling.proxies[SHED].device_info = lambda: info  # type: ignore[method-assign]
        async with calling:
            await until(lambda: bool(house.refused), SOON)
            assert "no Bluetooth proxy" in (house.radio.problem or "")


async def test_a_proxy_that_mdns_finds_too_has_one_session() -> None:
    """Whichever way it came first; when that way is lost, the other is taken."""
    async with House() as house, house.calling() as outside:
        shed = outside.proxies[SHED]
        await until(lambda: house.is_ready, SOON)
        radio = house.radio
        options = FleetOptions(discover=True, noise_psk=KEY, listen=house.port)
        house.backend._options = options  # noqa: SLF001 - as if it browsed
        house.announce(shed)
        await asyncio.sleep(SOON)
        assert house.hub.radios == [radio]
        assert shed.server.accepted == 0
        shed.server.reset()
        await until(lambda: shed.server.accepted == 1 and house.is_ready, SOON)
        assert house.hub.radios == [radio]
        assert radio.diagnostics()["port"] == shed.port
        await asyncio.sleep(10 * DELAY)
        assert shed.snapshot().clients == ("proxyconn",)
        assert shed.dialler is not None
        assert shed.dialler.calls == 1


async def test_a_named_proxy_may_call_too() -> None:
    """Its own key is the one that counts, and its session the one that there is."""
    named = Proxy("127.0.0.1", free_port(), OTHER_KEY, name=SHED)
    async with House(proxies=[named]) as house, house.calling(noise_psk=OTHER_KEY):
        await until(lambda: house.is_ready, SOON)
        assert house.radio.diagnostics()["called_from"] == "127.0.0.2"


async def test_a_proxy_that_has_called_is_not_called_any_more() -> None:
    """The attempts at the address that the user gave end with the call, whoever is there then."""
    port = free_port()
    named = Proxy("127.0.0.1", port, KEY, name=SHED)
    came: list[object] = []

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer)
        writer.close()

    async with House(proxies=[named]) as house, house.calling():
        await until(lambda: house.is_ready, SOON)
        async with await asyncio.start_server(come, "127.0.0.1", port):
            await asyncio.sleep(200)
        assert not came


async def test_a_proxy_remembers_whom_it_may_call() -> None:
    """One without a host in its YAML calls back who declared itself, also after a reboot."""
    async with House() as house:
        calls = OutgoingConnection(port=house.port, delay=DELAY)
        async with house.calling(outgoing_connection=calls) as outside:
            shed = outside.proxies[SHED]
            assert shed.dialler is not None
            house.announce(shed)
            await until(lambda: house.is_ready, SOON)
            assert shed.dialler.remembered == "127.0.0.1"
            await asyncio.sleep(10 * DELAY)
            assert shed.dialler.calls == 0
            await shed.kill()
            await asyncio.sleep(1)
            house.backend._found.clear()  # noqa: SLF001 - it has another address now
            shed.port = free_port()
            await shed.start()
            await until(lambda: house.is_ready, SOON)
            assert shed.dialler.calls == 1


async def test_nobody_declares_itself_who_does_not_listen() -> None:
    """A proxy must not call in vain, nor forget whom it calls."""
    async with House(listen=None) as house:
        calls = OutgoingConnection(port=house.port, delay=DELAY)
        async with house.calling(outgoing_connection=calls) as outside:
            house.announce(outside.proxies[SHED])
            await until(lambda: house.is_ready, SOON)
            assert outside.proxies[SHED].dialler.remembered is None  # type: ignore[union-attr]


async def test_who_begins_to_listen_declares_itself() -> None:
    """From the next session on, with the proxies that are there already."""
    async with House(listen=None) as house:
        calls = OutgoingConnection(port=house.port, delay=DELAY)
        async with house.calling(outgoing_connection=calls) as outside:
            shed = outside.proxies[SHED]
            options = FleetOptions(discover=True, noise_psk=KEY)
            house.backend._options = options  # noqa: SLF001 - as if it browsed
            house.announce(shed)
            await until(lambda: house.is_ready, SOON)
            radio = house.radio
            house.backend._browser = Mock(aclose=AsyncMock())  # noqa: SLF001 - as if it browsed
            listening = FleetOptions(discover=True, noise_psk=KEY, listen=house.port)
            await house.backend.reconfigure(listening)
            assert house.hub.radios == [radio]
            assert house.is_ready
            shed.server.reset()
            await until(lambda: shed.dialler.remembered == "127.0.0.1", SOON)  # type: ignore[union-attr]


async def test_two_calls_at_once_make_one_session() -> None:
    """The one that proves its key last finds the other there, and alive."""
    async with House() as house, house.calling() as outside:
        server = outside.proxies[SHED].server
        slow = await server.call("127.0.0.1", house.port, "127.0.0.2")
        assert slow is not None
        slow.freeze()
        quick = await server.call("127.0.0.1", house.port, "127.0.0.2")
        await until(lambda: house.is_ready, SOON)
        slow.thaw()
        await until(slow.closed.done, SOON)
        assert quick is not None
        assert slow.greeted
        assert not quick.closed.done()
        assert house.is_ready


async def test_listening_can_be_switched() -> None:
    """Off, the proxies that call are let go; on, they are back."""
    async with House() as house, house.calling():
        await until(lambda: house.is_ready, SOON)
        deaf = FleetOptions(discover=False, noise_psk=KEY)
        await house.backend.reconfigure(deaf)
        assert not house.hub.radios
        await asyncio.sleep(SOON)
        assert not house.hub.radios
        await house.backend.reconfigure(house.options)
        await until(lambda: house.is_ready, 60)
        radio = house.radio
        await house.backend.reconfigure(house.options)
        assert house.hub.radios == [radio]
        assert house.is_ready


async def test_a_port_that_is_taken_is_shown_and_tried_again() -> None:
    """The rest of the fleet works without it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with House(listen=port) as house:
            [row] = house.refused
            assert row.name == f"port {port}"
            assert "(Address already in use): end the other program" in (row.problem or "")
            house.port = port
            other.close()
            async with house.calling():
                await until(lambda: house.is_ready, BIND_RETRY + 60)


async def test_a_deep_sleeper_calls_whenever_it_wakes() -> None:
    """It is not waited for at an address where it does not answer."""
    sleeps = DeepSleep(awake=20, asleep=100)
    async with House() as house, house.calling(deep_sleep=sleeps) as outside:
        for _ in range(4):
            await until(lambda: house.is_ready, 150)
            await until(lambda: not house.is_ready, 60)
            assert outside.proxies[SHED].dialler.calls == 1  # type: ignore[union-attr]
            outside.proxies[SHED].dialler.calls = 0  # type: ignore[union-attr]
        assert outside.proxies[SHED].server.accepted == 0


async def test_a_proxy_that_lost_us_unnoticed_is_taken_anew() -> None:
    """A reboot without a goodbye leaves a session that seems up until its keepalive runs out."""
    async with House() as house, house.calling() as outside:
        shed = outside.proxies[SHED]
        await until(lambda: house.is_ready, SOON)
        radio = house.radio
        thaw = shed.server.freeze()
        await asyncio.sleep(2 * ALIVE)
        assert radio.state is RadioState.READY
        await shed.server.call("127.0.0.1", house.port, "127.0.0.2")
        await until(lambda: shed.snapshot().subscriber is not None and house.is_ready, 5)
        assert house.radio is radio
        thaw()


async def test_two_that_call_have_two_sessions() -> None:
    """From behind one router, too."""
    async with House() as house, house.calling(), house.calling(KITCHEN, OTHER_MAC):
        await until(lambda: len(house.hub.radios) == 2, SOON)
        await until(lambda: all(one.state is RadioState.READY for one in house.hub.radios), SOON)
        assert {radio.name for radio in house.hub.radios} == {SHED, KITCHEN}
