"""Restarting a proxy by its button."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxyconn import Fleet, Proxy, RadioState, UnsupportedError
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk
from tests.fleet.conftest import KITCHEN, until

KEY = new_noise_psk()


@asynccontextmanager
async def house(*, restart_button: bool) -> AsyncIterator[tuple[Fleet, VirtualProxy]]:
    """Run a proxy, and a fleet of it."""
    spec = ProxySpec(name=KITCHEN, noise_psk=KEY, restart_button=restart_button)
    async with VirtualFleet([spec], [], announce=False) as virtual:
        proxy = virtual.proxies[KITCHEN]
        way = Proxy("127.0.0.1", proxy.port, noise_psk=KEY)
        async with Fleet([way], discover=False, owner=False, state=None) as fleet:
            await fleet.ready()
            yield fleet, proxy


async def test_a_proxy_is_restarted() -> None:
    """Its button is pressed, and it leaves."""
    async with house(restart_button=True) as (fleet, proxy):
        await fleet.inspection().act.restart(KITCHEN)
        await until(lambda: fleet.radios[0].state is not RadioState.READY)
        assert proxy.snapshot().received["ButtonCommandRequest"] == 1


async def test_a_proxy_without_a_button_is_left() -> None:
    """The error says how to give it one."""
    async with house(restart_button=False) as (fleet, _):
        with pytest.raises(UnsupportedError, match="platform: restart"):
            await fleet.inspection().act.restart(KITCHEN)
        assert fleet.radios[0].state is RadioState.READY
