"""What proves to NATS who we are: read from files, never logged; and where we are answered."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any, Final

import nkeys
from nats.aio.client import RawCredentials

from proxyconn.keys import is_open_to_others
from proxyconn_cluster.bus.errors import ClusterError
from proxyconn_cluster.settings import ClusterSettings

INBOX: Final = "_INBOX"
"""How every subject begins on which somebody waits for an answer.

A user with a key has it behind that, so that a server can keep answers from everybody else.
"""

_LOGGER = logging.getLogger(__name__)


def identification(settings: ClusterSettings) -> dict[str, Any]:
    """Return the options of nats-py that say who we are; reads files.

    Raises:
        ClusterError: a file cannot be read, or is not what it should be.
    """
    options: dict[str, Any] = {}
    if settings.credentials is not None:
        text, seed = _credentials(settings.credentials)
        options["user_credentials"] = RawCredentials(text)
        options["inbox_prefix"] = _inbox(settings.credentials, seed)
    if settings.nkey is not None:
        seed = _seed(settings.nkey)
        options["nkeys_seed_str"] = seed
        options["inbox_prefix"] = _inbox(settings.nkey, seed)
    if settings.uses_tls:
        options["tls"] = _tls(settings)
    return options


def _credentials(file: Path) -> tuple[str, str]:
    """Return what is in a credentials file, and the seed in it."""
    text = _text(file, "the credentials file")
    seeds = _seeds(text)
    if "BEGIN NATS USER JWT" not in text or len(seeds) != 1:
        raise ClusterError(
            f"{file} is no credentials file: it needs a user's JWT and seed, as `nsc generate "
            "creds` writes them"
        )
    return text, seeds[0]


def _seed(file: Path) -> str:
    seeds = _seeds(_text(file, "the nkey file"))
    if len(seeds) != 1:
        raise ClusterError(
            f"{file} is no nkey file: it needs one line with the seed of a user, which begins "
            "with SU, as `nk -gen user` prints it"
        )
    return seeds[0]


def _seeds(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line.startswith("SU")]


def _inbox(file: Path, seed: str) -> str:
    """Return the prefix of the subjects on which a user alone may wait for answers."""
    try:
        key = nkeys.from_seed(seed.encode()).public_key.decode()
    except (nkeys.NkeysError, ValueError):
        # The text of that error may have the seed in it.
        raise ClusterError(
            f"{file} has a seed that is none: it was cut or changed; write it anew"
        ) from None
    return f"{INBOX}.{key}"


def _text(file: Path, what: str) -> str:
    try:
        text = file.read_text(encoding="utf-8")
        if is_open_to_others(file.stat().st_mode):
            _LOGGER.warning("others can read %s %s; run: chmod 600 %s", what, file, file)
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise ClusterError(f"{what} {file} cannot be read: {why}") from None
    return text


def _tls(settings: ClusterSettings) -> ssl.SSLContext:
    file = settings.ca
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        if settings.certificate is not None:
            file = settings.certificate
            context.load_cert_chain(settings.certificate)
    except (OSError, ssl.SSLError) as exc:
        why = (exc.reason if isinstance(exc, ssl.SSLError) else exc.strerror) or type(exc).__name__
        raise ClusterError(f"{file} cannot be used for TLS: {why}") from None
    return context
