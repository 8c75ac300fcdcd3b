"""What proves to NATS who we are: read from files, never logged."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from nats.aio.client import RawCredentials

from proxyconn_cluster.bus.errors import ClusterError
from proxyconn_cluster.settings import ClusterSettings


def identification(settings: ClusterSettings) -> dict[str, Any]:
    """Return the options of nats-py that say who we are; reads files.

    Raises:
        ClusterError: a file cannot be read, or is not what it should be.
    """
    options: dict[str, Any] = {}
    if settings.credentials is not None:
        options["user_credentials"] = RawCredentials(_credentials(settings.credentials))
    if settings.nkey is not None:
        options["nkeys_seed_str"] = _seed(settings.nkey)
    if settings.uses_tls:
        options["tls"] = _tls(settings)
    return options


def _credentials(file: Path) -> str:
    text = _text(file, "the credentials file")
    if "BEGIN NATS USER JWT" not in text or "BEGIN USER NKEY SEED" not in text:
        raise ClusterError(
            f"{file} is no credentials file: it needs a user's JWT and seed, as `nsc generate "
            "creds` writes them"
        )
    return text


def _seed(file: Path) -> str:
    lines = [line.strip() for line in _text(file, "the nkey file").splitlines()]
    seeds = [line for line in lines if line.startswith("SU")]
    if len(seeds) != 1:
        raise ClusterError(
            f"{file} is no nkey file: it needs one line with the seed of a user, which begins "
            "with SU, as `nk -gen user` prints it"
        )
    return seeds[0]


def _text(file: Path, what: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise ClusterError(f"{what} {file} cannot be read: {why}") from None


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
