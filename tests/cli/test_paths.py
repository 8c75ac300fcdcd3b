"""`proxyconn paths`, and what a configuration says about devices and adapters."""

from __future__ import annotations

import asyncio
import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from proxyconn import NO_RSSI_VALUE, RadioState
from proxyconn import Path as DevicePath
from proxyconn.cli.config_file import ConfigError, parse_config
from proxyconn.cli.display.rows import path_row
from proxyconn.cli.display.tables import paths_table
from proxyconn_virtual.fleet import VirtualFleet
from tests.cli.conftest import LAMP, Program


async def test_paths_explains_the_choice(
    program: Program, house: VirtualFleet, config: Path
) -> None:
    """Every path is shown with its score, the winner marked, and a sentence says why it won."""
    done = await program.run("paths", LAMP, "--config", config)
    assert (done.code, done.err) == (0, "")
    arrows = [line.split() for line in done.out.splitlines() if "→" in line]
    assert len(arrows) == 1
    winner = arrows[0][1]
    assert winner in house.proxies
    rows = [line for line in done.out.splitlines() if any(name in line for name in house.proxies)]
    assert len(rows) == 3
    assert done.out.splitlines()[-1].startswith(f"{winner} leads ")


def test_a_radio_that_never_heard_the_device() -> None:
    """One that is required is a path all the same, without an age: JSON knows no infinity."""
    required = DevicePath("attic", NO_RSSI_VALUE, math.inf, RadioState.READY, True, 3, 3)
    row = path_row(required)
    assert json.loads(json.dumps(row, allow_nan=False))["age"] is None
    shown = io.StringIO()
    Console(file=shown, width=120).print(paths_table([row]))
    assert "never" in shown.getvalue()


async def test_paths_json_adds_up(program: Program, house: VirtualFleet, config: Path) -> None:
    """The parts of each score come to the score; a preferred radio is worth more by its part."""
    preferred = f'[[device]]\naddress = "{LAMP}"\nprefer = ["garage"]\n'
    text = await asyncio.to_thread(config.read_text)
    await asyncio.to_thread(config.write_text, text + preferred)
    done = await program.run("paths", LAMP, "--config", config, "--json")
    assert done.code == 0
    document = done.json
    assert document["address"] == LAMP
    assert {row["source"] for row in document["paths"]} == set(house.proxies)
    for row in document["paths"]:
        assert row["score"] == pytest.approx(sum(row["parts"].values()), abs=0.5)
        assert ("preferred" in row["parts"]) == (row["source"] == "garage")
    assert document["paths"] == sorted(document["paths"], key=lambda row: -row["score"])


def test_config_pins_and_adapters() -> None:
    """Devices are named by address, radios by name; adapters by name or all of them."""
    text = """
    adapters = ["hci0"]
    [[device]]
    address = "c4-00-00-00-00-01"
    prefer = ["kitchen"]
    require = ["kitchen", "attic"]
    """
    config = parse_config(text, "a.toml")
    assert config.adapters == ("hci0",)
    assert config.prefer == {"C4:00:00:00:00:01": ("kitchen",)}
    assert config.require == {"C4:00:00:00:00:01": ("kitchen", "attic")}
    assert config.avoid == {}
    assert parse_config("adapters = true", "a.toml").adapters is True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("adapters = 1", "adapters must be true, false or a list"),
        ("adapters = [1]", "adapters must be true, false or a list"),
        ("[[device]]\nprefer = ['a']", "device 1: address is missing"),
        ("[[device]]\naddress = 'kettle'", "device 1: address must be an address"),
        (
            "[[device]]\naddress = 'C40000000001'\nprefer = 'a'",
            "device 1: prefer must be a list of names",
        ),
        ("[[device]]\naddress = 'C40000000001'\npefer = []", "did you mean prefer?"),
        ("device = 1", r"device must be a list of tables, each under \[\[device\]\]"),
    ],
)
def test_config_refuses_wrong_pins(text: str, words: str) -> None:
    """The error names the place and what belongs there."""
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        parse_config(text, "a.toml")
