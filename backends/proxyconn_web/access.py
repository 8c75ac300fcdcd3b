"""Who may ask for what over TCP: tokens, the page's sessions, hosts and origins."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from proxyconn.keys import is_open_to_others

COOKIE: Final = "proxyconn_session"
"""How the name of the page's cookie begins; the port is its end, for cookies know none."""

PAGE_HEADER: Final = "Proxyconn-Page"
"""Header by which the page shows its half of a session.

Browsers send cookies to every port of a host. What a page keeps to itself goes to none but its own.
"""

TOKEN_BYTES: Final = 32
LEAST_TOKEN: Final = 16
"""Characters of a token that somebody made up: it can be tried as fast as the network allows."""

ONE_TIME_SECONDS: Final = 3600.0
"""Seconds for which the page's address with its one-time token may be used."""

SESSION_SECONDS: Final = 30 * 86400.0
"""Seconds for which the page need not be logged in again."""

MOST_SESSIONS: Final = 64
"""Sessions of the page that may do as much; the oldest of them ends when there are more."""


_LOGGER = logging.getLogger(__name__)


class Right(IntEnum):
    """What somebody may do; the higher one includes the lower."""

    NOTHING = 0
    READ = 1
    ACT = 2


class TokenError(Exception):
    """The file with the tokens is of no use; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What clients prove themselves by.

    Attributes:
        act: may do everything.
        read: may only look; None for no such token.
    """

    act: str = field(repr=False)
    read: str | None = field(default=None, repr=False)


def load_tokens(file: Path) -> Tokens:
    """Return the tokens in a file: one that may act and, on a second line, one that may only look.

    A file that does not exist is made, for its owner alone. One that others can read is warned
    about.

    Raises:
        TokenError: the file cannot be read or made, or holds no tokens.
    """
    try:
        if not file.exists():
            made = Tokens(secrets.token_urlsafe(TOKEN_BYTES), secrets.token_urlsafe(TOKEN_BYTES))
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as opened:
                opened.write(f"{made.act}\n{made.read}\n")
            return made
        lines = file.read_text(encoding="ascii").split()
        mode = file.stat().st_mode
    except (OSError, UnicodeDecodeError) as exc:
        raise TokenError(f"{file}: the web token cannot be had: {exc}") from None
    if not 1 <= len(lines) <= 2 or any(len(line) < LEAST_TOKEN for line in lines):
        raise TokenError(
            f"{file}: it must hold one token, or two lines with one each, of {LEAST_TOKEN} "
            "characters or more; remove it, and it is made anew"
        )
    if is_open_to_others(mode):
        _LOGGER.warning(
            "others can read %s, and do with its tokens what the web page does; "
            "run: chmod 600 %s, or remove it, and it is made anew",
            file,
            file,
        )
    return Tokens(lines[0], lines[1] if len(lines) > 1 else None)


@dataclass(frozen=True, slots=True)
class PageSession:
    """A session of the page. Both halves are needed: one alone opens nothing.

    Attributes:
        cookie: the half that no script gets at.
        page: the half that no other server of the same host is sent.
        right: what it may do.
        until: when it ends.
    """

    cookie: str = field(repr=False)
    page: str = field(repr=False)
    right: Right
    until: float


class Access:
    """Decides about requests over TCP.

    Args:
        tokens: what clients prove themselves by.
        host: IP address on which the server listens.
        now: the time in seconds.
        origin: under which browsers know the server that stands before this one; None for none.

    Attributes:
        cookie: name of the page's cookie.
    """

    def __init__(
        self,
        tokens: Tokens,
        host: str,
        now: Callable[[], float] = time.monotonic,
        origin: str | None = None,
    ) -> None:
        self._tokens = tokens
        self._now = now
        self._one_time: dict[str, float] = {}
        self._sessions: list[PageSession] = []
        self.cookie = COOKIE
        self._everywhere = ipaddress.ip_address(host).is_unspecified
        self._names = {"localhost"}
        if not ipaddress.ip_address(host).is_loopback:
            own = socket.gethostname().lower()
            self._names |= {own, f"{own.partition('.')[0]}.local"}
        self._address = ipaddress.ip_address(host)
        self._origin = origin
        if origin:
            self._names.add(urlsplit(origin).hostname or "")

    def listens_on(self, port: int) -> None:
        """Have the page's cookie be another one than that of an owner on another port."""
        self.cookie = f"{COOKIE}_{port}"

    # Where a request comes from

    def is_known_host(self, host: str) -> bool:
        """Whether a request was made to this server by its address, not by a name of somebody's.

        A page of another site whose name is made to point here is told by that.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._everywhere or address == self._address or address.is_loopback

    def is_same_origin(self, request: web.Request) -> bool:
        """Whether a request comes from this server's own page, or from no page at all."""
        origin = request.headers.get("Origin")
        own = {None, f"{request.scheme}://{request.host}", self._origin}
        if origin not in own:
            return False
        return request.headers.get("Sec-Fetch-Site", "none") in {"same-origin", "none"}

    def is_over_tls(self, request: web.Request) -> bool:
        """Whether the page that makes a request came by TLS, from the server before this one."""
        origin = request.headers.get("Origin")
        return origin is not None and origin == self._origin and origin.startswith("https:")

    # Who makes it

    def right_of(self, request: web.Request) -> Right:
        """Return what whoever makes a request may do."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.right_by_token(token.strip())
        session = self._session_of(request)
        return session.right if session else Right.NOTHING

    def right_by_token(self, token: str) -> Right:
        """Return what the bearer of a token may do."""
        right = Right.NOTHING
        if self._tokens.read is not None and _equal(token, self._tokens.read):
            right = Right.READ
        if _equal(token, self._tokens.act):
            right = Right.ACT
        return right

    def _session_of(self, request: web.Request) -> PageSession | None:
        now, found = self._now(), None
        cookie = request.cookies.get(self.cookie, "")
        page = request.headers.get(PAGE_HEADER, "")
        self._sessions = [one for one in self._sessions if one.until > now]
        for session in self._sessions:
            # Both are compared, whatever comes of the first.
            if _equal(cookie, session.cookie) & _equal(page, session.page):
                found = session
        return found

    # The page

    def one_time_token(self) -> str:
        """Return a token that can be exchanged once, for a session that may act."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._one_time[token] = self._now() + ONE_TIME_SECONDS
        return token

    def open_session(self, token: str) -> PageSession | None:
        """Exchange a one-time token, or another one, for a session; None if it is wrong."""
        now = self._now()
        self._one_time = {one: until for one, until in self._one_time.items() if until > now}
        right = self.right_by_token(token)
        for one in list(self._one_time):
            if _equal(token, one):
                del self._one_time[one]
                right = Right.ACT
        if right is Right.NOTHING:
            return None
        halves = secrets.token_urlsafe(TOKEN_BYTES), secrets.token_urlsafe(TOKEN_BYTES)
        session = PageSession(*halves, right, now + SESSION_SECONDS)
        # Who may only look ends no session of who may act.
        alike = [one for one in self._sessions if one.right is right]
        if len(alike) >= MOST_SESSIONS:
            self._sessions.remove(alike[0])
        self._sessions.append(session)
        return session

    def close_session(self, request: web.Request) -> bool:
        """End the session that a request belongs to; return whether there was one."""
        session = self._session_of(request)
        if session:
            self._sessions.remove(session)
        return session is not None


def _equal(given: str, known: str) -> bool:
    """Whether two secrets are equal; takes as long if they are not."""
    # What is no UTF-8 in a header comes as lone surrogates.
    return hmac.compare_digest(given.encode(errors="surrogatepass"), known.encode())
