"""Encryption keys of proxies: what one must look like, and that others must not read it."""

from __future__ import annotations

import os
import stat
from base64 import b64decode

from proxyconn.errors import InvalidKeyError

KEY_BYTES = 32
"""Bytes of an encryption key (Noise_NNpsk0: a 32-byte pre-shared key)."""


def check_key(key: str | None, owner: str) -> None:
    """Raise InvalidKeyError unless `key`, if there is one, is base64 of 32 bytes."""
    if key is None:
        return
    try:
        length = len(b64decode(key, validate=True))
    except ValueError:
        length = 0
    if length != KEY_BYTES:
        # Most of a mistyped key is the key, and some tracebacks show local variables.
        del key
        raise InvalidKeyError(
            f"the encryption key for {owner} must be base64 of {KEY_BYTES} bytes "
            "(44 characters), as in the proxy's YAML under `api: encryption: key:`",
            source=owner,
        )


def is_open_to_others(mode: int) -> bool:
    """Whether the `st_mode` of a file with keys in it lets others than its owner at them."""
    return os.name == "posix" and stat.S_ISREG(mode) and bool(mode & 0o077)
