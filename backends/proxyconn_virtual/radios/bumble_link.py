"""A link of the Bumble radio: ATT, pairing and connection parameters over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

from bumble import att, core, gatt_client, hci, smp
from bumble.device import Connection

from proxyconn_virtual.owned_tasks import OwnedTasks
from proxyconn_virtual.radio import (
    AttError,
    Characteristic,
    Descriptor,
    LinkParameters,
    PairingError,
    Service,
)

T = TypeVar("T")

MTU = 517
"""Bytes that the client offers; ESP-IDF's largest local MTU (ESP_GATT_MAX_MTU_SIZE)."""

CLOSE_TIMEOUT = 5.0
"""Seconds that a disconnection may take."""

PAIRING_TIMEOUT = 30.0
"""Seconds of silence that end pairing (Core vol 3 H 3.4)."""

LOCAL_HOST_TERMINATED = 0x16
ESP_GATT_ERROR = 0x85
ESP_ERR_INVALID_STATE = 0x103
"""What ESP-IDF's GATT client calls return once the ATT channel is gone."""

SMP_REASON_BASE = 77
"""ESP_AUTH_SMP_PASSKEY_FAIL is 78, SMP's Passkey Entry Failed is 1; the others follow."""

ESP_AUTH_SMP_ENC_FAIL = 97
ESP_AUTH_SMP_RSP_TIMEOUT = 99
ESP_AUTH_SMP_CONN_TOUT = 102


class BumbleLink:
    """An open link; see `proxyconn_virtual.radio.RadioLink`.

    An operation whose caller is cancelled is still carried out: ATT has no way to take a request
    back, and the next one must not meet its late response.
    """

    def __init__(self, connection: Connection, closers: OwnedTasks) -> None:
        self.on_notify: Callable[[int, bytes], None] | None = None
        self.on_disconnect: Callable[[int], None] | None = None
        self.on_security_request: Callable[[], None] | None = None
        self._connection = connection
        self._client = _Client(connection, self._on_value)
        connection.gatt_client = self._client
        connection.on(Connection.EVENT_DISCONNECTION, self._on_disconnection)
        self._operations = OwnedTasks()
        self._closers = closers
        self._closing: asyncio.Task[None] | None = None
        self._lost = False

    async def exchange_mtu(self) -> int:
        """Return the negotiated ATT MTU in bytes."""
        return await self._att(self._client.request_mtu(MTU), "exchange MTU")

    async def discover(self) -> tuple[Service, ...]:
        """Return the whole GATT table, in handle order."""
        return await self._att(self._discover(), "discover")

    async def read(self, handle: int) -> bytes:
        """Read a characteristic value or a descriptor. Raises AttError."""
        return await self._att(self._client.read_value(handle), "read")

    async def write(self, handle: int, value: bytes, *, response: bool) -> None:
        """Write a characteristic value or a descriptor. Raises AttError."""
        await self._att(self._client.write_value(handle, value, with_response=response), "write")

    async def pair(self) -> None:
        """Pair, or encrypt with the keys of an earlier pairing. Raises PairingError."""
        if self._lost:
            raise PairingError(ESP_AUTH_SMP_CONN_TOUT)
        task = self._operations.start(self._pair(), "pair")
        await _outcome_of(task)
        if task.cancelled():
            raise PairingError(ESP_AUTH_SMP_CONN_TOUT)
        task.result()

    async def update_parameters(self, parameters: LinkParameters) -> None:
        """Start the connection update procedure. Raises AttError if the controller refuses."""
        command = hci.HCI_LE_Connection_Update_Command(
            connection_handle=self._connection.handle,
            connection_interval_min=parameters.min_interval,
            connection_interval_max=parameters.max_interval,
            max_latency=parameters.latency,
            supervision_timeout=parameters.timeout,
            min_ce_length=0,
            max_ce_length=0,
        )
        await self._att(self._connection.device.send_async_command(command), "update parameters")

    async def close(self) -> None:
        """Drop the link from this side (reason 0x16); idempotent."""
        if self._closing is None:
            if self._lost:
                return
            self._closing = self._closers.start(self._close(), "close")
        await _outcome_of(self._closing)

    async def _close(self) -> None:
        # A link that its peer drops at the same time is as closed as one that we drop.
        with suppress(TimeoutError, core.ConnectionError, hci.HCI_Error):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._connection.disconnect()
        self._on_disconnection(LOCAL_HOST_TERMINATED)

    def _on_disconnection(self, reason: int) -> None:
        if self._lost:
            return
        self._lost = True
        self._operations.cancel()
        if self.on_disconnect is not None:
            self.on_disconnect(LOCAL_HOST_TERMINATED if self._closing else reason)

    def _on_value(self, handle: int, value: bytes) -> None:
        if self.on_notify is not None:
            self.on_notify(handle, value)

    async def _att(self, operation: Coroutine[Any, Any, T], name: str) -> T:
        if self._lost:
            operation.close()
            raise AttError(ESP_ERR_INVALID_STATE)
        task = self._operations.start(operation, name)
        await _outcome_of(task)
        if task.cancelled():
            raise AttError(ESP_ERR_INVALID_STATE)
        try:
            return task.result()
        except (att.ATT_Error, hci.HCI_Error) as error:
            raise AttError(error.error_code or ESP_GATT_ERROR) from error
        except core.TimeoutError as error:
            raise AttError(ESP_GATT_ERROR) from error

    async def _discover(self) -> tuple[Service, ...]:
        services = []
        for service in await self._client.discover_services():
            found = []
            for one in await self._client.discover_characteristics((), service):
                descriptors = tuple(
                    Descriptor(_uuid_text(descriptor.type), descriptor.handle)
                    for descriptor in await self._client.discover_descriptors(one)
                )
                uuid = _uuid_text(one.uuid)
                found.append(Characteristic(uuid, one.handle, int(one.properties), descriptors))
            services.append(Service(_uuid_text(service.uuid), service.handle, tuple(found)))
        return tuple(services)

    async def _pair(self) -> None:
        if self._connection.is_encrypted:
            return
        keys = self._connection.device.keystore
        bond = await keys.get(str(self._connection.peer_address)) if keys else None
        try:
            async with asyncio.timeout(PAIRING_TIMEOUT):
                await (self._connection.encrypt() if bond else self._connection.pair())
        except TimeoutError as error:
            raise PairingError(ESP_AUTH_SMP_RSP_TIMEOUT) from error
        except hci.HCI_Error as error:
            raise PairingError(ESP_AUTH_SMP_ENC_FAIL) from error
        except core.ProtocolError as error:
            reason = error.error_code or smp.ErrorCode.UNSPECIFIED_REASON
            raise PairingError(SMP_REASON_BASE + reason) from error


class _Client(gatt_client.Client):
    """Hands on every notification and indication by handle, whoever wrote the CCCD."""

    def __init__(self, connection: Connection, on_value: Callable[[int, bytes], None]) -> None:
        super().__init__(connection)
        self._on_value = on_value

    def on_att_handle_value_notification(
        self, notification: att.ATT_Handle_Value_Notification
    ) -> None:
        self._on_value(notification.attribute_handle, notification.attribute_value)

    def on_att_handle_value_indication(self, indication: att.ATT_Handle_Value_Indication) -> None:
        self.send_confirmation(att.ATT_Handle_Value_Confirmation())
        self._on_value(indication.attribute_handle, indication.attribute_value)


async def _outcome_of(task: asyncio.Task[Any]) -> None:
    """Wait for a task's end; if the caller is cancelled, let the task end by itself."""
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.add_done_callback(_retrieve)
        raise


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take note of an outcome that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


def _uuid_text(uuid: core.UUID) -> str:
    return str(UUID(bytes=uuid.to_bytes(force_128=True)[::-1]))
