"""What goes wrong with the bus, in sentences that say what to do."""

from __future__ import annotations

import ssl

import nats.errors
from nats.js.errors import APIError, ServiceUnavailableError

NO_JETSTREAM = (
    "has no JetStream, which keeps whose each proxy is: start it with `nats-server --jetstream`, "
    "or put `jetstream {}` into its configuration"
)


class ClusterError(Exception):
    """The cluster cannot be used; the text says why, and what to do."""


class NoAnswerError(ClusterError):
    """Nobody has answered in time."""


class NobodyThereError(ClusterError):
    """Nobody listens to what was asked."""


class NotEncryptedError(nats.errors.Error):
    """A server does not encrypt, and we talk to none that does not."""


def why_not_connected(error: BaseException | None, servers: str) -> str:
    """Return in one sentence why there is no connection, and what to do.

    Args:
        error: what nats-py said last, if anything.
        servers: where it tried.
    """
    if is_refusal(error):
        return (
            f"{servers} refuses us ({error}): name the right credentials or nkey file, or let the "
            "server's configuration know this user"
        )
    if isinstance(error, ssl.SSLError):
        # Of a certificate that is not believed, such as one that has run out, this says why.
        why = getattr(error, "verify_message", None) or error.reason or type(error).__name__
        return (
            f"no TLS with {servers} ({why}): name the file with "
            "the certificate authority of the server, and call the server as in its certificate"
        )
    if isinstance(error, nats.errors.SecureConnRequiredError):
        return f"{servers} wants TLS: write tls:// in place of nats://"
    if isinstance(error, NotEncryptedError):
        return (
            f"{servers} does not encrypt, as the configuration wants it to (tls://, wss://, `ca`, "
            "`certificate`): give the server a `tls` block, or take all of these away"
        )
    why = error.strerror if isinstance(error, OSError) else None
    return (
        f"no NATS server answers at {servers}{f' ({why})' if why else ''}: start one "
        "(`nats-server --jetstream`), or name the right address"
    )


def why_no_bucket(error: Exception, servers: str) -> str:
    """Return in one sentence why a bucket is not to be had, and what to do."""
    if isinstance(error, ServiceUnavailableError | nats.errors.NoRespondersError):
        return f"{servers} {NO_JETSTREAM}"
    if isinstance(error, TimeoutError):
        return (
            f"the JetStream of {servers} does not answer: this user may not be allowed to ask it "
            "(`proxyconn doctor` says what it may not), or its leader is not up"
        )
    if isinstance(error, APIError) and error.err_code in _NOT_ENABLED:
        return f"{servers} {NO_JETSTREAM}, and allow it for this account"
    return f"the JetStream of {servers} refuses: {error}"


def is_definite(error: BaseException) -> bool:
    """Whether trying again would change nothing."""
    wrong_tls = isinstance(
        error, ssl.SSLError | nats.errors.SecureConnRequiredError | NotEncryptedError
    )
    return wrong_tls or is_refusal(error)


_NOT_ENABLED = {10039, 10076}
"""Codes of JetStream: not enabled for the account, not enabled (nats-server errors.json)."""


def is_refusal(error: BaseException | None) -> bool:
    """Whether a server has said in words that it does not want something, or us."""
    # nats-py has no type of its own for what a server says while a connection is made.
    plain = type(error) is nats.errors.Error
    return plain or isinstance(error, nats.errors.AuthorizationError)
