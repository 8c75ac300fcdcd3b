"""Ends that fail or are cancelled half-way: no part keeps another open, a second end finishes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from zeroconf.asyncio import AsyncZeroconf

from proxyconn.fleet.owner_socket import OWNER_PATH, SOCKET
from proxyconn_owner import announcing
from proxyconn_owner.service import Owner
from proxyconn_owner.serving.served_proxy import ServedProxy

from .conftest import DEADLINE, House, MakeHouse
from .test_api import WEB


class Unfinished:
    """What hangs or fails the first time that it is called.

    Args:
        ends: what it does after that.
        error: what it fails with; None to hang.
    """

    def __init__(self, ends: Callable[..., Any], error: Exception | None = None) -> None:
        self.began = asyncio.Event()
        self._ends = ends
        self._error = error

    async def __call__(self, *args: Any) -> None:
        first = not self.began.is_set()
        self.began.set()
        if first and self._error:
            raise self._error
        if first:
            await asyncio.Event().wait()
        await self._ends(*args)

    def method(self) -> Callable[..., Any]:
        """Return it as what a class has."""

        async def method(*args: Any) -> None:
            await self(*args)

        return method

    async def cancelled(self, end: Callable[[], Any]) -> None:
        """Have an end cancelled that hangs here."""
        ending = asyncio.create_task(end())
        async with asyncio.timeout(DEADLINE):
            await self.began.wait()
            ending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ending


async def is_open(port: int) -> bool:
    """Return whether anybody listens."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


PARTS: dict[str, Callable[[Owner], Any]] = {
    "announcements": lambda owner: owner.announcements,
    "page": lambda owner: owner.web,
    "proxy": lambda owner: owner.proxies[None],
}


@pytest.mark.parametrize("error", [OSError("no"), None], ids=["fails", "cancelled"])
@pytest.mark.parametrize("name", PARTS)
async def test_part_that_does_not_end_keeps_no_other_open(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception | None
) -> None:
    """All else is closed by then, and the next call closes the rest."""
    house: House = await make_house(serve=WEB)
    owner, part = house.owner, PARTS[name](house.owner)
    assert owner.web
    ports = {"page": owner.web.port, "proxy": house.port()}
    unfinished = Unfinished(part.aclose, error)
    monkeypatch.setattr(part, "aclose", unfinished)
    if error:
        with pytest.raises(OSError, match="no"):
            await owner.aclose()
    else:
        await unfinished.cancelled(owner.aclose)
    assert {one: await is_open(port) for one, port in ports.items()} == {
        one: one == name for one in ports
    }
    assert not await asyncio.to_thread((house.folder / SOCKET).exists)
    await owner.aclose()
    assert not any([await is_open(port) for port in ports.values()])


async def test_lent_proxy_that_does_not_end_keeps_no_socket_open(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs of the same user find no owner that is about to end."""
    house: House = await make_house()
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_unix_connection(house.folder / SOCKET)
        writer.write(f"GET {OWNER_PATH} HTTP/1.1\r\nHost: owner\r\n\r\n".encode())
        await reader.readuntil(b'"key"')
    writer.close()
    await writer.wait_closed()
    unfinished = Unfinished(ServedProxy.aclose, OSError("no"))
    monkeypatch.setattr(ServedProxy, "aclose", unfinished.method())
    with pytest.raises(OSError, match="no"):
        await house.owner.aclose()
    assert not await asyncio.to_thread((house.folder / SOCKET).exists)
    await house.owner.aclose()


async def test_page_whose_end_was_cancelled_can_be_ended(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not forgotten while it listens."""
    house: House = await make_house(serve=WEB)
    server = house.owner.web
    assert server
    unfinished = Unfinished(web.AppRunner.cleanup)
    monkeypatch.setattr(web.AppRunner, "cleanup", unfinished.method())
    await unfinished.cancelled(server.aclose)
    await server.aclose()
    assert not await is_open(server.port)


@pytest.mark.parametrize("inner", [False, True])
async def test_announcements_whose_end_was_cancelled_can_be_ended(
    monkeypatch: pytest.MonkeyPatch, *, inner: bool
) -> None:
    """What speaks mDNS is closed by the second call."""
    announcements = announcing.Announcements("127.0.0.1")
    announcer = await announcements.start()
    unfinished = Unfinished(AsyncZeroconf.async_close)
    monkeypatch.setattr(AsyncZeroconf, "async_close", unfinished.method())
    await unfinished.cancelled(announcer.stop if inner else announcements.aclose)
    ended: list[AsyncZeroconf] = []

    async def close(zeroconf: AsyncZeroconf) -> None:
        ended.append(zeroconf)
        await close_it(zeroconf)

    monkeypatch.undo()
    close_it = AsyncZeroconf.async_close
    monkeypatch.setattr(AsyncZeroconf, "async_close", close)
    await announcements.aclose()
    await announcements.aclose()
    assert len(ended) == 1
