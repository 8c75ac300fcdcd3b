"""A file with peripherals: which kind it is, and whether what is in it can be on the air."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from proxyconn.cli.config_file import ConfigError, read_text
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.peripheral_files.from_python import peripherals_of_module
from proxyconn_virtual.peripheral_files.from_toml import EVERY_PROXY, parse_peripherals
from proxyconn_virtual.radios.advertising_data import advertising_of

USUAL_RSSI = -60
"""dBm at every proxy, of a peripheral that does not say who hears it."""


def load_peripherals(
    source: str | Path, proxies: Sequence[str], *, prefix: str = ""
) -> list[Peripheral]:
    """Return the peripherals of a file, each heard by the proxies that it names, or by all.

    Args:
        source: `FILE.toml`, `FILE.py` or `FILE.py:NAME`.
        proxies: names of the proxies there are.
        prefix: what these names begin with, and the file may leave out.

    Raises:
        ConfigError: the file cannot be read or used; the text names file, place and what to do.
    """
    file, _, name = str(source).partition(".py:")
    path = Path(f"{file}.py" if name else file)
    if path.suffix == ".py":
        made = peripherals_of_module(path, name or None, proxies)
    elif path.suffix == ".toml":
        made = parse_peripherals(_read(path), str(path))
    else:
        raise ConfigError(f"{path}: is neither .toml nor .py; those are the files it can be")
    if not made:
        raise ConfigError(f"{path}: has no peripherals; a [[peripheral]] table is one")
    for peripheral in made:
        _check(peripheral, str(path))
    place_among(proxies, made, str(path), prefix=prefix)
    addresses = [peripheral.address_int for peripheral in made]
    for peripheral in made:
        if addresses.count(peripheral.address_int) > 1:
            raise ConfigError(
                f"{path}: two peripherals have the address {peripheral.address}; change one"
            )
    return made


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None


def _check(peripheral: Peripheral, source: str) -> None:
    """Raise ConfigError if a peripheral cannot advertise."""
    try:
        advertising_of(peripheral)
    except (ValueError, OverflowError) as exc:
        raise ConfigError(f"{source}: {exc}") from None


def place_among(
    proxies: Sequence[str], peripherals: Sequence[Peripheral], source: str, *, prefix: str = ""
) -> None:
    """Let peripherals be heard by the proxies that they name, or by all.

    Raises:
        ConfigError: there is no such proxy; the text begins with the source.
    """
    for peripheral in peripherals:
        heard: dict[str, int] = {}
        for name, rssi in peripheral.rssi.items():
            place = name if name in proxies else prefix + name
            if place not in proxies and name != EVERY_PROXY:
                raise ConfigError(
                    f"{source}: {peripheral.name!r}: rssi: no proxy {name!r}; "
                    f"there are: {', '.join(proxies)}"
                )
            heard |= dict.fromkeys(proxies if name == EVERY_PROXY else (place,), rssi)
        peripheral.rssi = heard or dict.fromkeys(proxies, USUAL_RSSI)
