"""Our definitions are the native API's, as aioesphomeapi has them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from aioesphomeapi import api_pb2
from aioesphomeapi.core import MESSAGE_TYPE_TO_PROTO
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_proto.ids import CLASS_BY_ID, ID_BY_CLASS

LEFT_OUT = {
    "DeviceInfoResponse": {
        "uses_password",
        "legacy_voice_assistant_version",
        "voice_assistant_feature_flags",
        "devices",
        "areas",
        "area",
        "zwave_proxy_feature_flags",
        "zwave_home_id",
        "serial_proxies",
        "api_encryption_provisionable",
    },
    "ListEntitiesButtonResponse": {"icon", "disabled_by_default", "device_id"},
    "ButtonCommandRequest": {"device_id"},
    "ListEntitiesSensorResponse": {
        "icon",
        "accuracy_decimals",
        "force_update",
        "state_class",
        "legacy_last_reset_type",
        "disabled_by_default",
        "device_id",
    },
    "SensorStateResponse": {"device_id"},
    "DeviceCapabilitiesResponse": {
        "voice_assistant",
        "zwave_proxy",
        "serial_proxies",
        "wizard",
        "sendspin",
        "store_yaml",
    },
}
"""Fields that a Bluetooth proxy and its client do not need."""

NESTED = (
    pb.BluetoothProxyCapabilities,
    pb.BluetoothServiceData,
    pb.BluetoothLERawAdvertisement,
    pb.BluetoothGATTService,
    pb.BluetoothGATTCharacteristic,
    pb.BluetoothGATTDescriptor,
)
ALL = (*CLASS_BY_ID.values(), *NESTED)


def shape(field: Any) -> tuple[object, ...]:
    """Return everything about a field that the wire or a user can see."""
    return (
        field.number,
        field.type,
        field.is_repeated,
        field.has_presence,
        field.message_type.name if field.message_type else None,
        field.enum_type.name if field.enum_type else None,
    )


def fill(message: Message, depth: int = 0) -> Message:
    """Set every field of ours to a value that is not its default."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            inner = getattr(message, field.name)
            for one in (inner.add(), inner.add()) if field.is_repeated else (inner,):
                fill(one, depth + 1)
            continue
        value: object
        if field.type == FieldDescriptor.TYPE_STRING:
            value = f"text {field.number}"
        elif field.type == FieldDescriptor.TYPE_BYTES:
            value = bytes(range(field.number * 40))
        elif field.type == FieldDescriptor.TYPE_UINT64:
            value = 0xF0E1D2C3B4A50000 + field.number
        elif field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32):
            value = -field.number
        else:
            value = 1
        if field.is_repeated:
            getattr(message, field.name).extend([value, value])
        else:
            setattr(message, field.name, value)
    return message


def theirs_of(message_class: type[Message]) -> type[Message]:
    """Return aioesphomeapi's class of the same name."""
    found: type[Message] = getattr(api_pb2, message_class.DESCRIPTOR.name)
    return found


@pytest.mark.parametrize("number", CLASS_BY_ID)
def test_ids_match(number: int) -> None:
    """Each message id names the same message on both sides, and maps back."""
    assert CLASS_BY_ID[number].DESCRIPTOR.name == MESSAGE_TYPE_TO_PROTO[number].DESCRIPTOR.name
    assert ID_BY_CLASS[CLASS_BY_ID[number]] == number


def test_ids_complete() -> None:
    """Every Bluetooth message that aioesphomeapi knows has an id here."""
    bluetooth = {n for n, c in MESSAGE_TYPE_TO_PROTO.items() if "Bluetooth" in c.DESCRIPTOR.name}
    assert bluetooth <= set(CLASS_BY_ID)


@pytest.mark.parametrize("message_class", ALL, ids=lambda c: c.DESCRIPTOR.name)
def test_fields_match(message_class: type[Message]) -> None:
    """Field names, numbers, types and labels are equal, and only known fields are left out."""
    ours = message_class.DESCRIPTOR
    theirs = theirs_of(message_class).DESCRIPTOR
    for field in ours.fields:
        assert shape(field) == shape(theirs.fields_by_name[field.name]), field.full_name
    missing = {f.name for f in theirs.fields} - {f.name for f in ours.fields}
    assert missing == LEFT_OUT.get(ours.name, set())


@pytest.mark.parametrize("name", pb.DESCRIPTOR.enum_types_by_name)
def test_enums_match(name: str) -> None:
    """Enum values have the same names and numbers."""
    ours = pb.DESCRIPTOR.enum_types_by_name[name]
    theirs = MESSAGE_TYPE_TO_PROTO[1].DESCRIPTOR.file.enum_types_by_name[name]
    assert [(v.name, v.number) for v in ours.values] == [(v.name, v.number) for v in theirs.values]


@pytest.mark.parametrize("message_class", ALL, ids=lambda c: c.DESCRIPTOR.name)
def test_bytes_equal_both_ways(message_class: type[Message]) -> None:
    """A full message becomes the same bytes on either side, and reads back the same."""
    ours = fill(message_class())
    data = ours.SerializeToString()
    theirs = theirs_of(message_class).FromString(data)
    if not has_unpacked(message_class.DESCRIPTOR):
        assert theirs.SerializeToString() == data
    assert message_class.FromString(theirs.SerializeToString()) == ours
    for field in ours.DESCRIPTOR.fields:
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            assert getattr(theirs, field.name) == getattr(ours, field.name)


def has_unpacked(descriptor: Any) -> bool:
    """Whether a message holds repeated numbers, which firmware and aioesphomeapi encode apart."""
    return any(
        has_unpacked(field.message_type)
        if field.message_type
        else field.is_repeated and field.type == FieldDescriptor.TYPE_UINT64
        for field in descriptor.fields
    )


def test_repeated_numbers_go_out_unpacked() -> None:
    """The firmware's encoder writes each number of a list with a tag of its own."""
    report = pb.BluetoothConnectionsFreeResponse(allocated=[1, 2])
    assert report.SerializeToString() == b"\x18\x01\x18\x02"


@pytest.mark.parametrize(
    "order",
    [
        ("proxyconn_proto.bluetooth_proxy_pb2", "aioesphomeapi.api_pb2"),
        ("aioesphomeapi.api_pb2", "proxyconn_proto.bluetooth_proxy_pb2"),
    ],
    ids=["ours first", "theirs first"],
)
def test_loads_beside_aioesphomeapi(order: tuple[str, str]) -> None:
    """Both sets of definitions load in one process, in either order."""
    program = f"import {order[0]}, {order[1]}"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
