"""The configuration read again while the owner runs."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from proxyconn.cli import options
from proxyconn.cli.config_file import Stamp, read_text
from proxyconn_owner import supervision
from proxyconn_owner.supervision import FileChanges, Supervisor
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk

from .conftest import KEY, READ, VALUE, connect, peripheral
from .process import SECONDS, Running, Serve, configure, key_of, program


async def test_reload_keeps_links(serve: Serve, virtual: VirtualFleet) -> None:
    """A changed file is read again: a proxy joins, and links stay; a bad one changes nothing."""
    key = await key_of(serve)
    third = VirtualFleet(
        [ProxySpec(name="attic", noise_psk=KEY)], [peripheral(3, attic=-50)], announce=False
    )
    async with third, serve.running() as running, program(running, key) as fleet:
        client = await connect(fleet)
        proxy = third.proxies["attic"]
        more = (
            f'[[proxy]]\nhost = "127.0.0.1"\nport = {proxy.port}\nkey = "{KEY}"\n'
            '[[client]]\nname = "proxyconn"\nmax_slots = 2\n'
        )
        await configure(serve, virtual, more)
        await running.event("reloaded")
        other = await connect(fleet, 3)
        assert await other.read_gatt_char(READ) == VALUE
        await asyncio.to_thread(serve.config.write_text, "nonsense = [")
        running.process.send_signal(signal.SIGHUP)
        assert "not valid TOML" in (await running.event("reload_failed"))["error"]
        assert await client.read_gatt_char(READ) == VALUE
        assert await other.read_gatt_char(READ) == VALUE


async def test_reload_that_cannot_be_is_told_and_is_not_the_last(
    serve: Serve, virtual: VirtualFleet
) -> None:
    """A file that has gone, is empty, or names no proxy changes nothing."""
    key = await key_of(serve)
    async with serve.running() as running, program(running, key) as fleet:
        client = await connect(fleet)
        await asyncio.to_thread(serve.config.unlink)
        running.process.send_signal(signal.SIGHUP)
        assert "there is no such file" in (await running.event("reload_failed"))["error"]
        await asyncio.to_thread(serve.config.write_text, "discover = false\n")
        running.process.send_signal(signal.SIGHUP)
        assert "no proxy to use" in (await running.event("reload_failed"))["error"]
        await configure(serve, virtual)
        await running.event("reloaded")
        assert await client.read_gatt_char(READ) == VALUE


async def test_radio_that_cannot_be_used_is_told(serve: Serve) -> None:
    """With the reason, and that it can be used once that is mended."""
    good = await asyncio.to_thread(serve.config.read_text)
    await asyncio.to_thread(serve.config.write_text, good.replace(KEY, new_noise_psk()))
    async with serve.running() as running:
        told = [await running.event("radio") for _ in range(2)]
        assert {one["name"] for one in told} == {"kitchen", "cellar"}
        assert {one["state"] for one in told} == {"wrong key"}
        assert "refused the encryption key" in told[0]["problem"]
        await asyncio.to_thread(serve.config.write_text, good)
        told = [await running.event("radio") for _ in range(2)]
        assert {one["name"] for one in told} == {"kitchen", "cellar"}
        assert {(one["state"], one["problem"]) for one in told} == {("ready", None)}


async def test_default_file_that_has_gone_is_no_empty_one(
    serve: Serve, virtual: VirtualFleet
) -> None:
    """The user's own file need not be there at the start; one that was read is not taken back."""
    own = serve.folder / ".config" / "proxyconn" / "config.toml"
    await asyncio.to_thread(own.parent.mkdir, parents=True)
    await asyncio.to_thread(serve.config.rename, own)
    serve.environment["XDG_CONFIG_HOME"] = str(own.parent.parent)
    serve.config_options = ()
    key = await key_of(serve)
    async with serve.running() as running, program(running, key) as fleet:
        client = await connect(fleet)
        await asyncio.to_thread(own.unlink)
        running.process.send_signal(signal.SIGHUP)
        assert "there is no such file" in (await running.event("reload_failed"))["error"]
        assert await client.read_gatt_char(READ) == VALUE


async def test_reload_that_is_asked_for_during_the_start(
    serve: Serve, virtual: VirtualFleet
) -> None:
    """SIGHUP ends nothing then; what has changed counts as soon as clients are welcome."""
    called = asyncio.Event()
    silent: list[asyncio.StreamWriter] = []

    def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)
        called.set()

    proxy = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    more = f'[[proxy]]\nhost = "127.0.0.1"\nport = {port}\nkey = "{KEY}"\n'
    await configure(serve, virtual, more)
    options = ("--api", "127.0.0.1:0", "--no-announce", "--json", "--mirrored", "--timeout", "4")
    process = await serve.start(*options)
    running = Running(process, {})
    async with asyncio.timeout(SECONDS):
        await called.wait()
        process.send_signal(signal.SIGHUP)
    await running.event("ready")
    await running.event("reloaded")
    assert await running.end(signal.SIGTERM) == 0
    for writer in silent:
        writer.close()
    proxy.close()


async def test_file_that_is_written_just_after_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read again, however early in the start that is."""
    file = tmp_path / "config.toml"
    await asyncio.to_thread(file.write_text, "discover = false\n")

    def read(file: Path) -> str:
        text = read_text(file)
        file.write_text("discover = true\n")
        return text

    monkeypatch.setattr(options, "read_text", read)
    monkeypatch.setattr(supervision, "LOOK_EVERY", 0.01)
    config = await asyncio.to_thread(options.load_config, file)
    again = asyncio.Event()

    async def reload() -> None:
        again.set()

    async with (
        asyncio.timeout(SECONDS),
        Supervisor(file, config.stamp, lambda: None) as supervisor,
        supervisor.clients_are_welcome(reload),
    ):
        await again.wait()


@pytest.mark.parametrize(
    ("looks", "reads"),
    [
        ([(1, 9)] * 3, []),
        ([(2, 9), (2, 9), (2, 9)], [1]),
        ([(2, 4), (3, 9), (3, 9), (4, 9), (4, 9)], [2, 4]),
        ([(2, 0), (2, 0), (2, 0)], []),
        ([None, None, (2, 9), (2, 9)], [3]),
        ([None, (1, 9), (1, 9)], []),
    ],
)
def test_when_a_changed_file_is_read(looks: list[Stamp | None], reads: list[int]) -> None:
    """It is read once, when it was the same for one look; not while it is away or empty."""
    changes = FileChanges((1, 9))
    assert [n for n, stamp in enumerate(looks) if changes.is_to_be_read(stamp)] == reads
