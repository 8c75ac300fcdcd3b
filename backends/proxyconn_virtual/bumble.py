"""The real-ATT radio: virtual peripherals and proxies as Bumble devices on one virtual air."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

try:
    from bumble.device import Device, DeviceConfiguration
    from bumble.hci import Address
    from bumble.host import Host
    from bumble.transport.common import AsyncPipeSink
except ImportError as error:
    raise ImportError("the bumble radio needs Bumble: pip install proxyconn[virtual]") from error

from proxyconn_virtual.advertising import Advertising
from proxyconn_virtual.peripheral import Outcome, Peripheral, uuid128
from proxyconn_virtual.radio import Radio
from proxyconn_virtual.radios.bumble_air import Air, ProxyController, make_address
from proxyconn_virtual.radios.bumble_peripheral import REMOTE_USER_TERMINATED, BumblePeripheral
from proxyconn_virtual.radios.bumble_radio import BumbleRadio

FIRST_PROXY_ADDRESS = 0xC0_FF_EE_00_00_01
"""Random static address of the first proxy; the next ones follow."""


class BumbleAir:
    """A room with virtual peripherals, in which proxies have radios.

    Also an async context manager. Every link is real: LL, L2CAP, ATT and SMP between Bumble's
    software controllers.

    Args:
        peripherals: what advertises in this room.
        seed: of the chance with which advertisements are lost.

    Raises:
        ValueError: two peripherals have the same address.
    """

    def __init__(self, peripherals: Sequence[Peripheral], seed: int = 0) -> None:
        self._air = Air(seed)
        if len({one.address_int for one in peripherals}) != len(peripherals):
            raise ValueError("two peripherals have the same address")
        self._peripherals = {
            one.address_int: BumblePeripheral(one, self._air) for one in peripherals
        }
        self._radios: dict[str, BumbleRadio] = {}
        self._controllers: dict[str, ProxyController] = {}

    async def start(self) -> None:
        """Power every peripheral on."""
        for peripheral in self._peripherals.values():
            await peripheral.start()

    async def stop(self) -> None:
        """Power every radio and every peripheral off; idempotent."""
        for radio in self._radios.values():
            await radio.stop()
        for peripheral in self._peripherals.values():
            await peripheral.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def radio(self, proxy_name: str) -> Radio:
        """Return the radio of a proxy, the same one each time; it must be started by its user."""
        if proxy_name not in self._radios:
            address = make_address(FIRST_PROXY_ADDRESS + len(self._radios), 1)
            self._radios[proxy_name] = BumbleRadio(
                lambda: self._proxy_device(proxy_name, address),
                lambda target: self._next_outcome(proxy_name, target),
            )
        return self._radios[proxy_name]

    def peripheral(self, address: str) -> BumblePeripheral:
        """Return the peripheral with an address (six hex octets). Raises KeyError."""
        return self._peripherals[int(address.replace(":", ""), 16)]

    def drop_link(self, address: str, reason: int = REMOTE_USER_TERMINATED) -> bool:
        """Begin to drop the link of a peripheral from its side; False if it has none."""
        return self.peripheral(address).drop(reason)

    def notify(self, address: str, uuid: str | int, value: bytes) -> bool:
        """Notify a characteristic's value; False if no client has subscribed to it."""
        return self.peripheral(address).notify(uuid128(uuid), value)

    def is_connected(self, address: str) -> bool:
        """Whether a peripheral has a link to any radio."""
        return self.peripheral(address).connected

    def advertise(self, address: str, advertising: Advertising) -> None:
        """Have a peripheral say something else from now on. Raises KeyError if there is none."""
        self.peripheral(address).advertise(advertising)

    def address_now(self, address: str) -> str:
        """Return the address by which a peripheral is heard: its own. Raises KeyError."""
        return self.peripheral(address).spec.address.upper()

    def _proxy_device(self, name: str, address: Address) -> Device:
        # The controller stays the same when the proxy is power-cycled, the host does not.
        if name not in self._controllers:
            self._controllers[name] = ProxyController(name, self._air)
        controller = self._controllers[name]
        return Device(
            config=DeviceConfiguration(name=name, address=address),
            host=Host(controller, AsyncPipeSink(controller)),
        )

    def _next_outcome(self, proxy_name: str, address: int) -> Outcome | None:
        """Take the first outcome meant for this proxy; success once there is none."""
        if address not in self._peripherals:
            return None
        spec = self._peripherals[address].spec
        if proxy_name not in spec.rssi:
            return None
        mine = (one for one in spec.outcomes if one.proxy in (None, proxy_name))
        outcome = next(mine, None)
        if outcome is None:
            return Outcome(after=spec.latency)
        spec.outcomes.remove(outcome)
        return outcome if outcome.after is not None else replace(outcome, after=spec.latency)
