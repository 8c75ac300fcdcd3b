"""Usage: python -m scripts.web [--pictures FOLDER]   Try the web page in Chromium.

Pages load, values move, a slot is freed by a click, injected faults are shown, a device's name is
never markup, the owners of a cluster are shown, nothing is asked of any other host, no console says
anything, and axe finds nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Error

from proxyconn import BleakClientWithServiceCache, Fleet
from proxyconn_owner.service import Owner
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import new_noise_psk
from scripts.web import checks
from scripts.web.browsing import VIEWS, browsing, chromium, go, opened
from scripts.web.cluster import try_cluster
from scripts.web.house import FIRST, SECOND, connected, owner_with_links

WIDTHS = (390, 1280, 1920)

Tried = Callable[[], Awaitable[object]]


async def try_views(browser: Browser, owner: Owner, pictures: Path | None) -> list[str]:
    """Look at every view in both schemes; return what is wrong."""
    wrong: list[str] = []
    for scheme in ("light", "dark"):
        for width in WIDTHS if pictures else WIDTHS[:2]:
            async with opened(browser, owner, width, scheme) as (page, said):
                for view in VIEWS:
                    await go(page, view)
                    await page.wait_for_timeout(700)
                    if pictures:
                        await page.screenshot(path=pictures / f"{view}-{width}-{scheme}.png")
                    found = await Axe().run(page)
                    wrong += [
                        f"{view} at {width}, {scheme}: {one['id']}: {one['help']}: "
                        f"{one['nodes'][0]['html'][:120]}"
                        for one in found.response["violations"]
                    ]
                    if await page.evaluate("document.body.scrollWidth > innerWidth"):
                        wrong.append(f"{view} at {width}: wider than the window")
                wrong += said
    return wrong


async def complaint(tried: Tried) -> list[str]:
    """Return what is wrong by a check, or what it returns as such."""
    try:
        found = await tried()
    except (AssertionError, TimeoutError, Error) as exc:
        return [repr(exc)]
    return found if isinstance(found, list) else []


async def try_in_turn(
    browser: Browser,
    virtual: VirtualFleet,
    owner: Owner,
    program: Fleet,
    second: BleakClientWithServiceCache,
) -> list[str]:
    """Try one thing after the other on one page; return what is wrong."""
    wrong: list[str] = []
    async with opened(browser, owner) as (page, said):
        tried: list[Tried] = [
            lambda: checks.try_name(page),
            lambda: checks.try_values(page),
            lambda: checks.try_services(page),
            lambda: checks.try_free(page, second),
            lambda: checks.try_stolen(page, virtual, owner),
            lambda: checks.try_wedged(page, virtual, owner, program),
            lambda: checks.try_refusals(browser, owner),
            lambda: checks.try_tabs(browser, owner),
        ]
        for one in tried:
            wrong += await complaint(one)
        wrong += said
    return wrong


async def main() -> int:
    """Run every check; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=Path, help="where to put a picture of every view")
    pictures: Path | None = parser.parse_args().pictures
    executable = chromium()
    if executable is None:
        print("there is no Chromium; on Debian: apt install chromium", file=sys.stderr)
        return 1
    if pictures:
        await asyncio.to_thread(pictures.mkdir, parents=True, exist_ok=True)
    async with (
        owner_with_links(new_noise_psk()) as (virtual, owner, program),
        browsing(executable) as browser,
    ):
        _first, second = await connected(program, FIRST), await connected(program, SECOND)
        leak, others = await asyncio.gather(
            complaint(lambda: checks.try_leak(browser, virtual, owner)),
            try_in_turn(browser, virtual, owner, program, second),
        )
        wrong = [*leak, *others, *await try_views(browser, owner, pictures)]
        wrong += await complaint(lambda: try_cluster(browser, new_noise_psk(), pictures))
    for line in wrong:
        print(line)
    print("the page is not as it should be" if wrong else "the page is as it should be")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
