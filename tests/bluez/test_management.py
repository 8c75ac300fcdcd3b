"""The kernel's management interface, with a socket pair in place of the kernel."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from proxyconn import ConnectionParameters, ErrorKind, RadioError, UnsupportedError
from proxyconn_bluez.kernel.management import Management
from proxyconn_bluez.kernel.packets import ManagementStatus, load_connection_parameters, parse_reply
from tests.bluez.fake_kernel import FakeKernel, reply

ADDRESS = "C4:00:00:00:00:01"
SLOW = ConnectionParameters(800, 800, 0, 600)
COMMAND = bytes.fromhex("35000200110001000100000000c4022003200300005802")
"""Load Connection Parameters for hci2, written out by hand from BlueZ doc/mgmt-api.txt."""


def test_load_connection_parameters_bytes() -> None:
    """The command is what the management interface's description says."""
    assert load_connection_parameters(2, ADDRESS, True, SLOW) == COMMAND
    public = load_connection_parameters(2, ADDRESS, False, SLOW)
    assert public == COMMAND[:14] + b"\x01" + COMMAND[15:]


def test_parse_reply() -> None:
    """Command Complete and Command Status are replies; anything else, or less, is not."""
    for event in (1, 2):
        parsed = parse_reply(reply(0x35, 2, 0x14, event))
        assert parsed is not None
        assert (parsed.opcode, parsed.index) == (0x35, 2)
        assert parsed.status is ManagementStatus.PERMISSION_DENIED
    unknown = parse_reply(reply(0x35, 2, 0x77))
    assert unknown is not None
    assert unknown.status is ManagementStatus.UNKNOWN
    assert parse_reply(reply(0x35, 2, 0, event=3)) is None
    whole = reply(0x35, 2, 0)
    assert [parse_reply(whole[:n]) for n in range(len(whole))] == [None] * len(whole)


async def test_load_matches_its_reply(kernel: FakeKernel) -> None:
    """Events, and replies to other commands or controllers, do not end the wait."""
    management = Management(kernel.open)
    loading = asyncio.create_task(
        management.load_connection_parameters("hci2", ADDRESS, True, SLOW)
    )
    assert await kernel.command() == COMMAND
    refusals = [reply(0x35, 1, 3), reply(0x34, 2, 3), b"\x01", reply(0x35, 2, 3, event=0x12)]
    for packet in refusals:
        kernel.send(packet)
    kernel.send(reply(0x35, 2, 0))
    await loading
    assert len(kernel.opened) == 1
    management.close()


async def test_load_keeps_its_socket(kernel: FakeKernel) -> None:
    """Commands share a socket and take turns; closing twice is harmless."""
    management = Management(kernel.open)
    loading = [
        asyncio.create_task(management.load_connection_parameters("hci2", ADDRESS, True, SLOW))
        for _ in range(2)
    ]
    for _ in loading:
        assert await kernel.command() == COMMAND
        with pytest.raises(BlockingIOError):
            kernel.opened[0].recv(1000)
        kernel.send(reply(0x35, 2, 0))
    await asyncio.gather(*loading)
    management.close()
    management.close()
    assert len(kernel.opened) == 1
    assert await kernel.command() == b""


@pytest.mark.parametrize("event", [1, 2])
async def test_load_without_the_right(kernel: FakeKernel, event: int) -> None:
    """A kernel that denies permission is an error that names the capability."""
    management = Management(kernel.open)
    loading = asyncio.create_task(
        management.load_connection_parameters("hci0", ADDRESS, True, SLOW)
    )
    await kernel.command()
    kernel.send(reply(0x35, 0, 0x14, event))
    with pytest.raises(UnsupportedError, match="CAP_NET_ADMIN"):
        await loading
    management.close()


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES])
async def test_open_without_the_right(code: int) -> None:
    """A socket that may not be opened is an error that names the capability."""

    def refuse() -> socket.socket:
        raise OSError(code, "refused")

    with pytest.raises(UnsupportedError, match="CAP_NET_ADMIN"):
        await Management(refuse).load_connection_parameters("hci0", ADDRESS, True, SLOW)


async def test_open_without_bluetooth() -> None:
    """A kernel without Bluetooth is an error that no other try can help."""

    def refuse() -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    with pytest.raises(RadioError) as caught:
        await Management(refuse).load_connection_parameters("hci0", ADDRESS, True, SLOW)
    assert caught.value.kind is ErrorKind.UNSUPPORTED
    assert "CAP_NET_ADMIN" not in str(caught.value)


async def test_load_refused(kernel: FakeKernel) -> None:
    """Any other refusal carries the kernel's status."""
    management = Management(kernel.open)
    loading = asyncio.create_task(
        management.load_connection_parameters("hci0", ADDRESS, True, SLOW)
    )
    await kernel.command()
    kernel.send(reply(0x35, 0, 0x11))
    with pytest.raises(RadioError, match="INVALID_INDEX") as caught:
        await loading
    assert caught.value.code is ManagementStatus.INVALID_INDEX
    assert caught.value.source == "hci0"
    management.close()


async def test_socket_dies(kernel: FakeKernel) -> None:
    """A socket that dies in mid-call fails the call, and the next command opens another."""
    management = Management(kernel.open)
    loading = asyncio.create_task(
        management.load_connection_parameters("hci0", ADDRESS, True, SLOW)
    )
    await kernel.command()
    kernel.opened[0].close()
    with pytest.raises(RadioError) as caught:
        await loading
    assert caught.value.kind is ErrorKind.TRANSIENT
    again = asyncio.create_task(management.load_connection_parameters("hci0", ADDRESS, True, SLOW))
    await kernel.next_socket()
    await kernel.command()
    kernel.send(reply(0x35, 0, 0))
    await again
    management.close()


async def test_load_cancelled(kernel: FakeKernel) -> None:
    """A late reply to a command that was cancelled does not end the next one like it."""
    management = Management(kernel.open)
    loading = asyncio.create_task(
        management.load_connection_parameters("hci0", ADDRESS, True, SLOW)
    )
    await kernel.command()
    kernel.send(reply(0x35, 0, 3))
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    again = asyncio.create_task(management.load_connection_parameters("hci0", ADDRESS, True, SLOW))
    await kernel.next_socket()
    await kernel.command()
    kernel.send(reply(0x35, 0, 0))
    await again
    management.close()


@pytest.mark.looptime
async def test_load_unanswered(kernel: FakeKernel) -> None:
    """A kernel that does not answer ends the wait after five seconds."""
    management = Management(kernel.open)
    started = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        await management.load_connection_parameters("hci0", ADDRESS, True, SLOW)
    assert asyncio.get_running_loop().time() - started == pytest.approx(5)
