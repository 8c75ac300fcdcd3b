"""Whether what the configuration says fits what is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches

from proxyconn.cli.fleet_session import Settings
from proxyconn.models import Finding, Level
from proxyconn.radio import IdentifiedRadio, Radio


def of_agreement(settings: Settings, radios: Collection[Radio]) -> Iterator[Finding]:
    """Yield the names in the configuration that no radio has, and devices held twice."""
    if radios:
        keys = settings.noise_psk if not isinstance(settings.noise_psk, str | None) else {}
        yield from _strangers("keys", keys, radios)
        pins = (settings.prefer, settings.avoid, settings.require)
        named = {name for pin in pins for names in pin.values() for name in names}
        yield from _strangers("pins", sorted(named), radios)
    yield from _held_twice(radios)


def _strangers(check: str, named: Iterable[str], radios: Collection[Radio]) -> Iterator[Finding]:
    for name in named:
        if any(_answers_to(radio, name) for radio in radios):
            continue
        close = get_close_matches(name, [radio.name for radio in radios], 1)
        yield Finding(
            check,
            Level.WARNING,
            None,
            f"the configuration names {name}, and no such radio was found",
            f"did you mean {close[0]}?"
            if close
            else "check whether it is powered, or take the name out",
        )


def _answers_to(radio: Radio, name: str) -> bool:
    if isinstance(radio, IdentifiedRadio):
        return radio.answers_to(name)
    return radio.name == name


def _held_twice(radios: Iterable[Radio]) -> Iterator[Finding]:
    holders: dict[str, list[str]] = {}
    for radio in radios:
        slots = radio.allocations()
        for address in set(slots.allocated if slots else ()):
            holders.setdefault(address, []).append(radio.name)
    for address, names in holders.items():
        if len(names) > 1:
            yield Finding(
                "slots",
                Level.WARNING,
                None,
                f"{' and '.join(names)} hold a slot each for {address}, though it has one link",
                "restart whichever is not connected to it, if slots run short",
            )
