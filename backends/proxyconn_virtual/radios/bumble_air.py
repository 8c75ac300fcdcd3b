"""The air between Bumble's software controllers: who hears whom, and how loudly.

Bumble's own `LocalLink` lets everybody hear everybody at -50 dBm, sends no scan responses, and does
not know what it is to cancel a connection; the classes here add that and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random

from bumble import controller, core, hci, ll
from bumble.link import LocalLink

from proxyconn_virtual.advertising import Advertisement, Advertising, said
from proxyconn_virtual.peripheral import Peripheral

logger = logging.getLogger(__name__)

ADVERTISING_TIMER_UNIT = 0.001
"""Seconds per unit in which Bumble's controller counts the advertising interval (not 0.625 ms)."""


class Controller(controller.Controller):
    """A controller of the kind that an ESP32 has: legacy advertising, no address resolution."""

    le_acl_data_packet_length = 251
    le_features = controller.Controller.le_features & ~(
        hci.LeFeatureMask.LL_PRIVACY
        | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
        | hci.LeFeatureMask.LE_PERIODIC_ADVERTISING
    )


class PeripheralController(Controller):
    """The controller of a virtual peripheral."""

    def __init__(self, peripheral: Peripheral, air: Air, advertising: Advertising) -> None:
        super().__init__(
            peripheral.name,
            link=air,
            public_address=device_address(peripheral) if not peripheral.address_type else None,
        )
        self.peripheral = peripheral
        self.advertise(advertising)

    def advertise(self, advertising: Advertising) -> None:
        """Say something else from now on."""
        self._advertising = advertising
        self._times = 0

    def says(self) -> Advertisement | None:
        """Return what is heard of it this time; None for what no proxy here hears.

        That is an extended advertisement, and one whose own code failed, which is logged.
        """
        number, self._times = self._times, self._times + 1
        try:
            says = said(self._advertising, number)
        except Exception:
            logger.exception("what %s advertises cannot be told", self.peripheral.name)
            return None
        return None if says.extended else says

    def on_hci_le_set_advertising_parameters_command(
        self, command: hci.HCI_LE_Set_Advertising_Parameters_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Take the parameters, and put the interval in the unit of the controller's own timer."""
        status = super().on_hci_le_set_advertising_parameters_command(command)
        interval = round(self.peripheral.interval / ADVERTISING_TIMER_UNIT)
        self.le_legacy_advertiser.advertising_interval_min = max(interval, 1)
        return status


class ProxyController(Controller):
    """The controller of a virtual proxy."""

    def __init__(self, name: str, air: Air) -> None:
        super().__init__(name, link=air)

    def hear(
        self, sender: PeripheralController, pdu: ll.AdvInd, says: Advertisement, rssi: int
    ) -> None:
        """Report an advertisement to the host, and connect if the host waits for this device."""
        if self.le_scan_enable:
            kinds = hci.HCI_LE_Advertising_Report_Event.EventType
            self._report(kinds.ADV_IND, pdu.advertiser_address, says.data, rssi)
            if self.le_scan_type == hci.HCI_LE_Set_Scan_Parameters_Command.ACTIVE_SCANNING:
                self._report(kinds.SCAN_RSP, pdu.advertiser_address, says.scan_response, rssi)
        pending = self.pending_le_connection
        # Another proxy may have taken the peripheral between its report and now.
        still_there = sender.le_legacy_advertiser.enabled
        if pending and pending.peer_address == pdu.advertiser_address and still_there:
            self.create_le_connection(pdu.advertiser_address)

    def _report(self, event_type: int, address: hci.Address, data: bytes, rssi: int) -> None:
        report = hci.HCI_LE_Advertising_Report_Event.Report(
            event_type=event_type,
            address_type=address.address_type,
            address=address,
            data=data,
            rssi=rssi,
        )
        self.send_hci_packet(hci.HCI_LE_Advertising_Report_Event([report]))

    def on_hci_le_create_connection_cancel_command(
        self, command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        """End a pending connection with Unknown Connection Identifier (Core vol 4 E 7.8.13)."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        # The command is answered before the connection is.
        asyncio.get_running_loop().call_soon(self._report_cancelled, pending.peer_address)
        return super().on_hci_le_create_connection_cancel_command(command)

    def _report_cancelled(self, peer: hci.Address) -> None:
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=hci.Role.CENTRAL,
                peer_address_type=peer.address_type,
                peer_address=peer,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )


class Air(LocalLink):
    """Carries packets between controllers; a proxy hears the peripherals that name it."""

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Bumble leaves it bare
        self._random = Random(seed)

    def send_advertising_pdu(
        self, sender_controller: controller.Controller, packet: ll.AdvertisingPdu
    ) -> None:
        """Deliver an advertisement to the proxies in range, a connection request to its target."""
        match packet:
            case ll.AdvInd() if isinstance(sender_controller, PeripheralController):
                self._broadcast(sender_controller, packet)
            case ll.ConnectInd():
                # At once, so that a second proxy cannot connect to the same advertisement.
                target = self.find_le_controller(packet.advertiser_address)
                if target is not None:
                    target.on_ll_advertising_pdu(packet)

    def _broadcast(self, sender: PeripheralController, packet: ll.AdvInd) -> None:
        peripheral = sender.peripheral
        says = sender.says()
        if says is None:
            return
        loop = asyncio.get_running_loop()
        proxies = (one for one in self.controllers if isinstance(one, ProxyController))
        for proxy in sorted(proxies, key=lambda one: one.name):
            rssi = peripheral.rssi.get(proxy.name)
            if rssi is not None and self._random.random() >= peripheral.loss:
                loop.call_soon(proxy.hear, sender, packet, says, rssi)

    def send_acl_data(
        self,
        sender_controller: controller.Controller,
        destination_address: hci.Address,
        transport: core.PhysicalTransport,
        data: bytes,
    ) -> None:
        """Deliver data under the address that the link was opened with, public ones included."""
        connection = sender_controller.le_connections.get(destination_address)
        destination = self.find_le_controller(destination_address)
        if connection is not None and destination is not None:
            asyncio.get_running_loop().call_soon(
                destination.on_link_acl_data, connection.self_address, transport, data
            )


def device_address(peripheral: Peripheral) -> hci.Address:
    """Return a peripheral's address in Bumble's form."""
    return make_address(peripheral.address_int, peripheral.address_type)


def make_address(address: int, address_type: int) -> hci.Address:
    """Return a 48-bit number and its type (0..3, Core vol 4 E 7.7.65.2) in Bumble's form."""
    return hci.Address(address.to_bytes(6, "little"), hci.AddressType(address_type & 1))
