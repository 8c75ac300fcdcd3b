"""Tells on stdout what the owner does: lines for people, or JSON objects for programs."""

from __future__ import annotations

import sys
from typing import Any

from proxyconn.cli.output import print_json, safe, stdout
from proxyconn_owner.service import Owner
from proxyconn_owner.settings import place
from proxyconn_web.server import WebServer


class Notices:
    """Prints, once the owner is ready, what changes.

    Args:
        as_json: whether to print one JSON object a line.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._told: set[str] | None = None

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
        if sys.stdout.isatty():
            return f"See the fleet at {web.page_url()}"
        return f"See the fleet at {web.page}; a token to log in with is in {owner.token_file}"

    def served(self, owner: Owner) -> None:
        """Another proxy is served; those before `ready` are told of there."""
        if self._told is None:
            return
        for proxy in owner.proxies.values():
            if proxy.name not in self._told:
                self._told.add(proxy.name)
                self._event("serving", name=proxy.name, host=proxy.host, port=proxy.port)

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
