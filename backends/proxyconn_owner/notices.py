"""Tells on stdout what the owner does: lines for people, or JSON objects for programs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Final

from proxyconn import Fleet, RadioState
from proxyconn.cli.output import print_json, safe, stdout
from proxyconn.radio import OffersLinks
from proxyconn_owner.service import Owner
from proxyconn_owner.settings import place
from proxyconn_web.server import WebServer

SETTLED_AFTER: Final = 0.5
"""Seconds from a change of a radio until it is told: one that is let go is in trouble before."""

MOST_TROUBLES: Final = 1024
"""Radios of which it is known what was told; their names come from the network."""


class Notices:
    """Prints, once the owner is ready, what changes.

    Args:
        as_json: whether to print one JSON object a line.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._told: set[str] | None = None
        self._troubles: dict[str, str] = {}

    def ready(self, owner: Owner) -> None:
        """Clients are welcome."""
        proxies = [
            {"name": proxy.name, "host": proxy.host, "port": proxy.port, "mac": proxy.mac}
            for proxy in owner.proxies.values()
        ]
        self._told = {str(proxy["name"]) for proxy in proxies}
        if self._as_json:
            web = {"web": owner.web.url} if owner.web else {}
            print_json({"event": "ready", "api": proxies, **web})
            return
        for proxy in owner.proxies.values():
            self._line(f"{proxy.name} welcomes clients at {place(proxy.host, proxy.port)}")
        if owner.web:
            self._line(self._invitation(owner, owner.web))
        self._line("`proxyconn serve --show-key` prints the key that they need; Ctrl-C ends it")

    @staticmethod
    def _invitation(owner: Owner, web: WebServer) -> str:
        """Say where the page is; a log must not have what opens it."""
        there = ""
        if owner.settings.web_origin is None and ip_address(web.host).is_unspecified:
            there = f" (from elsewhere: this machine's address for {web.host})"
        if sys.stdout.isatty():
            return f"See the fleet at {web.page_url()}{there}"
        return (
            f"See the fleet at {web.page}{there}; a token to log in with is in {owner.token_file}"
        )

    def served(self, owner: Owner) -> None:
        """Another proxy is served; those before `ready` are told of there."""
        if self._told is None:
            return
        for proxy in owner.proxies.values():
            if proxy.name not in self._told:
                self._told.add(proxy.name)
                self._event("serving", name=proxy.name, host=proxy.host, port=proxy.port)

    @contextmanager
    def of_radios(self, fleet: Fleet) -> Iterator[None]:
        """Tell why a radio cannot be used, once for each reason, and that it can be again.

        What is the matter with other owners' radios they tell themselves.
        """
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None

        def tell() -> None:
            nonlocal timer
            timer = None
            self._tell_of_radios(fleet)

        def changed() -> None:
            nonlocal timer
            timer = timer or loop.call_later(SETTLED_AFTER, tell)

        unregister = fleet.register_state_callback(changed)
        changed()
        try:
            yield
        finally:
            unregister()
            if timer:
                timer.cancel()

    def _tell_of_radios(self, fleet: Fleet) -> None:
        own = {one.name: one for one in fleet.radios if not isinstance(one, OffersLinks)}
        for name, radio in own.items():
            trouble = radio.problem
            if trouble and self._troubles.get(name) != trouble:
                self._troubles[name] = trouble
                self._radio(name, str(radio.state), trouble)
            elif radio.state is RadioState.READY and name in self._troubles:
                del self._troubles[name]
                self._radio(name, str(radio.state), None)
        # One that is made anew, with another key, is the same to whoever reads this.
        while len(self._troubles) > MOST_TROUBLES:
            del self._troubles[next(iter(self._troubles))]

    def _radio(self, name: str, state: str, problem: str | None) -> None:
        if self._as_json:
            print_json({"event": "radio", "name": name, "state": state, "problem": problem})
        else:
            self._line(f"{name}: {state}" + (f": {problem}" if problem else ""))

    def client_came(self, proxy: str, client: str) -> None:
        """A client has said Hello."""
        self._event("client", proxy=proxy, client=client)

    def client_went(self, proxy: str, client: str) -> None:
        """A client has gone."""
        self._event("client_gone", proxy=proxy, client=client)

    def reloaded(self, trouble: str | None) -> None:
        """The configuration was read again, or could not be."""
        if trouble is None:
            self._event("reloaded")
        else:
            self._event("reload_failed", error=trouble)

    def stopping(self) -> None:
        """The owner is about to end."""
        self._event("stopping")

    def _event(self, event: str, **values: Any) -> None:
        if self._as_json:
            print_json({"event": event, **values})
        else:
            rest = ", ".join(f"{name} {value}" for name, value in values.items())
            self._line(event.replace("_", " ") + (f": {rest}" if rest else ""))

    def _line(self, text: str) -> None:
        stdout().print(safe(text), soft_wrap=True)
