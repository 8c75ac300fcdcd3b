"""What a document's examples take for the reader's own proxies: the virtual household."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest

import proxyconn
from proxyconn import Fleet, Proxy, Subscribe
from proxyconn_virtual.catalogue import household
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk

ROOMS = ("kitchen", "bedroom", "cellar")
PLACEHOLDER = "…"
"""What a document writes for a key."""


def house() -> VirtualFleet:
    """Return the proxies of one fleet; nothing of them is announced."""
    key = new_noise_psk()
    specs = [ProxySpec(name=name, noise_psk=key) for name in ROOMS]
    return VirtualFleet(specs, household(ROOMS), announce=False)


class HouseFleet(Fleet):
    """A fleet of virtual proxies of its own, whatever it is told to use.

    Proxies, keys and adapters that an example names are checked for their form, then left alone.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = inspect.signature(Fleet).bind(*args, **kwargs).arguments
        self._given = given
        subscribe = given.get("subscribe", Subscribe.ALWAYS)
        super().__init__(discover=False, state=False, owner=False, subscribe=subscribe)
        self._house = house()

    async def __aenter__(self) -> Self:
        await self._house.__aenter__()
        await super().__aenter__()
        known = [
            Proxy("127.0.0.1", one.port, noise_psk=one.spec.noise_psk, name=name)
            for name, one in self._house.proxies.items()
        ]
        prefer, avoid, require = map(self._given.get, ("prefer", "avoid", "require"))
        await self.reconfigure(known, discover=False, prefer=prefer, avoid=avoid, require=require)
        return self

    async def aclose(self) -> None:
        """Close the fleet, then its proxies."""
        await super().aclose()
        await self._house.__aexit__(None, None, None)


def make_proxy(*args: Any, **kwargs: Any) -> Proxy:
    """Return a proxy as an example names it, though a document writes no true key."""
    given = inspect.signature(Proxy).bind(*args, **kwargs).arguments
    secrets = [name for name, value in given.items() if value == PLACEHOLDER]
    return Proxy(**{name: given[name] for name in given if name not in secrets})


@contextmanager
def standing_in() -> Iterator[None]:
    """Have examples that import `Fleet` and `Proxy` get these instead."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proxyconn, "Fleet", HouseFleet)
        patch.setattr(proxyconn, "Proxy", make_proxy)
        yield
