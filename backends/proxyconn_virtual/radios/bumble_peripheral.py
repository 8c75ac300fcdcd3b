"""A virtual peripheral as a Bumble device with a real GATT server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bumble import att, gatt, hci, pairing, smp
from bumble.core import UUID
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.host import Host
from bumble.keys import MemoryKeyStore
from bumble.transport.common import AsyncPipeSink

from proxyconn_virtual.advertising import Advertising
from proxyconn_virtual.owned_tasks import OwnedTasks
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, uuid128
from proxyconn_virtual.radio import AttError, LinkParameters
from proxyconn_virtual.radios.advertising_data import advertising_of
from proxyconn_virtual.radios.bumble_air import Air, PeripheralController, make_address

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT = 5.0
"""Seconds that a disconnection may take."""

REMOTE_USER_TERMINATED = 0x13
"""HCI reason with which a peripheral ends a link (Core vol 1 F 2.19)."""


class BumblePeripheral:
    """One virtual peripheral on the air.

    Attributes:
        spec: what it was made from.
        on_parameters: called with the connection parameters whenever the central changes them.
    """

    def __init__(self, spec: Peripheral, air: Air) -> None:
        _check(spec)
        self.spec = spec
        self._advertising = advertising_of(spec)
        self.on_parameters: Callable[[LinkParameters], None] | None = None
        self._air = air
        self._keys = MemoryKeyStore()
        self._tasks = OwnedTasks()
        self._link_tasks = OwnedTasks()
        self._controller: PeripheralController | None = None
        self._device: Device | None = None
        self._connection: Connection | None = None
        self._behaviours: list[_Behaviour] = []

    @property
    def connected(self) -> bool:
        """Whether a central holds a link to it."""
        return self._connection is not None

    async def start(self) -> None:
        """Power on and advertise."""
        controller = PeripheralController(self.spec, self._air, self._advertising)
        # Bumble knows public addresses from the controller only; the random one is unused then.
        random_address = make_address(self.spec.address_int, 1)
        device = Device(
            config=DeviceConfiguration(name=self.spec.name, address=random_address),
            host=Host(controller, AsyncPipeSink(controller)),
        )
        device.keystore = self._keys
        device.pairing_config_factory = just_works
        if not self.spec.pairable:
            device.smp_session_proxy = _RefusingSession
        self._behaviours = []
        for service in self.spec.services:
            characteristics = [self._characteristic(spec) for spec in service.characteristics]
            device.add_service(gatt.Service(UUID(uuid128(service.uuid)), characteristics))
        device.on(Device.EVENT_CONNECTION, self._on_connection)
        self._controller, self._device = controller, device
        await device.power_on()
        await self._advertise(device)

    async def stop(self) -> None:
        """Drop the link, stop advertising and power off; idempotent."""
        device, self._device = self._device, None
        if device is None:
            return
        device.remove_listener(Device.EVENT_CONNECTION, self._on_connection)
        await self._disconnect(self._connection, REMOTE_USER_TERMINATED)
        await self._link_tasks.close()
        await self._tasks.settle()  # to the end: a controller cannot take a command back
        await device.stop_advertising()
        await device.power_off()
        if self._controller is not None:
            self._controller.le_legacy_advertiser.stop()
            self._air.remove_controller(self._controller)

    async def disconnect(self, reason: int = REMOTE_USER_TERMINATED) -> None:
        """Drop the link from this side with an HCI reason; nothing if there is none."""
        await self._disconnect(self._connection, reason)

    def drop(self, reason: int) -> bool:
        """Begin to drop the link from this side; False if there is none."""
        if self._connection is None:
            return False
        dropping = self._disconnect(self._connection, reason)
        self._tasks.start(dropping, f"drop {self.spec.address}")
        return True

    def advertise(self, advertising: Advertising) -> None:
        """Say something else from now on."""
        self._advertising = advertising
        if self._controller is not None:
            self._controller.advertise(advertising)

    def notify(self, uuid: str, value: bytes) -> bool:
        """Send a characteristic's value; False if the central has not subscribed to it."""
        connection = self._connection
        found = [one for one in self._behaviours if one.uuid == uuid]
        return connection is not None and any(one.push(connection, value) for one in found)

    async def _disconnect(self, connection: Connection | None, reason: int) -> None:
        if connection is not None:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await connection.disconnect(hci.HCI_ErrorCode(reason))

    async def _advertise(self, device: Device) -> None:
        public = self.spec.address_type == 0
        # What it says is asked of its controller each time.
        await device.start_advertising(
            own_address_type=hci.OwnAddressType.PUBLIC if public else hci.OwnAddressType.RANDOM,
            advertising_data=b"",
            scan_response_data=b"",
        )

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        connection.on(Connection.EVENT_DISCONNECTION, self._on_disconnection)
        connection.on(Connection.EVENT_CONNECTION_PARAMETERS_UPDATE, self._on_parameters_update)

    def _on_disconnection(self, _reason: int) -> None:
        self._connection = None
        self._link_tasks.cancel()
        if self._device is not None:
            self._tasks.start(self._advertise(self._device), f"advertise {self.spec.address}")

    def _on_parameters_update(self) -> None:
        if self._connection is None or self.on_parameters is None:
            return
        seen = self._connection.parameters
        interval = round(seen.connection_interval / 1.25)
        timeout = round(seen.supervision_timeout / 10)
        self.on_parameters(LinkParameters(interval, interval, seen.peripheral_latency, timeout))

    def _characteristic(self, spec: CharacteristicSpec) -> gatt.Characteristic[bytes]:
        behaviour = _Behaviour(spec, self._link_tasks)
        self._behaviours.append(behaviour)
        permissions = gatt.Characteristic.READABLE | gatt.Characteristic.WRITEABLE
        if spec.encrypted:
            # This one answers 0x05; the permission named after encryption answers 0x0f.
            permissions |= gatt.Characteristic.READ_REQUIRES_AUTHENTICATION
            permissions |= gatt.Characteristic.WRITE_REQUIRES_AUTHENTICATION
        characteristic = gatt.Characteristic[bytes](
            UUID(uuid128(spec.uuid)),
            gatt.Characteristic.Properties(int(spec.properties)),
            permissions,
            att.AttributeValue[bytes](read=behaviour.read, write=behaviour.write),
        )
        behaviour.attach(characteristic)
        return characteristic


def _check(spec: Peripheral) -> None:
    """Raise ValueError for what only the simulated radio does."""
    if spec.private_address is not None:
        raise ValueError(f"{spec.name!r}: the bumble radio has no private addresses; use simulated")


class _Behaviour:
    """What one characteristic does when it is read, written and subscribed to."""

    def __init__(self, spec: CharacteristicSpec, tasks: OwnedTasks) -> None:
        self.uuid = uuid128(spec.uuid)
        self._spec = spec
        self._tasks = tasks
        self._subscriber: Connection | None = None
        self._periodic: asyncio.Task[None] | None = None
        self._characteristic: gatt.Characteristic[bytes] | None = None

    def attach(self, characteristic: gatt.Characteristic[bytes]) -> None:
        self._characteristic = characteristic
        characteristic.on(characteristic.EVENT_SUBSCRIPTION, self._on_subscription)

    def read(self, _connection: Connection) -> bytes:
        if not self._spec.properties & Properties.READ:
            raise att.ATT_Error(att.ErrorCode.READ_NOT_PERMITTED)
        with _as_att_errors():
            return self._spec.on_read() if self._spec.on_read else self._spec.value

    def write(self, connection: Connection, value: bytes) -> None:
        writable = Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE
        if not self._spec.properties & writable:
            raise att.ATT_Error(att.ErrorCode.WRITE_NOT_PERMITTED)
        self._spec.value = value
        with _as_att_errors():
            answer = self._spec.on_write(value) if self._spec.on_write else None
        if answer is not None:
            self._tasks.start(self._send(connection, answer), f"answer {self.uuid}")

    def push(self, connection: Connection, value: bytes) -> bool:
        """Begin to send a value; False if this link is not subscribed."""
        if self._subscriber is not connection:
            return False
        self._tasks.start(self._send(connection, value), f"send {self.uuid}")
        return True

    def _on_subscription(self, connection: Connection, notify: bool, indicate: bool) -> None:
        self._subscriber = connection if notify or indicate else None
        if self._periodic is not None:
            self._periodic.cancel()
            self._periodic = None
        if self._spec.notify_every is not None and (notify or indicate):
            self._periodic = self._tasks.start(
                self._send_periodically(connection, self._spec.notify_every),
                f"notify {self.uuid}",
            )

    async def _send_periodically(self, connection: Connection, every: float) -> None:
        count = 0
        while True:
            await asyncio.sleep(every)
            await self._send(connection, self._spec.notify_value(count))
            count += 1

    async def _send(self, connection: Connection, value: bytes) -> None:
        """Notify or indicate, whichever the central subscribed to."""
        if self._characteristic is not None:
            server = connection.device.gatt_server
            await server.notify_subscriber(connection, self._characteristic, value)
            await server.indicate_subscriber(connection, self._characteristic, value)


@contextmanager
def _as_att_errors() -> Iterator[None]:
    """Answer for the peripheral's own code: with the code it names, or with Unlikely Error."""
    try:
        yield
    except AttError as error:
        raise att.ATT_Error(att.ErrorCode(error.code)) from error
    except Exception as error:
        logger.exception("a callback of a virtual peripheral failed")
        raise att.ATT_Error(att.ErrorCode.UNLIKELY_ERROR) from error


class _RefusingSession(smp.Session):
    """Answers every pairing request with Unspecified Reason (Core vol 3 H 3.5.5)."""

    def on_smp_pairing_request_command(self, _command: smp.SMP_Pairing_Request_Command) -> None:
        self.send_pairing_failed(smp.ErrorCode.UNSPECIFIED_REASON)


def just_works(_connection: Connection) -> pairing.PairingConfig:
    """Pair without input or output, and exchange the encryption key only.

    With identity keys Bumble would look for the peer by scanning before each connection.
    """
    encryption_key = pairing.PairingDelegate.KeyDistribution.DISTRIBUTE_ENCRYPTION_KEY
    delegate = pairing.PairingDelegate(
        pairing.PairingDelegate.NO_OUTPUT_NO_INPUT, encryption_key, encryption_key
    )
    return pairing.PairingConfig(sc=True, mitm=False, bonding=True, delegate=delegate)
