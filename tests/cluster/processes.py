"""Owners as processes of their own, and what proxies see of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from proxyconn import Proxy
from proxyconn_native_api.session import Session

STARTS_WITHIN = 20.0


class OwnerProcess:
    """`proxyconn serve --cluster`, in a process of its own.

    Args:
        folder: where its configuration, its state and its log are.
        name: what the owner is called.
        proxies: those that its configuration names.
        cluster: what is said under [cluster].

    Attributes:
        process: it; None before it runs.
        program: what Python is to run.
    """

    def __init__(
        self, folder: Path, name: str, proxies: Iterable[Proxy], **cluster: str | float
    ) -> None:
        self.folder = folder
        self.name = name
        self._proxies = list(proxies)
        self.program = ["-m", "proxyconn"]
        self._cluster = {"name": name, **cluster}
        self.process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.lines: list[dict[str, Any]] = []

    def _written(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = ["discover = false", "[cluster]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in self._cluster.items()]
        for proxy in self._proxies:
            lines += ["[[proxy]]", f'host = "{proxy.host}"', f"port = {proxy.port}"]
            lines += [f'key = "{proxy.noise_psk}"'] if proxy.noise_psk else []
        file = self.folder / "config.toml"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        file.chmod(0o600)
        return file

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        file = await asyncio.to_thread(self._written)
        env = os.environ | {
            "RUNTIME_DIRECTORY": str(self.folder / "run"),
            "STATE_DIRECTORY": str(self.folder / "state"),
        }
        command = [sys.executable, *self.program, "serve", "--config", str(file), "--json"]
        command += ["--api", "127.0.0.1:0", "--no-announce", "-v"]
        log = await asyncio.to_thread((self.folder / "log").open, "ab")
        try:
            self.process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=log, env=env
            )
        finally:
            log.close()
        ready = asyncio.Event()
        self._reading = asyncio.get_running_loop().create_task(self._read(ready))
        async with asyncio.timeout(STARTS_WITHIN):
            await ready.wait()
        assert self.lines, await asyncio.to_thread((self.folder / "log").read_text)

    async def _read(self, ready: asyncio.Event) -> None:
        assert self.process
        assert self.process.stdout
        async for line in self.process.stdout:
            self.lines.append(json.loads(line))
            if self.lines[-1].get("event") == "ready":
                ready.set()
        ready.set()

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process
        os.kill(self.process.pid, number)

    async def stop(self, number: int = signal.SIGKILL) -> None:
        """End it, by default without a goodbye; idempotent."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.send_signal(number)
            await process.wait()
        if self._reading is not None:
            await self._reading
            self._reading = None


@dataclass
class Watch:
    """What proxies see of their clients, to the byte.

    Attributes:
        subscribers: proxy -> sessions that have subscribed, the last one last.
        doubles: what was sent by a session after another one had subscribed.
        sent: proxy and session -> bytes; a session is kept, for another one must not pass for it.
    """

    subscribers: dict[str, list[Session]] = field(default_factory=dict)
    doubles: list[str] = field(default_factory=list)
    sent: dict[tuple[str, Session], int] = field(default_factory=dict)

    def took(self, session: Session, count: int) -> None:
        """Bytes have arrived."""
        proxy = session_host(session)
        key = proxy, session
        self.sent[key] = self.sent.get(key, 0) + count
        known = self.subscribers.get(proxy, [])
        if session in known and session is not known[-1]:
            self.doubles.append(f"{proxy}: {count} bytes of a session that was replaced")

    def subscribed(self, session: Session) -> None:
        """A session has asked for the subscription."""
        known = self.subscribers.setdefault(session_host(session), [])
        if session not in known:
            known.append(session)


def session_host(session: Session) -> str:
    """Return the name of the proxy that a session is with."""
    return str(session._host.name)  # noqa: SLF001


def watching(patch: pytest.MonkeyPatch) -> Watch:
    """Return what the proxies of this process see from now on."""
    watch = Watch()
    received, dispatched = Session.data_received, Session._dispatch  # noqa: SLF001

    def data_received(self: Session, data: bytes) -> None:
        watch.took(self, len(data))
        received(self, data)

    def dispatch(self: Session, message: Any) -> None:
        if type(message).__name__ == "SubscribeBluetoothLEAdvertisementsRequest":
            watch.subscribed(self)
        dispatched(self, message)

    patch.setattr(Session, "data_received", data_received)
    patch.setattr(Session, "_dispatch", dispatch)
    return watch
