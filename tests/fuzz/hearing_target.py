"""The table of what is heard, under batches of advertisements from any radio at any time."""

from __future__ import annotations

import asyncio

from google.protobuf.message import DecodeError

from proxyconn.advertisements.device_table import MOST_SIGHTINGS
from proxyconn.device import is_address
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute
from proxyconn.radio import Proxy
from proxyconn_esphome import ProxySession
from proxyconn_esphome.backend import ESPHomeRadio
from proxyconn_esphome.wire.raw_connection import reports_of
from proxyconn_proto import bluetooth_proxy_pb2 as pb

from .choices import Choices
from .messages import ADDRESSES, bomb
from .world import BrokenError, run

NAMES = ("kitchen", "attic", "hall")


def fuzz_hearing(tape: bytes) -> None:
    """Hear batches. Raises BrokenError."""
    run(_hear(Choices(tape)))


async def _hear(choices: Choices) -> None:
    hub = Hub(DeviceRoute, {})
    radios = [ESPHomeRadio(ProxySession(Proxy("127.0.0.1", name=name)), hub) for name in NAMES]
    told: list[str] = []
    hub.sightings.callbacks.register(lambda device, _: told.append(device.address))
    here: set[ESPHomeRadio] = set()
    for _ in range(40):
        if choices.over:
            break
        radio = choices.pick(radios)
        if radio not in here:
            here.add(radio)
            hub.radio_added(radio)
        how = choices.below(8)
        if how == 0:
            here.discard(radio)
            hub.radio_removed(radio)
        elif how == 1:
            await asyncio.sleep(choices.byte() / 4)
        elif (batch := _batch(choices)) is not None:
            radio.session_heard(radio.session, reports_of(batch))
        _check(hub, here)


def _batch(choices: Choices) -> pb.BluetoothLERawAdvertisementsResponse | None:
    if choices.chance(3):
        try:
            return pb.BluetoothLERawAdvertisementsResponse.FromString(
                choices.bytes(choices.below(200))
            )
        except DecodeError:
            return None
    if choices.chance(32):
        _, payload = bomb(choices)
        return None if payload[:1] == b"\x0b" else _decoded(payload)
    return pb.BluetoothLERawAdvertisementsResponse(
        advertisements=[
            pb.BluetoothLERawAdvertisement(
                address=choices.pick(ADDRESSES) if choices.chance(2) else choices.number(64),
                rssi=choices.byte() - 200,
                address_type=choices.number(32),
                data=choices.bytes(choices.below(40)),
            )
            for _ in range(choices.below(5))
        ]
    )


def _decoded(payload: bytes) -> pb.BluetoothLERawAdvertisementsResponse | None:
    try:
        return pb.BluetoothLERawAdvertisementsResponse.FromString(payload)
    except DecodeError:
        return None


def _check(hub: Hub, here: set[ESPHomeRadio]) -> None:
    table = hub.sightings
    if len(table) > MOST_SIGHTINGS + 4000:
        raise BrokenError(f"{len(table)} devices are remembered")
    for address, sighting in list(table.items())[:50]:
        if address != sighting.device.address or not is_address(address):
            raise BrokenError(f"{address} is {sighting.device.address}")
        if not sighting.heard or not set(sighting.heard) <= here:
            raise BrokenError(f"{address} is heard by {list(sighting.heard)}")
        if sighting.best is None or sighting.best.radio not in sighting.heard:
            raise BrokenError(f"{address}: its best radio does not hear it")
        hub.paths(address)
        hub.find(address)
        sighting.last()
