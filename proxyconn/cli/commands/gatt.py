"""Commands that act on one device: services, read, write, notify, params."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.service import BleakGATTServiceCollection

from proxyconn.att import BASE_UUID_TAIL
from proxyconn.cli.display.rows import service_rows, value_row
from proxyconn.cli.display.tables import services_tree, short_uuid
from proxyconn.cli.errors import CommandFailedError
from proxyconn.cli.fleet_session import Settings, connected
from proxyconn.cli.option_types import Address, AsJson, Pair, Seconds
from proxyconn.cli.options import fleet_command
from proxyconn.cli.output import print_json, safe, stderr, stdout, value_markup, while_read
from proxyconn.radio import ConnectionParameters

LEAVE_TIME = 0.5
"""Seconds for a write without response, which nobody confirms, to leave before the link is closed:
some connection events at the usual intervals of 30 to 50 ms."""

_NOTIFYING = frozenset(("notify", "indicate"))
"""Properties of a characteristic that sends values by itself."""

_SHORT_UUID = re.compile(r"(?:[0-9a-f]{4}|[0-9a-f]{8})")
_HANDLE = re.compile(r"0x[0-9a-f]{1,4}|\d{1,3}|\d{5}")
_SEPARATORS = re.compile(r"[\s:_-]+|^0x")


def parse_characteristic(text: str) -> str | int:
    """Return a characteristic's 128-bit UUID or its handle. Raises typer.BadParameter."""
    text = text.lower()
    if _SHORT_UUID.fullmatch(text):
        return text.zfill(8) + BASE_UUID_TAIL
    if _HANDLE.fullmatch(text):
        return int(text, 16 if text.startswith("0x") else 10)
    try:
        return str(UUID(text))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a UUID (2a19, or all 36 characters) nor a handle (16, or 0x0010)"
        ) from None


def parse_hex(text: str) -> bytes:
    """Return the bytes of a HEX argument. Raises typer.BadParameter."""
    try:
        return bytes.fromhex(_SEPARATORS.sub("", text))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not hexadecimal: two digits for each byte, as in 01ff or 01:ff"
        ) from None


Characteristic = Annotated[
    str,
    typer.Argument(
        metavar="CHAR", help="UUID or handle of the characteristic.", parser=parse_characteristic
    ),
]

Values = asyncio.Queue[tuple[datetime, bytes] | None]
"""Values and when they came; None once the link is lost."""


def choose(services: BleakGATTServiceCollection, wanted: str | int) -> BleakGATTCharacteristic:
    """Return the characteristic with this UUID or handle.

    Raises:
        CommandFailedError: there is none, or more than one.
    """
    there = list(services.characteristics.values())
    found = [one for one in there if wanted in (one.uuid, one.handle)]
    if len(found) == 1:
        return found[0]
    if found:
        handles = ", ".join(str(one.handle) for one in found)
        raise CommandFailedError(
            f"{len(found)} characteristics have the UUID {short_uuid(found[0].uuid)}; "
            f"choose one by its handle: {handles}"
        )
    if isinstance(wanted, int):
        raise CommandFailedError(_no_handle(there, wanted))
    uuids = ", ".join(dict.fromkeys(short_uuid(one.uuid) for one in there))
    raise CommandFailedError(
        f"the device has no characteristic with UUID {short_uuid(wanted)}; it has {uuids}"
    )


def _no_handle(there: Sequence[BleakGATTCharacteristic], wanted: int) -> str:
    handles = ", ".join(f"{one.handle} ({short_uuid(one.uuid)})" for one in there)
    text = f"the device has no characteristic with handle {wanted}; it has {handles}"
    uuid = f"{wanted:04x}"
    if uuid in (short_uuid(one.uuid) for one in there):
        text += f"; for the UUID write {uuid}"
    return text


@fleet_command
async def services(
    settings: Settings, *, address: Address, pair: Pair = False, as_json: AsJson = False
) -> None:
    """Show the services and characteristics of a device."""
    async with connected(settings, address, pair=pair) as client:
        rows = service_rows(client.services)
        title = f"{client.name}  {client.address}"
        device = {"address": client.address, "name": client.name, "mtu": client.mtu_size}
    if as_json:
        print_json({**device, "services": rows})
    else:
        stdout().print(services_tree(title, rows))


@fleet_command
async def read(
    settings: Settings,
    *,
    address: Address,
    characteristic: Characteristic,
    pair: Pair = False,
    as_json: AsJson = False,
) -> None:
    """Read a characteristic.

    Prints its bytes; 1, 2 or 4 of them as a number too, unsigned and the lowest byte first; and
    text as text.
    """
    async with connected(settings, address, pair=pair) as client:
        chosen = choose(client.services, characteristic)
        _check_readable(chosen)
        value = bytes(await client.read_gatt_char(chosen))
    if as_json:
        print_json({"address": client.address, **value_row(chosen, value)})
    else:
        stdout().print(value_markup(value), soft_wrap=True)


def _check_readable(characteristic: BleakGATTCharacteristic) -> None:
    """Raise CommandFailedError unless the characteristic says that it can be read."""
    properties = set(characteristic.properties)
    if "read" not in properties:
        hint = "; try `proxyconn notify`" if _NOTIFYING & properties else ""
        raise _cannot(characteristic, "cannot be read", hint)


def _cannot(
    characteristic: BleakGATTCharacteristic, what: str, hint: str = ""
) -> CommandFailedError:
    properties = ", ".join(characteristic.properties) or "none"
    return CommandFailedError(
        f"characteristic {short_uuid(characteristic.uuid)} {what}; "
        f"its properties are {properties}{hint}"
    )


@fleet_command
async def write(
    settings: Settings,
    *,
    address: Address,
    characteristic: Characteristic,
    value: Annotated[
        bytes, typer.Argument(metavar="HEX", help="Bytes to write, as in 01ff.", parser=parse_hex)
    ],
    no_response: Annotated[
        bool, typer.Option("--no-response", help="Write without asking for a response.")
    ] = False,
    pair: Pair = False,
    as_json: AsJson = False,
) -> None:
    """Write a characteristic."""
    async with connected(settings, address, pair=pair) as client:
        chosen = choose(client.services, characteristic)
        response = _way_to_write(chosen, no_response=no_response)
        try:
            await client.write_gatt_char(chosen, value, response=response)
            if not response:
                await asyncio.sleep(LEAVE_TIME)
        except ValueError as exc:
            raise typer.BadParameter(str(exc)) from None
    if as_json:
        row = {"address": client.address, **value_row(chosen, value), "response": response}
        print_json(row)
    else:
        how = "acknowledged" if response else "without response"
        count = f"{len(value)} byte" + ("" if len(value) == 1 else "s")
        stdout().print(f"wrote {count} to {short_uuid(chosen.uuid)}, {how}")


def _way_to_write(characteristic: BleakGATTCharacteristic, *, no_response: bool) -> bool:
    """Return whether to ask for a response; a write that nobody takes would look like success.

    Raises:
        CommandFailedError: the characteristic does not take such a write.
    """
    properties = characteristic.properties
    ways = [
        response
        for response, name in ((True, "write"), (False, "write-without-response"))
        if name in properties and not (response and no_response)
    ]
    if ways:
        return ways[0]
    how = " without response" if no_response else ""
    raise _cannot(characteristic, f"cannot be written{how}")


@fleet_command
async def notify(
    settings: Settings,
    *,
    address: Address,
    characteristic: Characteristic,
    duration: Seconds = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="End after so many values.")
    ] = None,
    pair: Pair = False,
    as_json: AsJson = False,
) -> None:
    """Print the values that a device notifies or indicates, until Ctrl-C.

    Each as `read` does.
    """
    values: Values = asyncio.Queue()
    async with connected(
        settings, address, pair=pair, on_lost=lambda: values.put_nowait(None)
    ) as client:
        chosen = choose(client.services, characteristic)
        if not _NOTIFYING & set(chosen.properties):
            raise _cannot(chosen, "does not notify")
        await client.start_notify(
            chosen, lambda sender, value: values.put_nowait((_now(), bytes(value)))
        )
        if stderr().is_terminal:
            stderr().print(f"[dim]subscribed to {short_uuid(chosen.uuid)}; Ctrl-C ends[/]")
        printer = Printer(client.address, chosen, as_json)
        with contextlib.suppress(TimeoutError):
            async with while_read(), asyncio.timeout(duration):
                await printer.print(values, count)
    if count is not None and printer.printed < count:
        raise CommandFailedError(
            f"only {printer.printed} of {count} values came within {duration:g} s"
        )


def _now() -> datetime:
    return datetime.now(UTC).astimezone()


@dataclass
class Printer:
    """Prints values of a characteristic as they come, and counts them."""

    address: str
    characteristic: BleakGATTCharacteristic
    as_json: bool
    printed: int = 0

    async def print(self, values: Values, count: int | None) -> None:
        """Print `count` values, or go on for ever; None among them is the end of the link.

        Raises:
            CommandFailedError: the link was lost.
        """
        while count is None or self.printed < count:
            item = await values.get()
            if item is None:
                raise CommandFailedError(
                    f"{self.address}: the link was lost after {self.printed} values"
                )
            self._print(*item)
            self.printed += 1

    def _print(self, at: datetime, value: bytes) -> None:
        if self.as_json:
            row = {"time": at.isoformat(), "address": self.address}
            print_json({**row, **value_row(self.characteristic, value)})
        else:
            clock = f"[dim]{at:%H:%M:%S}.{at.microsecond // 1000:03}[/]"
            stdout().print(f"{clock}  {value_markup(value)}", soft_wrap=True)


@fleet_command
async def params(
    settings: Settings,
    *,
    address: Address,
    min_interval: Annotated[
        int, typer.Argument(metavar="MIN", help="Shortest interval, 6 to 3200, in 1.25 ms.")
    ],
    max_interval: Annotated[
        int, typer.Argument(metavar="MAX", help="Longest interval, MIN to 3200, in 1.25 ms.")
    ],
    latency: Annotated[
        int, typer.Argument(metavar="LATENCY", help="Events the device may skip, 0 to 499.")
    ],
    supervision: Annotated[
        int, typer.Argument(metavar="TIMEOUT", help="Supervision timeout, 10 to 3200, in 10 ms.")
    ],
    pair: Pair = False,
    as_json: AsJson = False,
) -> None:
    """Ask a device for other connection parameters."""
    values = (min_interval, max_interval, latency, supervision)
    try:
        ConnectionParameters(*values)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None
    async with connected(settings, address, pair=pair) as client:
        await client.set_connection_params(*values)
        name = client.name
    names = ("min_interval", "max_interval", "latency", "timeout")
    if as_json:
        print_json({"address": client.address, **dict(zip(names, values, strict=True))})
    else:
        stdout().print(
            f"{safe(name)} was asked for {min_interval * 1.25:g} to "
            f"{max_interval * 1.25:g} ms, latency {latency}, timeout {supervision / 100:g} s"
        )
