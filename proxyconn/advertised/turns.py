"""What a device says in turns: packets with other fields than the one before, taken together.

One packet has no room for everything, so that a device may say its name in one and its values in
another, or the values of two formats in turn. Knows no clock: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from bleak.backends.scanner import AdvertisementData

from proxyconn.advertised.fields import Fields, once_each, own_platform_data

MOST_TURNS: Final = 8
"""Sorts of packets remembered of a device; what it said longest ago is forgotten first."""

KEPT_AT_LEAST: Final = 30.0
"""Seconds for which a field counts as said by the fastest device: an ESP32 does not scan while it
connects, which may take 20 s."""

Sort = tuple[str | None, tuple[str, ...], frozenset[int], frozenset[str]]
"""A name, UUIDs of services, company identifiers and UUIDs of service data."""

_NOTHING: Final[Fields] = (None, {}, {}, [], None, 0, ())


class Turn:
    """One sort of packet.

    Attributes:
        advertisement: the last packet of this sort.
        at: when it was said, in seconds; of the packet that was said last of all it does not count.
        shortened: whether its name is a shortened one.
        name, uuids: its name and its UUIDs of services.
        only: the key of its data, if it has no other, and as long as the device says nothing else;
            None too if its name is shortened.
    """

    __slots__ = ("advertisement", "at", "name", "only", "shortened", "uuids")

    def __init__(self, advertisement: Fields, at: float, shortened: bool) -> None:
        self.advertisement = advertisement
        self.at = at
        self.shortened = shortened
        self.name, manufacturer_data, service_data, self.uuids, *_ = advertisement
        keys = [*manufacturer_data, *service_data]
        self.only = keys[0] if len(keys) == 1 and not shortened else None


class Turns:
    """The sorts of packets that a device sends.

    Attributes:
        latest: the sort that was said last.
    """

    __slots__ = ("_turns", "latest")

    def __init__(self) -> None:
        self.latest = Turn(_NOTHING, 0.0, False)
        # Most devices say the same fields all the time; theirs stays None.
        self._turns: dict[Sort, Turn] | None = None

    def take(self, fresh: Fields, before: float, shortened: Callable[[], bool]) -> None:
        """Take a packet.

        Args:
            fresh: the packet; its lists and dicts are left alone.
            before: when the packet before this one was said last, in seconds.
            shortened: returns whether its name is a shortened one.
        """
        if self.repeats(fresh):
            self.latest.advertisement = fresh
        else:
            self.change(fresh, before, fresh[0] is not None and shortened())

    def repeats(self, fresh: Fields) -> bool:
        """Whether a packet is of the sort that was said last: name and keys are the same."""
        last = self.latest.advertisement
        return (
            fresh[0] == last[0]
            and fresh[3] == last[3]
            and fresh[1].keys() == last[1].keys()
            and fresh[2].keys() == last[2].keys()
        )

    def change(self, fresh: Fields, before: float, shortened: bool) -> None:
        """Take a packet of another sort than the last one. As `take`."""
        latest = self.latest
        latest.at = before
        if self._turns is None:
            if latest.advertisement is _NOTHING:
                self.latest = Turn(fresh, before, shortened)
                return
            self._turns = {_sort(latest.advertisement): latest}
            latest.only = None
        turns, sort = self._turns, _sort(fresh)
        turn = turns.get(sort)
        if turn is None:
            if len(turns) >= MOST_TURNS:
                del turns[min(turns, key=lambda one: turns[one].at)]
            turn = turns[sort] = Turn(fresh, before, shortened)
            turn.only = None
        turn.advertisement = fresh
        self.latest = turn

    @property
    def vary(self) -> bool:
        """Whether there was ever more than one sort of packet."""
        return self._turns is not None

    def within(self, since: float) -> Iterator[Turn]:
        """Yield what was said since some time, in the order in which it was said first."""
        if self._turns is None:
            yield self.latest
            return
        for turn in self._turns.values():
            if turn is self.latest or turn.at >= since:
                yield turn

    def names(self, since: float) -> Iterator[str]:
        """Yield the names that were said since some time."""
        for turn in self.within(since):
            if turn.advertisement[0]:
                yield turn.advertisement[0]

    def says_complete(self, name: str, since: float) -> bool:
        """Whether a name was said since some time as the complete one."""
        return any(
            turn.advertisement[0] == name and not turn.shortened for turn in self.within(since)
        )

    def renames(self, known: str | None, since: float) -> bool:
        """Whether the name that was said last replaces the one that is known.

        A shortened one replaces neither a name that it begins, nor one that was said since some
        time as the complete one.
        """
        latest = self.latest
        name = latest.advertisement[0]
        if not name or not known or not latest.shortened:
            return name is not None
        return not (known.startswith(name) or self.says_complete(known, since))

    def together(self, since: float, name: str | None, rssi: int) -> AdvertisementData:
        """Return all that was said since some time, by key, of each key what was said last.

        The lists and dicts are the caller's own.

        Args:
            since: seconds.
            name: the name to give it.
            rssi: dBm.
        """
        turns = list(self.within(since))
        uuids = once_each(uuid for turn in turns for uuid in turn.advertisement[3])
        turns.sort(key=lambda turn: (turn is self.latest, turn.at))
        manufacturer_data: dict[int, bytes] = {}
        service_data: dict[str, bytes] = {}
        tx_power: int | None = None
        for turn in turns:
            said = turn.advertisement
            manufacturer_data.update(said[1])
            service_data.update(said[2])
            tx_power = tx_power if said[4] is None else said[4]
        platform_data = own_platform_data(self.latest.advertisement[6])
        return AdvertisementData(
            name, manufacturer_data, service_data, uuids, tx_power, rssi, platform_data
        )


def _sort(advertisement: Fields) -> Sort:
    name, manufacturer_data, service_data, uuids, *_ = advertisement
    return name, tuple(uuids), frozenset(manufacturer_data), frozenset(service_data)
