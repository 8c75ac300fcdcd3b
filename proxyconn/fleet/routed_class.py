"""Client classes that connect through one fleet, and take bare addresses."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

from bleak import BleakClient

from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import RoutedClient

ClientT = TypeVar("ClientT", bound=BleakClient)


def routed_backend(hub: Hub) -> type[RoutedClient]:
    """Return a bleak backend whose clients connect through the fleet of `hub`."""
    init = functools.partialmethod(RoutedClient.__init__, hub=hub)
    return type("FleetRoutedClient", (RoutedClient,), {"__init__": init})


def routed_class(base: type[ClientT], hub: Hub) -> type[ClientT]:
    """Return a subclass of `base` whose clients connect through the fleet of `hub`."""
    backend = routed_backend(hub)

    def initialise(client: ClientT, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("backend", backend)
        base.__init__(client, *args, **kwargs)

    return type(f"Fleet{base.__name__}", (base,), {"__init__": initialise})
