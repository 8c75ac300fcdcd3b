"""The page of an owner in a cluster: owners, whose each radio is, and a broker that is lost."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, expect

from proxyconn import Fleet, Proxy
from proxyconn_cluster.membership import joined
from proxyconn_cluster.settings import ClusterSettings
from proxyconn_owner.service import Owner, serving
from proxyconn_owner.settings import Listen, ServeSettings
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec
from scripts.benchmarks.cluster.broker import start_broker
from scripts.web.browsing import opened
from scripts.web.house import NAMES, PATIENCE, Quiet

SITES = ("north", "south")
LEASE = 3.0


async def _own(
    stack: AsyncExitStack, url: str, site: str, proxies: list[Proxy]
) -> tuple[Fleet, str]:
    """Start an owner at a site that sees every proxy; return its fleet and its id."""
    settings = ClusterSettings((url,), site=site, name=site, lease=LEASE)
    member = await stack.enter_async_context(joined(settings))
    fleet = Fleet(
        proxies,
        discover=False,
        state=False,
        owner=False,
        tenure=member.tenure,
        cluster=member.place,
    )
    await stack.enter_async_context(fleet)
    await stack.enter_async_context(member.sharing(fleet))
    return fleet, member.owner


@asynccontextmanager
async def owner_in_a_cluster(key: str) -> AsyncIterator[tuple[Owner, list[str], ExitStack]]:
    """Run a broker and two owners; yield the first, the ids of both, and what ends the broker."""
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(ExitStack())
        url = await asyncio.to_thread(start_broker, broker)
        specs = [ProxySpec(name=name, noise_psk=key, profile="2026.8") for name in NAMES]
        virtual = await stack.enter_async_context(VirtualFleet(specs, [], announce=False))
        proxies = [Proxy("127.0.0.1", one.port, noise_psk=key) for one in virtual.proxies.values()]
        owners = [await _own(stack, url, site, proxies) for site in SITES]
        fleet, ids = owners[0][0], [id_ for _, id_ in owners]
        await fleet.ready(len(NAMES), PATIENCE)
        path = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        local = Listen("127.0.0.1", 0)
        settings = ServeSettings(api=local, announce=False, noise_psk=key, web=local)
        owner = await stack.enter_async_context(serving(fleet, settings, path, path, Quiet()))
        yield owner, ids, broker


async def try_cluster(browser: Browser, key: str, pictures: Path | None) -> list[str]:
    """Owners are shown with what they have, and that the broker is lost; return what is wrong."""
    wrong: list[str] = []
    async with owner_in_a_cluster(key) as (owner, ids, broker):
        for width, scheme in ((390, "dark"), (1280, "light")):
            async with opened(browser, owner, width, scheme) as (page, said):
                owners = page.get_by_role("region", name="Owners")
                for one in ids:
                    await expect(owners.get_by_text(one)).to_have_count(1)
                await expect(page.locator(".card .owner")).to_have_count(len(NAMES))
                await expect(page.locator(".card .owner").first).to_contain_text("Owner: ")
                await expect(page.get_by_text("has been connected for")).to_have_count(1)
                if pictures:
                    await page.screenshot(path=pictures / f"cluster-{width}-{scheme}.png")
                found = await Axe().run(page)
                wrong += [
                    f"cluster at {width}: {one['id']}: {one['help']}"
                    for one in found.response["violations"]
                ]
                if await page.evaluate("document.body.scrollWidth > innerWidth"):
                    wrong.append(f"cluster at {width}: wider than the window")
                wrong += said
        async with opened(browser, owner) as (page, said):
            await expect(page.get_by_text("has been connected for")).to_have_count(1)
            await asyncio.to_thread(broker.close)
            await expect(page.get_by_text("has been lost for")).to_have_count(1)
            wrong += said
    return wrong
