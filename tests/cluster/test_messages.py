"""Names, messages and settings, without a server."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest

from proxyconn_cluster.bus.messages import (
    Message,
    MessageError,
    OtherVersionError,
    check_headers,
    decode,
    encode,
    headers,
    seconds_left,
)
from proxyconn_cluster.bus.subjects import Subjects, address_token
from proxyconn_cluster.exchange.status import Status
from proxyconn_cluster.ownership.records import (
    MOST_SEEN,
    Heartbeat,
    Sight,
    packed,
    unpacked,
)
from proxyconn_cluster.settings import ClusterSettings, checked_servers


class Greeting(Message, frozen=True, kw_only=True):
    """A message of these tests."""

    text: str
    count: int = 0


class Changed(Message, frozen=True, kw_only=True):
    """A message that meant something else before version 1.3."""

    OLDEST: ClassVar[int] = 3

    text: str


def test_round_trip() -> None:
    """What is encoded is decoded, its version with it."""
    message = Greeting(sender="attic", text="hello", count=3)
    assert decode(encode(message), Greeting) == message
    assert json.loads(encode(message))["v"] == [1, 1]


def test_minor_version_may_say_more() -> None:
    """Fields that nobody knows are passed over."""
    data = json.dumps({"v": [1, 7], "sender": "attic", "text": "x", "colour": "red"}).encode()
    assert decode(data, Greeting).v == (1, 7)


@pytest.mark.parametrize("form", [{"text": "x"}, {"words": ["x"]}])
@pytest.mark.parametrize(("major", "who"), [(2, "this program"), (0, "it")])
def test_other_major_version_is_named(form: dict[str, object], major: int, who: str) -> None:
    """Whose message is of another version is said, whatever its form, and who is too old."""
    data = json.dumps({"v": [major, 0], "sender": "attic"} | form).encode()
    with pytest.raises(OtherVersionError, match=f"'attic' speaks version {major} .* where {who}"):
        decode(data, Greeting)


@pytest.mark.parametrize("form", [{"text": "x"}, {"words": ["x"]}])
def test_minor_version_that_is_too_old_is_named(form: dict[str, object]) -> None:
    """What has another meaning now is not read, whatever its form; the sender is to be updated."""
    for minor in (0, 2):
        data = json.dumps({"v": [1, minor], "sender": "attic"} | form).encode()
        with pytest.raises(
            OtherVersionError, match=rf"'attic' speaks version 1.{minor} .* needs 1.3"
        ):
            decode(data, Changed)
    later = json.dumps({"v": [1, 4], "sender": "attic", "text": "x"}).encode()
    assert decode(later, Changed).text == "x"


@pytest.mark.parametrize("kind", [Status, Heartbeat, Sight])
def test_owners_of_the_first_version_are_named(kind: type[Message]) -> None:
    """Who lives, and where owners speak, was said in another way in version 1.0."""
    data = b'{"v":[1,0],"sender":"a-1","site":"home","age":1.0,"sees":[],"named":[]}'
    with pytest.raises(OtherVersionError, match="update proxyconn where it runs"):
        decode(data, kind)


def test_a_heartbeat_does_not_grow() -> None:
    """What an owner sees fits into one message, and is in none that is sent all the time."""
    macs = [f"{number:012x}" for number in range(MOST_SEEN)]
    sight = Sight(sender="a-1", number=7, found=packed(macs[:9]), named=packed(macs[9:]))
    found = decode(encode(sight), Sight)
    assert unpacked(found.found) | unpacked(found.named) == set(macs)
    assert len(encode(Heartbeat(sender="a-1", site="home", age=1e6, sight=7))) < 200
    assert unpacked(bytes(15)) == {"000000000000"}, "half an address is none"


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b'{"v": 1}', b'{"text": 1}', b"[" * 100_000])
def test_no_message(data: bytes) -> None:
    """Anything else is refused by one error."""
    with pytest.raises(MessageError):
        decode(data, Greeting)


def test_headers() -> None:
    """Headers say how long the sender waits, and of which version it is."""
    said = headers("attic", 2.5)
    check_headers(said)
    check_headers(None)
    assert seconds_left(said, 9.0) == 2.5
    assert seconds_left(None, 9.0) == 9.0
    for nonsense in ("", "nan", "-1", "1e9", "soon"):
        assert seconds_left({"Proxyconn-Deadline": nonsense}, 9.0) == 9.0
    with pytest.raises(OtherVersionError, match="'attic' speaks version 2"):
        check_headers(said | {"Proxyconn-Version": "2.0"})


@pytest.mark.parametrize(
    "name", ["", "a.b", "a b", "*", ">", "_all", "a_b", "-", "é", "x" * 33, "a\n"]
)
def test_names_that_are_no_tokens(name: str) -> None:
    """A fleet or a site is not called what a subject cannot hold."""
    with pytest.raises(ValueError, match="letters, digits"):
        Subjects(name)
    with pytest.raises(ValueError, match="letters, digits"):
        ClusterSettings(("nats://x",), site=name)


def test_subjects() -> None:
    """Every subject has the fleet and the site in it; nothing strange gets into one."""
    subjects = Subjects("hotel")
    assert subjects.of_site("north", "owner", "a1") == "proxyconn.v1.hotel.north.owner.a1"
    assert subjects.ask_owners() == "proxyconn.v1.hotel._all.owners"
    assert subjects.leases == "proxyconn_v1_hotel_leases"
    with pytest.raises(ValueError, match="cannot be a part"):
        subjects.of_site("north", "owner", "a.b")
    assert address_token("AA:BB:CC:00:11:22") == "aabbcc001122"
    with pytest.raises(ValueError, match="no MAC address"):
        address_token("kitchen")


def test_servers() -> None:
    """URLs are checked, and no secret may stand in one, nor is it repeated."""
    assert checked_servers("nats://a:4222, tls://b") == ("nats://a:4222", "tls://b")
    for wrong in ("", "a:4222", "http://a", "nats://", "nats://a:x"):
        with pytest.raises(ValueError, match="must be the URL"):
            checked_servers(wrong)
    with pytest.raises(ValueError, match="must be all nats"):
        checked_servers("nats://a, wss://b")
    with pytest.raises(ValueError, match="must not have") as caught:
        checked_servers("nats://me:secret@a")
    assert "secret" not in str(caught.value)
