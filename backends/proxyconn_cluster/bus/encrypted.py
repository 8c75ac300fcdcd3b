"""A client of nats-py that sends nothing to a server that does not encrypt, where it has to.

Reaches into nats-py's private attributes, as only `closing.py` does besides: there is no public
hook between what a server says first and the credentials that it is sent.
"""

from __future__ import annotations

from typing import Any

from nats.aio.client import Client

from proxyconn_cluster.bus.errors import NotEncryptedError


class EncryptedClient(Client):
    """nats-py encrypts if the server says so, who may be anybody until its certificate was seen."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and not self._will_encrypt(info):
            # nats-py leaves a connection open that it has made in vain after another was lost.
            if self._transport:
                self._transport.close()  # type: ignore[no-untyped-call]
            raise NotEncryptedError
        await super()._process_info(info, initial_connection)

    def _will_encrypt(self, info: dict[str, Any]) -> bool:
        scheme = self._current_server.uri.scheme if self._current_server else ""
        # Over a WebSocket TLS is there before NATS, or not at all.
        return scheme == "wss" or (scheme != "ws" and bool(info.get("tls_required")))
