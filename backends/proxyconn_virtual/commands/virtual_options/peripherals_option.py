"""The option `--peripherals`: which virtual devices stand around the proxies."""

from __future__ import annotations

import random
from collections.abc import Sequence

import typer

from proxyconn.cli.config_file import ConfigError
from proxyconn_virtual.catalogue import household
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.peripheral_files import load_peripherals

SYNTAX = "FILE.toml|FILE.py[:NAME]"

_BATTERY = 0x180F
_LEVEL = 0x2A19
_FIRST_ADDRESS = 0xC40000010000


def peripherals_around(
    names: Sequence[str], prefix: str, *, files: Sequence[str], devices: int | None, seed: int
) -> list[Peripheral]:
    """Return those of the files and so many of a crowd; the household if neither is asked for.

    Raises typer.BadParameter for a file that cannot be used.
    """
    if not files and devices is None:
        return household(names, seed)
    made = crowd(names, devices or 0, seed)
    for file in files:
        try:
            made += load_peripherals(file, names, prefix=prefix)
        except ConfigError as error:
            raise typer.BadParameter(str(error), param_hint="--peripherals") from None
    return made


def crowd(proxies: Sequence[str], count: int, seed: int) -> list[Peripheral]:
    """Return `count` peripherals with a battery each, anywhere among the proxies."""
    rng = random.Random(seed)
    made = []
    for number in range(1, count + 1):
        level = CharacteristicSpec(
            _LEVEL, Properties.READ | Properties.NOTIFY, bytes((rng.randrange(101),))
        )
        octets = (_FIRST_ADDRESS + number).to_bytes(6, "big")
        made.append(
            Peripheral(
                address=octets.hex(":").upper(),
                name=f"Device {number}",
                services=(ServiceSpec(_BATTERY, (level,)),),
                rssi={proxy: rng.randrange(-90, -50) for proxy in proxies},
                interval=rng.uniform(0.2, 1.0),
            )
        )
    return made
