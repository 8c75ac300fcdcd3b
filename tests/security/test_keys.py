"""A key is used and nothing else: not sent, not logged, not shown, whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from bleak.exc import BleakError

from proxyconn import (
    BleakClientWithServiceCache,
    Fleet,
    InvalidKeyError,
    Proxy,
    establish_connection,
)
from proxyconn.cli.config_file import ConfigError, parse_config
from proxyconn.radio import FleetOptions
from proxyconn_virtual.firmware.profiles import NEWEST, PLATFORMS
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk
from tests.esphome.clocked import device
from tests.esphome.conftest import address

from .keys import shown

KEY, OTHER_KEY = new_noise_psk(), new_noise_psk()
WRONG = new_noise_psk()


def with_locals(error: BaseException) -> str:
    """Return an error with its causes, and the local variables of every frame."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(told.format())


class Everything(logging.Handler):
    """Keeps what every logger says, arguments and tracebacks included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.lines.append(f"{self.format(record)} {record.args!r}")
        if record.exc_info and record.exc_info[1]:
            self.lines.append(with_locals(record.exc_info[1]))


@pytest.fixture
def logged() -> Iterator[Everything]:
    """Log everything there is."""
    root, handler = logging.getLogger(), Everything()
    before = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    used = [logging.getLogger(name) for name in ("aioesphomeapi", "zeroconf", "proxyconn")]
    levels = [logger.level for logger in used]
    for logger in used:
        logger.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)
    for logger, level in zip(used, levels, strict=True):
        logger.setLevel(level)


@asynccontextmanager
async def proxy(profile: str, key: str | None) -> AsyncIterator[VirtualProxy]:
    """Run a virtual proxy."""
    spec = ProxySpec(name="kitchen", noise_psk=key, profile=profile)
    async with VirtualFleet([spec], [device()], announce=False) as fleet:
        yield fleet.proxies["kitchen"]


async def use(one: VirtualProxy, key: str | None) -> tuple[str, list[BaseException]]:
    """Use a proxy through a fleet; return what can be seen of the fleet, and what it raised."""
    errors: list[BaseException] = []
    named = Proxy(one.host, one.port, key)
    fleet = Fleet([named], discover=False, noise_psk={"attic": OTHER_KEY})
    async with fleet:
        try:
            await fleet.ready(timeout=5)
            found = await fleet.find_device(address(1), timeout=5)
            client = await establish_connection(BleakClientWithServiceCache, found, "device")
            await client.disconnect()
        except BleakError as error:
            errors.append(error)
        try:
            unheard = fleet.known_device("C4:00:00:00:00:77", 1)
            await establish_connection(
                BleakClientWithServiceCache, unheard, "nobody", max_attempts=1, deadline=3
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            errors.append(error)
        seen = [repr(fleet), repr(named), json.dumps(fleet.diagnostics())]
        for radio in fleet.radios:
            seen += [repr(radio), str(radio), str(radio.problem), repr(vars(radio))]
    return "\n".join(seen), errors


@pytest.mark.looptime
@pytest.mark.parametrize("profile", [NEWEST, *PLATFORMS])
@pytest.mark.parametrize(
    ("set_key", "given_key"),
    [(KEY, KEY), (KEY, WRONG), (None, KEY), (KEY, None)],
    ids=["right key", "wrong key", "proxy without a key", "no key"],
)
async def test_key_stays_where_it_is(
    profile: str, set_key: str | None, given_key: str | None, logged: Everything
) -> None:
    """Neither log nor repr nor diagnostics nor error, with every local variable, shows it."""
    async with proxy(profile, set_key) as one:
        seen, errors = await use(one, given_key)
    assert errors
    assert len(logged.lines) > 10
    keys = (KEY, OTHER_KEY, WRONG)
    assert not shown("\n".join(logged.lines), *keys)
    assert not shown(seen, *keys)
    for error in errors:
        assert not shown("".join(traceback.format_exception(error)), *keys)
        ours = "\n".join(_own_frames(with_locals(error)))
        assert not shown(ours, *keys)


def _own_frames(text: str) -> Iterator[str]:
    """Yield the parts of a traceback that are about the project's code, not this test's."""
    for part in text.split('  File "'):
        if "/tests/" not in part.partition("\n")[0]:
            yield part


def test_options_hide_their_keys() -> None:
    """What carries keys can be printed."""
    options = FleetOptions(proxies=[Proxy("h", noise_psk=KEY)], noise_psk={"attic": OTHER_KEY})
    assert not shown(repr(options), KEY, OTHER_KEY)
    assert not shown(repr(Fleet([Proxy("h", noise_psk=KEY)], noise_psk=OTHER_KEY)), KEY, OTHER_KEY)


SPOILED = KEY[:-5] + "="
"""A key with a few characters lost: still nearly all of the secret."""


def test_refused_key_is_not_among_the_locals() -> None:
    """Most of a mistyped key is the key."""
    with pytest.raises(InvalidKeyError) as caught:
        FleetOptions(noise_psk=SPOILED)
    told = with_locals(caught.value)
    [last] = [part for part in told.split('  File "') if "in check_key" in part]
    assert SPOILED not in last
    assert SPOILED not in str(caught.value)


def test_configuration_file_is_not_among_the_locals() -> None:
    """An error in one line of a file does not show the keys in the others."""
    text = f'key = "{KEY}"\n[keys]\nattic = "{OTHER_KEY}"\n[[proxy]]\nhost = "h"\nport = 0\n'
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "x.toml")
    ours = "\n".join(_own_frames(with_locals(caught.value)))
    assert "x.toml" in ours
    assert not shown(ours, KEY, OTHER_KEY)


class Ear(asyncio.Protocol):
    """A server that keeps every byte, and answers like a proxy without encryption."""

    def __init__(self, heard: bytearray, answer: bytes) -> None:
        self._heard = heard
        self._answer = answer
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what comes, and answer."""
        self._heard += data
        assert self._transport is not None
        self._transport.write(self._answer)


ANSWERS = {
    "plaintext hello": b"\x00\x08\x02\x08\x01\x10\x0a\x22\x02me",
    "bad indicator": b"\x00Bad indicator byte",
    "no encryption": b"\x01\x00\x01\x00",
    "silence": b"",
    "rejected": b"\x01\x00\x13\x01Bad indicator byte",
    "empty server hello": b"\x01\x00\x00",
    "zero handshake": b"\x01\x00\x09\x01kitchen\0" + b"\x01\x00\x31\x00" + bytes(48),
    "replayed client": b"\x01\x00\x09\x01kitchen\0" + b"\x01\x00\x01\x01",
}


@pytest.mark.looptime
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_proxy_with_a_key_is_not_spoken_to_in_the_clear(answer: bytes) -> None:
    """Whatever pretends to be it hears two Noise frames, and no message in any attempt."""
    heard = bytearray()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Ear(heard, answer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Fleet([Proxy("127.0.0.1", port, KEY)], discover=False) as fleet:
        await asyncio.sleep(200)
        assert not [radio for radio in fleet.radios if radio.state == "ready"]
    server.close()
    await server.wait_closed()
    opening = b"\x01\x00\x00" + b"\x01\x00\x31\x00"
    attempts = heard.count(opening)
    assert attempts >= 2
    # Each attempt: the hello, and an ephemeral key with its tag.
    assert len(heard) == attempts * (len(opening) + 48)
    assert b"proxyconn" not in heard
    assert b64decode(KEY) not in heard
    assert KEY.encode() not in heard
