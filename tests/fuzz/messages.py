"""Messages of the native API that nobody meant to send."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_proto.ids import CLASS_BY_ID

from .choices import Choices

KNOWN_ADDRESS = 0xC40000000001
ADDRESSES = (
    KNOWN_ADDRESS,
    0xC40000000002,
    0,
    1,
    2**48 - 1,
    2**48,
    2**48 + KNOWN_ADDRESS,
    2**64 - 1,
)
"""Of devices that are there, that are not, and that cannot be."""

HANDLES = (10, 11, 12, 13, 14, 15, 16, 1, 0, 65535, 65536, 2**32 - 1)

TO_CLIENT = (2, 6, 7, 8, 10, 67, 69, 71, 72, 74, 79, 81, 82, 83, 84, 85, 86, 88, 93, 126, 146, 5)
TO_PROXY = (1, 5, 7, 9, 66, 68, 70, 73, 75, 76, 77, 78, 80, 87, 127, 145, 3, 6, 8, 11)

_DEPTH = 4
"""How deep messages are filled."""


def random_message(choices: Choices, numbers: tuple[int, ...]) -> tuple[int, bytes]:
    """Return id and payload of a message with any fields at all."""
    number = choices.pick(numbers)
    message_class = CLASS_BY_ID.get(number)
    if message_class is None or choices.chance(16):
        return number, choices.bytes(choices.below(64))
    message = message_class()
    _fill(message, choices, _DEPTH)
    return number, message.SerializeToString()


def _fill(message: Message, choices: Choices, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if choices.chance(4):
            continue
        if field.is_repeated:
            _repeat(message, field, choices, depth)
        elif field.message_type is not None:
            if depth:
                _fill(getattr(message, field.name), choices, depth - 1)
        else:
            setattr(message, field.name, _value(field, choices))


def _repeat(message: Message, field: Any, choices: Choices, depth: int) -> None:
    values = getattr(message, field.name)
    for _ in range(choices.below(4)):
        if field.message_type is None:
            values.append(_value(field, choices))
        elif depth:
            _fill(values.add(), choices, depth - 1)


def _value(field: Any, choices: Choices) -> Any:
    kinds = FieldDescriptor
    if field.type == kinds.TYPE_STRING:
        return choices.bytes(choices.below(40)).decode("utf-8", "replace")
    if field.type == kinds.TYPE_BYTES:
        return choices.bytes(choices.below(80))
    if field.type == kinds.TYPE_BOOL:
        return bool(choices.byte() & 1)
    if field.name in ("address", "allocated"):
        return choices.pick(ADDRESSES)
    if field.name == "handle":
        return choices.pick(HANDLES)
    if field.type in (kinds.TYPE_UINT64, kinds.TYPE_FIXED64):
        return choices.number(64)
    if field.type in (kinds.TYPE_UINT32, kinds.TYPE_FIXED32):
        return choices.number(32)
    # int32, sint32 and enums are signed.
    return choices.number(32) - 2**31 if choices.chance(2) else choices.byte()


def bomb(choices: Choices) -> tuple[int, bytes]:
    """Return a message as large as a frame can be, or one that is deep."""
    how = choices.below(5)
    message: Message
    if how == 0:
        message = pb.BluetoothConnectionsFreeResponse(
            free=0, limit=3, allocated=range(2, 12000 + choices.below(4000))
        )
        return 81, message.SerializeToString()
    if how == 1:
        advert = pb.BluetoothLERawAdvertisement(rssi=-50, data=choices.bytes(8))
        adverts = pb.BluetoothLERawAdvertisementsResponse()
        base = choices.number(64) >> 1
        for number in range(2000):
            advert.address = base + number
            adverts.advertisements.append(advert)
        return 93, adverts.SerializeToString()
    if how == 2:
        services = pb.BluetoothGATTGetServicesResponse(address=KNOWN_ADDRESS)
        for handle in range(1500):
            services.services.add(handle=handle, short_uuid=0x1800 + handle)
        return 71, services.SerializeToString()
    if how == 3:
        # Groups may nest without end: each byte opens one more (field 1, wire type 3).
        return choices.pick(TO_CLIENT), b"\x0b" * 60000
    return choices.pick(TO_CLIENT), b"\xff" * 60000


def mutated(data: bytes, choices: Choices) -> bytes:
    """Return bytes with a few of them changed, added or removed."""
    changed = bytearray(data)
    for _ in range(1 + choices.below(4)):
        at = choices.below(len(changed) + 1)
        how = choices.below(5)
        if how == 0 and at < len(changed):
            changed[at] ^= 1 << choices.below(8)
        elif how == 1 and at < len(changed):
            changed[at] = choices.byte()
        elif how == 2:
            changed[at:at] = choices.bytes(1 + choices.below(8))
        elif how == 3:
            del changed[at : at + 1 + choices.below(8)]
        else:
            del changed[at:]
    return bytes(changed)
