"""What opening a link, and asking something over it, needs of the session with its proxy."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol

from aioesphomeapi.model import BluetoothProxyFeature

from proxyconn.radio import SlotLedger, SlotQueue
from proxyconn_esphome.link.dispatch import Dispatcher
from proxyconn_esphome.link.sender import Sender
from proxyconn_esphome.link.turn import Turn


class OpeningAttempts(Protocol):
    """The attempts that occupy a proxy."""

    @property
    def opening(self) -> AbstractSet[str]:
        """Addresses whose links clients are opening, or wait to open."""
        ...

    @property
    def abandoned(self) -> Mapping[str, object]:
        """Addresses of attempts that were given up and are not over yet."""
        ...

    def begin(self, address: str) -> None:
        """A client begins to open a link."""

    def end(self, address: str) -> None:
        """It has its link, or has failed."""

    def abandon(self, address: str) -> None:
        """A client wants no link any more; a disconnect request is on its way."""

    def on_opened(self) -> None:
        """The proxy has opened a link."""


class LinksFromBefore(Protocol):
    """What the proxy held before its subscription was ours."""

    @property
    def foreign(self) -> Mapping[str, str]:
        """Devices whose link is not ours to end, each with whose it probably is."""
        ...

    def asking(self, address: str) -> None:
        """Take note that the proxy is about to be asked for a link."""


class Doubted(Protocol):
    """The subscription of the proxy."""

    def doubt(self) -> None:
        """Find out whether it is still ours, if another client can have taken it over."""


class ConnectingProxy(Sender, Protocol):
    """A proxy that is asked for links."""

    @property
    def ledger(self) -> SlotLedger:
        """Who holds which slot."""
        ...

    @property
    def queue(self) -> SlotQueue:
        """Who waits for one."""
        ...

    @property
    def turn(self) -> Turn:
        """Held by the one attempt that the proxy works on."""
        ...

    @property
    def attempts(self) -> OpeningAttempts:
        """What occupies the proxy."""
        ...

    @property
    def left(self) -> LinksFromBefore:
        """Links from before."""
        ...

    @property
    def subscription(self) -> Doubted:
        """Whether what it says goes to us."""
        ...

    @property
    def dispatcher(self) -> Dispatcher:
        """The links over it."""
        ...

    @property
    def features(self) -> BluetoothProxyFeature:
        """What it can do."""
        ...

    @property
    def is_usable(self) -> bool:
        """Whether it does what it can do."""
        ...

    def send_disconnect(self, number: int) -> None:
        """Ask it to drop whatever it holds for an address. Raises RadioUnavailableError."""

    def require(self, feature: BluetoothProxyFeature, what: str, since: str) -> None:
        """Raise UnsupportedError unless it has `feature`, which came with `since`."""

    def require_connectable(self) -> None:
        """Raise RadioUnavailableError or UnsupportedError unless it can be asked for a link now."""
