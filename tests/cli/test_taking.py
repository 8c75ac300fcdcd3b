"""What commands do to the other client of a proxy: looking does not take, and taking is asked."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import pytest

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection
from proxyconn.cli.fleet_session import taken_text
from proxyconn_virtual import events
from proxyconn_virtual.firmware.profiles import NEWEST, PROFILES
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy
from tests.cli.conftest import BEATS, DEADLINE, LAMP, PROGRAM, STRAP, Program
from tests.virtual.conftest import WITHOUT_CACHE, Peer, api

SUBSCRIBE = "SubscribeBluetoothLEAdvertisementsRequest"
NEWEST_WINS = [name for name, one in PROFILES.items() if one.newest_subscriber_wins]
QUESTION = "another client holds connections through it. Take it over? [y/N] "


def lamp() -> Peripheral:
    """Return a lamp that says its model."""
    model = CharacteristicSpec(0x2A24, value=b"Model X")
    return _near(LAMP, "Lamp", ServiceSpec(0x180A, [model]))


def strap() -> Peripheral:
    """Return a strap that counts its beats, fifty in a second."""
    beats = CharacteristicSpec(
        BEATS, Properties.NOTIFY, notify_every=0.02, notify_value=lambda count: count.to_bytes(4)
    )
    return _near(STRAP, "Strap", ServiceSpec(0x180D, [beats]))


def _near(address: str, name: str, service: ServiceSpec) -> Peripheral:
    return Peripheral(address, name, services=[service], rssi={"kitchen": -50}, interval=0.05)


@asynccontextmanager
async def kitchen(profile: str) -> AsyncIterator[VirtualProxy]:
    """Run one proxy of a firmware, in the clear."""
    spec = ProxySpec(name="kitchen", slots=2, profile=profile)
    async with VirtualFleet([spec], [lamp(), strap()], announce=False) as fleet:
        yield fleet.proxies["kitchen"]


@asynccontextmanager
async def running_program(proxy: VirtualProxy, *, links: bool) -> AsyncIterator[list[bytes]]:
    """Run another program on the proxy; the list has the values that its link has brought."""
    values: list[bytes] = []
    async with Fleet([Proxy(proxy.host, proxy.port)], discover=False) as fleet:
        strap = await fleet.find_device(STRAP)
        if not links:
            yield values
            return
        client = await establish_connection(BleakClientWithServiceCache, strap, "strap")
        await client.start_notify(BEATS, lambda sender, value: values.append(bytes(value)))
        yield values
        await client.disconnect()


def way(proxy: VirtualProxy) -> tuple[str, ...]:
    """Return the options that name a proxy."""
    return ("--no-discover", "--proxy", f"{proxy.host}:{proxy.port}")


@pytest.mark.parametrize("profile", ["2024.11", "2026.6.5", *NEWEST_WINS])
@pytest.mark.parametrize("command", ["slots", "discover"])
async def test_looking_takes_nothing(program: Program, profile: str, command: str) -> None:
    """The running program loses no value, and the proxy is never asked to serve another client."""
    async with kitchen(profile) as proxy, running_program(proxy, links=True) as values:
        done = await program.run(command, *way(proxy), "--json")
        assert (done.code, done.err) == (0, "")
        [row] = done.json["proxies"]
        assert (row["name"], row["state"], row["slots"]["free"]) == ("kitchen", "ready", 1)
        if command == "discover":
            us = f"another program of this user (process {os.getpid()})"
            assert row["holder"] == (us if profile in NEWEST_WINS else None)
        count = len(values)
        await asyncio.sleep(0.5)
        assert len(values) > count
        numbers = [int.from_bytes(value) for value in values]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert proxy.snapshot().received[SUBSCRIBE] == 1


@pytest.mark.parametrize("command", ["slots", "discover"])
async def test_looking_has_nothing_to_take(program: Program, command: str) -> None:
    """--take is no option of a command that only looks."""
    done = await program.run(command, "--take")
    assert done.code == 2
    assert "No such option: --take" in done.err


@pytest.mark.parametrize("profile", NEWEST_WINS)
@pytest.mark.parametrize(
    "command", [("scan",), ("read", LAMP, "2a24"), ("paths", LAMP)], ids=lambda words: words[0]
)
async def test_links_of_another_client_are_not_ended_unasked(
    program: Program, profile: str, command: tuple[str, ...]
) -> None:
    """Off a terminal nothing is asked: the command fails, and says what takes the proxy over."""
    async with kitchen(profile) as proxy, running_program(proxy, links=True) as values:
        done = await program.run(*command, *way(proxy))
        assert (done.code, done.out) == (1, "")
        assert "no proxy can be used: kitchen: another client holds connections" in done.err
        assert "--take" in done.err
        assert proxy.snapshot().received[SUBSCRIBE] == 1
        count = len(values)
        await asyncio.sleep(0.2)
        assert len(values) > count


async def test_take(program: Program) -> None:
    """What is told to be taken over is, unasked."""
    async with kitchen("2026.8") as proxy:
        peer = Peer(proxy)
        await peer.connect()
        peer.subscribe()
        peer.ask(WITHOUT_CACHE, device=int(STRAP.replace(":", ""), 16))
        await peer.wait_for(api.BluetoothDeviceConnectionResponse)
        done = await program.run("scan", *way(proxy), "--take", "--for", "0.5")
        assert (done.code, done.err) == (0, "")
        assert LAMP in done.out
        await peer.close()


@pytest.mark.parametrize("profile", ["2024.11", "2026.6.5"])
async def test_first_client_is_not_robbed(program: Program, profile: str) -> None:
    """Where the first client keeps the proxy, --take takes nothing; the error says so."""
    async with kitchen(profile) as proxy, running_program(proxy, links=True):
        done = await program.run("scan", *way(proxy), "--take", "--timeout", "15")
        assert done.code == 1
        assert "another client holds its only advertisement subscription" in done.err
        assert "--take" not in done.err


async def test_listeners_are_not_seen(program: Program) -> None:
    """A client that only listens does not show, so nothing is asked, and it is robbed."""
    async with kitchen("2026.8") as proxy, running_program(proxy, links=False):
        done = await program.run("scan", *way(proxy), "--for", "0.5")
        assert (done.code, done.err) == (0, "")
        assert LAMP in done.out


async def test_theft_is_told_beside_json(program: Program) -> None:
    """Who takes a proxy away while its advertisements are printed as JSON is said on stderr."""
    taken = asyncio.Event()
    async with kitchen(NEWEST) as proxy:
        proxy.add_observer(
            lambda event: taken.set() if isinstance(event, events.Subscribed) else None
        )
        scan = await Terminal.start(program, "scan", *way(proxy), "--json", "--for", "60")
        async with asyncio.timeout(DEADLINE):
            await taken.wait()
        thief = Peer(proxy)
        await thief.connect()
        thief.subscribe()
        await scan.until("another client (Home Assistant, say) took over its")
        scan.signal(signal.SIGINT)
        code, out = await scan.end()
        assert code == 130
        assert all(json.loads(line)["address"] for line in out.splitlines())
        await thief.close()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Return a program that scans for a second, if it can."""
    file = tmp_path / "scan.py"
    file.write_text(
        "import asyncio, bleak\n"
        "try:\n"
        "    asyncio.run(bleak.BleakScanner.discover(timeout=1))\n"
        "except bleak.exc.BleakBluetoothNotAvailableError:\n"
        "    print('no Bluetooth')\n"
    )
    return file


async def test_run_leaves_links_alone(program: Program, script: Path) -> None:
    """A program is run without the proxies that another client holds; the warning says why."""
    async with kitchen("2026.8") as proxy, running_program(proxy, links=True):
        done = await program.run("run", *way(proxy), script)
        assert (done.code, done.out) == (0, "no Bluetooth\n")
        assert "warning: no proxy can be used: kitchen: another client holds connec" in done.err
        assert "--take" in done.err
        assert proxy.snapshot().received[SUBSCRIBE] == 1


class Terminal:
    """A command on a terminal of its own; what it prints to stdout goes elsewhere."""

    def __init__(self, program: Program, arguments: tuple[str, ...]) -> None:
        self.shown = ""
        self._ours, theirs = os.openpty()
        self._process = subprocess.Popen(
            [PROGRAM, *arguments],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=program.environment | {"TERM": "dumb", "COLUMNS": "400"},
            # Hidden questions go to the terminal of the session, which is another one.
            start_new_session=True,
        )
        os.close(theirs)

    @classmethod
    async def start(cls, program: Program, *arguments: str) -> Self:
        """Run a command."""
        return await asyncio.to_thread(cls, program, arguments)

    async def until(self, text: str) -> None:
        """Wait until the terminal shows a text."""
        # A read that waits cannot be cancelled, but it ends with the command.
        end = asyncio.get_running_loop().call_later(DEADLINE, self._process.kill)
        try:
            while text not in self.shown:
                self.shown += (await asyncio.to_thread(os.read, self._ours, 4096)).decode()
        finally:
            end.cancel()

    async def type(self, text: str) -> None:
        """Type a text."""
        await asyncio.to_thread(os.write, self._ours, text.encode())

    def signal(self, sign: signal.Signals) -> None:
        """Send the command a signal."""
        self._process.send_signal(sign)

    async def end(self) -> tuple[int, str]:
        """Wait for the end; return exit code and what went to stdout."""
        try:
            out, _ = await asyncio.to_thread(self._process.communicate, timeout=DEADLINE)
        finally:
            self._process.kill()
            os.close(self._ours)
        return self._process.returncode, out.decode()


@pytest.mark.parametrize(
    ("answer", "code"), [("y\n", 0), ("\n", 1), ("n\n", 1), ("\x04", 1)], ids=repr
)
async def test_taking_is_asked_on_a_terminal(program: Program, answer: str, code: int) -> None:
    """Only yes takes the proxy over; anything else leaves it as it is."""
    async with kitchen("2026.8") as proxy, running_program(proxy, links=True):
        terminal = await Terminal.start(program, "scan", *way(proxy), "--for", "0.5")
        await terminal.until(QUESTION)
        assert proxy.snapshot().received[SUBSCRIBE] == 1
        await terminal.type(answer)
        ended, out = await terminal.end()
        assert ended == code
        assert (LAMP in out) == (code == 0)
        if code:
            assert proxy.snapshot().received[SUBSCRIBE] == 1


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_question_can_be_left(program: Program, sign: signal.Signals, code: int) -> None:
    """Ctrl-C and SIGTERM end the command at the question."""
    async with kitchen("2026.8") as proxy, running_program(proxy, links=True):
        terminal = await Terminal.start(program, "scan", *way(proxy))
        await terminal.until(QUESTION)
        terminal.signal(sign)
        assert (await terminal.end())[0] == code


async def test_taking_is_told_on_a_terminal(program: Program) -> None:
    """What cannot be known is said: a listener would be deaf now."""
    async with kitchen("2026.8") as proxy:
        terminal = await Terminal.start(program, "scan", *way(proxy), "--for", "0.5")
        await terminal.until("kitchen: whoever listened through it (Home Assistant, say) hears")
        assert (await terminal.end())[0] == 0


@pytest.mark.parametrize(
    ("taken", "coming", "text"),
    [
        (["hall"], [], "hall: whoever listened through it"),
        (["attic", "hall"], [], "attic, hall: whoever listened through them"),
        (["hall"], ["attic", "yard"], "hall, and attic, yard if as new: whoever listened through"),
    ],
)
def test_who_is_taken_from_whom(taken: list[str], coming: list[str], text: str) -> None:
    """Proxies that are not ready yet are named as well."""
    assert taken_text(taken, coming).startswith(text)
