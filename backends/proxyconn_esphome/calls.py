"""Proxies that call by themselves: who they are is proven before anything of ours is touched.

Whoever calls can say to be any proxy. So a call has a connection of its own, and a few seconds to
show by the handshake that it has the key; only then is it the session's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from aioesphomeapi.model import DeviceInfo
from zeroconf.asyncio import AsyncZeroconf

from proxyconn.radio import AbsentRadio, Proxy, RadioSink, RadioState, mac_text
from proxyconn_esphome.proxies_by_mac import session_of_caller
from proxyconn_esphome.session.session import ProxySession
from proxyconn_esphome.wire.connection import Connection, ConnectionOwner
from proxyconn_esphome.wire.identity import Caller, plain_text
from proxyconn_esphome.wire.native_api import CallServer, Wire
from proxyconn_esphome.wire.problems import NOT_A_PROXY, Problem, problem_of

MOST_CALLS = 16
"""Calls whose keys are looked at at once; of more, the oldest of the host that makes most goes."""

PROOF_TIMEOUT = 10.0
"""Seconds for a caller to prove that it has the key, and to say what it is."""

HOST_REST = 1.0
"""Seconds for which nobody is heard from a host whose call has failed: a handshake costs time."""

MOST_HOSTS = 256
"""Hosts whose failed calls are remembered."""

ALIVE = 10.0
"""Seconds since its begin or an advertisement in which a session lives, whoever says to be its
proxy."""

MOST_REFUSED, MOST_REFUSED_OF_HOST = 32, 8
"""Callers that are shown as refused; any more are only counted in the log, at DEBUG."""

REFUSED_KEPT = 900.0
"""Seconds for which they are: a device calls again after 6 minutes at the latest."""

OURSELVES = ""
"""Stands for the port among the MAC addresses of callers."""

HANGS_UP = Problem(
    RadioState.GONE, "hangs up before it has proven its key", "its own log says why", check="call"
)

SAYS_NO_MORE = Problem(
    RadioState.GONE, "says no more than its name", "check its network, or who it is", check="call"
)

BIND_RETRY = 60.0
"""Seconds until a port is tried again that another program has."""

_LOGGER = logging.getLogger(__name__)


Join = Callable[[Proxy, Caller], ProxySession]
"""Makes a session for a proxy that has called and that nobody knew."""

KeyFor = Callable[[str, str | None], str | None]
"""Returns the key of a proxy by its name and MAC address, if nobody has named it."""


Proven = Callable[["Call", DeviceInfo, Wire], None]
"""Told of a caller that has proven its key, and what it says of itself."""


class Call(ConnectionOwner):
    """A caller that has not proven its key yet.

    Args:
        caller: who it says to be.
        proxy: where it is called back, if at all, and its key.
        others: other addresses at which it may be.
        zeroconf: resolves `.local` names.
        proven: told once it has proven that.

    Attributes:
        caller: as above.
        connection: the connection to it.
        error: why it could not.
        accepted: whether the connection is a session's by now.
        task: takes the call.
    """

    def __init__(
        self,
        caller: Caller,
        proxy: Proxy,
        others: Sequence[str],
        zeroconf: AsyncZeroconf | None,
        proven: Proven,
    ) -> None:
        self.caller = caller
        self.connection = Connection(
            proxy, self, zeroconf=zeroconf, expected_mac=caller.mac, others=others
        )
        self.connection.declare_target(True)
        self.error: Exception | None = None
        self.accepted = False
        self.task: asyncio.Task[None] | None = None
        self._proven = proven

    def on_up(self, connection: Connection, info: DeviceInfo, wire: Wire) -> None:
        """Take the caller for who it is."""
        self._proven(self, info, wire)

    def on_lost(self, connection: Connection, why: str) -> None:
        """Nothing: it was not ours yet."""

    def on_failed(self, connection: Connection, error: Exception) -> None:
        """Keep the reason."""
        self.error = error


class Calls:
    """Listens for proxies that call.

    Args:
        sink: told of callers that are refused, and why.
        zeroconf: returns what resolves `.local` names, if there is anything yet.
        sessions: returns those there are.
        key_for: knows the keys.
        join: makes a session.
    """

    def __init__(
        self,
        sink: RadioSink,
        *,
        zeroconf: Callable[[], AsyncZeroconf | None],
        sessions: Callable[[], Sequence[ProxySession]],
        key_for: KeyFor,
        join: Join,
    ) -> None:
        self._sink = sink
        self._zeroconf = zeroconf
        self._sessions = sessions
        self._key_for = key_for
        self._join = join
        self._tasks: set[asyncio.Task[None]] = set()
        self._port: int | None = None
        self._server: CallServer | None = None
        self._calls: list[Call] = []
        self._rests: dict[str, float] = {}
        self._refused: dict[str, AbsentRadio] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()

    async def listen(self, port: int | None) -> None:
        """Listen on a port, or on none, and let the proxies know; the keys may be other ones now.

        A port that another program has is shown, and tried again.
        """
        for mac in self._refused.keys() - {OURSELVES}:
            self._forget(mac)
        for session in self._sessions():
            session.reach.declare_target(port is not None)
        if port != self._port:
            await self.aclose()
            self._port = port
            if port is not None:
                self._server = CallServer(port, self._take)
                self._bind(self._server)

    def _bind(self, server: CallServer) -> None:
        try:
            server.start()
        except OSError as exc:
            # asyncio's own text says again which port it is.
            why = os.strerror(exc.errno) if exc.errno else str(exc)
            text = (
                f"proxies that call cannot be heard, for port {self._port} is not to be had "
                f"({why}): end the other program that listens there, or take another "
                "port, here and in the YAML of the proxies"
            )
            radio = AbsentRadio(f"port {self._port}", RadioState.GONE, text)
            self._show(OURSELVES, radio, BIND_RETRY)
        else:
            self._forget(OURSELVES)

    async def aclose(self) -> None:
        """Listen no more; idempotent. Sessions go on."""
        self._port = None
        if self._server:
            self._server.close()
            self._server = None
        for call in self._calls:
            if call.task:
                call.task.cancel()
        # Others end connections that nobody has any more, which takes 2 s at most.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for mac in list(self._refused):
            self._forget(mac)

    # A call

    def _take(self, name: str, mac: str, host: str, sock: socket.socket) -> None:
        caller = Caller(plain_text(name), mac, host)
        session = session_of_caller(self._sessions(), caller)
        if session and self._is_alive(session):
            _LOGGER.debug("%s: calls from %s, but is connected", session.name, caller.host)
        elif self._loop.time() < self._rests.get(caller.host, 0.0):
            _LOGGER.debug("%s: not heard, for a call from there has just failed", caller.host)
        else:
            proxy = self._proxy_of(caller, session)
            if proxy.noise_psk:
                others = session.reach.hosts if session and proxy.port else ()
                call = Call(caller, proxy, others, self._zeroconf(), self._proven)
                self._prove(call, sock)
                return
            self._refuse(caller, _no_key(caller))
        sock.close()

    def _is_alive(self, session: ProxySession) -> bool:
        now = self._loop.time()
        sign = max(
            session.reach.connection.up_at, now - session.periodic_checks.watchdog.silence(now)
        )
        return session.is_up and now - sign < ALIVE

    def _proxy_of(self, caller: Caller, session: ProxySession | None) -> Proxy:
        """Return where a caller is called back, if at all, and the key that it must have."""
        if session and session.proxy.noise_psk:
            where = session.proxy
            return where if where.port else Proxy(caller.host, 0, where.noise_psk)
        return Proxy(caller.host, 0, self._key_for(caller.name, caller.mac))

    def _prove(self, call: Call, sock: socket.socket) -> None:
        if len(self._calls) >= MOST_CALLS:
            self._make_room()
        self._calls.append(call)
        call.task = self._spawn(self._answer(call, sock))
        # Not in the task: one that is cancelled at once does not even begin.
        call.task.add_done_callback(lambda task: None if call.accepted else sock.close())

    def _make_room(self) -> None:
        [(host, _)] = Counter(call.caller.host for call in self._calls).most_common(1)
        oldest = next(call for call in self._calls if call.caller.host == host)
        self._calls.remove(oldest)
        if oldest.task:
            oldest.task.cancel()

    async def _answer(self, call: Call, sock: socket.socket) -> None:
        try:
            async with asyncio.timeout(PROOF_TIMEOUT):
                await call.connection.answer(sock, call.caller.host)
        except TimeoutError:
            self._refuse(call.caller, SAYS_NO_MORE)
        finally:
            if call in self._calls:
                self._calls.remove(call)
            if not call.accepted:
                await call.connection.aclose("it has not proven who it is")
        if not call.accepted:
            self._failed(call)

    def _failed(self, call: Call) -> None:
        now = self._loop.time()
        if len(self._rests) >= MOST_HOSTS:
            self._rests = {host: end for host, end in self._rests.items() if end > now}
        if len(self._rests) < MOST_HOSTS:
            self._rests[call.caller.host] = now + HOST_REST
        if call.error:
            problem = problem_of(call.error, call.caller.mac)
            # What else there is to say is about proxies that are called.
            self._refuse(call.caller, problem if problem.lasting else HANGS_UP)

    def _proven(self, call: Call, info: DeviceInfo, wire: Wire) -> None:
        """Give a caller that has proven its key to its session."""
        caller, connection = call.caller, call.connection
        if info.mac_address.replace(":", "").lower() != caller.mac:
            return
        if not connection.features(info):
            self._refuse(caller, NOT_A_PROXY)
            return
        session = session_of_caller(self._sessions(), caller)
        if session is None or session.proxy.noise_psk != connection.proxy.noise_psk:
            session = self._join(connection.proxy, caller)
        elif self._is_alive(session):
            return
        if session.is_up:
            # Who is connected does not call: the proxy has lost us, and we have not noticed.
            session.on_lost(session.reach.connection, "the proxy has called anew")
        call.accepted = session.reach.take(connection)
        if call.accepted:
            self._forget(caller.mac)
            self._spawn(session.reach.leave())
            session.on_up(connection, info, wire)

    # Who is refused

    def _refuse(self, caller: Caller, problem: Problem) -> None:
        name = f"{caller.name or 'a device'} ({mac_text(caller.mac)})"
        text = f"it calls from {caller.host}, and {problem.text}"
        shown = self._refused.get(caller.mac)
        hosts = Counter(radio.host for radio in self._refused.values())
        full = len(self._refused) >= MOST_REFUSED or hosts[caller.host] >= MOST_REFUSED_OF_HOST
        if shown is None and full:
            _LOGGER.debug("%s: refused: %s", name, text)
            return
        if shown is None or shown.problem != text:
            _LOGGER.warning("%s: refused: %s", name, text)
        radio = AbsentRadio(name, problem.state, text, host=caller.host)
        self._show(caller.mac, radio, REFUSED_KEPT)

    def _show(self, mac: str, radio: AbsentRadio, seconds: float) -> None:
        shown = self._refused.get(mac)
        self._cancel(mac)
        if shown is None:
            self._refused[mac] = radio
            self._sink.radio_added(radio)
        elif (shown.name, shown.problem) != (radio.name, radio.problem):
            shown.name, shown.host = radio.name, radio.host
            shown.state, shown.problem = radio.state, radio.problem
            self._sink.state_changed(shown)
        self._timers[mac] = self._loop.call_later(seconds, self._expired, mac)

    def _expired(self, mac: str) -> None:
        if mac != OURSELVES:
            self._forget(mac)
        elif self._server:
            self._bind(self._server)

    def _forget(self, mac: str) -> None:
        self._cancel(mac)
        if radio := self._refused.pop(mac, None):
            self._sink.radio_removed(radio)

    def _cancel(self, mac: str) -> None:
        if timer := self._timers.pop(mac, None):
            timer.cancel()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _no_key(caller: Caller) -> Problem:
    named = f" or for {caller.name}" if caller.name else ""
    return Problem(
        RadioState.WRONG_KEY,
        "no key is known for it",
        f"give one for {mac_text(caller.mac)}{named}",
        lasting=True,
        check="key",
    )
