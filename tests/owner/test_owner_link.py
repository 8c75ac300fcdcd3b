"""What a program makes of an owner whose radios it cannot use, or may not have twice."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proxyconn import Fleet, RadioState, RadioUnavailableError, UnsupportedError
from proxyconn.fleet import backends
from proxyconn.fleet.owner_link import OwnerLink, parse_lent
from proxyconn.fleet.owner_socket import OWNER_PATH, SOCKET
from proxyconn.radio import FleetOptions, Radio, RadioSink

from .conftest import DEADLINE, until

HCI0 = {
    "name": "hci0",
    "state": str(RadioState.GONE),
    "problem": "it is powered off",
    "behind": [None, None],
    "connectable": False,
    "adapter": True,
}


def line(*radios: dict[str, Any]) -> bytes:
    """Return what an owner tells of its radios."""
    return json.dumps({"version": 1, "pid": 1, "radios": radios}).encode() + b"\n"


@pytest.fixture
async def hang_up() -> asyncio.Event:
    """Return what has the owner end its answers, once it is set."""
    return asyncio.Event()


@pytest.fixture
async def socket(tmp_path: Path, hang_up: asyncio.Event) -> AsyncIterator[Path]:
    """Return the socket of an owner whose only radio is an adapter that is off."""

    async def tell(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(line(HCI0))
        await hang_up.wait()
        return response

    app = web.Application()
    app.router.add_get(OWNER_PATH, tell)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / SOCKET)).start()
    yield tmp_path / SOCKET
    hang_up.set()
    await runner.cleanup()


@pytest.fixture
async def lines() -> asyncio.Queue[bytes]:
    """Return what an owner says next; nothing to have it hang up."""
    return asyncio.Queue()


@pytest.fixture
async def talker(tmp_path: Path, lines: asyncio.Queue[bytes]) -> AsyncIterator[Path]:
    """Yield the socket of an owner that says what it is told to say."""

    async def tell(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while said := await lines.get():
            await response.write(said)
        return response

    app = web.Application()
    app.router.add_get(OWNER_PATH, tell)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / SOCKET)).start()
    yield tmp_path / SOCKET
    lines.put_nowait(b"")
    await runner.cleanup()


class Sink:
    """Told of radios that cannot be used; the rest of a sink is not asked for."""

    def __init__(self) -> None:
        self.radios: list[str] = []
        self.told: list[tuple[str, RadioState, str | None]] = []

    def radio_added(self, radio: Radio) -> None:
        """A radio is there."""
        self.radios.append(radio.name)

    def radio_removed(self, radio: Radio) -> None:
        """A radio has gone."""
        self.radios.remove(radio.name)

    def state_changed(self, radio: Radio) -> None:
        """A radio is another one now."""
        self.told.append((radio.name, radio.state, radio.problem))


def fleet_of(
    monkeypatch: pytest.MonkeyPatch, seen: list[FleetOptions], error: Exception | None = None
) -> None:
    """Have fleets one backend, which writes down what it is to do, or cannot."""

    def make(options: FleetOptions, sink: RadioSink) -> None:
        seen.append(options)
        if error:
            raise error

    monkeypatch.setattr(backends, "load_backends", lambda: {"one": make})


@pytest.mark.parametrize("owner_is_named", [True, False])
async def test_what_cannot_be_used_at_the_start_is_said(
    socket: Path, monkeypatch: pytest.MonkeyPatch, owner_is_named: bool
) -> None:
    """At once, and not that no owner answers."""
    error = UnsupportedError("local adapters can be part of a fleet only on Linux, by BlueZ")
    fleet_of(monkeypatch, [], error)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(socket.parent))
    with pytest.raises(UnsupportedError, match="only on Linux"):
        await Fleet(owner=socket if owner_is_named else None).__aenter__()


async def test_what_cannot_be_used_later_is_tried_again(
    socket: Path,
    hang_up: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A word in the log, once, and the owner is followed on."""
    monkeypatch.setattr("proxyconn.fleet.owner_link.RETRY_AFTER", 0.01)
    failing, used = asyncio.Event(), asyncio.Event()
    failures = 0

    async def use(lent: object) -> None:
        nonlocal failures
        if failing.is_set() and failures < 3:
            failures += 1
            raise UnsupportedError("not here")
        used.set()

    sink: Any = Sink()
    link = OwnerLink(socket, sink, use)
    with caplog.at_level(logging.WARNING):
        await link.start()
        failing.set()
        used.clear()
        hang_up.set()
        async with asyncio.timeout(DEADLINE):
            await used.wait()
    assert failures == 3
    assert caplog.text.count("tried again: not here") == 1
    assert sink.radios == ["hci0"]
    await link.aclose()


async def test_a_later_trouble_is_said_as_well(
    socket: Path, hang_up: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each time in which nothing can be used, and not once for ever."""
    monkeypatch.setattr("proxyconn.fleet.owner_link.RETRY_AFTER", 0.01)
    said: list[str] = []
    monkeypatch.setattr(
        logging.getLogger("proxyconn.fleet.owner_link"),
        "log",
        lambda level, *_: said.append(logging.getLevelName(level)),
    )
    works = iter([True, False, False, True, False])
    over = asyncio.Event()

    async def use(lent: object) -> None:
        if not next(works, True):
            raise UnsupportedError("not here")
        if len(said) == 3:
            over.set()

    sink: Any = Sink()
    link = OwnerLink(socket, sink, use)
    hang_up.set()
    await link.start()
    async with asyncio.timeout(DEADLINE):
        await over.wait()
    assert said == ["WARNING", "DEBUG", "WARNING"]
    await link.aclose()


async def test_a_radio_that_cannot_be_used_is_shown_as_it_is_now(
    talker: Path, lines: asyncio.Queue[bytes]
) -> None:
    """Another state, with another problem; and no more once it can be used."""
    sink: Any = Sink()

    async def use(lent: object) -> None:
        """Nothing."""

    link = OwnerLink(talker, sink, use)
    lines.put_nowait(line(HCI0))
    await link.start()
    assert sink.radios == ["hci0"]
    lines.put_nowait(line(HCI0 | {"state": "connecting", "problem": "it is powered on"}))
    await until(lambda: bool(sink.told))
    assert sink.told == [("hci0", RadioState.CONNECTING, "it is powered on")]
    lines.put_nowait(line())
    await until(lambda: not sink.radios)
    await link.aclose()


async def test_an_owner_that_does_not_answer_is_none(tmp_path: Path) -> None:
    """Whatever else is wrong, that is another error."""
    sink: Any = Sink()

    async def use(lent: object) -> None:
        raise AssertionError

    link = OwnerLink(tmp_path / SOCKET, sink, use)
    with pytest.raises(RadioUnavailableError, match="no owner answers"):
        await link.start()


async def test_an_adapter_of_the_owner_that_is_off_is_not_opened_beside_it(
    socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the owner's all the same, which has it again once it is on."""
    seen: list[FleetOptions] = []
    fleet_of(monkeypatch, seen)
    async with Fleet(owner=socket, local_adapters=True) as fleet:
        assert [radio.name for radio in fleet.radios] == ["hci0"]
    assert [options.local_adapters for options in seen] == [False]


def test_radios_of_other_owners_are_no_adapters() -> None:
    """They have no address either; an owner of before does not tell which is which."""
    far = {**HCI0, "name": "attic", "adapter": False}
    of_before = {key: value for key, value in HCI0.items() if key != "adapter"}
    assert not parse_lent(json.loads(line(far))).has_adapters
    assert parse_lent(json.loads(line(far, HCI0))).has_adapters
    assert parse_lent(json.loads(line(of_before))).has_adapters
    with pytest.raises(ValueError, match="not what an owner says"):
        parse_lent({"version": 1, "pid": 1, "radios": ["hci0"]})
