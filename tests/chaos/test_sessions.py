"""The sessions of the chaos run notice what clients must not do, and are decided by the seed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from bleak.exc import BleakCharacteristicNotFoundError, BleakError

from scripts.chaos_run import sessions, world
from scripts.chaos_run.plans import Plan, Step, plan
from scripts.chaos_run.record import Record
from scripts.chaos_run.setting import Setting
from scripts.chaos_run.world import identity

pytestmark = pytest.mark.looptime

ADDRESS = "C4:00:00:00:00:01"
SAID = identity(ADDRESS)


class FakeClient:
    """A client that does as it is told, or not quite."""

    def __init__(self, lost: Callable[[Any], None]) -> None:
        self.lost = lost
        self.value = SAID
        self.stream = SAID + b"1"
        self.callbacks = 1
        self.missing = False
        self.done: list[str] = []
        self.callback: Callable[[Any, bytearray], None] | None = None

    async def read_gatt_char(self, uuid: str) -> bytearray:
        """Read."""
        self.done.append("read")
        if self.missing:
            raise BleakCharacteristicNotFoundError(uuid)
        return bytearray(self.value)

    async def write_gatt_char(self, uuid: str, data: bytes, response: bool) -> None:
        """Write."""
        self.done.append("write" if response else "command")

    async def start_notify(self, uuid: str, callback: Callable[[Any, bytearray], None]) -> None:
        """Subscribe."""
        self.done.append("notify")
        callback(uuid, bytearray(self.stream))

    async def stop_notify(self, uuid: str) -> None:
        """Unsubscribe."""
        self.done.append("stop")

    async def clear_cache(self) -> bool:
        """Forget the services."""
        self.done.append("clear cache")
        return True

    async def disconnect(self) -> None:
        """Close the link, and say so."""
        self.done.append("disconnect")
        for _ in range(self.callbacks):
            self.lost(self)


class FakeSide:
    """A side with one client."""

    def __init__(self) -> None:
        self.change: Callable[[FakeClient], None] = lambda client: None
        self.client: FakeClient | None = None
        self.error: Exception | None = None

    def hears(self, address: str) -> bool:
        """Always."""
        return True

    async def connect(
        self, address: str, deadline: float, lost: Callable[[Any], None]
    ) -> FakeClient:
        """Connect."""
        if self.error:
            raise self.error
        self.client = FakeClient(lost)
        self.change(self.client)
        return self.client

    def keep(self, address: str, lost: Callable[[], None]) -> None:
        """Keep nothing."""


async def one_session(
    side: FakeSide, *names: str, monkeypatch: pytest.MonkeyPatch, flood: int = 0
) -> Record:
    """Hold one session of some steps; return what was recorded."""
    steps = tuple(Step(name, b"data", 1.0, None) for name in names)
    chosen = Plan(0.1, 10.0, None, steps, None, 10.0, flood)
    monkeypatch.setattr(sessions, "plan", lambda *args: chosen)
    record = Record()
    device = sessions.Device(Setting(), 0, ADDRESS, side, record)  # type: ignore[arg-type]
    running = asyncio.create_task(device.run())
    await asyncio.sleep(0.2)
    device.stop()
    await running
    return record


def broken(record: Record) -> list[str]:
    """Return the invariants that did not hold."""
    return [violation.invariant for violation in record.violations]


async def test_a_session_does_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, and the link is closed in the end."""
    side = FakeSide()
    names = ("read", "write", "command", "notify", "wait")
    record = await one_session(side, *names, monkeypatch=monkeypatch)
    assert side.client
    assert side.client.done == ["read", "write", "command", "notify", "stop", "disconnect"]
    assert (record.sessions, record.completed, record.drops) == (1, 1, 1)
    assert not record.violations


@pytest.mark.parametrize("times", [0, 2])
async def test_callbacks_are_counted(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """None for a link that ended is as wrong as two."""
    side = FakeSide()
    side.change = lambda client: setattr(client, "callbacks", times)
    record = await one_session(side, "read", monkeypatch=monkeypatch)
    assert broken(record) == ["one disconnected callback per drop"]


@pytest.mark.parametrize(
    ("step", "what", "invariant"),
    [
        ("read", "value", "an answer belongs to its question"),
        ("notify", "stream", "a notification belongs to its device"),
    ],
)
async def test_data_of_another_device(
    step: str, what: str, invariant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noticed."""
    side = FakeSide()
    side.change = lambda client: setattr(client, what, b"other")
    record = await one_session(side, step, monkeypatch=monkeypatch)
    assert broken(record) == [invariant]


async def test_a_missing_characteristic(monkeypatch: pytest.MonkeyPatch) -> None:
    """The services are forgotten, as the guide has it, and the link is closed."""
    side = FakeSide()
    side.change = lambda client: setattr(client, "missing", True)
    record = await one_session(side, "read", "write", monkeypatch=monkeypatch)
    assert side.client
    assert side.client.done == ["read", "clear cache", "disconnect"]
    assert record.outcomes["read"] == {"characteristic missing": 1}
    assert record.completed == 0


async def test_a_session_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no breach, and the device counts as failing."""
    side = FakeSide()
    side.error = BleakError("no")
    record = await one_session(side, "read", monkeypatch=monkeypatch)
    assert (record.completed, record.drops, broken(record)) == (0, 0, [])
    record.succeeded(ADDRESS)
    assert len(record.outages) == 1


def test_plans_depend_on_seed_device_and_number_alone() -> None:
    """The same ones make the same plan; others make others."""
    first = plan(1, ADDRESS, 0, 2.0)
    assert first == plan(1, ADDRESS, 0, 2.0)
    others = [plan(2, ADDRESS, 0, 2.0), plan(1, "other", 0, 2.0), plan(1, ADDRESS, 1, 2.0)]
    assert all(other != first for other in others)


async def test_a_session_may_end_in_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are written all at once, after everything else."""
    side = FakeSide()
    await one_session(side, "read", monkeypatch=monkeypatch, flood=30)
    assert side.client
    assert side.client.done == ["read", *["command"] * 30, "disconnect"]
    floods = [plan(1, ADDRESS, number, 2.0).flood for number in range(300)]
    assert 20 < sum(flood > 0 for flood in floods) < 70


def test_commands_in_disorder_are_noticed() -> None:
    """One that comes after a later one, or twice; another flood begins anew."""
    disordered: list[str] = []
    ear = world.Ear(ADDRESS, disordered)
    for name, number in ((b"name", 0), (b"name", 2), (b"othr", 0), (b"othr", 1)):
        command = world.flood_command(name, number)
        assert ear(command) == command[::-1]
    assert not disordered
    ear(world.flood_command(b"othr", 1))
    ear(world.flood_command(b"othr", 0))
    assert len(disordered) == 2


def test_plans_differ() -> None:
    """Every operation comes up, and everything that may be cancelled is, now and then."""
    plans = [plan(1, ADDRESS, number, 2.0) for number in range(300)]
    steps = [step for chosen in plans for step in chosen.steps]
    assert {step.name for step in steps} == {"read", "write", "command", "notify", "wait"}
    for cancelled in (
        [chosen.cancel_connect for chosen in plans],
        [chosen.cancel_disconnect for chosen in plans],
        [step.cancel_after for step in steps],
    ):
        assert 0 < sum(after is not None for after in cancelled) < len(cancelled) / 4
