"""Which device a proxy is: by its MAC address and its key, not by its address."""

from __future__ import annotations

from typing import Any

import pytest

from proxyconn import Proxy
from proxyconn_esphome import ProxySession
from proxyconn_esphome.proxies_by_mac import is_of
from proxyconn_esphome.wire.mdns import FoundDevice
from proxyconn_virtual.firmware.profiles import FirmwareProfile
from proxyconn_virtual.proxy import new_noise_psk
from tests.fleet.place import (
    CONNECTING,
    GONE,
    KEY,
    MAC,
    OTHER_MAC,
    READY,
    WRONG_KEY,
    a_place,
    mac_digits,
    named,
    settle,
)

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("key", [KEY, None])
async def test_other_device_at_the_address_is_refused(key: str | None) -> None:
    """Both addresses are named, and it is asked for nothing; the right one is taken back."""
    async with a_place() as place:
        proxy = await place.proxy(noise_psk=key)
        await place.start(named(proxy, key=key))
        await settle()
        await proxy.kill()
        other = await place.proxy(OTHER_MAC, name="bedroom", noise_psk=key, port=proxy.port)
        await settle(60)
        assert place.sink.radio.state is GONE
        problem = str(place.sink.radio.problem)
        assert MAC in problem
        assert OTHER_MAC in problem
        bluetooth = [name for name in other.snapshot().received if "Bluetooth" in name]
        assert bluetooth == []
        # Encryption shows who it is before anything is said.
        assert other.snapshot().received.get("DeviceInfoRequest", 0) <= (0 if key else 3)
        await other.kill()
        await proxy.start()
        await settle(130)
        assert place.sink.radio.state is READY


async def test_other_device_at_the_address_is_a_radio_of_its_own() -> None:
    """The address was the old proxy's; the MAC address tells that this is not it."""
    async with a_place() as place:
        proxy = await place.proxy()
        await place.start()
        place.announce(proxy)
        await settle()
        await proxy.kill()
        other = await place.proxy(OTHER_MAC, name="bedroom", port=proxy.port)
        place.announce(other)
        await settle(30)
        assert {radio.name: radio.state for radio in place.sink.radios} == {
            "kitchen": GONE,
            "bedroom": READY,
        }


async def test_two_addresses_of_one_proxy_are_one_radio() -> None:
    """The second session leaves before it takes the first one's subscription."""
    async with a_place() as place:
        proxy = await place.proxy(profile="2026.7.0")
        await place.start(named(proxy), named(proxy, "localhost"))
        place.announce(proxy)
        await settle()
        assert place.sink.radio.state is READY
        assert proxy.snapshot().clients == ("proxyconn",)
        assert proxy.snapshot().received["SubscribeBluetoothLEAdvertisementsRequest"] == 1


@pytest.mark.parametrize("host", ["kitchen.local", "Kitchen.local.", "kitchen", "10.0.0.7"])
async def test_named_proxy_is_known_by_name_or_address(host: str) -> None:
    """Before it has ever been reached, what the user wrote is all there is."""
    session = ProxySession(Proxy(host))
    assert is_of(session, FoundDevice("kitchen", mac_digits(MAC), "10.0.0.7", 6053))
    assert not is_of(session, FoundDevice("bedroom", mac_digits(OTHER_MAC), "10.0.0.8", 6053))
    session.mac = mac_digits(OTHER_MAC)
    assert not is_of(session, FoundDevice("kitchen", mac_digits(MAC), "10.0.0.7", 6053))


async def test_right_key_wins_over_wrong_key() -> None:
    """Found with one key and named with another, a proxy is the radio that can speak to it."""
    async with a_place() as place:
        proxy = await place.proxy()
        backend = await place.start(named(proxy, "localhost"), key=new_noise_psk())
        backend.device_found(FoundDevice("kitchen", mac_digits(MAC), "127.0.0.1", proxy.port))
        await settle()
        assert place.sink.radio.state is READY
        assert place.sink.radio.named is not None


async def test_wrong_key_is_tried_slowly_and_recovers() -> None:
    """Once a minute, and it is ready when the key is right again."""
    async with a_place() as place:
        proxy = await place.proxy()
        await place.start(named(proxy))
        await settle()
        cure = proxy.inject("wrong_key")
        await settle(400)
        assert place.sink.radio.state is WRONG_KEY
        assert place.sink.states == [CONNECTING, READY, CONNECTING, WRONG_KEY]
        cure()
        await settle(65)
        assert place.sink.radio.state is READY


@pytest.mark.parametrize("key", [KEY, None])
async def test_proxy_in_the_wrong_mode_is_not_spoken_to(key: str | None) -> None:
    """Encryption that comes or goes is a matter of the key; nothing is ever said in the clear."""
    async with a_place() as place:
        proxy = await place.proxy(noise_psk=key)
        await place.start(named(proxy, key=key))
        await settle()
        cure = proxy.inject("wrong_mode")
        await settle()
        before = proxy.snapshot().received
        await settle(100)
        assert place.sink.radio.state is WRONG_KEY
        assert proxy.snapshot().received == before
        cure()
        await settle(65)
        assert place.sink.radio.state is READY


async def test_full_proxy_is_not_a_wrong_key() -> None:
    """A proxy with five clients closes without a word, which says nothing about the key."""
    async with a_place() as place:
        proxy = await place.proxy()
        cure = proxy.inject("slot_limit_tcp")
        await place.start(named(proxy))
        await settle(30)
        assert place.sink.radio.state is GONE
        cure()
        await settle(65)
        assert place.sink.radio.state is READY


# Devices that are no proxies


class NoProxy(FirmwareProfile):
    """Firmware without the component."""

    def features(self, *, active: bool) -> Any:
        """None at all."""
        return 0


@pytest.mark.parametrize("hashes", [("1", "2"), (None, None)])
async def test_device_that_becomes_a_proxy_is_found(hashes: tuple[str | None, ...]) -> None:
    """It is asked again when its configuration has changed, or after ten minutes."""
    async with a_place() as place:
        bulb = await place.proxy(profile=NoProxy())
        await place.start()
        place.announce(bulb, hashes[0])
        await settle()
        assert place.sink.radios == []
        place.announce(bulb, hashes[0])
        await settle()
        assert place.sink.added == 1
        await bulb.kill()
        await place.proxy(port=bulb.port)
        if hashes[1]:
            place.announce(bulb, hashes[1])
        else:
            await settle(600)
        await settle()
        assert place.sink.radio.state is READY


async def test_named_device_that_becomes_a_proxy_is_found() -> None:
    """One that the user named is kept, and says what it is."""
    async with a_place() as place:
        bulb = await place.proxy(profile=NoProxy())
        await place.start(named(bulb))
        await settle()
        assert "no Bluetooth proxy" in str(place.sink.radio.problem)
        await bulb.kill()
        await place.proxy(port=bulb.port)
        await settle(30)
        assert place.sink.radio.state is READY


@pytest.mark.parametrize("direct", [True, False])
async def test_lent_proxies_are_passed_over_by_who_goes_directly(direct: bool) -> None:
    """Two owners of one key would else lend each other what they have; a named one is wanted."""
    async with a_place() as place:
        lent = await place.proxy()
        other = await place.proxy(OTHER_MAC, name="bedroom")
        await place.start(named(other), direct=direct)
        await settle()
        place.announce(lent, is_shared=True)
        place.announce(other, is_shared=True)
        await settle()
        names = {radio.name for radio in place.sink.radios if radio.state is READY}
        assert names == ({"bedroom"} if direct else {"bedroom", "kitchen"})
