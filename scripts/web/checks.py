"""What is tried on the page; each raises AssertionError, or a timeout, if it is not so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from playwright.async_api import Browser, Locator, Page, Route, expect

from proxyconn import BleakClientWithServiceCache, Fleet
from proxyconn.fleet.alarms import AlarmKind
from proxyconn_owner.service import Owner
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Drop
from proxyconn_virtual.fleet import VirtualFleet
from scripts.web.browsing import NAP, Pace, go, opened
from scripts.web.house import EVIL, PATIENCE, THIRD, connected

OFTEN = 1000
"""Times that a subscription is stolen: more than there is time for."""

FAULT_LIMIT = 180.0
"""Seconds for an injected fault to be an alarm of the library."""

ALARM_LIMIT = 2.0
"""Seconds from an alarm of the library to the one on the page, beside those that the machine was
busy with something else."""

REFUSED_SECONDS = 8.0
"""Seconds for which the owner answers nothing but 503, and then nothing at all."""

MOST_ASKED = 4
"""Times that a page asks again in these: after 2 and 4 s, with a quarter of that up or down."""


async def try_name(page: Page) -> None:
    """What a device is called is text, in every view that shows it."""
    for view in ("fleet", "devices", "device", "log"):
        await go(page, view)
        await expect(page.get_by_text(EVIL).first).to_be_visible()
    assert await page.locator("main img").count() == 0


async def try_values(page: Page) -> None:
    """Values change by themselves, and what is searched for is found."""
    await go(page, "devices")
    cells = page.locator("table.matrix")
    before = await cells.inner_text()
    async with asyncio.timeout(PATIENCE):
        while before == await cells.inner_text():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.25)
    await page.get_by_label("Search").fill("sensor 33")
    await expect(page.locator("table.matrix tbody tr:not(.spacer)")).to_have_count(1)


async def try_services(page: Page) -> None:
    """The table of a connected device is shown, with the names of services."""
    await go(page, "device")
    await expect(page.get_by_text("Battery Level").first).to_be_visible()
    await expect(page.locator(".timeline .ready").first).to_be_visible()


async def try_free(page: Page, client: BleakClientWithServiceCache) -> None:
    """A click frees a slot."""
    await go(page, "fleet")
    await page.get_by_role("button", name="Free the slot of sensor 2").click()
    await expect(page.get_by_role("alert")).to_have_text("Done.")
    await expect(page.get_by_role("button", name="Free the slot of sensor 2")).to_have_count(0)
    assert not client.is_connected


async def try_stolen(page: Page, virtual: VirtualFleet, owner: Owner) -> None:
    """A subscription that is stolen again and again is an alarm."""
    # The first time it is taken back at once, and no alarm is worth it.
    leave = virtual.proxies["attic"].inject("subscriber_stolen", OFTEN)
    try:
        await alarm_is_shown(page, owner, "attic", AlarmKind.ROBBED)
    finally:
        leave()


async def try_leak(browser: Browser, virtual: VirtualFleet, owner: Owner) -> list[str]:
    """A slot that nobody uses, and that is not to be had back, is an alarm until it is freed.

    That takes a minute: it has a page of its own, beside the others. Returns what that did that it
    should not.
    """
    proxy = virtual.proxies["cellar"]
    # The fleet asks for the slot back; that gets lost.
    lost = Drop(pb.BluetoothDeviceRequest)
    proxy.injectors.append(lost)
    proxy.inject("slot_leak")
    async with opened(browser, owner) as (page, wrong):
        await alarm_is_shown(page, owner, "cellar", AlarmKind.ORPHAN)
        proxy.injectors.remove(lost)
        await expect(page.get_by_role("cell", name="cellar", exact=True)).to_have_count(0)
    return wrong


async def try_wedged(page: Page, virtual: VirtualFleet, owner: Owner, program: Fleet) -> None:
    """A radio that is stuck in an attempt is an alarm."""
    virtual.proxies["kitchen"].inject("wedged_connecting")
    attempt = asyncio.create_task(connected(program, THIRD))
    try:
        await alarm_is_shown(page, owner, "kitchen", AlarmKind.WEDGED)
    finally:
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)


async def alarm_is_shown(page: Page, owner: Owner, name: str, kind: AlarmKind) -> None:
    """An alarm about a proxy is on the page soon after the library has it.

    One that is over before it could be shown is no alarm to show: the next one is.
    """
    await go(page, "alarms")

    def is_raised() -> bool:
        return any((one.source, one.kind) == (name, kind) for one in owner.fleet.alarms())

    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True))
    row = row.filter(has_text=str(kind))
    async with asyncio.timeout(FAULT_LIMIT):
        while not await is_shown_in_time(page, row, is_raised, f"{kind} on {name}"):
            pass


async def is_shown_in_time(
    page: Page, row: Locator, is_raised: Callable[[], bool], what: str
) -> bool:
    """Wait for an alarm, and for its row; False if it was over before its row was there.

    Raises:
        AssertionError: the row has not come in time.
    """
    loop = asyncio.get_running_loop()
    while not is_raised():  # noqa: ASYNC110 - nothing tells of it in time
        await asyncio.sleep(NAP)
    async with Pace(page) as pace:
        began = loop.time()
        while not await row.count():
            if not is_raised():
                return False
            await asyncio.sleep(NAP)
        took = loop.time() - began
        excused = pace.late + await pace.frame()
    print(f"{what}: on the page {took:.2f} s after the library's alarm", flush=True)
    assert took < ALARM_LIMIT + excused, f"{what}: {took:.2f} s, of which {excused:.2f} s excused"
    return True


async def try_refusals(browser: Browser, owner: Owner) -> None:
    """An owner with too many readers, or that does not answer, is asked again, but with a pause.

    Nobody is asked to log in by that.
    """
    asked: list[str] = []

    async def has_too_many(route: Route) -> None:
        asked.append(route.request.url)
        await route.fulfill(status=503, json={"error": "others follow already"})

    async def is_gone(route: Route) -> None:
        asked.append(route.request.url)
        await route.abort()

    async with opened(browser, owner) as (page, _):
        for pattern, answer in (("**/events", has_too_many), ("**/session", is_gone)):
            asked.clear()
            await page.route(pattern, answer)
            await page.reload()
            await page.wait_for_timeout(1000 * REFUSED_SECONDS)
            assert 2 <= len(asked) <= MOST_ASKED, f"{pattern} was asked for {len(asked)} times"
            await expect(page.locator(".login")).to_have_count(0)
            await page.unroute(pattern)
            await expect(page.locator("#status")).to_have_text("live")
            await expect(page.locator("main h1")).to_have_text("Fleet")


async def try_tabs(browser: Browser, owner: Owner) -> None:
    """A page that is loaded anew is logged in, so is another tab; who has the cookie alone is not.

    Servers on other ports of this host are sent it, and a login in one tab is one in every tab.
    """
    assert owner.web
    async with opened(browser, owner) as (page, _):
        await page.reload()
        await expect(page.locator("#status")).to_have_text("live")
        other = await page.context.new_page()
        for url in (owner.web.url, owner.web.page_url()):
            await other.goto(url)
            await other.reload()
            await expect(other.locator("#status")).to_have_text("live")
        told = await page.evaluate("fetch('/api/v1/snapshot').then((answer) => answer.status)")
        assert told == 401, f"the cookie alone is answered with {told}"
        await page.reload()
        await expect(page.locator("#status")).to_have_text("live")
