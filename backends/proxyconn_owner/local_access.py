"""Lets programs of the same user on the same machine use the fleet: every radio, as it is.

A Unix socket in the user's runtime folder, which nobody else may open, says which radios there are,
how each is doing, and where it is served on the loopback interface, with a key for this run alone.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

from aiohttp import web

from proxyconn.fleet.owner_link import TELL_AT_LEAST
from proxyconn.fleet.owner_socket import OWNER_PATH, SOCKET, LentRadio, OwnerSays, Place
from proxyconn.keys import KEY_BYTES
from proxyconn.radio import OffersLinks, Radio, identity_of
from proxyconn_owner.serving.served_proxy import ServedProxy, close_all
from proxyconn_web.routes import MOST_BODY

LOOPBACK: Final = "127.0.0.1"

_LOGGER = logging.getLogger(__name__)

Serve = Callable[[Radio, str], ServedProxy]
"""Makes what serves a radio with a key."""


class LocalAccess:
    """The owner's Unix socket, and the radios it lends by it.

    Args:
        folder: the runtime folder.
        radios: says which radios there are.
        serve: makes what serves one of them.
        routes: adds what else is answered on the socket.
    """

    def __init__(
        self,
        folder: Path,
        radios: Callable[[], list[Radio]],
        serve: Serve,
        routes: Callable[[web.Application], None],
    ) -> None:
        self.socket = folder / SOCKET
        self.proxies: dict[str, ServedProxy] = {}
        self._radios = radios
        self._serve = serve
        self._routes = routes
        self._key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Event()
        self._starting = asyncio.Lock()
        self._closing = False

    async def start(self) -> None:
        """Open the socket. Raises OSError."""
        app = web.Application(client_max_size=MOST_BODY)
        app.router.add_get(OWNER_PATH, self._follow)
        self._routes(app)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            await asyncio.to_thread(_bind_for_this_user, sock, self.socket)
            await web.SockSite(self._runner, sock).start()
        except BaseException:
            sock.close()
            raise

    async def aclose(self) -> None:
        """Close the socket and everything that is lent by it.

        Idempotent, and to be called again if it failed or was cancelled.
        """
        self._closing = True
        self._changed.set()
        async with AsyncExitStack() as last_first:
            if self._runner:
                last_first.push_async_callback(self._close_socket, self._runner)
            async with self._starting:
                await close_all(list(self.proxies.values()))

    async def _close_socket(self, runner: web.AppRunner) -> None:
        await runner.cleanup()
        await asyncio.to_thread(self.socket.unlink, missing_ok=True)
        self._runner = None

    def radios_changed(self) -> None:
        """A radio has come, gone or changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """Tell which radios there are, one JSON object a line, now and whenever that changes."""
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        # A program may leave at any time, and the socket tells of it first where it is written to.
        with suppress(ConnectionResetError):
            await self._tell(response)
        return response

    async def _tell(self, response: web.StreamResponse) -> None:
        before: str | None = None
        while not self._closing:
            changed = self._changed
            now = json.dumps((await self._told()).row())
            if self._closing:
                return
            await response.write((now if now != before else "").encode() + b"\n")
            before = now
            with suppress(TimeoutError):
                async with asyncio.timeout(TELL_AT_LEAST):
                    await changed.wait()

    async def _told(self) -> OwnerSays:
        return OwnerSays(os.getpid(), tuple([await self._radio(radio) for radio in self._radios()]))

    async def _radio(self, radio: Radio) -> LentRadio:
        facts, place = radio.diagnostics(), None
        if radio.state.is_usable and (proxy := await self._served(radio)):
            place = Place(LOOPBACK, proxy.port, proxy.mac, self._key)
        return LentRadio(
            name=radio.name,
            state=str(radio.state),
            problem=radio.problem,
            behind=(facts.get("host"), facts.get("port")),
            adapter=facts.get("host") is None and not isinstance(radio, OffersLinks),
            connectable=radio.connectable,
            place=place,
        )

    async def _served(self, radio: Radio) -> ServedProxy | None:
        """Return what serves a radio, the same to every program; None once that is over."""
        identity = identity_of(radio)
        async with self._starting:
            if identity not in self.proxies and not self._closing:
                proxy = self._serve(radio, self._key)
                await proxy.start(LOOPBACK, 0)
                self.proxies[identity] = proxy
        return self.proxies.get(identity)


def _bind_for_this_user(sock: socket.socket, path: Path) -> None:
    """Bind a socket to a path, in place of what an owner left there. Raises OSError."""
    path.unlink(missing_ok=True)
    sock.bind(str(path))
    # Nobody can connect before it listens, whatever mode it was made with.
    path.chmod(0o600)
