"""What radios are called: by the names people gave them, and by more where two have the same one.

A proxy is its MAC address. Its name is what its YAML says, and a YAML is easily used twice.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MAC_DIGITS = 12

SHORTEST_TAIL = 2
"""Octets of a MAC address that tell two proxies apart, unless they have those in common too."""

_ADAPTER = re.compile(r"hci\d+")
_LONG_FORM = re.compile(r"(?P<name>.+) \((?P<tail>[0-9A-Fa-f:]+)\)")
_RENAMED = re.compile(r"(?P<name>.+)-\d+")


@dataclass(frozen=True, slots=True)
class RadioName:
    """What there is to call a radio by.

    Attributes:
        name: the name people gave it.
        mac: 12 lower-case hex digits; None until they are known.
        place: where it is, in words.
    """

    name: str
    mac: str | None
    place: str

    def long_forms(self) -> Iterator[str]:
        """Yield ever longer forms of the name, without end."""
        for octets in range(SHORTEST_TAIL, MAC_DIGITS // 2 + 1) if self.mac else ():
            yield f"{self.name} ({_octets(self.mac or '')[-3 * octets + 1 :]})"
        yield f"{self.name} ({self.place})"
        number = 2
        while True:
            yield f"{self.name} ({self.place}, {number})"
            number += 1

    def answers_to(self, text: str) -> bool:
        """Whether `text` is the MAC address, or the name with the end of it."""
        if self.mac is None:
            return False
        if hex_digits(text) == self.mac:
            return True
        match = _LONG_FORM.fullmatch(text)
        if match is None or match["name"] != self.name:
            return False
        tail = hex_digits(match["tail"])
        return len(tail) >= 2 * SHORTEST_TAIL and self.mac.endswith(tail)


def tell_apart(radios: Sequence[RadioName]) -> list[str]:
    """Return a label for each radio; no two are the same.

    The first one of a name has it for a label, the others have a longer form. So has a proxy that
    is called like a local adapter.
    """
    labels: dict[str, None] = {}
    for radio in radios:
        label = radio.name
        if label in labels or _ADAPTER.fullmatch(label):
            label = next(form for form in radio.long_forms() if form not in labels)
        labels[label] = None
    return list(labels)


def entry_for(entries: Mapping[str, str], name: str, mac: str | None = None) -> str | None:
    """Return what a table by radio says of one: by its MAC address, a long form or its name.

    A name that mDNS gave to the second proxy of a name, `cellar-2`, means that name if the table
    has no such entry.

    Args:
        entries: MAC address, long form or name -> something.
        name: what it is called, or announced as.
        mac: 12 lower-case hex digits; None if they are not known.
    """
    renamed = _RENAMED.fullmatch(name)
    names = [name, *([renamed["name"]] if renamed else [])]
    # A table may have an entry for any name, and not tell of that one.
    told = list(entries)
    for one in names:
        known = RadioName(one, mac, "")
        for text in told:
            if known.answers_to(text):
                return entries[text]
    return entries.get(next((one for one in names if one in told), name))


def hex_digits(text: str) -> str:
    """Return a MAC address, or the end of one, without its separators and in lower case."""
    return text.replace(":", "").replace("-", "").lower()


@functools.lru_cache(maxsize=1024)
def mac_text(mac: str) -> str:
    """Return 12 hex digits as a MAC address in capitals and with colons."""
    return _octets(mac.upper())


def _octets(mac: str) -> str:
    return ":".join(mac[at : at + 2] for at in range(0, MAC_DIGITS, 2))
