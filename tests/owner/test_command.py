"""`proxyconn serve` as a process: what it prints, how it ends, and what it does about bad input."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxyconn_virtual.fleet import VirtualFleet

from .conftest import DEADLINE, KEY, READ, VALUE, connect, until
from .process import SECONDS, Serve, configure, key_of, program


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_ready_and_clean_end(
    serve: Serve, virtual: VirtualFleet, sign: signal.Signals
) -> None:
    """The first line says where clients are welcome; a signal ends it in order, slots free."""
    key = await key_of(serve)
    async with serve.running() as running:
        (api,) = running.ready["api"]
        assert running.ready["event"] == "ready"
        assert (api["name"], api["host"]) == ("proxyconn", "127.0.0.1")
        assert len(api["mac"].split(":")) == 6
        async with program(running, key) as fleet:
            client = await connect(fleet)
            assert await client.read_gatt_char(READ) == VALUE
            assert await running.end(sign) == 0
            await until(lambda: not client.is_connected)
    await until(lambda: not any(p.snapshot().slots for p in virtual.proxies.values()))


async def test_client_that_is_killed_frees_its_slots(serve: Serve, virtual: VirtualFleet) -> None:
    """When a client has ended, the slots that it held become free."""
    key = await key_of(serve)
    async with serve.running() as running, program(running, key) as fleet:
        await connect(fleet)
        taken = [p for p in virtual.proxies.values() if p.snapshot().slots]
        assert len(taken) == 1
        await fleet.aclose()
        async with asyncio.timeout(DEADLINE):
            while taken[0].snapshot().slots:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)


async def test_mirrored_ports_are_stable(serve: Serve) -> None:
    """Each radio has its proxy, with its name, the same MAC and the same port behind the first."""
    base = free_port()
    first: list[dict[str, Any]] = []
    for _ in range(2):
        async with serve.running("--one", "--mirrored", "--api", f"127.0.0.1:{base}") as running:
            found = running.ready["api"]
            assert {one["name"] for one in found} == {"proxyconn", "kitchen", "cellar"}
            assert sorted(one["port"] for one in found) == [base, base + 1, base + 2]
            assert found == (first or found)
            first = found


async def test_second_owner(serve: Serve) -> None:
    """Only one owner runs for a user; the second one says which process is the first."""
    async with serve.running() as running:
        code, complaint = await serve.fails("--api", "127.0.0.1:0")
        assert code == 1
        assert f"process {running.process.pid}" in complaint


async def test_port_taken(serve: Serve) -> None:
    """A port that somebody has is named, with the way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, complaint = await serve.fails("--api", f"127.0.0.1:{port}", "--no-announce")
    assert code == 1
    assert f"127.0.0.1:{port} is not to be had" in complaint
    assert "--api" in complaint


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[serve]\nport = 1\n", "port is unknown"),
        ("[serve]\napi = 70000\n", "api must be a port"),
        ('[serve]\nnoise_psk = "short"\n', "base64 of 32 bytes"),
        ("[[client]]\nslots = 1\n", "name is missing"),
        ('[[client]]\nname = "a"\nslots = 3\nmax_slots = 1\n', "do not go together"),
    ],
)
async def test_bad_configuration(
    serve: Serve, virtual: VirtualFleet, more: str, words: str
) -> None:
    """A wrong value is named, with what it may be, before anything is started."""
    await configure(serve, virtual, more)
    code, complaint = await serve.fails("--api", "127.0.0.1:0")
    assert code == 2
    assert words in complaint
    assert KEY not in complaint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--web-origin", "https://proxies.example"), "--web-origin is about a web page"),
        (("--web-token-file", "tokens"), "add --web"),
        (("--name", ""), "a name has characters"),
    ],
)
async def test_options_that_would_do_nothing(
    serve: Serve, options: tuple[str, ...], words: str
) -> None:
    """They are refused, with what is missing."""
    code, complaint = await serve.fails("--api", "127.0.0.1:0", *options)
    assert code == 2
    assert words in complaint


async def test_state_that_cannot_be_used(serve: Serve) -> None:
    """A half-written state is set aside by the next owner, and said so; a new key is made."""
    before = await key_of(serve)
    file = serve.folder / "state" / "owner.json"
    half = (await asyncio.to_thread(file.read_text))[:40]
    await asyncio.to_thread(file.write_text, half)
    async with serve.running() as running:
        assert await key_of(serve) != before
        await running.end(signal.SIGTERM)
    aside = await asyncio.to_thread(lambda: list(file.parent.glob("*set-aside*")))
    assert [await asyncio.to_thread(one.read_text) for one in aside] == [half]
    assert (await asyncio.to_thread(file.stat)).st_mode & 0o077 == 0


@pytest.mark.parametrize("wrong", ['{"version": 2}', "half a fi"])
async def test_showing_the_key_changes_nothing(serve: Serve, wrong: str) -> None:
    """What cannot be used stays as it is, beside an owner that runs above all."""
    file = serve.folder / "state" / "owner.json"
    async with serve.running():
        await asyncio.to_thread(file.write_text, wrong)
        code, complaint = await serve.fails("--show-key")
    assert code == 1
    assert "owner.json cannot be used" in complaint
    assert await asyncio.to_thread(file.read_text) == wrong
    assert await asyncio.to_thread(lambda: list(file.parent.glob("*aside*"))) == []


async def test_no_key_is_made_beside_an_owner(serve: Serve) -> None:
    """A folder without a key is not the one of the owner that runs: its key is elsewhere."""
    async with serve.running() as running:
        code, complaint = await serve.fails("--show-key", "--state", str(serve.folder / "other"))
        assert code == 1
        assert f"process {running.process.pid}" in complaint
        assert "--state" in complaint
    assert not await asyncio.to_thread((serve.folder / "other").exists)


async def test_state_folder_that_is_none(serve: Serve) -> None:
    """A state folder that cannot be one is named."""
    await asyncio.to_thread((serve.folder / "state").write_text, "a file")
    code, complaint = await serve.fails("--show-key")
    assert code == 1
    assert "state" in complaint
    assert "--state" in complaint


async def test_readiness_for_systemd(serve: Serve, tmp_path: Path) -> None:
    """systemd is told when clients are welcome, fed while it watches, and told of the end."""
    told: list[bytes] = []
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(SECONDS)
        serve.environment |= {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"}
        async with serve.running() as running:
            while told.count(b"WATCHDOG=1") < 3:
                told.append(await asyncio.to_thread(sock.recv, 4096))
            await running.end(signal.SIGTERM)
            while b"STOPPING=1" not in told:
                told.append(await asyncio.to_thread(sock.recv, 4096))
    assert b"READY=1" in told


def free_port() -> int:
    """Return a port behind which there are probably two more that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_web_address_is_told_and_a_reader_does_not_keep_the_owner(serve: Serve) -> None:
    """`ready` says where the API is; the tokens are in the file; the end ends streams, too."""
    file = serve.folder / "token"
    options = ("--web", "127.0.0.1:0", "--web-token-file", str(file))
    async with serve.running(*options) as running:
        token = (await asyncio.to_thread(file.read_text)).split()[0]
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(running.ready["web"], headers=headers) as session,
            session.get("/api/v1/events") as response,
        ):
            assert response.status == 200
            assert (await response.content.readline()).startswith(b"retry:")
            assert await running.end(signal.SIGTERM) == 0
            async for line in response.content:
                assert token not in line.decode()


async def lines_of(
    serve: Serve, output: int, read: Callable[[], bytes], web: str = "127.0.0.1:0"
) -> str:
    """Return what it prints for people until it says how to end it."""
    process = await serve.start(
        "--api", "127.0.0.1:0", "--no-announce", "--web", web, stdout=output
    )
    try:
        said = b""
        async with asyncio.timeout(SECONDS):
            while b"Ctrl-C" not in said:
                said += await asyncio.to_thread(read)
    finally:
        process.terminate()
        await process.communicate()
    return said.decode()


async def test_no_log_has_what_opens_the_page(serve: Serve) -> None:
    """A terminal gets the address that opens the page once, a pipe only where a token is."""
    reader, writer = os.pipe()
    piped = await lines_of(serve, writer, lambda: os.read(reader, 4096))
    os.close(writer)
    os.close(reader)
    assert "#token" not in piped
    assert "See the fleet at http://127.0.0.1:" in piped
    assert str(serve.folder / "state" / "web-token") in piped
    leader, follower = pty.openpty()
    on_terminal = await lines_of(serve, follower, lambda: os.read(leader, 4096))
    os.close(follower)
    os.close(leader)
    assert "/#token=" in on_terminal


async def test_page_at_every_address_is_opened_at_one_of_them(serve: Serve) -> None:
    """0.0.0.0 is nobody's address for who looks from elsewhere."""
    reader, writer = os.pipe()
    said = await lines_of(serve, writer, lambda: os.read(reader, 4096), web="0.0.0.0:0")
    os.close(writer)
    os.close(reader)
    assert "(from elsewhere: this machine's address for 0.0.0.0)" in said


async def test_web_port_that_is_taken(serve: Serve) -> None:
    """The complaint says which port it is, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, complaint = await serve.fails("--web", str(taken.getsockname()[1]))
    assert code == 1
    assert "choose another with --web" in complaint


async def test_what_an_owner_warns_of_is_on_stderr(serve: Serve, tmp_path: Path) -> None:
    """Without -v, too: nobody else says it."""
    tokens = tmp_path / "tokens"
    await asyncio.to_thread(tokens.write_text, "a-token-0123456789abcdef\n")
    await asyncio.to_thread(tokens.chmod, 0o644)
    web = ("--web", "127.0.0.1:0", "--web-token-file", str(tokens))
    process = await serve.start("--api", "127.0.0.1:0", "--no-announce", "--json", *web)
    assert process.stdout
    async with asyncio.timeout(SECONDS):
        assert await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert f"chmod 600 {tokens}" in err.decode()
