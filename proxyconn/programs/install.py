"""Making bleak itself use a fleet: the one place where something of bleak is replaced.

bleak looks its platform's backends up at each construction of a client or scanner, by functions
that it finds under their names in the module `bleak`. There is no public way to choose another
backend for programs that do not pass `backend=`, so those names are bound to others while a fleet
is installed. Looked up so late, they hold for subclasses and for classes imported long before.

bleak-retry-connector needs nothing: it asks D-Bus only about devices that carry a BlueZ path, and
about bare addresses, which BlueZ does not know where there is none.
"""

from __future__ import annotations

from collections.abc import Callable

import bleak
from bleak.backends.adapter import BaseBleakAdapter

from proxyconn.fleet.fleet import Fleet
from proxyconn.programs.loop_crossing import FleetAccess, Ready
from proxyconn.programs.program_client import ProgramClient
from proxyconn.programs.program_scanner import ProgramScanner

BACKEND_ID = "proxyconn"
"""What `BleakClient.backend_id` and `BleakScanner.backend_id` say while a fleet is installed."""

CLIENT_LOOKUP = "get_platform_client_backend_type"
SCANNER_LOOKUP = "get_platform_scanner_backend_type"
ADAPTER_LOOKUP = "get_platform_adapter_backend_type"


class _Lookup:
    """Takes the place of one of bleak's functions.

    Args:
        installation: what it belongs to.
        name: name of the function in the module `bleak`.
        backend: the class to return while a fleet is installed.
    """

    def __init__(self, installation: _Installation, name: str, backend: type) -> None:
        self.installation = installation
        self._name = name
        self._backend = backend
        self._original: Callable[[], tuple[type, str]] = vars(bleak)[name]
        setattr(bleak, name, self)

    def __call__(self) -> tuple[type, str]:
        # Whoever has wrapped this goes on calling it when nothing is installed any more.
        return (self._backend, BACKEND_ID) if self.installation.holders else self._original()

    def remove(self) -> None:
        """Put the original back, unless somebody has put something else here since."""
        if vars(bleak)[self._name] is self:
            setattr(bleak, self._name, self._original)


class _Installation:
    """One fleet, installed once or more often.

    Attributes:
        fleet: the fleet.
        access: how programs reach it.
        holders: those who have installed it and not undone that.
    """

    def __init__(self, fleet: Fleet, ready: Ready) -> None:
        self.fleet = fleet
        self.holders: set[object] = set()
        self.access = FleetAccess(fleet, ready)
        here = {"__module__": __name__, "access": self.access}
        client = type("FleetClient", (ProgramClient,), here)
        scanner = type("FleetScanner", (ProgramScanner,), {**here, "clients": client})
        # BaseBleakAdapter says of itself that it is not implemented.
        backends = ((CLIENT_LOOKUP, client), (SCANNER_LOOKUP, scanner))
        self._lookups = [
            _Lookup(self, name, backend)
            for name, backend in (*backends, (ADAPTER_LOOKUP, BaseBleakAdapter))
        ]

    def hold(self) -> Callable[[], None]:
        """Count one more holder; returns what lets go."""
        holder = object()
        self.holders.add(holder)

        def let_go() -> None:
            self.holders.discard(holder)
            if not self.holders:
                for lookup in self._lookups:
                    lookup.remove()

        return let_go


def install(fleet: Fleet, *, ready: Ready | None = None) -> Callable[[], None]:
    """Make every plain BleakClient and BleakScanner of this process use a fleet.

    That goes for other people's libraries, for subclasses, for classes that were imported before,
    and for every thread and event loop: calls cross over to the loop of the fleet, callbacks come
    back to that of the caller. What passes a `backend=` of its own is left alone, and so is what
    was constructed before. Installing the same fleet again is allowed; it stays installed until
    each call has been undone.

    BleakAdapter raises NotImplementedError, as bleak documents it for platforms without one.

    Args:
        fleet: the fleet; it may run in another event loop or thread than this is called in.
        ready: awaited in the fleet's loop before a scan begins; `fleet.ready` unless given. When it
            raises RadioUnavailableError, the scan raises BleakBluetoothNotAvailableError.

    Returns:
        What undoes it; harmless when called again. Scanners and clients that were constructed
        meanwhile go on with the fleet.

    Raises:
        RuntimeError: another fleet is installed.
        BleakError: the fleet is not running, or only looks.
    """
    fleet.require_listening()
    installation = _present()
    if installation is None:
        installation = _Installation(fleet, ready or fleet.ready)
    elif installation.fleet is not fleet:
        raise RuntimeError(
            "another fleet is installed; first call what install() returned for that one"
        )
    return installation.hold()


async def close_links() -> None:
    """Close every link that programs have open through the installed fleet, if there is one.

    To be called in the fleet's loop. A proxy drops the links of a session that ends; a local
    adapter keeps those of a program that has.
    """
    if installation := _present():
        await installation.access.close_links()


def _present() -> _Installation | None:
    lookup = vars(bleak)[CLIENT_LOOKUP]
    installation = lookup.installation if isinstance(lookup, _Lookup) else None
    return installation if installation and installation.holders else None
