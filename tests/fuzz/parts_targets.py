"""Parts that take bytes from strangers, each by itself: fast, and without a network."""

from __future__ import annotations

from collections.abc import Callable

import typer
from google.protobuf.message import DecodeError

from proxyconn.cli.commands.gatt import parse_characteristic, parse_hex
from proxyconn.cli.config_file import ConfigError, parse_config
from proxyconn.cli.option_types import parse_address, parse_interface, parse_proxy
from proxyconn_esphome.advertisement_data import advertisement_data
from proxyconn_esphome.link.services.gatt_cache import KnownDevice
from proxyconn_esphome.link.services.services_table import service_collection
from proxyconn_native_api.frames import Frames, NoiseFrames, PlaintextFrames, Received
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.commands.virtual_options.fault_options import parse_faults
from proxyconn_virtual.commands.virtual_options.option_types import (
    parse_ipv4,
    parse_prefix,
    parse_radio,
)
from proxyconn_virtual.firmware.profiles import NEWEST

from .choices import Choices
from .world import BrokenError

WORDS = (
    *("discover", "key", "keys", "proxy", "adapters", "device", "host", "port", "name"),
    *("address", "prefer", "avoid", "require", "true", "false", "6053", "0", "-1", "1e9", "inf"),
    *("=", "[", "]", "[[", "]]", "\n", '"', '"""', "'", ",", ".", "{", "}", "#", " ", "\\u0000"),
    *('"kitchen"', '"10.0.0.7"', "[[proxy]]\n", "[[device]]\n", "[keys]\n", "1979-05-27"),
    *('"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="', '"C4:00:00:00:00:01"', "9" * 5000),
)

OPTIONS: tuple[Callable[[str], object], ...] = (
    parse_proxy,
    parse_address,
    parse_interface,
    parse_characteristic,
    parse_hex,
    parse_prefix,
    parse_ipv4,
    parse_radio,
    lambda text: parse_faults([text], ["kitchen"], profile=NEWEST, plaintext=False),
)


def fuzz_frames(tape: bytes) -> None:
    """Feed a proxy's framing: however the bytes are cut, the same comes out."""
    choices = Choices(tape)
    noise = bool(choices.byte() & 1)
    cuts = [1 + choices.below(300) for _ in range(choices.below(8))]
    data = choices.bytes(1 << 16)
    whole, parts = _framing(noise), _framing(noise)
    once = whole.feed(data)
    in_parts = Received()
    for cut in [*cuts, len(data) or 1]:
        if in_parts.close:
            break
        received = parts.feed(data[:cut])
        in_parts.messages += received.messages
        in_parts.reply += received.reply
        in_parts.close = received.close
        data = data[cut:]
    if not noise and once.messages != in_parts.messages:
        raise BrokenError(f"{once} is not {in_parts}")


def _framing(noise: bool) -> Frames:
    return NoiseFrames(bytes(32), "kitchen", "aabbccddeeff") if noise else PlaintextFrames()


def fuzz_config(tape: bytes) -> None:
    """Read a configuration file: it is used, or an error says what is wrong with it."""
    choices = Choices(tape)
    if choices.byte() & 1:
        text = "".join(choices.pick(WORDS) for _ in range(choices.below(60)))
        text *= 1 + (choices.below(3000) if choices.chance(8) else 0)
    else:
        text = choices.bytes(1 << 16).decode("utf-8", "replace")
    try:
        config = parse_config(text, "x.toml")
    except ConfigError as error:
        if not str(error).startswith("x.toml: "):
            raise BrokenError(f"the error does not say where: {error}") from None
        return
    if config.key and config.key in repr(config):
        raise BrokenError("a key is in the repr")


def fuzz_options(tape: bytes) -> None:
    """Read the value of an option: it is taken, or refused as one that cannot be meant so."""
    choices = Choices(tape)
    parse = choices.pick(OPTIONS)
    text = choices.bytes(4096).decode("utf-8", "surrogateescape")
    if "\0" in text:
        return  # no argument of a program has one
    try:
        parse(text)
    except typer.BadParameter as error:
        error.format_message()


def fuzz_adverts(tape: bytes) -> None:
    """Read an advertisement."""
    data = advertisement_data(tape)
    if not (data.local_name is None or isinstance(data.local_name, str)):
        raise BrokenError(f"{data.local_name!r} is no name")
    if any(len(uuid) != 36 for uuid in (*data.service_uuids, *data.service_data)):
        raise BrokenError(f"not UUIDs: {data.service_uuids}, {data.service_data}")
    if not all(0 <= company <= 0xFFFF for company in data.manufacturer_data):
        raise BrokenError(f"not companies: {data.manufacturer_data}")


def fuzz_services(tape: bytes) -> None:
    """Build the table of services that a proxy has told."""
    try:
        message = pb.BluetoothGATTGetServicesResponse.FromString(tape)
    except DecodeError:
        return
    try:
        services = service_collection([message], KnownDevice())
    except ValueError:
        return
    for service in services:
        for characteristic in service.characteristics:
            characteristic.get_descriptor("2902")
            characteristic.max_write_without_response_size  # noqa: B018 - it is computed
