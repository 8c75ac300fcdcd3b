"""What ends an owner: a signal at the start, one while it runs, and another while it ends."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sys

import pytest

from proxyconn_owner.ending import Ending

from .conftest import DEADLINE
from .process import SECONDS, Serve


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_start_is_called_off(serve: Serve, sign: signal.Signals) -> None:
    """A signal that comes while a cluster is joined is not kept until it has answered."""
    came = asyncio.Event()
    silent: list[asyncio.StreamWriter] = []

    def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)
        came.set()

    broker = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = broker.sockets[0].getsockname()[1]
    process = await serve.start("--api", "127.0.0.1:0", "--cluster", f"nats://127.0.0.1:{port}")
    async with asyncio.timeout(SECONDS):
        await came.wait()
        process.send_signal(sign)
        out, err = await process.communicate()
    for writer in silent:
        writer.close()
    broker.close()
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_second_signal_ends_what_hangs() -> None:
    """The first one ends it in order; the second does not wait for an end that does not come."""
    ending = Ending()
    ends: list[str] = []

    async def run(ending: Ending) -> None:
        ending.clients_are_welcome()
        try:
            await ending.told.wait()
            ends.append("in order")
            await asyncio.Event().wait()
        finally:
            ends.append("at once")

    async with asyncio.timeout(DEADLINE):
        running = asyncio.create_task(ending.until_told(run))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ending.tell()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert ends == ["in order"]
        ending.tell()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert ends == ["in order", "at once"]


async def test_owner_that_fails_says_so() -> None:
    """A failure is no end that somebody asked for."""

    async def run(ending: Ending) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await Ending().until_told(run)


async def test_caller_that_is_cancelled_ends_the_owner() -> None:
    """Who runs an owner may call it off as well; it is not taken for a signal."""
    ended = asyncio.Event()

    async def run(ending: Ending) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    running = asyncio.create_task(Ending().until_told(run))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.is_set()


IN_A_TERMINAL = """
import fcntl, os, runpy, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
if sys.argv.pop(1) == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
runpy.run_module("proxyconn", run_name="__main__", alter_sys=True)
"""


async def owner_in_a_terminal(serve: Serve, terminal: int, how: str) -> asyncio.subprocess.Process:
    """Start an owner that belongs to a terminal, and wait until it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", IN_A_TERMINAL, how, "serve", *serve.config_options,
        "--state", str(serve.folder / "state"),
        "--api", "127.0.0.1:0", "--no-announce", "--json",
        stdin=terminal, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env=serve.environment, start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    async with asyncio.timeout(SECONDS):
        assert b"ready" in await process.stdout.readline()
    return process


@pytest.mark.parametrize("how", ["closed", "asked", "nohup"])
async def test_terminal_that_is_closed_ends_its_owner(serve: Serve, how: str) -> None:
    """In order. SIGHUP while it is there ends nothing, nor does it where that is not wanted."""
    leader, follower = pty.openpty()
    process = await owner_in_a_terminal(serve, follower, how)
    os.close(follower)
    assert process.stdout
    try:
        if how == "asked":
            process.send_signal(signal.SIGHUP)
        else:
            os.close(leader)
        async with asyncio.timeout(SECONDS):
            if how == "closed":
                out, _ = await process.communicate()
                assert process.returncode == 0
                assert b"stopping" in out
                return
            process.send_signal(signal.SIGHUP)
            assert b"reloaded" in await process.stdout.readline()
    finally:
        if how == "asked":
            os.close(leader)
        if process.returncode is None:
            process.kill()
            await process.communicate()
