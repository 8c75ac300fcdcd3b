"""One link under any order of requests, replies, losses and cancellations."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from proxyconn import ErrorKind
from proxyconn.radio import LinkError, NotConnectedError, RadioError
from proxyconn_esphome.link.link import REQUEST_TIMEOUT, Link
from proxyconn_esphome.link.states import MOVES, LinkEvent, LinkMoveError, LinkState, next_state
from proxyconn_proto import bluetooth_proxy_pb2 as pb

from .machines import FIXED, SELDOM, LoopMachine

NUMBER = 0xC40000000001
HANDLES = st.sampled_from((3, 5))


class Wire:
    """Takes what a link sends."""

    name = "kitchen"

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.outstanding = 0

    def send(self, message: Any) -> None:
        """Take a message."""
        self.sent.append(message)

    def count_outstanding(self, change: int) -> None:
        """Take note of a reply that is waited for, or no more."""
        self.outstanding += change

    def request_slots(self) -> None:
        """Take a request for a slot report."""

    def allocations(self) -> None:
        """Return no report."""


class LinkMachine(LoopMachine):
    """A link, a program that uses it, and a proxy that answers each request once, in order.

    The proxy's answers carry which request they are for, which a real one's do not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire()
        self.downs: list[RadioError] = []
        self.link = self.do(self._new_link())
        self.requests: list[tuple[int, asyncio.Task[Any]]] = []
        self.unanswered: list[tuple[int, int]] = []
        self.model = LinkState.IDLE
        self.next_serial = 0

    async def _new_link(self) -> Link:
        return Link(self.wire, "C4:00:00:00:00:01", NUMBER, self.downs.append)

    def move(self, event: LinkEvent) -> bool:
        """Move the model; return whether the table has the move."""
        if event not in MOVES[self.model]:
            return False
        self.model = MOVES[self.model][event]
        return True

    @rule(event=st.sampled_from((LinkEvent.CONNECT_SENT, LinkEvent.SET_UP)))
    def step(self, event: LinkEvent) -> None:
        """Make a move of our own; one that is not in the table changes nothing."""
        if self.link.closed.is_set():
            return  # a link is not used twice
        if self.move(event):
            self.link.move(event)
        else:
            with pytest.raises(LinkMoveError):
                self.link.move(event)

    @precondition(lambda self: self.model is not LinkState.IDLE)
    @rule(mtu=st.integers(0, 600))
    def comes_up(self, mtu: int) -> None:
        """connected=true, which can come more than once."""
        self.link.on_up(mtu)
        if self.model is not LinkState.CLOSING:
            self.move(LinkEvent.UP)

    @precondition(lambda self: self.model is not LinkState.IDLE)
    @rule(really=SELDOM)
    def is_left(self, really: bool) -> None:
        """The program asks for the end."""
        if not really:
            return
        self.link.send_disconnect()
        self.move(LinkEvent.DISCONNECT_SENT)

    @initialize()
    def begin(self) -> None:
        """The link is open."""
        self.step(LinkEvent.CONNECT_SENT)
        self.comes_up(23)

    @precondition(lambda self: not self.link.closed.is_set())
    @rule(really=SELDOM)
    def goes_down(self, really: bool) -> None:
        """connected=false."""
        if not really and self.model is not LinkState.CLOSING:
            return
        was_ready = self.model is LinkState.READY
        before = len(self.downs)
        error = LinkError("gone", kind=ErrorKind.DISCONNECTED, source="kitchen")
        self.link.down(error)
        self.unanswered.clear()
        self.move(LinkEvent.DOWN)
        assert len(self.downs) - before == was_ready
        self.settle()
        assert all(task.done() for _, task in self.requests)
        assert self.link._timer is None  # noqa: SLF001 - what must not be left
        assert self.wire.outstanding == 0

    @precondition(lambda self: self.link.closed.is_set())
    @rule()
    def is_opened_anew(self) -> None:
        """The next attempt, which takes a link of its own."""
        self.link = self.do(self._new_link())
        self.begin()

    @rule(handle=HANDLES)
    def asks(self, handle: int) -> None:
        """The program reads."""
        self.next_serial += 1
        message = pb.BluetoothGATTReadRequest(address=self.next_serial, handle=handle)
        task = self.task(self.link.request(message, pb.BluetoothGATTReadResponse, handle))
        self.requests.append((self.next_serial, task))
        self.note_sent()

    def note_sent(self) -> None:
        """Let the proxy see what was sent."""
        for message in self.wire.sent:
            if isinstance(message, pb.BluetoothGATTReadRequest):
                self.unanswered.append((message.address, message.handle))
        self.wire.sent.clear()

    @precondition(lambda self: self.unanswered)
    @rule(stray=HANDLES)
    def answers(self, stray: int) -> None:
        """The proxy answers the oldest request, and says something nobody waits for before."""
        serial, handle = self.unanswered.pop(0)
        if stray != handle:
            stranger = pb.BluetoothGATTReadResponse(handle=stray, data=b"stray")
            assert not self.link.on_reply(stranger, pb.BluetoothGATTReadResponse, stray)
        self.link.on_reply(pb.BluetoothGATTWriteResponse(), pb.BluetoothGATTWriteResponse, handle)
        self.link.on_part(pb.BluetoothGATTGetServicesResponse())
        reply = pb.BluetoothGATTReadResponse(handle=handle, data=str(serial).encode())
        assert self.link.on_reply(reply, pb.BluetoothGATTReadResponse, handle)
        self.settle()
        self.note_sent()

    @precondition(lambda self: self.unanswered)
    @rule(status=st.sampled_from((1, 5, 133, 2**31 - 1)))
    def refuses(self, status: int) -> None:
        """The proxy answers with an error; -1, after which the request is made again, is not it."""
        _, handle = self.unanswered.pop(0)
        self.link.on_gatt_error(pb.BluetoothGATTErrorResponse(handle=handle, error=status))
        self.settle()
        self.note_sent()

    @precondition(lambda self: self.requests)
    @rule(index=st.integers(0, 20))
    def is_cancelled(self, index: int) -> None:
        """A caller goes; its request may be under way."""
        self.requests[index % len(self.requests)][1].cancel()
        self.settle()
        self.note_sent()

    @precondition(lambda self: self.unanswered)
    @rule()
    def is_never_answered(self) -> None:
        """The time for the request in flight runs out."""
        self.unanswered.pop(0)
        self.wait(REQUEST_TIMEOUT + 0.1)
        self.note_sent()

    @invariant()
    def table_is_kept(self) -> None:
        """The link is where the table says, and goes back to IDLE from anywhere."""
        assert self.link.state is self.model
        assert next_state(self.model, LinkEvent.DOWN) is LinkState.IDLE

    @invariant()
    def one_request_is_in_flight(self) -> None:
        """Neither more, nor one less than there are callers on a link that is up."""
        assert self.wire.outstanding == len(self.unanswered) <= 1
        waiting = [serial for serial, task in self.requests if not task.done()]
        assert not (waiting and not self.link.is_waited_for)

    @invariant()
    def answers_are_for_whom_they_are(self) -> None:
        """Every answer went to the request that it is for."""
        for serial, task in self.requests:
            if task.done() and not task.cancelled() and task.exception() is None:
                assert task.result().data == str(serial).encode()
        self.requests = [pair for pair in self.requests if not pair[1].done()]

    def check_end(self) -> None:
        """No timer, no turn and no count is left."""
        self.link.down(NotConnectedError("over", source="kitchen"))
        assert self.wire.outstanding == 0
        assert not self.link.is_waited_for


LinkMachine.TestCase.settings = FIXED
TestLink = LinkMachine.TestCase
