"""Taking secrets out of texts, and addresses and names where that is asked for."""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
import secrets as random_secrets
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256

REMOVED = "<removed>"

DIGITS = 8
"""Hex digits of a hash: enough to tell a house's devices apart."""

SHORTEST_NAME = 2
"""Characters; a single one is in every word."""

_KEY = re.compile(
    r"(?:(?<![A-Za-z0-9+_-])|(?<=\\[nrt]))[A-Za-z0-9+/_-]{43}(?:=|%3[Dd])?(?![A-Za-z0-9+/_=-])"
)
"""Base64 of 32 bytes, padded or not, also behind a line's end as JSON writes it: an encryption key
or a token, whosever it is."""

_ALONE = r"(?<![^\W_]){}(?![^\W_])"
"""A name that no letter or digit continues; entities of a proxy are called `kitchen_uptime`."""

_MAC = re.compile(
    r"(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{2}([:_-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4})(?![0-9A-Fa-f:])"
    r"|(?<![0-9A-Za-z])[0-9A-Fa-f]{12}(?![0-9A-Za-z])"
)
_END_OF_MAC = re.compile(r"(?<=\()[0-9a-f]{2}:[0-9a-f]{2}(?=\))")
"""What tells two proxies of one name apart: `cellar (c0:01)`."""

_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\w)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?![\w])")


class Redaction:
    """Cleans the texts of one archive, the same in all of them.

    Args:
        secrets: keys and passwords.
        texts: all that is to be cleaned; addresses are collected from it.
        addresses: whether MAC and IP addresses are replaced by hashes.
        names: names to be replaced by hashes; none to leave them.
        home: path of the user's home folder, which holds the user's name; empty for none.
    """

    def __init__(
        self,
        secrets: Iterable[str],
        texts: Iterable[str] = (),
        *,
        addresses: bool = False,
        names: Iterable[str] = (),
        home: str = "",
    ) -> None:
        # Of this archive alone, and kept nowhere: an address has few enough bits to try them all.
        self._salt = random_secrets.token_bytes(16)
        self._steps: list[Callable[[str], str]] = []
        self._literally({form: REMOVED for secret in secrets for form in _forms(secret)})
        self._by(_KEY, lambda found: REMOVED)
        if home.strip("/\\"):
            self._literally({home: "~"})
        if names:
            longest = sorted({name for name in names if len(name) >= SHORTEST_NAME}, key=_longest)
            for name in longest:
                whole = re.compile(_ALONE.format(re.escape(name)), re.IGNORECASE)
                self._by(whole, self._hash("name"))
        if addresses:
            self._addresses(texts)

    def __call__(self, text: str) -> str:
        """Return the text, clean."""
        for step in self._steps:
            text = step(text)
        return text

    def _addresses(self, texts: Iterable[str]) -> None:
        macs = {_plain(found[0]) for text in texts for found in _MAC.finditer(text)}
        self._by(_MAC, self._hash("mac"))
        self._by(_END_OF_MAC, self._hash("end"))
        for end in sorted({mac[-6:] for mac in macs}):
            # ESPHome's `name_add_mac_suffix` puts it there.
            self._by(re.compile(rf"(?<=-){end}(?![0-9a-z])", re.IGNORECASE), self._hash("end"))
        for pattern in (_IPV4, _IPV6):
            self._by(pattern, self._ip)

    def _ip(self, text: str) -> str:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            return text
        return self._hash("ip")(text)

    def _hash(self, kind: str) -> Callable[[str], str]:
        def hashed(text: str) -> str:
            plain = _plain(text).encode()
            return f"{kind}-{hmac.new(self._salt, plain, sha256).hexdigest()[:DIGITS]}"

        return hashed

    def _by(self, pattern: re.Pattern[str], made: Callable[[str], str]) -> None:
        self._steps.append(lambda text: pattern.sub(lambda found: made(found[0]), text))

    def _literally(self, instead: Mapping[str, str]) -> None:
        def replace(text: str) -> str:
            for old in sorted(instead, key=_longest):
                text = text.replace(old, instead[old])
            return text

        self._steps.append(replace)


def _longest(text: str) -> tuple[int, str]:
    return -len(text), text


def _plain(address: str) -> str:
    return re.sub("[:_-]", "", address).lower()


def _forms(secret: str) -> set[str]:
    """Return every form in which a secret may stand in a text."""
    forms = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], secret.encode().hex()}
    try:
        raw = b64decode(secret, validate=True)
    except ValueError:
        return forms
    # Short passwords may be base64 by chance, and mean nothing as such.
    return forms | {raw.hex(), raw.hex(" ")} if len(raw) > DIGITS else forms
