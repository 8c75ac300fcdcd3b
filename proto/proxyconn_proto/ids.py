"""Message ids of the native API, which a .proto file does not carry."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb

CLASS_BY_ID: Final[Mapping[int, type[Message]]] = MappingProxyType(
    {
        1: pb.HelloRequest,
        2: pb.HelloResponse,
        3: pb.AuthenticationRequest,
        4: pb.AuthenticationResponse,
        5: pb.DisconnectRequest,
        6: pb.DisconnectResponse,
        7: pb.PingRequest,
        8: pb.PingResponse,
        9: pb.DeviceInfoRequest,
        10: pb.DeviceInfoResponse,
        16: pb.ListEntitiesSensorResponse,
        25: pb.SensorStateResponse,
        61: pb.ListEntitiesButtonResponse,
        62: pb.ButtonCommandRequest,
        66: pb.SubscribeBluetoothLEAdvertisementsRequest,
        67: pb.BluetoothLEAdvertisementResponse,
        68: pb.BluetoothDeviceRequest,
        69: pb.BluetoothDeviceConnectionResponse,
        70: pb.BluetoothGATTGetServicesRequest,
        71: pb.BluetoothGATTGetServicesResponse,
        72: pb.BluetoothGATTGetServicesDoneResponse,
        73: pb.BluetoothGATTReadRequest,
        74: pb.BluetoothGATTReadResponse,
        75: pb.BluetoothGATTWriteRequest,
        76: pb.BluetoothGATTReadDescriptorRequest,
        77: pb.BluetoothGATTWriteDescriptorRequest,
        78: pb.BluetoothGATTNotifyRequest,
        79: pb.BluetoothGATTNotifyDataResponse,
        80: pb.SubscribeBluetoothConnectionsFreeRequest,
        81: pb.BluetoothConnectionsFreeResponse,
        82: pb.BluetoothGATTErrorResponse,
        83: pb.BluetoothGATTWriteResponse,
        84: pb.BluetoothGATTNotifyResponse,
        85: pb.BluetoothDevicePairingResponse,
        86: pb.BluetoothDeviceUnpairingResponse,
        87: pb.UnsubscribeBluetoothLEAdvertisementsRequest,
        88: pb.BluetoothDeviceClearCacheResponse,
        93: pb.BluetoothLERawAdvertisementsResponse,
        126: pb.BluetoothScannerStateResponse,
        127: pb.BluetoothScannerSetModeRequest,
        145: pb.BluetoothSetConnectionParamsRequest,
        146: pb.BluetoothSetConnectionParamsResponse,
        149: pb.DeviceCapabilitiesRequest,
        150: pb.DeviceCapabilitiesResponse,
    }
)
"""Message class by native API message id."""

ID_BY_CLASS: Final[Mapping[type[Message], int]] = MappingProxyType(
    {message_class: number for number, message_class in CLASS_BY_ID.items()}
)
"""Native API message id by message class."""
