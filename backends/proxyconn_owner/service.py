"""The owner's life: a fleet, the proxies that it serves it as, and their clients."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Final, Protocol

from proxyconn import Fleet
from proxyconn.callbacks import Callbacks, log_failure
from proxyconn.ports import MAX_PORT
from proxyconn.radio import Radio, identity_of
from proxyconn.routing.fair_shares import Party, Share
from proxyconn.watch.changes import Table
from proxyconn.watch.feed import Feed
from proxyconn_owner.announcing import Announcements
from proxyconn_owner.identity import Identity, load_identity
from proxyconn_owner.local_access import LocalAccess
from proxyconn_owner.mirroring import Mirror
from proxyconn_owner.serving.served_client import ServedClient
from proxyconn_owner.serving.served_proxy import (
    ESPHOME_VERSION,
    FEATURES,
    LISTENING,
    ServedProxy,
    close_all,
)
from proxyconn_owner.settings import Listen, ServeSettings, place
from proxyconn_web.access import load_tokens
from proxyconn_web.extra import need
from proxyconn_web.metrics import Metrics
from proxyconn_web.routes import Routes
from proxyconn_web.server import WebServer

VERSION: Final = version_of("proxyconn")

TOKEN_FILE: Final = "web-token"
"""Where in the state folder the tokens for the web page are."""

IDLE_LOOK: Final = 1.0
"""Seconds between two looks for links that carry nothing."""

_LOGGER = logging.getLogger(__name__)


class PortTakenError(OSError):
    """A port is not to be had; the text says what to do."""


class OwnerEvents(Protocol):
    """Who is told what happens."""

    def client_came(self, proxy: str, client: str) -> None:
        """A client has said Hello."""

    def client_went(self, proxy: str, client: str) -> None:
        """A client has gone."""

    def served(self, owner: Owner) -> None:
        """Another proxy is served."""


class Owner:
    """Serves a fleet.

    Args:
        fleet: the fleet, running.
        settings: what to serve, to whom and where.
        identity: who the owner is.
        folder: where its state is kept.
        runtime: where its socket for programs of the same user is.
        events: told of proxies and clients as they come and go.

    Attributes:
        feed: the fleet's state, for readers.
        web: serves it on TCP; None if it is not to be.
    """

    def __init__(
        self,
        fleet: Fleet,
        settings: ServeSettings,
        identity: Identity,
        folder: Path,
        runtime: Path,
        events: OwnerEvents,
    ) -> None:
        self.fleet = fleet
        self.settings = settings
        self.proxies: dict[str | None, ServedProxy] = {}
        self._identity = identity
        self._folder = folder
        self._events = events
        self._lending = fleet.lending()
        about = {
            "program": "proxyconn serve",
            "version": VERSION,
            "pid": os.getpid(),
            "started": round(time.time(), 3),
            "name": settings.name,
        }
        self.feed = Feed(fleet.inspection(), self._client_rows, about)
        self.web: WebServer | None = None
        self._operated = Callbacks[str, float]("the owner")
        self._routes = Routes(self.feed)
        self._local = LocalAccess(
            runtime, self._lending.radios, self._served_locally, self._routes.add_to
        )
        self.announcements = Announcements(settings.api.host)
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Welcome clients.

        Raises:
            PortTakenError: a port is taken, or not ours to have.
            StateError: the state cannot be written.
            TokenError: the tokens for the web page cannot be had.
            MissingExtraError: what the web page needs is not installed.
        """
        self.share_out(self.settings.shares())
        if self.settings.one:
            await self._start(self._served(None), self.settings.api.port)
        if self.settings.mirrored:
            mirror = Mirror(
                self._lending.radios,
                self.settings.radios,
                self._identity,
                self._folder,
                self._mirror,
            )
            self._stack.callback(self.fleet.register_state_callback(mirror.radios_changed))
            await mirror.start()
            self._spawn(mirror.follow())
        self._stack.callback(self.fleet.register_state_callback(self._local.radios_changed))
        await self._local.start()
        if self.settings.web:
            await self._start_web(self.settings.web)
        if self.settings.idle_timeout is not None:
            self._spawn(self._ask_idle_links_back(self.settings.idle_timeout))

    async def aclose(self) -> None:
        """Say goodbye to every client, close their links and stop.

        Idempotent; a part that fails, or is cancelled, keeps no other one from its end, and calling
        it again finishes the work.
        """
        async with AsyncExitStack() as last_first:
            last_first.push_async_callback(self._stack.aclose)
            last_first.push_async_callback(close_all, list(self.proxies.values()))
            last_first.push_async_callback(self._local.aclose)
            if self.web:
                last_first.push_async_callback(self.web.aclose)
            last_first.callback(self.feed.close)
            last_first.push_async_callback(self.announcements.aclose)
            last_first.push_async_callback(self._end_tasks)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reload(self, settings: ServeSettings) -> None:
        """Take new rules for clients; where and what is served stays as it is until a restart."""
        self.settings = replace(self.settings, clients=settings.clients)
        for client in self.clients:
            party = self._party_of(client.name, client.peer, client.peer_port)
            for link in client.links.values():
                self._lending.pass_on(link.client, party)
            client.party = party
        self.share_out(self.settings.shares())

    def share_out(self, shares: Mapping[str, Share]) -> None:
        """Say what clients may count on, by their names or addresses."""
        self._lending.share_out(dict[Party, Share](shares.items()))

    @property
    def clients(self) -> list[ServedClient]:
        """Everybody who is served now."""
        proxies = (*self.proxies.values(), *self._local.proxies.values())
        return [client for proxy in proxies for client in proxy.clients.values()]

    # What is shown of it

    @property
    def token_file(self) -> Path:
        """Where the tokens for the web page are."""
        return self.settings.web_token_file or self._folder / TOKEN_FILE

    async def _start_web(self, listen: Listen) -> None:
        tokens = await asyncio.to_thread(load_tokens, self.token_file)
        # What it imports reads files.
        await asyncio.to_thread(need, "prometheus_client")
        metrics = Metrics(self.feed, self._operated.register)
        origin = self.settings.web_origin
        web = WebServer(self._routes, metrics, tokens, listen.host, listen.port, origin)
        try:
            await web.start()
        except OSError as exc:
            raise PortTakenError(
                f"{listen} is not to be had for the web page: "
                f"{exc.strerror or exc}; choose another with --web [HOST:]PORT"
            ) from None
        self.web = web

    def _client_rows(self) -> Table:
        return {
            f"{client.proxy} {client.name} {client.peer}:{client.peer_port}": {
                "name": client.name,
                "peer": client.peer,
                "proxy": client.proxy,
                "client": client.party,
                "subscribed": client.subscribed,
                "links": sorted(link.address for link in client.links.values()),
            }
            for client in self.clients
        }

    def served(self, owner: Owner) -> None:
        """Pass on that another proxy is served."""
        self._events.served(owner)

    def client_came(self, proxy: str, client: str) -> None:
        """Take note of a client, and pass it on."""
        self.feed.record.add("client", f"came to {proxy}", client=client)
        self._events.client_came(proxy, client)

    def operated(self, operation: str, seconds: float) -> None:
        """Tell who counts how long operations on attributes take."""
        self._operated(operation, seconds)

    def client_went(self, proxy: str, client: str) -> None:
        """Take note that a client has gone, and pass it on."""
        self.feed.record.add("client", f"went from {proxy}", client=client)
        self._events.client_went(proxy, client)

    # Proxies

    def _served(self, radio: Radio | None) -> ServedProxy:
        """Make what serves a radio to the network, or the whole fleet for None."""
        identity, settings = self._identity, self.settings
        if radio is None:
            name, mac, features = settings.name, identity.mac, FEATURES
        else:
            name, mac = radio.name, identity.mac_for(identity_of(radio))
            features = features_of(radio)
        return ServedProxy(
            name,
            mac,
            settings.noise_psk or identity.noise_psk,
            self._lending,
            only=None if radio is None else identity_of(radio),
            features=features,
            friendly_name=name,
            holder=self._lending.holder,
            party_of=self._party_of,
            events=self,
        )

    def _served_locally(self, radio: Radio, key: str) -> ServedProxy:
        """Make what serves a radio to programs of the same user, as if it were the radio itself."""
        facts = radio.diagnostics()
        return ServedProxy(
            radio.name,
            facts.get("mac") or self._identity.mac_for(identity_of(radio)),
            key,
            self._lending,
            only=identity_of(radio),
            features=features_of(radio),
            esphome_version=facts.get("esphome_version") or ESPHOME_VERSION,
            holder=self._lending.holder,
            party_of=self._party_of,
            events=self,
        )

    async def _start(self, proxy: ServedProxy, port: int) -> None:
        """Welcome clients of a proxy, and announce it."""
        settings = self.settings
        if port > MAX_PORT:
            raise PortTakenError(
                f"there is no port {port} for {proxy.name}; "
                "choose a lower one with --api [HOST:]PORT"
            )
        try:
            await proxy.start(settings.api.host, port)
        except OSError as exc:
            raise PortTakenError(
                f"{place(settings.api.host, port)} is not to be had: {exc.strerror or exc}; "
                "choose another with --api [HOST:]PORT, or end who listens there"
            ) from None
        self.proxies[proxy.only] = proxy
        if settings.announce:
            name = settings.name if proxy.only is None else f"{settings.name}-{proxy.name}"
            await self.announcements.add(proxy, name)
        self._events.served(self)

    async def _mirror(self, radio: Radio, place: int) -> None:
        """Serve one radio by itself; its port is that many behind the first one."""
        first = self.settings.api.port
        await self._start(self._served(radio), first + place if first else 0)

    # Links

    def _party_of(self, name: str, host: str, port: int) -> str:
        """Return whom a client belongs to, by the rules of this moment."""
        return self.settings.party_of(name, host, port)

    async def _ask_idle_links_back(self, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(IDLE_LOOK)
            for client in self.clients:
                for link in list(client.links.values()):
                    if link.is_up and loop.time() - link.used_at >= timeout:
                        _LOGGER.info("%r carried nothing for %g s", link, timeout)
                        link.begin_closing()

    def _spawn(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)


def features_of(radio: Radio) -> int:
    """Return the feature flags of a proxy that does what a radio does."""
    return FEATURES if radio.connectable else LISTENING


@asynccontextmanager
async def serving(
    fleet: Fleet, settings: ServeSettings, folder: Path, runtime: Path, events: OwnerEvents
) -> AsyncIterator[Owner]:
    """Serve a fleet until the block is left.

    Raises:
        PortTakenError, StateError, TokenError, MissingExtraError: it cannot be.
    """
    identity, trouble = await asyncio.to_thread(load_identity, folder)
    if trouble:
        _LOGGER.warning("%s", trouble)
    owner = Owner(fleet, settings, identity, folder, runtime, events)
    try:
        await owner.start()
        yield owner
    finally:
        await owner.aclose()
