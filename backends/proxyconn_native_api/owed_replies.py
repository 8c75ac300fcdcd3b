"""What firmware from 2026.8 on still owes its subscriber after a full socket refused it.

Every 100 ms it offers again, in this order: the slot report; per link connected=true, then the end
of the services, then one acknowledgement or GATT error; ends of links, one for each address; one
answer to UNPAIR; the state of the scanner. All else that was refused is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb

_ACKS: Final = (
    pb.BluetoothGATTWriteResponse,
    pb.BluetoothGATTNotifyResponse,
    pb.BluetoothGATTErrorResponse,
)

_REPORT, _CONNECTED, _DONE, _ACK, _ENDED, _UNPAIRED, _SCANNER = range(7)

_TRIES: Final = {_DONE: 30, _ACK: 250}
"""How often these are offered again (ESPHome bluetooth_connection.h); the others without end."""


def _place(message: Message) -> tuple[int, int] | None:
    """Return the rank of a message and the address it is about, 0 for none; None if it is lost."""
    match message:
        case pb.BluetoothConnectionsFreeResponse():
            return _REPORT, 0
        case pb.BluetoothDeviceConnectionResponse(connected=True):
            return _CONNECTED, message.address
        case pb.BluetoothDeviceConnectionResponse():
            return _ENDED, message.address
        case pb.BluetoothGATTGetServicesDoneResponse():
            return _DONE, message.address
        case pb.BluetoothDeviceUnpairingResponse():
            return _UNPAIRED, 0
        case pb.BluetoothScannerStateResponse():
            return _SCANNER, 0
    if isinstance(message, _ACKS):
        return _ACK, message.address
    return None


def is_owed(message: Message) -> bool:
    """Whether a message that a full socket refused is offered again."""
    return _place(message) is not None


class OwedReplies:
    """The debts to one subscriber.

    Args:
        send: sends a message; False if the socket is full.
        every: seconds between two tries.
    """

    def __init__(self, send: Callable[[Message], bool], every: float) -> None:
        self._send = send
        self._every = every
        self._owed: dict[tuple[int, int], Message] = {}
        self._tries: dict[tuple[int, int], int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def offer(self, message: Message) -> bool:
        """Send a message, or owe it; whether it went out. A newer one displaces its like."""
        place = _place(message)
        if self._send(message):
            if self._owed and place is not None:
                self._owed.pop(place, None)
            return True
        if place is not None:
            self._owed[place] = message
            self._tries.pop(place, None)
            self._arm()
        return False

    def forget(self) -> None:
        """Owe nothing any more: another subscriber came, or none is left."""
        self._owed.clear()
        self._tries.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._again)

    def _again(self) -> None:
        self._timer = None
        for place in list(self._due()):
            message = self._owed.get(place)
            if message is None or self._waits_for_connected(place):
                continue
            if self._send(message):
                del self._owed[place]
                self._tries.pop(place, None)
            else:
                self._age(place)
        if self._owed:
            self._arm()

    def _waits_for_connected(self, place: tuple[int, int]) -> bool:
        rank, address = place
        if rank not in (_DONE, _ACK) or (_CONNECTED, address) not in self._owed:
            return False
        self._age(place)
        return True

    def _due(self) -> Iterator[tuple[int, int]]:
        """Yield what is owed in the order of the firmware: by link between report and ends."""
        links = dict.fromkeys(a for rank, a in self._owed if rank in (_CONNECTED, _DONE, _ACK))
        yield (_REPORT, 0)
        for address in links:
            yield from ((rank, address) for rank in (_CONNECTED, _DONE, _ACK))
        yield from [place for place in self._owed if place[0] == _ENDED]
        yield from ((_UNPAIRED, 0), (_SCANNER, 0))

    def _age(self, place: tuple[int, int]) -> None:
        tries = self._tries[place] = self._tries.get(place, 0) + 1
        if tries >= _TRIES.get(place[0], tries + 1):
            self._owed.pop(place, None)
            self._tries.pop(place, None)
