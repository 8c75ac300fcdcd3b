"""A virtual proxy that is one until its tape says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxyconn_native_api.frames import Frames, Received
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy
from proxyconn_virtual.radio import Radio

from .choices import Choices
from .messages import TO_CLIENT, bomb, mutated, random_message

MOST_PAYLOAD = 65000
"""Bytes; the length in a Noise frame is a 16-bit number."""

FLOOD = 300
"""Copies of one frame in a row."""


class HostileFrames:
    """Frames of a proxy, some of them spoiled.

    Args:
        inner: those of a good one.
        choices: decides; once its tape is over nothing is spoiled any more.
        patience: frames that are left alone.
    """

    def __init__(self, inner: Frames, choices: Choices, patience: int) -> None:
        self._inner = inner
        self._choices = choices
        self._patience = patience
        self._mute = False

    def feed(self, data: bytes) -> Received:
        """Take bytes; spoil what a handshake answers."""
        received = self._inner.feed(data)
        if received.reply and self._turns():
            received.reply = self._spoil_reply(received.reply)
        if self._mute:
            received.reply = b""
        return received

    def encode(self, number: int, payload: bytes) -> bytes:
        """Return a frame, or what comes in its stead."""
        if self._mute:
            return b""
        if not self._turns():
            return self._frames((number, payload))
        return self._spoil(number, payload)

    def _turns(self) -> bool:
        if self._patience > 0:
            self._patience -= 1
            return False
        return self._choices.chance(3)

    def _frames(self, *messages: tuple[int, bytes]) -> bytes:
        """Return good frames, made in the order in which they are sent: each has its nonce."""
        return b"".join(
            self._inner.encode(number & 0xFFFF, payload[:MOST_PAYLOAD])
            for number, payload in messages
        )

    def _spoil_reply(self, reply: bytes) -> bytes:
        choices = self._choices
        how = choices.below(5)
        if how == 0:
            return mutated(reply, choices)
        if how == 1:
            return b"\x01\x00\x16\x01Handshake MAC failure"
        if how == 2:
            return b"\x01\x00\x00"
        if how == 3:
            return reply[: choices.below(len(reply))]
        return choices.bytes(choices.below(64))

    def _spoil(self, number: int, payload: bytes) -> bytes:
        how = self._choices.below(12)
        if how >= 10:
            return self._spoil_bytes(self._frames((number, payload)))
        return self._frames(*self._instead(how, number, payload))

    def _instead(self, how: int, number: int, payload: bytes) -> list[tuple[int, bytes]]:
        """Return good frames that nobody expects, in the place of one that somebody may expect."""
        choices, good = self._choices, (number, payload)
        what: tuple[Callable[[], list[tuple[int, bytes]]], ...] = (
            lambda: [(number, mutated(payload, choices))],
            lambda: [random_message(choices, TO_CLIENT), good],
            lambda: [good, random_message(choices, TO_CLIENT)],
            lambda: [(choices.number(16), payload)],
            lambda: [good, good],
            list,
            lambda: [random_message(choices, TO_CLIENT)],
            lambda: [*[random_message(choices, TO_CLIENT)] * FLOOD, good],
            lambda: [bomb(choices), good],
            lambda: [*(random_message(choices, TO_CLIENT) for _ in range(20)), good],
        )
        return what[how]()

    def _spoil_bytes(self, good: bytes) -> bytes:
        choices = self._choices
        how = choices.below(4)
        if how == 0:
            return mutated(good, choices)
        if how == 1:
            return good + choices.bytes(choices.below(64))
        if how == 2:
            # An endless partial frame: what follows never comes.
            self._mute = True
            return good[: choices.below(len(good))]
        return choices.pick((b"\x00\xff\xff\x03\x45", b"\x00\xff\xff\xff\xff\x0f", b"\x01\xff"))


class HostileProxy(VirtualProxy):
    """A proxy whose frames are spoiled as long as its tape lasts."""

    def __init__(self, spec: ProxySpec, radio: Radio, choices: Choices) -> None:
        self._choices = choices
        self._poke: asyncio.TimerHandle | None = None
        super().__init__(spec, radio)

    def frames(self) -> Frames:
        """Return the framing of a new connection."""
        if self._choices.over:
            return super().frames()
        return HostileFrames(super().frames(), self._choices, self._choices.below(24))

    def poke_on(self) -> None:
        """Say something unasked every now and then."""
        for session in self.server.sessions:
            if session.greeted and not self._choices.over:
                session.send(pb.PingRequest())
                if self._choices.chance(16):
                    session.reset()
        wait = 0.05 * (1 + self._choices.below(40))
        self._poke = asyncio.get_running_loop().call_later(wait, self.poke_on)

    def poke_off(self) -> None:
        """End `poke_on`; idempotent."""
        if self._poke:
            self._poke.cancel()
            self._poke = None
