"""The requests of one client for one device: how many may wait, and who is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf.message import Message

from proxyconn_owner.serving.failure_codes import NO_RESOURCES
from proxyconn_owner.serving.requests import CROWDED, MOST_WAITING, Requests
from proxyconn_proto import bluetooth_proxy_pb2 as pb

pytestmark = pytest.mark.looptime


class Client:
    """Asks, and takes note of what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.refused: list[int] = []
        self.answers = 0
        self.requests = Requests(self, "client")

    def fail(self, handle: int, error: int) -> None:
        self.refused.append(error)

    def answer(self, message: Message) -> None:
        self.answers += 1

    def crowded(self) -> None:
        self.told.append("crowded")

    def clear(self) -> None:
        self.told.append("clear")

    def operated(self, operation: str, seconds: float) -> None:
        """Not looked at."""

    def ask(self, count: int, *, answered: bool) -> None:
        """Ask for things that take a tenth of a second each."""
        for _ in range(count):
            self.requests.submit(1, _read if answered else _command, answered=answered)


async def _read(handle: int) -> Message:
    await asyncio.sleep(0.1)
    return pb.BluetoothGATTReadResponse(handle=handle)


async def _command(handle: int) -> None:
    await asyncio.sleep(0.1)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Yield a client that has asked for nothing yet."""
    client = Client()
    yield client
    client.requests.end()


async def test_commands_that_wait_leave_requests_their_places(client: Client) -> None:
    """Commands are never refused, so they must not have others refused."""
    client.ask(CROWDED - 1, answered=False)
    client.ask(MOST_WAITING, answered=True)
    assert (client.refused, client.told) == ([], [])
    client.ask(1, answered=True)
    assert client.refused == [NO_RESOURCES]
    await client.requests.done(200.0)
    assert client.answers == MOST_WAITING


async def test_who_sends_many_commands_is_read_again_when_half_of_them_are_done(
    client: Client,
) -> None:
    """Once each way, and not for every command."""
    client.ask(CROWDED + 9, answered=False)
    assert client.told == ["crowded"]
    await asyncio.sleep(0.1 * (CROWDED // 2))
    assert client.told == ["crowded"]
    await asyncio.sleep(2.0)
    assert client.told == ["crowded", "clear"]
    await client.requests.done(200.0)
    assert client.told == ["crowded", "clear"]


async def test_what_is_forgotten_is_not_done(client: Client) -> None:
    """Nor does it wait for anything: what is asked afterwards is done at once."""
    client.ask(MOST_WAITING, answered=True)
    await asyncio.sleep(0)
    client.requests.forget()
    client.ask(1, answered=True)
    await client.requests.done(1.0)
    assert client.answers == 2, "the one that was under way, and the new one"
