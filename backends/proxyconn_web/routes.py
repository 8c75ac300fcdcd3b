"""Answers requests for the state of a fleet: snapshot, events, single devices, actions."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aiohttp import web
from bleak.exc import BleakError

from proxyconn.errors import BleakNotFoundError, UnsupportedError
from proxyconn.watch.actions import Actions, BadActionError
from proxyconn.watch.encoding import encoded
from proxyconn.watch.feed import Feed, FeedClosedError, Message
from proxyconn_web.decoding import decoded

PATH: Final = "/api/v1"

MOST_READERS: Final = 32
"""Streams of events at once: each holds a connection for as long as it lasts."""

MOST_LOOKING: Final = 16
"""Of them, those of who may only look: some are left to who may act."""

ONLY_LOOKS: Final = web.AppKey[Callable[[web.Request], bool]]("only_looks")
"""Says whether whoever asks may do no more than look; without it everybody may act."""

WRITE_TIMEOUT: Final = 20.0
"""Seconds for a reader to read what it was sent, before its stream ends."""

ACTION_TIMEOUT: Final = 30.0
"""Seconds for an action: closing a link may take 15 s."""

MOST_BODY: Final = 16 << 10
"""Bytes of a request's body."""

RETRY_MS: Final = 2000
"""Milliseconds after which a page whose stream has ended asks for it again."""

_LOGGER = logging.getLogger(__name__)


class Routes:
    """The API of one fleet.

    Args:
        feed: the fleet's.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.actions = Actions(feed)
        self._readers = Counter[bool]()

    def add_to(self, app: web.Application) -> None:
        """Answer the requests to an application."""
        app.router.add_get(f"{PATH}/snapshot", self._snapshot)
        app.router.add_get(f"{PATH}/events", self._events)
        app.router.add_get(f"{PATH}/devices/{{address}}", self._device)
        app.router.add_post(f"{PATH}/actions/{{name}}", self._action)

    async def _snapshot(self, request: web.Request) -> web.Response:
        try:
            return answer(self.feed.snapshot())
        except FeedClosedError as exc:
            return refuse(503, str(exc))

    async def _device(self, request: web.Request) -> web.Response:
        detail = self.feed.device(request.match_info["address"].upper())
        if detail is None:
            return refuse(404, "no radio hears this device, and nobody has it connected")
        return answer({**detail, "decoded": decoded(detail)})

    async def _action(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return refuse(415, "send a JSON object, as Content-Type: application/json")
        try:
            arguments = await read_json(request)
        except ValueError:
            return refuse(400, "the body is no JSON")
        try:
            async with asyncio.timeout(ACTION_TIMEOUT):
                result = await self.actions.do(request.match_info["name"], arguments)
        except BadActionError as exc:
            return refuse(400, str(exc))
        except BleakNotFoundError as exc:
            return refuse(404, str(exc))
        except UnsupportedError as exc:
            return refuse(501, str(exc))
        except (BleakError, TimeoutError) as exc:
            return refuse(503, str(exc) or f"not done within {ACTION_TIMEOUT:g} s")
        return answer({"done": True, **result})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        only_looks = request.app.get(ONLY_LOOKS)
        looks = only_looks is not None and only_looks(request)
        if why := self._why_no_events(looks=looks):
            refusal = refuse(503, f"{why}; try again later")
            refusal.headers["Retry-After"] = str(RETRY_MS // 1000)
            return refusal
        after = request.headers.get("Last-Event-ID") or request.query.get("after")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        self._readers[looks] += 1
        try:
            await response.prepare(request)
            # A reader may leave at any time; that shows where it is written to.
            with suppress(ConnectionResetError):
                await self._tell(response, after)
        except TimeoutError:
            # To end the answer in order, it would have to be read.
            if request.transport:
                request.transport.abort()
        finally:
            self._readers[looks] -= 1
        return response

    def _why_no_events(self, *, looks: bool) -> str | None:
        if self.feed.is_closed:
            return "the owner ends"
        if self._readers.total() >= MOST_READERS:
            return f"{MOST_READERS} others follow"
        if looks and self._readers[True] >= MOST_LOOKING:
            return f"{MOST_LOOKING} others follow who may only look"
        return None

    async def _tell(self, response: web.StreamResponse, after: str | None) -> None:
        async with asyncio.timeout(WRITE_TIMEOUT):
            await response.write(f"retry: {RETRY_MS}\n\n".encode())
        messages = self.feed.follow(after)
        try:
            async for message in messages:
                async with asyncio.timeout(WRITE_TIMEOUT):
                    await response.write(_encoded(message))
        finally:
            await messages.aclose()


def _encoded(message: Message) -> bytes:
    if message.kind == "idle":
        return b": nothing has happened\n\n"
    return f"event: {message.kind}\nid: {message.id}\ndata: {message.data}\n\n".encode()


async def read_json(request: web.Request) -> Any:
    """Return the body of a request. Raises ValueError if it is no JSON, in whatever way."""
    try:
        return await request.json()
    except (LookupError, RecursionError) as exc:
        # An encoding that there is not, and brackets without end.
        raise ValueError(str(exc)) from None


def answer(value: Any, status: int = 200) -> web.Response:
    """Return a value as JSON, which nobody is to keep."""
    return web.Response(
        text=encoded(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def refuse(status: int, why: str) -> web.Response:
    """Return why a request was not answered."""
    return answer({"error": why}, status)
