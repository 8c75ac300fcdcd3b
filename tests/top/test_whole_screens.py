"""Whole screens of `proxyconn top`, character by character, on a fleet that never changes.

They are in the folder `screens`; WRITE_SCREENS=1 in the environment writes them anew.
"""

from __future__ import annotations

import asyncio
import html
import os
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from proxyconn.watch.rows import Row
from proxyconn_top.app import Top
from proxyconn_web.client import View

from .test_screen import until

SCREENS = Path(__file__).parent / "screens"
LAMP, LOCK, TAG = (f"C4:00:00:00:00:0{number}" for number in (1, 2, 3))
NOON = 1_790_000_000.0
COLUMN = 12.2
"""Width of a character in rich's pictures."""

PAGES = {"fleet": "1", "matrix": "2", "device": "3", "log": "4"}


def radio(state: str, free: int, *holders: tuple[str, bool]) -> Row:
    """Return a radio with three slots."""
    held = [
        {"address": address, "since": NOON - 90, "used": used, "client": "ha"}
        for address, used in holders
    ]
    slots = {"limit": 3, "free": free, "allocated": [one for one, _ in holders], "holders": held}
    return {"state": state, "problem": None, "firmware": "2026.10.0", "slots": slots}


def cell(rssi: int, ago: float) -> Row:
    """Return how a radio hears a device."""
    return {"rssi": rssi, "at": NOON - ago, "interval": 0.5}


def step(at: float, kind: str, source: str | None = None, text: str | None = None) -> Row:
    """Return a step of a connect."""
    return {"time": NOON + at, "step": kind, "source": source, "error": None, "text": text}


CONNECT: Row = {
    "address": LAMP,
    "client": "ha",
    "over": False,
    "steps": [
        step(-92, "queued"),
        step(-91.8, "chosen", "kitchen", "kitchen leads cellar by 20 dB."),
        step(-91.2, "services", "kitchen"),
        step(-90, "ready", "kitchen"),
    ],
}
PATH: Row = {
    "source": "kitchen", "usable": True, "obstacle": None, "score": -52.0, "rssi": -52,
    "parts": {"signal": -52.0}, "age": 0.4, "state": "ready", "slots": 3, "free": 1,
    "connecting": 0, "failures": 0.0, "radio_failures": 0.0, "pin": "neutral",
}  # fmt: skip
DEVICE: Row = {
    "address": LAMP, "time": NOON, "name": "Lamp", "service_uuids": [],
    "manufacturer_data": {"0x004c": "0215"}, "service_data": {}, "tx_power": None,
    "paths": [PATH, {**PATH, "source": "cellar", "score": -72.0, "rssi": -72, "free": 3}],
    "why": "kitchen leads cellar by 20 dB.", "mtu": 247, "services": [], "connects": [CONNECT],
    "pins": {"prefer": [], "avoid": [], "require": [], "ban": []},
}  # fmt: skip


def view() -> View:
    """Return a fleet of two radios, one link, one alarm and somebody who waits."""
    seen = View(time=NOON)
    alarm = {"kind": "orphan", "source": "kitchen", "address": LOCK, "since": NOON - 75}
    seen.tables |= {
        "radios": {
            "kitchen": radio("ready", 1, (LAMP, True), (LOCK, False)),
            "cellar": radio("silent", 3),
        },
        "devices": {
            LAMP: {"name": "Lamp", "source": "kitchen", "rssi": -52},
            LOCK: {"name": "Front door lock", "source": "cellar", "rssi": -71},
            TAG: {"name": None, "source": "kitchen", "rssi": -90},
        },
        "heard": {
            LAMP: {"kitchen": cell(-52, 0.4), "cellar": cell(-72, 0.6)},
            LOCK: {"cellar": cell(-71, 2)},
            TAG: {"kitchen": cell(-90, 30)},
        },
        "links": {
            LAMP: {
                "source": "kitchen", "client": "ha", "state": "connected", "since": NOON - 90,
                "mtu": 247,
            },
            TAG: {
                "source": None, "client": "tags", "state": "waiting", "since": NOON - 3,
                "mtu": None,
            },
        },
        "queue": {
            TAG: {
                "place": 1, "client": "tags", "only": None, "since": NOON - 3, "unreachable": False,
            }
        },
        "alarms": {"x": {**alarm, "text": f"kitchen: it holds a slot for {LOCK}"}},
        "connects": {"1": CONNECT},
    }  # fmt: skip
    said = [
        ("queued", None, "waits for a radio", -92.0),
        ("chosen", "kitchen", "attempt begins: kitchen leads cellar by 20 dB.", -91.8),
        ("services", "kitchen", "link is up, its services are being read", -91.2),
        ("ready", "kitchen", "connected", -90.0),
    ]
    seen.log = [
        {"number": number, "time": NOON + at, "kind": kind, "text": text, "source": source,
         "address": LAMP, "client": "ha"}
        for number, (kind, source, text, at) in enumerate(said, 1)
    ]  # fmt: skip
    return seen


def clustered() -> View:
    """Return the same fleet in a cluster of two owners, of which one says nothing."""
    seen = view()
    here, there = "north-1-3f9a61", "south-1-0badca"
    seen.tables["cluster"] = {"house": {"connected": False, "since": NOON - 8}}
    seen.tables["owners"] = {
        here: owner(here, "north", None, silent=False),
        there: owner(there, "south", NOON - 6, silent=True),
    }
    seen.tables["radios"]["kitchen"]["owner"] = here
    seen.tables["radios"]["cellar"]["owner"] = there
    return seen


def owner(name: str, site: str, at: float | None, *, silent: bool) -> Row:
    """Return an owner with one radio."""
    return {
        "owner": name, "site": site, "own": at is None, "lease": 10.0, "at": at, "silent": silent,
        "radios": 1, "links": 2, "slots": 3,
    }  # fmt: skip


class Still:
    """Tells of the same fleet for ever."""

    label = "a still life"

    def __init__(self, shown: Callable[[], View] = view) -> None:
        self._shown = shown

    async def views(self) -> AsyncGenerator[View, None]:
        """Yield it once."""
        yield self._shown()
        await asyncio.Event().wait()

    async def device(self, address: str) -> Row | None:
        """Return the lamp."""
        return DEVICE if address == LAMP else None

    async def disconnect(self, address: str) -> None:
        """Nothing."""


def drawn(pilot: Pilot[None]) -> str:
    """Return the screen with every character in its column."""
    # The title of the picture is no part of the screen.
    text = r'<text class="terminal-\d+-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>'
    lines: dict[float, str] = {}
    for x, y, said in re.findall(text, pilot.app.export_screenshot()):
        before = lines.get(float(y), "")
        column = round(float(x) / COLUMN)
        lines[float(y)] = before.ljust(column) + html.unescape(said).replace("\xa0", " ")
    return "\n".join(lines[y].rstrip() for y in sorted(lines)) + "\n"


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the wall clock in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_whole_screens(size: tuple[int, int]) -> None:
    """Every page looks as it did, to the last character."""
    screens: dict[str, str] = {}
    async with Top(Still()).run_test(size=size) as pilot:
        await until(pilot, lambda text: "2 radios" in text and "Quit" in text)
        await pilot.press("2")
        await until(pilot, lambda text: LAMP in text)
        await pilot.press("enter")
        await until(pilot, lambda text: "services" in text)
        for name, key in PAGES.items():
            await pilot.press(key)
            await pilot.pause(0.2)
            screens[name] = drawn(pilot)
    for name, screen in screens.items():
        await assert_looks(f"{name}-{size[0]}x{size[1]}", screen)


CLUSTERED = ("broker lost", "south-1", "orphan", "this one", "Quit")
"""Words of every part of the page, each of which is drawn by itself."""


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_cluster(size: tuple[int, int]) -> None:
    """Owners, whose each radio is, and that the broker is lost, on the page of the fleet."""
    async with Top(Still(clustered)).run_test(size=size) as pilot:
        await until(pilot, lambda text: all(one in text for one in CLUSTERED))
        await pilot.pause(0.2)
        screen = drawn(pilot)
    await assert_looks(f"cluster-{size[0]}x{size[1]}", screen)


async def assert_looks(name: str, screen: str) -> None:
    """Hold a screen to what it was."""
    file = SCREENS / f"{name}.txt"
    if os.environ.get("WRITE_SCREENS"):
        await asyncio.to_thread(file.write_text, screen, encoding="utf-8")
    assert screen == await asyncio.to_thread(file.read_text, encoding="utf-8"), name
