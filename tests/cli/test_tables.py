"""Tables and trees, as text."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console, RenderableType

from proxyconn.cli.display.tables import devices_table, loudest, proxies_table, slots_table
from proxyconn.cli.output import printable, value_markup, value_text

Draw = Callable[[RenderableType], list[str]]


@pytest.fixture
def console() -> Console:
    """Return a console of 80 columns."""
    return Console(file=io.StringIO(), width=80, emoji=False)


@pytest.fixture
def draw(console: Console) -> Draw:
    """Return a function that draws, and returns the lines that are not blank."""

    def draw(picture: RenderableType) -> list[str]:
        with console.capture() as capture:
            console.print(picture)
        return [line.strip() for line in capture.get().splitlines() if line.strip()]

    return draw


def device(name: str, *heard: tuple[str, int]) -> dict[str, Any]:
    """Return the row of a device."""
    paths = [{"source": source, "rssi": rssi, "age": 0.2} for source, rssi in heard]
    best = max(rssi for _, rssi in heard)
    return {"name": name, "address": "C4:00:00:00:00:01", "rssi": best, "age": 0.2, "paths": paths}


def test_slots_held(console: Console, draw: Draw) -> None:
    """A held slot is a full cell, and its holder is named; one that reports nothing has none."""
    held = {"limit": 3, "free": 1, "allocated": ["C4:00:00:00:00:01", "C4:00:00:00:00:02"]}
    rows: list[dict[str, Any]] = [
        {"name": "kitchen", "slots": held, "state": "ready"},
        {"name": "garage", "slots": None, "state": "gone"},
    ]
    lines = draw(slots_table(rows, {"C4:00:00:00:00:01": "[b]Lamp"}.get, console))
    cells = ["■", "■", "□", "1/3"]
    assert lines[2].split() == ["kitchen", "ready", *cells, "C4:00:00:00:00:01", "[b]Lamp"]
    assert lines[3] == "C4:00:00:00:00:02"
    assert lines[4].split(maxsplit=4) == ["garage", "gone", "-", "-", "no slots reported"]


def test_scan_modes_that_are_known_are_shown(draw: Draw) -> None:
    """A proxy that scans otherwise than its YAML says is told apart; without any, no column."""
    known = {"name": "kitchen", "host": None, "port": None, "firmware": "2026.10.0"}
    state = {"state": "ready", "connectable": True, "slots": None}
    row = known | state | {"scan_mode": "passive", "configured_scan_mode": "active"}
    unknown = row | {"scan_mode": None, "configured_scan_mode": None}
    lines = draw(proxies_table([row, unknown]))
    assert "passive (YAML: active)" in lines[2]
    assert "Scan" in lines[0]
    assert "Scan" not in draw(proxies_table([unknown]))[0]


def test_devices_loudest_first(draw: Draw) -> None:
    """Devices stand in order of their best signal; one that a proxy does not hear has a dash."""
    rows = [device("far", ("a", -80), ("b", -90)), device("near", ("b", -40))]
    lines = draw(devices_table(rows, ["a", "b"]))
    assert [line.split()[0] for line in lines[2:]] == ["near", "far"]
    assert lines[2].split()[2:5] == ["-40", "-", "-40"]


def test_devices_many_proxies(draw: Draw) -> None:
    """More proxies than fit side by side share one column."""
    sources = [f"proxy-{number}" for number in range(5)]
    lines = draw(devices_table([device("x", ("proxy-3", -60), ("proxy-0", -70))], sources))
    assert "Heard by" in lines[0]
    assert "proxy-3 -60, proxy-0 -70" in lines[2]


def test_devices_take_one_line_each_if_they_have_to_fit(draw: Draw) -> None:
    """A device that many proxies hear is cut off on a screen, not wrapped; off one it is whole."""
    sources = [f"proxy-{number}" for number in range(9)]
    rows = [device(name, *((one, -60) for one in sources)) for name in ("x", "y" * 40)]
    fitting = draw(devices_table(rows, sources, fit=True))
    assert len(fitting) == 2 + len(rows)
    assert "proxy-0 -60" in fitting[2]
    assert fitting[2].count("…") == 1
    whole = " ".join(draw(devices_table(rows, sources)))
    assert "…" not in whole
    assert "proxy-8" in whole


def test_devices_that_fit(draw: Draw) -> None:
    """What stands under the table is seen on a small screen too; the faintest devices are not."""
    console = Console(file=io.StringIO(), width=40, height=10)
    rows = [device(f"device-{number}", ("a", -40 - number)) for number in range(20)]
    notes = ["kitchen: gone: " + "x" * 30]
    kept, shown = loudest(rows, notes, console)
    assert [row["name"] for row in kept] == ["device-0", "device-1", "device-2"]
    assert shown == ["and 17 that are not as loud", *notes]
    assert loudest(rows[:4], notes, console) == (rows[:4], notes)


def test_printable() -> None:
    """What a stranger advertises cannot steer the terminal."""
    assert printable("a\x1b[31mb\nc\u202ed") == "a\N{REPLACEMENT CHARACTER}[31mb" + (
        "\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}d"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"abc\0", "abc"),
        (b"X", None),
        (b"X\0", None),
        (b"\xff", None),
        (b"\x1b[31m", None),
        (b"", None),
        (b"x" * 65, None),
    ],
)
def test_value_text(value: bytes, text: str | None) -> None:
    """A value is text only if it can be shown as such."""
    assert value_text(value) == text


def test_value_markup(draw: Draw) -> None:
    """A value is shown as bytes, as a number, and as text that is not read as markup."""
    assert draw(value_markup(b"X")) == ["58  88"]
    assert draw(value_markup(b"\x01\x02")) == ["01 02  513"]
    assert draw(value_markup(b"\0\0\0\xff")) == ["00 00 00 ff  4278190080"]
    assert draw(value_markup(b"Lamp")) == ['4c 61 6d 70  1886216524  "Lamp"']
    assert draw(value_markup(b"[b]")) == ['5b 62 5d  "[b]"']
    assert draw(value_markup(b"")) == ["(empty)"]
