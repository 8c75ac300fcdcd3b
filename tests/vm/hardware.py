"""The hardware of the virtual machine: adapters, proxies, and the peripherals that both hear.

An adapter is a Bumble controller behind the kernel's virtual HCI, on the air on which virtual
peripherals advertise; a virtual ESPHome proxy has a controller on the same air. All of it runs in
one thread, on whatever the loop of the test does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

from bumble import hci, ll
from bumble.device import Device, DeviceConfiguration
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink, Transport
from bumble.transport.vhci import open_vhci_transport

from proxyconn_virtual.peripheral import Peripheral, uuid128
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

# BumbleAir has a host in front of each of its controllers. Of the adapters the kernel is the host.
from proxyconn_virtual.radios.bumble_air import Air, ProxyController, make_address
from proxyconn_virtual.radios.bumble_peripheral import REMOTE_USER_TERMINATED, BumblePeripheral
from proxyconn_virtual.radios.bumble_radio import BumbleRadio
from tests.vm.loop_thread import LoopThread

FIRST_ADDRESS = 0x00_1B_DC_00_00_01
"""Public address of the first adapter; the next ones follow."""

FIRST_PROXY_ADDRESS = 0xC0_FF_EE_00_00_01
"""Random static address of the first proxy; the next ones follow."""

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


class AdapterController(ProxyController):
    """The controller of an adapter, which keeps what the kernel asked for."""

    def __init__(self, adapter: Adapter, air: Air) -> None:
        super().__init__(adapter.name, air)
        self.public_address = hci.Address(adapter.address, hci.Address.PUBLIC_DEVICE_ADDRESS)
        self.created_connections = adapter.created_connections

    def vanish(self) -> None:
        """Go off the air without a word: the peers lose their links by supervision timeout."""
        self.set_packet_sink(None)
        self.pending_le_connection = None
        for connection in self.le_connections.values():
            connection.send_ll_control_pdu(ll.TerminateInd(hci.HCI_CONNECTION_TIMEOUT_ERROR))
        self.link.remove_controller(self)

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
class _Plug:
    """What makes an adapter be there."""

    controller: AdapterController
    transport: Transport


class Hardware:
    """Everything on the air. Adapters stay unless unplugged; peripherals and proxies go."""

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread
        self._air = Air(seed=0)
        self._adapters: list[Adapter] = []
        self._plugs: dict[str, _Plug] = {}
        self._proxies: dict[ProxyController, VirtualProxy] = {}
        self._peripherals: dict[int, BumblePeripheral] = {}

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The adapters so far, unplugged ones too."""
        return tuple(self._adapters)

    def plug_in(self, adapter: Adapter | None = None) -> Adapter:
        """Give the kernel another adapter, or one again that was unplugged."""
        if adapter is None:
            number = len(self._adapters)
            address = hci.Address((FIRST_ADDRESS + number).to_bytes(6, "little"))
            adapter = Adapter(f"hci{number}", address.to_string(with_type_qualifier=False), [])
            self._adapters.append(adapter)
        self._thread.run(self._plug_in(adapter))
        return adapter

    async def _plug_in(self, adapter: Adapter) -> None:
        transport = await open_vhci_transport(None)
        controller = AdapterController(adapter, self._air)
        transport.source.set_packet_sink(controller)
        controller.set_packet_sink(transport.sink)
        self._plugs[adapter.name] = _Plug(controller, transport)

    def is_plugged_in(self, adapter: Adapter) -> bool:
        """Whether the kernel has an adapter."""
        return adapter.name in self._plugs

    def unplug(self, adapter: Adapter) -> None:
        """Pull an adapter out with whatever links it has. Raises KeyError.

        The kernel gives its name to the next one that is plugged in.
        """
        self._thread.run(self._unplug(self._plugs.pop(adapter.name)))

    async def _unplug(self, plug: _Plug) -> None:
        plug.controller.vanish()
        await plug.transport.close()

    async def add_proxy(self, name: str) -> VirtualProxy:
        """Power a virtual ESPHome proxy on; it hears the peripherals whose `rssi` names it."""
        return await self._thread.do(self._add_proxy(name))

    async def _add_proxy(self, name: str) -> VirtualProxy:
        controller = ProxyController(name, self._air)
        address = make_address(FIRST_PROXY_ADDRESS + len(self._proxies), 1)

        def device() -> Device:
            host = Host(controller, AsyncPipeSink(controller))
            return Device(config=DeviceConfiguration(name=name, address=address), host=host)

        radio = BumbleRadio(device, script=lambda _: None)
        proxy = VirtualProxy(ProxySpec(name=name, noise_psk=new_noise_psk()), radio)
        self._proxies[controller] = proxy
        await proxy.start()
        return proxy

    async def links(self) -> dict[str, list[str]]:
        """Return who holds links to whom: adapter or proxy -> peripherals, by its controller."""

        def held() -> dict[str, list[str]]:
            radios = [one for one in self._air.controllers if isinstance(one, ProxyController)]
            return {
                radio.name: [peer.to_string(with_type_qualifier=False) for peer in peers]
                for radio in radios
                if (peers := radio.le_connections)
            }

        return await self._thread.call(held)

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
        """Power peripherals and proxies off, and forget which connections were created."""
        for peripheral in self._peripherals.values():
            self._thread.run(peripheral.stop())
        self._peripherals.clear()
        for controller, proxy in self._proxies.items():
            self._thread.run(proxy.stop())
            self._air.remove_controller(controller)
        self._proxies.clear()
        for adapter in self._adapters:
            adapter.created_connections.clear()

    def close(self) -> None:
        """Power everything off, and take the adapters from the kernel."""
        self.clear()
        for plug in self._plugs.values():
            self._thread.run(plug.transport.close())
        self._plugs.clear()


def _number(address: str) -> int:
    return int(address.replace(":", ""), 16)
