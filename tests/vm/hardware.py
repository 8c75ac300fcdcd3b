"""The hardware of the virtual machine: adapters that the kernel drives, and peripherals round them.

An adapter is a Bumble controller behind the kernel's virtual HCI, on the air on which virtual
peripherals advertise. All of it runs in one thread, on whatever the loop of the test does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

from bumble import hci
from bumble.transport.common import Transport
from bumble.transport.vhci import open_vhci_transport

# BumbleAir has a host in front of each of its controllers. Here the kernel is the host.
from proxyconn_virtual._bumble_air import Air, ProxyController
from proxyconn_virtual._bumble_peripheral import REMOTE_USER_TERMINATED, BumblePeripheral
from proxyconn_virtual.peripheral import Peripheral, uuid128
from tests.vm.loop_thread import LoopThread

FIRST_ADDRESS = 0x00_1B_DC_00_00_01
"""Public address of the first adapter; the next ones follow."""

POLL = 0.01
"""Seconds between looks at a peripheral's state."""


class CreatedConnection(NamedTuple):
    """The parameters of an HCI LE Create Connection command (Core vol 4 E 7.8.12).

    Intervals are in 1.25 ms, `latency` in connection events, `timeout` in 10 ms.
    """

    address: str
    min_interval: int
    max_interval: int
    latency: int
    timeout: int


class AdapterController(ProxyController):
    """The controller of an adapter, which keeps what the kernel asked for."""

    def __init__(self, name: str, air: Air, address: str) -> None:
        super().__init__(name, air)
        self.public_address = hci.Address(address, hci.Address.PUBLIC_DEVICE_ADDRESS)
        self.created_connections: list[CreatedConnection] = []

    def on_hci_le_create_connection_command(
        self, command: hci.HCI_LE_Create_Connection_Command
    ) -> None:
        """Note the parameters, and wait for the peripheral's next advertisement."""
        self.created_connections.append(
            CreatedConnection(
                command.peer_address.to_string(with_type_qualifier=False),
                command.connection_interval_min,
                command.connection_interval_max,
                command.max_latency,
                command.supervision_timeout,
            )
        )
        super().on_hci_le_create_connection_command(command)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A local adapter.

    Attributes:
        name: what the kernel calls it, which is also its name in `Peripheral.rssi`.
        address: its public address.
        created_connections: each LE Create Connection since the test began, in order.
    """

    name: str
    address: str
    created_connections: list[CreatedConnection]

    @property
    def path(self) -> str:
        """Its D-Bus object path."""
        return f"/org/bluez/{self.name}"

    @property
    def index(self) -> int:
        """Its index in the kernel's management interface."""
        return int(self.name.removeprefix("hci"))


class Hardware:
    """Everything on the air. Adapters stay until the end, peripherals come and go."""

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread
        self._air = Air(seed=0)
        self._adapters: list[Adapter] = []
        self._transports: list[Transport] = []
        self._peripherals: dict[int, BumblePeripheral] = {}

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The adapters so far."""
        return tuple(self._adapters)

    def plug_in(self) -> Adapter:
        """Give the kernel another adapter."""
        return self._thread.run(self._plug_in())

    async def _plug_in(self) -> Adapter:
        number = len(self._adapters)
        address = hci.Address((FIRST_ADDRESS + number).to_bytes(6, "little"))
        text = address.to_string(with_type_qualifier=False)
        transport = await open_vhci_transport(None)
        controller = AdapterController(f"hci{number}", self._air, text)
        transport.source.set_packet_sink(controller)
        controller.set_packet_sink(transport.sink)
        self._transports.append(transport)
        adapter = Adapter(controller.name, text, controller.created_connections)
        self._adapters.append(adapter)
        return adapter

    async def add(self, *peripherals: Peripheral) -> None:
        """Power peripherals on; an adapter hears those whose `rssi` names it."""
        for one in peripherals:
            self._peripherals[one.address_int] = BumblePeripheral(one, self._air)
            await self._thread.do(self._peripherals[one.address_int].start())

    async def remove(self, address: str) -> None:
        """Power a peripheral off; its link is dropped. Raises KeyError."""
        await self._thread.do(self._peripherals.pop(_number(address)).stop())

    def is_connected(self, address: str) -> bool:
        """Whether a peripheral has a link. Raises KeyError."""
        return self._peripherals[_number(address)].connected

    async def until_disconnected(self, address: str) -> None:
        """Return once a peripheral has no link: it learns of that after the kernel does."""
        peripheral = self._peripherals[_number(address)]

        async def disconnected() -> None:
            while peripheral.connected:  # noqa: ASYNC110  # it tells its state, not the change
                await asyncio.sleep(POLL)

        await self._thread.do(disconnected())

    async def drop_link(self, address: str, reason: int = REMOTE_USER_TERMINATED) -> None:
        """Drop a peripheral's link from its side, with an HCI reason. Raises KeyError."""
        await self._thread.do(self._peripherals[_number(address)].disconnect(reason))

    async def notify(self, address: str, uuid: str | int, value: bytes) -> bool:
        """Notify a characteristic's value; False if nobody has subscribed. Raises KeyError."""
        peripheral = self._peripherals[_number(address)]
        return await self._thread.call(lambda: peripheral.notify(uuid128(uuid), value))

    def clear(self) -> None:
        """Power every peripheral off, and forget which connections were created."""
        for peripheral in self._peripherals.values():
            self._thread.run(peripheral.stop())
        self._peripherals.clear()
        for adapter in self._adapters:
            adapter.created_connections.clear()

    def close(self) -> None:
        """Power everything off, and take the adapters from the kernel."""
        self.clear()
        for transport in self._transports:
            self._thread.run(transport.close())


def _number(address: str) -> int:
    return int(address.replace(":", ""), 16)
