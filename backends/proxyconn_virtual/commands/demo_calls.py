"""A story of proxies that call by themselves, from a network that mDNS does not reach."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace

from proxyconn import (
    BleakClientWithServiceCache,
    Fleet,
    Proxy,
    RadioState,
    establish_connection,
)
from proxyconn.cli.display.rows import proxy_row
from proxyconn.cli.display.tables import proxies_table
from proxyconn.radio import Radio
from proxyconn_native_api.dialling import OutgoingConnection
from proxyconn_virtual.catalogue import household
from proxyconn_virtual.commands.demo_stage import Stage
from proxyconn_virtual.firmware.profiles import NEWEST
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

HALL, SHED, GATE = "hall", "shed", "gate"
LAMP = "Lamp"

HERE, ELSEWHERE, STRANGER = "127.0.0.1", "127.0.0.2", "127.0.0.9"
"""Addresses of this machine that stand for three networks."""

PATIENCE = 900.0
"""Seconds of the story's clock for anything that is to happen."""


@dataclass
class Scene:
    """A house, a shed in another network, and an app that listens.

    Attributes:
        stage: where the story is told.
        hall: the proxy of the house, which the app knows by its address.
        shed: the proxy that nobody can find.
        fleet: the app's fleet.
        port: where it listens.
    """

    stage: Stage
    hall: VirtualProxy
    shed: VirtualProxy
    fleet: Fleet
    port: int

    def radio(self, name: str) -> Radio | None:
        """Return a radio as the app sees it; None if it does not."""
        return next((one for one in self.fleet.radios if one.name.startswith(name)), None)

    def state(self, name: str) -> RadioState | None:
        """Return how a radio is doing; None if the app does not know it."""
        radio = self.radio(name)
        return radio.state if radio else None

    def show(self) -> None:
        """Print the proxies, and what is wrong with each."""
        rows = [proxy_row(radio) for radio in sorted(self.fleet.radios, key=lambda one: one.name)]
        self.stage.show(proxies_table(rows))
        for row in rows:
            if row["problem"]:
                self.stage.say(f"{row['name']}: {row['problem']}")

    async def until(self, met: Callable[[], object]) -> float:
        """Wait until something holds; return the seconds it took. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.timeout(PATIENCE):
            while not met():  # noqa: ASYNC110
                await asyncio.sleep(0.5)  # a look now and then is often enough
        return loop.time() - started

    async def say_to_be_the_shed(self) -> None:
        """Call as a stranger who says the shed's name and MAC address, and goes no further."""
        mac = self.shed.mac.replace(":", "").lower()
        body = b"\x01" + SHED.encode() + b"\0" + mac.encode() + b"\0"
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.bind((STRANGER, 0))
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, (HERE, self.port))
            await loop.sock_sendall(sock, b"\x01" + len(body).to_bytes(2, "big") + body)
            await asyncio.sleep(5.0)


async def dial_in(stage: Stage) -> None:
    """A proxy behind a router is found by nobody, and calls by itself; others may call, too."""
    port = _free_port()
    key = new_noise_psk()
    calls = OutgoingConnection(host=HERE, port=port)
    far = ProxySpec(name=SHED, noise_psk=key, profile=NEWEST, outgoing_connection=calls)
    other = replace(far, name=GATE, noise_psk=new_noise_psk())
    near = replace(far, name=HALL, outgoing_connection=OutgoingConnection(port=port))
    devices = [one for one in household([SHED]) if one.name == LAMP]
    async with (
        VirtualFleet([near], [], announce=False) as house,
        VirtualFleet([far, other], devices, announce=False, host=ELSEWHERE) as garden,
    ):
        hall, shed = house.proxies[HALL], garden.proxies[SHED]
        async with Fleet(
            [Proxy(HERE, hall.port, key, name=HALL)],
            discover=False,
            noise_psk={shed.mac: key},
            listen=port,
            state=None,
            owner=False,
        ) as fleet:
            scene = Scene(stage, hall, shed, fleet, port)
            await _calls(scene)
            await _stranger(scene)
            await _comes_back(scene)
            await _remembers(scene)
        free = all(not one.snapshot().slots for one in (hall, shed))
        stage.confirm(free, "nothing is left: every slot is free on the proxies' side too")


async def _calls(scene: Scene) -> None:
    stage, shed = scene.stage, scene.shed
    with stage.step("The shed is in another network", "waiting for its call"):
        await scene.until(lambda: scene.state(HALL) is RadioState.READY)
        stage.confirm(scene.radio(SHED) is None, "the hall is ready; of the shed nobody knows")
        took = await scene.until(lambda: scene.state(SHED) is RadioState.READY)
        scene.show()
        stage.confirm(
            shed.server.accepted == 0 and shed.snapshot().clients == ("proxyconn",),
            f"the shed has called, {took:.0f} s later, and proven its key; nobody has called it",
        )
        device = await scene.fleet.find_device(LAMP, PATIENCE)
        lamp = await establish_connection(BleakClientWithServiceCache, device, LAMP)
        stage.confirm(shed.snapshot().slots, "the lamp beside it is connected, through that call")
        await lamp.disconnect()


async def _stranger(scene: Scene) -> None:
    stage = scene.stage
    with stage.step("Strangers call, too", "waiting"):
        await scene.until(lambda: scene.radio(GATE))
        gate = scene.radio(GATE)
        stage.confirm(
            gate and gate.state is RadioState.WRONG_KEY,
            "the gate is refused, by name and MAC address: there is no key for it",
        )
        await scene.say_to_be_the_shed()
        stage.confirm(
            scene.state(SHED) is RadioState.READY and len(scene.fleet.radios) == 3,
            f"somebody at {STRANGER} says to be the shed, and nothing comes of it",
        )


async def _comes_back(scene: Scene) -> None:
    stage, shed = scene.stage, scene.shed
    with stage.step("The shed loses its power, and has it again", "waiting"):
        before = scene.radio(SHED)
        await shed.kill()
        await scene.until(lambda: scene.state(SHED) is RadioState.GONE)
        scene.show()
        await shed.start()
        took = await scene.until(lambda: scene.state(SHED) is RadioState.READY)
        stage.confirm(
            scene.radio(SHED) is before,
            f"it calls again {took:.0f} s after its boot, and is the proxy that it was",
        )


async def _remembers(scene: Scene) -> None:
    stage, hall = scene.stage, scene.hall
    with stage.step("The hall's address changes, and nobody is told the new one", "waiting"):
        stage.confirm(
            hall.dialler and hall.dialler.remembered == HERE and not hall.dialler.calls,
            "the hall was called, so it does not call; but it remembers who may be called",
        )
        await hall.kill()
        hall.port = _free_port()
        await hall.start()
        took = await scene.until(lambda: scene.state(HALL) is RadioState.READY)
        scene.show()
        stage.confirm(
            hall.dialler and hall.dialler.calls == 1 and len(hall.snapshot().clients) == 1,
            f"{took:.0f} s later it has called, and has one session",
        )


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HERE, 0))
        return int(sock.getsockname()[1])
