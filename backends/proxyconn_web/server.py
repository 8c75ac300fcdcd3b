"""The server on TCP: everything behind tokens, with headers that keep a page to itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web

from proxyconn.callbacks import log_failure
from proxyconn_web.access import SESSION_SECONDS, Access, Right, Tokens
from proxyconn_web.metrics import DEVICES, Metrics
from proxyconn_web.routes import MOST_BODY, ONLY_LOOKS, PATH, Routes, answer, read_json, refuse
from proxyconn_web.static import page_files
from proxyconn_web.strangers import LOOK_EVERY, Strangers

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8053

SHUTDOWN_TIMEOUT: Final = 2.0
"""Seconds for answers that are under way when the server closes."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

SESSION: Final = f"{PATH}/session"
"""Where the page exchanges a token for a session."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LOGGER = logging.getLogger(__name__)


class WebServer:
    """Serves the API of a fleet on TCP.

    Args:
        routes: the API.
        metrics: for Prometheus.
        tokens: what clients prove themselves by.
        host: IP address to listen on.
        port: TCP port; 0 for any.
        origin: under which browsers know the server that stands before this one, such as
            `https://proxies.example`; None for none.
    """

    def __init__(
        self,
        routes: Routes,
        metrics: Metrics,
        tokens: Tokens,
        host: str,
        port: int,
        origin: str | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.access = Access(tokens, host, origin=origin)
        self._origin = origin
        self._routes = routes
        self._metrics = metrics
        self._files: dict[str, tuple[bytes, str]] = {}
        self._runner: web.AppRunner | None = None
        self._strangers = Strangers[web.RequestHandler]()
        self._minding: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def page(self) -> str:
        """Where people see the page."""
        return self._origin or self.url

    def page_url(self) -> str:
        """Return the address of the page, with a token that opens it once.

        The token is behind the `#`: browsers keep that to themselves, so that no log has it.
        """
        return f"{self.page}/#token={self.access.one_time_token()}"

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken or is not ours to have."""
        app = web.Application(middlewares=[self._guard], client_max_size=MOST_BODY)
        app.on_response_prepare.append(self._add_headers)
        self._routes.add_to(app)
        app[ONLY_LOOKS] = lambda request: self.access.right_of(request) < Right.ACT
        app.router.add_get("/metrics", self._exposition)
        app.router.add_get(SESSION, self._tell_right)
        app.router.add_post(SESSION, self._open_session)
        app.router.add_delete(SESSION, self._close_session)
        self._files = await asyncio.to_thread(page_files)
        for path in self._files:
            app.router.add_get(path, self._file)
        # There is no access log: what is not written cannot tell.
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT, handle_signals=False
        )
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self.host, self.port)
            await site.start()
        except BaseException:
            await self.aclose()
            raise
        address = self._runner.addresses[0]
        self.port = int(address[1])
        self.access.listens_on(self.port)
        self._minding = asyncio.get_running_loop().create_task(self._mind(self._runner))
        self._minding.add_done_callback(log_failure)

    async def aclose(self) -> None:
        """Listen no more; idempotent, also after it was cancelled.

        The feed is closed before, which ends streams of events.
        """
        self._metrics.close()
        if self._minding:
            self._minding.cancel()
            await asyncio.gather(self._minding, return_exceptions=True)
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def _mind(self, runner: web.AppRunner) -> None:
        """Hang up on strangers that stay too long, or are too many."""
        loop = asyncio.get_running_loop()
        while server := runner.server:
            transports = {one: one.transport for one in server.connections if one.transport}
            hosts = {one: _host_of(transport) for one, transport in transports.items()}
            for one in self._strangers.unwelcome(hosts, loop.time()):
                # What is still to be sent would keep it open for who does not read.
                transports[one].abort()
            await asyncio.sleep(LOOK_EVERY)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request pass that comes from where it may, by somebody who may."""
        try:
            response = self._refusal(request) or await handler(request)
        except web.HTTPException as exc:
            response = refuse(exc.status, HTTPStatus(exc.status).phrase.lower())
        except (asyncio.CancelledError, ConnectionResetError):
            raise
        except Exception:
            # A defect must not tell a stranger more than that there is one.
            _LOGGER.exception("a request was not answered: %r", request.path)
            response = refuse(500, "this should not have happened; the log says what did")
        return response

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Have every answer keep to itself, streams and the server's own included."""
        response.headers.update(HEADERS)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not self.access.is_known_host(request.headers.get("Host", "")):
            return refuse(421, "this is not the address of this server; use its IP address")
        if request.path in self._files:
            # The page itself says nothing, and links may lead to it.
            return None
        if not self.access.is_same_origin(request):
            return refuse(403, "a page of another site has no business here")
        if request.path == SESSION and request.method != "GET":
            return None
        needed = Right.READ if request.method in {"GET", "HEAD"} else Right.ACT
        right = self.access.right_of(request)
        if right is Right.NOTHING:
            refusal = refuse(401, "send the token, as Authorization: Bearer")
            refusal.headers["WWW-Authenticate"] = 'Bearer realm="proxyconn"'
            return refusal
        self._strangers.has_proven(request.protocol)
        if right < needed:
            return refuse(403, "this token may only look")
        return None

    async def _exposition(self, request: web.Request) -> web.Response:
        """Return the metrics; with `?devices=1` those by device, too."""
        body, content_type = self._metrics.exposition(
            request.headers.get("Accept", ""), devices=request.query.get(DEVICES) == "1"
        )
        headers = {"Content-Type": content_type, "Cache-Control": "no-store"}
        return web.Response(body=body, headers=headers)

    async def _file(self, request: web.Request) -> web.Response:
        """Return a file of the page."""
        body, content_type = self._files[request.path]
        headers = {"Content-Type": content_type, "Cache-Control": "no-cache"}
        return web.Response(body=body, headers=headers)

    async def _tell_right(self, request: web.Request) -> web.Response:
        """Say what whoever asks may do."""
        return answer({"right": self.access.right_of(request).name.lower()})

    async def _open_session(self, request: web.Request) -> web.Response:
        """Exchange a token for a session: its cookie, and what the page shows beside that."""
        if request.content_type != "application/json":
            return refuse(415, "send a JSON object, as Content-Type: application/json")
        try:
            body = await read_json(request)
            token = body["token"]
        except (ValueError, KeyError, TypeError):
            token = None
        session = self.access.open_session(token) if isinstance(token, str) else None
        if session is None:
            return refuse(401, "this token is wrong, or was used already")
        response = answer({"done": True, "page": session.page})
        response.set_cookie(
            self.access.cookie,
            session.cookie,
            max_age=int(SESSION_SECONDS),
            httponly=True,
            samesite="Strict",
            secure=self.access.is_over_tls(request),
            path="/",
        )
        return response

    async def _close_session(self, request: web.Request) -> web.Response:
        if not self.access.close_session(request):
            return refuse(401, "nobody is logged in here")
        response = answer({"done": True})
        response.del_cookie(self.access.cookie, path="/")
        return response


def _host_of(transport: asyncio.Transport) -> str:
    return str((transport.get_extra_info("peername") or ("",))[0])
