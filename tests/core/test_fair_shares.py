"""Who is next when several parties want slots."""

from __future__ import annotations

import pytest

from proxyconn.routing.fair_shares import FairShares, Party, Share


def served(shares: FairShares, callers: list[Party]) -> list[Party]:
    """Return the parties in the order in which callers that come now would be served."""
    places = [(shares.place(party), party) for party in callers]
    return [party for _, party in sorted(places, key=lambda pair: pair[0])]


def test_one_party_is_served_in_order() -> None:
    """Without other parties the first to come is the first to be served."""
    shares = FairShares()
    places = [shares.place(None) for _ in range(5)]
    assert places == sorted(places)


def test_parties_take_turns() -> None:
    """A party with many callers does not keep another's single one waiting for them all."""
    assert served(FairShares(), ["a", "a", "a", "a", "b"]) == ["a", "b", "a", "a", "a"]


def test_latecomer_waits_for_one_turn() -> None:
    """A caller that comes while another party's many are being served is next."""
    shares = FairShares()
    crowd = [shares.place("crowd") for _ in range(100)]
    for place in crowd[:40]:
        shares.granted(place, "crowd")
    late = shares.place("single")
    assert sorted([*crowd[40:], late]).index(late) == 0


def test_party_that_was_away_has_saved_up_no_turns() -> None:
    """Who has waited for nothing so far takes turns from now on, and no more than that."""
    shares = FairShares()
    for _ in range(10):
        shares.granted(shares.place("busy"), "busy")
    assert served(shares, ["idle", "busy", "idle", "busy"]) == ["idle", "busy", "idle", "busy"]


def test_cap() -> None:
    """A party holds no more slots than its share has."""
    shares = FairShares({"a": Share(most=2)})
    assert shares.may_take("a", 5)
    for _ in range(2):
        shares.granted(shares.place("a"), "a")
    assert not shares.may_take("a", 5)
    assert shares.may_take("b", 5)
    shares.given_back("a")
    assert shares.may_take("a", 5)


def test_guarantee_is_kept_free() -> None:
    """Others leave free what a party is guaranteed and does not hold yet."""
    shares = FairShares({"ha": Share(guaranteed=2)})
    assert shares.may_take("other", 3)
    assert not shares.may_take("other", 2)
    assert shares.may_take("ha", 1)
    shares.granted(shares.place("ha"), "ha")
    assert shares.may_take("other", 2)
    assert not shares.may_take("other", 1)


def test_unknown_slots_keep_nobody_out() -> None:
    """Where radios do not report slots, nothing can be kept for anybody."""
    assert FairShares({"ha": Share(guaranteed=2)}).may_take("other", None)


@pytest.mark.parametrize(("guaranteed", "most"), [(-1, None), (0, 0), (3, 2)])
def test_shares_that_are_none(guaranteed: int, most: int | None) -> None:
    """A share that nobody could hold is refused."""
    with pytest.raises(ValueError, match="guaranteed"):
        Share(guaranteed, most)


@pytest.mark.parametrize(("guaranteed", "most"), [(0, 1), (2, 2), (2, None)])
def test_shares_that_are_some(guaranteed: int, most: int | None) -> None:
    """A party may have as many as it is guaranteed, and no more."""
    assert Share(guaranteed, most).most == most


def test_the_bounds_of_a_share_are_told() -> None:
    """A person reads what to write instead."""
    with pytest.raises(ValueError, match=r": 0 <= guaranteed <= most, and most is 1 or more$"):
        Share(3, 2)


def test_places_are_turns_and_numbers() -> None:
    """The n-th caller of a party is in the n-th turn; all are numbered as they come."""
    shares = FairShares()
    assert [shares.place(party) for party in ("a", "a", "b", "a")] == [
        (0, 1),
        (1, 2),
        (0, 3),
        (2, 4),
    ]


def test_who_was_served_is_in_the_next_turn() -> None:
    """Another party's first caller goes before its second."""
    shares = FairShares()
    shares.granted(shares.place("a"), "a")
    assert served(shares, ["a", "b"]) == ["b", "a"]


def test_what_is_held_is_counted() -> None:
    """A party without a slot is not listed."""
    shares = FairShares()
    for _ in range(3):
        shares.granted(shares.place("a"), "a")
    for held in (2, 1):
        shares.given_back("a")
        assert shares.held == {"a": held}
    shares.given_back("a")
    assert shares.held == {}
    assert not list(shares.held)


def test_a_guarantee_that_is_used_up_keeps_nothing_more() -> None:
    """The last free slot is anybody's, the party's own too."""
    shares = FairShares({"ha": Share(guaranteed=1), "cli": Share(guaranteed=1)})
    for party in ("ha", "cli"):
        shares.granted(shares.place(party), party)
    assert shares.may_take("other", 1)
    assert shares.may_take("ha", 1)


def test_slot_that_is_passed_on_counts_for_its_new_party() -> None:
    """It uses up the new party's share, and no more the old one's."""
    shares = FairShares({"a": Share(most=1), "b": Share(guaranteed=1)})
    shares.granted(shares.place("a"), "a")
    assert not shares.may_take("a", 5)
    assert not shares.may_take("c", 1)
    shares.passed_on("a", "b")
    assert shares.may_take("a", 5)
    assert shares.may_take("c", 1)
    assert shares.held == {"b": 1}
