"""Bonds that a program was told of outlive it, however it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection
from proxyconn.state.file import StateFile
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk
from tests.fleet.conftest import KITCHEN, address, peripheral

KEY = new_noise_psk()


@pytest.mark.parametrize("with_connect", [True, False])
async def test_a_bond_is_written_before_it_is_told(tmp_path: Path, with_connect: bool) -> None:
    """A program that is killed in the next moment has lost nothing."""
    spec = ProxySpec(name=KITCHEN, noise_psk=KEY)
    async with VirtualFleet([spec], [peripheral(1, kitchen=-50)], announce=False) as virtual:
        proxy = Proxy("127.0.0.1", virtual.proxies[KITCHEN].port, noise_psk=KEY)
        async with Fleet([proxy], discover=False, owner=False, state=tmp_path) as fleet:
            device = await fleet.find_device(address(1))
            client = await establish_connection(
                BleakClientWithServiceCache, device, "device", pair=with_connect
            )
            if not with_connect:
                await client.pair()
            known = await asyncio.to_thread(StateFile(tmp_path).read)
            assert [key.device for key in known if key.kind == "bond"] == [address(1)]
            await client.disconnect()
