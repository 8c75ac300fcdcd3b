"""Sessions without end through a virtual fleet, and whether anything grows: scripts/soak."""

from __future__ import annotations

import argparse
import asyncio
import csv
import gc
import os
import statistics
import sys
import time
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from bleak.exc import BleakError

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk

PROXIES, SLOTS, DEVICES = 4, 3, 30
VALUE = "0000fff1-0000-1000-8000-00805f9b34fb"

SAMPLE_EVERY = 1.0
"""Seconds between two looks."""

RESTART_EVERY = 10.0
"""Seconds between two proxies that lose their power."""

WARM_UP = 0.25
"""Share of the samples, at the beginning, that do not count: caches fill."""

GROWTH = 0.05
"""Growth of the memory's median, from the first third after the warm-up to the last, that is a
leak."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What there was at one moment.

    Attributes:
        seconds: since the start.
        rss: resident memory, MiB.
        tasks: of the loop.
        descriptors: open files and sockets.
        slots: held at the proxies.
        sessions: complete so far.
    """

    seconds: float
    rss: float
    tasks: int
    descriptors: int
    slots: int
    sessions: int


class Soak:
    """One run: the house, the sessions, and what was seen."""

    def __init__(self, seconds: float) -> None:
        names = [f"proxy-{number}" for number in range(PROXIES)]
        key = new_noise_psk()
        self.seconds = seconds
        self.house = VirtualFleet(
            [ProxySpec(name=name, noise_psk=key, slots=SLOTS) for name in names],
            [_device(number, names) for number in range(DEVICES)],
            announce=False,
        )
        self.sessions = 0
        self.failures = 0
        self.samples: list[Sample] = []
        self._begun = time.monotonic()

    async def run(self) -> None:
        """Hold sessions, sampling, for as long as was asked."""
        async with self.house:
            proxies = [
                Proxy("127.0.0.1", proxy.port, noise_psk=proxy.noise_psk)
                for proxy in self.house.proxies.values()
            ]
            async with Fleet(proxies, discover=False, state=None, owner=False) as fleet:
                await fleet.ready(PROXIES)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.seconds), asyncio.TaskGroup() as group:
                        for device in self.house.peripherals:
                            group.create_task(self._sessions(fleet, device.address))
                        group.create_task(self._restarts())
                        group.create_task(self._samples())
            gc.collect()

    async def _sessions(self, fleet: Fleet, address: str) -> None:
        while True:
            try:
                device = await fleet.find_device(address)
                client = await establish_connection(
                    BleakClientWithServiceCache, device, address, deadline=30
                )
            except (BleakError, TimeoutError):
                self.failures += 1
                continue
            try:
                await client.start_notify(VALUE, lambda sender, data: None)
                await client.read_gatt_char(VALUE)
                await asyncio.sleep(0.2)
                self.sessions += 1
            except BleakError:
                self.failures += 1
            finally:
                await client.disconnect()

    async def _restarts(self) -> None:
        while True:
            for proxy in self.house.proxies.values():
                await asyncio.sleep(RESTART_EVERY)
                await proxy.kill()
                await proxy.start()

    async def _samples(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_EVERY)
            self.samples.append(
                Sample(
                    round(time.monotonic() - self._begun, 1),
                    _rss(),
                    len(asyncio.all_tasks()),
                    len(os.listdir("/proc/self/fd")),
                    sum(len(proxy.snapshot().slots) for proxy in self.house.proxies.values()),
                    self.sessions,
                )
            )


def _device(number: int, names: list[str]) -> Peripheral:
    value = CharacteristicSpec(0xFFF1, Properties.READ | Properties.NOTIFY, b"soak")
    return Peripheral(
        f"C4:00:00:00:01:{number:02X}",
        f"device {number}",
        services=[ServiceSpec(0xFFF0, [value])],
        rssi={name: -50 - (number + place) % 30 for place, name in enumerate(names)},
        interval=0.2,
        latency=0.05,
    )


def _rss() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2)


def verdict(samples: list[Sample]) -> list[str]:
    """Return what grows; empty if nothing does."""
    counted = samples[int(len(samples) * WARM_UP) :]
    third = len(counted) // 3
    grows = []
    for name, share in (("rss", GROWTH), ("tasks", 0.5), ("descriptors", 0.5)):
        early = statistics.median(getattr(sample, name) for sample in counted[:third])
        late = statistics.median(getattr(sample, name) for sample in counted[-third:])
        if late > early * (1 + share):
            grows.append(f"{name} grows: {early:g} -> {late:g}")
    return grows


def draw(samples: list[Sample], picture: Path) -> None:
    """Plot every figure over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    names = [field.name for field in fields(Sample)][1:]
    figure, axes = pyplot.subplots(len(names), sharex=True, figsize=(9, 2 * len(names)))
    for axis, name in zip(axes, names, strict=True):
        axis.plot(
            [sample.seconds for sample in samples], [getattr(sample, name) for sample in samples]
        )
        axis.set_ylabel(name + (", MiB" if name == "rss" else ""))
        axis.set_ylim(bottom=0)
        axis.grid(visible=True, alpha=0.3)
    axes[-1].set_xlabel("seconds")
    figure.suptitle(f"{PROXIES} proxies, {DEVICES} devices")
    figure.tight_layout()
    figure.savefig(picture)


def main() -> int:
    """Run, print, plot; return 1 if something grows."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="(%(default)g)")
    parser.add_argument("--picture", type=Path, default=Path("soak.png"), help="(%(default)s)")
    chosen = parser.parse_args()
    soak = Soak(chosen.seconds)
    asyncio.run(soak.run())
    with chosen.picture.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(field.name for field in fields(Sample))
        rows.writerows(map(astuple, soak.samples))
    draw(soak.samples, chosen.picture)
    first, last = soak.samples[int(len(soak.samples) * WARM_UP)], soak.samples[-1]
    print(f"{soak.sessions} sessions, {soak.failures} failed while proxies restarted")
    print(f"after the warm-up {first}")
    print(f"at the end        {last}")
    held = [slot for proxy in soak.house.proxies.values() for slot in proxy.snapshot().slots]
    wrong = verdict(soak.samples) + [f"a slot is held at the end: {slot}" for slot in held]
    print("\n".join(wrong) or "nothing grows, and nothing is left")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
