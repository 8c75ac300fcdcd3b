"""What an owner needs with the page open in a browser, and without: CPU and memory.

Usage: python -m scripts.web.load [--seconds N] [--proxies P] [--devices D] [--rate R]
                                  [--at-most RATIO]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from playwright.async_api import Page, expect

from scripts.web.browsing import browsing, chromium

SETTLING = 30.0
"""Seconds after all devices were heard once that count for nothing."""

SAMPLE_EVERY = 1.0
"""Seconds between two looks."""

GROWTH = 0.05
"""Growth of the memory's median, from the second quarter to the last, that is a leak."""

LAST_WORDS = 10.0
"""Seconds that a process has to end by itself."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a process needed over some time.

    Attributes:
        cpu: its share of one core.
        rss: resident memory in MiB, at each look.
    """

    cpu: float
    rss: list[float]


async def needed(process: psutil.Process, seconds: float) -> Need:
    """Watch a process."""
    loop = asyncio.get_running_loop()

    def used() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    began, before = loop.time(), used()
    rss: list[float] = []
    while loop.time() - began < seconds:
        await asyncio.sleep(SAMPLE_EVERY)
        rss.append(process.memory_info().rss / 2**20)
    return Need((used() - before) / (loop.time() - began), rss)


@asynccontextmanager
async def running(*words: str) -> AsyncIterator[tuple[Process, dict[str, object]]]:
    """Run a module of Python; yield its process, and the first thing it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *words, stdin=PIPE, stdout=PIPE
    )
    assert process.stdout
    assert process.stdin
    try:
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"{words[0]} has ended; its error is above")
        yield process, json.loads(line)
    finally:
        process.stdin.close()
        if process.returncode is None and words[0] == "proxyconn":
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), LAST_WORDS)
        except TimeoutError:
            process.kill()


def configure(file: Path, said: dict[str, object]) -> None:
    """Write the configuration of an owner of the crowd's proxies."""
    ports = said["ports"]
    assert isinstance(ports, dict)
    lines = ["discover = false", f'key = "{said["key"]}"']
    for name, port in ports.items():
        lines += ["[[proxy]]", 'host = "127.0.0.1"', f"port = {port}", f'name = "{name}"']
    file.touch(mode=0o600)
    file.write_text("\n".join(lines) + "\n")


async def log_in(page: Page, url: str, token: str, devices: int) -> None:
    """Open the page at the matrix of all devices."""
    await page.goto(url)
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("link", name="Devices").click()
    await expect(page.get_by_text(f"{devices} of {devices}")).to_be_visible()


async def compare(options: argparse.Namespace, executable: str) -> tuple[Need, Need]:
    """Return what an owner needs without a browser, and with one."""
    crowd = ("scripts.web.crowd", str(options.proxies), str(options.devices), str(options.rate))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        config, tokens = home / "config.toml", home / "token"
        serve = (
            "proxyconn", "serve", "--config", str(config), "--state", str(home / "state"),
            "--no-announce", "--json", "--api", "127.0.0.1:0", "--web", "127.0.0.1:0",
            "--web-token-file", str(tokens),
        )  # fmt: skip
        async with running(*crowd) as (_, said):
            await asyncio.to_thread(configure, config, said)
            async with running(*serve) as (owner, ready), browsing(executable) as browser:
                watched = psutil.Process(owner.pid)
                await asyncio.sleep(options.devices / options.rate + SETTLING)
                without = await needed(watched, options.seconds / 5)
                print(f"without a browser: {without.cpu:.1%} of a core", flush=True)
                page = await browser.new_page(viewport={"width": 1280, "height": 900})
                token = (await asyncio.to_thread(tokens.read_text)).split()[0]
                await log_in(page, str(ready["web"]), token, options.devices)
                await asyncio.sleep(SETTLING)
                return without, await needed(watched, options.seconds)


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600.0, help="with the browser")
    parser.add_argument("--proxies", type=int, default=20)
    parser.add_argument("--devices", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=20.0, help="advertisements a second, each")
    parser.add_argument("--at-most", type=float, default=1.3, help="times the CPU without")
    return parser.parse_args()


async def main() -> int:
    """Compare; return the exit code."""
    options = parse()
    executable = chromium()
    if executable is None:
        print("there is no Chromium; on Debian: apt install chromium", file=sys.stderr)
        return 1
    without, with_it = await compare(options, executable)
    ratio = with_it.cpu / without.cpu
    quarter = max(1, len(with_it.rss) // 4)
    early = statistics.median(with_it.rss[quarter : 2 * quarter])
    late = statistics.median(with_it.rss[-quarter:])
    print(f"with one: {with_it.cpu:.1%} of a core, {ratio:.2f} times as much")
    print(f"memory: {statistics.median(without.rss):.1f} MiB without, {early:.1f}, then {late:.1f}")
    well = ratio <= options.at_most and late <= (1 + GROWTH) * early
    print("it is as it should be" if well else "it is not as it should be")
    return int(not well)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
