"""Asking for what opens each proxy, and for those that mDNS does not find."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from getpass import getpass
from typing import Any, TypeVar

import typer

from proxyconn import InvalidKeyError, RadioState
from proxyconn.cli.errors import describe, run
from proxyconn.cli.fleet_session import Settings
from proxyconn.cli.output import printable, safe, stderr
from proxyconn.cli.setup.found_proxies import FoundProxy, find_proxies, try_proxy
from proxyconn.keys import check_key

ResultT = TypeVar("ResultT")

TRIES = 3
"""How often a key that was refused is asked for again."""


def _hidden(question: str) -> str:
    """Ask for a secret; what is typed as soon as the question shows is taken too."""
    try:
        return getpass(printable(question), stream=sys.stderr)
    except (EOFError, KeyboardInterrupt):
        raise typer.Abort from None


class Dialogue:
    """One conversation on a terminal.

    Args:
        settings: options and configuration.
        parse: makes a host and port of what somebody types. Raises typer.BadParameter.
    """

    def __init__(self, settings: Settings, parse: Callable[[str], Any]) -> None:
        self._settings = settings
        self._parse = parse
        self._console = stderr()
        self._worked: list[str] = []

    def proxies(self) -> list[FoundProxy]:
        """Find proxies and ask for what is missing; return those that are to be kept."""
        found = self._done(find_proxies(self._settings))
        self._worked += [one.key for one in found if one.is_open and one.key]
        if not found:
            self._say("mDNS finds no proxy here.")
        kept = [self._settle(one) for one in found]
        while another := self._another():
            kept.append(another)
        return [one for one in kept if one.is_open or not one.by_mdns]

    def _settle(self, proxy: FoundProxy) -> FoundProxy:
        """Ask for what a proxy wants until it is open or nobody knows it."""
        proxy = self._with_a_known_key(proxy)
        for _ in range(TRIES):
            if proxy.state is RadioState.WRONG_KEY:
                proxy = self._ask(proxy, "Encryption key", "key")
            elif proxy.state is RadioState.WRONG_PASSWORD:
                proxy = self._ask(proxy, "API password", "password")
            else:
                break
        self._tell(proxy)
        return proxy

    def _with_a_known_key(self, proxy: FoundProxy) -> FoundProxy:
        """Try what has opened others: many have one key for all."""
        if proxy.state is RadioState.WRONG_KEY:
            for key in dict.fromkeys(self._worked):
                tried = self._done(try_proxy(self._settings, replace(proxy, key=key)))
                if tried.is_open:
                    return tried
        return proxy

    def _ask(self, proxy: FoundProxy, what: str, attribute: str) -> FoundProxy:
        self._say(f"{proxy.name} ({proxy.host}:{proxy.port}): {proxy.problem}")
        secret = _hidden(f"{what} of {proxy.name}, not shown (Enter to leave it out): ").strip()
        if not secret:
            return replace(proxy, state=RadioState.GONE, problem="it was left out")
        if attribute == "key":
            try:
                check_key(secret, proxy.name)
            except InvalidKeyError as exc:
                return replace(proxy, problem=describe(exc))
        with_secret = (
            replace(proxy, key=secret) if attribute == "key" else replace(proxy, password=secret)
        )
        tried = self._done(try_proxy(self._settings, with_secret))
        if tried.is_open and tried.key:
            self._worked.append(tried.key)
        return tried

    def _another(self) -> FoundProxy | None:
        while True:
            text = typer.prompt(
                "Another proxy, HOST or HOST:PORT (Enter for no more)",
                default="",
                show_default=False,
                err=True,
            ).strip()
            if not text:
                return None
            try:
                proxy = self._parse(text)
            except typer.BadParameter as exc:
                self._say(exc.message)
                continue
            name = f"{proxy.host}:{proxy.port}"
            new = FoundProxy(
                name, None, proxy.host, proxy.port, RadioState.CONNECTING, None, by_mdns=False
            )
            settled = self._settle(self._done(try_proxy(self._settings, new)))
            if settled.is_open or typer.confirm("Keep it all the same?", err=True):
                return settled

    def _tell(self, proxy: FoundProxy) -> None:
        if proxy.is_open:
            how = "opens with its key" if proxy.key else "opens, and does not encrypt"
            self._say(f"{proxy.name} ({proxy.host}:{proxy.port}, {proxy.firmware}): {how}")
        else:
            self._say(f"{proxy.name} ({proxy.host}:{proxy.port}): {proxy.problem}")

    def _say(self, text: str) -> None:
        self._console.print(safe(text), soft_wrap=not self._console.is_terminal)

    def _done(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run something to its end; questions are asked outside of event loops."""
        results: list[ResultT] = []

        async def keep() -> None:
            results.append(await coroutine)

        run(keep())
        return results[0]
