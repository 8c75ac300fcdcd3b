"""What the tests of the command line share: the real program, and virtual proxies to use it on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from proxyconn.cli import make_app
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk
from proxyconn_virtual.simulated import SimulatedAir
from tests.cli.runner import Runner

PROGRAM = Path(sys.executable).with_name("proxyconn")
DEADLINE = 30.0
"""Seconds within which any command has ended."""

BATTERY, STATE, BEATS = "2a19", "6d1f0002-52a7-4f3c-9d0a-0a7c1f6e2b10", "2a37"
LAMP, LOCK, STRAP = (f"C4:00:00:00:00:0{number}" for number in (1, 2, 3))
INFORMATION = ServiceSpec(0x180A, (CharacteristicSpec(0x2A24, value=b"Model [X]"),))


def peripherals() -> list[Peripheral]:
    """Return a lamp, a lock that needs pairing and a heart rate strap."""
    heard = {"kitchen": -50, "garage": -70}
    switch = Properties.READ | Properties.WRITE
    level = CharacteristicSpec(BATTERY, Properties.READ, b"\x58")
    twice = ServiceSpec(0x180F, (level, level))
    lamp = CharacteristicSpec(STATE, switch | Properties.WRITE_WITHOUT_RESPONSE, b"\0")
    lock = CharacteristicSpec(STATE, switch, b"\1", encrypted=True)
    beats = CharacteristicSpec(
        BEATS, Properties.NOTIFY, notify_every=0.02, notify_value=lambda count: bytes((count,))
    )
    quiet = CharacteristicSpec(0x2A38, Properties.INDICATE)
    made = (
        (LAMP, "Lamp", (ServiceSpec("6d1f0001-52a7-4f3c-9d0a-0a7c1f6e2b10", (lamp,)), INFORMATION)),
        (LOCK, "[red]Lock", (ServiceSpec(0x1815, (lock,)), twice)),
        (STRAP, "Strap", (ServiceSpec(0x180D, (beats, quiet)),)),
    )
    return [
        Peripheral(address=address, name=name, services=services, rssi=heard, interval=0.05)
        for address, name, services in made
    ]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, one document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """What it printed, a document on each line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Program:
    """Runs the installed program, away from the user's own configuration.

    Args:
        home: folder to use as home.
        secrets: keys that no output may hold.

    Attributes:
        seconds: how long a command may take to its end.
    """

    def __init__(self, home: Path, secrets: list[str]) -> None:
        self.secrets = secrets
        self.seconds = DEADLINE
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PROXYCONN_")
        }
        self.environment |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
        self.environment |= {"COLUMNS": "120", "LC_ALL": "C.UTF-8"}

    async def run(
        self,
        *arguments: object,
        stdin: str = "",
        program: str | Path = PROGRAM,
        **environment: str,
    ) -> Done:
        """Run a command to its end."""
        return await asyncio.to_thread(self._run, (program, *arguments), stdin, environment)

    def _run(self, arguments: tuple[object, ...], stdin: str, more: dict[str, str]) -> Done:
        done = subprocess.run(
            [*map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=self.seconds,
            env=self.environment | more,
            check=False,
        )
        return self._done(done.returncode, done.stdout, done.stderr)

    async def run_until(self, ready: asyncio.Event, sign: signal.Signals, *arguments: str) -> Done:
        """Run a command, send it a signal once `ready` is set, and return how it ended."""
        trigger = threading.Event()
        run = asyncio.ensure_future(asyncio.to_thread(self._run_until, trigger, sign, arguments))
        try:
            async with asyncio.timeout(DEADLINE):
                await ready.wait()
        finally:
            # Whatever happened, the program must not outlive the test.
            trigger.set()
            done = await run
        return done

    def _run_until(
        self, trigger: threading.Event, sign: signal.Signals, arguments: tuple[str, ...]
    ) -> Done:
        process = self._start(arguments)
        try:
            trigger.wait(DEADLINE)
            process.send_signal(sign)
            out, err = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
        return self._done(process.returncode, out, err)

    def _start(self, arguments: tuple[object, ...]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    @asynccontextmanager
    async def running(
        self, sign: signal.Signals, *arguments: object
    ) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
        """Run a command, with what reads its next JSON line; end it with a signal."""
        process = await asyncio.to_thread(self._start, arguments)
        assert process.stdout is not None
        read = process.stdout.readline

        async def next_line() -> Any:
            async with asyncio.timeout(DEADLINE):
                return json.loads(await asyncio.to_thread(read))

        try:
            yield next_line
        finally:
            process.send_signal(sign)
            try:
                out, err = await asyncio.to_thread(process.communicate, timeout=DEADLINE)
            finally:
                process.kill()
        done = self._done(process.returncode, out, err)
        assert (done.code, done.err) == (128 + sign, "")

    def _done(self, code: int, out: str, err: str) -> Done:
        for secret in self.secrets:
            assert secret not in out + err, "a key was printed"
        assert "Traceback" not in err, err
        return Done(code, out, err)


@pytest.fixture
def secrets() -> list[str]:
    """Return the keys that no output may hold; the first is the fleet's, the second a wrong one."""
    return [new_noise_psk(), new_noise_psk()]


@pytest.fixture
def program(tmp_path: Path, secrets: list[str]) -> Program:
    """Return the program."""
    return Program(tmp_path, secrets)


@pytest.fixture
async def house(secrets: list[str]) -> AsyncIterator[VirtualFleet]:
    """Return two proxies with two slots each among three devices; not announced."""
    specs = [ProxySpec(name=name, noise_psk=secrets[0], slots=2) for name in ("kitchen", "garage")]
    async with VirtualFleet(specs, peripherals(), announce=False) as fleet:
        yield fleet


@pytest.fixture
def config(house: VirtualFleet, secrets: list[str], tmp_path: Path) -> Path:
    """Return a configuration file for the house."""
    file = tmp_path / "house.toml"
    text = f'discover = false\nkey = "{secrets[0]}"\n'
    for proxy in house.proxies.values():
        text += f'[[proxy]]\nhost = "{proxy.host}"\nport = {proxy.port}\nname = "{proxy.name}"\n'
    file.touch(mode=0o600)
    file.write_text(text)
    return file


@pytest.fixture
def air(house: VirtualFleet) -> SimulatedAir:
    """Return the air of the house, to meddle with."""
    assert isinstance(house.air, SimulatedAir)
    return house.air


@pytest.fixture
def runner(program: Program, config: Path, tmp_path: Path) -> Runner:
    """Return what runs other people's programs on the house."""
    for folder in ("", "thing", "bin"):
        (tmp_path / "programs" / folder).mkdir()
    return Runner(PROGRAM, program.environment, config, tmp_path / "programs")


Invoke = Callable[..., Result]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Invoke:
    """Return a function that runs a command in this process, for what ends before any waiting."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("PROXYCONN_KEY", raising=False)
    return lambda *arguments: CliRunner().invoke(make_app(), [str(one) for one in arguments])


async def all_free(house: VirtualFleet) -> None:
    """Wait until no proxy holds a slot or a client; they notice a client's end by themselves."""
    async with asyncio.timeout(5.0):
        while any(  # noqa: ASYNC110 - there is no event for both
            snapshot.slots or snapshot.clients
            for snapshot in (proxy.snapshot() for proxy in house.proxies.values())
        ):
            await asyncio.sleep(0.01)
