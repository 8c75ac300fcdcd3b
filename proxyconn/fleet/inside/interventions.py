"""What people may do to a fleet by hand."""

from __future__ import annotations

from proxyconn.device import colon_address
from proxyconn.errors import BleakNotFoundError, ErrorKind, RadioUnavailableError, UnsupportedError
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import RoutedClient
from proxyconn.models import ScanMode
from proxyconn.radio import Radio
from proxyconn.radio_features import RestartableRadio, SlotFreeingRadio, SubscribingRadio
from proxyconn.routing.pins import NO_PINS, Pin, Pins


class Interventions:
    """Acts on the radios, links and pins of a fleet.

    Args:
        hub: the fleet's.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def disconnect(self, address: str) -> None:
        """Close the link of a device, or end the attempt or the wait for one, whoever has it.

        Raises:
            BleakNotFoundError: nobody has the device.
            BleakError: the link could not be closed in order; it is given up all the same.
        """
        address = colon_address(address)
        holder = self._hub.queue.holders.present(address)
        if not isinstance(holder, RoutedClient):
            raise BleakNotFoundError(
                f"{address}: nobody has it connected, or waits for it",
                kind=ErrorKind.DEVICE_NOT_FOUND,
            )
        await holder.disconnect()

    async def free_slot(self, name: str, address: str) -> None:
        """Have a radio give up its slot for a device, whether it is in use or an orphan.

        Raises:
            RadioUnavailableError: there is no such radio, or it cannot be reached.
            BleakNotFoundError: the radio holds no slot for the device.
            UnsupportedError: the radio frees no slots when told to.
        """
        address, radio = colon_address(address), self.radio(name)
        if self._hub.queue.links.get(address) is radio:
            await self.disconnect(address)
            return
        slots = radio.allocations()
        if slots is None or address not in slots.allocated:
            raise BleakNotFoundError(
                f"{radio.name} holds no slot for {address}", kind=ErrorKind.DEVICE_NOT_FOUND
            )
        if not isinstance(radio, SlotFreeingRadio):
            raise UnsupportedError(f"{radio.name}: it frees no slots when told to")
        radio.free_slot(address)

    def pin(self, address: str, name: str, pin: Pin) -> Pins:
        """Say something about one radio for a device, from now on; return all that is said.

        Args:
            address: the device.
            name: the radio.
            pin: PREFERRED, AVOIDED, REQUIRED or BANNED; NEUTRAL to take back what was said.

        Raises:
            RadioUnavailableError: there is no such radio.
            ValueError: EXCLUDED is what follows of REQUIRED, and cannot be said.
        """
        address, name = colon_address(address), self.radio(name).name
        pins = self._hub.routing.pins_for(address).with_pin(name, pin)
        if pins == NO_PINS:
            self._hub.routing.pins.pop(address, None)
        else:
            self._hub.routing.pins[address] = pins
        self._hub.queue.radios_changed()
        return pins

    def resubscribe(self, name: str) -> None:
        """Ask a proxy for its subscription again, which may take it from another client.

        Raises:
            RadioUnavailableError: there is no such radio, or it cannot be reached.
            UnsupportedError: the radio has no subscription.
        """
        radio = self.radio(name)
        if not isinstance(radio, SubscribingRadio):
            raise UnsupportedError(f"{radio.name}: there is no subscription to ask for")
        radio.resubscribe()

    def set_scan_mode(self, mode: ScanMode | None) -> None:
        """Have radios scan so, as `Fleet(scan=…)` does; None to leave each as it was."""
        self._hub.scan.mode = mode

    async def restart(self, name: str) -> None:
        """Have a proxy restart, by its restart button; every link through it ends.

        Raises:
            RadioUnavailableError: there is no such radio, or it cannot be reached.
            UnsupportedError: it has no such button.
        """
        radio = self.radio(name)
        if not isinstance(radio, RestartableRadio):
            raise UnsupportedError(f"{radio.name}: it cannot be restarted from here")
        await radio.restart()

    async def forget_bond(self, address: str, name: str) -> None:
        """Forget that a device is bonded through a radio, here and, if it can be told, there.

        Raises:
            RadioUnavailableError: there is no such radio.
            BleakError: the radio refused to remove it; it is forgotten here all the same.
        """
        address, radio = colon_address(address), self.radio(name)
        self._hub.routing.unbonded(address, radio)
        sighting = self._hub.sightings.get(address)
        if radio.state.is_usable and radio.connectable:
            device = sighting.device if sighting else self._hub.known_device(address, 0)
            await radio.create_client(device).unpair()

    def radio(self, name: str) -> Radio:
        """Return the radio of this name, or MAC address. Raises RadioUnavailableError."""
        radio = self._hub.routing.radio_meant(name)
        if radio is None:
            raise RadioUnavailableError(
                f"there is no radio called {name}; there are: {self._hub.describe_radios()}"
            )
        return radio
