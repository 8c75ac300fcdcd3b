"""The page in a browser, and how fast the machine is just now."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

from playwright.async_api import Browser, Page, async_playwright, expect

from proxyconn_owner.service import Owner
from scripts.web.house import FIRST, NAMES, PATIENCE

VIEWS = {
    "fleet": "#/",
    "devices": "#/matrix",
    "device": f"#/device/{FIRST}",
    "radio": "#/radio/kitchen",
    "queue": "#/queue",
    "clients": "#/clients",
    "alarms": "#/alarms",
    "log": "#/log",
}
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage")
"""Chromium needs the first as root, and the second where /dev/shm is small."""

NAP = 0.05
"""Seconds between two looks at how late the event loop is."""


def chromium() -> str | None:
    """Return where Chromium is; None if there is none."""
    return shutil.which("chromium") or shutil.which("google-chrome")


@asynccontextmanager
async def browsing(executable: str) -> AsyncIterator[Browser]:
    """Run a browser."""
    expect.set_options(timeout=1000 * PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened(
    browser: Browser, owner: Owner, width: int = 1280, scheme: str = "light"
) -> AsyncIterator[tuple[Page, list[str]]]:
    """Open the page by its one-time address; yield it, and what it did that it should not."""
    assert owner.web
    url, wrong = owner.web.url, list[str]()
    context = await browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = await context.new_page()
    page.on("console", lambda said: wrong.append(f"console: {said.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: wrong.append("a dialog opened"))
    page.on(
        "request",
        lambda asked: (
            None if asked.url.startswith(url) else wrong.append(f"elsewhere: {asked.url}")
        ),
    )
    await page.goto(owner.web.page_url())
    await expect(page.locator(".card")).to_have_count(len(NAMES))
    yield page, wrong
    assert "token" not in page.url, page.url
    await context.close()


async def go(page: Page, view: str) -> None:
    """Show a view."""
    await page.evaluate("hash => { location.hash = hash; }", VIEWS[view])
    await expect(page.locator("main h1")).to_have_count(1)


class Pace:
    """Measures for how long this machine has kept us waiting; use it in `async with`.

    Attributes:
        late: seconds, all together, by which the event loop woke us too late.
    """

    def __init__(self, page: Page) -> None:
        self.late = 0.0
        self._page = page
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._watch())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            asked = loop.time()
            await asyncio.sleep(NAP)
            self.late += max(0.0, loop.time() - asked - NAP)

    async def frame(self) -> float:
        """Return the seconds that the browser takes to draw what it has."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._page.evaluate("() => new Promise(requestAnimationFrame)")
        return loop.time() - began
